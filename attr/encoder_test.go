package attr_test

import (
	"errors"
	"math"
	"net/netip"
	"strings"
	"testing"

	"github.com/gnlgo/gnl/attr"
)

// encoded is one method of Encoder and the one of Decoder that undoes it.
var encoded = []struct {
	name   string
	encode func(e *attr.Encoder)
	wire   []byte
	decode func(d *attr.Decoder) any
	value  any
}{
	{"Uint8", func(e *attr.Encoder) { e.Uint8(1, 0xfe) },
		wire(h(5, 1), x("fe 00 00 00")),
		func(d *attr.Decoder) any { return d.Uint8() }, uint8(0xfe)},
	{"Uint16", func(e *attr.Encoder) { e.Uint16(2, 0xfedc) },
		wire(h(6, 2), n16(0xfedc), x("00 00")),
		func(d *attr.Decoder) any { return d.Uint16() }, uint16(0xfedc)},
	{"Uint32", func(e *attr.Encoder) { e.Uint32(3, 0xfedcba98) },
		wire(h(8, 3), n32(0xfedcba98)),
		func(d *attr.Decoder) any { return d.Uint32() }, uint32(0xfedcba98)},
	{"Uint64", func(e *attr.Encoder) { e.Uint64(4, 0xfedcba9876543210) },
		wire(h(12, 4), n64(0xfedcba9876543210)),
		func(d *attr.Decoder) any { return d.Uint64() }, uint64(0xfedcba9876543210)},
	{"Int8", func(e *attr.Encoder) { e.Int8(1, -2) },
		wire(h(5, 1), x("fe 00 00 00")),
		func(d *attr.Decoder) any { return d.Int8() }, int8(-2)},
	{"Int16", func(e *attr.Encoder) { e.Int16(2, -2) },
		wire(h(6, 2), n16(0xfffe), x("00 00")),
		func(d *attr.Decoder) any { return d.Int16() }, int16(-2)},
	{"Int32", func(e *attr.Encoder) { e.Int32(3, -2) },
		wire(h(8, 3), n32(0xfffffffe)),
		func(d *attr.Decoder) any { return d.Int32() }, int32(-2)},
	{"Int64", func(e *attr.Encoder) { e.Int64(4, -2) },
		wire(h(12, 4), n64(0xfffffffffffffffe)),
		func(d *attr.Decoder) any { return d.Int64() }, int64(-2)},
	{"Uint of 4 bytes", func(e *attr.Encoder) { e.Uint(5, math.MaxUint32) },
		wire(h(8, 5), n32(math.MaxUint32)),
		func(d *attr.Decoder) any { return d.Uint() }, uint64(math.MaxUint32)},
	{"Uint of 8 bytes", func(e *attr.Encoder) { e.Uint(5, math.MaxUint32+1) },
		wire(h(12, 5), n64(math.MaxUint32+1)),
		func(d *attr.Decoder) any { return d.Uint() }, uint64(math.MaxUint32 + 1)},
	{"Int of 4 bytes", func(e *attr.Encoder) { e.Int(6, math.MinInt32) },
		wire(h(8, 6), n32(0x80000000)),
		func(d *attr.Decoder) any { return d.Int() }, int64(math.MinInt32)},
	{"Int of 8 bytes, positive", func(e *attr.Encoder) { e.Int(6, math.MaxInt32+1) },
		wire(h(12, 6), n64(0x80000000)),
		func(d *attr.Decoder) any { return d.Int() }, int64(math.MaxInt32 + 1)},
	{"Int of 8 bytes, negative", func(e *attr.Encoder) { e.Int(6, math.MinInt32-1) },
		wire(h(12, 6), n64(0xffffffff7fffffff)),
		func(d *attr.Decoder) any { return d.Int() }, int64(math.MinInt32 - 1)},
	{"BigEndianUint16", func(e *attr.Encoder) { e.BigEndianUint16(7, 8080) },
		wire(h(6, 7), x("1f 90 00 00")),
		func(d *attr.Decoder) any { return d.BigEndianUint16() }, uint16(8080)},
	{"BigEndianUint32", func(e *attr.Encoder) { e.BigEndianUint32(7, 0x01020304) },
		wire(h(8, 7), x("01 02 03 04")),
		func(d *attr.Decoder) any { return d.BigEndianUint32() }, uint32(0x01020304)},
	{"BigEndianUint64", func(e *attr.Encoder) { e.BigEndianUint64(7, 0x0102030405060708) },
		wire(h(12, 7), x("01 02 03 04 05 06 07 08")),
		func(d *attr.Decoder) any { return d.BigEndianUint64() }, uint64(0x0102030405060708)},
	{"Flag", func(e *attr.Encoder) { e.Flag(8) },
		wire(h(4, 8)),
		func(d *attr.Decoder) any { return len(d.Bytes()) }, 0},
	{"String", func(e *attr.Encoder) { e.String(9, "lo") },
		wire(h(7, 9), s("lo\x00\x00")),
		func(d *attr.Decoder) any { return d.String() }, "lo"},
	{"String, its NUL alone in its row", func(e *attr.Encoder) { e.String(9, "eth0") },
		wire(h(9, 9), s("eth0"), x("00 00 00 00")),
		func(d *attr.Decoder) any { return d.String() }, "eth0"},
	{"empty String", func(e *attr.Encoder) { e.String(9, "") },
		wire(h(5, 9), x("00 00 00 00")),
		func(d *attr.Decoder) any { return d.String() }, ""},
	{"Text", func(e *attr.Encoder) { e.Text(10, "eth0") },
		wire(h(8, 10), s("eth0")),
		func(d *attr.Decoder) any { return d.String() }, "eth0"},
	{"empty Text", func(e *attr.Encoder) { e.Text(10, "") },
		wire(h(4, 10)),
		func(d *attr.Decoder) any { return d.String() }, ""},
	{"Bytes", func(e *attr.Encoder) { e.Bytes(11, x("01 00 02 00 03")) },
		wire(h(9, 11), x("01 00 02 00 03 00 00 00")),
		func(d *attr.Decoder) any { return d.Bytes() }, x("01 00 02 00 03")},
	{"empty Bytes", func(e *attr.Encoder) { e.Bytes(11, nil) },
		wire(h(4, 11)),
		func(d *attr.Decoder) any { return d.Bytes() }, []byte{}},
	{"Addr, IPv4", func(e *attr.Encoder) { e.Addr(12, netip.MustParseAddr("192.0.2.1")) },
		wire(h(8, 12), x("c0 00 02 01")),
		func(d *attr.Decoder) any { return d.Addr() }, netip.MustParseAddr("192.0.2.1")},
	{"Addr, IPv6", func(e *attr.Encoder) { e.Addr(12, netip.MustParseAddr("2001:db8::1")) },
		wire(h(20, 12), x("20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01")),
		func(d *attr.Decoder) any { return d.Addr() }, netip.MustParseAddr("2001:db8::1")},
	{"Addr, IPv4 in IPv6", func(e *attr.Encoder) { e.Addr(12, netip.MustParseAddr("::ffff:192.0.2.1")) },
		wire(h(20, 12), x("00 00 00 00 00 00 00 00 00 00 ff ff c0 00 02 01")),
		func(d *attr.Decoder) any { return d.Addr() }, netip.MustParseAddr("::ffff:192.0.2.1")},
	{"Bitfield32", func(e *attr.Encoder) { e.Bitfield32(13, attr.Bitfield32{Value: 1, Selector: 3}) },
		wire(h(12, 13), n32(1), n32(3)),
		func(d *attr.Decoder) any { return d.Bitfield32() }, attr.Bitfield32{Value: 1, Selector: 3}},
	{"Raw", func(e *attr.Encoder) { e.Raw(attr.Raw{Type: 14 | netOrder, Payload: x("01 02")}) },
		wire(h(6, 14|netOrder), x("01 02 00 00")),
		func(d *attr.Decoder) any { return d.Raw() }, attr.Raw{Type: 14 | netOrder, Payload: x("01 02")}},
	{"highest number", func(e *attr.Encoder) { e.Uint8(0x3fff, 1) },
		wire(h(5, 0x3fff), x("01 00 00 00")),
		func(d *attr.Decoder) any { return d.Type() }, uint16(0x3fff)},
}

