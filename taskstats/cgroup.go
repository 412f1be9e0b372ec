package taskstats

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"syscall"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/internal/unix"
)

// CgroupStats counts the tasks of a cgroup by the state that they were in when
// the kernel looked: its struct cgroupstats. Tasks of cgroups below are not
// counted, nor are those in states other than these: idle kernel threads, tasks
// that only a fatal signal could wake, and from Linux 6.1 on tasks that sleep
// where the system may freeze them, as in nanosleep(2).
type CgroupStats struct {
	Sleeping        uint64 // TASK_INTERRUPTIBLE (nr_sleeping)
	Running         uint64 // TASK_RUNNING: on a CPU, or ready to be (nr_running)
	Stopped         uint64 // TASK_STOPPED: by a signal (nr_stopped)
	Uninterruptible uint64 // TASK_UNINTERRUPTIBLE: waiting, and no signal ends it (nr_uninterruptible)
	IOWait          uint64 // in none of these states, and waiting for I/O; older kernels need delay accounting for it (nr_io_wait)
}

type (
	cgroupRequest struct {
		FD uint32 `nl:"1,name=fd"`
	}
	cgroupReply struct {
		Stats *CgroupStats `nl:"1,struct"`
	}
)

// CGROUPSTATS_CMD_GET, answered by CGROUPSTATS_CMD_NEW.
var getCgroup = gnl.Command[cgroupRequest, cgroupReply]{Family: family, ID: 4, Name: "cgroup-get", Version: familyVersion}

// Cgroup returns the counts of the cgroup whose directory is path. It needs no
// privilege. The directory must be one of cgroup v1: for cgroup v2 the kernel
// has no such counts, and the error is syscall.EINVAL and says so.
func (c *Client) Cgroup(ctx context.Context, path string) (CgroupStats, error) {
	what := "cgroup " + path
	// Looked at first: opening a pipe, say, would wait.
	if info, err := os.Stat(path); err != nil {
		return CgroupStats{}, &Error{What: what, Err: inner(err)}
	} else if !info.IsDir() {
		return CgroupStats{}, &Error{What: what, Err: syscall.ENOTDIR}
	}
	dir, err := os.Open(path)
	if err != nil {
		return CgroupStats{}, &Error{What: what, Err: inner(err)}
	}
	defer dir.Close()
	return c.cgroup(ctx, what, int(dir.Fd()))
}

// CgroupFD is [Client.Cgroup] for a directory that is open. A descriptor that
// is not open, or only as a path (O_PATH), is syscall.EBADF.
func (c *Client) CgroupFD(ctx context.Context, fd int) (CgroupStats, error) {
	what := fmt.Sprintf("cgroup of descriptor %d", fd)
	if fd < 0 || fd > math.MaxInt32 {
		return CgroupStats{}, &Error{What: what, Why: "that is no descriptor's number", Err: unix.EBADF}
	}
	return c.cgroup(ctx, what, fd)
}

func (c *Client) cgroup(ctx context.Context, what string, fd int) (CgroupStats, error) {
	reply, err := getCgroup.Do(ctx, c.gnl, cgroupRequest{uint32(fd)})
	switch {
	case err == nil && reply.Stats != nil:
		return *reply.Stats, nil
	case err == nil:
		return CgroupStats{}, &Error{What: what, Err: errNoStats}
	case errors.Is(err, gnl.ErrNoReply):
		// The kernel succeeds, and says nothing.
		return CgroupStats{}, &Error{What: what, Why: "the kernel cannot use the descriptor", Err: unix.EBADF}
	}
	return CgroupStats{}, explain(what, err, func(errno unix.Errno) string {
		switch errno {
		case unix.EINVAL:
			return whyNoCgroup(fd)
		case unix.ENOENT:
			return "the cgroup has been removed"
		}
		return ""
	})
}

// whyNoCgroup explains EINVAL.
func whyNoCgroup(fd int) string {
	// Every directory of cgroup v2 has this file, and none of v1.
	if _, err := os.Stat(fmt.Sprintf("/proc/self/fd/%d/cgroup.controllers", fd)); err == nil {
		return "this is a cgroup of version 2, and the kernel has such counts for version 1 only"
	}
	return "this is not the directory of a cgroup (of version 1)"
}

// inner strips what an error of package os repeats: the path.
func inner(err error) error {
	var e *os.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
