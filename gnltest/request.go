package gnltest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/internal/unix"
	"github.com/gnlgo/gnl/netlink"
)

// genlHeaderLen is the size of struct genlmsghdr: command u8, version u8,
// reserved u16.
const genlHeaderLen = 4

// Request is a request as the Kernel received it, and the way to answer it. It
// is for the handler that it is given to, while that runs, and what the handler
// starts; one goroutine at a time.
type Request struct {
	// Message is the request, decoded as far as its family is known. Its
	// header's PortID is what the requester wrote there.
	gnl.Message

	kernel   *Kernel
	peer     *peer
	family   *family // nil if there is none of the id
	raw      []byte  // the message
	reserved uint16  // of struct genlmsghdr
	warning  string  // what the check of the attributes had to say

	dump        bool
	ended       bool   // the dump has come to its end
	parts       []byte // of a dump, to go out as one datagram
	endInPlace  bool   // the end of the dump goes with the last parts, if it fits
	interrupted bool   // the next message of the dump is to say so
}

// SkipEnd is returned by handlers that have answered by themselves, or want
// silence: no ack, no error, and no NLMSG_DONE is added to what they have sent.
var SkipEnd error = skipEnd{}

type skipEnd struct{}

func (skipEnd) Error() string { return "gnltest: nothing is to be added to what was sent" }

// Refuse wraps an error for a dump's handler that refuses as such, before the
// dump starts: the answer is NLMSG_ERROR instead of NLMSG_DONE.
func Refuse(err error) error { return &refusal{err} }

type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// parse decodes the headers behind the netlink header; false if they are cut short.
func (r *Request) parse(payload []byte, f *family) bool {
	r.family = f
	headerSize := 0
	if f != nil {
		r.Family = f.Name
		headerSize = align(int(f.HeaderSize))
	}
	if len(payload) < genlHeaderLen {
		return false
	}
	r.Command, r.Version = payload[0], payload[1]
	r.reserved = binary.NativeEndian.Uint16(payload[2:])
	if len(payload) < genlHeaderLen+headerSize {
		return false
	}
	r.UserHeader = payload[genlHeaderLen : genlHeaderLen+headerSize]
	r.Attributes = payload[genlHeaderLen+headerSize:]
	return true
}

// Context is done when the Kernel closes, and when an answer finds that the
// socket that asked is no more. Handlers that wait must watch it.
func (r *Request) Context() context.Context { return r.peer.ctx }

// Bytes is the request's whole message.
func (r *Request) Bytes() []byte { return r.raw }

// Socket is the port id of the socket that asked.
func (r *Request) Socket() uint32 { return r.peer.port }

// IsDump reports whether the request asks for a dump.
func (r *Request) IsDump() bool { return r.dump }

// OffsetOf returns where the attribute begins that a path of numbers leads to,
// in bytes from the start of the message; 0 if it is not there. It is what
// [netlink.Error] wants as Offset and as MissingNest.
func (r *Request) OffsetOf(path ...uint16) int {
	list, at := r.Attributes, len(r.raw)-len(r.Attributes)
	for i, number := range path {
		d := attr.NewDecoder(list)
		found := false
		start := 0
		for d.Next() {
			if d.Type() == number {
				found = true
				break
			}
			start += align(4 + len(d.Bytes()))
		}
		switch {
		case !found:
			return 0
		case i == len(path)-1:
			return at + start
		}
		list, at = d.Bytes(), at+start+4
	}
	return 0
}

// Reply sends an answer: a generic netlink message with a command number, which
// in many families is another than the request's, and a body. See
// [Request.Answer] for what body may be. Within a dump answers are gathered, as
// many as the kernel would put into one datagram.
func (r *Request) Reply(command uint8, body any) {
	m := r.Answer(command, body)
	if !r.dump {
		r.Send(m)
		return
	}
	if r.interrupted {
		m.Flags |= netlink.FlagDumpInterrupted
		r.interrupted = false
	}
	b := appendMessages(nil, []netlink.Message{m})
	if len(r.parts) > 0 && len(r.parts)+len(b) > r.room() {
		r.Flush()
	}
	r.parts = append(r.parts, b...)
}

