package attr_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/gnlgo/gnl/attr"
)

func TestUnmarshalEachKind(t *testing.T) {
	for _, c := range kinds {
		t.Run(c.name, func(t *testing.T) {
			got := reflect.New(reflect.TypeOf(c.value).Elem())
			in := bytes.Clone(c.wire)
			if err := attr.Unmarshal(in, got.Interface()); err != nil {
				t.Fatal(err)
			}
			same(t, exported(got.Interface()), exported(c.value))

			// Once more, into the memory used, with other flags and no padding.
			d := attr.NewDecoder(c.wire)
			var e attr.Encoder
			last := 0
			for d.Next() {
				r := d.Raw()
				r.Type ^= nested
				e.Raw(r)
				last = len(r.Payload)
			}
			b, _ := e.Finish()
			b = b[:len(b)-(-last&3)]
			if err := attr.Unmarshal(b, got.Interface()); err != nil {
				t.Fatal("unpadded:", err)
			}
			same(t, exported(got.Interface()), exported(c.value))

			// An empty list makes every field zero.
			if err := attr.Unmarshal(nil, got.Interface()); err != nil {
				t.Fatal(err)
			}
			same(t, exported(got.Interface()), exported(reflect.New(got.Type().Elem()).Interface()))
		})
	}
}

// exported is v without what cmp cannot look into.
func exported(v any) any {
	e := reflect.ValueOf(v).Elem()
	m := map[string]any{}
	for i := range e.NumField() {
		f := e.Type().Field(i)
		switch {
		case f.Type.Kind() == reflect.Func, f.Type.Kind() == reflect.Chan, f.Name == "_":
		case f.Anonymous && f.Type.Kind() == reflect.Struct:
			for k, v := range exported(reflect.NewAt(f.Type, unsafe.Pointer(e.Field(i).UnsafeAddr())).Interface()).(map[string]any) {
				m[k] = v
			}
		case f.IsExported():
			m[f.Name] = plain(e.Field(i))
		}
	}
	return m
}

// plain is a value of the kinds' types for cmp: structs that embed as maps.
func plain(v reflect.Value) any {
	switch {
	case v.Kind() == reflect.Slice && v.Type().Elem() == reflect.TypeFor[indexInside]():
		var l []any
		for i := range v.Len() {
			l = append(l, exported(v.Index(i).Addr().Interface()))
		}
		return l
	case v.Type() == reflect.TypeFor[cStruct](), v.Type() == reflect.TypeFor[*cStruct](), v.Type() == reflect.TypeFor[[]cStruct]():
		return fmt.Sprintf("%+v", reflect.Indirect(v))
	}
	return v.Interface()
}