func TestEncoderWritesEachKind(t *testing.T) {
	for _, c := range encoded {
		t.Run(c.name, func(t *testing.T) {
			var e attr.Encoder
			c.encode(&e)
			b, err := e.Finish()
			if err != nil {
				t.Fatal(err)
			}
			sameBytes(t, b, c.wire)
		})
	}
}

// Padding is zero whatever stood in the buffer before: the kernel must not be
// sent, nor a peer shown, what the memory held.
func TestEncoderOverwritesUsedMemory(t *testing.T) {
	for _, c := range encoded {
		t.Run(c.name, func(t *testing.T) {
			used := make([]byte, 64)
			for i := range used {
				used[i] = 0xaa
			}
			e := attr.NewEncoder(used[:0])
			c.encode(e)
			b, err := e.Finish()
			if err != nil {
				t.Fatal(err)
			}
			sameBytes(t, b, c.wire)
			if &b[0] != &used[0] {
				t.Error("the buffer was large enough, but another one was made")
			}
		})
	}
}

func TestEncoderNests(t *testing.T) {
	var e attr.Encoder
	e.Uint8(1, 7)
	outer := e.Begin(2)
	e.Uint16(1, 8)
	inner := e.Begin(3)
	e.Flag(1)
	e.End(inner)
	empty := e.Begin(4)
	e.End(empty)
	e.End(outer)
	e.Uint8(5, 9)
	b, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	sameBytes(t, b, wire(
		h(5, 1), x("07 00 00 00"),
		h(24, 2|nested),
		h(6, 1), n16(8), x("00 00"),
		h(8, 3|nested), h(4, 1),
		h(4, 4|nested),
		h(5, 5), x("09 00 00 00"),
	))
}

