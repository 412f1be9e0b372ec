package netlink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
)

// Exchange is one request under way: what [Conn.Begin] sent and [Exchange.Next]
// receives. One that has not come to its end leaves answers behind: the Conn
// must then be closed.
type Exchange struct {
	// Interrupted says that a dump was inconsistent (NLM_F_DUMP_INTR on any of
	// its messages, its end included). It is complete once Next gave io.EOF.
	Interrupted bool
	// Warning is what the kernel had to say about a request that it carried
	// out, or nil.
	Warning *Error
	// Event, if set, receives the messages that are not answers to this
	// request. They are valid during the call.
	Event func(*Message)

	conn     *Conn
	sequence uint32
	single   bool
	draining bool
	done     bool
}

// Begin sends one request, made by [AppendMessage], whose flags say how its
// answers end: with FlagAck or FlagDump by an ack, an error or the end of the
// dump. With neither, the kernel must be known to answer with exactly one
// message or an error, and single must be set.
func (c *Conn) Begin(request []byte, single bool) (Exchange, error) {
	sequence, err := c.request(request)
	return Exchange{conn: c, sequence: sequence, single: single, done: err != nil}, err
}

// Next returns the next answer. Its data is a view of the socket's buffer and
// valid until the next call. At the end of the exchange Next returns io.EOF; if
// the kernel refused the request, or gave up midway, an *Error. Any other error
// (ErrOverrun, ErrTruncated, ErrMalformed, that of ctx, net.ErrClosed) leaves
// the exchange unfinished: see [Exchange.Done].
func (x *Exchange) Next(ctx context.Context) (*Message, error) {
	c := x.conn
	for !x.done {
		// The rest of a datagram is taken here, what Receive does besides is
		// rare: a dump is hundreds of messages.
		m := &c.message
		if next := m.parse(c.datagram, c.at); next > 0 && m.Type >= MinType && c.trace == nil {
			c.at = next
		} else {
			var err error
			if m, err = c.Receive(ctx); err != nil {
				return nil, err
			}
		}
		if m.Sequence != x.sequence || m.PortID != c.port {
			if x.Event != nil {
				x.Event(m)
			}
			if err := ctx.Err(); err != nil && !x.draining { // in a storm of events there is no wait
				return nil, err
			}
			continue
		}
		if m.Flags&FlagDumpInterrupted != 0 {
			x.Interrupted = true
		}
		if m.Type != TypeError && m.Type != TypeDone {
			x.done = x.single
			return m, nil
		}
		x.done = true
		switch err := m.Result().(type) {
		case nil:
		case *Error:
			if err.Errno != 0 {
				return nil, err
			}
			x.Warning = err
		default:
			return nil, err
		}
	}
	return nil, io.EOF
}

// Drain reads what is queued, without waiting, up to the end of the exchange,
// and reports whether it came. After [ErrOverrun] it may be lost.
func (x *Exchange) Drain() bool {
	x.draining = true
	defer func() { x.draining = false }()
	for i := 0; i < maxDrain && !x.done; i++ {
		_, err := x.Next(noWait)
		if errors.Is(err, context.Canceled) || errors.Is(err, net.ErrClosed) {
			break
		}
	}
	return x.done
}

// maxDrain ends a Drain that events keep coming to.
const maxDrain = 1 << 16

// noWait is a context that is done.
var noWait = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// Sequence is the sequence number of the request.
func (x *Exchange) Sequence() uint32 { return x.sequence }

// Done reports whether the exchange has come to its end, so that the Conn is
// fit for the next one.
func (x *Exchange) Done() bool { return x.done }

// Request is a request for [Conn.Do].
type Request struct {
	Type  uint16
	Flags Flags // FlagRequest and FlagAck are added
	Data  []byte
}

// Do sends a request and yields every answer, as a view that is valid until
// the next. It ends with an error if the kernel refused, or the exchange broke;
// with [ErrInterrupted] if a dump was inconsistent. Where it is left before
// its end, and after errors other than an *Error or ErrInterrupted, answers may
// be on their way still and the Conn must be closed.
func (c *Conn) Do(ctx context.Context, request Request) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(nil, err)
			return
		}
		x, err := c.Begin(AppendMessage(nil, request.Type, request.Flags|FlagRequest|FlagAck, request.Data), false)
		for err == nil {
			var m *Message
			if m, err = x.Next(ctx); err == nil && !yield(m, nil) {
				return
			}
		}
		switch {
		case err != io.EOF:
			yield(nil, fmt.Errorf("netlink: request of type %d: %w", request.Type, err))
		case x.Interrupted:
			yield(nil, fmt.Errorf("netlink: request of type %d: %w", request.Type, ErrInterrupted))
		}
	}
}