func TestUnmarshalTolerates(t *testing.T) {
	type T struct {
		A  uint32   `nl:"1"`
		S  string   `nl:"2"`
		F  bool     `nl:"3"`
		C  cStruct  `nl:"4,struct"`
		M  [6]byte  `nl:"5"`
		N  pair     `nl:"6"`
		L  []pair   `nl:"7,array"`
		Be uint16   `nl:"8,be"`
		R  []string `nl:"9,repeated"`
		U  uint64   `nl:"10,auto"`
		I  int64    `nl:"11,auto"`
	}
	for _, c := range []struct {
		name string
		in   []byte
		want T
	}{
		{"flags on numbers", wire(h(8, 1|nested), n32(7), h(6, 8|netOrder), x("00 50 00 00")), T{A: 7, Be: 80}},
		{"nest without its flag", wire(h(12, 6), h(6, 1), n16(7), x("00 00")), T{N: pair{A: 7}}},
		{"list with arbitrary numbers", wire(h(28, 7),
			h(12, 9), h(6, 1), n16(1), x("00 00"),
			h(12, 3|nested), h(6, 1), n16(2), x("00 00")), T{L: []pair{{A: 1}, {A: 2}}}},
		{"string without a NUL", wire(h(6, 2), s("lo"), x("00 00")), T{S: "lo"}},
		{"string with many", wire(h(8, 2), s("lo\x00\x00")), T{S: "lo"}},
		{"string of NULs", wire(h(8, 2), n32(0)), T{}},
		{"string of nothing", h(4, 2), T{}},
		{"string with a NUL within", wire(h(8, 2), s("l\x00o\x00")), T{S: "l\x00o"}},
		{"flag with a payload", wire(h(8, 3), n32(0)), T{F: true}},
		{"C struct that has grown", wire(h(24, 4), x("01 00 00 00"), make([]byte, 12), n32(9)), T{C: cStruct{A: 1}}},
		{"three bytes behind", wire(h(8, 1), n32(7), x("ff ff ff")), T{A: 7}},
		{"three bytes behind in a nest", wire(h(15, 6), h(6, 1), n16(7), x("00 00"), x("ff ff ff 00")), T{N: pair{A: 7}}},
		{"small payload where 8 bytes were possible", wire(h(8, 10), n32(0xffffffff), h(8, 11), n32(0xffffffff)), T{U: 0xffffffff, I: -1}},
		{"a large payload for a small number", wire(h(12, 10), n64(1), h(12, 11), n64(1)), T{U: 1, I: 1}},
		{"unknown attributes", wire(h(4, 0), h(5, 12), x("01 00 00 00"), h(8, 1), n32(7), h(8, 16383|nested), n32(0)), T{A: 7}},
		{"the last of many", wire(
			h(8, 1), n32(1), h(8, 1), n32(2),
			h(7, 2), s("a\x00\x00\x00"), h(5, 2), s("\x00\x00\x00\x00"),
			h(12, 6), h(6, 1), n16(7), x("00 00"), h(12, 6), h(6, 2), s("b\x00\x00\x00"),
			h(8, 7), h(4, 1), h(12, 7), h(8, 1|nested), h(4, 5)),
			T{A: 2, N: pair{B: "b"}, L: []pair{{}}}},
		{"repetitions apart from one another", wire(h(6, 9), s("a\x00\x00\x00"), h(8, 1), n32(7), h(6, 9), s("b\x00\x00\x00")),
			T{R: []string{"a", "b"}, A: 7}},
	} {
		var got T
		if err := attr.Unmarshal(c.in, &got); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: decoded to\n%+v, not\n%+v", c.name, got, c.want)
		}
	}
}

// Whatever follows, an attribute of an impossible length ends the decoding: the
// number may be one that is unknown, of a plain number, or of another kind.
func TestUnmarshalRefusesMalformedLists(t *testing.T) {
	type T struct {
		A uint32  `nl:"2"`
		B string  `nl:"3"`
		C uint32  `nl:"4"`
		D []uint8 `nl:"5,array"`
	}
	type wide struct {
		A string `nl:"2"`
		B uint32 `nl:"2000"`
	}
	for _, c := range malformed {
		for typ := range uint16(8) {
			in := bytes.Clone(c.in)
			copy(in[6:], n16(typ))
			for _, v := range []any{&T{}, &wide{}, &struct{}{}} {
				if err := attr.Unmarshal(in, v); !errors.Is(err, attr.ErrMalformed) {
					t.Errorf("%s: attribute %d of %T: the error is %v", c.name, typ, v, err)
				}
			}
		}
	}
	for length := range uint16(4) {
		for typ := range uint16(70) {
			err := attr.Unmarshal(h(length, typ), &T{})
			if !errors.Is(err, attr.ErrMalformed) {
				t.Errorf("length %d, attribute %d: the error is %v", length, typ, err)
			}
		}
	}
}