// The kernel makes a dump's first datagram no larger than what fits a page
// (NLMSG_GOODSIZE), and later ones as large as the largest buffer that the
// socket has received with, up to 32 KiB less its own overhead.
const (
	firstDatagram  = 4096 - 320
	largerDatagram = 32<<10 - 320
)

func (r *Request) room() int {
	r.kernel.mu.Lock()
	defer r.kernel.mu.Unlock()
	if p := r.peer; p.served && p.size > firstDatagram {
		return min(p.size, largerDatagram)
	}
	return firstDatagram
}

// Flush sends the answers that a dump has gathered.
func (r *Request) Flush() {
	if len(r.parts) > 0 {
		r.kernel.deliver(r.peer, r.parts, r.dump)
		r.parts = r.parts[:0]
	}
}

// Interrupt makes the next message of a dump, an answer or NLMSG_DONE, say that
// what is listed has changed (NLM_F_DUMP_INTR).
func (r *Request) Interrupt() { r.interrupted = true }

// Answer makes what [Request.Reply] sends, without sending it: a message of the
// request's family, sequence number and port, in a dump with NLM_F_MULTI.
//
// The body is a struct, or a pointer to one, with tags for package attr; or a
// []byte with all that follows the generic netlink header; or nil. For a family
// with a header of its own it is nil, which gives zeros, or a []byte, which
// [Encode] makes. Answer panics on a body that cannot be encoded.
func (r *Request) Answer(command uint8, body any) netlink.Message {
	m := netlink.Message{Header: r.header(r.Type, 0)}
	if r.dump {
		m.Flags = netlink.FlagMulti
	}
	m.Data = appendBody([]byte{command, r.version(), 0, 0}, r.family, body)
	return m
}

func (r *Request) version() uint8 {
	if r.family == nil {
		return r.Version
	}
	return uint8(r.family.Version)
}

// header is that of an answer.
func (r *Request) header(typ uint16, flags netlink.Flags) netlink.Header {
	return netlink.Header{Type: typ, Flags: flags, Sequence: r.Sequence, PortID: r.peer.port}
}

// Ack makes the plain ack of the request.
func (r *Request) Ack() netlink.Message { return r.Error(nil) }

// Error makes the message that refuses the request (see [Command.Do] for what
// err may be), as the kernel does for sockets with NETLINK_CAP_ACK and
// NETLINK_EXT_ACK: of the request it repeats only the header. Nil is the ack.
func (r *Request) Error(err error) netlink.Message { return r.result(err, true) }

// UncappedError is [Request.Error] with the whole request repeated, as for
// sockets without NETLINK_CAP_ACK.
func (r *Request) UncappedError(err error) netlink.Message { return r.result(err, false) }

// result is netlink_ack.
func (r *Request) result(err error, capped bool) netlink.Message {
	e := kernelError(err)
	m := netlink.Message{Header: r.header(netlink.TypeError, 0)}
	m.Data = binary.NativeEndian.AppendUint32(nil, uint32(-int32(e.Errno)))
	if capped || e.Errno == 0 {
		m.Flags |= netlink.FlagCapped
		m.Data = append(m.Data, r.raw[:netlink.HeaderLen]...)
	} else {
		m.Data = append(m.Data, r.raw...)
		m.Data = append(m.Data, make([]byte, align(len(m.Data))-len(m.Data))...)
	}
	return withExtendedAck(m, e)
}

// Done makes the end of a dump. An error stands in it with its extended ack.
func (r *Request) Done(err error) netlink.Message {
	e := kernelError(err)
	m := netlink.Message{Header: r.header(netlink.TypeDone, netlink.FlagMulti)}
	m.Data = binary.NativeEndian.AppendUint32(nil, uint32(-int32(e.Errno)))
	return withExtendedAck(m, e)
}

