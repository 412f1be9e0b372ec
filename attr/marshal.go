package attr

import (
	"cmp"
	"encoding"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"time"
	"unsafe"
)

// Marshal encodes the struct v, or the struct it points to, as attributes, as
// the tags of its fields say (see the package documentation). The attributes
// stand in the order of the fields, those of a []Raw field tagged
// `nl:"unknown"` last.
func Marshal(v any) ([]byte, error) { return Append(nil, v) }

// Append is [Marshal] into the caller's memory: the attributes are appended to
// b. After an error b is returned with nothing appended, perhaps in larger
// memory, which can be used again.
func Append(b []byte, v any) ([]byte, error) {
	value := reflect.ValueOf(v)
	switch {
	case value.Kind() == reflect.Struct:
		ptr := reflect.New(value.Type()) // v is a copy that has no address
		ptr.Elem().Set(value)
		value = ptr
	case value.Kind() != reflect.Pointer || value.IsNil():
		return b, noStruct("Append", v)
	}
	p, err := planFor(value.Type().Elem())
	if err != nil {
		return b, err
	}
	return p.marshal(b, value.UnsafePointer())
}

// noStruct is the error for a v that nothing can be encoded from or decoded into.
func noStruct(function string, v any) error {
	if t := reflect.TypeOf(v); t != nil && t.Kind() == reflect.Pointer {
		return &Error{Err: fmt.Errorf("%w: %s was given a nil %s", ErrTag, function, t)}
	}
	return &Error{Err: fmt.Errorf("%w: %s needs a pointer to a struct, not a %T", ErrTag, function, v)}
}

func (p *plan) marshal(b []byte, base unsafe.Pointer) ([]byte, error) {
	e := Encoder{buf: b}
	if p.methods.appends {
		p.appendOwn(&e, base)
	} else {
		p.encode(&e, base)
	}
	if e.err != nil {
		return e.buf[:len(b)], p.named(e.err)
	}
	return e.buf, nil
}

// appendOwn appends what the type's own method makes of the value at base.
func (p *plan) appendOwn(e *Encoder, base unsafe.Pointer) {
	start := len(e.buf)
	b, err := reflect.NewAt(p.typ, base).Interface().(encoding.BinaryAppender).AppendBinary(e.buf)
	switch {
	case err != nil:
		e.err = err
	case len(b) < start:
		e.err = fmt.Errorf("%w: AppendBinary did not append", ErrLength)
	default:
		e.buf = append(b, make([]byte, align(len(b)-start)-(len(b)-start))...)
	}
}

// encode appends all fields of the struct at base.
func (p *plan) encode(e *Encoder, base unsafe.Pointer) {
	for i := range p.steps {
		s := &p.steps[i]
		src := unsafe.Add(base, s.off)
		// As in decode: plain numbers here, all else one call away.
		switch s.kind {
		case kind32:
			v := *(*uint32)(src)
			if v == 0 && s.omitZero {
				continue
			}
			e.Uint32(s.typ, v)
		case kind16:
			v := *(*uint16)(src)
			if v == 0 && s.omitZero {
				continue
			}
			e.Uint16(s.typ, v)
		case kindPad:
			if i+1 < len(p.fields) {
				e.pad(s.typ, &p.fields[i+1], base)
			}
		default:
			f := &p.fields[i]
			if s.omitZero && f.isZero(src) {
				continue
			}
			f.encode(e, src)
			if e.err != nil {
				e.err = renamed(e.err, f)
				return
			}
		}
	}
	if p.unknown >= 0 {
		for _, r := range *(*[]Raw)(unsafe.Add(base, p.unknown)) {
			e.Raw(r)
		}
	}
}

// renamed puts the Go name of f before those that err has.
func renamed(err error, f *field) error {
	e, ok := err.(*Error)
	if !ok {
		return &Error{Path: []uint16{f.typ}, Name: f.name, Err: err}
	}
	if e.Name != "" && e.Name[0] != '[' {
		e.Name = f.name + "." + e.Name
	} else {
		e.Name = f.name + e.Name
	}
	return e
}

// pad appends an empty attribute typ where the payload of next, of 8 bytes,
// would otherwise not begin at a multiple of 8.
func (e *Encoder) pad(typ uint16, next *field, base unsafe.Pointer) {
	if src := next.at(base); next.omitZero && next.isZero(src) ||
		next.kind == kindPointer && *(*unsafe.Pointer)(src) == nil {
		return
	}
	if (len(e.buf)+headerLen)%8 != 0 {
		e.Flag(typ)
	}
}