func TestUnmarshalSaysWhere(t *testing.T) {
	type inner struct {
		N uint32 `nl:"1"`
		S string `nl:"2"`
		P *inner `nl:"3"`
	}
	type keyed struct {
		Index uint8  `nl:"index"`
		N     uint32 `nl:"1"`
	}
	type T struct {
		Nest  inner           `nl:"1"`
		List  []inner         `nl:"2,array"`
		Keyed []keyed         `nl:"3,keyed"`
		Map   map[uint8]inner `nl:"4"`
		Rep   []inner         `nl:"5,repeated"`
		Nums  []uint16        `nl:"6,array,be"`
		Del   delegates       `nl:"7"`
	}
	short := wire(h(5, 1), x("01 00 00 00"))
	in := func(typ uint16, b ...[]byte) []byte {
		body := bytes.Join(b, nil)
		return wire(h(uint16(4+len(body)), typ), body)
	}
	for _, c := range []struct {
		in   []byte
		is   error
		text string
		path []uint16
		name string
	}{
		{in(1, short), attr.ErrLength, "Nest.N (attribute 1.1): wrong payload length: 4 bytes wanted, 1 given", []uint16{1, 1}, "Nest.N"},
		{in(1, in(3, in(3, short))), attr.ErrLength, "Nest.P.P.N (attribute 1.3.3.1): wrong payload length: 4 bytes wanted, 1 given", []uint16{1, 3, 3, 1}, "Nest.P.P.N"},
		{in(2, in(1), in(9, short)), attr.ErrLength, "List[1].N (attribute 2.9.1): wrong payload length: 4 bytes wanted, 1 given", []uint16{2, 9, 1}, "List[1].N"},
		{in(3, in(5, short)), attr.ErrLength, "Keyed[0].N (attribute 3.5.1): wrong payload length: 4 bytes wanted, 1 given", []uint16{3, 5, 1}, "Keyed[0].N"},
		{in(3, in(300)), attr.ErrRange, "Keyed[0] (attribute 3.300): value out of range: index 300 does not fit 8 bits", []uint16{3, 300}, "Keyed[0]"},
		{in(4, in(5, short)), attr.ErrLength, "Map[5].N (attribute 4.5.1): wrong payload length: 4 bytes wanted, 1 given", []uint16{4, 5, 1}, "Map[5].N"},
		{in(4, in(256)), attr.ErrRange, "Map[256] (attribute 4.256): value out of range: index 256 does not fit 8 bits", []uint16{4, 256}, "Map[256]"},
		{in(5, short), attr.ErrLength, "Rep.N (attribute 5.1): wrong payload length: 4 bytes wanted, 1 given", []uint16{5, 1}, "Rep.N"},
		{in(6, in(7, x("00"))), attr.ErrLength, "Nums[0] (attribute 6.7): wrong payload length: 2 bytes wanted, 1 given", []uint16{6, 7}, "Nums[0]"},
		{in(7, h(9, 3)), attr.ErrMalformed, "Del (attribute 7): malformed attribute: attribute 3 has length 9, with 4 bytes left", []uint16{7}, "Del"},
		{in(1, h(3, 3)), attr.ErrMalformed, "Nest (attribute 1): malformed attribute: attribute 3 has length 3, with 4 bytes left", []uint16{1}, "Nest"},
		{in(2, in(4, h(3, 3))), attr.ErrMalformed, "List[0] (attribute 2.4): malformed attribute: attribute 3 has length 3, with 4 bytes left", []uint16{2, 4}, "List[0]"},
		{in(2, h(3, 3)), attr.ErrMalformed, "List (attribute 2): malformed attribute: attribute 3 has length 3, with 4 bytes left", []uint16{2}, "List"},
		{in(2, in(1), h(0, 3)), attr.ErrMalformed, "List (attribute 2): malformed attribute: attribute 3 has length 0, with 4 bytes left", []uint16{2}, "List"},
		{in(3, h(5, 3)), attr.ErrMalformed, "Keyed (attribute 3): malformed attribute: attribute 3 has length 5, with 4 bytes left", []uint16{3}, "Keyed"},
		{in(3, in(1), h(0, 3)), attr.ErrMalformed, "Keyed (attribute 3): malformed attribute: attribute 3 has length 0, with 4 bytes left", []uint16{3}, "Keyed"},
		{in(4, in(1), h(5, 3)), attr.ErrMalformed, "Map (attribute 4): malformed attribute: attribute 3 has length 5, with 4 bytes left", []uint16{4}, "Map"},
		{h(0, 1), attr.ErrMalformed, "malformed attribute: attribute 1 has length 0, with 4 bytes left", nil, ""},
	} {
		var v T
		err := attr.Unmarshal(c.in, &v)
		var is *attr.Error
		if !errors.Is(err, c.is) || !errors.As(err, &is) {
			t.Errorf("% x: the error is %v, not %s", c.in, err, c.text)
			continue
		}
		if want := "attr: attr_test.T: " + c.text; err.Error() != want {
			t.Errorf("the error reads\n%v, not\n%v", err, want)
		}
		if !reflect.DeepEqual(is.Path, c.path) || is.Name != c.name || is.Type != "attr_test.T" {
			t.Errorf("the error is at %v, %q of %q", is.Path, is.Name, is.Type)
		}
	}
}

