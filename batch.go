package gnl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/gnlgo/gnl/netlink"
)

// Batch is many commands in few system calls. Commands are added with
// [Command.AddTo]; Do carries them out in order. One that fails does not stop
// the others: each has an outcome of its own, by position. Only what went to a
// family whose module was loaded anew meanwhile is carried out again, behind the
// others.
//
// Commands without a reply ask for no ack of their own, so that the kernel has
// no place for a warning about those that it carries out.
//
// The zero Batch is empty and ready. It is for one goroutine at a time.
type Batch struct {
	requests []byte
	members  []member
	added    int  // how many AddTo came to its end with
	done     int  // how many have come to their end: they are not looked at again
	failed   bool // a member has an error
	moved    bool // a member is to be repeated
	open     int  // how many that have been sent must still be answered
}

// member is one command of a batch. Its size matters: a batch of thousands goes
// through the caches with every step.
type member struct {
	of    *batched
	reply any // a *Reply
	err   error

	start, end uint32 // of the message in Batch.requests
	order      uint32 // 1 for the first of its send, as sequence numbers go; 0: not sent with it
	id         uint16 // of the family, once it is sent
	state      memberState
	replied    bool
	again      bool // to be repeated, if the family has another id by now
	repeated   bool
}

// batched is what the members of one Command have in common.
type batched struct {
	what       *operation
	single     bool
	noReply    bool
	views      error // why it cannot be in a batch
	headerSize int   // of the family's header in requests
	decode     func(b []byte, headerSize int, reply any) error
}

type memberState uint8

const (
	waiting memberState = iota // to be sent
	sent                       // must be answered
	silent                     // sent too, and carried out unless an answer says otherwise
	finished
	adding // not encoded yet: that panicked, should it still be so when the batch is done
)

// AddTo adds the command to a batch and returns its position. The request is
// encoded at once; reply receives the answer when the batch is done, and may be
// nil only if Reply asks for nothing.
func (c *Command[Request, Reply]) AddTo(b *Batch, request *Request, reply *Reply) int {
	if p := c.compiled.Load(); p != nil && p.image != nil && p.noReply && request != nil && len(b.requests) < maxRequests {
		// Nothing can go wrong: the shortest way, for those who add thousands.
		start := len(b.requests)
		b.requests = append(b.requests, p.image...)
		p.request.Fill(b.requests[start+payloadAt:], request)
		b.members = append(b.members, member{of: &p.batched, start: uint32(start), end: uint32(len(b.requests))})
		b.added++
		return len(b.members) - 1
	}
	m := b.add()
	p, err := c.compile()
	if err != nil {
		m.of = &batched{what: &operation{family: c.Family, name: c.Name, command: c.ID}}
	} else {
		m.of, m.reply = &p.batched, reply
		switch {
		case len(b.requests) >= maxRequests:
			err = p.what.failed(false, errFull)
		case p.batched.views != nil:
			err = p.batched.views
		case reply == nil && !p.noReply:
			err = p.what.failed(false, errors.New("no memory for the reply: AddTo was given nil"))
		default:
			b.requests, err = p.appendMessage(b.requests, request)
		}
	}
	if err != nil {
		b.requests = b.requests[:m.start]
		b.finish(m, err)
	} else {
		m.state = waiting
	}
	m.end = uint32(len(b.requests))
	b.added++
	return len(b.members) - 1
}

// appendMessage appends a request whose family id and flags are not known yet.
func (p *compiled[Request, Reply]) appendMessage(b []byte, request *Request) ([]byte, error) {
	start := len(b)
	if p.image != nil && request != nil {
		b = append(b, p.image...)
		p.request.Fill(b[start+payloadAt:], request)
		return b, nil
	}
	b, err := p.appendTo(p.what.appendHeader(b, 0, 0), request)
	if err != nil {
		return b, p.what.failed(false, err)
	}
	return netlink.EndMessage(b, start), nil
}

// add appends a member.
func (b *Batch) add() *member {
	if n := len(b.members); n < cap(b.members) {
		b.members = b.members[:n+1] // what is behind the end is empty already
	} else {
		b.members = append(b.members, member{})
	}
	m := &b.members[len(b.members)-1]
	m.start = uint32(len(b.requests))
	m.end, m.state = m.start, adding
	return m
}

// Len is how many commands have been added.
func (b *Batch) Len() int { return len(b.members) }

// Reset empties the batch, keeping its memory.
func (b *Batch) Reset() {
	clear(b.members)
	*b = Batch{requests: b.requests[:0], members: b.members[:0]}
}

