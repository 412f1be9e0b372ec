package attr_test

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/gnlgo/gnl/attr"
)

func codecOf[T any](t testing.TB) attr.Codec[T] {
	t.Helper()
	c, err := attr.CodecOf[T]()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantAllocs checks how often f allocates.
func wantAllocs(t *testing.T, name string, most float64, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(100, f); n > most {
		t.Errorf("%s allocates %v times, not %v", name, n, most)
	}
}

// scalars has everything that costs no allocation, not even in fresh memory.
type scalars struct {
	A uint8           `nl:"1"`
	B int16           `nl:"2"`
	C uint32          `nl:"3"`
	D uint64          `nl:"4"`
	E uint16          `nl:"5,be"`
	F uint64          `nl:"6,auto"`
	G bool            `nl:"7"`
	H int             `nl:"8,s16"`
	I bool            `nl:"9,u8"`
	J [6]byte         `nl:"10"`
	K cStruct         `nl:"11,struct"`
	L netip.Addr      `nl:"12"`
	M attr.Bitfield32 `nl:"13"`
	N time.Duration   `nl:"14,unit=ms,u32"`
	O struct {
		A uint32 `nl:"1"`
		B uint8  `nl:"2,omitzero"`
	} `nl:"15"`
	P []byte   `nl:"16,view"`
	Q attr.Set `nl:"given"`
	R uint8    `nl:"300"`
}

func TestScalarsDoNotAllocate(t *testing.T) {
	v := scalars{A: 1, B: -2, C: 3, D: 4, E: 5, F: 6, G: true, H: -8, I: true, L: netip.MustParseAddr("192.0.2.1"), N: time.Second, P: []byte("view")}
	b, err := attr.Marshal(&v)
	if err != nil {
		t.Fatal(err)
	}
	codec := codecOf[scalars](t)
	buf := make([]byte, 0, 1024)
	into := new(scalars)
	wantAllocs(t, "Codec.Append", 0, func() { _, err = codec.Append(buf, &v) })
	wantAllocs(t, "Append", 0, func() { _, err = attr.Append(buf, &v) })
	wantAllocs(t, "Codec.Unmarshal", 0, func() { *into = scalars{}; err = codec.Unmarshal(b, into) })
	wantAllocs(t, "Unmarshal", 0, func() { *into = scalars{}; err = attr.Unmarshal(b, into) })
	if err != nil {
		t.Fatal(err)
	}
	if into.N != time.Second || string(into.P) != "view" {
		t.Errorf("decoded to %+v", into)
	}
}

// A request made on the spot stays on the stack.
func TestRequestsStayOnTheStack(t *testing.T) {
	type request struct {
		ID   uint16 `nl:"1"`
		Name string `nl:"2"`
	}
	codec := codecOf[request](t)
	buf := make([]byte, 0, 64)
	id := uint16(0)
	wantAllocs(t, "a request", 0, func() {
		id++
		if _, err := codec.Append(buf, &request{id, "ethtool"}); err != nil {
			t.Error(err)
		}
	})
}

// With methods of their own, values may be kept: then the request is copied.
func TestRequestsWithMethods(t *testing.T) {
	type request struct {
		V hexText `nl:"1"`
		W keeper  `nl:"2"`
	}
	codec := codecOf[request](t)
	for i := range 100 {
		name := fmt.Sprint(i)
		b, err := codec.Append(nil, &request{hexText{name}, keeper{i}})
		if err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		var back request
		if err := attr.Unmarshal(b, &back); err != nil || back.V.text != name || kept.n != i {
			t.Fatalf("decoded to %+v (%v), kept %v", back, err, kept)
		}
	}
}

// keeper keeps its receiver.
type keeper struct{ n int }

var kept *keeper

func (k *keeper) AppendBinary(b []byte) ([]byte, error) { kept = k; return b, nil }
func (*keeper) UnmarshalBinary([]byte) error            { return nil }

func TestEncoderDoesNotAllocate(t *testing.T) {
	buf := make([]byte, 0, 1024)
	addr := netip.MustParseAddr("2001:db8::1")
	var e attr.Encoder
	wantAllocs(t, "Encoder", 0, func() {
		e.Reset(buf)
		n := e.Begin(1)
		e.Uint8(1, 1)
		e.Uint16(2, 2)
		e.Uint32(3, 3)
		e.Uint64(4, 4)
		e.BigEndianUint16(5, 5)
		e.String(6, "name")
		e.Bytes(7, buf[:3])
		e.Addr(8, addr)
		e.Bitfield32(9, attr.Bitfield32{})
		e.Uint(10, 10)
		e.End(n)
		if _, err := e.Finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestDecoderDoesNotAllocate(t *testing.T) {
	b, err := attr.Marshal(scalars{L: netip.IPv4Unspecified()})
	if err != nil {
		t.Fatal(err)
	}
	wantAllocs(t, "Decoder", 0, func() {
		d := attr.NewDecoder(b)
		for d.Next() {
			switch d.Type() {
			case 4:
				d.Uint64()
			case 12:
				d.Addr()
			case 15:
				n := d.Nested()
				for n.Next() {
					n.Bytes()
				}
			}
		}
		if err := d.Err(); err != nil {
			t.Error(err)
		}
	})
	wantAllocs(t, "Locate beyond the end", 0, func() { attr.Locate(b, len(b)) })
}

// controllerFamily is a family such as the largest recorded ones: 57 commands,
// two groups.
func controllerFamily() *family {
	f := &family{Name: "devlink", ID: 23, Version: 1}
	for i := range uint32(57) {
		f.Ops = append(f.Ops, familyOp{i + 1, 11})
	}
	f.Groups = []familyGroup{{8, "config"}, {9, "monitor"}}
	return f
}

func TestFamilyAllocates(t *testing.T) {
	want := controllerFamily()
	b, err := attr.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	codec := codecOf[family](t)
	used := new(family)
	if err := codec.Unmarshal(b, used); err != nil {
		t.Fatal(err)
	}
	same(t, used, want)
	buf := make([]byte, 0, len(b))
	wantAllocs(t, "encoding a family", 0, func() { _, err = codec.Append(buf, used) })
	wantAllocs(t, "decoding a family into used memory", 0, func() { err = codec.Unmarshal(b, used) })
	// The struct, its name, the list of commands, that of groups, and their names.
	wantAllocs(t, "decoding a family into fresh memory", 6, func() { err = codec.Unmarshal(b, new(family)) })
	if err != nil {
		t.Fatal(err)
	}
}

// Wide plans do without allocations too, beyond strings numbered over 63.
func TestWideFamilyAllocates(t *testing.T) {
	type wide struct {
		Name string     `nl:"2"`
		Ops  []familyOp `nl:"6,array"`
		N    uint32     `nl:"300"`
		Far  []familyOp `nl:"301,array"`
		B    []byte     `nl:"302"`
	}
	v := wide{"name", make([]familyOp, 9), 5, make([]familyOp, 3), []byte("bytes")}
	b, err := attr.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var used wide
	if err := attr.Unmarshal(b, &used); err != nil {
		t.Fatal(err)
	}
	wantAllocs(t, "decoding into used memory", 0, func() { err = attr.Unmarshal(b, &used) })
	if err != nil {
		t.Fatal(err)
	}
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// What hostile bytes make the decoder allocate is bounded by their number: an
// attribute of 4 bytes costs at most an element of its list, or an entry of its
// map, and lists grow to no more than twice what is needed.
func TestAllocationIsBounded(t *testing.T) {
	type element struct {
		A, B, C, D uint64   `nl:"-"`
		Name       string   `nl:"1"`
		More       [40]byte `nl:"2"`
	}
	type keyedElement struct {
		Index      uint16   `nl:"index"`
		A, B, C, D uint64   `nl:"-"`
		Name       string   `nl:"1"`
		More       [40]byte `nl:"2"`
	}
	type T struct {
		Array  []element              `nl:"1,array"`
		Keyed  []keyedElement         `nl:"2,keyed"`
		Rep    []element              `nl:"3,repeated"`
		Map    map[uint16]element     `nl:"4"`
		Ptrs   []*element             `nl:"5,array"`
		Lists  [][]element            `nl:"6,repeated,array"`
		Fixed  [][40]byte             `nl:"7,array"`
		Packed []cStruct              `nl:"8,packed"`
		Text   []string               `nl:"9,repeated"`
		Maps   []map[uint16]*element  `nl:"10,array"`
		Reps   []map[uint16][]element `nl:"11,repeated,array"`
		More   []attr.Raw             `nl:"unknown"`
	}
	const (
		elementSize = 104 + 8 // with the index
		perByte     = 4 * elementSize
	)
	empty := func(n int) []byte { // attributes without payload, numbered up
		var e attr.Encoder
		for i := range n {
			e.Flag(uint16(i) & 0x3fff)
		}
		b, _ := e.Finish()
		return b
	}
	lists := map[string][]byte{
		"empty":     empty(20_000),
		"zeros":     make([]byte, 65536),
		"the first": wire(h(65532, 7), empty(16382)),
	}
	for typ := range uint16(13) {
		one := func(n int) (b []byte) {
			body := empty(n)
			return wire(h(uint16(4+len(body)), typ), body)
		}
		lists[fmt.Sprint("a long list in ", typ)] = one(16382)
		lists[fmt.Sprint("short lists in ", typ)] = bytesRepeat(one(1), 5000)
		lists[fmt.Sprint("nothing in ", typ)] = bytesRepeat(one(0), 16000)
		lists[fmt.Sprint("a list and a mistake in ", typ)] = wire(one(2000)[:7000], h(2, 2))
	}
	for name, b := range lists {
		for _, fresh := range []bool{true, false} {
			v := new(T)
			if !fresh {
				_ = attr.Unmarshal(b[:len(b)/8&^3], v)
			}
			var err error
			n := allocated(func() { err = attr.Unmarshal(b, v) })
			if errors.Is(err, attr.ErrTag) {
				t.Fatal(err)
			}
			if most := uint64(len(b)*perByte + 4096); n > most {
				t.Errorf("%s: %d bytes allocate %d, more than %d (%v)", name, len(b), n, most, err)
			}
		}
	}
	if n := allocated(func() {
		for _, b := range lists {
			_, _, _ = attr.Locate(b, len(b)-4)
			_ = walkAll(b, attr.MaxDepth-1)
		}
	}); n > 1<<20 {
		t.Errorf("walking allocates %d bytes", n)
	}
	if err := attr.Unmarshal(lists["zeros"], new(T)); !errors.Is(err, attr.ErrMalformed) {
		t.Error("zeros are decoded:", err)
	}
}

func bytesRepeat(b []byte, n int) (all []byte) {
	for range n {
		all = append(all, b...)
	}
	return all
}
