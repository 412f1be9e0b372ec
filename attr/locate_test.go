package attr_test

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/gnlgo/gnl/attr"
)

// The list of the tests below, with the offset of each header.
var located = wire(
	h(5, 1), x("0a 00 00 00"), // 0
	h(40, 2|nested),             // 8
	h(6, 3), n16(7), x("00 00"), // 12
	h(24, 4),        // 20: a nest without the flag
	h(8, 5), n32(9), // 24
	h(12, 6|netOrder), n64(0), // 32: its payload looks like a list
	h(4, 7),                // 44
	h(7, 9), x("01 02 03")) // 48: unpadded

func TestLocate(t *testing.T) {
	for _, c := range []struct {
		offset int
		path   []uint16
		typ    uint16
		length int
	}{
		{0, []uint16{1}, 1, 1},
		{8, []uint16{2}, 2 | nested, 36},
		{12, []uint16{2, 3}, 3, 2},
		{20, []uint16{2, 4}, 4, 20},
		{24, []uint16{2, 4, 5}, 5, 4},
		{32, []uint16{2, 4, 6}, 6 | netOrder, 8},
		{44, []uint16{2, 7}, 7, 0},
		{48, []uint16{9}, 9, 3},
	} {
		path, raw, ok := attr.Locate(located, c.offset)
		if !ok || !slices.Equal(path, c.path) || raw.Type != c.typ || len(raw.Payload) != c.length {
			t.Errorf("at %d: %v, type %#x with %d bytes (%v)", c.offset, path, raw.Type, len(raw.Payload), ok)
		}
		if cap(raw.Payload) != len(raw.Payload) {
			t.Errorf("at %d: appending to the payload would overwrite the list", c.offset)
		}
	}
	for _, offset := range []int{math.MinInt, -4, -1, 1, 2, 3, 4, 9, 10, 11, 36, 37, 49, 52, 55, 56, 1000, math.MaxInt} {
		if path, raw, ok := attr.Locate(located, offset); ok || path != nil || raw.Payload != nil {
			t.Errorf("at %d there is %v", offset, path)
		}
	}
	for _, c := range malformed {
		if path, _, ok := attr.Locate(c.in, 4); ok {
			t.Errorf("%s: found %v", c.name, path)
		}
		if path, _, ok := attr.Locate(c.in, 0); !ok || !slices.Equal(path, []uint16{1}) {
			t.Errorf("%s: not found, but %v", c.name, path)
		}
	}
	if path, _, ok := attr.Locate(deep(10_000), 4*9_999); !ok || len(path) != 10_000 {
		t.Errorf("in 10,000 nests the path has %d numbers", len(path))
	}
	if _, _, ok := attr.Locate(nil, 0); ok {
		t.Error("there is an attribute in nothing")
	}
}

// What Locate finds is where Locate says that it is.
func TestLocateFindsEachAttribute(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var e attr.Encoder
	at := map[int][]uint16{}
	var fill func(depth int, path []uint16)
	fill = func(depth int, path []uint16) {
		for range 1 + r.IntN(4) {
			b, _ := e.Finish()
			typ := uint16(r.IntN(0x4000))
			here := append(slices.Clone(path), typ)
			at[len(b)] = here
			if depth < 5 && r.IntN(2) == 0 {
				n := e.Begin(typ)
				fill(depth+1, here)
				e.End(n)
			} else {
				e.Bytes(typ, make([]byte, r.IntN(9)))
			}
		}
	}
	fill(0, nil)
	b, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	for offset, want := range at {
		if path, raw, ok := attr.Locate(b, offset); !ok || !slices.Equal(path, want) || raw.Number() != want[len(want)-1] {
			t.Errorf("at %d is %v, not %v", offset, path, want)
		}
	}
}

