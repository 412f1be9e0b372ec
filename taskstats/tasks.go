package taskstats

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

const delayAccountingFile = "/proc/sys/kernel/task_delayacct"

// DelayAccounting reports whether the kernel measures the delays other than
// CPUDelay: sysctl kernel.task_delayacct, which is off unless it was set, or the
// kernel was booted with "delayacct". What it says holds for tasks that begin
// from then on; of tasks that began while it was off nothing is measured.
//
// Kernels before 5.14, and those built without CONFIG_TASK_DELAY_ACCT, do not
// say: that is os.ErrNotExist.
func DelayAccounting() (bool, error) {
	b, err := os.ReadFile(delayAccountingFile)
	if err != nil {
		return false, &Error{What: "delay accounting", Why: "the kernel does not say (" + delayAccountingFile + ")", Err: inner(err)}
	}
	return strings.TrimSpace(string(b)) != "0", nil
}

// Processes lists the ids of the processes that /proc shows, in no order.
// Some may have ended by the time they are looked at.
func Processes() ([]int, error) {
	if self, err := os.Readlink("/proc/self"); err == nil && self != strconv.Itoa(os.Getpid()) {
		return nil, &Error{What: "list processes", Err: errors.New("/proc is that of another pid namespace: its numbers mean other processes here")}
	}
	pids, err := appendIDs(nil, "/proc")
	if err != nil {
		return nil, &Error{What: "list processes", Err: err}
	}
	return pids, nil
}

// Threads lists the ids of all threads of the processes that /proc shows, in
// no order.
func Threads() ([]int, error) {
	pids, err := Processes()
	if err != nil {
		return nil, err
	}
	var tids []int
	for _, pid := range pids {
		// On an error the process has ended.
		tids, _ = appendIDs(tids, fmt.Sprintf("/proc/%d/task", pid))
	}
	return tids, nil
}

// appendIDs appends the names in a directory that are numbers.
func appendIDs(ids []int, dir string) ([]int, error) {
	f, err := os.Open(dir)
	if err != nil {
		return ids, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	for _, name := range names {
		if id, err := strconv.Atoi(name); err == nil {
			ids = append(ids, id)
		}
	}
	return ids, err
}