func TestUnmarshalChecksTheLength(t *testing.T) {
	for _, c := range []struct {
		value any
		good  []int
	}{
		{&struct {
			V uint8 `nl:"1"`
		}{}, []int{1}},
		{&struct {
			V int8 `nl:"1"`
		}{}, []int{1}},
		{&struct {
			V uint16 `nl:"1"`
		}{}, []int{2}},
		{&struct {
			V uint32 `nl:"1"`
		}{}, []int{4}},
		{&struct {
			V uint64 `nl:"1"`
		}{}, []int{8}},
		{&struct {
			V uint16 `nl:"1,be"`
		}{}, []int{2}},
		{&struct {
			V uint32 `nl:"1,be"`
		}{}, []int{4}},
		{&struct {
			V uint64 `nl:"1,be"`
		}{}, []int{8}},
		{&struct {
			V uint64 `nl:"1,auto"`
		}{}, []int{4, 8}},
		{&struct {
			V int64 `nl:"1,auto"`
		}{}, []int{4, 8}},
		{&struct {
			V int `nl:"1,u8"`
		}{}, []int{1}},
		{&struct {
			V int `nl:"1,s16,be"`
		}{}, []int{2}},
		{&struct {
			V bool `nl:"1,u32"`
		}{}, []int{4}},
		{&struct {
			V uint `nl:"1,u64"`
		}{}, []int{8}},
		{&struct {
			V time.Duration `nl:"1,unit=s,u16"`
		}{}, []int{2}},
		{&struct {
			V netip.Addr `nl:"1"`
		}{}, []int{4, 16}},
		{&struct {
			V attr.Bitfield32 `nl:"1"`
		}{}, []int{8}},
		{&struct {
			V []uint32 `nl:"1,packed"`
		}{}, []int{0, 4, 8, 12, 16}},
		{&struct {
			V []cStruct `nl:"1,packed"`
		}{}, []int{0, 16}},
		{&struct {
			V cStruct `nl:"1,struct"`
		}{}, []int{16, 17, 18, 19}},
		{&struct {
			V *cStruct `nl:"1,struct"`
		}{}, []int{16, 17, 18, 19}},
		{&struct {
			V [6]byte `nl:"1"`
		}{}, []int{6}},
		{&struct {
			V *uint32 `nl:"1"`
		}{}, []int{4}},
		{&struct {
			V []uint32 `nl:"1,repeated"`
		}{}, []int{4}},
	} {
		good := map[int]bool{}
		for _, n := range c.good {
			good[n] = true
		}
		for n := range 20 {
			err := attr.Unmarshal(wire(h(uint16(4+n), 1), make([]byte, (n+3)&^3)), c.value)
			if good[n] && err != nil || !good[n] && !errors.Is(err, attr.ErrLength) {
				t.Errorf("%T: %d bytes: the error is %v", c.value, n, err)
			}
		}
	}
}

