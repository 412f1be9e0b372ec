package gnl

import (
	"context"
	"fmt"
	"io"
	"iter"
	"reflect"
	"sync/atomic"

	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/netlink"
)

// Command is a command of a family, with the Go types of what is asked and
// what is answered: structs whose fields are tagged as package attr says. A
// family's own header, where it has one, is a field tagged `nl:"header"`.
// Request is struct{} for a command without attributes, and Reply is struct{}
// for one that is only acknowledged.
//
// A Command is declared once, as a variable, and not copied once it is in use:
//
//	var deviceGet = gnl.Command[deviceRequest, device]{Family: "netdev", ID: 1, Name: "dev-get"}
type Command[Request, Reply any] struct {
	Family  string // name of the family
	ID      uint8  // number of the command
	Name    string // of the command, for errors: "dev-get"
	Version uint8  // of the family, as the request's header says; most families ignore it

	// Single says that the kernel answers with exactly one message or an
	// error, so that no ack is asked for. That saves a quarter of a small
	// request, but where it is not true, the request waits for ever.
	Single bool

	// Module is the kernel module to load for a family that the kernel does
	// not know, if Config.LoadModules allows it.
	Module string

	compiled atomic.Pointer[compiled[Request, Reply]]
}

// compiled is what a Command works out at its first use.
type compiled[Request, Reply any] struct {
	request attr.Codec[Request]
	reply   attr.Codec[Reply]
	what    operation
	image   []byte // of the whole request, but for the family's id, the flags and the numbers; or nil
	noReply bool   // Reply asks for nothing
	header  int    // length of the family's header in Request, padded
	batched batched
}

func (c *Command[Request, Reply]) compile() (*compiled[Request, Reply], error) {
	if p := c.compiled.Load(); p != nil {
		return p, nil
	}
	p := &compiled[Request, Reply]{what: operation{
		family: c.Family, name: c.Name, module: c.Module, command: c.ID, version: c.Version,
		request: reflect.TypeFor[Request](), kept: true,
	}}
	var err error
	if p.request, err = attr.CodecOf[Request](); err != nil {
		return nil, p.what.failed(false, err)
	}
	if p.reply, err = attr.CodecOf[Reply](); err != nil {
		return nil, p.what.failed(false, err)
	}
	for _, side := range []struct {
		typ reflect.Type
		has bool
	}{{reflect.TypeFor[Request](), p.request.Appends()}, {reflect.TypeFor[Reply](), p.reply.Unmarshals()}} {
		if !side.has && side.typ.NumField() > 0 {
			return nil, p.what.failed(false, fmt.Errorf("%w: no field of %s has an nl tag (struct{} is a type without attributes)", attr.ErrTag, side.typ))
		}
	}
	p.noReply, p.header = !p.reply.Unmarshals(), align(p.request.HeaderLen())
	if image := p.request.Image(); image != nil {
		p.image = netlink.EndMessage(append(p.what.appendHeader(nil, 0, 0), image...), 0)
	}
	p.batched = batched{
		what: &p.what, single: c.Single, noReply: p.noReply, views: p.noViews(), headerSize: p.header,
		decode: func(b []byte, headerSize int, reply any) error { return p.load(b, headerSize, reply.(*Reply)) },
	}
	c.compiled.Store(p)
	return p, nil
}

// Do makes the request and returns its reply. A refusal of the kernel is an
// [*Error] that wraps a [*netlink.Error]. Should the kernel acknowledge without
// the reply that Reply asks for, the error is [ErrNoReply]; should it give
// several, [ErrMoreReplies].
func (c *Command[Request, Reply]) Do(ctx context.Context, on Caller, request Request) (Reply, error) {
	var reply Reply
	err := c.DoInto(ctx, on, &request, &reply)
	return reply, err
}

// DoInto is [Command.Do] into the caller's memory, which may have been used
// before: strings and slices that are large enough are kept, and then nothing
// is allocated.
func (c *Command[Request, Reply]) DoInto(ctx context.Context, on Caller, request *Request, reply *Reply) error {
	p, err := c.compile()
	if err == nil {
		err = p.batched.views
	}
	if err != nil {
		return err
	}
	k := call{on: on, what: &p.what, single: c.Single}
	if err := p.send(ctx, &k, request); err != nil {
		return err
	}
	defer k.end()
	for replies := 0; ; replies++ {
		m, err := k.next(ctx)
		switch {
		case err == io.EOF && replies == 0 && !p.noReply:
			return k.what.failed(false, ErrNoReply)
		case err == io.EOF:
			return k.outcome()
		case err != nil:
			return err
		case replies > 0 && !p.noReply:
			k.unlucky = true
			return k.what.failed(false, ErrMoreReplies)
		}
		if err := p.decode(&k, m, reply); err != nil {
			return err
		}
		if c.Single {
			return nil
		}
	}
}

// All makes the request and yields every reply: some commands answer with
// several messages. It ends with an error if the kernel refuses.
func (c *Command[Request, Reply]) All(ctx context.Context, on Caller, request Request) iter.Seq2[Reply, error] {
	return fresh(func(reply *Reply) iter.Seq2[*Reply, error] { return c.answers(ctx, on, &request, reply, false, false) })
}