// Err is the outcome of the command at position i once Do has returned: nil
// if it was carried out. [ErrUnknownOutcome] says that nobody knows.
func (b *Batch) Err(i int) error {
	if m := &b.members[i]; m.state != adding {
		return m.err
	}
	return errNotAdded
}

// BatchError says that some commands of a batch failed. Batch.Err tells which.
type BatchError struct {
	Failed, Of int
	First      int   // position of the first that failed
	Err        error // its error
}

// Error gives for example "gnl: 3 of 64 commands failed; the first, at position 5: gnl: …".
func (e *BatchError) Error() string {
	return fmt.Sprintf("gnl: %d of %d commands failed; the first, at position %d: %v", e.Failed, e.Of, e.First, e.Err)
}

// Unwrap returns the first failure.
func (e *BatchError) Unwrap() error { return e.Err }

// What one send may hold. The kernel queues an answer for each member, or at
// least an error, before the send returns, and what the receive buffer does not
// hold is lost.
const (
	// perReply and perAck are what an answer is reckoned to take of the receive
	// buffer. The kernel counts whole allocations: a reply of up to 2 KiB, as
	// nearly all are, and an ack or an error.
	perReply = 2304
	perAck   = 1024
	// answersAtOnce is how many answers one system call may take.
	answersAtOnce = 16
	// maxSend keeps a send well below the default send buffer (212,992 bytes).
	maxSend = 128 << 10
	// maxRequests keeps the members' offsets within their 32 bits.
	maxRequests = 1 << 30
)

// Do carries out the commands that have not been yet, in as few sends as the
// socket's buffers allow. The error is a [*BatchError] if any of them failed.
//
// Replies are reckoned at 2 KiB. Where they are larger they may overrun the
// receive buffer, and the outcome of some is then [ErrUnknownOutcome]: give the
// Client a larger one (Config.Socket.ReceiveBuffer).
func (b *Batch) Do(ctx context.Context, on Caller) error {
	for b.done < len(b.members) {
		b.done = b.window(ctx, on, b.done)
	}
	return b.outcome()
}

func (b *Batch) outcome() error {
	if !b.failed && b.added == len(b.members) {
		return nil
	}
	var e *BatchError
	for i := range b.members {
		if err := b.Err(i); err != nil {
			if e == nil {
				e = &BatchError{Of: len(b.members), First: i, Err: err}
			}
			e.Failed++
		}
	}
	if e == nil {
		return nil
	}
	return e
}

// window carries out the members from position from on that fit one send, and
// returns the position of the next one.
func (b *Batch) window(ctx context.Context, on Caller, from int) int {
	s, err := on.socket(ctx)
	if err != nil {
		return b.failFrom(from, err)
	}
	fit := false // until all is answered
	defer func() { on.release(s, fit) }()

	if s.room == 0 {
		if s.room, err = s.conn.ReceiveBuffer(); err != nil {
			return b.failFrom(from, err)
		}
	}
	var n int
	if n, fit = b.exchange(ctx, on, s, b.members[from:]); fit && b.moved {
		fit = b.repeat(ctx, on, s, b.members[from:from+n])
	}
	return from + n
}

// repeat carries out again what went to a family that has another id by now.
func (b *Batch) repeat(ctx context.Context, on Caller, s *socket, members []member) (fit bool) {
	b.moved = false
	unmoved := "" // the family asked for last: one question serves all its members
	for i := range members {
		m := &members[i]
		if !m.again || m.of.what.family == unmoved {
			continue
		}
		m.again = false
		if family, err := on.client().resolve(ctx, s, m.of.what); err != nil || family.id == m.id {
			if _, moved := on.client().moved(ctx, s, m.of.what, familyID{m.id, m.of.headerSize}); !moved {
				unmoved = m.of.what.family
				continue
			}
		}
		m.state, m.err = waiting, nil
		if _, fit := b.exchange(ctx, on, s, members[i:i+1]); !fit {
			return false
		}
	}
	return true
}

func (m *member) size() int { return int(m.end - m.start) }

// failFrom ends the members from position from on with an error.
func (b *Batch) failFrom(from int, err error) int {
	for i := from; i < len(b.members); i++ {
		b.fail(&b.members[i], err)
	}
	return len(b.members)
}

func (b *Batch) fail(m *member, err error) {
	if m.state < finished {
		b.finish(m, m.of.what.failed(false, err))
	}
}

// failUnsent ends those members with an error that have not been sent.
func (b *Batch) failUnsent(members []member, err error) {
	for i := range members {
		if m := &members[i]; m.state == waiting {
			b.finish(m, err)
		}
	}
}

