package taskstats

import (
	"errors"
	"io/fs"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/internal/unix"
	"github.com/gnlgo/gnl/netlink"
)

// Error says what could not be done and why. errors.Is and errors.As go on to
// what it wraps, and so to the errno, with two additions:
//
//   - Where there is no such task (ESRCH), or no such cgroup, it is
//     os.ErrNotExist. Tasks end at any time: most programs pass over this one.
//   - Where the kernel has no TASKSTATS at all, it is errors.ErrUnsupported,
//     and not os.ErrNotExist, so that nobody takes it for a task that has ended.
type Error struct {
	What string // was asked for: "pid 4711", "cgroup /sys/fs/cgroup/cpu", "listen"
	Why  string // what the error means here, where the errno does not say it
	Err  error
}

// Error gives for example "taskstats: pid 4711: no such process".
func (e *Error) Error() string {
	s := "taskstats: " + e.What
	if e.Why != "" {
		s += ": " + e.Why
	}
	err := e.Err
	if g, ok := err.(*gnl.Error); ok {
		err = g.Err // family and command say nothing to whoever reads this
	}
	return s + ": " + err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Is makes a task that is not there os.ErrNotExist.
func (e *Error) Is(target error) bool {
	return target == fs.ErrNotExist && errors.Is(e.Err, unix.ESRCH)
}

// explain wraps what a request ended with. hint finds out what an errno means
// for this request, and may be nil.
func explain(what string, err error, hint func(unix.Errno) string) error {
	e := &Error{What: what, Err: err}
	var g *gnl.Error
	if errors.As(err, &g) && g.Command == "" && errors.Is(err, unix.ENOENT) {
		e.Why = "the kernel has no TASKSTATS family: it was built without CONFIG_TASKSTATS, or is an old one that has it in the initial network namespace only"
		e.Err = errors.ErrUnsupported
		return e
	}
	var kernel *netlink.Error
	if !errors.As(err, &kernel) {
		return e
	}
	if kernel.Errno == unix.EPERM {
		e.Why = whyNotPermitted()
	} else if hint != nil {
		e.Why = hint(kernel.Errno)
	}
	return e
}