// withExtendedAck appends the attributes, in the order of netlink_ack_tlv_fill.
func withExtendedAck(m netlink.Message, e *netlink.Error) netlink.Message {
	var tlvs attr.Encoder
	if e.Message != "" {
		tlvs.String(1, e.Message)
	}
	if e.Cookie != nil {
		tlvs.Bytes(3, e.Cookie)
	}
	if e.Errno != 0 {
		if e.Offset != 0 {
			tlvs.Uint32(2, uint32(e.Offset))
		}
		if e.Policy != nil {
			tlvs.Raw(attr.Raw{Type: 4 | attr.FlagNested, Payload: e.Policy})
		}
		if e.HasMissing {
			tlvs.Uint32(5, e.Missing)
		}
		if e.MissingNest != 0 {
			tlvs.Uint32(6, uint32(e.MissingNest))
		}
	}
	b, err := tlvs.Finish()
	if err != nil {
		panic(fmt.Errorf("gnltest: extended ack: %w", err))
	}
	if len(b) > 0 {
		m.Flags |= netlink.FlagAckTLVs
		m.Data = append(m.Data, b...)
	}
	return m
}

// kernelError turns what a handler returned into what the kernel says; Errno 0
// is success.
func kernelError(err error) *netlink.Error {
	if err == nil {
		return &netlink.Error{}
	}
	var e *netlink.Error
	if errors.As(err, &e) {
		return e
	}
	var errno netlink.Errno
	if errors.As(err, &errno) {
		return &netlink.Error{Errno: errno}
	}
	return &netlink.Error{Errno: unix.EINVAL, Message: err.Error()}
}

// Send sends messages to the socket that asked, as one datagram, whatever they
// are. Lengths that are 0 are filled in, and padding is put between the
// messages, not behind the last. What a dump has gathered goes before.
func (r *Request) Send(messages ...netlink.Message) {
	for _, m := range messages {
		if m.Type == netlink.TypeDone || m.Type == netlink.TypeError {
			r.finish()
		}
	}
	r.SendBytes(appendMessages(nil, messages))
}

// SendBytes is [Request.Send] with a datagram of any bytes.
func (r *Request) SendBytes(b []byte) {
	r.Flush()
	r.kernel.deliver(r.peer, b, r.dump)
}

// finish lets the socket start another dump.
func (r *Request) finish() {
	if r.dump && !r.ended {
		r.ended = true
		r.kernel.mu.Lock()
		r.peer.dumping = false
		r.kernel.mu.Unlock()
	}
}

// Overrun makes the socket that asked lose messages: its next receive fails
// with ENOBUFS, as when an answer finds its receive buffer full. What is queued
// already stays; until the socket has taken that, it loses all that is sent.
//
// It needs the privilege that [GroupsPermitted] asks for, and returns an error
// without. A message of type [netlink.TypeOverrun] says the same without
// privilege.
func (r *Request) Overrun() error {
	r.Flush()
	return r.kernel.Overrun(r.peer.port)
}

// end is what follows when a handler has returned.
func (r *Request) end(err error) {
	defer r.finish()
	if errors.Is(err, SkipEnd) {
		r.Flush()
		return
	}
	e := kernelError(err)
	if e.Message == "" && r.warning != "" {
		e = &netlink.Error{Errno: e.Errno, Message: r.warning, Offset: e.Offset, Missing: e.Missing, HasMissing: e.HasMissing,
			MissingNest: e.MissingNest, Policy: e.Policy, Cookie: e.Cookie}
	}
	var refused *refusal
	switch {
	case r.dump && !errors.As(err, &refused):
		m := r.Done(e)
		if r.interrupted {
			m.Flags |= netlink.FlagDumpInterrupted
		}
		if b := appendMessages(r.parts, []netlink.Message{m}); r.endInPlace && len(b) <= r.room() {
			r.finish()
			r.parts = b
			r.Flush()
			return
		}
		r.Send(m)
	case e.Errno != 0 || r.Flags&netlink.FlagAck != 0:
		r.Send(r.Error(e))
	}
}

