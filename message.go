package gnl

import (
	"context"
	"encoding/binary"
	"io"
	"iter"

	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/netlink"
)

// Message is a generic netlink message: an answer to a raw request, or an event.
type Message struct {
	netlink.Header        // Type is the family's id
	Family         string // name of the family; "" if the Client has not met it: then UserHeader is not told from Attributes
	Command        uint8
	Version        uint8
	UserHeader     []byte // the family's own header, padded to 4 bytes; empty for most families
	Attributes     []byte // encoded: see package attr
}

// Unmarshal decodes the attributes into the struct that v points to, as
// [attr.Unmarshal] does.
func (m *Message) Unmarshal(v any) error { return attr.Unmarshal(m.Attributes, v) }

// Clone returns a copy that shares no memory with m.
func (m *Message) Clone() *Message {
	c := new(Message)
	c.set(m)
	return c
}

// set makes m a copy of from, in the memory that m has.
func (m *Message) set(from *Message) {
	header, attributes := m.UserHeader[:0], m.Attributes[:0]
	*m = *from
	m.UserHeader = append(header, from.UserHeader...)
	m.Attributes = append(attributes, from.Attributes...)
}

// view makes m a view of a netlink message whose payload is long enough.
func (m *Message) view(n *netlink.Message, family string, headerSize int) {
	m.Header, m.Family = n.Header, family
	m.Command, m.Version = n.Data[0], n.Data[1]
	m.UserHeader = n.Data[genlHeaderLen : genlHeaderLen+headerSize]
	m.Attributes = n.Data[genlHeaderLen+headerSize:]
}

// Request is a request in raw form, for families that are only known at run
// time. A [Command] is the better way for those known beforehand.
type Request struct {
	Family     string
	Command    uint8
	Name       string // of the command, for errors; may be empty
	Version    uint8
	UserHeader []byte // as long as the family's HeaderSize says, or that padded to 4 bytes
	Attributes []byte // encoded: see package attr
}

// Do makes a raw request and returns all replies; none if it was only
// acknowledged.
func (c *Client) Do(ctx context.Context, request Request) ([]Message, error) {
	return doRaw(ctx, c, &request)
}

// Dump makes a raw request for all there is and yields entry after entry. Each
// is valid until the next; Clone keeps it. The errors are those of [Command.Dump].
func (c *Client) Dump(ctx context.Context, request Request) iter.Seq2[*Message, error] {
	return answersRaw(ctx, c, &request, true)
}

func doRaw(ctx context.Context, on Caller, request *Request) ([]Message, error) {
	var replies []Message
	for m, err := range answersRaw(ctx, on, request, false) {
		if err != nil {
			return replies, err
		}
		replies = append(replies, *m.Clone())
	}
	return replies, nil
}

func answersRaw(ctx context.Context, on Caller, request *Request, dump bool) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		k := call{on: on, dump: dump, what: &operation{
			family: request.Family, name: request.Name, command: request.Command, version: request.Version,
		}}
		if err := request.send(ctx, &k); err != nil {
			yield(nil, err)
			return
		}
		defer k.end()
		var view Message
		for {
			m, err := k.next(ctx)
			if err == io.EOF {
				if err = k.outcome(); err == nil {
					return
				}
			}
			if err != nil {
				k.end() // before the caller acts on the error
				yield(nil, err)
				return
			}
			view.view(m, request.Family, k.family.headerSize)
			if !yield(&view, nil) {
				return
			}
		}
	}
}

func (r *Request) send(ctx context.Context, k *call) error {
	if err := k.begin(ctx); err != nil {
		return err
	}
	err := r.appendTo(k)
	if err == nil {
		err = k.send()
	}
	if err != nil {
		k.end()
	}
	return err
}

func (r *Request) appendTo(k *call) error {
	if n := align(len(r.UserHeader)); n != k.family.headerSize {
		return k.what.failed(k.dump, headerMismatch("the request", n, k.family.headerSize))
	}
	b := append(k.beginMessage(), r.UserHeader...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	k.socket.request = netlink.EndMessage(append(b, r.Attributes...), 0)
	return nil
}

// Collect reads a dump to its end. On an error it returns what came before it.
func Collect[T any](dump iter.Seq2[T, error]) ([]T, error) {
	var all []T
	for v, err := range dump {
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}

// CollectConsistent reads a dump to its end, and begins anew if it was
// interrupted (ErrInterrupted), up to so many attempts in all. The last
// attempt's entries and error are returned.
func CollectConsistent[T any](attempts int, dump func() iter.Seq2[T, error]) ([]T, error) {
	for {
		all, err := Collect(dump())
		if attempts--; attempts <= 0 || !isInterrupted(err) {
			return all, err
		}
	}
}

// setType changes the type of the message at the start of b.
func setType(b []byte, typ uint16) { binary.NativeEndian.PutUint16(b[4:], typ) }

// setHeader does so with type and flags.
func setHeader(b []byte, typ uint16, flags netlink.Flags) {
	_ = b[7]
	binary.NativeEndian.PutUint16(b[4:], typ)
	binary.NativeEndian.PutUint16(b[6:], uint16(flags))
}
