package attr_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gnlgo/gnl/attr"
)

type (
	pair struct {
		A uint16 `nl:"1"`
		B string `nl:"2,omitzero"`
	}
	numbered struct {
		Index uint16 `nl:"index"`
		A     uint16 `nl:"1"`
	}
	cStruct struct {
		A uint8
		_ [3]byte
		B uint32
		C uint16 `nl:"be"`
		D [2]int8
		E int32 `nl:"be"`
	}
	base struct {
		A uint8 `nl:"1"`
	}
	node struct {
		Value uint8   `nl:"1"`
		Next  *node   `nl:"2"`
		Kids  []node  `nl:"3,array,omitzero"`
		Named []entry `nl:"4,keyed,omitzero"`
	}
	// entry contains itself, and says its index last.
	entry struct {
		In    []entry `nl:"1,keyed,omitzero"`
		Index uint8   `nl:"index"`
	}
	indexInside struct {
		A uint32 `nl:"1"`
		embeddedIndex
	}
	embeddedIndex struct {
		_     uint64
		Index uint16 `nl:"index"`
	}
)

// hexText takes its encoding over: it stands as hex on the wire.
type hexText struct{ text string }

func (t hexText) AppendBinary(b []byte) ([]byte, error) {
	if t.text == "?" {
		return b, errors.New("a question mark")
	}
	return fmt.Appendf(b, "%x", t.text), nil
}

func (t *hexText) UnmarshalBinary(b []byte) error {
	var v []byte
	if _, err := fmt.Sscanf(string(b), "%x", &v); err != nil && len(b) > 0 {
		return err
	}
	t.text = string(v)
	return nil
}

func (t hexText) Equal(o hexText) bool { return t.text == o.text }