func TestUnmarshalChecksTheRange(t *testing.T) {
	for _, c := range []struct {
		value any
		in    []byte
		text  string
	}{
		{&struct {
			V uint8 `nl:"1,u32"`
		}{}, wire(h(8, 1), n32(256)), "256 does not fit a uint8"},
		{&struct {
			V int8 `nl:"1,u8"`
		}{}, wire(h(5, 1), x("80 00 00 00")), "128 does not fit a int8"},
		{&struct {
			V int16 `nl:"1,s32"`
		}{}, wire(h(8, 1), n32(0xffff0000)), "-65536 does not fit a int16"},
		{&struct {
			V uint64 `nl:"1,s64"`
		}{}, wire(h(12, 1), n64(1<<63)), "-9223372036854775808 does not fit a uint64"},
		{&struct {
			V uint32 `nl:"1,s32"`
		}{}, wire(h(8, 1), n32(0xffffffff)), "-1 does not fit a uint32"},
		{&struct {
			V uint16 `nl:"1,u64"`
		}{}, wire(h(12, 1), n64(1<<63)), "9223372036854775808 does not fit a uint16"},
		{&struct {
			V int64 `nl:"1,u64"`
		}{}, wire(h(12, 1), n64(1<<63)), "9223372036854775808 does not fit a int64"},
		{&struct {
			V time.Duration `nl:"1,unit=s,u64"`
		}{}, wire(h(12, 1), n64(10_000_000_000)), "10000000000 times 1s is more than a time.Duration holds"},
		{&struct {
			V time.Duration `nl:"1,unit=ns,u64"`
		}{}, wire(h(12, 1), n64(1<<63)), "9223372036854775808 times 1ns is more than a time.Duration holds"},
		{&struct {
			V time.Duration `nl:"1,unit=s,s64"`
		}{}, wire(h(12, 1), n64(1<<63)), "-9223372036854775808 times 1s is more than a time.Duration holds"},
	} {
		err := attr.Unmarshal(c.in, c.value)
		want := fmt.Sprintf("attr: %s: V (attribute 1): value out of range: %s", reflect.TypeOf(c.value).Elem(), c.text)
		if !errors.Is(err, attr.ErrRange) || err.Error() != want {
			t.Errorf("the error reads\n%v, not\n%v", err, want)
		}
	}

	// A bool takes whatever is not 0 for true.
	var v struct {
		A bool `nl:"1,u64"`
		B bool `nl:"2,s8"`
		C bool `nl:"3,u8"`
	}
	v.C = true
	if err := attr.Unmarshal(wire(h(12, 1), n64(1<<63), h(5, 2), x("80 00 00 00"), h(5, 3), n32(0)), &v); err != nil || !v.A || !v.B || v.C {
		t.Errorf("decoded to %+v (%v)", v, err)
	}
}

func TestUnmarshalNeedsAPointerToAStruct(t *testing.T) {
	for _, v := range []any{nil, 7, pair{}, (*pair)(nil), ptr(7), ptr(&pair{})} {
		if err := attr.Unmarshal(nil, v); !errors.Is(err, attr.ErrTag) {
			t.Errorf("%T: the error is %v", v, err)
		}
	}
}

func TestUnmarshalSaysWhatWasGiven(t *testing.T) {
	type inner struct {
		A   uint8    `nl:"1"`
		B   uint8    `nl:"2"`
		Has attr.Set `nl:"given"`
	}
	type T struct {
		N   inner    `nl:"63"`
		L   []inner  `nl:"4,array"`
		P   *inner   `nl:"6"`
		S   string   `nl:"5"`
		W   uint8    `nl:"64"`
		Has attr.Set `nl:"given"`
	}
	in := wire(
		h(12, 63), h(5, 2), n32(0),
		h(16, 4), h(12, 1), h(5, 1), n32(0),
		h(4, 9), h(5, 64), n32(0), h(4, 65))
	var v T
	for range 2 {
		if err := attr.Unmarshal(in, &v); err != nil {
			t.Fatal(err)
		}
		if v.Has != 1<<63|1<<4|1<<9 || v.N.Has != 1<<2 || v.L[0].Has != 1<<1 || v.P != nil {
			t.Errorf("given are %b, %b, %b", v.Has, v.N.Has, v.L[0].Has)
		}
		for n := range uint16(70) {
			if want := n == 63 || n == 4 || n == 9; v.Has.Has(n) != want {
				t.Errorf("attribute %d is given: %v", n, !want)
			}
		}
		if v.Has.Has(65535) {
			t.Error("attribute 65535 is given")
		}
	}
	if err := attr.Unmarshal(nil, &v); err != nil || v.Has != 0 || v.N.Has != 0 {
		t.Errorf("given in an empty list are %b, %b (%v)", v.Has, v.N.Has, err)
	}
}

