package attr

import (
	"reflect"
	"unsafe"
)

// Codec is the compiled form of struct type T: [Append] and [Unmarshal]
// without looking the type up at each call. It is small and meant to be copied.
// The zero Codec is not usable; [CodecOf] makes one.
type Codec[T any] struct{ p *plan }

// CodecOf compiles T, once for all calls. The error names the type and the
// field whose tag cannot be followed and wraps [ErrTag].
func CodecOf[T any]() (Codec[T], error) {
	p, err := planFor(reflect.TypeFor[T]())
	return Codec[T]{p}, err
}

// Append encodes v as [Append] does.
func (c Codec[T]) Append(b []byte, v *T) ([]byte, error) {
	if v == nil {
		return b, noStruct("Append", (*T)(nil)) // not v, which would move it to the heap
	}
	if c.p.custom {
		own := new(T) // on the heap, and with it, for the compiler, all that *v refers to
		*own = *v
		return c.p.marshal(b, unsafe.Pointer(own))
	}
	return c.p.marshal(b, hide(unsafe.Pointer(v)))
}

// Unmarshal decodes b into v as [Unmarshal] does.
func (c Codec[T]) Unmarshal(b []byte, v *T) error {
	if v == nil {
		return noStruct("Unmarshal", v)
	}
	return c.p.unmarshal(b, unsafe.Pointer(v))
}

// hide keeps v, which is only read, from being moved to the heap for the sake
// of what the compiler cannot see through reflection. Nothing keeps the pointer
// beyond the call, or puts it into an interface, except a type's own method:
// then Append works on a copy. What *v refers to is on the heap in either case,
// since the compiler sees that copy.
func hide(v unsafe.Pointer) unsafe.Pointer {
	//lint:ignore SA4016 it is at the arithmetic that the compiler loses track
	p := uintptr(v) ^ 0
	return *(*unsafe.Pointer)(unsafe.Pointer(&p))
}

// HeaderLen is the size in bytes of the field tagged `nl:"header"`, which holds
// what stands before the attributes (a generic netlink family's own header);
// 0 if T has none.
func (c Codec[T]) HeaderLen() int {
	if c.p.header == nil {
		return 0
	}
	return int(c.p.header.size)
}

// AppendHeader appends the header field of v to b, as its fixed layout says.
func (c Codec[T]) AppendHeader(b []byte, v *T) []byte {
	if l := c.p.header; l != nil {
		b = append(b, make([]byte, l.size)...)
		l.store(b[len(b)-int(l.size):], unsafe.Add(unsafe.Pointer(v), c.p.headerOff))
	}
	return b
}

// UnmarshalHeader decodes b into the header field of v; where b is shorter
// than the field that is an error.
func (c Codec[T]) UnmarshalHeader(b []byte, v *T) error {
	l := c.p.header
	if l == nil {
		return nil
	}
	if len(b) < int(l.size) {
		return &Error{Type: c.p.typ.String(), Name: "header", Err: wantBytes(int(l.size), len(b))}
	}
	l.load(unsafe.Add(unsafe.Pointer(v), c.p.headerOff), b)
	return nil
}

// Views reports whether T has fields that are views of the message it is
// decoded from, itself or in what is inside of it.
func (c Codec[T]) Views() bool { return c.p.views }

// Appends reports whether T has anything to encode: tagged fields, a header, or an
// AppendBinary of its own.
func (c Codec[T]) Appends() bool { return c.p.methods.appends || !c.p.empty() }

// Unmarshals reports whether T has anything to decode: tagged fields, a header, or
// an UnmarshalBinary of its own.
func (c Codec[T]) Unmarshals() bool { return c.p.methods.unmarshals != nil || !c.p.empty() }

// empty reports whether no field is tagged.
func (p *plan) empty() bool {
	return len(p.fields) == 0 && p.header == nil && p.unknown < 0 && p.given < 0
}
