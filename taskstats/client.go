package taskstats

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"sync/atomic"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/internal/unix"
)

// The family of both interfaces, see include/uapi/linux/taskstats.h and
// cgroupstats.h.
const (
	family        = "TASKSTATS"
	familyVersion = 1
)

// A request names one task or one thread group (TASKSTATS_CMD_ATTR_*).
type (
	taskRequest struct {
		PID uint32 `nl:"1,name=pid"`
	}
	groupRequest struct {
		TGID uint32 `nl:"2,name=tgid"`
	}
)

// TASKSTATS_CMD_GET, answered by TASKSTATS_CMD_NEW.
var (
	getTask  = gnl.Command[taskRequest, reply]{Family: family, ID: 1, Name: "get", Version: familyVersion, Single: true}
	getGroup = gnl.Command[groupRequest, reply]{Family: family, ID: 1, Name: "get", Version: familyVersion, Single: true}
)

// reply is the answer to either: the statistics in a nest (TASKSTATS_TYPE_*).
type reply struct {
	stats *Stats // where they go
	tgid  int    // of the group asked for; 0: it was a task
	given bool
}

const (
	typeStats    = 3 // TASKSTATS_TYPE_STATS
	typeAggrPID  = 4 // TASKSTATS_TYPE_AGGR_PID
	typeAggrTGID = 5 // TASKSTATS_TYPE_AGGR_TGID
)

// UnmarshalBinary decodes the reply's attributes. It takes the one that matters:
// asking for all tasks of a machine is what this package is for, and fields with
// tags would cost as much again as the statistics themselves.
func (r *reply) UnmarshalBinary(b []byte) error {
	nest := uint16(typeAggrPID)
	if r.tgid != 0 {
		nest = typeAggrTGID
	}
	stats, err := attr.Find(b, nest, typeStats)
	if err != nil {
		return err
	}
	if r.given = stats != nil; r.given {
		if err := r.stats.decode(stats, 0); err != nil {
			return &attr.Error{Path: []uint16{nest, typeStats}, Err: err}
		}
	}
	return nil
}

// Client asks for statistics. It is safe for concurrent use, as the gnl.Client
// behind it is.
type Client struct {
	gnl *gnl.Client

	// Memory of a query that nobody is using: what is asked one after the
	// other allocates nothing.
	task  atomic.Pointer[taskQuery]
	group atomic.Pointer[groupQuery]
}

// New returns a Client that works over client, which stays the caller's to
// close. Nothing is asked of the kernel yet.
func New(client *gnl.Client) *Client { return &Client{gnl: client} }

// PID returns the statistics of one task: a thread by its id, and by a process's
// id its main thread alone. They need CAP_NET_ADMIN in the initial user
// namespace, also for tasks of one's own.
//
// A task that is not there is os.ErrNotExist (and syscall.ESRCH). Ids are those
// of the caller's pid namespace.
func (c *Client) PID(ctx context.Context, pid int) (Stats, error) {
	var s Stats
	err := c.PIDInto(ctx, pid, &s)
	return s, err
}

// PIDInto is [Client.PID] into the caller's memory. It allocates nothing, but
// for a Comm that differs from what s held. On an error s stays as it was.
func (c *Client) PIDInto(ctx context.Context, pid int, s *Stats) error {
	if err := checkPID("pid", pid); err != nil {
		return err
	}
	q := c.task.Swap(nil)
	if q == nil {
		q = new(taskQuery)
	}
	q.request.PID, q.reply.stats = uint32(pid), s
	err := getTask.DoInto(ctx, c.gnl, &q.request, &q.reply)
	if err == nil {
		err = q.reply.finish()
	}
	q.reply.stats = nil
	c.task.Store(q)
	if err != nil {
		return explain(fmt.Sprintf("pid %d", pid), err, nil)
	}
	return nil
}

// TGID returns the sums over the threads of a process, given by its id or that
// of any of its threads. [Stats.Group] is set, and [Stats.TGID] is the id given.
//
// The kernel sums up the times, delays and context switches only; what cannot
// be summed up, as the name and the user, and memory and I/O are in the records
// of the threads: see [Client.PID] and [Stats.Has]. Of threads that have ended,
// kernels before April 2026 count what CPURealTime, CPUVirtualTime and the
// delays say, but not UserTime, SystemTime, ElapsedTime and the context switches.
func (c *Client) TGID(ctx context.Context, tgid int) (Stats, error) {
	var s Stats
	err := c.TGIDInto(ctx, tgid, &s)
	return s, err
}

// TGIDInto is [Client.TGID] into the caller's memory, as [Client.PIDInto] is.
func (c *Client) TGIDInto(ctx context.Context, tgid int, s *Stats) error {
	if err := checkPID("tgid", tgid); err != nil {
		return err
	}
	q := c.group.Swap(nil)
	if q == nil {
		q = new(groupQuery)
	}
	q.request.TGID, q.reply.stats, q.reply.tgid = uint32(tgid), s, tgid
	err := getGroup.DoInto(ctx, c.gnl, &q.request, &q.reply)
	if err == nil {
		err = q.reply.finish()
	}
	q.reply.stats = nil
	c.group.Store(q)
	if err != nil {
		return explain(fmt.Sprintf("tgid %d", tgid), err, nil)
	}
	return nil
}

// Self returns the statistics of this process, over all its threads: it is
// [Client.TGID] of os.Getpid(). A Go program runs on many threads, so that its
// main thread, which PID would give, has had only a part in what the program
// did. Only that thread's record, though, has the name, the user, and when the
// process began.
func (c *Client) Self(ctx context.Context) (Stats, error) { return c.TGID(ctx, os.Getpid()) }

// SelfInto is [Client.Self] into the caller's memory, as [Client.PIDInto] is.
func (c *Client) SelfInto(ctx context.Context, s *Stats) error {
	return c.TGIDInto(ctx, os.Getpid(), s)
}

// checkPID refuses what would not arrive at the kernel as it was meant.
func checkPID(what string, pid int) error {
	if pid <= 0 || pid > math.MaxInt32 {
		return &Error{
			What: fmt.Sprintf("%s %d", what, pid),
			Why:  fmt.Sprintf("ids of tasks are 1 to %d", math.MaxInt32),
			Err:  unix.EINVAL,
		}
	}
	return nil
}

// A query is the memory of one request and its reply, which the compiler
// cannot keep on the stack.
type (
	taskQuery struct {
		request taskRequest
		reply   reply
	}
	groupQuery struct {
		request groupRequest
		reply   reply
	}
)

var errNoStats = errors.New("the reply has no statistics")

// finish completes a decoded reply: what the statistics are about is not in
// them.
func (r *reply) finish() error {
	if !r.given {
		return errNoStats
	}
	r.stats.Group = r.tgid != 0
	if r.stats.Group {
		r.stats.TGID = r.tgid
	}
	return nil
}
