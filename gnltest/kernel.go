package gnltest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/internal/unix"
	"github.com/gnlgo/gnl/netlink"
)

// Kernel is a generic netlink kernel in the process. It is safe for concurrent
// use.
type Kernel struct {
	tb   testing.TB // nil if it was opened without one
	file *os.File   // the socket, in Go's poller
	port uint32

	ctx    context.Context // done when the Kernel closes
	cancel context.CancelFunc
	work   sync.WaitGroup // the reader, and those who answer

	intercept     atomic.Pointer[func(*Request, func() error) error]
	dumpOnlyFixed atomic.Bool // GETPOLICY files dump-only policies under their command

	messages exchanged

	mu       sync.Mutex // guards what follows
	closed   bool
	registry registry
	groups   groups
	peers    map[uint32]*peer // by port
	clients  []*gnl.Client
}

// peer is a socket that talks to the Kernel.
type peer struct {
	port   uint32
	ctx    context.Context // done when the socket is found to be gone
	cancel context.CancelFunc

	// Guarded by Kernel.mu.
	queue   [][]byte // datagrams to be handled
	serving bool     // a goroutine is at them
	dumping bool     // a dump has not come to its end
	served  bool     // something was sent to it
	size    int      // of its receive buffer; 0 is unknown
}

// NewKernel starts a Kernel that ends with the test: all its goroutines, and
// the clients made by [Kernel.Client]. The test fails at once if the system has
// no netlink sockets.
func NewKernel(tb testing.TB) *Kernel {
	tb.Helper()
	k, err := Open()
	if err != nil {
		tb.Fatal(err)
	}
	k.tb = tb
	tb.Cleanup(func() { k.Close() })
	return k
}

// Open starts a Kernel outside of a test. It must be closed.
func Open() (*Kernel, error) {
	fd, port, err := unix.ServerSocket(netlink.UserSock)
	if err != nil {
		return nil, fmt.Errorf("gnltest: open a socket to answer on: %w", err)
	}
	// What clients send while the reader is busy must fit: a real kernel never
	// makes them wait. The system may grant less.
	if err := unix.SetReceiveBuffer(fd, 16<<20); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("gnltest: %w", err)
	}
	k := &Kernel{file: os.NewFile(uintptr(fd), "gnltest"), port: port, peers: map[uint32]*peer{}}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	k.registry.init()
	k.Register(k.controller())
	k.work.Add(1)
	go k.serve()
	return k, nil
}

// Close ends the Kernel and the clients made by [Kernel.Client]. It waits for
// the handlers that still run, so those that wait for something must watch
// [Request.Context]; what they answer then is not sent any more. Requests made
// later fail with ECONNREFUSED.
func (k *Kernel) Close() error {
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		return nil
	}
	k.closed = true
	clients := k.clients
	k.clients = nil
	k.mu.Unlock()

	for _, c := range clients {
		c.Close()
	}
	k.cancel()
	k.file.SetReadDeadline(time.Unix(1, 0))
	k.work.Wait()
	k.groups.close()
	return k.file.Close()
}

// PortID is the address of the Kernel, for those who dial it themselves
// (netlink.Config.Peer, over the protocol netlink.UserSock).
func (k *Kernel) PortID() uint32 { return k.port }

// Config is a [gnl.Config] whose Client talks to the Kernel instead of the real
// one. Other fields may be set as wanted.
func (k *Kernel) Config() *gnl.Config { return &gnl.Config{Dial: k.Dial} }

// Client opens a Client that talks to the Kernel. It is closed together with
// the Kernel. Should that fail, the test does, or, without one, Client panics.
func (k *Kernel) Client() *gnl.Client {
	c, err := gnl.Open(k.Config())
	if err != nil {
		k.fatal(err)
	}
	k.mu.Lock()
	k.clients = append(k.clients, c)
	k.mu.Unlock()
	return c
}

