package gnl

import (
	"context"
	"net"
	"slices"
	"sync"

	"github.com/gnlgo/gnl/netlink"
)

// socket is a netlink socket together with the memory for its requests.
type socket struct {
	conn    *netlink.Conn
	request []byte                 // the last one, for the explanation of errors
	event   func(*netlink.Message) // receives what is no answer; nil: such is dropped
	broken  bool                   // answers that nobody waits for may still come
	window  int                    // how many members of a batch fit one send; 0: not worked out yet
}

// pool lends sockets, the one used last first, and opens up to max. Those who
// wait are served in the order of their coming.
type pool struct {
	dial func() (*netlink.Conn, error)
	max  int

	mu      sync.Mutex // guards what follows
	idle    []*socket
	open    []*socket // all there are, lent or idle
	dialing int       // places taken by sockets that are being opened
	waiting []chan *socket
	closed  bool
}

// get lends a socket. It waits while max are lent.
func (p *pool) get(ctx context.Context) (*socket, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	switch n := len(p.idle); {
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
	}
	p.mu.Unlock()
	if i < 0 { // served meanwhile: pass it on
		if s, err := p.admit(<-turn); err == nil {
			p.put(s, true)
		}
	}
	return nil, ctx.Err()
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
		p.waiting[0] <- nil
		p.waiting = p.waiting[1:]
	}
}

// put takes a socket back. One that is not fit is closed: answers to an
// abandoned request may still come to it.
func (p *pool) put(s *socket, fit bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !fit || s.broken || p.closed:
		s.conn.Close()
		if i := slices.Index(p.open, s); i >= 0 {
			p.open = slices.Delete(p.open, i, i+1)
		}
		p.handPlace()
	case len(p.waiting) > 0:
		p.waiting[0] <- s
		p.waiting = p.waiting[1:]
	default:
		p.idle = append(p.idle, s)
	}
}

// close closes every socket, also those lent, and sends the waiting away.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
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