func TestName(t *testing.T) {
	type op struct {
		ID    uint32 `nl:"1"`
		Flags uint32 `nl:"2,name=op-flags"`
		More  *op    `nl:"3"`
	}
	type limits struct {
		Attr  uint16 `nl:"index"`
		Min   uint64 `nl:"1"`
		Inner []op   `nl:"2,array"`
	}
	type U struct {
		IfIndex  uint32                     `nl:"1"`
		HTTPPort uint16                     `nl:"2,be"`
		Ops      []op                       `nl:"3,array=1"`
		Op       *op                        `nl:"4,name=the-op"`
		Policy   map[uint16][]limits        `nl:"5,keyed"`
		Limits   []limits                   `nl:"6,keyed"`
		Each     []op                       `nl:"7,repeated"`
		Maps     map[uint8]map[uint8]uint32 `nl:"8"`
		Words    []uint32                   `nl:"9,packed"`
		Mac      [6]byte                    `nl:"10"`
		U64      uint64                     `nl:"11"`
	}
	for _, c := range []struct {
		path []uint16
		name string
	}{
		{nil, ""},
		{[]uint16{99}, ""},
		{[]uint16{99, 1}, ""},
		{[]uint16{16383}, ""},
		{[]uint16{1}, "if-index"},
		{[]uint16{2}, "http-port"},
		{[]uint16{10}, "mac"},
		{[]uint16{11}, "u64"},
		{[]uint16{3}, "ops"},
		{[]uint16{3, 7}, "ops[7]"},
		{[]uint16{3, 7, 2}, "ops[7].op-flags"},
		{[]uint16{3, 7, 9}, "ops[7].9"},
		{[]uint16{3, 7, 3, 3, 1}, "ops[7].more.more.id"},
		{[]uint16{4, 1}, "the-op.id"},
		{[]uint16{4, 1, 5, 6}, "the-op.id.5.6"},
		{[]uint16{5}, "policy"},
		{[]uint16{5, 1}, "policy[1]"},
		{[]uint16{5, 1, 2}, "policy[1][2]"},
		{[]uint16{5, 1, 2, 1}, "policy[1][2].min"},
		{[]uint16{5, 1, 2, 2, 3, 1}, "policy[1][2].inner[3].id"},
		{[]uint16{6}, "limits"},
		{[]uint16{6, 0}, "limits[0]"},
		{[]uint16{6, 0, 1}, "limits[0].min"},
		{[]uint16{7}, "each"},
		{[]uint16{7, 1}, "each.id"},
		{[]uint16{8, 1, 2}, "maps[1][2]"},
		{[]uint16{8, 1, 2, 3}, "maps[1][2].3"},
		{[]uint16{9, 1}, "words.1"},
	} {
		for _, typ := range []reflect.Type{reflect.TypeFor[U](), reflect.TypeFor[*U](), reflect.TypeFor[**U]()} {
			if got := attr.Name(typ, c.path); got != c.name {
				t.Errorf("%v of %v is %q, not %q", c.path, typ, got, c.name)
			}
		}
	}
	for _, typ := range []reflect.Type{nil, reflect.TypeFor[int](), reflect.TypeFor[*badInside]()} {
		if got := attr.Name(typ, []uint16{1}); got != "" {
			t.Errorf("1 of %v is %q", typ, got)
		}
	}
}

func TestFormatPath(t *testing.T) {
	for want, path := range map[string][]uint16{"": nil, "0": {0}, "2.5.16383": {2, 5, 16383}} {
		if got := attr.FormatPath(path); got != want {
			t.Errorf("%v is %q, not %q", path, got, want)
		}
	}
}

func TestErrorReads(t *testing.T) {
	for want, err := range map[string]*attr.Error{
		"attr: wrong payload length":                    {Err: attr.ErrLength},
		"attr: T: wrong payload length":                 {Type: "T", Err: attr.ErrLength},
		"attr: T: A.B: wrong payload length":            {Type: "T", Name: "A.B", Err: attr.ErrLength},
		"attr: attribute 1.2: wrong payload length":     {Path: []uint16{1, 2}, Err: attr.ErrLength},
		"attr: T: A (attribute 1): malformed attribute": {Type: "T", Name: "A", Path: []uint16{1}, Err: attr.ErrMalformed},
	} {
		if got := err.Error(); got != want {
			t.Errorf("the error reads %q, not %q", got, want)
		}
	}
}