// kinds has every kind of field, encoded by hand.
var kinds = []struct {
	name  string
	value any
	wire  []byte
}{
	{"uint8", &struct {
		V uint8 `nl:"1"`
	}{0xfe}, wire(h(5, 1), x("fe 00 00 00"))},
	{"uint16", &struct {
		V uint16 `nl:"1"`
	}{0xfedc}, wire(h(6, 1), n16(0xfedc), x("00 00"))},
	{"uint32", &struct {
		V uint32 `nl:"1"`
	}{0xfedcba98}, wire(h(8, 1), n32(0xfedcba98))},
	{"uint64", &struct {
		V uint64 `nl:"1"`
	}{0xfedcba9876543210}, wire(h(12, 1), n64(0xfedcba9876543210))},
	{"int8", &struct {
		V int8 `nl:"1"`
	}{-2}, wire(h(5, 1), x("fe 00 00 00"))},
	{"int16", &struct {
		V int16 `nl:"1"`
	}{-2}, wire(h(6, 1), n16(0xfffe), x("00 00"))},
	{"int32", &struct {
		V int32 `nl:"1"`
	}{-2}, wire(h(8, 1), n32(0xfffffffe))},
	{"int64", &struct {
		V int64 `nl:"1"`
	}{-2}, wire(h(12, 1), n64(0xfffffffffffffffe))},
	{"type of one's own", &struct {
		V time.Month `nl:"1,u8"`
		W color      `nl:"2"`
	}{time.May, 3}, wire(h(5, 1), x("05 00 00 00"), h(6, 2), n16(3), x("00 00"))},

	{"uint16 be", &struct {
		V uint16 `nl:"1,be"`
	}{8080}, wire(h(6, 1), x("1f 90 00 00"))},
	{"uint32 be", &struct {
		V uint32 `nl:"1,be"`
	}{0x01020304}, wire(h(8, 1), x("01 02 03 04"))},
	{"uint64 be", &struct {
		V uint64 `nl:"1,be"`
	}{0x0102030405060708}, wire(h(12, 1), x("01 02 03 04 05 06 07 08"))},
	{"int16 be", &struct {
		V int16 `nl:"1,be"`
	}{-2}, wire(h(6, 1), x("ff fe 00 00"))},
	{"int32 be", &struct {
		V int32 `nl:"1,be"`
	}{-2}, wire(h(8, 1), x("ff ff ff fe"))},
	{"int64 be", &struct {
		V int64 `nl:"1,be"`
	}{-2}, wire(h(12, 1), x("ff ff ff ff ff ff ff fe"))},

	{"auto, 4 bytes", &struct {
		U uint64 `nl:"1,auto"`
		S int64  `nl:"2,auto"`
	}{math.MaxUint32, math.MinInt32}, wire(h(8, 1), n32(math.MaxUint32), h(8, 2), n32(0x80000000))},
	{"auto, 8 bytes", &struct {
		U uint64 `nl:"1,auto"`
		S int64  `nl:"2,auto"`
	}{math.MaxUint32 + 1, math.MinInt32 - 1}, wire(h(12, 1), n64(math.MaxUint32+1), h(12, 2), n64(0xffffffff7fffffff))},

	{"int as u8, u16, u32", &struct {
		A int `nl:"1,u8"`
		B int `nl:"2,u16"`
		C int `nl:"3,u32"`
	}{255, 65535, math.MaxInt32}, wire(h(5, 1), x("ff 00 00 00"), h(6, 2), n16(65535), x("00 00"), h(8, 3), n32(math.MaxInt32))},
	{"int as s8, s16, s32", &struct {
		A int `nl:"1,s8"`
		B int `nl:"2,s16"`
		C int `nl:"3,s32"`
	}{-128, -32768, math.MinInt32}, wire(h(5, 1), x("80 00 00 00"), h(6, 2), n16(0x8000), x("00 00"), h(8, 3), n32(0x80000000))},
	{"uint as u64, s64", &struct {
		A uint `nl:"1,u64"`
		B uint `nl:"2,s64"`
	}{1, 2}, wire(h(12, 1), n64(1), h(12, 2), n64(2))},
	{"uint64 as u64", &struct {
		A uint64 `nl:"1,u64"`
	}{math.MaxUint64}, wire(h(12, 1), n64(math.MaxUint64))},
	{"int64 as s64, u64", &struct {
		A int64 `nl:"1,s64"`
		B int64 `nl:"2,u64"`
	}{math.MinInt64, math.MaxInt64}, wire(h(12, 1), n64(1<<63), h(12, 2), n64(math.MaxInt64))},
	{"uint8 as u32", &struct {
		V uint8 `nl:"1,u32"`
	}{255}, wire(h(8, 1), n32(255))},
	{"numbers of another size, be", &struct {
		A uint8  `nl:"1,u16,be"`
		B int    `nl:"2,s32,be"`
		C uint16 `nl:"3,u64,be"`
	}{1, -2, 3}, wire(h(6, 1), x("00 01 00 00"), h(8, 2), x("ff ff ff fe"), h(12, 3), x("00 00 00 00 00 00 00 03"))},

	{"flag", &struct {
		A bool `nl:"1"`
		B bool `nl:"2"`
	}{true, false}, h(4, 1)},
	{"bool as u8, u32, u16 be", &struct {
		A bool `nl:"1,u8"`
		B bool `nl:"2,u32"`
		C bool `nl:"3,u16,be"`
	}{true, false, true}, wire(h(5, 1), x("01 00 00 00"), h(8, 2), n32(0), h(6, 3), x("00 01 00 00"))},

	{"string", &struct {
		V string `nl:"1"`
	}{"eth0"}, wire(h(9, 1), s("eth0"), x("00 00 00 00"))},
	{"empty string", &struct {
		V string `nl:"1"`
	}{""}, wire(h(5, 1), x("00 00 00 00"))},
	{"string nonul", &struct {
		V string `nl:"1,nonul"`
	}{"eth0"}, wire(h(8, 1), s("eth0"))},
	{"string, UTF-8", &struct {
		V string `nl:"1"`
	}{"é"}, wire(h(7, 1), x("c3 a9 00 00"))},
	{"bytes", &struct {
		V []byte `nl:"1"`
	}{x("00 01 02")}, wire(h(7, 1), x("00 01 02 00"))},
	{"view", &struct {
		V []byte `nl:"1,view"`
	}{x("00 01 02 03")}, wire(h(8, 1), x("00 01 02 03"))},

	{"array of bytes", &struct {
		V [6]byte `nl:"1"`
	}{[6]byte{2, 4, 6, 8, 10, 12}}, wire(h(10, 1), x("02 04 06 08 0a 0c 00 00"))},
	{"array of numbers", &struct {
		V [2]uint16 `nl:"1"`
		W [2]uint16 `nl:"2,be"`
	}{[2]uint16{1, 2}, [2]uint16{1, 2}}, wire(h(8, 1), n16(1), n16(2), h(8, 2), x("00 01 00 02"))},
	{"C struct", &struct {
		V cStruct `nl:"1,struct"`
	}{cStruct{A: 1, B: 2, C: 3, D: [2]int8{-1, 4}, E: -2}},
		wire(h(20, 1), x("01 00 00 00"), n32(2), x("00 03 ff 04 ff ff ff fe"))},
	{"C struct, all be", &struct {
		V [1]struct {
			A uint16
			B int16
			C int32
			D uint64
		} `nl:"1,be,omitzero"`
	}{}, nil},
	{"pointer to a C struct", &struct {
		V *cStruct `nl:"1,struct"`
		W *cStruct `nl:"2,struct"`
	}{W: &cStruct{A: 1}}, wire(h(20, 2), x("01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"))},
	{"packed numbers", &struct {
		V []uint32 `nl:"1,packed"`
		W []uint16 `nl:"2,packed,be"`
		X []uint16 `nl:"3,packed"`
	}{[]uint32{1, 2}, []uint16{3}, nil}, wire(h(12, 1), n32(1), n32(2), h(6, 2), x("00 03 00 00"), h(4, 3))},
	{"packed C structs", &struct {
		V []cStruct `nl:"1,packed"`
	}{[]cStruct{{A: 1}, {C: 2}}}, wire(h(36, 1),
		x("01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"), x("00 00 00 00 00 00 00 00 00 02 00 00 00 00 00 00"))},

	{"nest", &struct {
		V pair `nl:"1"`
		W pair `nl:"2,noflag"`
	}{pair{1, "a"}, pair{2, ""}}, wire(
		h(20, 1|nested), h(6, 1), n16(1), x("00 00"), h(6, 2), s("a\x00\x00\x00"),
		h(12, 2), h(6, 1), n16(2), x("00 00"))},
	{"empty nest", &struct {
		V struct{} `nl:"1"`
	}{}, h(4, 1|nested)},
	{"embedded", &struct {
		base
		B uint8 `nl:"2"`
	}{base{1}, 2}, wire(h(5, 1), x("01 00 00 00"), h(5, 2), x("02 00 00 00"))},

	{"list of nests", &struct {
		V []pair `nl:"1,array"`
	}{[]pair{{1, ""}, {2, ""}}}, wire(
		h(36-8, 1|nested),
		h(12, 0|nested), h(6, 1), n16(1), x("00 00"),
		h(12, 1|nested), h(6, 1), n16(2), x("00 00"))},
	{"list from 1, no flags", &struct {
		V []pair `nl:"1,array=1,noflag"`
	}{[]pair{{1, ""}, {2, ""}}}, wire(
		h(28, 1),
		h(12, 1), h(6, 1), n16(1), x("00 00"),
		h(12, 2), h(6, 1), n16(2), x("00 00"))},
	{"list of numbers", &struct {
		V []uint16 `nl:"1,array,be"`
	}{[]uint16{1, 2}}, wire(h(20, 1|nested), h(6, 0), x("00 01 00 00"), h(6, 1), x("00 02 00 00"))},
	{"list of strings", &struct {
		V []string `nl:"1,array=1"`
	}{[]string{"a", ""}}, wire(h(20, 1|nested), h(6, 1), s("a\x00\x00\x00"), h(5, 2), x("00 00 00 00"))},
	{"list of bools", &struct {
		V []bool `nl:"1,array,u8"`
	}{[]bool{true, false}}, wire(h(20, 1|nested), h(5, 0), x("01 00 00 00"), h(5, 1), x("00 00 00 00"))},
	{"list of pointers", &struct {
		V []*pair `nl:"1,array"`
	}{[]*pair{{A: 1}}}, wire(h(16, 1|nested), h(12, 0|nested), h(6, 1), n16(1), x("00 00"))},
	{"list of keyed lists", &struct {
		V [][]numbered `nl:"1,array,keyed"`
	}{[][]numbered{{{7, 8}}, {}}}, wire(h(24, 1|nested),
		h(16, 0|nested), h(12, 7|nested), h(6, 1), n16(8), x("00 00"),
		h(4, 1|nested))},
	{"list of packed lists", &struct {
		V [][]uint16 `nl:"1,array,packed"`
	}{[][]uint16{{1, 2}, {3}}}, wire(h(20, 1|nested), h(8, 0), n16(1), n16(2), h(6, 1), n16(3), x("00 00"))},
	{"empty list", &struct {
		V []pair `nl:"1,array"`
	}{}, h(4, 1|nested)},
	{"empty list, omitted", &struct {
		V []pair `nl:"1,array,omitzero"`
	}{V: []pair{}}, nil},
	{"repeated", &struct {
		V []uint32 `nl:"1,repeated"`
		W []string `nl:"2,repeated"`
		X []pair   `nl:"3,repeated"`
	}{[]uint32{1, 2}, []string{"a"}, nil}, wire(h(8, 1), n32(1), h(8, 1), n32(2), h(6, 2), s("a\x00\x00\x00"))},
	{"repeated lists", &struct {
		V [][]uint16 `nl:"1,repeated,array"`
	}{[][]uint16{{1}, {2}}}, wire(
		h(12, 1|nested), h(6, 0), n16(1), x("00 00"),
		h(12, 1|nested), h(6, 0), n16(2), x("00 00"))},
	{"keyed", &struct {
		V []numbered `nl:"1,keyed"`
	}{[]numbered{{5, 6}, {3, 4}}}, wire(h(28, 1|nested),
		h(12, 5|nested), h(6, 1), n16(6), x("00 00"),
		h(12, 3|nested), h(6, 1), n16(4), x("00 00"))},
	{"keyed, the index in an embedded struct", &struct {
		V []indexInside `nl:"1,keyed"`
	}{[]indexInside{{A: 1, embeddedIndex: embeddedIndex{Index: 2}}}}, wire(
		h(16, 1|nested), h(12, 2|nested), h(8, 1), n32(1))},
	{"map of nests", &struct {
		V map[uint16]pair `nl:"1"`
	}{map[uint16]pair{7: {1, ""}, 300: {2, ""}}}, wire(h(28, 1|nested),
		h(12, 7|nested), h(6, 1), n16(1), x("00 00"),
		h(12, 300|nested), h(6, 1), n16(2), x("00 00"))},
	{"map of numbers, strings, flags", &struct {
		A map[uint8]uint32  `nl:"1,be"`
		B map[int]string    `nl:"2,noflag"`
		C map[uint32]bool   `nl:"3"`
		D map[uint][]uint16 `nl:"4,omitzero,packed"`
	}{map[uint8]uint32{2: 1}, map[int]string{0: "a"}, map[uint32]bool{9: true}, map[uint][]uint16{1: {2, 3}}}, wire(
		h(12, 1|nested), h(8, 2), x("00 00 00 01"),
		h(12, 2), h(6, 0), s("a\x00\x00\x00"),
		h(8, 3|nested), h(4, 9),
		h(12, 4|nested), h(8, 1), n16(2), n16(3))},

	{"pointers", &struct {
		A *uint32        `nl:"1"`
		B *string        `nl:"2"`
		C *pair          `nl:"3"`
		D **uint16       `nl:"4,be"`
		E *time.Duration `nl:"5,unit=s,u8"`
		F *bool          `nl:"6"`
		G *uint8         `nl:"7"`
		H *[]uint16      `nl:"8,array"`
		I *netip.Addr    `nl:"9"`
	}{ptr(uint32(0)), ptr(""), &pair{}, ptr(ptr(uint16(1))), ptr(2 * time.Second), ptr(true), nil, &[]uint16{}, ptr(netip.IPv4Unspecified())},
		wire(h(8, 1), n32(0), h(5, 2), n32(0), h(12, 3|nested), h(6, 1), n32(0),
			h(6, 4), x("00 01 00 00"), h(5, 5), x("02 00 00 00"), h(4, 6), h(4, 8|nested), h(8, 9), n32(0))},
	{"nil pointers", &struct {
		A *uint32        `nl:"1"`
		B *pair          `nl:"2"`
		C **uint16       `nl:"3"`
		D *time.Duration `nl:"4,unit=s,u8"`
		E *[]byte        `nl:"5"`
	}{}, nil},
	{"Addr", &struct {
		A netip.Addr `nl:"1"`
		B netip.Addr `nl:"2"`
		C netip.Addr `nl:"3,omitzero"`
	}{A: netip.MustParseAddr("192.0.2.1"), B: netip.MustParseAddr("2001:db8::1")}, wire(
		h(8, 1), x("c0 00 02 01"),
		h(20, 2), x("20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01"))},
	{"Bitfield32", &struct {
		V attr.Bitfield32 `nl:"1"`
	}{attr.Bitfield32{Value: 1, Selector: 3}}, wire(h(12, 1), n32(1), n32(3))},
	{"durations", &struct {
		A time.Duration `nl:"1,unit=ns,u64"`
		B time.Duration `nl:"2,unit=us,u32"`
		C time.Duration `nl:"3,unit=ms,u32"`
		D time.Duration `nl:"4,unit=s,u16"`
		E time.Duration `nl:"5,unit=ticks,u32"`
		F time.Duration `nl:"6,unit=s,s32"`
		G time.Duration `nl:"7,unit=ms,u32,be"`
	}{5, 5 * time.Microsecond, 1500 * time.Millisecond, time.Minute, time.Second, -time.Hour, 10 * time.Millisecond},
		wire(h(12, 1), n64(5), h(8, 2), n32(5), h(8, 3), n32(1500), h(6, 4), n16(60), x("00 00"),
			h(8, 5), n32(100), h(8, 6), n32(uint32(0xffffffff-3600+1)), h(8, 7), x("00 00 00 0a"))},
	{"methods of one's own", &struct {
		V hexText   `nl:"1"`
		W *hexText  `nl:"2"`
		X []hexText `nl:"3,array"`
	}{V: hexText{"A"}, X: []hexText{{"BC"}}}, wire(h(6, 1), s("41\x00\x00"), h(12, 3|nested), h(8, 0), s("4243"))},

	{"omitzero", &struct {
		A uint8           `nl:"1,omitzero"`
		B uint16          `nl:"2,omitzero"`
		C uint32          `nl:"3,omitzero"`
		D uint64          `nl:"4,omitzero"`
		E uint16          `nl:"5,omitzero,be"`
		F string          `nl:"6,omitzero"`
		G []byte          `nl:"7,omitzero"`
		H pair            `nl:"8,omitzero"`
		I [6]byte         `nl:"9,omitzero"`
		J netip.Addr      `nl:"10,omitzero"`
		K time.Duration   `nl:"11,omitzero,unit=s,u8"`
		L attr.Bitfield32 `nl:"12,omitzero"`
		M map[uint16]pair `nl:"13,omitzero"`
		N bool            `nl:"14,omitzero,u8"`
		O uint64          `nl:"15,omitzero,auto"`
		P hexText         `nl:"16,omitzero"`
		Q []uint16        `nl:"17,omitzero,packed"`
		R cStruct         `nl:"18,omitzero,struct"`
		S int             `nl:"19,omitzero,s8"`
		T []numbered      `nl:"20,omitzero,keyed"`
		U string          `nl:"21,omitzero,nonul"`
		V []byte          `nl:"22,omitzero,view"`
	}{}, nil},
	{"order of the fields", &struct {
		B uint8 `nl:"2"`
		A uint8 `nl:"0x1"`
	}{2, 1}, wire(h(5, 2), x("02 00 00 00"), h(5, 1), x("01 00 00 00"))},
	{"number 0", &struct {
		V uint8 `nl:"0"`
	}{7}, wire(h(5, 0), x("07 00 00 00"))},
	{"wide", &struct {
		A uint8  `nl:"1"`
		B string `nl:"63"`
		C string `nl:"64"`
		D uint32 `nl:"16383"`
		E uint32 `nl:"333"`
	}{1, "a", "b", 2, 3}, wire(h(5, 1), x("01 00 00 00"), h(6, 63), s("a\x00\x00\x00"), h(6, 64), s("b\x00\x00\x00"),
		h(8, 16383), n32(2), h(8, 333), n32(3))},
	{"not tagged", &struct {
		A uint8 `nl:"1"`
		b string
		C chan int `nl:"-"`
		D func()   `json:"d"`
	}{A: 1}, wire(h(5, 1), x("01 00 00 00"))},
	{"type that contains itself", &node{1, &node{Value: 2, Kids: []node{{Value: 3}}}, nil, []entry{{Index: 4, In: []entry{{Index: 5}}}}},
		wire(h(5, 1), x("01 00 00 00"),
			h(28, 2|nested), h(5, 1), x("02 00 00 00"),
			h(16, 3|nested), h(12, 0|nested), h(5, 1), x("03 00 00 00"),
			h(16, 4|nested), h(12, 4|nested), h(8, 1|nested), h(4, 5|nested))},
	{"no fields", &struct{}{}, nil},
}