// isZero reports whether the Go value at src holds nothing that omitzero would
// keep. A slice or map without entries counts as zero, since decoding into used
// memory leaves one, and not nil, for an absent attribute.
func (f *field) isZero(src unsafe.Pointer) bool {
	switch f.kind {
	case kind8:
		return *(*uint8)(src) == 0
	case kindString, kindText:
		return *(*string)(src) == ""
	case kindBytes, kindView, kindPacked, kindArray, kindRepeat, kindKeyed:
		return (*sliceHeader)(src).len == 0
	case kindNest:
		return f.sub.isZero(src)
	case kindMap:
		return reflect.NewAt(f.goType, src).Elem().Len() == 0
	}
	return reflect.NewAt(f.goType, src).Elem().IsZero()
}

// isZero reports whether the struct at base holds nothing that came from, or
// would become, an attribute.
func (p *plan) isZero(base unsafe.Pointer) bool {
	for i := range p.fields {
		if f := &p.fields[i]; f.kind != kindPad && !f.isZero(f.at(base)) {
			return false
		}
	}
	return (p.unknown < 0 || len(*(*[]Raw)(unsafe.Add(base, p.unknown))) == 0) &&
		(p.given < 0 || *(*Set)(unsafe.Add(base, p.given)) == 0)
}

// encode appends one field, or one element with its number in f.typ.
func (f *field) encode(e *Encoder, src unsafe.Pointer) { f.encodeAs(e, f.typ, src) }

func (f *field) encodeAs(e *Encoder, typ uint16, src unsafe.Pointer) {
	switch f.kind {
	case kind8:
		e.Uint8(typ, *(*uint8)(src))
	case kind16:
		e.Uint16(typ, *(*uint16)(src))
	case kind32:
		e.Uint32(typ, *(*uint32)(src))
	case kind64:
		e.Uint64(typ, *(*uint64)(src))
	case kind16BE:
		e.BigEndianUint16(typ, *(*uint16)(src))
	case kind32BE:
		e.BigEndianUint32(typ, *(*uint32)(src))
	case kind64BE:
		e.BigEndianUint64(typ, *(*uint64)(src))
	case kindNest:
		nest := e.open(typ | f.flags)
		if e.err == nil {
			f.sub.encode(e, src)
		}
		e.close(nest)
	case kindFlag:
		if *(*bool)(src) {
			e.Flag(typ)
		}
	case kindString:
		e.String(typ, *(*string)(src))
	case kindText:
		e.Text(typ, *(*string)(src))
	case kindBytes, kindView:
		e.Bytes(typ, *(*[]byte)(src))
	case kindUint:
		e.Uint(typ, *(*uint64)(src))
	case kindInt:
		e.Int(typ, *(*int64)(src))
	case kindConvert:
		f.encodeConverted(e, typ, src)
	case kindFixed:
		if b := e.grow(typ, int(f.fixed.size)); b != nil {
			f.fixed.store(b, src)
		}
	case kindPacked:
		s, size := (*sliceHeader)(src), int(f.fixed.size)
		if b := e.grow(typ, s.len*size); b != nil {
			for i := range s.len {
				f.fixed.store(b[i*size:(i+1)*size], unsafe.Add(s.data, i*size))
			}
		}
	case kindAddr:
		e.Addr(typ, *(*netip.Addr)(src))
	case kindBits:
		e.Bitfield32(typ, *(*Bitfield32)(src))
	case kindPointer:
		if p := *(*unsafe.Pointer)(src); p != nil {
			f.elem.encodeAs(e, typ, p)
		}
	case kindArray, kindKeyed:
		f.encodeSlice(e, typ, (*sliceHeader)(src))
	case kindRepeat:
		s := (*sliceHeader)(src)
		for i := range s.len {
			f.elem.encodeAs(e, typ, unsafe.Add(s.data, uintptr(i)*f.elem.size))
			if e.err != nil {
				e.err = renamed(e.err, &field{typ: typ, name: fmt.Sprintf("[%d]", i)})
				return
			}
		}
	case kindMap:
		f.encodeMap(e, typ, src)
	case kindCustom:
		f.encodeCustom(e, typ, src)
	}
}

// open and close are Begin and End, counting depth: a value that contains
// itself through pointers must not recurse for ever. What fails within a nest
// is given the nest's number.
func (e *Encoder) open(typ uint16) int {
	nest := e.begin(typ)
	if e.depth++; e.depth > MaxDepth {
		e.failHere(ErrDepth)
	}
	return nest
}

// failHere is fail for what is wrong with the nest that is open: close adds its number.
func (e *Encoder) failHere(err error) {
	if e.err == nil {
		e.err = &Error{Err: err}
	}
}

func (e *Encoder) close(nest int) {
	e.depth--
	if e.err == nil {
		e.End(nest)
		return
	}
	if err, ok := e.err.(*Error); ok && nest+headerLen <= len(e.buf) {
		err.Path = append([]uint16{binary.NativeEndian.Uint16(e.buf[nest+2:]) & typeMask}, err.Path...)
	}
}

