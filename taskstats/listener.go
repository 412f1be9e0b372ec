package taskstats

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"sync"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/internal/unix"
	"github.com/gnlgo/gnl/netlink"
)

// ListenConfig says which exits a Listener receives and how. The zero
// ListenConfig is right for most: all exits of the machine over one socket.
type ListenConfig struct {
	// CPUs are those whose exits are wanted, as a list like "0-3,8". A task is
	// reported by the CPU that it last ran on. Empty is all CPUs that the
	// machine can have, also those that are offline now.
	CPUs string

	// Sockets is how many sockets the CPUs are shared out to. Zero is one.
	// More give more room for exits that nobody has looked at yet, and let
	// fewer CPUs queue at each, which matters where hundreds of CPUs end tasks
	// all the time. Exits on different sockets can arrive out of order.
	Sockets int

	// ReceiveBuffer is how many bytes of exits the kernel may queue for each
	// socket. Zero is ListenReceiveBuffer. What does not fit is lost, and that
	// is reported: see [Listener.Exits]. The memory is only taken while exits
	// are queued.
	ReceiveBuffer int
}

// ListenReceiveBuffer is the receive buffer of a Listener's sockets unless
// ListenConfig says otherwise. The kernel gives twice as much, and reckons
// 1,280 to 2,304 bytes for an exit: it holds some 7,000 to 13,000 of them.
const ListenReceiveBuffer = 8 << 20

// listenDatagrams is how many exits one system call may take.
const listenDatagrams = 16

// exitMessageSize holds an exit message: two records of 688 bytes in version 17,
// and room for those to come.
const exitMessageSize = 8 << 10

// closeTimeout is how long Close tries to take leave of the kernel, which
// answers at once.
const closeTimeout = time.Second

// Exit is the end of a task: its last statistics, and those of its process
// where it was the last task of one that had had several.
//
// A process that never had more than one thread has no group record: Task says
// all, and its Flags have [FlagGroup] (from Linux 5.19 on). A copy of an Exit shares
// no memory that is written again.
type Exit struct {
	Task Stats

	// Group is the record of the thread group, valid if HasGroup. Its TGID is
	// that of the process. On kernels before April 2026 it has the delays,
	// CPURealTime and CPUVirtualTime only: see [Stats.Has].
	Group    Stats
	HasGroup bool
}

// TASKSTATS_CMD_GET with a mask of CPUs (TASKSTATS_CMD_ATTR_*REGISTER_CPUMASK)
// is only acknowledged.
type (
	registerRequest struct {
		CPUs string `nl:"3,name=register-cpumask"`
	}
	deregisterRequest struct {
		CPUs string `nl:"4,name=deregister-cpumask"`
	}
)

var (
	register   = gnl.Command[registerRequest, struct{}]{Family: family, ID: 1, Name: "register", Version: familyVersion}
	deregister = gnl.Command[deregisterRequest, struct{}]{Family: family, ID: 1, Name: "deregister", Version: familyVersion}
)

// Listener receives the exits of tasks. Exits are queued from the moment that
// Listen returns. A Listener must be closed; Close may be called at any time,
// the rest is for one goroutine at a time.
type Listener struct {
	sockets []*listenSocket
	closing sync.Once

	// With more than one socket: exits on their way to Exits, and memory for
	// the next ones. Each holds all there are, so that sending never waits.
	ready, free chan *delivery
}

// listenSocket is one socket and the CPUs whose exits it receives.
type listenSocket struct {
	conn    *gnl.Conn
	cpus    string
	exit    Exit
	message gnl.Message // what was received last
	records exitMessage // and what it has
}

// delivery is an exit, or what came instead, on its way to Exits.
type delivery struct {
	exit Exit
	err  error
}

// deliveries is how many exits a merge may have received ahead.
const deliveries = 64

