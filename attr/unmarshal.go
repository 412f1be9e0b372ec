package attr

import (
	"encoding"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"net/netip"
	"reflect"
	"time"
	"unsafe"
)

// Unmarshal decodes the attributes in b into the struct that v points to, as
// the tags of its fields say (see the package documentation).
//
// Fields whose attributes are absent become zero. Attributes that no field
// asks for are skipped, or kept in a []Raw field tagged `nl:"unknown"`. Of an
// attribute that stands more than once in a list the last one counts, unless
// the field is tagged repeated. A wrong length, or a value that does not fit,
// is an [*Error]; what was decoded before it stays in v.
//
// Memory that v already holds is used again: slices keep their capacity and
// strings that did not change are kept. Decoding into a used value therefore
// overwrites what its slices and pointers refer to, and costs no allocation
// once they are large enough.
func Unmarshal(b []byte, v any) error {
	ptr := reflect.ValueOf(v)
	if ptr.Kind() != reflect.Pointer || ptr.IsNil() {
		return noStruct("Unmarshal", v)
	}
	p, err := planFor(ptr.Type().Elem())
	if err != nil {
		return err
	}
	return p.unmarshal(b, ptr.UnsafePointer())
}

func (p *plan) unmarshal(b []byte, base unsafe.Pointer) error {
	var err error
	if table := p.methods.unmarshals; table != nil {
		err = unmarshaler(table, base).UnmarshalBinary(b[:len(b):len(b)])
	} else {
		err = p.decode(b, base, 0)
	}
	if err != nil {
		return p.named(err)
	}
	return nil
}

// named returns err with the plan's type in it. It changes a copy, as within does.
func (p *plan) named(err error) error {
	e := Error{Err: err}
	if inner, ok := err.(*Error); ok {
		e = *inner
	}
	e.Type = p.typ.String()
	return &e
}

// decode decodes the list b into the struct at base.
func (p *plan) decode(b []byte, base unsafe.Pointer, depth int) error {
	if p.first {
		p.clearFirst(base)
	}
	var seen Set
	for i := 0; i >= 0 && i <= len(b)-headerLen; {
		if p.numbered {
			if i, seen = p.numbers(b, i, base, seen); i > len(b)-headerLen {
				break
			}
		}
		n := int(binary.NativeEndian.Uint16(b[i : i+2]))
		t := binary.NativeEndian.Uint16(b[i+2:i+4]) & typeMask
		if n < headerLen || n > len(b)-i {
			return badLength(b[i:])
		}
		if f := p.field(t); f != nil {
			if err := f.decode(b[i+headerLen:i+n], f.at(base), depth, t > 63 || seen.Has(t)); err != nil {
				return within(err, t, f.name)
			}
		} else if p.unknown >= 0 {
			p.keep(b[i:i+n], base)
		}
		seen |= 1 << t
		i += align(n)
	}
	if absent := p.late &^ seen; absent != 0 {
		p.clearLate(absent, base)
	}
	if p.given >= 0 {
		*(*Set)(unsafe.Add(base, p.given)) = seen
	}
	return nil
}

// numbers stores plain numbers from b[i] on, up to the first attribute that is
// something else, or wrong, and returns where that is, which may lie behind the
// end for want of padding. It exists for speed: most of what the kernel sends is
// numbers, and a loop without calls keeps its variables in registers.
func (p *plan) numbers(b []byte, i int, base unsafe.Pointer, seen Set) (next int, given Set) {
	entries := p.entries
	for i >= 0 && i <= len(b)-headerLen {
		n := int(binary.NativeEndian.Uint16(b[i : i+2]))
		t := int(binary.NativeEndian.Uint16(b[i+2:i+4]) & typeMask)
		if n > len(b)-i || t >= len(entries) {
			break
		}
		e := &entries[t]
		if n != int(e.wireLen) {
			break
		}
		switch dst := unsafe.Add(base, e.off); n {
		case headerLen + 4:
			*(*uint32)(dst) = binary.NativeEndian.Uint32(b[i+4 : i+8])
		case headerLen + 8:
			*(*uint64)(dst) = binary.NativeEndian.Uint64(b[i+4 : i+12])
		case headerLen + 2:
			*(*uint16)(dst) = binary.NativeEndian.Uint16(b[i+4 : i+6])
		case headerLen + 1:
			*(*uint8)(dst) = b[i+4]
		default:
			return i, seen // length 0, where no plain number is wanted either
		}
		seen |= e.bit
		i += align(n)
	}
	return i, seen
}

