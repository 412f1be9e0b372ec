//go:build linux

package gnltest_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/gnltest"
	"github.com/gnlgo/gnl/netlink"
)

// toy is a family of one command with handlers, under a fixed id.
func toy(do, dump func(*gnltest.Request) error) gnltest.Family {
	return gnltest.Family{Name: "toy", ID: toyID, Version: 3, Commands: []gnltest.Command{{ID: 1, Do: do, Dump: dump}}}
}

const toyID = 40

var toyRequest = gnl.Request{Family: "toy", Command: 1}

// dial opens a socket to the fake that lasts as long as the test.
func dial(t testing.TB, k *gnltest.Kernel, config *netlink.Config) *netlink.Conn {
	t.Helper()
	c, err := k.Dial(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// send sends a request for the toy's command, with more flags.
func send(t testing.TB, c *netlink.Conn, flags netlink.Flags) (sequence uint32) {
	t.Helper()
	sequence, err := c.Send(netlink.AppendMessage(nil, toyID, netlink.FlagRequest|flags, []byte{1, 1, 0, 0}))
	if err != nil {
		t.Fatal(err)
	}
	return sequence
}

// next receives a message.
func next(t testing.TB, c *netlink.Conn) *netlink.Message {
	t.Helper()
	m, err := c.Receive(timeout(t))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// timeout is a context that no passing test comes to the end of.
func timeout(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// quiet fails the test if something comes.
func quiet(t testing.TB, c *netlink.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if m, err := c.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("something came: %+v, %v", m, err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// The recordings are whole messages of Linux 6.18. The families are declared
// here as that kernel has them; what their handlers object to is stated.
func TestRecordedRefusalsComeOutToTheByte(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the recordings are little-endian")
	}
	b, err := os.ReadFile("../netlink/testdata/extack.json")
	must(t, err)
	var recorded []struct{ Case, TX, RX string }
	must(t, json.Unmarshal(b, &recorded))

	k := gnltest.NewKernel(t)
	ifindex := gnl.AttributePolicy{ID: 1, Type: gnl.TypeU32, Min: gnl.Some(gnl.Unsigned(1))}
	k.Register(gnltest.Family{Name: "netdev", ID: 20, Version: 1, Commands: []gnltest.Command{
		{ID: 1, Policy: []gnl.AttributePolicy{ifindex}, Do: func(r *gnltest.Request) error {
			return &netlink.Error{Errno: syscall.EINVAL, Missing: 1, HasMissing: true}
		}},
		{ID: 12, Dump: func(r *gnltest.Request) error {
			return &netlink.Error{Errno: syscall.ENODEV, Offset: r.OffsetOf(1)}
		}},
	}})
	nest := []gnl.AttributePolicy{{ID: 1, Type: gnl.TypeNested, Policy: gnl.Some[uint32](0)}}
	k.Register(gnltest.Family{Name: "ethtool", ID: 21, Version: 1,
		Policies: []gnl.PolicyTable{{Index: 0, Attributes: []gnl.AttributePolicy{
			{ID: 1, Type: gnl.TypeU32}, {ID: 2, Type: gnl.TypeNulString, MaxLength: gnl.Some[uint32](15)},
		}}},
		Commands: []gnltest.Command{
			{ID: 2, Policy: nest, Do: func(r *gnltest.Request) error {
				return &netlink.Error{Errno: syscall.EINVAL, Message: "neither ifindex nor name specified", Offset: r.OffsetOf(1)}
			}},
			{ID: 6, Policy: nest, Do: func(r *gnltest.Request) error {
				e := attr.NewEncoder(nil)
				header := e.Begin(1)
				e.Uint32(1, 1)
				e.String(2, "lo")
				e.End(header)
				e.Uint8(2, 1)
				body, err := e.Finish()
				r.Reply(6, body)
				return err
			}},
		}})

	for _, r := range recorded {
		c := dial(t, k, nil)
		tx, want := unhex(r.TX), unhex(r.RX)
		_, err := c.Send(slices.Clone(tx))
		must(t, err)
		m := next(t, c)
		got := netlink.AppendMessage(nil, m.Type, m.Flags, m.Data)
		copy(got[8:16], want[8:16]) // sequence and port of the answer
		if m.Type == netlink.TypeError {
			copy(got[28:36], want[28:36]) // of the request that it repeats
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\n got %x\nwant %x", r.Case, got, want)
		}
	}
}

func TestRefusalsByPolicyEqualThoseOfTheRunningKernel(t *testing.T) {
	k, families := twin(t)
	id := map[string]uint16{}
	for _, f := range families {
		id[f.Name] = f.ID
	}
	nest := func(e *attr.Encoder, f func()) { n := e.Begin(1); f(); e.End(n) }
	for _, q := range []struct {
		family  string
		command uint8
		dump    bool
		encode  func(*attr.Encoder)
	}{
		{"netdev", 1, false, func(e *attr.Encoder) { e.Uint16(1, 1) }},
		{"netdev", 1, false, func(e *attr.Encoder) { e.Uint32(1, 0) }},
		{"netdev", 1, false, func(e *attr.Encoder) { e.Uint64(1, 1) }},
		{"netdev", 1, false, func(e *attr.Encoder) { e.Uint32(2, 1) }},
		{"netdev", 1, false, func(e *attr.Encoder) { e.Uint32(99, 1) }},
		{"netdev", 1, false, func(e *attr.Encoder) { e.Raw(attr.Raw{Type: 1 | attr.FlagNested, Payload: []byte{1, 0, 0, 0}}) }},
		{"netdev", 12, true, func(e *attr.Encoder) { e.Uint32(1, 0) }},
		{"netdev", 12, true, func(e *attr.Encoder) { e.Uint64(2, 1<<40) }},
		{"netdev", 12, true, func(e *attr.Encoder) { e.Uint8(2, 1) }},
		{"netdev", 77, false, nil},
		{"ethtool", 2, false, func(e *attr.Encoder) { e.Bytes(1, []byte{7, 0, 2, 0, 'l', 'o', 0, 0}) }},
		{"ethtool", 2, false, func(e *attr.Encoder) { e.Raw(attr.Raw{Type: 1 | attr.FlagNested, Payload: []byte{1}}) }},
		{"ethtool", 2, false, func(e *attr.Encoder) { nest(e, func() { e.Uint32(77, 1) }) }},
		{"ethtool", 2, false, func(e *attr.Encoder) { nest(e, func() { e.Uint8(1, 1) }) }},
		{"ethtool", 2, false, func(e *attr.Encoder) { nest(e, func() { e.String(2, strings.Repeat("x", 200)) }) }},
		{"ethtool", 2, false, func(e *attr.Encoder) { nest(e, func() { e.Bytes(2, nil) }) }},
		{"ethtool", 2, false, func(e *attr.Encoder) { nest(e, func() { e.Uint32(3, 1<<30) }) }},
		{"ethtool", 2, false, func(e *attr.Encoder) { nest(e, func() {}); e.Uint32(2, 1) }},
		{"ethtool", 2, true, func(e *attr.Encoder) { nest(e, func() { e.Uint8(1, 1) }) }},
		{"TASKSTATS", 1, false, func(e *attr.Encoder) { e.Uint16(1, 1) }},
		{"TASKSTATS", 1, true, nil},
		{"no-such", 1, false, nil},
	} {
		data := []byte{q.command, 1, 0, 0}
		if q.encode != nil {
			e := attr.NewEncoder(data)
			q.encode(e)
			var err error
			data, err = e.Finish()
			must(t, err)
		}
		typ, ok := id[q.family]
		if !ok && q.family != "no-such" {
			t.Logf("this kernel has no family %s", q.family)
			continue
		}
		if typ == 0 {
			typ = 999
		}
		flags := netlink.FlagRequest | netlink.FlagAck
		if q.dump {
			flags |= netlink.FlagDump
		}
		answer := func(c *netlink.Conn, err error) []byte {
			must(t, err)
			defer c.Close()
			_, err = c.Send(netlink.AppendMessage(nil, typ, flags, data))
			must(t, err)
			m := next(t, c)
			b := netlink.AppendMessage(nil, m.Type, m.Flags, m.Data)
			clear(b[28:36]) // sequence and port of the repeated header
			return b
		}
		want := answer(netlink.Dial(netlink.Generic, nil))
		if int32(binary.NativeEndian.Uint32(want[16:])) == -int32(syscall.EPERM) {
			continue // the fake does not look at who asks
		}
		got := answer(k.Dial(nil))
		if !bytes.Equal(got, want) {
			t.Errorf("%s %d, dump %v, %x:\n fake %x\n real %x", q.family, q.command, q.dump, data, got, want)
		}
	}
}

// Reserved bits are refused by families that are newer than that check.
func TestHeaderBitsThatMeanNothingAreRefusedAsTheRunningKernelDoes(t *testing.T) {
	k, families := twin(t)
	i := slices.IndexFunc(families, func(f gnl.Family) bool { return f.Name == "netdev" })
	if i < 0 {
		t.Skip("this kernel has no family netdev")
	}
	for _, q := range []struct {
		flags netlink.Flags
		data  []byte
	}{{0, []byte{1, 1, 1, 0}}, {0x800, []byte{1, 1, 0, 0}}, {0x100, []byte{1, 1, 0, 0}}} {
		answer := func(c *netlink.Conn, err error) string {
			must(t, err)
			defer c.Close()
			_, err = c.Send(netlink.AppendMessage(nil, families[i].ID, netlink.FlagRequest|q.flags, q.data))
			must(t, err)
			m := next(t, c)
			return fmt.Sprintf("%d %v %v", m.Type, m.Flags, m.Result())
		}
		want := answer(netlink.Dial(netlink.Generic, nil))
		if got := answer(k.Dial(nil)); got != want {
			t.Errorf("fake: %s\nreal: %s", got, want)
		}
	}
}

func TestAHandlerSeesTheWholeRequest(t *testing.T) {
	k := gnltest.NewKernel(t)
	f := toy(nil, nil)
	f.HeaderSize = 6
	f.Commands[0].Do = func(r *gnltest.Request) error {
		var q struct {
			Nest struct {
				Name string `nl:"2"`
			} `nl:"5"`
		}
		switch err := r.Unmarshal(&q); {
		case err != nil:
			return err
		case r.Family != "toy" || r.Command != 1 || r.Version != 9 || r.Type != toyID || r.IsDump():
			t.Errorf("%+v", r.Message)
		case !bytes.Equal(r.UserHeader, []byte{1, 2, 3, 4, 5, 6, 0, 0}) || q.Nest.Name != "x":
			t.Errorf("%x, %+v", r.UserHeader, q)
		case r.OffsetOf(4) != 28 || r.OffsetOf(5) != 36 || r.OffsetOf(5, 2) != 40 || r.OffsetOf(6) != 0 || r.OffsetOf(5, 3) != 0:
			t.Errorf("offsets %d, %d, %d", r.OffsetOf(4), r.OffsetOf(5), r.OffsetOf(5, 2))
		}
		r.Reply(7, append([]byte{9, 9, 9, 9, 9, 9, 0, 0}, r.Attributes...))
		return nil
	}
	k.Register(f)
	var e attr.Encoder
	e.Uint32(4, 0)
	n := e.Begin(5)
	e.String(2, "x")
	e.End(n)
	attributes, err := e.Finish()
	must(t, err)
	replies, err := k.Client().Do(timeout(t), gnl.Request{Family: "toy", Command: 1, Version: 9,
		UserHeader: []byte{1, 2, 3, 4, 5, 6}, Attributes: attributes})
	must(t, err)
	if m := replies[0]; len(replies) != 1 || m.Command != 7 || m.Version != 3 ||
		!bytes.Equal(m.UserHeader, []byte{9, 9, 9, 9, 9, 9, 0, 0}) || !bytes.Equal(m.Attributes, attributes) {
		t.Errorf("%+v", replies)
	}
}

func TestTypedHandlersEncodeAndDecodeAFamilysOwnHeader(t *testing.T) {
	type header struct{ A, B uint32 }
	type message struct {
		Header header `nl:"header"`
		Value  uint16 `nl:"1"`
	}
	k := gnltest.NewKernel(t)
	f := toy(gnltest.DoFunc(1, func(q message) (message, error) {
		return message{header{q.Header.B, q.Header.A}, q.Value + 1}, nil
	}), gnltest.DumpFunc(1, func(q message) ([]message, error) {
		return []message{q, q}, syscall.EAGAIN
	}))
	f.HeaderSize = 8
	k.Register(f)
	command := gnl.Command[message, message]{Family: "toy", ID: 1}
	c := k.Client()
	got, err := command.Do(timeout(t), c, message{header{1, 2}, 3})
	if want := (message{header{2, 1}, 4}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	all, err := gnl.Collect(command.Dump(timeout(t), c, message{header{1, 2}, 3}))
	if len(all) != 2 || !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestWhatAHandlerReturnsBecomesTheAnswer(t *testing.T) {
	k := gnltest.NewKernel(t)
	outcomes := make(chan error, 1)
	k.Register(toy(func(r *gnltest.Request) error { return <-outcomes }, func(*gnltest.Request) error { return <-outcomes }))
	full := &netlink.Error{Errno: syscall.ERANGE, Message: "words", Offset: 20, Cookie: []byte{1, 2},
		Policy: unhex("080001000d000000"), Missing: 7, HasMissing: true, MissingNest: 24}
	for _, c := range []struct {
		outcome error
		flags   netlink.Flags
		typ     uint16
		answer  netlink.Flags
		data    string // behind the errno and, of an ack, the repeated header
		errno   syscall.Errno
	}{
		{nil, netlink.FlagAck, netlink.TypeError, 0x100, "", 0},
		{syscall.EBUSY, netlink.FlagAck, netlink.TypeError, 0x100, "", syscall.EBUSY},
		{syscall.EBUSY, 0, netlink.TypeError, 0x100, "", syscall.EBUSY},
		{fmt.Errorf("no: %w", syscall.EPERM), 0, netlink.TypeError, 0x100, "", syscall.EPERM},
		{errors.New("any"), 0, netlink.TypeError, 0x300, "08000100616e7900", syscall.EINVAL},
		{&netlink.Error{Message: "but"}, netlink.FlagAck, netlink.TypeError, 0x300, "0800010062757400", 0},
		{full, 0, netlink.TypeError, 0x300, "0a000100776f72647300000006000300010200000800020014000000" +
			"0c000480080001000d00000008000500070000000800060018000000", syscall.ERANGE},
		{nil, netlink.FlagDump, netlink.TypeDone, netlink.FlagMulti, "", 0},
		{syscall.EBUSY, netlink.FlagDump, netlink.TypeDone, netlink.FlagMulti, "", syscall.EBUSY},
		{&netlink.Error{Errno: syscall.ENODEV, Offset: 20}, netlink.FlagDump, netlink.TypeDone, 0x202, "0800020014000000", syscall.ENODEV},
		{gnltest.Refuse(syscall.EBUSY), netlink.FlagDump, netlink.TypeError, 0x100, "", syscall.EBUSY},
	} {
		outcomes <- c.outcome
		conn := dial(t, k, nil)
		sequence := send(t, conn, c.flags)
		m := next(t, conn)
		want := binary.NativeEndian.AppendUint32(nil, uint32(-int32(c.errno)))
		if c.typ == netlink.TypeError {
			h := netlink.AppendMessage(nil, toyID, netlink.FlagRequest|c.flags, nil)
			binary.NativeEndian.PutUint32(h, 20)
			binary.NativeEndian.PutUint32(h[8:], sequence)
			binary.NativeEndian.PutUint32(h[12:], conn.PortID())
			want = append(want, h...)
		}
		want = append(want, unhex(c.data)...)
		if m.Type != c.typ || m.Flags != c.answer || m.Sequence != sequence || m.PortID != conn.PortID() || !bytes.Equal(m.Data, want) {
			t.Errorf("%v: %+v\n want %x", c.outcome, m, want)
		}
		quiet(t, conn)
	}
	conn := dial(t, k, nil)
	outcomes <- nil
	send(t, conn, 0)
	quiet(t, conn) // no ack was asked for
	outcomes <- gnltest.SkipEnd
	send(t, conn, netlink.FlagAck)
	quiet(t, conn)
}

func TestAnUncappedRefusalRepeatsTheWholeRequest(t *testing.T) {
	k := gnltest.NewKernel(t)
	var request []byte
	k.Register(toy(func(r *gnltest.Request) error {
		request = r.Bytes()
		r.Send(r.UncappedError(&netlink.Error{Errno: syscall.EPERM, Message: "no"}))
		return gnltest.SkipEnd
	}, nil))
	conn := dial(t, k, nil)
	_, err := conn.Send(lengthened(netlink.BeginMessage(nil, toyID, netlink.FlagRequest)))
	must(t, err)
	_, err = conn.Send(lengthened(netlink.BeginMessage(nil, toyID, netlink.FlagRequest), 1, 1, 0, 0, 7))
	must(t, err)
	if m := next(t, conn); !errors.Is(m.Result(), syscall.EINVAL) { // no room for a command
		t.Errorf("%+v", m)
	}
	m := next(t, conn)
	if want := slices.Concat(unhex("ffffffff"), request, []byte{0, 0, 0}, unhex("070001006e6f0000")); m.Flags != 0x200 || !bytes.Equal(m.Data, want) {
		t.Errorf("%+v\n want %x", m, want)
	}
}

// lengthened appends data to a message, without padding.
func lengthened(b []byte, data ...byte) []byte {
	b = append(b, data...)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	return b
}

func TestMessagesThatAreNoRequestsAreOnlyAcknowledged(t *testing.T) {
	k := gnltest.NewKernel(t)
	k.Register(toy(func(*gnltest.Request) error { t.Error("called"); return nil }, nil))
	c := dial(t, k, nil)
	for _, m := range []netlink.Message{
		{Header: netlink.Header{Type: toyID, Flags: netlink.FlagAck}, Data: []byte{1, 1, 0, 0}},
		{Header: netlink.Header{Type: netlink.TypeNoop, Flags: netlink.FlagRequest | netlink.FlagAck}},
	} {
		sequence, err := c.Send(netlink.AppendMessage(nil, m.Type, m.Flags, m.Data))
		must(t, err)
		if a := next(t, c); a.Type != netlink.TypeError || a.Result() != nil || a.Sequence != sequence {
			t.Errorf("%+v", a)
		}
	}
	_, err := c.Send(netlink.AppendMessage(nil, toyID, 0, []byte{1, 1, 0, 0}))
	must(t, err)
	quiet(t, c)
}

func TestRequestsInOneDatagramAreCarriedOutInOrder(t *testing.T) {
	k := gnltest.NewKernel(t)
	n := 0
	k.Register(toy(func(r *gnltest.Request) error {
		n++
		if n == 2 {
			return syscall.EPERM
		}
		r.Reply(1, []byte{8, 0, 1, 0, byte(n), 0, 0, 0})
		return nil
	}, nil))
	c := dial(t, k, nil)
	var b []byte
	for range 3 {
		b = netlink.AppendMessage(b, toyID, netlink.FlagRequest|netlink.FlagAck, []byte{1, 1, 0, 0})
	}
	first, err := c.Send(b)
	must(t, err)
	var got []string
	for range 5 {
		m := next(t, c)
		got = append(got, fmt.Sprintf("%d of %d: %v", m.Type, m.Sequence-first, m.Data[4%len(m.Data)]))
		if c.Buffered() {
			t.Error("two answers in one datagram")
		}
	}
	if len(got) != 5 || got[0][:7] != "40 of 0" || got[1][:6] != "2 of 0" || got[2][:6] != "2 of 1" ||
		got[3][:7] != "40 of 2" || got[4][:6] != "2 of 2" {
		t.Error(got)
	}
}

func TestASecondDumpOnASocketIsBusyAndOthersAreAnswered(t *testing.T) {
	k := gnltest.NewKernel(t)
	goOn := make(chan bool)
	k.Register(toy(func(*gnltest.Request) error { return nil }, func(r *gnltest.Request) error {
		r.Reply(1, nil)
		r.Flush()
		<-goOn
		r.Reply(1, nil)
		return nil
	}))
	c, other := dial(t, k, nil), dial(t, k, nil)
	first := send(t, c, netlink.FlagDump)
	if m := next(t, c); m.Sequence != first || m.Flags != netlink.FlagMulti {
		t.Errorf("%+v", m)
	}
	second := send(t, c, netlink.FlagDump)
	if m := next(t, c); m.Sequence != second || !errors.Is(m.Result(), syscall.EBUSY) || m.Type != netlink.TypeError {
		t.Errorf("%+v: %v", m, m.Result())
	}
	third := send(t, c, netlink.FlagAck)
	if m := next(t, c); m.Sequence != third || m.Result() != nil {
		t.Errorf("%+v", m)
	}
	send(t, other, netlink.FlagDump)
	next(t, other)
	goOn <- true
	goOn <- true
	if m := next(t, c); m.Sequence != first || m.Type != toyID {
		t.Errorf("%+v", m)
	}
	if m := next(t, c); m.Sequence != first || m.Type != netlink.TypeDone {
		t.Errorf("%+v", m)
	}
	// And now there is room for another.
	send(t, c, netlink.FlagDump)
	if m := next(t, c); m.Type != toyID {
		t.Errorf("%+v", m)
	}
	close(goOn)
}

func TestDatagramsOfADumpAreAsLargeAsTheKernels(t *testing.T) {
	k := gnltest.NewKernel(t)
	k.Register(toy(nil, func(r *gnltest.Request) error {
		for range 300 {
			r.Reply(1, make([]byte, 180)) // 200 with the headers
		}
		return nil
	}))
	for _, size := range []int{0, 8 << 10, 2 << 10} {
		c := dial(t, k, &netlink.Config{MessageSize: max(size, 4<<10)})
		if size == 0 {
			c = dial(t, k, nil)
		}
		send(t, c, netlink.FlagDump)
		var sizes []int
		for n := 0; ; {
			m := next(t, c)
			n += int(m.Length)
			if !c.Buffered() {
				sizes, n = append(sizes, n), 0
			}
			if m.Type == netlink.TypeDone {
				break
			}
		}
		want := map[int][]int{
			0:       {3600, 32400, 24000, 20},
			8 << 10: {3600, 8000, 8000, 8000, 8000, 8000, 8000, 8000, 400, 20},
		}[size]
		if want != nil && !slices.Equal(sizes, want) {
			t.Errorf("buffer of %d: datagrams of %v, want %v", size, sizes, want)
		}
	}
}

func TestAFamilyThatGoesAndComesBackHasAnotherID(t *testing.T) {
	k := gnltest.NewKernel(t)
	f := toy(func(*gnltest.Request) error { return nil }, nil)
	f.ID = 0
	first := k.Register(f)
	c := dial(t, k, nil)
	ask := func(id uint16) error {
		_, err := c.Send(netlink.AppendMessage(nil, id, netlink.FlagRequest|netlink.FlagAck, []byte{1, 1, 0, 0}))
		must(t, err)
		return next(t, c).Result()
	}
	must(t, ask(first))
	k.Unregister("toy")
	if err := ask(first); !errors.Is(err, syscall.ENOENT) {
		t.Error(err)
	}
	second := k.Register(f)
	if second == first {
		t.Error("the same id again")
	}
	if err := ask(first); !errors.Is(err, syscall.ENOENT) {
		t.Error(err)
	}
	must(t, ask(second))
}

func TestWrongDeclarationsPanic(t *testing.T) {
	k := gnltest.NewKernel(t)
	k.Register(toy(nil, nil))
	panics := func(words string, f func()) {
		t.Helper()
		defer func() {
			if err, ok := recover().(error); !ok || !strings.Contains(err.Error(), words) {
				t.Errorf("%v does not say %q", err, words)
			}
		}()
		f()
	}
	register := func(change func(*gnltest.Family)) func() {
		f := toy(nil, nil)
		f.Name, f.ID = "other", 0
		change(&f)
		return func() { k.Register(f) }
	}
	panics("there is one of that name", func() { k.Register(toy(nil, nil)) })
	panics("1 to 15 bytes", register(func(f *gnltest.Family) { f.Name = "" }))
	panics("1 to 15 bytes", register(func(f *gnltest.Family) { f.Name = "sixteen-letters-" }))
	panics("id 40 is taken", register(func(f *gnltest.Family) { f.ID = toyID }))
	panics("id 3 is taken, or not", register(func(f *gnltest.Family) { f.ID = 3 }))
	panics("header of 257 bytes", register(func(f *gnltest.Family) { f.HeaderSize = 257 }))
	panics("command 1 stands there twice", register(func(f *gnltest.Family) { f.Commands = append(f.Commands, f.Commands[0]) }))
	panics("attribute 1 stands there twice", register(func(f *gnltest.Family) {
		f.Commands[0].Policy = []gnl.AttributePolicy{{ID: 1, Type: gnl.TypeU8}, {ID: 1, Type: gnl.TypeU8}}
	}))
	panics("no policy of index 4", register(func(f *gnltest.Family) {
		f.Commands[0].DumpPolicy = []gnl.AttributePolicy{{ID: 1, Type: gnl.TypeNested, Policy: gnl.Some[uint32](4)}}
	}))
	panics("there is none", func() { k.Unregister("no-such") })
	panics("there is none", func() { k.Unregister("nlctrl") })
	panics("no family", func() { k.Event("no-such", 1, nil) })
	panics("no group toy/no-such", func() { k.Notify(gnl.GroupName{Family: "toy", Group: "no-such"}, 1, nil) })
	panics("needs a pointer to a struct, not a int", func() { k.Event("toy", 1, 5) })
}

func TestPoliciesOfEveryKindAreReportedAsTheyWereDeclared(t *testing.T) {
	k := gnltest.NewKernel(t)
	k.FixDumpOnlyPolicies()
	some := gnl.Some[uint32]
	inner := []gnl.AttributePolicy{
		{ID: 1, Type: gnl.TypeNested, Policy: some(0), MaxType: some(2)}, // contains itself
		{ID: 2, Type: gnl.TypeFlag},
	}
	outer := []gnl.AttributePolicy{
		{ID: 1, Type: gnl.TypeU8, Min: gnl.Some(gnl.Unsigned(0)), Max: gnl.Some(gnl.Unsigned(255))},
		{ID: 2, Type: gnl.TypeS16, Min: gnl.Some(gnl.Signed(-5)), Max: gnl.Some(gnl.Signed(5))},
		{ID: 3, Type: gnl.TypeU32, Mask: gnl.Some[uint64](7)},
		{ID: 4, Type: gnl.TypeBitfield32, Mask: gnl.Some[uint64](3)},
		{ID: 5, Type: gnl.TypeBinary, MinLength: some(2), MaxLength: some(6)},
		{ID: 6, Type: gnl.TypeString, MaxLength: some(9)},
		{ID: 9, Type: gnl.TypeNestedArray, Policy: some(0), MaxType: some(2)},
		{ID: 12, Type: gnl.TypeSint, Min: gnl.Some(gnl.Signed(-1 << 63)), Max: gnl.Some(gnl.Signed(1<<63 - 1))},
	}
	nothing := func(*gnltest.Request) error { return nil }
	k.Register(gnltest.Family{Name: "toy", Policies: []gnl.PolicyTable{{Index: 0, Attributes: inner}},
		Commands: []gnltest.Command{
			{ID: 1, Do: nothing, Dump: nothing, Policy: outer, DumpPolicy: outer},
			{ID: 2, Do: nothing},
			{ID: 3, Dump: nothing, DumpPolicy: inner},
		}})
	got, err := k.Client().Policy(timeout(t), "toy")
	must(t, err)
	// The kernel numbers them in the order of the commands.
	outer[6].Policy, inner[0].Policy = some(1), some(1)
	want := &gnl.Policy{FamilyID: got.FamilyID,
		Commands: []gnl.CommandPolicy{{ID: 1, Do: some(0), Dump: some(0)}, {ID: 3, Dump: some(1)}},
		Policies: []gnl.PolicyTable{{Index: 0, Attributes: outer}, {Index: 1, Attributes: inner}}}
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("\n got %s\nwant %s", g, w)
	}
}

func TestValuesAreCheckedAgainstTheirPolicy(t *testing.T) {
	k := gnltest.NewKernel(t)
	some := gnl.Some[uint32]
	policy := []gnl.AttributePolicy{
		{ID: 1, Type: gnl.TypeU8, Max: gnl.Some(gnl.Unsigned(9))},
		{ID: 2, Type: gnl.TypeS16, Min: gnl.Some(gnl.Signed(-5)), Max: gnl.Some(gnl.Signed(5))},
		{ID: 3, Type: gnl.TypeU32, Mask: gnl.Some[uint64](7)},
		{ID: 4, Type: gnl.TypeBitfield32, Mask: gnl.Some[uint64](3)},
		{ID: 5, Type: gnl.TypeBinary, MinLength: some(2), MaxLength: some(4)},
		{ID: 6, Type: gnl.TypeBinary, MinLength: some(3), MaxLength: some(3)},
		{ID: 7, Type: gnl.TypeBinary, MaxLength: some(3)},
		{ID: 8, Type: gnl.TypeString, MaxLength: some(3)},
		{ID: 9, Type: gnl.TypeNulString},
		{ID: 10, Type: gnl.TypeFlag},
		{ID: 11, Type: gnl.TypeUint, Min: gnl.Some(gnl.Unsigned(1))},
		{ID: 12, Type: gnl.TypeSint, Max: gnl.Some(gnl.Signed(1 << 40))},
		{ID: 13, Type: gnl.TypeNestedArray, Policy: some(0)},
		{ID: 14, Type: gnl.TypeNested, Policy: some(1)},
		{ID: 15, Type: gnl.TypeU64, Max: gnl.Some(gnl.Unsigned(1 << 63))},
	}
	f := gnltest.Family{Name: "toy", Commands: []gnltest.Command{
		{ID: 1, Do: func(*gnltest.Request) error { return nil }, Policy: policy},
		{ID: 2, Do: func(*gnltest.Request) error { return nil }, Policy: policy, Lenient: true},
		{ID: 3, Do: func(*gnltest.Request) error { return nil }, Policy: []gnl.AttributePolicy{}},
	}, Policies: []gnl.PolicyTable{
		{Index: 0, Attributes: []gnl.AttributePolicy{{ID: 1, Type: gnl.TypeU8, Max: gnl.Some(gnl.Unsigned(1))}}},
		{Index: 1, Attributes: []gnl.AttributePolicy{{ID: 1, Type: gnl.TypeNested, Policy: some(1)}}},
	}}
	k.Register(f)
	c := k.Client()
	within := func(depth int) func(*attr.Encoder) {
		return func(e *attr.Encoder) {
			var nests []int
			for i := range depth {
				nests = append(nests, e.Begin(map[bool]uint16{true: 14, false: 1}[i == 0]))
			}
			for _, n := range slices.Backward(nests) {
				e.End(n)
			}
		}
	}
	const ok = ""
	for _, q := range []struct {
		encode          func(*attr.Encoder)
		strict, lenient string
	}{
		{func(e *attr.Encoder) { e.Uint8(1, 9) }, ok, ok},
		{func(e *attr.Encoder) { e.Uint8(1, 10) }, "integer out of range (10, kernel accepts 0..9)", "integer out of range"},
		{func(e *attr.Encoder) { e.Uint16(1, 9) }, "invalid attribute length", ok},
		{func(e *attr.Encoder) { e.Bytes(1, nil) }, "invalid attribute length", "Attribute failed policy validation"},
		{func(e *attr.Encoder) { e.Int16(2, -5) }, ok, ok},
		{func(e *attr.Encoder) { e.Int16(2, -6) }, "integer out of range (-6, kernel accepts -5..5)", "integer out of range"},
		{func(e *attr.Encoder) { e.Int16(2, 6) }, "integer out of range", "integer out of range"},
		{func(e *attr.Encoder) { e.Uint32(3, 5) }, ok, ok},
		{func(e *attr.Encoder) { e.Uint32(3, 8) }, "reserved bit set", "reserved bit set"},
		{func(e *attr.Encoder) { e.Bitfield32(4, attr.Bitfield32{Value: 1, Selector: 3}) }, ok, ok},
		{func(e *attr.Encoder) { e.Bitfield32(4, attr.Bitfield32{Value: 1, Selector: 2}) }, "failed policy", "failed policy"},
		{func(e *attr.Encoder) { e.Uint32(4, 1) }, "failed policy", "failed policy"},
		{func(e *attr.Encoder) { e.Bytes(5, []byte{1, 2}) }, ok, ok},
		{func(e *attr.Encoder) { e.Bytes(5, []byte{1}) }, "binary attribute size out of range (1 bytes, kernel accepts 2 to 4 bytes)", "binary attribute size"},
		{func(e *attr.Encoder) { e.Bytes(6, make([]byte, 4)) }, "invalid attribute length", ok},
		{func(e *attr.Encoder) { e.Bytes(6, make([]byte, 2)) }, "binary attribute size out of range", "binary attribute size"},
		{func(e *attr.Encoder) { e.Bytes(7, make([]byte, 4)) }, "failed policy", "failed policy"},
		{func(e *attr.Encoder) { e.String(8, "abc") }, ok, ok},
		{func(e *attr.Encoder) { e.Text(8, "abc") }, ok, ok},
		{func(e *attr.Encoder) { e.Text(8, "abcd") }, "failed policy", "failed policy"},
		{func(e *attr.Encoder) { e.Text(9, "abcd") }, "failed policy", "failed policy"},
		{func(e *attr.Encoder) { e.Bytes(8, nil) }, "failed policy", "failed policy"},
		{func(e *attr.Encoder) { e.Flag(10) }, ok, ok},
		{func(e *attr.Encoder) { e.Uint8(10, 1) }, "failed policy", "failed policy"},
		{func(e *attr.Encoder) { e.Uint32(11, 1) }, ok, ok},
		{func(e *attr.Encoder) { e.Uint64(11, 1) }, ok, ok},
		{func(e *attr.Encoder) { e.Uint16(11, 1) }, "invalid attribute length", "invalid attribute length"},
		{func(e *attr.Encoder) { e.Uint32(11, 0) }, "integer out of range", "integer out of range"},
		{func(e *attr.Encoder) { e.Int32(12, -1) }, ok, ok},
		{func(e *attr.Encoder) { e.Int64(12, 1<<41) }, "integer out of range", "integer out of range"},
		{func(e *attr.Encoder) { e.Uint64(15, 1<<63) }, ok, ok},
		{func(e *attr.Encoder) { e.Uint64(15, 1<<63+1) }, "integer out of range", "integer out of range"},
		{func(e *attr.Encoder) {
			e.Raw(attr.Raw{Type: 13 | attr.FlagNested, Payload: unhex("04000000" + "0c000180" + "0500010001000000")})
		}, ok, ok},
		{func(e *attr.Encoder) {
			e.Raw(attr.Raw{Type: 13 | attr.FlagNested, Payload: unhex("0c000180" + "0500010002000000")})
		}, "13.1.1: integer out of range (2, kernel accepts 0..1)", "integer out of range"},
		{func(e *attr.Encoder) { e.Raw(attr.Raw{Type: 13 | attr.FlagNested, Payload: unhex("0500018000000000")}) }, "Array element too short", "Array element too short"},
		{func(e *attr.Encoder) { e.Raw(attr.Raw{Type: 13, Payload: nil}) }, "NLA_F_NESTED is missing", ok},
		{func(e *attr.Encoder) { e.Raw(attr.Raw{Type: 1 | attr.FlagNested, Payload: []byte{1}}) }, "NLA_F_NESTED not expected", ok},
		{func(e *attr.Encoder) { e.Uint32(16, 1) }, "Unknown attribute type", ok},
		{func(e *attr.Encoder) { e.Uint32(0, 1) }, "Unknown attribute type", ok},
		{within(10), ok, ok},
		{within(12), "recursion depth", "recursion depth"},
	} {
		var e attr.Encoder
		q.encode(&e)
		b, err := e.Finish()
		must(t, err)
		for command, want := range map[uint8]string{1: q.strict, 2: q.lenient} {
			_, err := c.Do(timeout(t), gnl.Request{Family: "toy", Command: command, Attributes: b})
			if want == ok && err != nil || want != ok && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("command %d, %x: %v, want %q", command, b, err, want)
			}
		}
	}
	for _, attributes := range []string{"0800010001000000", "0800020001000000"} {
		if _, err := c.Do(timeout(t), gnl.Request{Family: "toy", Command: 3, Attributes: unhex(attributes)}); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s: %v", attributes, err)
		}
	}
}

func TestCloseEndsHandlersThatWatchTheContext(t *testing.T) {
	k, err := gnltest.Open()
	must(t, err)
	waits := make(chan bool)
	wait := func(r *gnltest.Request) error { waits <- true; <-r.Context().Done(); return nil }
	k.Register(toy(wait, wait))
	client := k.Client()
	errs := make(chan error)
	go func() { _, err := client.Do(context.Background(), toyRequest); errs <- err }()
	go func() { _, err := gnl.Collect(client.Dump(context.Background(), toyRequest)); errs <- err }()
	<-waits
	<-waits
	c, err := k.Dial(nil)
	must(t, err)
	defer c.Close()
	must(t, k.Close())
	must(t, k.Close())
	for range 2 {
		if err := <-errs; err == nil {
			t.Error("a request that was not answered succeeded")
		}
	}
	if _, err := c.Send(netlink.AppendMessage(nil, 16, netlink.FlagRequest, []byte{3, 2, 0, 0})); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v is not ECONNREFUSED", err)
	}
}

func TestAnAnswerToASocketThatIsGoneEndsItsContext(t *testing.T) {
	k := gnltest.NewKernel(t)
	asked, ended := make(chan bool), make(chan bool)
	k.Register(toy(nil, func(r *gnltest.Request) error {
		asked <- true
		for r.Context().Err() == nil {
			r.Reply(1, make([]byte, 1000))
		}
		close(ended)
		return nil
	}))
	c, err := k.Dial(nil)
	must(t, err)
	send(t, c, netlink.FlagDump)
	<-asked // and the dump never ends
	must(t, c.Close())
	<-ended
}

func TestADumpWaitsForRoomInTheReceiveBuffer(t *testing.T) {
	k := gnltest.NewKernel(t)
	k.Register(toy(nil, func(r *gnltest.Request) error {
		for i := range uint32(3000) {
			var e attr.Encoder
			e.Uint32(1, i)
			e.Bytes(2, make([]byte, 1000))
			b, err := e.Finish()
			if err != nil {
				return err
			}
			r.Reply(1, b)
		}
		return nil
	}))
	cfg := k.Config()
	cfg.Socket.ReceiveBuffer = 64 << 10
	client, err := gnl.Open(cfg)
	must(t, err)
	defer client.Close()
	n := uint32(0)
	for m, err := range client.Dump(timeout(t), toyRequest) {
		must(t, err)
		d := attr.NewDecoder(m.Attributes)
		if d.Next(); d.Uint32() != n {
			t.Fatalf("entry %d is not %d", d.Uint32(), n)
		}
		n++
		if n%500 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	if n != 3000 {
		t.Errorf("%d entries", n)
	}
}

func TestInterceptSeesAndReplacesEverything(t *testing.T) {
	k := gnltest.NewKernel(t)
	k.Register(toy(func(*gnltest.Request) error { return nil }, func(*gnltest.Request) error { return nil }))
	c := k.Client()
	_, err := c.Do(timeout(t), toyRequest)
	must(t, err)
	k.Intercept(func(r *gnltest.Request, handle func() error) error {
		if r.IsDump() {
			return syscall.EINTR
		}
		if err := handle(); err != nil {
			return err
		}
		return syscall.EXDEV
	})
	if _, err := c.Do(timeout(t), toyRequest); !errors.Is(err, syscall.EXDEV) {
		t.Error(err)
	}
	if _, err := gnl.Collect(c.Dump(timeout(t), toyRequest)); !errors.Is(err, syscall.EINTR) {
		t.Error(err)
	}
	if _, err := c.FamilyByID(timeout(t), 999); !errors.Is(err, syscall.ENOENT) {
		t.Error(err)
	}
	k.Intercept(nil)
	_, err = c.Do(timeout(t), toyRequest)
	must(t, err)
}

// Any netlink client can talk to a Kernel, of whatever module.
func TestASocketOfOnesOwn(t *testing.T) {
	k := gnltest.NewKernel(t)
	k.Register(toy(func(r *gnltest.Request) error {
		if r.Socket() != r.PortID || r.Context().Err() != nil {
			t.Errorf("%+v", r.Message)
		}
		r.Reply(1, nil)
		return nil
	}, func(r *gnltest.Request) error {
		for range 100 {
			r.Reply(1, make([]byte, 180))
		}
		return nil
	}))
	c, err := netlink.Dial(netlink.UserSock, &netlink.Config{Peer: k.PortID()})
	must(t, err)
	defer c.Close()
	for range 2 {
		send(t, c, netlink.FlagAck)
		if m := next(t, c); m.Type != toyID {
			t.Errorf("%+v", m)
		}
		next(t, c)
	}
	// How much it can take is not known, so that it gets small datagrams.
	send(t, c, netlink.FlagDump)
	size := 0
	for m := next(t, c); m.Type != netlink.TypeDone; m = next(t, c) {
		if size += int(m.Length); !c.Buffered() {
			if size > 3776 {
				t.Errorf("a datagram of %d", size)
			}
			size = 0
		}
	}
}

func TestAClosedKernelCannotBeDialled(t *testing.T) {
	k, err := gnltest.Open()
	must(t, err)
	must(t, k.Close())
	if _, err := k.Dial(nil); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, net.ErrClosed) {
			t.Errorf("panic with %v", err)
		}
	}()
	k.Client()
}
