package gnl

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/gnlgo/gnl/internal/unix"
	"github.com/gnlgo/gnl/netlink"
)

// ConnConfig says how a pinned Conn is to be. The zero ConnConfig is right for
// most.
type ConnConfig struct {
	// ReceiveBuffer is how many bytes the kernel may queue (see
	// netlink.Config). Zero is the Client's setting.
	ReceiveBuffer int
	// Datagrams is how many one system call may take, and MessageSize the
	// largest of them (see netlink.Config). Zero is the Client's setting.
	Datagrams   int
	MessageSize int
}

// Conn is one socket, for what the kernel binds to a port id: a TASKSTATS
// listener, the owner of an nl80211 interface. Requests can be made on it, as
// on a Client, and it receives what the kernel sends to its port unasked, and
// to groups that it joined.
//
// What is an answer and what an event is decided by port id and sequence
// number; events that come while a request is under way are kept for Receive.
//
// A Conn is safe for concurrent use. Requests take turns, and interrupt a
// Receive that waits. So do not make one within a loop over a dump on the same
// Conn: it would wait for the dump's end. One that is given up before its end (a
// cancelled context, a dump left early) breaks the Conn: its answers may still
// come.
type Conn struct {
	owner *Client
	s     *socket
	turn  chan struct{} // holds a token while somebody uses s

	mu        sync.Mutex // guards what follows
	waiting   int        // requests that want the turn
	interrupt func()     // ends the wait of a Receive; nil if none waits
	events    []*Message // that came during requests
}

// Conn opens a socket of its own, apart from the pool and from MaxConns. A nil
// config is the zero ConnConfig. It must be closed.
func (c *Client) Conn(ctx context.Context, config *ConnConfig) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("gnl: %w", err)
	}
	if c.pool.isClosed() {
		return nil, fmt.Errorf("gnl: %w", net.ErrClosed)
	}
	cfg := c.config.Socket
	if config != nil {
		if config.ReceiveBuffer != 0 {
			cfg.ReceiveBuffer = config.ReceiveBuffer
		}
		if config.Datagrams != 0 {
			cfg.Datagrams = config.Datagrams
		}
		if config.MessageSize != 0 {
			cfg.MessageSize = config.MessageSize
		}
	}
	nc, err := c.config.Dial(&cfg)
	if err != nil {
		return nil, fmt.Errorf("gnl: %w", err)
	}
	conn := &Conn{owner: c, s: &socket{conn: nc}, turn: make(chan struct{}, 1)}
	conn.s.event = func(m *netlink.Message) {
		if v, ok := conn.eventView(m); ok {
			conn.mu.Lock()
			conn.events = append(conn.events, v.Clone())
			conn.mu.Unlock()
		}
	}
	return conn, nil
}

// Close closes the socket. What waits on it ends with net.ErrClosed.
func (c *Conn) Close() error { return c.s.conn.Close() }

// PortID is the socket's address.
func (c *Conn) PortID() uint32 { return c.s.conn.PortID() }

func (c *Conn) client() *Client { return c.owner }

// socket waits for the turn. A Receive that has it and waits is interrupted.
func (c *Conn) socket(ctx context.Context) (*socket, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.waiting++
	if c.interrupt != nil {
		c.interrupt()
	}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.waiting--
		c.mu.Unlock()
	}()
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c.s.broken {
		<-c.turn
		return nil, errGivenUp
	}
	return c.s, nil
}

var errGivenUp = fmt.Errorf("the Conn was given up: an earlier request was left before its end: %w", net.ErrClosed)

func (c *Conn) release(s *socket, fit bool) {
	if !fit || s.broken {
		c.s.broken = true
		c.s.conn.Close()
	}
	<-c.turn
}

// Do makes a raw request, as [Client.Do] does.
func (c *Conn) Do(ctx context.Context, request Request) ([]Message, error) {
	return doRaw(ctx, c, &request)
}

// Dump makes a raw request for all there is, as [Client.Dump] does.
func (c *Conn) Dump(ctx context.Context, request Request) iter.Seq2[*Message, error] {
	return answersRaw(ctx, c, &request, true)
}

// Join makes the Conn a member of a family's multicast group.
func (c *Conn) Join(ctx context.Context, family, group string) error {
	id, err := c.owner.groupID(ctx, family, group)
	if err != nil {
		return err
	}
	s, err := c.socket(ctx)
	if err != nil {
		return c.member(family, group, err)
	}
	defer c.release(s, true)
	return c.member(family, group, s.conn.Join(id))
}

