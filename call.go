package gnl

import (
	"context"
	"errors"
	"io"
	"net"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/gnlgo/gnl/netlink"
)

// genlHeaderLen is the size of struct genlmsghdr: command u8, version u8,
// reserved u16.
const genlHeaderLen = 4

// payloadAt is where the family's own header begins in a message.
const payloadAt = netlink.HeaderLen + genlHeaderLen

// call is one request under way on a socket of its own.
type call struct {
	on       Caller
	socket   *socket
	x        netlink.Exchange
	what     *operation
	family   familyID
	dump     bool
	single   bool
	unlucky  bool // it failed by an answer, not by its context: the rest is there
	overran  bool // part of its answer was lost
	sent     bool // so that answers may come
	answered bool // one has been given to the caller
	again    bool // it has been repeated already, with a family id resolved anew
}

// operation says which command of which family is meant.
type operation struct {
	family, name, module string
	command, version     uint8
	request              reflect.Type // whose fields name the attributes; nil is unknown

	kept     bool                     // it is a Command's, and worth to remember its family in
	resolved atomic.Pointer[resolved] // the family, as it was known last
}

// begin takes a socket and finds out the family. What fails later ends the call
// with end.
func (c *call) begin(ctx context.Context) (err error) {
	if c.socket, err = c.on.socket(ctx); err != nil {
		return c.what.failed(c.dump, err)
	}
	if c.family, err = c.on.client().resolve(ctx, c.socket, c.what); err != nil {
		c.on.release(c.socket, true)
		c.socket = nil
		return err
	}
	return nil
}

// beginMessage begins the request, up to where the family's own header stands.
func (c *call) beginMessage() []byte {
	return c.what.appendHeader(c.socket.request[:0], c.family.id, c.flags())
}

func (c *call) flags() netlink.Flags {
	switch {
	case c.dump:
		return netlink.FlagRequest | netlink.FlagAck | netlink.FlagDump
	case c.single:
		return netlink.FlagRequest
	}
	return netlink.FlagRequest | netlink.FlagAck
}

// appendHeader begins a message: netlink header and generic netlink header.
func (o *operation) appendHeader(b []byte, family uint16, flags netlink.Flags) []byte {
	return append(netlink.BeginMessage(b, family, flags), o.command, o.version, 0, 0)
}

// send sends the socket's request.
func (c *call) send() (err error) {
	c.x, err = c.socket.conn.Begin(c.socket.request, c.single)
	c.x.Event, c.sent = c.socket.event, true
	if err != nil {
		return c.what.failed(c.dump, err)
	}
	return nil
}

// next returns the next answer; io.EOF at the end. A request that went to a
// family that has another id by now is repeated, once.
func (c *call) next(ctx context.Context) (*netlink.Message, error) {
	if c.dump && ctx.Err() != nil {
		// The kernel goes on with a dump as fast as it is read: there is no
		// wait in which the end of ctx would be noticed.
		return nil, c.what.failed(c.dump, ctx.Err())
	}
	m, err := c.x.Next(ctx)
	if err == nil {
		c.answered = true
		if len(m.Data) < genlHeaderLen+c.family.headerSize {
			c.unlucky = true
			return m, c.what.failed(c.dump, errShortMessage)
		}
		return m, nil
	}
	if err == io.EOF {
		if c.x.Warning != nil {
			c.on.client().warn(c.what, c.dump, c.x.Warning, c.socket.request, c.family.headerSize)
			c.x.Warning = nil
		}
		return m, err
	}
	if errors.Is(err, ErrOverrun) {
		c.overran, c.socket.overran = true, true
	}
	c.unlucky = ctx.Err() == nil
	if isUnknownFamily(err) && !c.again && !c.answered {
		c.again = true
		if now, moved := c.on.client().moved(ctx, c.socket, c.what, c.family); moved {
			c.family = now
			setType(c.socket.request, now.id)
			if err := c.send(); err != nil {
				return m, err
			}
			return c.next(ctx)
		}
	}
	return m, c.what.refused(c.dump, err, c.socket.request, c.family.headerSize)
}

// settleTime is how long the rest of an answer that went wrong may take. The
// kernel has queued it long since, but for families that answer later.
const settleTime = 100 * time.Millisecond

// end gives the socket back.
func (c *call) end() {
	if c.socket == nil {
		return
	}
	fit := c.x.Done() || !c.sent // what was never sent leaves no answer behind
	if !fit && c.unlucky && c.socket.event != nil {
		fit = c.settle()
	}
	c.on.release(c.socket, fit)
	c.socket = nil
}

// settle reads an answer that went wrong on to its end: a pinned socket has
// things tied to it in the kernel, and should survive that. After an overrun the
// end may be lost. Then what is queued is all that comes, and should a family
// answer later still, its answer is known by its sequence number.
func (c *call) settle() bool {
	if c.overran {
		if !c.x.Drain() {
			c.socket.forget(c.x.Sequence())
		}
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	for !c.x.Done() && ctx.Err() == nil {
		if _, err := c.x.Next(ctx); errors.Is(err, net.ErrClosed) {
			break
		}
	}
	return c.x.Done()
}

// outcome is what a call that has come to io.EOF ends with.
func (c *call) outcome() error {
	if c.x.Interrupted {
		return c.what.failed(c.dump, netlink.ErrInterrupted)
	}
	return nil
}

// isUnknownFamily reports whether the kernel may mean that there is no family
// of the id used: ENOENT, without a word.
func isUnknownFamily(err error) bool {
	var e *netlink.Error
	return errors.As(err, &e) && e.Message == "" && e.Offset == 0 && isNotExist(e)
}
