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
}

// member is one command of a batch. Its size matters: a batch of thousands goes
// through the caches with every step.
type member struct {
	of    *batched
	reply any // a *Reply
	err   error

	start, end uint32 // of the message in Batch.requests
	sequence   uint32
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
	sent
	finished
)

// AddTo adds the command to a batch and returns its position. The request is
// encoded at once; reply receives the answer when the batch is done, and may be
// nil only if Reply asks for nothing.
func (c *Command[Request, Reply]) AddTo(b *Batch, request *Request, reply *Reply) int {
	m := b.add()
	m.err = c.addTo(b, m, request, reply)
	if m.err != nil {
		b.requests = b.requests[:m.start]
		m.state = finished
	}
	m.end = uint32(len(b.requests))
	return len(b.members) - 1
}

func (c *Command[Request, Reply]) addTo(b *Batch, m *member, request *Request, reply *Reply) error {
	p, err := c.compile()
	if err != nil {
		m.of = &batched{what: &operation{family: c.Family, name: c.Name, command: c.ID}}
		return err
	}
	m.of, m.reply = &p.batched, reply
	if p.batched.views != nil {
		return p.batched.views
	}
	if reply == nil && !p.noReply {
		return m.of.what.failed(false, errors.New("no memory for the reply: AddTo was given nil"))
	}
	b.requests = m.of.what.appendHeader(b.requests, 0, 0)
	if b.requests, err = p.appendTo(b.requests, request); err != nil {
		return m.of.what.failed(false, err)
	}
	b.requests = netlink.EndMessage(b.requests, int(m.start))
	return nil
}

// add appends an empty member.
func (b *Batch) add() *member {
	if n := len(b.members); n < cap(b.members) {
		b.members = b.members[:n+1] // what is behind the end is empty already
	} else {
		b.members = append(b.members, member{})
	}
	m := &b.members[len(b.members)-1]
	m.start = uint32(len(b.requests))
	return m
}

// Len is how many commands have been added.
func (b *Batch) Len() int { return len(b.members) }

// Reset empties the batch, keeping its memory.
func (b *Batch) Reset() {
	clear(b.members)
	b.requests, b.members = b.requests[:0], b.members[:0]
}

// Err is the outcome of the command at position i once Do has returned: nil
// if it was carried out. [ErrUnknownOutcome] says that nobody knows.
func (b *Batch) Err(i int) error { return b.members[i].err }

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
)

// Do carries out the commands that have not been yet, in as few sends as the
// socket's buffers allow. The error is a [*BatchError] if any of them failed.
//
// Replies are reckoned at 2 KiB. Where they are larger they may overrun the
// receive buffer, and the outcome of some is then [ErrUnknownOutcome]: give the
// Client a larger one (Config.Socket.ReceiveBuffer).
func (b *Batch) Do(ctx context.Context, on Caller) error {
	for from := 0; from < len(b.members); {
		from = b.window(ctx, on, from)
	}
	return b.outcome()
}

func (b *Batch) outcome() error {
	var e *BatchError
	for i := range b.members {
		if err := b.members[i].err; err != nil {
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
		return b.failFrom(from, len(b.members), err)
	}
	fit := true
	defer func() { on.release(s, fit) }()

	if s.room == 0 {
		if s.room, err = s.conn.ReceiveBuffer(); err != nil {
			fit = false
			return b.failFrom(from, len(b.members), err)
		}
	}
	to := from
	for bytes, answers := 0, 0; to < len(b.members); to++ {
		m := &b.members[to]
		bytes, answers = bytes+m.size(), answers+m.answers()
		if to > from && (bytes > maxSend || answers > s.room) {
			break
		}
	}
	if fit = b.exchange(ctx, on, s, b.members[from:to]); fit {
		fit = b.repeat(ctx, on, s, b.members[from:to])
	}
	return to
}

// repeat carries out again what went to a family that has another id by now.
func (b *Batch) repeat(ctx context.Context, on Caller, s *socket, members []member) (fit bool) {
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
		if !b.exchange(ctx, on, s, members[i:i+1]) {
			return false
		}
	}
	return true
}

func (m *member) size() int { return int(m.end - m.start) }

// answers is what the answers to m may take of the receive buffer.
func (m *member) answers() int {
	switch {
	case m.of.noReply:
		return perAck
	case m.of.single:
		return perReply
	}
	return perReply + perAck
}

// failFrom gives the members in [from, to) that are not finished an error.
func (b *Batch) failFrom(from, to int, err error) int {
	for i := from; i < to; i++ {
		b.members[i].fail(err)
	}
	return to
}

func (m *member) fail(err error) {
	if m.state != finished {
		m.state, m.err = finished, m.of.what.failed(false, err)
	}
}

// exchange sends the members and receives their answers. It reports whether
// the socket is fit for more.
func (b *Batch) exchange(ctx context.Context, on Caller, s *socket, members []member) (fit bool) {
	request, last := b.build(ctx, on, s, members)
	if last < 0 {
		return true
	}
	sequence, err := s.conn.Send(request)
	if err != nil {
		for i := range members {
			members[i].fail(err)
		}
		return false
	}
	first := sequence
	for i := range members {
		if m := &members[i]; m.state == sent {
			m.sequence = sequence
			sequence++
		}
	}
	return b.receive(ctx, on, s, members[:last+1], first)
}

