package netlink

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/gnlgo/gnl/internal/unix"
)

// DefaultMessageSize is the largest datagram received unless Config says
// otherwise. The kernel never makes a dump's datagrams larger than 32 KiB, and
// makes them no larger than the receiver has shown to take.
const DefaultMessageSize = 32 << 10

// Config says how a socket is to be. The zero Config is right for most.
type Config struct {
	// Namespace is the network namespace that the socket is opened in. Nil is
	// the caller's own. Entering another one needs CAP_SYS_ADMIN.
	Namespace *Namespace

	// ReceiveBuffer is how many bytes the kernel may queue for the socket
	// (SO_RCVBUF). Zero leaves the system's default, net.core.rmem_default. More
	// than net.core.rmem_max is granted only with CAP_NET_ADMIN; without it the
	// socket gets the most allowed. Replies need little; sockets that listen
	// want megabytes, since what does not fit is lost (ErrOverrun).
	ReceiveBuffer int

	// MessageSize is the largest datagram that can be received. Zero is
	// DefaultMessageSize. A larger datagram is ErrTruncated.
	MessageSize int

	// Datagrams is how many datagrams one system call may take, each into
	// memory of its own of MessageSize bytes. Zero and one are the same.
	// Sockets that drain many events gain from 16 to 64.
	Datagrams int

	// Strict asks the kernel to check requests strictly
	// (NETLINK_GET_STRICT_CHK): to refuse unknown attributes and filters in
	// dumps that old kernels would have ignored.
	Strict bool

	// Peer is the port to connect to. Zero is the kernel, which is what
	// everybody wants but tests with a kernel of their own (see package gnltest).
	Peer uint32

	// Trace, if set, is called with every message sent and received, in order.
	// The message's data is only valid during the call, which may come from any
	// goroutine that uses the socket.
	Trace func(Direction, Message)
}

// Direction tells a message sent from one received.
type Direction uint8

const (
	Sent Direction = iota
	Received
)

// String is "sent" or "received".
func (d Direction) String() string {
	if d == Sent {
		return "sent"
	}
	return "received"
}

// Conn is one netlink socket, connected to the kernel: what other processes
// send to its port is refused by the kernel. Extended and capped acks are
// switched on.
//
// A Conn serves one goroutine at a time; only Close may be called at any time
// by any. It joins Go's poller only once it has had to wait: the kernel answers
// most requests before the send returns.
type Conn struct {
	fd     int
	port   uint32
	seq    uint32
	peer   uint32
	trace  func(Direction, Message)
	groups bool // a member of a group: senders must be checked
	dump   bool // one may be under way

	size      int    // of the largest datagram
	buf       []byte // of one datagram
	atOnce    int    // how many datagrams a system call may take: more than 1 go into datagrams
	datagrams *unix.Datagrams
	queued    int    // datagrams received together
	next      int    // the first of them that has not been looked at
	datagram  []byte // the current one
	at        int    // where its next message begins
	early     error  // of a receive that was made before it was asked for
	message   Message

	strangers uint64

	// Users of fd, and closedBit once Close has been called. The last user
	// closes fd, so that nobody can meet its number in use by something else.
	users atomic.Int64
	file  atomic.Pointer[os.File] // fd in Go's poller; nil until the first wait
}

const closedBit = 1 << 32