// Dump asks for all there is (NLM_F_DUMP) and yields entry after entry, as
// they come: memory does not grow with their number. It ends with an error if
// the kernel refuses or gives up, or, after the last entry, with
// [ErrInterrupted] if what it lists changed meanwhile; [CollectConsistent] asks again.
//
// The socket is busy until the loop ends. Requests made within the loop take
// others from the pool; on a Conn, which has none, they would wait for the end.
func (c *Command[Request, Reply]) Dump(ctx context.Context, on Caller, request Request) iter.Seq2[Reply, error] {
	return fresh(func(reply *Reply) iter.Seq2[*Reply, error] { return c.answers(ctx, on, &request, reply, true, false) })
}

// DumpInto is [Command.Dump] into the caller's memory: every entry is decoded
// into reply, which is yielded and holds the entry until the next. Here alone may
// Reply have fields tagged view.
func (c *Command[Request, Reply]) DumpInto(ctx context.Context, on Caller, request *Request, reply *Reply) iter.Seq2[*Reply, error] {
	return c.answers(ctx, on, request, reply, true, true)
}

// fresh yields values of their own, where into decodes into one place.
func fresh[Reply any](into func(*Reply) iter.Seq2[*Reply, error]) iter.Seq2[Reply, error] {
	return func(yield func(Reply, error) bool) {
		var reply, zero Reply
		for r, err := range into(&reply) {
			if err != nil {
				yield(zero, err)
				return
			}
			if !yield(*r, nil) {
				return
			}
			reply = zero // what was yielded is not to be overwritten
		}
	}
}

func (c *Command[Request, Reply]) answers(ctx context.Context, on Caller, request *Request, reply *Reply, dump, views bool) iter.Seq2[*Reply, error] {
	return func(yield func(*Reply, error) bool) {
		p, err := c.compile()
		if err == nil && !views {
			err = p.batched.views
		}
		if err != nil {
			yield(nil, err)
			return
		}
		k := call{on: on, what: &p.what, dump: dump}
		if err := p.send(ctx, &k, request); err != nil {
			yield(nil, err)
			return
		}
		defer k.end()
		for {
			m, err := k.next(ctx)
			if err == io.EOF {
				err = k.outcome()
				if err == nil {
					return
				}
			} else if err == nil {
				err = p.decode(&k, m, reply)
			}
			if err != nil {
				k.end() // before the caller acts on the error
				yield(nil, err)
				return
			}
			if !yield(reply, nil) {
				return
			}
		}
	}
}

// noViews refuses a Reply that would look into memory of the socket after the
// socket has been given back.
func (p *compiled[Request, Reply]) noViews() error {
	if p.reply.Views() {
		return p.what.failed(false, fmt.Errorf("%w: %s has fields tagged view, which are valid until the next message only: use DumpInto, or leave the option out",
			attr.ErrTag, reflect.TypeFor[Reply]()))
	}
	return nil
}

// send takes a socket and sends the request; on an error all is given back.
func (p *compiled[Request, Reply]) send(ctx context.Context, k *call, request *Request) (err error) {
	if err = k.begin(ctx); err != nil {
		return err
	}
	sent := false
	defer func() {
		if !sent { // it failed, or a method of the request's own panicked
			k.end()
		}
	}()
	if err = p.build(k, request); err != nil {
		return k.what.failed(k.dump, err)
	}
	err = k.send()
	sent = err == nil
	return err
}

// build makes the socket's request.
func (p *compiled[Request, Reply]) build(k *call, request *Request) (err error) {
	switch {
	case p.header != k.family.headerSize:
		return headerMismatch(p.what.request, p.header, k.family.headerSize)
	case p.image != nil && request != nil:
		b := append(k.socket.request[:0], p.image...)
		setHeader(b, k.family.id, k.flags())
		p.request.Fill(b[payloadAt:], request)
		k.socket.request = b
		return nil
	}
	b, err := p.appendTo(k.beginMessage(), request)
	k.socket.request = netlink.EndMessage(b, 0)
	return err
}

// appendTo appends the family's header and the attributes.
func (p *compiled[Request, Reply]) appendTo(b []byte, request *Request) ([]byte, error) {
	if p.header > 0 && request != nil {
		b = p.request.AppendHeader(b, request)
		for len(b)%4 != 0 { // the header begins at a multiple of 4
			b = append(b, 0)
		}
	}
	return p.request.Append(b, request)
}

// decode decodes an answer.
func (p *compiled[Request, Reply]) decode(k *call, m *netlink.Message, reply *Reply) error {
	if err := p.load(m.Data[genlHeaderLen:], k.family.headerSize, reply); err != nil {
		k.unlucky = true
		return k.what.failed(k.dump, err)
	}
	return nil
}

func (p *compiled[Request, Reply]) load(b []byte, headerSize int, reply *Reply) error {
	if headerSize > 0 {
		if err := p.reply.UnmarshalHeader(b[:headerSize], reply); err != nil {
			return err
		}
	}
	return p.reply.Unmarshal(b[headerSize:], reply)
}