// keep adds attribute a, which no field asks for, to the field for such.
func (p *plan) keep(a []byte, base unsafe.Pointer) {
	list := (*[]Raw)(unsafe.Add(base, p.unknown))
	*list = append(*list, Raw{binary.NativeEndian.Uint16(a[2:]), append([]byte{}, a[headerLen:]...)})
}

// clearFirst clears what cannot wait until it is known to be absent.
func (p *plan) clearFirst(base unsafe.Pointer) {
	for _, s := range p.spans {
		clear(unsafe.Slice((*byte)(unsafe.Add(base, s.off)), s.len))
	}
	if p.unknown >= 0 {
		*(*[]Raw)(unsafe.Add(base, p.unknown)) = nil
	}
	for _, i := range p.far {
		p.fields[i].clear(base)
	}
}

// clearLate clears the fields of the attributes that were absent.
func (p *plan) clearLate(absent Set, base unsafe.Pointer) {
	for ; absent != 0; absent &= absent - 1 {
		p.fields[p.entries[bits.TrailingZeros64(uint64(absent))].field-1].clear(base)
	}
}

// clear makes a field what an absent attribute leaves: zero, with the memory
// of slices kept.
func (f *field) clear(base unsafe.Pointer) {
	dst := f.at(base)
	switch f.kind {
	case kind8, kindFlag:
		*(*uint8)(dst) = 0
	case kind32, kind32BE:
		*(*uint32)(dst) = 0
	case kindPad:
	case kindString, kindText:
		*(*string)(dst) = ""
	case kindView:
		*(*[]byte)(dst) = nil
	case kindBytes, kindPacked, kindArray, kindRepeat, kindKeyed:
		(*sliceHeader)(dst).len = 0
	case kindNest:
		_ = f.sub.decode(nil, dst, 0)
	default:
		if f.pointered {
			reflect.NewAt(f.goType, dst).Elem().SetZero()
		} else {
			clear(unsafe.Slice((*byte)(dst), f.size))
		}
	}
}

// unmarshaler is the value at p as what its pointer type implements. It puts
// the interface together from the method table found when the plan was
// compiled: reflection would look that up anew for each value.
func unmarshaler(table, p unsafe.Pointer) (u encoding.BinaryUnmarshaler) {
	*(*interfaceHeader)(unsafe.Pointer(&u)) = interfaceHeader{table, p}
	return u
}

// interfaceHeader is an interface value that holds a pointer, in memory.
type interfaceHeader struct{ methods, data unsafe.Pointer }

// sliceHeader is a slice in memory.
type sliceHeader struct {
	data     unsafe.Pointer
	len, cap int
}

