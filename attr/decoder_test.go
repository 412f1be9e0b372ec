package attr_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gnlgo/gnl/attr"
)

func TestDecoderReadsEachKind(t *testing.T) {
	for _, c := range encoded {
		t.Run(c.name, func(t *testing.T) {
			d := attr.NewDecoder(c.wire)
			if !d.Next() {
				t.Fatal("nothing there:", d.Err())
			}
			same(t, c.decode(&d), c.value)
			if d.Next() {
				t.Error("there is another attribute")
			}
			if err := d.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

// walk lists the numbers and payloads of a list.
func walk(b []byte) (list []attr.Raw, err error) {
	d := attr.NewDecoder(b)
	for d.Next() {
		list = append(list, attr.Raw{Type: d.Type(), Payload: d.Bytes()})
	}
	return list, d.Err()
}

func TestDecoderWalks(t *testing.T) {
	one, two := attr.Raw{Type: 1, Payload: x("0a")}, attr.Raw{Type: 2}
	for _, c := range []struct {
		name string
		in   []byte
		want []attr.Raw
	}{
		{"no memory", nil, nil},
		{"nothing", []byte{}, nil},
		{"two attributes", wire(h(5, 1), x("0a 00 00 00"), h(4, 2)), []attr.Raw{one, two}},
		{"the last one unpadded", wire(h(4, 2), h(5, 1), x("0a")), []attr.Raw{two, one}},
		{"the last one padded in part", wire(h(4, 2), h(5, 1), x("0a 00")), []attr.Raw{two, one}},
		{"one byte behind", wire(h(4, 2), x("ff")), []attr.Raw{two}},
		{"two bytes behind", wire(h(4, 2), x("ff ff")), []attr.Raw{two}},
		{"three bytes behind", wire(h(4, 2), x("ff ff ff")), []attr.Raw{two}},
		{"three bytes alone", x("ff ff ff"), nil},
		{"flags are not part of the number", wire(h(4, 2|nested), h(4, 2|netOrder), h(4, 2|nested|netOrder)), []attr.Raw{two, two, two}},
		{"padding that is not zero", wire(h(5, 1), x("0a ff ff ff"), h(4, 2)), []attr.Raw{one, two}},
		{"the same twice", wire(h(4, 2), h(4, 2)), []attr.Raw{two, two}},
		{"number 0", wire(h(4, 0)), []attr.Raw{{}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := walk(c.in)
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, c.want)
		})
	}
}

// malformed lists hold one good attribute, number 1, and then an impossible one.
var malformed = []struct {
	name string
	in   []byte
	text string
}{
	{"length 0", wire(h(4, 1), h(0, 2)), "malformed attribute: attribute 2 has length 0, with 4 bytes left"},
	{"length 1", wire(h(4, 1), h(1, 2)), "malformed attribute: attribute 2 has length 1, with 4 bytes left"},
	{"length 2", wire(h(4, 1), h(2, 2)), "malformed attribute: attribute 2 has length 2, with 4 bytes left"},
	{"length 3", wire(h(4, 1), h(3, 2), h(4, 3)), "malformed attribute: attribute 2 has length 3, with 8 bytes left"},
	{"one byte past the end", wire(h(4, 1), h(9, 2), n32(0)), "malformed attribute: attribute 2 has length 9, with 8 bytes left"},
	{"far past the end", wire(h(4, 1), h(65535, 2|nested)), "malformed attribute: attribute 2 has length 65535, with 4 bytes left"},
	{"past the end, from a tail", wire(h(4, 1), h(6, 2), x("00")), "malformed attribute: attribute 2 has length 6, with 5 bytes left"},
	{"zeros", wire(h(4, 1), make([]byte, 64)), "malformed attribute: attribute 0 has length 0, with 64 bytes left"},
}

func TestDecoderRefuses(t *testing.T) {
	for _, c := range malformed {
		t.Run(c.name, func(t *testing.T) {
			got, err := walk(c.in)
			if !errors.Is(err, attr.ErrMalformed) {
				t.Fatalf("error is %v", err)
			}
			if want := "attr: " + c.text; err.Error() != want {
				t.Errorf("error reads\n%v, not\n%v", err, want)
			}
			same(t, got, []attr.Raw{{Type: 1}})
		})
	}
}

func TestDecoderAccessorsCheckTheLength(t *testing.T) {
	sizes := func(n ...int) map[int]bool {
		m := map[int]bool{}
		for _, n := range n {
			m[n] = true
		}
		return m
	}
	for _, c := range []struct {
		name string
		get  func(d *attr.Decoder)
		good map[int]bool
		text string // for a payload of 3 bytes
	}{
		{"Uint8", func(d *attr.Decoder) { d.Uint8() }, sizes(1), "1 bytes wanted, 3 given"},
		{"Uint16", func(d *attr.Decoder) { d.Uint16() }, sizes(2), "2 bytes wanted, 3 given"},
		{"Uint32", func(d *attr.Decoder) { d.Uint32() }, sizes(4), "4 bytes wanted, 3 given"},
		{"Uint64", func(d *attr.Decoder) { d.Uint64() }, sizes(8), "8 bytes wanted, 3 given"},
		{"Int8", func(d *attr.Decoder) { d.Int8() }, sizes(1), "1 bytes wanted, 3 given"},
		{"Int16", func(d *attr.Decoder) { d.Int16() }, sizes(2), "2 bytes wanted, 3 given"},
		{"Int32", func(d *attr.Decoder) { d.Int32() }, sizes(4), "4 bytes wanted, 3 given"},
		{"Int64", func(d *attr.Decoder) { d.Int64() }, sizes(8), "8 bytes wanted, 3 given"},
		{"Uint", func(d *attr.Decoder) { d.Uint() }, sizes(4, 8), "4 or 8 bytes wanted, 3 given"},
		{"Int", func(d *attr.Decoder) { d.Int() }, sizes(4, 8), "4 or 8 bytes wanted, 3 given"},
		{"BigEndianUint16", func(d *attr.Decoder) { d.BigEndianUint16() }, sizes(2), "2 bytes wanted, 3 given"},
		{"BigEndianUint32", func(d *attr.Decoder) { d.BigEndianUint32() }, sizes(4), "4 bytes wanted, 3 given"},
		{"BigEndianUint64", func(d *attr.Decoder) { d.BigEndianUint64() }, sizes(8), "8 bytes wanted, 3 given"},
		{"Addr", func(d *attr.Decoder) { d.Addr() }, sizes(4, 16), "4 or 16 bytes of IP address wanted, 3 given"},
		{"Bitfield32", func(d *attr.Decoder) { d.Bitfield32() }, sizes(8), "8 bytes wanted, 3 given"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for n := range 20 {
				b := wire(h(uint16(4+n), 6|netOrder), make([]byte, (n+3)&^3), h(4, 7))
				d := attr.NewDecoder(b)
				d.Next()
				c.get(&d)
				err := d.Err()
				if c.good[n] {
					if err != nil {
						t.Errorf("%d bytes: %v", n, err)
					} else if !d.Next() || d.Type() != 7 {
						t.Errorf("%d bytes: the walk ended", n)
					}
					continue
				}
				if !errors.Is(err, attr.ErrLength) {
					t.Errorf("%d bytes: the error is %v", n, err)
				}
				if want := "attr: attribute 6: wrong payload length: " + c.text; n == 3 && err.Error() != want {
					t.Errorf("the error reads\n%v, not\n%v", err, want)
				}
				if d.Next() || d.Err() != err {
					t.Errorf("%d bytes: the walk went on, or the error changed to %v", n, d.Err())
				}
				c.get(&d) // there is no attribute any more: still an error, the first
				if d.Err() != err {
					t.Errorf("%d bytes: the error changed to %v", n, d.Err())
				}
			}
		})
	}
}

func TestDecoderStringsMayEndInNULs(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "\x00": "", "\x00\x00\x00": "", "lo": "lo", "lo\x00": "lo", "lo\x00\x00": "lo", "l\x00o\x00": "l\x00o",
	} {
		b := wire(h(uint16(4+len(in)), 1), s(in))
		d := attr.NewDecoder(b)
		d.Next()
		if got := d.String(); got != want || d.Err() != nil {
			t.Errorf("%q is %q (%v), not %q", in, got, d.Err(), want)
		}
	}
}

func TestDecoderOutsideOfTheWalk(t *testing.T) {
	var zero attr.Decoder
	before := attr.NewDecoder(wire(h(5, 1), x("0a 00 00 00")))
	failed := attr.NewDecoder(h(0, 1))
	failed.Next()
	for name, d := range map[string]*attr.Decoder{"zero": &zero, "before Next": &before, "after an error": &failed} {
		n := d.Nested()
		if d.Type() != 0 || len(d.Bytes()) != 0 || d.String() != "" || n.Next() || d.Raw().Type != 0 || len(d.Raw().Payload) != 0 {
			t.Errorf("%s: there is an attribute", name)
		}
	}
	if zero.Next() || zero.Err() != nil {
		t.Error("the zero decoder has an attribute, or an error")
	}
}

func TestDecoderViewsDoNotReachBeyondThePayload(t *testing.T) {
	b := wire(h(5, 1), x("0a 00 00 00"), h(4, 2))
	d := attr.NewDecoder(b)
	d.Next()
	_ = append(d.Bytes(), 0xff)
	_ = append(d.Raw().Payload, 0xff)
	sameBytes(t, b, wire(h(5, 1), x("0a 00 00 00"), h(4, 2)))
}

// deep is a list of n nests inside one another.
func deep(n int) []byte {
	var e attr.Encoder
	open := make([]int, n)
	for i := range open {
		open[i] = e.Begin(1)
	}
	for i := range open {
		e.End(open[n-1-i])
	}
	b, err := e.Finish()
	if err != nil {
		panic(err)
	}
	return b
}

// A Decoder has no limit of depth: it does not recurse, its caller may.
func TestDecoderDeepNests(t *testing.T) {
	d, depth := attr.NewDecoder(deep(10_000)), 0
	for d.Next() {
		depth++
		d = d.Nested()
	}
	if depth != 10_000 || d.Err() != nil {
		t.Errorf("%d nests, error %v", depth, d.Err())
	}
}

// walkAll goes into every attribute as if it were a nest, and counts.
func walkAll(b []byte, depth int) int {
	d, n := attr.NewDecoder(b), 0
	for d.Next() {
		n++
		_, _, _ = d.String(), d.Raw(), d.Type()
		if depth < attr.MaxDepth {
			nest := d.Nested()
			n += walkAll(d.Bytes(), depth+1)
			_ = nest
		}
	}
	return n
}

// Whatever the bytes are, the walk ends, and reads nothing outside: the race
// detector's checks and the bounds of slices see to the latter.
func TestDecoderRandomBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		b := make([]byte, r.IntN(80))
		for i := range b {
			b[i] = byte(r.Uint32() >> (8 * r.IntN(4)))
			if r.IntN(2) == 0 {
				b[i] &= 0x0f
			}
		}
		if n := walkAll(b[:len(b):len(b)], 0); n > len(b)*attr.MaxDepth {
			t.Fatalf("%d attributes in %d bytes", n, len(b))
		}
	}
}