func TestUnmarshalKeepsUnknownAttributes(t *testing.T) {
	type inner struct {
		A    uint8      `nl:"1"`
		More []attr.Raw `nl:"unknown"`
	}
	type T struct {
		A    uint8      `nl:"1"`
		N    inner      `nl:"2"`
		More []attr.Raw `nl:"unknown"`
	}
	in := wire(
		h(6, 9|netOrder), x("01 02 00 00"),
		h(12, 2), h(4, 0), h(4, 3|nested),
		h(5, 1), x("07 00 00 00"),
		h(5, 0x3fff), x("03 00 00 00"))
	want := T{7, inner{0, []attr.Raw{{Type: 0}, {Type: 3 | nested}}}, []attr.Raw{
		{Type: 9 | netOrder, Payload: []byte{1, 2}}, {Type: 0x3fff, Payload: []byte{3}}}}
	var v T
	for range 2 {
		if err := attr.Unmarshal(in, &v); err != nil {
			t.Fatal(err)
		}
		same(t, v, want)
	}
	kept := v.More
	clear(in)
	if err := attr.Unmarshal(nil, &v); err != nil || v.More != nil || v.N.More != nil {
		t.Errorf("unknown in an empty list are %v, %v (%v)", v.More, v.N.More, err)
	}
	same(t, kept, want.More) // neither the list nor the next decoding reaches them
	if n := kept[0].Number(); n != 9 {
		t.Errorf("the number is %d, not 9", n)
	}
}

func TestUnmarshalCopies(t *testing.T) {
	type T struct {
		S string   `nl:"1"`
		B []byte   `nl:"2"`
		V []byte   `nl:"3,view"`
		L [][]byte `nl:"4,array"`
		W [][]byte `nl:"5,array,view"`
		P []uint16 `nl:"6,packed"`
	}
	in := wire(h(6, 1), s("ab\x00\x00"), h(6, 2), s("cd\x00\x00"), h(6, 3), s("ef\x00\x00"),
		h(12, 4), h(6, 0), s("gh\x00\x00"), h(12, 5), h(6, 0), s("ij\x00\x00"), h(6, 6), s("kl\x00\x00"))
	var v T
	if err := attr.Unmarshal(in, &v); err != nil {
		t.Fatal(err)
	}
	for i := range in {
		in[i] = '.'
	}
	got := fmt.Sprintf("%s %s %s %s %s %s", v.S, v.B, v.V, v.L[0], v.W[0], wire(n16(v.P[0])))
	if want := "ab cd .. gh .. kl"; got != want {
		t.Errorf("decoded to %q, not %q", got, want)
	}
	if cap(v.V) != 2 || cap(v.W[0]) != 2 {
		t.Error("appending to a view would overwrite the list")
	}
}

// What a decoded value refers to is used again by the next decoding into it.
func TestUnmarshalUsesMemoryAgain(t *testing.T) {
	type T struct {
		S string           `nl:"1"`
		B []byte           `nl:"2"`
		L []pair           `nl:"3,array"`
		P *uint32          `nl:"4"`
		M map[uint16]uint8 `nl:"5"`
		K []uint32         `nl:"6,packed"`
		R []uint32         `nl:"7,repeated"`
	}
	first := wire(h(7, 1), s("abc\x00"), h(8, 2), s("abcd"),
		h(24, 3), h(8, 0), h(4, 9), h(12, 1), h(6, 2), s("x\x00\x00\x00"),
		h(8, 4), n32(1), h(12, 5), h(5, 1), x("01 00 00 00"), h(12, 6), n64(0), h(8, 7), n32(1), h(8, 7), n32(2))
	second := wire(h(7, 1), s("abc\x00"), h(6, 2), s("ef\x00\x00"),
		h(12, 3), h(8, 0), h(4, 2),
		h(8, 4), n32(2), h(12, 5), h(5, 2), x("02 00 00 00"), h(8, 6), n32(0), h(8, 7), n32(3))
	var v T
	if err := attr.Unmarshal(first, &v); err != nil {
		t.Fatal(err)
	}
	text, bytes, list, number, words, rep := unsafe.StringData(v.S), &v.B[0], &v.L[0], v.P, &v.K[0], &v.R[0]
	if err := attr.Unmarshal(second, &v); err != nil {
		t.Fatal(err)
	}
	if unsafe.StringData(v.S) != text || &v.B[0] != bytes || &v.L[0] != list || v.P != number || &v.K[0] != words || &v.R[0] != rep {
		t.Error("memory was not used again")
	}
	same(t, v, T{"abc", []byte("ef"), []pair{{}}, ptr(uint32(2)), map[uint16]uint8{2: 2}, []uint32{0}, []uint32{3}})
	if err := attr.Unmarshal(nil, &v); err != nil {
		t.Fatal(err)
	}
	same(t, v, T{})
	if cap(v.B) == 0 || cap(v.L) == 0 || cap(v.K) == 0 || cap(v.R) == 0 {
		t.Error("absent lists lost their memory")
	}
}