type color uint16

func ptr[T any](v T) *T { return &v }

func TestMarshalEachKind(t *testing.T) {
	for _, c := range kinds {
		t.Run(c.name, func(t *testing.T) {
			b, err := attr.Marshal(c.value)
			if err != nil {
				t.Fatal(err)
			}
			sameBytes(t, b, c.wire)

			b, err = attr.Marshal(reflect.ValueOf(c.value).Elem().Interface())
			if err != nil {
				t.Fatal("the struct itself:", err)
			}
			sameBytes(t, b, c.wire)

			used := bytes.Repeat([]byte{0xaa}, 1024)
			b, err = attr.Append(used[:2], c.value)
			if err != nil {
				t.Fatal("into used memory:", err)
			}
			sameBytes(t, b, wire(x("aa aa"), c.wire))
			if &b[0] != &used[0] {
				t.Error("the buffer was large enough, but another one was made")
			}
		})
	}
}

func TestMarshalKeepsUnknownAttributes(t *testing.T) {
	type T struct {
		More []attr.Raw `nl:"unknown"`
		A    uint8      `nl:"1"`
	}
	b, err := attr.Marshal(T{[]attr.Raw{{Type: 9 | netOrder, Payload: x("01")}, {Type: 8}}, 7})
	if err != nil {
		t.Fatal(err)
	}
	sameBytes(t, b, wire(h(5, 1), x("07 00 00 00"), h(5, 9|netOrder), x("01 00 00 00"), h(4, 8)))

	_, err = attr.Marshal(T{More: []attr.Raw{{Type: 9 | nested, Payload: make([]byte, 65532)}}})
	if want := "attr: attr_test.T: attribute 9: attribute longer than 65531 bytes: 65532"; err == nil || err.Error() != want {
		t.Errorf("the error is %v, not %v", err, want)
	}
}