// decode stores one payload at dst. again says that the list held this
// attribute before, or that the field was cleared: then a repeated one is
// appended to what is there.
func (f *field) decode(v []byte, dst unsafe.Pointer, depth int, again bool) error {
	switch f.kind {
	case kindNest:
		if depth >= MaxDepth {
			return ErrDepth
		}
		return f.sub.decode(v, dst, depth+1)
	case kindString, kindText:
		v = trimNUL(v)
		if s := (*string)(dst); *s != string(v) {
			*s = string(v)
		}
	case kind8:
		if len(v) != 1 {
			return wantBytes(1, len(v))
		}
		*(*uint8)(dst) = v[0]
	case kind16:
		if len(v) != 2 {
			return wantBytes(2, len(v))
		}
		*(*uint16)(dst) = binary.NativeEndian.Uint16(v)
	case kind32:
		if len(v) != 4 {
			return wantBytes(4, len(v))
		}
		*(*uint32)(dst) = binary.NativeEndian.Uint32(v)
	case kind64:
		if len(v) != 8 {
			return wantBytes(8, len(v))
		}
		*(*uint64)(dst) = binary.NativeEndian.Uint64(v)
	case kind16BE:
		if len(v) != 2 {
			return wantBytes(2, len(v))
		}
		*(*uint16)(dst) = binary.BigEndian.Uint16(v)
	case kind32BE:
		if len(v) != 4 {
			return wantBytes(4, len(v))
		}
		*(*uint32)(dst) = binary.BigEndian.Uint32(v)
	case kind64BE:
		if len(v) != 8 {
			return wantBytes(8, len(v))
		}
		*(*uint64)(dst) = binary.BigEndian.Uint64(v)
	case kindArray:
		return f.decodeArray(v, (*sliceHeader)(dst), depth)
	case kindKeyed:
		return f.decodeKeyed(v, (*sliceHeader)(dst), depth)
	case kindRepeat:
		s := (*sliceHeader)(dst)
		if !again {
			s.len = 0
		}
		return f.append(s, v, depth)
	case kindFlag:
		*(*bool)(dst) = true
	case kindBytes:
		b := (*[]byte)(dst)
		if *b == nil {
			*b = make([]byte, 0, len(v))
		}
		*b = append((*b)[:0], v...)
	case kindView:
		*(*[]byte)(dst) = v[:len(v):len(v)]
	case kindUint:
		switch len(v) {
		case 4:
			*(*uint64)(dst) = uint64(binary.NativeEndian.Uint32(v))
		case 8:
			*(*uint64)(dst) = binary.NativeEndian.Uint64(v)
		default:
			return badAuto(len(v))
		}
	case kindInt:
		switch len(v) {
		case 4:
			*(*int64)(dst) = int64(int32(binary.NativeEndian.Uint32(v)))
		case 8:
			*(*int64)(dst) = int64(binary.NativeEndian.Uint64(v))
		default:
			return badAuto(len(v))
		}
	case kindConvert:
		return f.decodeConverted(v, dst)
	case kindFixed:
		if n := int(f.fixed.size); len(v) < n || len(v) > n && f.goType.Kind() == reflect.Array {
			return wantBytes(int(f.fixed.size), len(v))
		}
		f.fixed.load(dst, v)
	case kindPacked:
		return f.decodePacked(v, (*sliceHeader)(dst))
	case kindAddr:
		a, ok := netip.AddrFromSlice(v)
		if !ok {
			return badAddr(len(v))
		}
		*(*netip.Addr)(dst) = a
	case kindBits:
		if len(v) != 8 {
			return wantBytes(8, len(v))
		}
		*(*Bitfield32)(dst) = Bitfield32{binary.NativeEndian.Uint32(v), binary.NativeEndian.Uint32(v[4:])}
	case kindPointer:
		p := (*unsafe.Pointer)(dst)
		if *p == nil {
			*p = reflect.New(f.elem.goType).UnsafePointer()
		}
		return f.elem.decode(v, *p, depth, false)
	case kindMap:
		return f.decodeMap(v, dst, depth)
	case kindCustom:
		return unmarshaler(f.methods, dst).UnmarshalBinary(v[:len(v):len(v)])
	}
	return nil
}

func badAuto(given int) error {
	return fmt.Errorf("%w: 4 or 8 bytes wanted, %d given", ErrLength, given)
}

// decodeArray decodes a nest whose entries are the elements, in wire order.
func (f *field) decodeArray(b []byte, s *sliceHeader, depth int) error {
	if depth >= MaxDepth {
		return ErrDepth
	}
	s.len = 0
	elem := f.elem
	shaped := elem.kind == kindNest && elem.sub.shape != nil && depth+1 < MaxDepth
	for len(b) >= headerLen {
		if s.len == s.cap {
			f.grow(s, countEntries(b))
		}
		if shaped {
			if n := elem.decodeShaped(b, s); n > 0 {
				b = b[n:]
				continue
			}
		}
		n := int(binary.NativeEndian.Uint16(b))
		if n < headerLen || n > len(b) {
			return badLength(b)
		}
		dst := unsafe.Add(s.data, uintptr(s.len)*elem.size)
		s.len++
		if err := elem.decode(b[headerLen:n], dst, depth+1, false); err != nil {
			return within(err, binary.NativeEndian.Uint16(b[2:])&typeMask, fmt.Sprintf("[%d]", s.len-1))
		}
		b = b[min(align(n), len(b)):]
	}
	return nil
}

