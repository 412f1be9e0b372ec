package attr_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gnlgo/gnl/attr"
)

// randomType makes a struct type with tags of every kind.
func randomType(r *rand.Rand, depth int) reflect.Type {
	var fields []reflect.StructField
	add := func(typ reflect.Type, tag string) {
		fields = append(fields, reflect.StructField{
			Name: fmt.Sprintf("F%d", len(fields)), Type: typ, Tag: reflect.StructTag(fmt.Sprintf("nl:%q", tag))})
	}
	numbers := r.Perm(70)
	if r.IntN(4) == 0 {
		numbers = r.Perm(3000)
	}
	for i := range 1 + r.IntN(12) {
		typ, options := randomField(r, depth)
		if r.IntN(2) == 0 || typ == reflect.TypeFor[netip.Addr]() {
			options += ",omitzero"
		}
		add(typ, fmt.Sprint(numbers[i])+options)
	}
	if r.IntN(3) == 0 {
		add(reflect.TypeFor[attr.Set](), "given")
	}
	if r.IntN(3) == 0 {
		add(reflect.TypeFor[[]attr.Raw](), "unknown")
	}
	return reflect.StructOf(fields)
}

var randomFields = []struct {
	typ     reflect.Type
	options string
}{
	{reflect.TypeFor[uint8](), ""}, {reflect.TypeFor[uint16](), ""}, {reflect.TypeFor[uint32](), ""}, {reflect.TypeFor[uint64](), ""},
	{reflect.TypeFor[int8](), ""}, {reflect.TypeFor[int16](), ""}, {reflect.TypeFor[int32](), ""}, {reflect.TypeFor[int64](), ""},
	{reflect.TypeFor[uint16](), ",be"}, {reflect.TypeFor[uint32](), ",be"}, {reflect.TypeFor[int64](), ",be"},
	{reflect.TypeFor[uint64](), ",auto"}, {reflect.TypeFor[int64](), ",auto"},
	{reflect.TypeFor[int](), ",s8"}, {reflect.TypeFor[uint](), ",u16,be"}, {reflect.TypeFor[int32](), ",s64"}, {reflect.TypeFor[uint64](), ",u32"},
	{reflect.TypeFor[bool](), ""}, {reflect.TypeFor[bool](), ",u8"}, {reflect.TypeFor[bool](), ",u32,be"},
	{reflect.TypeFor[string](), ""}, {reflect.TypeFor[string](), ",nonul"},
	{reflect.TypeFor[[]byte](), ""}, {reflect.TypeFor[[]byte](), ",view"},
	{reflect.TypeFor[[6]byte](), ""}, {reflect.TypeFor[[2]uint16](), ",be"}, {reflect.TypeFor[cStruct](), ",struct"}, {reflect.TypeFor[*cStruct](), ",struct"},
	{reflect.TypeFor[[]uint32](), ",packed"}, {reflect.TypeFor[[]cStruct](), ",packed"},
	{reflect.TypeFor[[]uint16](), ",array,be"}, {reflect.TypeFor[[]string](), ",array=1"}, {reflect.TypeFor[[]string](), ",repeated"},
	{reflect.TypeFor[[]uint64](), ",repeated"}, {reflect.TypeFor[[][]byte](), ",array"}, {reflect.TypeFor[[][]uint16](), ",repeated,packed"},
	{reflect.TypeFor[netip.Addr](), ""}, {reflect.TypeFor[attr.Bitfield32](), ""}, {reflect.TypeFor[hexText](), ""},
	{reflect.TypeFor[time.Duration](), ",unit=ms,u32"}, {reflect.TypeFor[time.Duration](), ",unit=ticks,s64"},
	{reflect.TypeFor[*uint32](), ""}, {reflect.TypeFor[*string](), ""}, {reflect.TypeFor[map[uint16]uint32](), ""}, {reflect.TypeFor[map[uint8]string](), ",nonul"},
	{reflect.TypeFor[map[int]bool](), ""}, {reflect.TypeFor[pair](), ",noflag"}, {reflect.TypeFor[[]pair](), ",array"}, {reflect.TypeFor[[]numbers](), ",array"}, {reflect.TypeFor[[]numbered](), ",keyed"},
	{reflect.TypeFor[node](), ""}, {reflect.TypeFor[[]node](), ",repeated"}, {reflect.TypeFor[[]entry](), ",keyed"},
}

func randomField(r *rand.Rand, depth int) (reflect.Type, string) {
	if depth > 0 && r.IntN(3) == 0 {
		t := randomType(r, depth-1)
		switch r.IntN(7) {
		case 0:
			return reflect.PointerTo(t), ""
		case 1:
			return reflect.SliceOf(t), fmt.Sprintf(",array=%d", r.IntN(3))
		case 2:
			return reflect.SliceOf(t), ",repeated"
		case 3:
			return reflect.MapOf(reflect.TypeFor[uint16](), t), ""
		case 4:
			return reflect.SliceOf(reflect.PointerTo(t)), ",array"
		case 5:
			keyed := reflect.StructOf([]reflect.StructField{
				{Name: "Index", Type: reflect.TypeFor[uint32](), Tag: `nl:"index"`},
				{Name: "V", Type: t, Tag: `nl:"3"`}})
			return reflect.SliceOf(keyed), ",keyed"
		}
		return t, ""
	}
	f := randomFields[r.IntN(len(randomFields))]
	return f.typ, f.options
}