// finish gives a member its outcome.
func (b *Batch) finish(m *member, err error) {
	if m.state == sent {
		b.open--
	}
	m.state, m.err, b.failed = finished, err, b.failed || err != nil
}

// exchange sends as many of the members as fit one send, and receives their
// answers. It returns how many it has dealt with, and whether the socket is fit
// for more.
func (b *Batch) exchange(ctx context.Context, on Caller, s *socket, members []member) (n int, fit bool) {
	request, n, last := b.build(ctx, on, s, members)
	if last < 0 {
		return n, true
	}
	first, err := s.conn.Send(request)
	if err != nil {
		for i := range members[:n] {
			b.fail(&members[i], err)
		}
		return n, false
	}
	return n, b.receive(ctx, on, s, members[:last+1], first)
}

// build puts family ids and flags into the messages of as many members as fit
// one send. It returns what is to be sent, how many members it went through, and
// the position of the last one in it, or -1.
//
// A member without a reply asks for no ack: the kernel reports its failure
// unasked, and since it carries out the members in order, the end of a later one
// says that it has been carried out. So only the last must ask.
func (b *Batch) build(ctx context.Context, on Caller, s *socket, members []member) (request []byte, n, last int) {
	var (
		what       *operation // resolved last: most often the next one's family is the same
		family     familyID
		unresolved error
		bytes      = 0 // to be sent
		room       = s.room
		order      = uint32(0)
		gaps       = false // there are messages between the others that must not be sent
		full       = false
	)
	last = -1
	for n < len(members) && !full {
		if m := &members[n]; m.state != waiting { // nothing to send, and nothing to ask for
			gaps, m.order = gaps || m.size() > 0, 0
			n++
			continue
		}
		of := members[n].of
		if what == nil || of.what.family != what.family {
			family, unresolved = on.client().resolve(ctx, s, of.what)
			what = of.what
		}
		err := unresolved
		if err == nil && family.headerSize != of.headerSize {
			err = of.what.failed(false, headerMismatch("the request", of.headerSize, family.headerSize))
		}
		flags, state, answers := of.asks()
		run, before := n, order
		for ; n < len(members) && members[n].of == of; n++ { // no calls: hundreds pass here
			m := &members[n]
			if m.state != waiting || err != nil {
				gaps, m.order = gaps || m.size() > 0, 0
				continue
			}
			bytes, room = bytes+m.size(), room-answers
			if order > 0 && (bytes > maxSend || room < 0) {
				full = true
				break
			}
			setHeader(b.requests[m.start:], family.id, flags)
			order++
			m.state, m.id, m.order, last = state, family.id, order, n
		}
		if state == sent {
			b.open += int(order - before)
		}
		if err != nil {
			b.failUnsent(members[run:n], err)
		}
	}
	if last < 0 {
		return nil, n, -1
	}
	if m := &members[last]; m.state == silent {
		m.state = sent
		b.open++
		setHeader(b.requests[m.start:], m.id, netlink.FlagRequest|netlink.FlagAck)
	}
	if !gaps {
		return b.requests[members[0].start:members[last].end], n, last
	}
	s.request = s.request[:0]
	for i := range members[:last+1] {
		if m := &members[i]; m.state == sent || m.state == silent {
			s.request = append(s.request, b.requests[m.start:m.end]...)
		}
	}
	return s.request, n, last
}

// asks is how a member asks to be answered, what it is once it has been sent,
// and what the answers may take of the receive buffer.
func (of *batched) asks() (netlink.Flags, memberState, int) {
	switch {
	case of.single && of.noReply:
		return netlink.FlagRequest, sent, perAck
	case of.single:
		return netlink.FlagRequest, sent, perReply
	case of.noReply:
		return netlink.FlagRequest, silent, perAck
	}
	return netlink.FlagRequest | netlink.FlagAck, sent, perReply + perAck
}