// decodeShaped appends elements to s, as long as there is room and they have
// the shape of their plan, and returns how much of b they take. As numbers, it
// is a loop without calls.
func (f *field) decodeShaped(b []byte, s *sliceHeader) (taken int) {
	shape, n := f.sub.shape, f.sub.shapeLen
	for s.len < s.cap && len(b)-taken >= n {
		e := b[taken : taken+n]
		if int(binary.NativeEndian.Uint16(e)) != n {
			break
		}
		dst := unsafe.Add(s.data, uintptr(s.len)*f.size)
		for i := range shape {
			a := &shape[i]
			w := (*[8]byte)(e[a.at:]) // every attribute has as much, with its padding
			if binary.NativeEndian.Uint32(w[:]) != a.header {
				return taken // what has been stored is overwritten, or cleared, the long way
			}
			switch at := unsafe.Add(dst, a.off); a.kind {
			case kind32:
				*(*uint32)(at) = binary.NativeEndian.Uint32(w[headerLen:])
			case kind16:
				*(*uint16)(at) = binary.NativeEndian.Uint16(w[headerLen:])
			case kind8:
				*(*uint8)(at) = w[headerLen]
			case kind64:
				*(*uint64)(at) = binary.NativeEndian.Uint64(e[a.at+headerLen:])
			}
		}
		s.len++
		taken += n
	}
	return taken
}

// decodeKeyed decodes a nest whose entries' numbers go into a field of each element.
func (f *field) decodeKeyed(b []byte, s *sliceHeader, depth int) error {
	if depth >= MaxDepth {
		return ErrDepth
	}
	s.len = 0
	for i := 0; i <= len(b)-headerLen; {
		n := int(binary.NativeEndian.Uint16(b[i:]))
		t := binary.NativeEndian.Uint16(b[i+2:]) & typeMask
		if n < headerLen || n > len(b)-i {
			return badLength(b[i:])
		}
		if s.len == s.cap {
			f.grow(s, countEntries(b[i:]))
		}
		dst := unsafe.Add(s.data, uintptr(s.len)*f.elem.size)
		s.len++
		if depth+1 >= MaxDepth {
			return within(ErrDepth, t, fmt.Sprintf("[%d]", s.len-1))
		}
		if err := f.sub.decode(b[i+headerLen:i+n], dst, depth+2); err != nil {
			return within(err, t, fmt.Sprintf("[%d]", s.len-1))
		}
		switch key := unsafe.Add(dst, f.keyOff); f.keySize {
		case 1:
			if t > math.MaxUint8 {
				return within(badIndex(t), t, fmt.Sprintf("[%d]", s.len-1))
			}
			*(*uint8)(key) = uint8(t)
		case 2:
			*(*uint16)(key) = t
		case 4:
			*(*uint32)(key) = uint32(t)
		}
		i += align(n)
	}
	return nil
}

func badIndex(t uint16) error {
	return fmt.Errorf("%w: index %d does not fit 8 bits", ErrRange, t)
}

// append decodes one more element of a repeated attribute.
func (f *field) append(s *sliceHeader, v []byte, depth int) error {
	if s.len == s.cap {
		f.grow(s, max(1, s.len))
	}
	dst := unsafe.Add(s.data, uintptr(s.len)*f.elem.size)
	s.len++
	return f.elem.decode(v, dst, depth, false)
}

// grow makes room for n more elements, all zero, keeping those there are.
func (f *field) grow(s *sliceHeader, n int) {
	reflect.NewAt(f.goType, unsafe.Pointer(s)).Elem().Grow(n)
}

// countEntries counts the attributes in b up to the first that is malformed.
func countEntries(b []byte) int {
	count := 0
	for len(b) >= headerLen {
		n := int(binary.NativeEndian.Uint16(b))
		if n < headerLen || n > len(b) {
			break
		}
		count++
		b = b[min(align(n), len(b)):]
	}
	return count
}