// Elements that are plain numbers have a short way, if they are as the kernel
// usually sends them. They come out the same whichever way they take, into fresh
// memory and into used.
func TestUnmarshalArraysOfNumbersInAnyForm(t *testing.T) {
	type list struct {
		Numbers []numbers `nl:"1,array=1"`
	}
	var (
		a = wire(h(8, 1), n32(11))
		b = wire(h(5, 3), x("16 000000"))
		c = wire(h(6, 5), n16(33), x("0000"))
		d = wire(h(12, 7), n64(44))
	)
	all := numbers{11, 22, 33, 44}
	forms := []struct {
		element []byte
		want    numbers
	}{
		{wire(a, b, c, d), all},
		{wire(d, c, b, a), all},
		{wire(a, b, d), numbers{11, 22, 0, 44}},
		{wire(a, b, c), numbers{11, 22, 33, 0}},
		{nil, numbers{}},
		{wire(a, b, c, d, h(8, 9), n32(1)), all},
		{wire(h(8, 1|netOrder), n32(11), b, c, d), all},
		{wire(a, a, c, d), numbers{11, 0, 33, 44}}, // as long as it should be
		{wire(a, b, c, h(8, 6), n32(1), h(4, 8)), numbers{11, 22, 33, 0}},
	}
	var used list
	for range 2 {
		for i := range forms {
			for _, n := range []int{0, 1, 3} { // elements in the usual form before and behind
				var elements [][]byte
				var want list
				add := func(element []byte, number numbers) {
					elements = append(elements, wire(h(uint16(4+len(element)), uint16(1+len(elements))), element))
					want.Numbers = append(want.Numbers, number)
				}
				for range n {
					add(forms[0].element, all)
				}
				add(forms[i].element, forms[i].want)
				for range n {
					add(forms[0].element, all)
				}
				content := wire(elements...)
				message := wire(h(uint16(4+len(content)), 1|nested), content)
				var got list
				spare := make([]numbers, 8)
				small := list{spare[:0:1]}
				for _, v := range []*list{&got, &used, &small} {
					if err := attr.Unmarshal(message, v); err != nil {
						t.Fatal(i, n, err)
					}
					same(t, *v, want)
				}
				same(t, spare[1:], make([]numbers, 7)) // was not for the decoder
			}
		}
	}
}

// Fields that are not tagged are left alone, whatever is cleared around them.
func TestUnmarshalLeavesOtherFieldsAlone(t *testing.T) {
	type inner struct {
		A uint32 `nl:"1"`
		X uint8
		B uint64 `nl:"2"`
	}
	type T struct {
		A uint32 `nl:"1"`
		X uint8
		B uint64 `nl:"2"`
		inner2
		C uint16 `nl:"3"`
		Y [3]byte
		D uint32   `nl:"4"`
		H attr.Set `nl:"given"`
		E uint64   `nl:"5"`
		F uint8    `nl:"6"`
		G uint32   `nl:"7"`
		S string   `nl:"8"`
		Z string
		N inner `nl:"9"`
	}
	v := T{A: 1, X: 2, B: 3, inner2: inner2{P: 1, Q: 2, R: 3}, C: 4, Y: [3]byte{5, 6, 7}, D: 8, H: 9, E: 10, F: 11, G: 12, S: "13", Z: "14", N: inner{15, 16, 17}}
	if err := attr.Unmarshal(nil, &v); err != nil {
		t.Fatal(err)
	}
	if want := (T{X: 2, inner2: inner2{Q: 2}, Y: [3]byte{5, 6, 7}, Z: "14", N: inner{X: 16}}); v != want {
		t.Errorf("decoded to\n%+v, not\n%+v", v, want)
	}
}

type inner2 struct {
	P uint8 `nl:"20"`
	Q uint8
	R uint16 `nl:"21"`
}

// An empty payload is there, an absent one is not, if a fresh value is decoded into.
func TestUnmarshalEmptyBytesAreNotNil(t *testing.T) {
	var v struct {
		A []byte `nl:"1"`
		B []byte `nl:"2"`
		C []byte `nl:"3,view"`
	}
	if err := attr.Unmarshal(wire(h(4, 1), h(4, 3)), &v); err != nil || v.A == nil || v.B != nil || v.C == nil {
		t.Errorf("decoded to %#v (%v)", v, err)
	}
}