func TestMarshalPadsToEightBytes(t *testing.T) {
	type T struct {
		A uint8    `nl:"1"`
		_ struct{} `nl:"9,pad"`
		B uint64   `nl:"2,omitzero"`
		_ struct{} `nl:"9,pad"`
		C *uint64  `nl:"3"`
	}
	for _, c := range []struct {
		name   string
		before int
		value  T
		wire   []byte
	}{
		{"needed", 0, T{A: 1, B: 2}, wire(h(5, 1), x("01 00 00 00"), h(4, 9), h(12, 2), n64(2))},
		{"not needed", 4, T{A: 1, B: 2}, wire(h(5, 1), x("01 00 00 00"), h(12, 2), n64(2))},
		{"nothing behind", 0, T{A: 1}, wire(h(5, 1), x("01 00 00 00"))},
		{"before a pointer", 0, T{A: 1, C: ptr(uint64(2))}, wire(h(5, 1), x("01 00 00 00"), h(4, 9), h(12, 3), n64(2))},
		{"twice", 0, T{1, struct{}{}, 3, struct{}{}, ptr(uint64(2))}, wire(h(5, 1), x("01 00 00 00"),
			h(4, 9), h(12, 2), n64(3), h(4, 9), h(12, 3), n64(2))},
	} {
		b, err := attr.Append(make([]byte, c.before), c.value)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(c.name)
		sameBytes(t, b[c.before:], c.wire)
		var back T
		if err := attr.Unmarshal(b[c.before:], &back); err != nil {
			t.Error(err)
		}
		if back.A != c.value.A || back.B != c.value.B || diff(back.C, c.value.C) != "" {
			t.Errorf("%s: decoded to %+v", c.name, back)
		}
	}
}