// receive reads answers until the last member has come to its end.
func (b *Batch) receive(ctx context.Context, on Caller, s *socket, members []member, first uint32) (fit bool) {
	last := &members[len(members)-1]
	before := s.conn.SetDatagrams(min(len(members), answersAtOnce))
	defer func() {
		s.conn.SetDatagrams(before)
		if last.state != finished { // a method of a reply, or the caller's Warn, panicked
			b.lost(s, members, first, errPanicked)
		}
	}()
	var (
		lost  error     // why answers may be missing
		until time.Time // how long to take what is there, then
	)
	for last.state != finished {
		var n *netlink.Message
		var err error
		if lost == nil && !s.conn.Buffered() {
			err = ctx.Err()
		}
		if err == nil {
			n, err = s.conn.Receive(ctx)
		}
		if err != nil {
			if lost == nil && ctx.Err() != nil {
				// What has been answered already is taken, as far as it is there.
				lost, until = ctx.Err(), time.Now().Add(settleTime)
				continue
			}
			if lost == nil && (errors.Is(err, ErrOverrun) || errors.Is(err, netlink.ErrTruncated) || errors.Is(err, netlink.ErrMalformed)) {
				// What the kernel did queue is there: take it, and do not wait.
				lost, until = err, time.Now().Add(settleTime)
				s.overran = s.overran || errors.Is(err, ErrOverrun)
				var cancel context.CancelFunc
				ctx, cancel = context.WithCancel(context.WithoutCancel(ctx))
				cancel()
				continue
			}
			// A pinned socket goes on after a loss, as it does after a single request's.
			fit := lost != nil && s.event != nil && !errors.Is(err, net.ErrClosed)
			if lost == nil {
				lost = err
			}
			b.lost(s, members, first, lost)
			return fit
		}
		m := find(members, n, first, s.conn.PortID())
		if m == nil {
			if s.event != nil {
				s.event(n)
			}
			if lost != nil && time.Now().After(until) { // in a storm of events there is no end of what is there
				b.lost(s, members, first, lost)
				return false
			}
			continue
		}
		b.answer(on, m, n)
	}
	if lost != nil {
		b.lost(s, members, first, lost)
		return s.event != nil
	}
	for i := 0; b.open > 0; i++ {
		if m := &members[i]; m.state == sent {
			b.unknown(s, m, first, errSkipped)
		}
	}
	return true
}

var (
	errSkipped  = errors.New("what came behind it was answered, and this was not")
	errPanicked = errors.New("decoding an answer panicked")
	errNotAdded = errors.New("encoding the request panicked")
	errFull     = fmt.Errorf("the batch is full: it has requests of %d bytes; carry it out, and Reset it", maxRequests)
)

// lost gives those members their outcome of which nobody knows it, as answers
// were lost: also silent ones may have failed.
func (b *Batch) lost(s *socket, members []member, first uint32, why error) {
	for i := range members {
		if m := &members[i]; m.state == sent || m.state == silent {
			b.unknown(s, m, first, why)
		}
	}
}

// unknown is the outcome of a member whose answer has not come. It still may.
func (b *Batch) unknown(s *socket, m *member, first uint32, why error) {
	s.forget(first + m.order - 1)
	b.fail(m, fmt.Errorf("%w: %w", ErrUnknownOutcome, why))
}

// find returns the member that n answers, or nil.
func find(members []member, n *netlink.Message, first, port uint32) *member {
	i := n.Sequence - first
	if n.PortID != port || i >= uint32(len(members)) {
		return nil
	}
	// Members that were not sent have no number, so n's stands at i or behind.
	for order := i + 1; i < uint32(len(members)); i++ {
		if m := &members[i]; m.order == order {
			return m
		}
	}
	return nil
}

// answer takes one message that answers m.
func (b *Batch) answer(on Caller, m *member, n *netlink.Message) {
	if m.state == finished {
		return
	}
	outcome := m.err
	if n.Type != netlink.TypeError && n.Type != netlink.TypeDone {
		if err := m.load(n); err != nil && outcome == nil {
			outcome = m.of.what.failed(false, err)
		}
		m.replied, m.err = true, outcome
		if m.of.single {
			b.finish(m, outcome)
		}
		return
	}
	request := b.requests[m.start:m.end]
	switch err := n.Result().(type) {
	case nil:
		if !m.replied && !m.of.noReply {
			outcome = m.of.what.failed(false, ErrNoReply)
		}
	case *netlink.Error:
		if err.Errno == 0 {
			on.client().warn(m.of.what, false, err, request, m.of.headerSize)
			break
		}
		m.again = isUnknownFamily(err) && !m.repeated && !m.replied
		m.repeated, b.moved = m.again, b.moved || m.again
		outcome = m.of.what.refused(false, err, request, m.of.headerSize)
	default:
		outcome = m.of.what.failed(false, err)
	}
	b.finish(m, outcome)
}

func (m *member) load(n *netlink.Message) error {
	switch {
	case m.of.noReply:
		return nil
	case m.replied:
		return ErrMoreReplies
	case len(n.Data) < genlHeaderLen+m.of.headerSize:
		return errShortMessage
	}
	return m.of.decode(n.Data[genlHeaderLen:], m.of.headerSize, m.reply)
}