// Dial opens a socket of a netlink protocol. A nil Config is the zero Config.
func Dial(protocol int, config *Config) (*Conn, error) {
	var cfg Config
	if config != nil {
		cfg = *config
	}
	if cfg.MessageSize == 0 {
		cfg.MessageSize = DefaultMessageSize
	}
	switch {
	case cfg.MessageSize < HeaderLen:
		return nil, fmt.Errorf("netlink: config: MessageSize %d holds no message: they have %d bytes at least", cfg.MessageSize, HeaderLen)
	case cfg.ReceiveBuffer < 0:
		return nil, fmt.Errorf("netlink: config: ReceiveBuffer is %d bytes", cfg.ReceiveBuffer)
	case cfg.Datagrams < 0:
		return nil, fmt.Errorf("netlink: config: Datagrams is %d", cfg.Datagrams)
	}
	// The kernel gives a port that was closed to the next socket. What still
	// comes for the old one must not look like an answer: begin anywhere.
	c := &Conn{peer: cfg.Peer, trace: cfg.Trace, seq: rand.Uint32()}
	if err := cfg.Namespace.Do(func() (err error) {
		c.fd, c.port, err = unix.NetlinkSocket(protocol, cfg.Peer)
		return err
	}); err != nil {
		return nil, fmt.Errorf("netlink: open socket of protocol %d: %w", protocol, err)
	}
	if err := c.setup(&cfg); err != nil {
		unix.Close(c.fd)
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return c, nil
}

func (c *Conn) setup(cfg *Config) error {
	if err := unix.SetNetlinkOption(c.fd, unix.NetlinkExtAck, 1); err != nil {
		return fmt.Errorf("switch on extended acks (Linux 4.12): %w", err)
	}
	if err := unix.SetNetlinkOption(c.fd, unix.NetlinkCapAck, 1); err != nil {
		return fmt.Errorf("switch on capped acks (Linux 4.3): %w", err)
	}
	if cfg.Strict {
		if err := unix.SetNetlinkOption(c.fd, unix.NetlinkGetStrictChk, 1); err != nil {
			return fmt.Errorf("switch on strict checking (Linux 4.20): %w", err)
		}
	}
	if cfg.ReceiveBuffer > 0 {
		if err := unix.SetReceiveBuffer(c.fd, cfg.ReceiveBuffer); err != nil {
			return fmt.Errorf("set the receive buffer to %d bytes: %w", cfg.ReceiveBuffer, err)
		}
	}
	c.size = cfg.MessageSize
	c.SetDatagrams(cfg.Datagrams)
	return nil
}

// SetDatagrams changes how many datagrams one system call may take (see
// Config.Datagrams), for a time when many are to come. What has been received
// already is not lost. It returns how many it was before.
func (c *Conn) SetDatagrams(n int) (before int) {
	before = c.atOnce
	switch c.atOnce = max(n, 1); {
	case c.atOnce == 1 && c.buf == nil:
		c.buf = make([]byte, c.size)
	case c.atOnce > 1 && (c.datagrams == nil || c.datagrams.Len() < n) && c.next == c.queued:
		c.datagrams = unix.NewDatagrams(n, c.size)
	case c.atOnce > 1:
		c.atOnce = min(c.atOnce, c.datagrams.Len())
	}
	return before
}

// PortID is the socket's address, given by the kernel.
func (c *Conn) PortID() uint32 { return c.port }

// Strangers is how many datagrams were dropped because neither the kernel nor
// Config.Peer had sent them.
func (c *Conn) Strangers() uint64 { return c.strangers }

// ReceiveBuffer is how many bytes the kernel may queue for the socket. Linux
// gives twice what was asked for, and counts its own overhead in.
func (c *Conn) ReceiveBuffer() (int, error) {
	if err := c.acquire(); err != nil {
		return 0, err
	}
	defer c.release()
	return unix.ReceiveBuffer(c.fd)
}

// Join makes the socket a member of a multicast group.
func (c *Conn) Join(group uint32) error {
	err := c.member(unix.NetlinkAddMembership, "join", group)
	c.groups = c.groups || err == nil
	return err
}

// Leave ends a membership.
func (c *Conn) Leave(group uint32) error {
	return c.member(unix.NetlinkDropMembership, "leave", group)
}

func (c *Conn) member(option int, verb string, group uint32) error {
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	if err := unix.SetNetlinkOption(c.fd, option, int(group)); err != nil {
		return fmt.Errorf("netlink: %s multicast group %d: %w", verb, group, err)
	}
	return nil
}

// Send sends the messages in b, made by [AppendMessage], with one system call.
// It gives them consecutive sequence numbers, never 0, and returns the first.
// When it returns, the kernel has carried them out, but for what it does in
// the background.
func (c *Conn) Send(b []byte) (sequence uint32, err error) {
	if err := c.acquire(); err != nil {
		return 0, err
	}
	defer c.release()
	return c.send(b)
}

// request is Send followed at once by the first receive: the answer is there.
// It saves to ask twice whether the socket is still open.
func (c *Conn) request(b []byte) (sequence uint32, err error) {
	if err := c.acquire(); err != nil {
		return 0, err
	}
	defer c.release()
	sequence, err = c.send(b)
	if err == nil && !c.Buffered() && c.early == nil {
		if err := c.receive(); err != unix.EAGAIN {
			c.early = err
		}
	}
	return sequence, err
}

func (c *Conn) send(b []byte) (sequence uint32, err error) {
	sequence = c.seq + 1
	if sequence == 0 || sequence > 0xffff0000 { // a number must not come twice within one send
		sequence = 1
	}
	next := sequence
	for rest := b; len(rest) > 0; {
		if len(rest) < HeaderLen {
			return 0, fmt.Errorf("netlink: send: %w: %d bytes where a header of %d should be", ErrMalformed, len(rest), HeaderLen)
		}
		n := int(binary.NativeEndian.Uint32(rest))
		if n < HeaderLen || n > len(rest) {
			return 0, fmt.Errorf("netlink: send: %w: length %d with %d bytes left", ErrMalformed, n, len(rest))
		}
		if Flags(binary.NativeEndian.Uint16(rest[6:]))&FlagDump == FlagDump {
			c.dump = true
		}
		binary.NativeEndian.PutUint32(rest[8:], next)
		binary.NativeEndian.PutUint32(rest[12:], c.port)
		next++
		if c.trace != nil {
			m, _, _ := ParseMessage(rest)
			c.trace(Sent, m)
		}
		if n = align(n); n >= len(rest) {
			break
		}
		rest = rest[n:]
	}
	c.seq = next - 1
	for {
		err := unix.Send(c.fd, b)
		if err == nil {
			return sequence, nil
		}
		if err != unix.EINTR {
			return 0, fmt.Errorf("netlink: send: %w", err)
		}
	}
}

// Receive returns the next message, whatever it is: a reply, an ack, an
// event. Only TypeNoop is passed over. The message is the Conn's own, and its
// data a view of the socket's buffer: both are valid until the next call.
//
// While there is none it waits, until ctx is done or the Conn is closed
// (net.ErrClosed). After ErrOverrun, ErrTruncated and ErrMalformed the socket
// goes on with what comes next.
func (c *Conn) Receive(ctx context.Context) (*Message, error) {
	m := &c.message
	if c.users.Load()&closedBit != 0 {
		return nil, net.ErrClosed
	}
	for {
		if c.at >= len(c.datagram) {
			if err := c.advance(ctx); err != nil {
				return nil, err
			}
			continue // a datagram may be empty
		}
		next := m.parse(c.datagram, c.at)
		if next == 0 {
			_, _, err := ParseMessage(c.datagram[c.at:])
			c.at = len(c.datagram)
			return nil, fmt.Errorf("netlink: receive: %w", err)
		}
		c.at = next
		if c.trace != nil {
			c.trace(Received, *m)
		}
		switch m.Type {
		case TypeNoop:
			continue
		case TypeOverrun:
			return nil, errOverrun
		case TypeDone:
			c.dump = false
		}
		return m, nil
	}
}

var (
	errOverrun   = fmt.Errorf("netlink: receive: %w", ErrOverrun)
	errTruncated = fmt.Errorf("netlink: receive: %w", ErrTruncated)
)

// Buffered reports whether Receive has a message without a system call.
func (c *Conn) Buffered() bool { return c.at < len(c.datagram) || c.next < c.queued }

// advance makes datagram the next one, which may turn out empty.
func (c *Conn) advance(ctx context.Context) error {
	if c.next < c.queued {
		return c.take()
	}
	return c.fill(ctx)
}

// fill is advance by a system call.
func (c *Conn) fill(ctx context.Context) error {
	err := c.early
	c.early = nil
	if err == nil {
		if err := c.acquire(); err != nil {
			return err
		}
		defer c.release()
		if err = c.receive(); err == unix.EAGAIN {
			err = c.wait(ctx)
		}
	}
	switch {
	case err == nil && c.next < c.queued:
		return c.take()
	case err == unix.ENOBUFS:
		return errOverrun
	}
	if _, ok := err.(unix.Errno); ok {
		return fmt.Errorf("netlink: receive: %w", err)
	}
	return err
}

// receive makes the system call, once.
func (c *Conn) receive() error {
	for {
		err := c.receiveOnce()
		if err != unix.EINTR {
			return err
		}
	}
}

func (c *Conn) receiveOnce() error {
	if c.atOnce > 1 {
		c.datagrams.Senders(c.groups)
		n, err := c.datagrams.Receive(c.fd, c.atOnce)
		c.next, c.queued = 0, n
		return err
	}
	var n int
	var err error
	sender := c.peer
	switch {
	case c.groups:
		n, err = unix.Receive(c.fd, c.buf, &sender)
	case c.dump:
		n, err = unix.Receive(c.fd, c.buf, nil)
	default:
		n, err = unix.ReceiveQueued(c.fd, c.buf)
	}
	switch {
	case err != nil:
		return err
	case sender != c.peer:
		c.strangers++
		return unix.EINTR // again
	case n > len(c.buf):
		return errTruncated
	}
	c.datagram, c.at = c.buf[:n], 0
	return nil
}

// take makes datagram the next of the datagrams received together.
func (c *Conn) take() error {
	b, from, truncated := c.datagrams.At(c.next)
	c.next++
	switch {
	case c.groups && from != c.peer:
		c.strangers++
	case truncated:
		return errTruncated
	default:
		c.datagram, c.at = b, 0
	}
	return nil
}

var longAgo = time.Unix(1, 0)

// wait is receive once there is something, or what ended the wait.
func (c *Conn) wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f := c.file.Load()
	if f == nil {
		f = os.NewFile(uintptr(c.fd), "netlink")
		c.file.Store(f)
	}
	if c.users.Load()&closedBit != 0 {
		return net.ErrClosed // Close came before it could see the file
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	if ctx.Done() != nil {
		woken := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			f.SetReadDeadline(longAgo)
			close(woken)
		})
		defer func() {
			if !stop() {
				<-woken
				f.SetReadDeadline(time.Time{})
			}
		}()
	}
	waitErr := raw.Read(func(uintptr) bool {
		err = c.receive()
		return err != unix.EAGAIN
	})
	switch {
	case waitErr == nil:
		return err
	case c.users.Load()&closedBit != 0:
		return net.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return waitErr
}

// Close closes the socket. A Receive that waits ends with net.ErrClosed.
// Closing twice does no harm.
func (c *Conn) Close() error {
	if c.users.Or(closedBit)&closedBit != 0 {
		return nil
	}
	c.users.Add(1)
	if f := c.file.Load(); f != nil {
		f.SetReadDeadline(longAgo)
	}
	c.release()
	return nil
}

// acquire keeps fd open until release.
func (c *Conn) acquire() error {
	if c.users.Add(1)&closedBit != 0 {
		c.release()
		return net.ErrClosed
	}
	return nil
}

func (c *Conn) release() {
	if c.users.Add(-1) != closedBit {
		return
	}
	// The last one out. No acquire can succeed any more, but one may come and
	// go, so only the first to swap the count closes.
	if !c.users.CompareAndSwap(closedBit, closedBit<<1|closedBit) {
		return
	}
	if f := c.file.Load(); f != nil {
		f.Close()
	} else {
		unix.Close(c.fd)
	}
}