// Find leads through nests to one attribute: the last of its number.
func TestFind(t *testing.T) {
	var e attr.Encoder
	e.Uint8(7, 1)
	nest := e.Begin(2)
	e.Uint16(1, 1)
	e.Uint16(1, 2)
	deeper := e.Begin(3)
	e.Flag(4)
	e.End(deeper)
	e.End(nest)
	e.Uint8(7, 9)
	b, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	number := binary.NativeEndian.AppendUint16(nil, 2)
	for _, c := range []struct {
		path []uint16
		want []byte // nil: not there
	}{
		{[]uint16{7}, []byte{9}},
		{[]uint16{2, 1}, number},
		{[]uint16{2, 3, 4}, []byte{}},
		{[]uint16{1}, nil},
		{[]uint16{2, 4}, nil},
		{[]uint16{5, 1}, nil},
		{[]uint16{2, 3, 4, 1}, nil},
		{nil, nil},
	} {
		got, err := attr.Find(b, c.path...)
		if err != nil || !bytes.Equal(got, c.want) || (got == nil) != (c.want == nil) || cap(got) != len(got) {
			t.Errorf("%v: % x (capacity %d), %v", c.path, got, cap(got), err)
		}
	}
	wantAllocs(t, "Find", 0, func() { _, _ = attr.Find(b, 2, 3, 4) })

	binary.NativeEndian.PutUint16(b[12:], 200) // the first attribute in the nest
	var bad *attr.Error
	if got, err := attr.Find(b, 2, 1); got != nil || !errors.Is(err, attr.ErrMalformed) || !errors.As(err, &bad) || !slices.Equal(bad.Path, []uint16{2}) {
		t.Errorf("a bad length in the nest: % x, %v", got, err)
	}
	if got, err := attr.Find(b, 7); err != nil || len(got) != 1 {
		t.Errorf("a bad length elsewhere: % x, %v", got, err)
	}
	if got, err := attr.Find(b[:len(b)-4], 7); got != nil || !errors.Is(err, attr.ErrMalformed) {
		t.Errorf("cut short: % x, %v", got, err)
	}
}
