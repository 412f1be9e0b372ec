package unix

import "strconv"

// Errno stands in for a system call's error number, which this system has not.
type Errno uintptr

// Error describes the number without the words that only Linux has.
func (e Errno) Error() string { return "error " + strconv.Itoa(int(e)) }