// Listen asks the kernel for the exits of tasks. A nil config is the zero
// ListenConfig.
//
// It needs CAP_NET_ADMIN in the initial user namespace (else
// os.ErrPermission), and the initial pid and network namespaces, since the
// kernel reports all tasks of the machine, in numbers of the initial pid
// namespace. The error says what is missing. In another network namespace the
// kernel would agree to it and never send anything: Listen looks where its
// socket is, and refuses with errors.ErrUnsupported.
func (c *Client) Listen(ctx context.Context, config *ListenConfig) (*Listener, error) {
	var cfg ListenConfig
	if config != nil {
		cfg = *config
	}
	groups, err := cfg.groups()
	if err != nil {
		return nil, err
	}
	if cfg.ReceiveBuffer == 0 {
		cfg.ReceiveBuffer = ListenReceiveBuffer
	}
	l := &Listener{}
	if len(groups) > 1 {
		n := deliveries + len(groups) // every socket waits with one in hand
		l.ready, l.free = make(chan *delivery, n), make(chan *delivery, n)
		for range n {
			l.free <- new(delivery)
		}
	}
	for _, cpus := range groups {
		if err := l.add(ctx, c.gnl, &cfg, formatCPUs(cpus)); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

// groups checks the config and shares out the CPUs.
func (cfg *ListenConfig) groups() ([][]int, error) {
	failed := func(why string, err error) error { return &Error{What: "listen", Why: why, Err: err} }
	if cfg.Sockets < 0 || cfg.ReceiveBuffer < 0 {
		return nil, failed(fmt.Sprintf("ListenConfig has Sockets %d, ReceiveBuffer %d", cfg.Sockets, cfg.ReceiveBuffer), unix.EINVAL)
	}
	var cpus []int
	var err error
	if cfg.CPUs == "" {
		if cpus, err = possibleCPUs(); err != nil {
			return nil, failed("no CPUs are given, and which there are is not to be seen", err)
		}
	} else if cpus, err = parseCPUs(cfg.CPUs); err != nil {
		return nil, failed(fmt.Sprintf("CPUs %q", cfg.CPUs), err)
	}
	return splitCPUs(cpus, max(cfg.Sockets, 1)), nil
}

// add opens one more socket and has it registered.
func (l *Listener) add(ctx context.Context, client *gnl.Client, cfg *ListenConfig, cpus string) error {
	conn, err := client.Conn(ctx, &gnl.ConnConfig{ReceiveBuffer: cfg.ReceiveBuffer, Datagrams: listenDatagrams, MessageSize: exitMessageSize})
	if err != nil {
		return &Error{What: "listen", Err: err}
	}
	s := &listenSocket{conn: conn, cpus: cpus}
	if _, err := register.Do(ctx, conn, registerRequest{cpus}); err != nil {
		conn.Close()
		return explain("listen to CPUs "+cpus, err, whyNoListener)
	}
	l.sockets = append(l.sockets, s)
	if eventsCannotCome(conn.PortID()) {
		return &Error{
			What: "listen",
			Why:  "the kernel sends the exits of tasks into the initial network namespace only, and this socket is in another one",
			Err:  errors.ErrUnsupported,
		}
	}
	return nil
}

// whyNoListener explains the errnos of a registration.
func whyNoListener(errno unix.Errno) string {
	switch errno {
	case unix.EINVAL:
		if elsewhere("pid", initialPIDNamespace) {
			return "only processes in the initial pid namespace can listen, and this one is in another"
		}
		fallthrough
	case unix.ERANGE:
		if b, err := possibleCPUs(); err == nil {
			return "this machine can have the CPUs " + formatCPUs(b)
		}
		return "there may be no such CPU"
	}
	return ""
}

// Close ends the registration and closes the sockets. Exits ends with
// net.ErrClosed. Closing twice does no harm.
func (l *Listener) Close() error {
	l.closing.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		for _, s := range l.sockets {
			// Without this the kernel would find out at the next exit. Until
			// then another socket could get the port, and the exit. But what
			// fails here the closing sets right.
			deregister.Do(ctx, s.conn, deregisterRequest{s.cpus})
		}
		for _, s := range l.sockets {
			s.conn.Close()
		}
	})
	return nil
}

// Exits yields exit after exit, waiting for each. An Exit is valid until the
// next; a plain copy of it keeps.
//
// [gnl.ErrOverrun] says that exits were lost because they came faster than
// they were taken, and netlink.ErrMalformed and the like that one could not be
// read: the loop may go on after these. All other errors end it: that of ctx,
// and net.ErrClosed. Exits may be called again after the loop was left; nothing
// is lost in between.
func (l *Listener) Exits(ctx context.Context) iter.Seq2[*Exit, error] {
	return func(yield func(*Exit, error) bool) {
		if len(l.sockets) > 1 {
			l.merge(ctx, yield)
			return
		}
		s := l.sockets[0]
		for {
			if err := s.receive(ctx, &s.exit); err != nil {
				if !l.yieldError(yield, err) {
					return
				}
			} else if !yield(&s.exit, nil) {
				return
			}
		}
	}
}

