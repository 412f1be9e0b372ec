//go:build !linux && !plan9

package unix

import "syscall"

// Errno is a system call's error number.
type Errno = syscall.Errno