// Leave ends the membership.
func (c *Conn) Leave(ctx context.Context, family, group string) error {
	id, err := c.owner.groupID(ctx, family, group)
	if err != nil {
		return err
	}
	s, err := c.socket(ctx)
	if err != nil {
		return c.member(family, group, err)
	}
	defer c.release(s, true)
	return c.member(family, group, s.conn.Leave(id))
}

func (c *Conn) member(family, group string, err error) error {
	if err != nil {
		return groupError(family, group, err)
	}
	return nil
}

func groupError(family, group string, err error) error {
	if errors.Is(err, unix.EPERM) {
		err = fmt.Errorf("needs CAP_NET_ADMIN: %w", err)
	}
	return &Error{Family: family, Command: "group " + group, Err: err}
}

// Receive returns the next event: a message that answers none of this Conn's
// requests. It waits until ctx is done. ErrOverrun says that events were lost;
// the Conn goes on.
func (c *Conn) Receive(ctx context.Context) (*Message, error) {
	m := new(Message)
	if err := c.ReceiveInto(ctx, m); err != nil {
		return nil, err
	}
	return m, nil
}

// ReceiveInto is [Conn.Receive] into the caller's memory.
func (c *Conn) ReceiveInto(ctx context.Context, m *Message) error {
	for {
		again, err := c.receive(ctx, m)
		if err != nil {
			return fmt.Errorf("gnl: %w", err)
		}
		if !again {
			return nil
		}
	}
}

// receive takes the turn and waits for an event, until a request wants the turn.
func (c *Conn) receive(ctx context.Context, m *Message) (again bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { <-c.turn }()

	if c.s.overran {
		c.s.overran = false
		return false, ErrOverrun
	}
	c.mu.Lock()
	if len(c.events) > 0 {
		m.set(c.events[0])
		c.events = c.events[1:]
		c.mu.Unlock()
		return false, nil
	}
	waitCtx, cancel := ctx, context.CancelFunc(nil)
	if !c.s.conn.Buffered() {
		waitCtx, cancel = context.WithCancel(ctx)
		defer cancel()
		if c.waiting > 0 {
			cancel()
		}
		c.interrupt = cancel
		defer func() {
			c.mu.Lock()
			c.interrupt = nil
			c.mu.Unlock()
		}()
	}
	c.mu.Unlock()

	n, err := c.s.conn.Receive(waitCtx)
	switch {
	case err == nil:
		v, ok := c.eventView(n)
		if ok {
			m.set(&v)
		}
		return !ok, nil
	case errors.Is(err, context.Canceled) && ctx.Err() == nil:
		return true, nil
	}
	return false, err
}

// eventView returns n as a Message; false for what is no event: a late ack, and
// the answer to a request that has been given up.
func (c *Conn) eventView(n *netlink.Message) (m Message, ok bool) {
	if n.Type < netlink.MinType || n.PortID == c.PortID() && slices.Contains(c.s.forgotten, n.Sequence) {
		return m, false
	}
	name, headerSize := c.owner.familyOf(n.Type)
	if len(n.Data) < genlHeaderLen+headerSize {
		return m, false
	}
	m.view(n, name, headerSize)
	return m, true
}

// familyOf finds what is known of the family that has an id.
func (c *Client) familyOf(id uint16) (name string, headerSize int) {
	for name, f := range *c.families.Load() {
		if f.id == id {
			return name, f.headerSize
		}
	}
	return "", 0
}

// groupID resolves a group, anew each time, and remembers its family.
func (c *Client) groupID(ctx context.Context, family, group string) (uint32, error) {
	f, err := c.Family(ctx, family)
	if err != nil {
		return 0, err
	}
	c.remember(family, &familyID{id: f.ID, headerSize: align(int(f.HeaderSize))})
	g, ok := f.Group(group)
	if !ok {
		var names []string
		for _, g := range f.Groups {
			names = append(names, g.Name)
		}
		has := "it has none"
		if len(names) > 0 {
			has = "it has " + strings.Join(names, ", ")
		}
		return 0, &Error{Family: family, Err: fmt.Errorf("%w %q: %s", ErrNoGroup, group, has)}
	}
	return g.ID, nil
}

// ErrNoGroup: a family has no multicast group of the name given.
var ErrNoGroup = errors.New("no multicast group")