// yieldError reports whether to go on.
func (l *Listener) yieldError(yield func(*Exit, error) bool, err error) bool {
	if gnl.GoesOn(err) {
		return yield(nil, err)
	}
	yield(nil, err)
	return false
}

// merge is Exits for several sockets. Each has a goroutine, which ends before
// merge returns. What one has received and merge has not yielded stays in ready
// for the next time.
func (l *Listener) merge(ctx context.Context, yield func(*Exit, error) bool) {
	inner, cancel := context.WithCancel(ctx)
	var pumps sync.WaitGroup
	defer pumps.Wait()
	defer cancel()
	for _, s := range l.sockets {
		pumps.Go(func() { l.pump(inner, s) })
	}
	for {
		select {
		case d := <-l.ready:
			var more bool
			if d.err == nil {
				more = yield(&d.exit, nil)
			} else {
				more = l.yieldError(yield, d.err)
			}
			l.free <- d
			if !more {
				return
			}
		case <-ctx.Done():
			l.yieldError(yield, exitsFailed(ctx.Err()))
			return
		}
	}
}

// pump receives from one socket until ctx is done or an error ends it.
func (l *Listener) pump(ctx context.Context, s *listenSocket) {
	for {
		select {
		case d := <-l.free:
			d.err = s.receive(ctx, &d.exit)
			last := d.err != nil && !gnl.GoesOn(d.err)
			if last && ctx.Err() != nil {
				l.free <- d // merge knows
				return
			}
			l.ready <- d
			if last {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

var (
	errOverrun  = exitsFailed(gnl.ErrOverrun)
	errClosed   = exitsFailed(net.ErrClosed)
	errNoRecord = fmt.Errorf("%w: the record of the task is missing", netlink.ErrMalformed)
)

func exitsFailed(err error) error { return &Error{What: "exits", Err: err} }

func malformed(err error) error { return fmt.Errorf("%w: %w", netlink.ErrMalformed, err) }

// cmdNew is TASKSTATS_CMD_NEW.
const cmdNew = 2

// receive waits for an exit and decodes it into e.
func (s *listenSocket) receive(ctx context.Context, e *Exit) error {
	for {
		if err := s.conn.ReceiveInto(ctx, &s.message); err != nil {
			switch {
			case errors.Is(err, gnl.ErrOverrun):
				return errOverrun
			case errors.Is(err, net.ErrClosed):
				return errClosed
			case ctx.Err() != nil:
				return exitsFailed(ctx.Err())
			}
			return exitsFailed(err)
		}
		if s.message.Family != family || s.message.Command != cmdNew {
			continue
		}
		if err := e.decode(&s.records, s.message.Attributes); err != nil {
			return exitsFailed(err)
		}
		return nil
	}
}

// exitMessage is what the kernel sends (TASKSTATS_TYPE_*).
type exitMessage struct {
	Task  record `nl:"4"`
	Group record `nl:"5"`
}

type record struct {
	PID   uint32 `nl:"1"`
	TGID  uint32 `nl:"2"`
	Stats []byte `nl:"3,view"`
}

// decode decodes what the kernel sent; m is memory for it.
func (e *Exit) decode(m *exitMessage, attributes []byte) error {
	if err := attr.Unmarshal(attributes, m); err != nil {
		return malformed(err)
	}
	if m.Task.Stats == nil {
		return errNoRecord
	}
	if err := e.Task.decode(m.Task.Stats, 0); err != nil {
		return malformed(err)
	}
	e.Task.Group = false
	if m.Group.Stats == nil {
		if e.HasGroup {
			e.Group, e.HasGroup = Stats{}, false
		}
		return nil
	}
	// Before April 2026 the kernel left the version out of this one.
	if err := e.Group.decode(m.Group.Stats, e.Task.Version); err != nil {
		return malformed(err)
	}
	e.Group.Group, e.Group.TGID, e.HasGroup = true, int(m.Group.TGID), true
	return nil
}