func TestMarshalRefuses(t *testing.T) {
	type inner struct {
		Name string `nl:"3"`
	}
	type outer struct {
		Inner inner            `nl:"1,omitzero"`
		List  []inner          `nl:"2,array=1,omitzero"`
		Map   map[uint16]inner `nl:"4,omitzero"`
		Rep   []string         `nl:"5,repeated"`
		Ptr   *inner           `nl:"6"`
	}
	long := strings.Repeat("a", 65532)
	for _, c := range []struct {
		value any
		is    error
		text  string
	}{
		{struct {
			V uint16 `nl:"7,u8"`
		}{256}, attr.ErrRange, "V (attribute 7): value out of range: 256 does not fit 8 bits"},
		{struct {
			V int `nl:"7,u8"`
		}{-1}, attr.ErrRange, "V (attribute 7): value out of range: -1 does not fit 8 bits"},
		{struct {
			V int `nl:"7,s8"`
		}{-129}, attr.ErrRange, "V (attribute 7): value out of range: -129 does not fit 8 bits"},
		{struct {
			V int `nl:"7,s16"`
		}{32768}, attr.ErrRange, "V (attribute 7): value out of range: 32768 does not fit 16 bits"},
		{struct {
			V uint64 `nl:"7,u32"`
		}{1 << 32}, attr.ErrRange, "V (attribute 7): value out of range: 4294967296 does not fit 32 bits"},
		{struct {
			V uint64 `nl:"7,s64"`
		}{1 << 63}, attr.ErrRange, "V (attribute 7): value out of range: 9223372036854775808 does not fit 64 bits"},
		{struct {
			V int64 `nl:"7,u64"`
		}{-1}, attr.ErrRange, "V (attribute 7): value out of range: -1 does not fit 64 bits"},
		{struct {
			V time.Duration `nl:"7,unit=s,u8"`
		}{300 * time.Second}, attr.ErrRange, "V (attribute 7): value out of range: 5m0s does not fit 8 bits"},
		{struct {
			V time.Duration `nl:"7,unit=s,u8"`
		}{1500 * time.Millisecond}, attr.ErrRange, "V (attribute 7): value out of range: 1.5s is not a multiple of 1s"},
		{struct {
			V time.Duration `nl:"7,unit=ms,u32"`
		}{-time.Second}, attr.ErrRange, "V (attribute 7): value out of range: -1s does not fit 32 bits"},
		{struct {
			V netip.Addr `nl:"7"`
		}{}, attr.ErrRange, "V (attribute 7): value out of range: no IP address given"},
		{struct {
			V string `nl:"7"`
		}{"a\x00"}, attr.ErrRange, `V (attribute 7): value out of range: a NUL within the string "a\x00"`},
		{struct {
			V string `nl:"7,nonul"`
		}{long}, attr.ErrTooLong, "V (attribute 7): attribute longer than 65531 bytes: 65532"},
		{struct {
			V []uint32 `nl:"7,packed"`
		}{make([]uint32, 16383)}, attr.ErrTooLong, "V (attribute 7): attribute longer than 65531 bytes: 65532"},
		{struct {
			V [65532]byte `nl:"7"`
		}{}, attr.ErrTooLong, "V (attribute 7): attribute longer than 65531 bytes: 65532"},
		{struct {
			V []uint64 `nl:"7,array"`
		}{make([]uint64, 5461)}, attr.ErrTooLong, "V (attribute 7): attribute longer than 65531 bytes: a nest of 65532"},
		{struct {
			V []string `nl:"7,array=16383"`
		}{make([]string, 2)}, attr.ErrRange, "V (attribute 7): value out of range: entry 16384 is beyond the highest attribute number, 16383"},
		{struct {
			V []numbered `nl:"7,keyed"`
		}{[]numbered{{Index: 16384}}}, attr.ErrRange, "V (attribute 7): value out of range: entry 16384 is beyond the highest attribute number, 16383"},
		{struct {
			V []struct {
				K uint32 `nl:"index"`
			} `nl:"7,keyed"`
		}{[]struct {
			K uint32 `nl:"index"`
		}{{math.MaxUint32}}}, attr.ErrRange, "V (attribute 7): value out of range: entry 2147483647 is beyond the highest attribute number, 16383"},
		{struct {
			V map[int]uint8 `nl:"7"`
		}{map[int]uint8{-1: 0, 5: 5, math.MaxInt: 7}}, attr.ErrRange, "V (attribute 7): value out of range: key -1 is not an attribute number (0 to 16383)"},
		{struct {
			V map[uint32]uint8 `nl:"7"`
		}{map[uint32]uint8{1 << 31: 0, 5: 5}}, attr.ErrRange, "V (attribute 7): value out of range: key 2147483648 is not an attribute number (0 to 16383)"},
		{struct {
			V hexText `nl:"7"`
		}{hexText{"?"}}, nil, "V (attribute 7): a question mark"},
		{struct {
			V hexText `nl:"7"`
		}{hexText{long}}, attr.ErrTooLong, "V (attribute 7): attribute longer than 65531 bytes: 131064"},
		{struct {
			V shrinks `nl:"7"`
		}{}, attr.ErrLength, "V (attribute 7): wrong payload length: attr_test.shrinks.AppendBinary did not append"},
		{struct {
			V delegates `nl:"7"`
		}{delegates{inner{"\x00"}}}, attr.ErrRange, `V.Name (attribute 7.3): value out of range: a NUL within the string "\x00"`},

		{outer{Inner: inner{"\x00"}}, attr.ErrRange, `Inner.Name (attribute 1.3): value out of range: a NUL within the string "\x00"`},
		{outer{List: []inner{{}, {"\x00"}}}, attr.ErrRange, `List[1].Name (attribute 2.2.3): value out of range: a NUL within the string "\x00"`},
		{outer{Map: map[uint16]inner{1: {}, 9: {"\x00"}}}, attr.ErrRange, `Map[9].Name (attribute 4.9.3): value out of range: a NUL within the string "\x00"`},
		{outer{Rep: []string{"", "\x00"}}, attr.ErrRange, `Rep[1] (attribute 5): value out of range: a NUL within the string "\x00"`},
		{outer{Ptr: &inner{"\x00"}}, attr.ErrRange, `Ptr.Name (attribute 6.3): value out of range: a NUL within the string "\x00"`},
	} {
		before := make([]byte, 3, 1000)
		b, err := attr.Append(before, c.value)
		name := fmt.Sprintf("%T", c.value)
		var is *attr.Error
		if c.is != nil && !errors.Is(err, c.is) || !errors.As(err, &is) {
			t.Errorf("%.100s: the error is %v, not %v", name, err, c.is)
			continue
		}
		if is.Type != name {
			t.Errorf("the error is of %s, not of %s", is.Type, name)
		}
		if want := "attr: " + name + ": " + c.text; err.Error() != want {
			t.Errorf("the error reads\n%v, not\n%v", err, want)
		}
		if len(b) != len(before) {
			t.Errorf("%.100s: after an error %d bytes stand in the buffer, not %d", name, len(b), len(before))
		}
	}
}

