package gnl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gnlgo/gnl/netlink"
)

// socket is a netlink socket together with the memory for its requests.
type socket struct {
	conn      *netlink.Conn
	request   []byte                 // the last one, for the explanation of errors
	event     func(*netlink.Message) // receives what is no answer; nil: such is dropped
	broken    bool                   // answers that nobody waits for may still come
	overran   bool                   // during a request, so that events may have been lost with its answer
	forgotten []uint32               // sequence numbers of requests whose answers were lost, should they still come
	room      int                    // of the receive buffer in bytes; 0: not asked yet
}

// pool lends sockets, those used lately first, and opens up to max. Those who
// wait are served in the order of their coming.
type pool struct {
	dial func() (*netlink.Conn, error)
	max  int

	// spare is an idle socket that is lent and taken back without the lock,
	// as long as nobody is in need: waits, or wants the pool closed.
	spare  atomic.Pointer[socket]
	inNeed atomic.Bool // changes with mu held

	mu      sync.Mutex // guards what follows
	idle    []*socket
	open    []*socket // all there are, lent or idle
	dialing int       // places taken by sockets that are being opened
	waiting []chan *socket
	closed  bool
}

// forget notes requests whose answers were lost. The last ones are enough: an
// answer does not come after so many others.
func (s *socket) forget(sequences ...uint32) {
	s.forgotten = append(s.forgotten, sequences...)
	if n := len(s.forgotten); n > 256 {
		s.forgotten = slices.Clone(s.forgotten[n-256:])
	}
}

// get lends a socket. It waits while max are lent.
func (p *pool) get(ctx context.Context) (*socket, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s := p.spare.Swap(nil); s != nil {
		return s, nil
	}
	p.mu.Lock()
	switch n := len(p.idle); {
	case p.dial == nil:
		p.mu.Unlock()
		return nil, errors.New("the Client was not made by Open")
	case p.closed:
		p.mu.Unlock()
		return nil, net.ErrClosed
	case n > 0:
		s := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return s, nil
	case len(p.open)+p.dialing < p.max:
		p.dialing++
		p.mu.Unlock()
		return p.add()
	}
	turn := make(chan *socket, 1)
	p.waiting = append(p.waiting, turn)
	p.inNeed.Store(true)
	p.takeSpare() // one that came back before it could know
	p.mu.Unlock()

	select {
	case s := <-turn:
		return p.admit(s)
	case <-ctx.Done():
	}
	p.mu.Lock()
	i := slices.Index(p.waiting, turn)
	if i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
		p.inNeed.Store(len(p.waiting) > 0 || p.closed)
	}
	p.mu.Unlock()
	if i < 0 { // served meanwhile: pass it on
		p.giveBack(<-turn)
	}
	return nil, fmt.Errorf("waiting for one of %d sockets (Config.MaxConns): %w", p.max, ctx.Err())
}

// giveBack is for what was given to a get that does not want it any more.
func (p *pool) giveBack(s *socket) {
	if s != nil {
		p.put(s, true)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialing--
	p.handPlace()
}

// admit turns what a waiting get was given into a socket: nil is a free place.
func (p *pool) admit(s *socket) (*socket, error) {
	if s != nil {
		return s, nil
	}
	return p.add()
}

// add opens a socket in a place that has been counted in dialing.
func (p *pool) add() (*socket, error) {
	conn, err := p.dial()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialing--
	if err == nil && p.closed {
		conn.Close()
		err = net.ErrClosed
	}
	if err != nil {
		p.handPlace()
		return nil, err
	}
	s := &socket{conn: conn}
	p.open = append(p.open, s)
	return s, nil
}

// handPlace gives the first in line a place to open a socket in; p.mu is held.
func (p *pool) handPlace() {
	if len(p.waiting) > 0 && len(p.open)+p.dialing < p.max {
		p.dialing++
		p.serve(nil)
	}
}

// serve gives the first in line a socket, or with nil a place for one; p.mu is
// held.
func (p *pool) serve(s *socket) {
	p.waiting[0] <- s
	p.waiting = p.waiting[1:]
	p.inNeed.Store(len(p.waiting) > 0 || p.closed)
}

// put takes a socket back. One that is not fit is closed: answers to an
// abandoned request may still come to it.
func (p *pool) put(s *socket, fit bool) {
	// What is left of a datagram is nobody's, and would meet the next request.
	fit = fit && !s.broken && !s.conn.Buffered()
	if fit && !p.inNeed.Load() && p.spare.CompareAndSwap(nil, s) {
		if p.inNeed.Load() {
			p.mu.Lock()
			p.takeSpare()
			p.mu.Unlock()
		}
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.takeBack(s, fit)
}

// takeSpare gives the spare socket to those in need; p.mu is held.
func (p *pool) takeSpare() {
	if s := p.spare.Swap(nil); s != nil {
		p.takeBack(s, true)
	}
}

// takeBack is put with p.mu held.
func (p *pool) takeBack(s *socket, fit bool) {
	switch {
	case !fit || p.closed:
		s.conn.Close()
		if i := slices.Index(p.open, s); i >= 0 {
			p.open = slices.Delete(p.open, i, i+1)
		}
		p.handPlace()
	case len(p.waiting) > 0:
		p.serve(s)
	default:
		p.idle = append(p.idle, s)
	}
}

func (p *pool) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// close closes every socket, also those lent, and sends the waiting away.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.inNeed.Store(true)
	p.takeSpare()
	for _, s := range p.open {
		s.conn.Close()
	}
	p.open, p.idle = nil, nil
	for _, turn := range p.waiting {
		p.dialing++
		turn <- nil // add will find the pool closed
	}
	p.waiting = nil
}