// build puts family ids and flags into the members' messages, and returns what
// is to be sent and the position of the last member in it, or -1.
//
// A member without a reply asks for no ack: the kernel reports its failure
// unasked, and since it carries out the members in order, the end of a later one
// says that it has been carried out. So only the last must ask.
func (b *Batch) build(ctx context.Context, on Caller, s *socket, members []member) (request []byte, last int) {
	var (
		what       *operation // of the member before: most often the next one's family is the same
		family     familyID
		unresolved error
		gaps       bool // there are messages between the others that must not be sent
	)
	last = -1
	for i := range members {
		m := &members[i]
		if m.state == finished {
			gaps = gaps || m.size() > 0
			continue
		}
		if what == nil || m.of.what != what && m.of.what.family != what.family {
			family, unresolved = on.client().resolve(ctx, s, m.of.what)
		}
		what = m.of.what
		err := unresolved
		if err == nil && family.headerSize != m.of.headerSize {
			err = m.of.what.failed(false, headerMismatch("the request", m.of.headerSize, family.headerSize))
		}
		if err != nil {
			m.state, m.err, gaps = finished, err, true
			continue
		}
		m.state, m.id, last = sent, family.id, i
		flags := netlink.FlagRequest
		if !m.of.single && !m.of.noReply {
			flags |= netlink.FlagAck
		}
		setType(b.requests[m.start:], family.id)
		setFlags(b.requests[m.start:], flags)
	}
	if last < 0 {
		return nil, -1
	}
	if m := &members[last]; m.of.noReply && !m.of.single {
		setFlags(b.requests[m.start:], netlink.FlagRequest|netlink.FlagAck)
	}
	if !gaps {
		return b.requests[members[0].start:members[last].end], last
	}
	s.request = s.request[:0]
	for i := range members {
		if m := &members[i]; m.state == sent {
			s.request = append(s.request, b.requests[m.start:m.end]...)
		}
	}
	return s.request, last
}

// receive reads answers until the last member has come to its end.
func (b *Batch) receive(ctx context.Context, on Caller, s *socket, members []member, first uint32) (fit bool) {
	last := &members[len(members)-1]
	before := s.conn.SetDatagrams(min(len(members), answersAtOnce))
	defer s.conn.SetDatagrams(before)
	var (
		lost  error     // why answers may be missing
		until time.Time // how long to take what is there, then
	)
	for last.state != finished {
		n, err := (*netlink.Message)(nil), ctx.Err()
		if err == nil || lost != nil {
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
			for i := range members {
				members[i].unknown(s, lost)
			}
			return fit
		}
		m := find(members, n, first, s.conn.PortID())
		if m == nil {
			if s.event != nil {
				s.event(n)
			}
			if lost != nil && time.Now().After(until) { // in a storm of events there is no end of what is there
				for i := range members {
					members[i].unknown(s, lost)
				}
				return false
			}
			continue
		}
		b.answer(on, m, n)
	}
	// Whatever was not reported by now has been carried out, unless answers were lost.
	for i := range members {
		m := &members[i]
		switch {
		case m.state == finished:
		case lost != nil:
			m.unknown(s, lost)
		case m.of.noReply:
			m.state = finished
		default:
			m.unknown(s, errSkipped)
		}
	}
	return lost == nil || s.event != nil
}

var errSkipped = errors.New("what came behind it was answered, and this was not")

// unknown gives a member that was sent and is not finished its outcome. Its
// answer may still come.
func (m *member) unknown(s *socket, why error) {
	if m.state == sent {
		s.forget(m.sequence)
		m.fail(fmt.Errorf("%w: %w", ErrUnknownOutcome, why))
	}
}

// find returns the member that n answers, or nil.
func find(members []member, n *netlink.Message, first, port uint32) *member {
	i := int(n.Sequence - first)
	if n.PortID != port || i < 0 {
		return nil
	}
	// Members that were not sent have no number, so n's stands at i or behind.
	for ; i < len(members); i++ {
		if m := &members[i]; m.state != waiting && m.sequence == n.Sequence {
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
	if n.Type != netlink.TypeError && n.Type != netlink.TypeDone {
		if err := m.load(n); err != nil && m.err == nil {
			m.err = m.of.what.failed(false, err)
		}
		m.replied = true
		if m.of.single {
			m.state = finished
		}
		return
	}
	m.state = finished
	request := b.requests[m.start:m.end]
	switch err := n.Result().(type) {
	case nil:
		if !m.replied && !m.of.noReply {
			m.err = m.of.what.failed(false, ErrNoReply)
		}
	case *netlink.Error:
		if err.Errno == 0 {
			on.client().warn(m.of.what, false, err, request, m.of.headerSize)
			break
		}
		m.again = isUnknownFamily(err) && !m.repeated && !m.replied
		m.repeated = m.again
		m.err = m.of.what.refused(false, err, request, m.of.headerSize)
	default:
		m.err = m.of.what.failed(false, err)
	}
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