func TestEncoderAppendsToTheBuffer(t *testing.T) {
	e := attr.NewEncoder([]byte("header.."))
	e.Flag(1)
	b, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	sameBytes(t, b, wire(s("header.."), h(4, 1)))

	e.String(1, "\x00")
	if _, err := e.Finish(); err == nil {
		t.Fatal("a NUL within a string was accepted")
	}
	e.Reset(b[:0])
	e.Flag(2)
	b, err = e.Finish()
	if err != nil {
		t.Fatal("Reset kept the error:", err)
	}
	sameBytes(t, b, h(4, 2))
}

func TestEncoderRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		encode func(e *attr.Encoder)
		is     error
		text   string
	}{
		{"NUL within a string", func(e *attr.Encoder) { e.String(5, "a\x00b") },
			attr.ErrRange, `attr: attribute 5: value out of range: a NUL within the string "a\x00b"`},
		{"NUL at a string's end", func(e *attr.Encoder) { e.String(5, "a\x00") },
			attr.ErrRange, `attr: attribute 5: value out of range: a NUL within the string "a\x00"`},
		{"no address", func(e *attr.Encoder) { e.Addr(5, netip.Addr{}) },
			attr.ErrRange, "attr: attribute 5: value out of range: no IP address given"},
		{"string of 65,531 bytes and its NUL", func(e *attr.Encoder) { e.String(5, strings.Repeat("a", 65531)) },
			attr.ErrTooLong, "attr: attribute 5: attribute longer than 65531 bytes: 65532"},
		{"text of 65,532 bytes", func(e *attr.Encoder) { e.Text(5, strings.Repeat("a", 65532)) },
			attr.ErrTooLong, "attr: attribute 5: attribute longer than 65531 bytes: 65532"},
		{"65,532 bytes", func(e *attr.Encoder) { e.Bytes(5|nested, make([]byte, 65532)) },
			attr.ErrTooLong, "attr: attribute 5: attribute longer than 65531 bytes: 65532"},
		{"raw of 65,532 bytes", func(e *attr.Encoder) { e.Raw(attr.Raw{Type: 5, Payload: make([]byte, 65532)}) },
			attr.ErrTooLong, "attr: attribute 5: attribute longer than 65531 bytes: 65532"},
		{"nest of 65,532 bytes", func(e *attr.Encoder) {
			n := e.Begin(5)
			e.Bytes(1, make([]byte, 65520))
			e.Flag(2)
			e.Flag(3)
			e.End(n)
		}, attr.ErrTooLong, "attr: attribute 5: attribute longer than 65531 bytes: a nest of 65532"},
		{"first of two mistakes", func(e *attr.Encoder) {
			n := e.Begin(1)
			e.String(2, "\x00")
			e.Addr(3, netip.Addr{})
			e.Uint8(4, 1)
			e.End(n)
		}, attr.ErrRange, `attr: attribute 2: value out of range: a NUL within the string "\x00"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var e attr.Encoder
			c.encode(&e)
			b, err := e.Finish()
			var is *attr.Error
			if !errors.Is(err, c.is) || !errors.As(err, &is) {
				t.Fatalf("error is %v, not %v", err, c.is)
			}
			if err.Error() != c.text {
				t.Errorf("error reads\n%v, not\n%v", err, c.text)
			}
			e.Uint8(9, 1)
			if again, err2 := e.Finish(); err2 != err || cap(again) < cap(b) {
				t.Errorf("the error became %v", err2)
			}
		})
	}
}

func TestEncoderLongest(t *testing.T) {
	p := make([]byte, attr.MaxPayload)
	p[0], p[len(p)-1] = 1, 2
	var e attr.Encoder
	e.Bytes(1, p)
	b, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if len(b) != 65536 {
		t.Errorf("%d bytes, not 65536", len(b))
	}
	sameBytes(t, b[:4], h(65535, 1))
	d := attr.NewDecoder(b)
	if !d.Next() {
		t.Fatal(d.Err())
	}
	sameBytes(t, d.Bytes(), p)

	e.Reset(b[:0])
	n := e.Begin(2)
	e.Bytes(1, make([]byte, 65524))
	e.End(n) // 4 + 4 + 65524
	b, err = e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	sameBytes(t, b[:8], wire(h(65532, 2|nested), h(65528, 1)))
}

func TestNestsMustBeginAndEnd(t *testing.T) {
	var e attr.Encoder
	e.Begin(1)
	e.Uint32(1, 2)
	if _, err := e.Finish(); !errors.Is(err, attr.ErrMalformed) {
		t.Errorf("a nest that was not ended: %v", err)
	}
	e = attr.Encoder{}
	e.End(5)
	if _, err := e.Finish(); !errors.Is(err, attr.ErrMalformed) {
		t.Errorf("the end of a nest that was not begun: %v", err)
	}
}
