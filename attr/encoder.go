package attr

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// Encoder appends attributes to a buffer. The zero value is ready to use and
// starts with an empty buffer; [NewEncoder] starts with the caller's.
//
// The first mistake (a payload over 65,531 bytes, a NUL within a string) is
// kept: [Encoder.Finish] returns it, whatever followed, and the attributes
// appended are then of no use.
type Encoder struct {
	buf   []byte
	err   error
	depth int
	nests int // nests begun and not ended
}

// NewEncoder returns an encoder that appends to buf.
func NewEncoder(buf []byte) *Encoder { return &Encoder{buf: buf} }

// Reset makes the encoder append to buf and forgets its error.
func (e *Encoder) Reset(buf []byte) { *e = Encoder{buf: buf} }

// Finish returns the buffer with all attributes appended, or the first error.
// The buffer is returned in either case, so that its memory can be used again.
//
// A nest that was begun and not ended is an error too.
func (e *Encoder) Finish() ([]byte, error) {
	if e.nests > 0 && e.err == nil {
		return e.buf, &Error{Err: fmt.Errorf("%w: %d nests were begun and not ended", ErrMalformed, e.nests)}
	}
	return e.buf, e.err
}

// Uint8 appends attribute typ with an 8-bit value (NLA_U8).
func (e *Encoder) Uint8(typ uint16, v uint8) {
	e.buf = append(e.buf, 0, 0, 0, 0, v, 0, 0, 0)
	putHeader(e.buf[len(e.buf)-8:], 5, typ)
}

// Uint16 appends attribute typ with a 16-bit value (NLA_U16).
func (e *Encoder) Uint16(typ uint16, v uint16) {
	e.buf = append(e.buf, 0, 0, 0, 0, 0, 0, 0, 0)
	b := e.buf[len(e.buf)-8:]
	putHeader(b, 6, typ)
	binary.NativeEndian.PutUint16(b[4:], v)
}

// Uint32 appends attribute typ with a 32-bit value (NLA_U32).
func (e *Encoder) Uint32(typ uint16, v uint32) {
	e.buf = append(e.buf, 0, 0, 0, 0, 0, 0, 0, 0)
	b := e.buf[len(e.buf)-8:]
	putHeader(b, 8, typ)
	binary.NativeEndian.PutUint32(b[4:], v)
}