// fill gives v a random value that its tag can encode.
func fill(r *rand.Rand, v reflect.Value, tag string, depth int) {
	number := func(bits int) uint64 {
		u := r.Uint64() >> r.IntN(64)
		return u & (1<<(bits-1)<<1 - 1)
	}
	has := func(option string) bool { return slices.Contains(strings.Split(tag, ","), option) }
	bits := 64
	for _, n := range []int{8, 16, 32} {
		if has(fmt.Sprintf("u%d", n)) || has(fmt.Sprintf("s%d", n)) {
			bits = n
		}
	}
	if r.IntN(5) == 0 && depth > 0 && v.Type() != reflect.TypeFor[netip.Addr]() && v.Kind() != reflect.Pointer {
		return
	}
	switch v.Type() {
	case reflect.TypeFor[netip.Addr]():
		a := netip.AddrFrom4([4]byte{byte(r.Uint32()), 0, 2, 1})
		if r.IntN(2) == 0 {
			a = netip.AddrFrom16([16]byte{byte(r.Uint32()), 15: 1})
		}
		v.Set(reflect.ValueOf(a))
		return
	case reflect.TypeFor[time.Duration]():
		unit := time.Millisecond
		if has("unit=ticks") {
			unit *= 10
		}
		v.SetInt(int64(unit) * int64(r.Uint32()))
		return
	case reflect.TypeFor[hexText]():
		v.Set(reflect.ValueOf(hexText{fmt.Sprint(r.Uint32())}))
		return
	case reflect.TypeFor[[]attr.Raw]():
		for range r.IntN(3) {
			v.Set(reflect.Append(v, reflect.ValueOf(attr.Raw{Type: uint16(16000+r.IntN(300)) | uint16(r.IntN(4)<<14), Payload: make([]byte, r.IntN(9))})))
		}
		return
	case reflect.TypeFor[attr.Set]():
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u := number(min(bits, v.Type().Bits()))
		if tag == "index" {
			u &= 0x3fff
		}
		v.SetUint(u)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		bits = min(bits, v.Type().Bits())
		v.SetInt(int64(number(bits)<<(64-bits)) >> (64 - bits))
	case reflect.String:
		b := make([]byte, r.IntN(20))
		for i := range b {
			b[i] = byte('a' + r.IntN(26))
		}
		v.SetString(string(b))
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i), "", depth+1)
		}
	case reflect.Slice:
		n := r.IntN(5)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(r, pointed(v.Index(i)), tag, depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range r.IntN(5) {
			k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(r, pointed(e), tag, depth+1)
			if e.Kind() == reflect.Bool {
				e.SetBool(true) // a false flag would leave no trace
			}
			if n := r.IntN(0x4000); k.CanUint() {
				k.SetUint(uint64(n) % (1<<(k.Type().Bits()-1)<<1 - 1))
			} else {
				k.SetInt(int64(n))
			}
			v.SetMapIndex(k, e)
		}
	case reflect.Pointer:
		if r.IntN(2) == 0 && depth < 8 {
			fill(r, pointed(v), tag, depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.IsExported() && (depth < 6 || f.Type.Kind() != reflect.Slice) {
				fill(r, v.Field(i), f.Tag.Get("nl"), depth+1)
			}
		}
	default:
		panic(v.Type())
	}
}

// pointed is what v, or the pointer it is, points to, made for it: a nil
// pointer would leave no trace in a list, nor behind another pointer.
func pointed(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	return v
}