// appendMessages encodes messages for one datagram.
func appendMessages(b []byte, messages []netlink.Message) []byte {
	for i, m := range messages {
		start := len(b)
		b = netlink.BeginMessage(b, m.Type, m.Flags)
		b = append(b, m.Data...)
		length := m.Length
		if length == 0 {
			length = uint32(len(b) - start)
		}
		binary.NativeEndian.PutUint32(b[start:], length)
		binary.NativeEndian.PutUint32(b[start+8:], m.Sequence)
		binary.NativeEndian.PutUint32(b[start+12:], m.PortID)
		for i < len(messages)-1 && len(b)%4 != 0 {
			b = append(b, 0)
		}
	}
	return b
}

// appendBody appends what follows the generic netlink header.
func appendBody(b []byte, f *family, body any) []byte {
	headerSize := 0
	if f != nil {
		headerSize = align(int(f.HeaderSize))
	}
	switch v := body.(type) {
	case nil:
		return append(b, make([]byte, headerSize)...)
	case []byte:
		return append(b, v...)
	}
	if headerSize > 0 {
		panic(fmt.Errorf("gnltest: family %s has a header of its own: give what Encode makes of the %T", f.Name, body))
	}
	b, err := attr.Append(b, body)
	if err != nil {
		panic(fmt.Errorf("gnltest: %w", err))
	}
	return b
}

// Encode makes the body of a message of a struct with tags for package attr:
// the family's own header, where the struct has one (a field tagged
// `nl:"header"`), and the attributes. It panics if v cannot be encoded.
func Encode[T any](v T) []byte {
	codec := codecOf[T]()
	b := codec.AppendHeader(nil, &v)
	b = append(b, make([]byte, align(len(b))-len(b))...)
	b, err := codec.Append(b, &v)
	if err != nil {
		panic(fmt.Errorf("gnltest: %w", err))
	}
	return b
}

// Decode decodes the body of a request, the family's own header included. For
// families without one [gnl.Message.Unmarshal] does the same.
func Decode[T any](r *Request) (T, error) {
	codec := codecOf[T]()
	var v T
	if codec.HeaderLen() > 0 {
		if err := codec.UnmarshalHeader(r.UserHeader, &v); err != nil {
			return v, err
		}
	}
	return v, codec.Unmarshal(r.Attributes, &v)
}

func codecOf[T any]() attr.Codec[T] {
	codec, err := attr.CodecOf[T]()
	if err != nil {
		panic(fmt.Errorf("gnltest: %w", err))
	}
	return codec
}

// DoFunc makes a handler for [Command.Do] of a function of Go types: those that
// the gnl.Command under test has. A reply type that asks for nothing, struct{},
// is only acknowledged.
func DoFunc[In, Out any](command uint8, f func(In) (Out, error)) func(*Request) error {
	silent := !codecOf[Out]().Appends()
	return func(r *Request) error {
		in, err := Decode[In](r)
		if err != nil {
			return err
		}
		out, err := f(in)
		if err == nil && !silent {
			r.Reply(command, Encode(out))
		}
		return err
	}
}

// DumpFunc makes a handler for [Command.Dump] of a function of Go types. What f
// returns together with an error is sent before it.
func DumpFunc[In, Out any](command uint8, f func(In) ([]Out, error)) func(*Request) error {
	return func(r *Request) error {
		in, err := Decode[In](r)
		if err != nil {
			return err
		}
		entries, err := f(in)
		for _, out := range entries {
			r.Reply(command, Encode(out))
		}
		return err
	}
}

// Event makes a message that answers no request, with sequence number and port
// 0, as the kernel's notifications are. See [Request.Answer] for the body.
func (k *Kernel) Event(family string, command uint8, body any) netlink.Message {
	f := k.named(family)
	return netlink.Message{
		Header: netlink.Header{Type: f.ID},
		Data:   appendBody([]byte{command, uint8(f.Version), 0, 0}, f, body),
	}
}

// groupOf returns the id of a multicast group; it panics if there is none.
func (k *Kernel) groupOf(name gnl.GroupName) uint32 {
	f := k.named(name.Family)
	i := slices.IndexFunc(f.groups, func(g gnl.Group) bool { return g.Name == name.Group })
	if i < 0 {
		panic(fmt.Errorf("gnltest: there is no group %s", name))
	}
	return f.groups[i].ID
}