// Dial opens a socket that is connected to the Kernel. A nil config is the zero
// netlink.Config. The config's namespace is ignored. Once the Kernel is closed
// it fails with net.ErrClosed.
func (k *Kernel) Dial(config *netlink.Config) (*netlink.Conn, error) {
	var cfg netlink.Config
	if config != nil {
		cfg = *config
	}
	k.mu.Lock()
	closed := k.closed
	k.mu.Unlock()
	if closed { // its port may be somebody else's by now
		return nil, fmt.Errorf("gnltest: dial: the kernel has been closed: %w", net.ErrClosed)
	}
	cfg.Peer, cfg.Namespace, cfg.Trace = k.port, nil, k.messages.traced(cfg.Trace)
	c, err := netlink.Dial(netlink.UserSock, &cfg)
	if err != nil {
		return nil, err
	}
	if cfg.MessageSize == 0 {
		cfg.MessageSize = netlink.DefaultMessageSize
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.peers[c.PortID()] = k.newPeer(c.PortID(), cfg.MessageSize)
	return c, nil
}

func (k *Kernel) newPeer(port uint32, size int) *peer {
	p := &peer{port: port, size: size}
	p.ctx, p.cancel = context.WithCancel(k.ctx)
	return p
}

// Intercept puts f before everything that handles requests, those to nlctrl
// included: what f returns is what the request ends with. Calling handle does
// what would have been done without f and returns its outcome. f is called from
// several goroutines at once if there are several sockets. Nil removes it.
//
//	k.Intercept(func(r *gnltest.Request, handle func() error) error {
//		time.Sleep(time.Millisecond) // a slow kernel
//		return handle()
//	})
func (k *Kernel) Intercept(f func(r *Request, handle func() error) error) {
	if f == nil {
		k.intercept.Store(nil)
		return
	}
	k.intercept.Store(&f)
}

// fatal ends the test; without one it panics.
func (k *Kernel) fatal(err error) {
	if k.tb == nil {
		panic(err)
	}
	k.tb.Helper()
	k.tb.Fatal(err)
}

// serve takes what sockets send and passes it on to a goroutine a socket, as
// the kernel carries out the requests of different sockets at the same time.
func (k *Kernel) serve() {
	defer k.work.Done()
	raw, err := k.file.SyscallConn()
	if err != nil {
		return
	}
	for {
		var b []byte
		var from, groups uint32
		var err error
		if raw.Read(func(fd uintptr) bool {
			b, from, groups, err = unix.ReceiveWhole(int(fd))
			return err != unix.EAGAIN
		}) != nil {
			return // closed
		}
		if err != nil || groups != 0 {
			continue // interrupted, or another Kernel's event
		}
		k.messages.received()
		k.mu.Lock()
		p := k.peers[from]
		if p == nil {
			p = k.newPeer(from, 0)
			k.peers[from] = p
		}
		p.queue = append(p.queue, b)
		if !p.serving {
			p.serving = true
			k.work.Add(1)
			go k.servePeer(p)
		}
		k.mu.Unlock()
	}
}

// servePeer handles the datagrams of one socket, in order.
func (k *Kernel) servePeer(p *peer) {
	defer k.work.Done()
	for {
		k.mu.Lock()
		if len(p.queue) == 0 || k.ctx.Err() != nil {
			p.serving = false
			k.mu.Unlock()
			return
		}
		b := p.queue[0]
		p.queue = p.queue[1:]
		k.mu.Unlock()
		k.receive(p, b)
	}
}

// receive handles the messages of one datagram, as netlink_rcv_skb does.
func (k *Kernel) receive(p *peer, b []byte) {
	for len(b) >= netlink.HeaderLen {
		m, rest, err := netlink.ParseMessage(b)
		if err != nil {
			return
		}
		r := &Request{kernel: k, peer: p, raw: b[:m.Length:m.Length]}
		r.Header = m.Header
		if m.Flags&netlink.FlagRequest == 0 || m.Type < netlink.MinType {
			r.end(nil)
		} else {
			k.dispatch(r, m.Data)
		}
		b = rest
	}
}

// dispatch finds out what is to do for a request, as genl_rcv_msg does, and
// does it: a dump in a goroutine of its own, since requests that come meanwhile
// are answered between its parts.
func (k *Kernel) dispatch(r *Request, payload []byte) {
	run, err := k.lookUp(r, payload)
	handle := func() error {
		if err != nil {
			return Refuse(err)
		}
		return run()
	}
	if f := k.intercept.Load(); f != nil {
		inner := handle
		handle = func() error { return (*f)(r, inner) }
	}
	if !r.dump {
		r.end(handle())
		return
	}
	k.mu.Lock()
	busy := r.peer.dumping
	r.peer.dumping = true
	k.mu.Unlock()
	if busy {
		r.end(Refuse(unix.EBUSY))
		return
	}
	k.work.Add(1)
	go func() {
		defer k.work.Done()
		r.end(handle())
	}()
}

// sendTo makes the system call.
func (k *Kernel) sendTo(b []byte, port, groups uint32) (err error) {
	k.messages.sent()
	raw, err := k.file.SyscallConn()
	if err != nil {
		return err
	}
	controlErr := raw.Control(func(fd uintptr) {
		for {
			if err = unix.SendTo(int(fd), b, port, groups); err != unix.EINTR {
				return
			}
		}
	})
	return errors.Join(controlErr, err)
}

// deliver sends a datagram to a socket. Where its receive buffer is full, a
// datagram that must arrive waits, as the next part of a dump does; any other is
// lost, and the socket learns that by ENOBUFS. Without the privilege for that,
// all wait.
func (k *Kernel) deliver(p *peer, b []byte, mustArrive bool) {
	for k.ctx.Err() == nil {
		err := k.sendTo(b, p.port, 0)
		switch {
		case err == nil:
			k.mu.Lock()
			p.served = true
			k.mu.Unlock()
			return
		case errors.Is(err, unix.ECONNREFUSED):
			k.forget(p)
			return
		case k.ctx.Err() != nil:
			return
		case !errors.Is(err, unix.EAGAIN):
			panic(fmt.Errorf("gnltest: send a datagram of %d bytes: %w", len(b), err))
		}
		if !mustArrive {
			if lost, err := k.overflow(p.port); lost && err == nil {
				return
			}
		}
		select {
		case <-p.ctx.Done():
			return
		case <-time.After(100 * time.Microsecond):
		}
	}
}

// forget drops a socket that is no more.
func (k *Kernel) forget(p *peer) {
	p.cancel()
	k.mu.Lock()
	if k.peers[p.port] == p {
		delete(k.peers, p.port)
	}
	k.mu.Unlock()
}

// Unicast sends messages, unasked, to the socket that has a port, as one
// datagram. Lengths that are 0 are filled in, and padding is put between the
// messages. [Kernel.Event] makes messages.
func (k *Kernel) Unicast(port uint32, messages ...netlink.Message) {
	k.UnicastBytes(port, appendMessages(nil, messages))
}

// UnicastBytes is [Kernel.Unicast] with a datagram of any bytes.
func (k *Kernel) UnicastBytes(port uint32, b []byte) {
	k.mu.Lock()
	p := k.peers[port]
	if p == nil {
		p = k.newPeer(port, 0)
		defer p.cancel()
	}
	k.mu.Unlock()
	k.deliver(p, b, false)
}