// shrinks has an AppendBinary that gives back less than it got.
type shrinks struct{}

func (shrinks) AppendBinary(b []byte) ([]byte, error) { return b[:1], nil }
func (*shrinks) UnmarshalBinary([]byte) error         { return nil }

// delegates encodes another type with this package: its errors are part of the outer one.
type delegates struct {
	v struct {
		Name string `nl:"3"`
	}
}

func (d delegates) AppendBinary(b []byte) ([]byte, error) { return attr.Append(b, d.v) }
func (d *delegates) UnmarshalBinary(b []byte) error       { return attr.Unmarshal(b, &d.v) }

func TestMarshalNeedsAStruct(t *testing.T) {
	for _, c := range []struct {
		value any
		text  string
	}{
		{nil, "attr: bad nl tag: Append needs a pointer to a struct, not a <nil>"},
		{7, "attr: bad nl tag: Append needs a pointer to a struct, not a int"},
		{(*pair)(nil), "attr: bad nl tag: Append was given a nil *attr_test.pair"},
		{ptr(7), "attr: int: bad nl tag: attributes need a struct, not a int"},
		{ptr(&pair{}), "attr: *attr_test.pair: bad nl tag: attributes need a struct, not a ptr"},
	} {
		if _, err := attr.Marshal(c.value); !errors.Is(err, attr.ErrTag) || err.Error() != c.text {
			t.Errorf("%T: the error is\n%v, not\n%v", c.value, err, c.text)
		}
	}
}