func (f *field) encodeSlice(e *Encoder, typ uint16, s *sliceHeader) {
	nest := e.open(typ | f.flags)
	for i := range s.len {
		if e.err != nil {
			break
		}
		src := unsafe.Add(s.data, uintptr(i)*f.elem.size)
		number := i + int(f.base)
		if f.kind == kindKeyed {
			number = f.keyOf(src)
		}
		if number > typeMask {
			e.failHere(fmt.Errorf("%w: entry %d is beyond the highest attribute number, %d", ErrRange, number, typeMask))
			break
		}
		f.elem.encodeAs(e, uint16(number), src)
		if e.err != nil {
			e.err = renamed(e.err, &field{name: fmt.Sprintf("[%d]", i)})
		}
	}
	e.close(nest)
}

// keyOf returns the number that the element at src stands under.
func (f *field) keyOf(src unsafe.Pointer) int {
	switch key := unsafe.Add(src, f.keyOff); f.keySize {
	case 1:
		return int(*(*uint8)(key))
	case 2:
		return int(*(*uint16)(key))
	default:
		return int(min(*(*uint32)(key), math.MaxInt32))
	}
}

// encodeMap appends the entries in the order of their keys.
func (f *field) encodeMap(e *Encoder, typ uint16, src unsafe.Pointer) {
	m := reflect.NewAt(f.goType, src).Elem()
	number := func(k reflect.Value) int64 {
		if k.CanUint() {
			return int64(min(k.Uint(), math.MaxInt64))
		}
		return k.Int()
	}
	keys := m.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(number(a), number(b)) })

	nest := e.open(typ | f.flags)
	for _, k := range keys {
		if e.err != nil {
			break
		}
		n := number(k)
		if n < 0 || n > typeMask {
			e.failHere(fmt.Errorf("%w: key %d is not an attribute number (0 to %d)", ErrRange, n, typeMask))
			break
		}
		value := reflect.New(f.elem.goType)
		value.Elem().Set(m.MapIndex(k))
		f.elem.encodeAs(e, uint16(n), value.UnsafePointer())
		if e.err != nil {
			e.err = renamed(e.err, &field{name: fmt.Sprintf("[%d]", n)})
		}
	}
	e.close(nest)
}

func (f *field) encodeCustom(e *Encoder, typ uint16, src unsafe.Pointer) {
	start := len(e.buf)
	e.Flag(typ)
	b, err := reflect.NewAt(f.goType, src).Interface().(encoding.BinaryAppender).AppendBinary(e.buf)
	n := len(b) - start
	switch {
	case err != nil:
		e.buf = e.buf[:start]
		e.err = within(err, typ&typeMask, "")
		return
	case n < headerLen:
		e.buf = e.buf[:start]
		e.fail(typ, fmt.Errorf("%w: %s.AppendBinary did not append", ErrLength, f.goType))
		return
	case n > maxLen:
		e.buf = e.buf[:start]
		e.fail(typ, fmt.Errorf("%w: %d", ErrTooLong, n-headerLen))
		return
	}
	putHeader(b[start:], n, typ)
	e.buf = append(b, make([]byte, align(n)-n)...)
}

// encodeConverted appends a number whose size or unit differs from that in memory.
func (f *field) encodeConverted(e *Encoder, typ uint16, src unsafe.Pointer) {
	c := f.convert
	value := reflect.NewAt(f.goType, src).Elem()
	var u uint64 // the number's bits
	negative := false
	switch {
	case value.Kind() == reflect.Bool:
		if value.Bool() {
			u = 1
		}
	case value.CanUint():
		u = value.Uint()
	default:
		i := value.Int()
		if c.unit != 0 {
			if i%int64(c.unit) != 0 {
				e.fail(typ, fmt.Errorf("%w: %s is not a multiple of %s", ErrRange, time.Duration(i), c.unit))
				return
			}
			i /= int64(c.unit)
		}
		u, negative = uint64(i), i < 0
	}
	bits := 8 * c.bytes()
	fits := bits == 64 || u>>bits == 0
	switch {
	case c.signed && negative:
		fits = int64(u) >= -1<<(bits-1)
	case c.signed:
		fits = u <= 1<<(bits-1)-1
	case negative:
		fits = false
	}
	if !fits {
		// Interface copies: the error must not refer to the caller's stack.
		e.fail(typ, fmt.Errorf("%w: %v does not fit %d bits", ErrRange, value.Interface(), bits))
		return
	}
	switch c.wire {
	case kind8:
		e.Uint8(typ, uint8(u))
	case kind16:
		e.Uint16(typ, uint16(u))
	case kind32:
		e.Uint32(typ, uint32(u))
	case kind64:
		e.Uint64(typ, u)
	case kind16BE:
		e.BigEndianUint16(typ, uint16(u))
	case kind32BE:
		e.BigEndianUint32(typ, uint32(u))
	case kind64BE:
		e.BigEndianUint64(typ, u)
	}
}
