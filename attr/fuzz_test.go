package attr_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/gnlgo/gnl/attr"
)

// everything has a field of every kind, numbered so that short lists reach it.
type everything struct {
	U8      uint8                 `nl:"1"`
	U16     uint16                `nl:"2,omitzero"`
	U32     uint32                `nl:"3"`
	U64     uint64                `nl:"4,omitzero"`
	I8      int8                  `nl:"5,omitzero"`
	I64     int64                 `nl:"6,be,omitzero"`
	Port    uint16                `nl:"7,be"`
	Auto    uint64                `nl:"8,auto,omitzero"`
	Signed  int64                 `nl:"9,auto,omitzero"`
	Int     int                   `nl:"10,s16,omitzero"`
	Wide    uint8                 `nl:"11,u32,be,omitzero"`
	Flag    bool                  `nl:"12"`
	Bool    bool                  `nl:"13,u8"`
	String  string                `nl:"14"`
	Text    string                `nl:"15,nonul,omitzero"`
	Bytes   []byte                `nl:"16,omitzero"`
	View    []byte                `nl:"17,view,omitzero"`
	Mac     [6]byte               `nl:"18,omitzero"`
	Struct  cStruct               `nl:"19,struct,omitzero"`
	PStruct *cStruct              `nl:"20,struct"`
	Packed  []cStruct             `nl:"21,packed,omitzero"`
	Words   []uint32              `nl:"22,packed,be,omitzero"`
	Nest    pair                  `nl:"23"`
	List    []pair                `nl:"24,array=1,noflag"`
	Ports   []uint16              `nl:"25,array,be,omitzero"`
	Names   []string              `nl:"26,repeated"`
	Lists   [][]uint8             `nl:"27,repeated,array"`
	Keyed   []numbered            `nl:"28,keyed,omitzero"`
	Rows    [][]numbered          `nl:"29,array,keyed,omitzero"`
	Map     map[uint8]*pair       `nl:"30,omitzero"`
	Flags   map[int]bool          `nl:"31,omitzero"`
	Maps    map[uint16][]numbered `nl:"32,keyed,omitzero"`
	Addr    netip.Addr            `nl:"33,omitzero"`
	Bits    attr.Bitfield32       `nl:"34,omitzero"`
	Span    time.Duration         `nl:"35,unit=ms,u64,omitzero"`
	Pointer **uint32              `nl:"36"`
	Number  *uint8                `nl:"37"`
	Custom  hexText               `nl:"38,omitzero"`
	Customs []*hexText            `nl:"39,array,omitzero"`
	Node    *node                 `nl:"40"`
	Nodes   []node                `nl:"41,repeated"`
	Self    *everything           `nl:"42"`
	Selves  []everything          `nl:"43,array,omitzero"`
	Far     *far                  `nl:"44"`
	_       struct{}              `nl:"45,pad"`
	Last    uint64                `nl:"46,omitzero"`
	Numbers []numbers             `nl:"47,array,omitzero"`
	Given   attr.Set              `nl:"given"`
	More    []attr.Raw            `nl:"unknown"`
}

// numbers is nothing but plain numbers.
type numbers struct {
	A uint32 `nl:"1"`
	B uint8  `nl:"3"`
	C uint16 `nl:"5"`
	D uint64 `nl:"7"`
}

// far has a wide plan.
type far struct {
	Name  string            `nl:"2"`
	N     uint32            `nl:"63"`
	Text  string            `nl:"64,omitzero"`
	M     uint16            `nl:"257"`
	List  []pair            `nl:"512,array,omitzero"`
	Rep   []string          `nl:"768,repeated"`
	Map   map[uint16]string `nl:"1024,nonul,omitzero"`
	Next  *far              `nl:"16383"`
	Given attr.Set          `nl:"given"`
}

// seeds are lists to begin with.
func seeds(f *testing.F, add func(b []byte)) {
	r := rand.New(rand.NewPCG(3, 4))
	for few := 0; few < 16; {
		var v everything
		fill(r, reflect.ValueOf(&v).Elem(), "", 0)
		b, err := attr.Marshal(&v)
		if err != nil {
			f.Fatal(err)
		}
		if len(b) < 2000 { // large ones slow the fuzzer down
			add(b)
			few++
		}
	}
	for _, c := range kinds {
		add(c.wire)
	}
	for _, c := range malformed {
		add(c.in)
	}
	add(located)
	add(deep(200))
}