func TestMarshalCyclicValue(t *testing.T) {
	type tree struct {
		Kids []*tree          `nl:"1,array,omitzero"`
		Rep  []*tree          `nl:"2,repeated"`
		Map  map[uint16]*tree `nl:"3,omitzero"`
		Next *tree            `nl:"4"`
	}
	var kids, rep, byMap, next tree
	kids.Kids = []*tree{&kids}
	rep.Rep = []*tree{&rep}
	byMap.Map = map[uint16]*tree{1: &byMap}
	next.Next = &next
	for name, v := range map[string]*tree{"array": &kids, "repeated": &rep, "map": &byMap, "pointer": &next} {
		_, err := attr.Marshal(v)
		var is *attr.Error
		if !errors.Is(err, attr.ErrDepth) || !errors.As(err, &is) {
			t.Errorf("%s: the error is %v", name, err)
		} else if len(is.Path) != attr.MaxDepth+1 {
			t.Errorf("%s: the path has %d numbers", name, len(is.Path))
		}
	}
}

// What can be encoded can be decoded, up to the same depth.
func TestDepthLimit(t *testing.T) {
	type list struct {
		Next *list            `nl:"1"`
		Nums []uint8          `nl:"2,array,omitzero"`
		Keys []numbered       `nl:"3,keyed,omitzero"`
		Map  map[uint16]uint8 `nl:"4,omitzero"`
		Many []pair           `nl:"5,array,omitzero"`
	}
	for name, c := range map[string]struct {
		last  list
		nests int // in last
	}{
		"nothing": {list{}, 0}, "numbers": {list{Nums: []uint8{1}}, 1}, "map": {list{Map: map[uint16]uint8{1: 1}}, 1},
		"keyed": {list{Keys: []numbered{{1, 1}}}, 2}, "nests": {list{Many: []pair{{}}}, 2},
	} {
		for depth := attr.MaxDepth - 3; depth <= attr.MaxDepth+1; depth++ {
			v := &c.last
			for range depth {
				v = &list{Next: v}
			}
			b, err := attr.Marshal(v)
			if depth+c.nests > attr.MaxDepth {
				if !errors.Is(err, attr.ErrDepth) {
					t.Errorf("%s in %d nests is encoded (%v)", name, depth, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s in %d nests: %v", name, depth, err)
				continue
			}
			var back list
			if err := attr.Unmarshal(b, &back); err != nil {
				t.Errorf("%s in %d nests: %v", name, depth, err)
			}
			same(t, &back, v)
			// One nest more, by hand.
			b = wire(h(uint16(4+len(b)), 1|nested), b)
			if err := attr.Unmarshal(b, &back); (err == nil) != (depth+c.nests < attr.MaxDepth) {
				t.Errorf("%s in %d nests is decoded: %v", name, depth+1, err)
			}
		}
	}
	var v list
	if err := attr.Unmarshal(deep(10_000), &v); !errors.Is(err, attr.ErrDepth) {
		t.Errorf("10,000 nests: the error is %v", err)
	}
}

func TestMarshalOrdersMaps(t *testing.T) {
	type T struct {
		M map[uint32]uint8 `nl:"1"`
	}
	v := T{map[uint32]uint8{}}
	for i := range uint32(100) {
		v.M[i*163] = uint8(i)
	}
	first, err := attr.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	d := attr.NewDecoder(first)
	d.Next()
	d = d.Nested()
	for last := -1; d.Next(); last = int(d.Type()) {
		if int(d.Type()) <= last {
			t.Fatalf("%d stands behind %d", d.Type(), last)
		}
	}
	for range 10 {
		if again, _ := attr.Marshal(v); !bytes.Equal(again, first) {
			t.Fatal("a map is not encoded in one order")
		}
	}
}

func TestCodec(t *testing.T) {
	c, err := attr.CodecOf[pair]()
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.Append(nil, &pair{1, "a"})
	if err != nil {
		t.Fatal(err)
	}
	sameBytes(t, b, wire(h(6, 1), n16(1), x("00 00"), h(6, 2), s("a\x00\x00\x00")))
	var v pair
	if err := c.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	same(t, v, pair{1, "a"})

	if _, err := c.Append(nil, nil); !errors.Is(err, attr.ErrTag) {
		t.Error("nil was encoded:", err)
	}
	if err := c.Unmarshal(b, nil); !errors.Is(err, attr.ErrTag) {
		t.Error("nil was decoded into:", err)
	}
	if _, err := attr.CodecOf[int](); !errors.Is(err, attr.ErrTag) {
		t.Error("an int was compiled:", err)
	}
	if _, err := attr.CodecOf[struct {
		V chan int `nl:"1"`
	}](); !errors.Is(err, attr.ErrTag) {
		t.Error("a channel was compiled:", err)
	}
}

func TestCodecHeader(t *testing.T) {
	type T struct {
		Header struct {
			Flags uint32
			Port  uint16 `nl:"be"`
			_     [2]byte
		} `nl:"header"`
		A uint8 `nl:"1"`
	}
	c, err := attr.CodecOf[T]()
	if err != nil {
		t.Fatal(err)
	}
	var v T
	v.Header.Flags, v.Header.Port, v.A = 7, 80, 1
	if n := c.HeaderLen(); n != 8 {
		t.Errorf("the header has %d bytes, not 8", n)
	}
	head := wire(n32(7), x("00 50 00 00"))
	b := c.AppendHeader(x("ff"), &v)
	sameBytes(t, b, wire(x("ff"), head))
	b, err = c.Append(nil, &v)
	if err != nil {
		t.Fatal(err)
	}
	sameBytes(t, b, wire(h(5, 1), x("01 00 00 00")))

	var back T
	if err := c.UnmarshalHeader(wire(head, x("01")), &back); err != nil {
		t.Error(err)
	}
	same(t, back.Header, v.Header)
	err = c.UnmarshalHeader(head[:7], &back)
	if !errors.Is(err, attr.ErrLength) {
		t.Error("a short header was accepted:", err)
	}

	none, err := attr.CodecOf[pair]()
	if err != nil {
		t.Fatal(err)
	}
	if none.HeaderLen() != 0 || len(none.AppendHeader(nil, &pair{})) != 0 || none.UnmarshalHeader(nil, &pair{}) != nil {
		t.Error("a type without a header has one")
	}
	if !c.Appends() || !c.Unmarshals() || !none.Appends() || !none.Unmarshals() {
		t.Error("a type with attributes asks for nothing")
	}
	if nothing, err := attr.CodecOf[struct{}](); err != nil || nothing.Appends() || nothing.Unmarshals() {
		t.Error("struct{} asks for something:", err)
	}
}