// differ says where two decoded values differ, or nothing: nil and empty slices
// are the same, blank fields are not looked at, attr.Set only if sets is true.
func differ(a, b reflect.Value, sets bool) string {
	switch a.Kind() {
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() {
			return fmt.Sprintf(": %d elements, not %d", a.Len(), b.Len())
		}
		if a.Cap() < a.Len() || b.Cap() < b.Len() {
			return fmt.Sprintf(": %d elements in memory for %d or %d", a.Len(), a.Cap(), b.Cap())
		}
		for i := range a.Len() {
			if d := differ(a.Index(i), b.Index(i), sets); d != "" {
				return fmt.Sprintf("[%d]%s", i, d)
			}
		}
		return ""
	case reflect.Map:
		if a.Len() != b.Len() {
			return fmt.Sprintf(": %d entries, not %d", a.Len(), b.Len())
		}
		for _, k := range a.MapKeys() {
			e := b.MapIndex(k)
			if !e.IsValid() {
				return fmt.Sprintf("[%v] is there", k)
			}
			if d := differ(a.MapIndex(k), e, sets); d != "" {
				return fmt.Sprintf("[%v]%s", k, d)
			}
		}
		return ""
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			if a.IsNil() != b.IsNil() {
				return fmt.Sprintf(": nil is %v, not %v", a.IsNil(), b.IsNil())
			}
			return ""
		}
		return differ(a.Elem(), b.Elem(), sets)
	case reflect.Struct:
		if a.Type() == reflect.TypeFor[netip.Addr]() {
			break
		}
		for i := range a.NumField() {
			if name := a.Type().Field(i).Name; name != "_" {
				if d := differ(a.Field(i), b.Field(i), sets); d != "" {
					return "." + name + d
				}
			}
		}
		return ""
	}
	if a.Type() == reflect.TypeFor[attr.Set]() && !sets || a.Equal(b) {
		return ""
	}
	return fmt.Sprintf(": %v, not %v", a, b)
}

// checkDecoded decodes in into the memory of used, and checks that the outcome
// is that of decoding it into fresh memory, and that what has been decoded can
// be encoded and decoded again.
func checkDecoded(t *testing.T, in []byte, used reflect.Value) {
	t.Helper()
	fresh := reflect.New(used.Type().Elem())
	err := attr.Unmarshal(in, fresh.Interface())
	usedErr := attr.Unmarshal(in, used.Interface())
	if err != nil || usedErr != nil {
		if err == nil || usedErr == nil || err.Error() != usedErr.Error() {
			t.Fatalf("%T: decoding into fresh memory gives\n%v, into used memory\n%v", fresh.Interface(), err, usedErr)
		}
		return
	}
	if d := differ(used, fresh, true); d != "" {
		t.Fatalf("%T: decoding % x into used memory gives%s", fresh.Interface(), in, d)
	}
	b, err := attr.Marshal(fresh.Interface())
	b2, err2 := attr.Marshal(used.Interface())
	if err != nil || err2 != nil {
		// A NUL within a string cannot be sent, nor an absent address; and fields
		// that were absent may be too much for their nest.
		if fmt.Sprint(err) != fmt.Sprint(err2) || !errors.Is(err, attr.ErrRange) && !errors.Is(err, attr.ErrTooLong) {
			t.Fatalf("%T: encoding again gives\n%v, from used memory\n%v", fresh.Interface(), err, err2)
		}
		return
	}
	if !bytes.Equal(b, b2) {
		t.Fatalf("%T: encoding again gives\n% x, from used memory\n% x", fresh.Interface(), b, b2)
	}
	again := reflect.New(used.Type().Elem())
	if err := attr.Unmarshal(b, again.Interface()); err != nil {
		t.Fatalf("%T: decoding again: %v", fresh.Interface(), err)
	}
	if d := differ(again, fresh, false); d != "" {
		t.Fatalf("%T: % x encoded and decoded again is%s", fresh.Interface(), in, d)
	}
}

// Values of random types come back from the wire as they were; decoding one
// value after the other into one variable leaves nothing of the former; and so
// it is with bytes that somebody has tampered with.
func TestRandomTypes(t *testing.T) {
	types := 100
	if testing.Short() {
		types = 50
	}
	for seed := range uint64(types) {
		r := rand.New(rand.NewPCG(seed, 7))
		typ := randomType(r, 3)
		used := reflect.New(typ)
		for range 8 {
			v := reflect.New(typ)
			fill(r, v.Elem(), "", 0)
			b, err := attr.Marshal(v.Interface())
			if errors.Is(err, attr.ErrTooLong) {
				continue
			}
			if err != nil {
				t.Fatalf("seed %d: %v: %v", seed, typ, err)
			}
			back := reflect.New(typ)
			if err := attr.Unmarshal(b, back.Interface()); err != nil {
				t.Fatalf("seed %d: %v: %v", seed, typ, err)
			}
			if d := differ(back, v, false); d != "" {
				t.Fatalf("seed %d: %v is%s", seed, typ, d)
			}
			checkDecoded(t, b, used)
			for range 8 {
				checkDecoded(t, tamper(r, b), used)
			}
		}
	}
}

// tamper returns a copy of b with some bytes changed, dropped or doubled.
func tamper(r *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + r.IntN(4) {
		if len(b) == 0 {
			return b
		}
		i := r.IntN(len(b))
		switch r.IntN(6) {
		case 0:
			b[i] = byte(r.Uint32())
		case 1:
			b[i] ^= 1 << r.IntN(8)
		case 2: // a small number in a length, or a type
			b[i&^1] = byte(r.IntN(32))
		case 3:
			b = b[:i]
		case 4:
			i &^= 3
			b = append(b, b[i:]...)
		case 5:
			i &^= 3
			b = append(b[:i], b[min(len(b), i+4*r.IntN(8)):]...)
		}
	}
	return b
}
