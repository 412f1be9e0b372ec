package attr_test

import (
	"testing"

	"github.com/gnlgo/gnl/attr"
)

// Fixed layouts are the bytes that C has, whatever the machine's byte order is
// and however deep a number stands.
func TestFixedLayouts(t *testing.T) {
	type address struct {
		Port uint16 `nl:"be"`
		Host [4]byte
		ID   uint16
	}
	type record struct {
		Kind  uint8
		Sign  int8
		Pair  [2]address
		_     [2]byte
		When  int32
		Count uint64 `nl:"be"`
		Range struct {
			Low, High int64
		} `nl:"be"`
		Other int64
	}
	type T struct {
		R record     `nl:"1,struct"`
		P []record   `nl:"2,packed,omitzero"`
		A [2]address `nl:"3,omitzero"`
		N uint16     `nl:"4,struct,be,omitzero"`
	}
	rec := record{Kind: 1, Sign: -1, When: -2, Count: 3, Other: 6}
	rec.Pair = [2]address{{80, [4]byte{1, 2, 3, 4}, 7}, {443, [4]byte{5, 6, 7, 8}, 9}}
	rec.Range.Low, rec.Range.High = -4, 5
	bytes := wire(x("01 ff"),
		x("00 50 01 02 03 04"), n16(7), x("01 bb 05 06 07 08"), n16(9),
		x("00 00"), n32(0xfffffffe),
		x("00 00 00 00 00 00 00 03  ff ff ff ff ff ff ff fc  00 00 00 00 00 00 00 05"), n64(6))
	for _, c := range []struct {
		v    T
		wire []byte
	}{
		{T{R: rec}, wire(h(60, 1), bytes)},
		{T{R: rec, P: []record{rec, {}, rec}}, wire(h(60, 1), bytes, h(172, 2), bytes, make([]byte, 56), bytes)},
		{T{R: rec, A: rec.Pair}, wire(h(60, 1), bytes, h(20, 3), x("00 50 01 02 03 04"), n16(7), x("01 bb 05 06 07 08"), n16(9))},
		{T{R: rec, N: 80}, wire(h(60, 1), bytes, h(6, 4), x("00 50 00 00"))},
	} {
		b, err := attr.Marshal(c.v)
		if err != nil {
			t.Fatal(err)
		}
		sameBytes(t, b, c.wire)
		var back T
		for range 2 {
			if err := attr.Unmarshal(b, &back); err != nil {
				t.Fatal(err)
			}
			if back.R != c.v.R || back.A != c.v.A || back.N != c.v.N || len(back.P) != len(c.v.P) {
				t.Errorf("decoded to\n%+v, not\n%+v", back, c.v)
			}
			for i := range back.P {
				if back.P[i] != c.v.P[i] {
					t.Errorf("element %d is\n%+v, not\n%+v", i, back.P[i], c.v.P[i])
				}
			}
		}
	}
}

// What stood in the padding on the wire is no part of the value, but is sent
// back as it came.
func TestFixedPadding(t *testing.T) {
	type T struct {
		V cStruct `nl:"1,struct,omitzero"`
	}
	in := wire(h(20, 1), x("01 aa bb cc"), n32(2), x("00 03 ff 04 ff ff ff fe"))
	var v T
	if err := attr.Unmarshal(in, &v); err != nil {
		t.Fatal(err)
	}
	if want := (cStruct{A: 1, B: 2, C: 3, D: [2]int8{-1, 4}, E: -2}); v.V != want {
		t.Errorf("decoded to %+v, not %+v", v.V, want)
	}
	b, err := attr.Marshal(&v)
	if err != nil {
		t.Fatal(err)
	}
	sameBytes(t, b, in)
}