// FuzzDecoder goes through every list, taking every payload for a list as well.
func FuzzDecoder(f *testing.F) {
	seeds(f, func(b []byte) { f.Add(b) })
	f.Fuzz(func(t *testing.T, b []byte) {
		var walk func(b []byte, depth int)
		walk = func(b []byte, depth int) {
			d := attr.NewDecoder(b)
			rest := len(b)
			last := map[uint16][]byte{0x3fff: nil}
			for d.Next() {
				p := d.Bytes()
				last[d.Type()] = p
				if d.Type() > 0x3fff || d.Raw().Number() != d.Type() || len(p) > attr.MaxPayload || cap(p) != len(p) {
					t.Fatalf("attribute %#x with %d bytes", d.Raw().Type, len(p))
				}
				if rest -= 4 + len(p); rest < 0 {
					t.Fatal("attributes are longer than their list")
				}
				if s := d.String(); len(s) > len(p) {
					t.Fatalf("%q is longer than its payload", s)
				}
				if depth < attr.MaxDepth {
					walk(p, depth+1)
				}
				each := d // an accessor that fails ends the walk of its own copy
				each.Uint()
				if err := each.Err(); (err == nil) != (len(p) == 4 || len(p) == 8) {
					t.Fatalf("%d bytes as a number: %v", len(p), err)
				}
			}
			if err := d.Err(); err != nil && !errors.Is(err, attr.ErrMalformed) || err == nil && rest > 3 && rest > len(b) {
				t.Fatal(err)
			}
			if d.Next() {
				t.Fatal("the walk goes on beyond its end")
			}
			for number, want := range last {
				got, err := attr.Find(b, number)
				if (d.Err() == nil) != (err == nil) || err == nil && (!bytes.Equal(got, want) || (got == nil) != (want == nil)) {
					t.Fatalf("Find finds %x, %v as attribute %d; the walk %x, %v", got, err, number, want, d.Err())
				}
			}
		}
		walk(b, 0)
	})
}

// FuzzUnmarshal: what can be decoded can be encoded, and decoded again to the
// same value; and used memory makes no difference.
func FuzzUnmarshal(f *testing.F) {
	seeds(f, func(b []byte) { f.Add(b, b) })
	f.Fuzz(func(t *testing.T, before, b []byte) {
		used := new(everything)
		_ = attr.Unmarshal(before, used)
		checkDecoded(t, b, reflect.ValueOf(used))
		wide := new(far)
		_ = attr.Unmarshal(before, wide)
		checkDecoded(t, b, reflect.ValueOf(wide))
	})
}

// byteSource makes random numbers of the fuzzer's bytes, as long as there are any.
type byteSource struct {
	b    []byte
	then rand.Source
}

func (s *byteSource) Uint64() uint64 {
	if len(s.b) < 8 {
		return s.then.Uint64()
	}
	v := binary.LittleEndian.Uint64(s.b)
	s.b = s.b[8:]
	return v
}

// FuzzMarshal: values that can be encoded come back as they were.
func FuzzMarshal(f *testing.F) {
	seeds(f, func(b []byte) { f.Add(uint64(len(b)), b) })
	f.Fuzz(func(t *testing.T, seed uint64, b []byte) {
		r := rand.New(&byteSource{b, rand.NewPCG(seed, 1)})
		var v, back everything
		fill(r, reflect.ValueOf(&v).Elem(), "", 0)
		prefix := make([]byte, r.IntN(3)*4)
		out, err := attr.Append(prefix, &v)
		if errors.Is(err, attr.ErrTooLong) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		out = out[len(prefix):]
		if len(out)%4 != 0 {
			t.Fatalf("%d bytes", len(out))
		}
		if err := attr.Unmarshal(out, &back); err != nil {
			t.Fatal(err)
		}
		if d := differ(reflect.ValueOf(&back), reflect.ValueOf(&v), false); d != "" {
			t.Fatalf("decoded it is%s", d)
		}
	})
}

// FuzzLocate: what is found at an offset is there, at the end of its path.
func FuzzLocate(f *testing.F) {
	seeds(f, func(b []byte) { f.Add(b, len(b)/2&^3) })
	f.Fuzz(func(t *testing.T, b []byte, offset int) {
		path, raw, ok := attr.Locate(b, offset)
		attr.Name(reflect.TypeFor[everything](), path)
		if !ok {
			if path != nil || raw.Payload != nil {
				t.Fatalf("not found, but %v", path)
			}
			return
		}
		if offset < 0 || offset+4 > len(b) || len(path) == 0 || path[len(path)-1] != raw.Number() {
			t.Fatalf("found %v, type %#x, at %d of %d", path, raw.Type, offset, len(b))
		}
		if n := int(binary.NativeEndian.Uint16(b[offset:])); n != 4+len(raw.Payload) || offset+n > len(b) ||
			raw.Type != binary.NativeEndian.Uint16(b[offset+2:]) || attr.FormatPath(path) == "" {
			t.Fatalf("the attribute at %d has %d bytes, not %d", offset, n, 4+len(raw.Payload))
		}
		attr.Name(reflect.TypeFor[everything](), append([]uint16{42, 43, 1, 32, 5, 6}, path...))
	})
}