// Values decoded into used memory encode to the same bytes as those decoded
// into fresh memory, although their absent lists are empty, not nil.
func TestUsedMemoryEncodesAlike(t *testing.T) {
	type inner struct {
		L []uint8 `nl:"1,array,omitzero"`
		B []byte  `nl:"2,omitzero"`
	}
	type T struct {
		N inner   `nl:"1,omitzero"`
		M []inner `nl:"2,array,omitzero"`
	}
	var v T
	for _, in := range [][]byte{
		wire(h(20, 1|nested), h(12, 1|nested), h(5, 0), x("01 00 00 00"), h(4, 2)), nil,
	} {
		if err := attr.Unmarshal(in, &v); err != nil {
			t.Fatal(err)
		}
	}
	b, err := attr.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	sameBytes(t, b, nil)
}

// A list, or any attribute, may fill a message.
func TestUnmarshalLongest(t *testing.T) {
	type T struct {
		B []byte   `nl:"1"`
		L []uint8  `nl:"2,array"`
		S string   `nl:"3"`
		R []string `nl:"4,repeated"`
	}
	for _, n := range []int{65530, 65531} {
		v := T{B: bytes.Repeat([]byte{7}, n), L: make([]uint8, 65528/8), S: string(bytes.Repeat([]byte{'x'}, n-1)), R: []string{"", ""}}
		b, err := attr.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var back T
		if err := attr.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, v) {
			t.Errorf("payloads of %d bytes are decoded to something else", n)
		}
	}
}

// The entries of the inner list look like the numbers of its elements, and are none.
func TestUnmarshalListOfKeyedLists(t *testing.T) {
	var v struct {
		V [][]numbered `nl:"1,array,keyed"`
	}
	for range 2 {
		if err := attr.Unmarshal(wire(h(16, 1), h(12, 0), h(6, 1), n16(8), x("00 00")), &v); err != nil {
			t.Fatal(err)
		}
		same(t, v.V, [][]numbered{{{Index: 1}}})
	}
}

func TestConcurrentUse(t *testing.T) {
	type local struct {
		A uint32   `nl:"1"`
		S string   `nl:"2"`
		L []pair   `nl:"3,array"`
		N *node    `nl:"4"`
		K []entry  `nl:"5,keyed"`
		E []string `nl:"6,repeated"`
	}
	v := local{1, "a", []pair{{1, "b"}}, &node{Value: 2}, []entry{{Index: 1}}, []string{"c"}}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				b, err := attr.Marshal(&v)
				if err != nil {
					t.Error(err)
					return
				}
				var back local
				if err := attr.Unmarshal(b, &back); err != nil || diff(back, v) != "" {
					t.Error(err, diff(back, v))
					return
				}
				if err := attr.Unmarshal(h(5, 4), &back); err == nil {
					t.Error("no error")
				}
			}
		})
	}
	wg.Wait()
}

// A type's own method may return one and the same *Error again and again.
func TestErrorsOfMethodsAreNotChanged(t *testing.T) {
	type T struct {
		N struct {
			V fails `nl:"2"`
		} `nl:"1"`
	}
	before := *errFails
	for range 2 {
		err := attr.Unmarshal(wire(h(8, 1), h(4, 2)), &T{})
		if want := "attr: attr_test.T: N.V.Own (attribute 1.2.9): value out of range"; err == nil || err.Error() != want {
			t.Errorf("the error reads\n%v, not\n%v", err, want)
		}
		_, err = attr.Marshal(T{})
		if want := "attr: attr_test.T: N.V.Own (attribute 1.2.9): value out of range"; err == nil || err.Error() != want {
			t.Errorf("the error reads\n%v, not\n%v", err, want)
		}
	}
	if !reflect.DeepEqual(*errFails, before) {
		t.Errorf("the method's error became %v", errFails)
	}
}

var errFails = &attr.Error{Path: []uint16{9}, Name: "Own", Err: attr.ErrRange}

type fails struct{}

func (fails) AppendBinary(b []byte) ([]byte, error) { return b, errFails }
func (*fails) UnmarshalBinary([]byte) error         { return errFails }