// Uint64 appends attribute typ with a 64-bit value (NLA_U64).
func (e *Encoder) Uint64(typ uint16, v uint64) {
	e.buf = append(e.buf, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b := e.buf[len(e.buf)-12:]
	putHeader(b, 12, typ)
	binary.NativeEndian.PutUint64(b[4:], v)
}

// Int8 appends attribute typ with a signed 8-bit value (NLA_S8).
func (e *Encoder) Int8(typ uint16, v int8) { e.Uint8(typ, uint8(v)) }

// Int16 appends attribute typ with a signed 16-bit value (NLA_S16).
func (e *Encoder) Int16(typ uint16, v int16) { e.Uint16(typ, uint16(v)) }

// Int32 appends attribute typ with a signed 32-bit value (NLA_S32).
func (e *Encoder) Int32(typ uint16, v int32) { e.Uint32(typ, uint32(v)) }

// Int64 appends attribute typ with a signed 64-bit value (NLA_S64).
func (e *Encoder) Int64(typ uint16, v int64) { e.Uint64(typ, uint64(v)) }

// Uint appends attribute typ with an unsigned value of 4 bytes where it fits
// and 8 where it does not (NLA_UINT).
func (e *Encoder) Uint(typ uint16, v uint64) {
	if v == uint64(uint32(v)) {
		e.Uint32(typ, uint32(v))
	} else {
		e.Uint64(typ, v)
	}
}

// Int appends attribute typ with a signed value of 4 bytes where it fits and 8
// where it does not (NLA_SINT).
func (e *Encoder) Int(typ uint16, v int64) {
	if v == int64(int32(v)) {
		e.Int32(typ, int32(v))
	} else {
		e.Int64(typ, v)
	}
}

// BigEndianUint16 appends attribute typ with a 16-bit value in network byte order.
func (e *Encoder) BigEndianUint16(typ uint16, v uint16) {
	e.buf = append(e.buf, 0, 0, 0, 0, byte(v>>8), byte(v), 0, 0)
	putHeader(e.buf[len(e.buf)-8:], 6, typ)
}

// BigEndianUint32 appends attribute typ with a 32-bit value in network byte order.
func (e *Encoder) BigEndianUint32(typ uint16, v uint32) {
	e.buf = append(e.buf, 0, 0, 0, 0, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	putHeader(e.buf[len(e.buf)-8:], 8, typ)
}

// BigEndianUint64 appends attribute typ with a 64-bit value in network byte order.
func (e *Encoder) BigEndianUint64(typ uint16, v uint64) {
	e.buf = append(e.buf, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b := e.buf[len(e.buf)-12:]
	putHeader(b, 12, typ)
	binary.BigEndian.PutUint64(b[4:], v)
}

// Flag appends attribute typ without a payload (NLA_FLAG): its presence is its value.
func (e *Encoder) Flag(typ uint16) {
	e.buf = append(e.buf, 0, 0, 0, 0)
	putHeader(e.buf[len(e.buf)-4:], 4, typ)
}

// String appends attribute typ with s and a terminating NUL (NLA_NUL_STRING).
// A NUL within s is an error, since the kernel would read a shorter string.
func (e *Encoder) String(typ uint16, s string) {
	if strings.IndexByte(s, 0) >= 0 {
		e.fail(typ, fmt.Errorf("%w: a NUL within the string %q", ErrRange, s))
		return
	}
	if b := e.grow(typ, len(s)+1); b != nil {
		copy(b, s)
	}
}

// Bytes appends attribute typ with p as its payload (NLA_BINARY).
func (e *Encoder) Bytes(typ uint16, p []byte) {
	if b := e.grow(typ, len(p)); b != nil {
		copy(b, p)
	}
}

// Text appends attribute typ with s and no NUL behind it. A NUL within s is an
// error, as it is in [Encoder.String].
func (e *Encoder) Text(typ uint16, s string) {
	if strings.IndexByte(s, 0) >= 0 {
		e.fail(typ, fmt.Errorf("%w: a NUL within the string %q", ErrRange, s))
		return
	}
	if b := e.grow(typ, len(s)); b != nil {
		copy(b, s)
	}
}

// Addr appends attribute typ with an IP address: 4 bytes for IPv4, 16 for IPv6.
// The zero Addr is an error, and so is one with a zone.
func (e *Encoder) Addr(typ uint16, a netip.Addr) {
	switch {
	case a.Zone() != "":
		e.fail(typ, fmt.Errorf("%w: the zone of %s has no form as an attribute", ErrRange, a))
	case a.Is4():
		v := a.As4()
		e.Bytes(typ, v[:])
	case a.Is6():
		v := a.As16()
		e.Bytes(typ, v[:])
	default:
		e.fail(typ, fmt.Errorf("%w: no IP address given", ErrRange))
	}
}

// Bitfield32 appends attribute typ with a value and the bits it speaks of (NLA_BITFIELD32).
func (e *Encoder) Bitfield32(typ uint16, v Bitfield32) {
	if b := e.grow(typ, 8); b != nil {
		binary.NativeEndian.PutUint32(b, v.Value)
		binary.NativeEndian.PutUint32(b[4:], v.Selector)
	}
}

// Raw appends r as it is, flags included.
func (e *Encoder) Raw(r Raw) { e.Bytes(r.Type, r.Payload) }

// Begin opens nest typ with NLA_F_NESTED set: what is appended until
// [Encoder.End] stands inside it. It returns what End needs.
func (e *Encoder) Begin(typ uint16) (nest int) { return e.begin(typ | FlagNested) }

// End closes the nest that Begin opened.
func (e *Encoder) End(nest int) {
	if e.err != nil {
		return
	}
	if e.nests--; e.nests < 0 || nest < 0 || nest > len(e.buf)-headerLen {
		e.err = &Error{Err: fmt.Errorf("%w: the end of a nest that was not begun", ErrMalformed)}
		return
	}
	n := len(e.buf) - nest
	if n > maxLen {
		e.fail(binary.NativeEndian.Uint16(e.buf[nest+2:])&typeMask,
			fmt.Errorf("%w: a nest of %d", ErrTooLong, n-headerLen))
		return
	}
	binary.NativeEndian.PutUint16(e.buf[nest:], uint16(n))
}

func (e *Encoder) begin(typ uint16) int {
	nest := len(e.buf)
	e.nests++
	e.Flag(typ)
	return nest
}

// fail records the first error.
func (e *Encoder) fail(typ uint16, err error) {
	if e.err == nil {
		e.err = &Error{Path: []uint16{typ & typeMask}, Err: err}
	}
}

// grow appends the header of an attribute and n bytes for the caller to fill,
// with zeros up to the next multiple of 4, and returns the payload; nil, after
// an error has been recorded or once one has.
func (e *Encoder) grow(typ uint16, n int) []byte {
	if n > MaxPayload {
		e.fail(typ, fmt.Errorf("%w: %d", ErrTooLong, n))
	}
	if e.err != nil {
		return nil
	}
	start := len(e.buf)
	size := align(headerLen + n)
	if cap(e.buf)-start >= size {
		e.buf = e.buf[:start+size]
		clear(e.buf[start+size-alignTo:]) // the padding, were the buffer used before
	} else {
		e.buf = append(e.buf, make([]byte, size)...)
	}
	putHeader(e.buf[start:], headerLen+n, typ)
	return e.buf[start+headerLen : start+headerLen+n : start+headerLen+n]
}

func putHeader(b []byte, n int, typ uint16) {
	_ = b[3]
	binary.NativeEndian.PutUint16(b, uint16(n))
	binary.NativeEndian.PutUint16(b[2:], typ)
}

func align(n int) int { return (n + alignTo - 1) &^ (alignTo - 1) }