func (f *field) decodePacked(v []byte, s *sliceHeader) error {
	size := int(f.fixed.size)
	if len(v)%size != 0 {
		return fmt.Errorf("%w: a multiple of %d bytes wanted, %d given", ErrLength, size, len(v))
	}
	s.len = 0
	if n := len(v) / size; n > s.cap {
		f.grow(s, n)
	}
	for ; len(v) > 0; v = v[size:] {
		f.fixed.load(unsafe.Add(s.data, s.len*size), v)
		s.len++
	}
	return nil
}

func (f *field) decodeMap(b []byte, dst unsafe.Pointer, depth int) error {
	if depth >= MaxDepth {
		return ErrDepth
	}
	m := reflect.NewAt(f.goType, dst).Elem()
	if m.IsNil() {
		m.Set(reflect.MakeMapWithSize(f.goType, countEntries(b)))
	} else {
		m.Clear()
	}
	key := reflect.New(f.goType.Key()).Elem()
	d := NewDecoder(b)
	for d.Next() {
		t := d.Type()
		value := reflect.New(f.elem.goType) // fresh, as its memory goes into the map
		if err := f.elem.decode(d.Bytes(), value.UnsafePointer(), depth+1, false); err != nil {
			return within(err, t, fmt.Sprintf("[%d]", t))
		}
		if key.CanUint() {
			if key.OverflowUint(uint64(t)) {
				return within(badIndex(t), t, fmt.Sprintf("[%d]", t))
			}
			key.SetUint(uint64(t))
		} else {
			key.SetInt(int64(t))
		}
		m.SetMapIndex(key, value.Elem())
	}
	return d.Err()
}

// decodeConverted stores a number whose size or unit differs from that on the wire.
func (f *field) decodeConverted(v []byte, dst unsafe.Pointer) error {
	c := f.convert
	if len(v) != c.bytes() {
		return wantBytes(c.bytes(), len(v))
	}
	var u uint64
	switch c.wire {
	case kind8:
		u = uint64(v[0])
	case kind16:
		u = uint64(binary.NativeEndian.Uint16(v))
	case kind32:
		u = uint64(binary.NativeEndian.Uint32(v))
	case kind64:
		u = binary.NativeEndian.Uint64(v)
	case kind16BE:
		u = uint64(binary.BigEndian.Uint16(v))
	case kind32BE:
		u = uint64(binary.BigEndian.Uint32(v))
	case kind64BE:
		u = binary.BigEndian.Uint64(v)
	}
	value := reflect.NewAt(f.goType, dst).Elem()
	if c.signed {
		shift := 64 - 8*c.bytes()
		return setNumber(value, int64(u<<shift)>>shift, 0, c)
	}
	if u > math.MaxInt64 {
		return setNumber(value, 0, u, c)
	}
	return setNumber(value, int64(u), 0, c)
}

// setNumber sets value to i, or to big, which is beyond an int64, if not 0.
func setNumber(value reflect.Value, i int64, big uint64, c conversion) error {
	switch {
	case value.Kind() == reflect.Bool:
		value.SetBool(i != 0 || big != 0)
	case c.unit != 0:
		if big != 0 {
			return badDuration(big, c.unit)
		}
		if i > math.MaxInt64/int64(c.unit) || i < math.MinInt64/int64(c.unit) {
			return badDuration(i, c.unit)
		}
		value.SetInt(i * int64(c.unit))
	case value.CanUint():
		if i < 0 {
			return badNumber(i, value)
		}
		u := max(big, uint64(i))
		if value.OverflowUint(u) {
			return badNumber(u, value)
		}
		value.SetUint(u)
	default:
		if big != 0 {
			return badNumber(big, value)
		}
		if value.OverflowInt(i) {
			return badNumber(i, value)
		}
		value.SetInt(i)
	}
	return nil
}

func badNumber[T int64 | uint64](n T, value reflect.Value) error {
	return fmt.Errorf("%w: %d does not fit a %s", ErrRange, n, value.Type())
}

func badDuration[T int64 | uint64](n T, unit time.Duration) error {
	return fmt.Errorf("%w: %d times %s is more than a time.Duration holds", ErrRange, n, unit)
}

// bytes is the size on the wire.
func (c conversion) bytes() int {
	switch c.wire {
	case kind8:
		return 1
	case kind16, kind16BE:
		return 2
	case kind32, kind32BE:
		return 4
	}
	return 8
}
