package attr

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// Decoder walks a list of attributes:
//
//	d := attr.NewDecoder(b)
//	for d.Next() {
//		switch d.Type() {
//		case 1:
//			id = d.Uint32()
//		case 2:
//			name = d.String()
//		}
//	}
//	return d.Err()
//
// A mistake in the list, or an accessor that does not fit the payload, ends
// the walk: Next then returns false, and Err says what was wrong. It checks
// every bound, and reads no byte outside of the list. Up to three bytes behind
// the last attribute are ignored, as the kernel does.
type Decoder struct {
	data  []byte
	start int // of the current payload
	end   int // of the current payload
	err   error
	bad   bool // the attribute behind the current one has an impossible length
}

// NewDecoder returns a decoder for the attributes in b.
func NewDecoder(b []byte) Decoder { return Decoder{data: b} }

// Next goes to the next attribute and reports whether there is one.
func (d *Decoder) Next() bool {
	// Small enough to be inlined, for speed: Err makes an error of bad.
	at := align(d.end)
	if at > len(d.data)-headerLen {
		return false
	}
	end := at + int(binary.NativeEndian.Uint16(d.data[at:]))
	if d.bad = end < at+headerLen || end > len(d.data); d.bad {
		return false
	}
	d.start, d.end = at+headerLen, end
	return true
}

// badLength describes the attribute at the start of b, whose length is impossible.
func badLength(b []byte) error {
	return fmt.Errorf("%w: attribute %d has length %d, with %d bytes left", ErrMalformed,
		binary.NativeEndian.Uint16(b[2:])&typeMask, binary.NativeEndian.Uint16(b), len(b))
}

// fail records the first error and ends the walk.
func (d *Decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.data, d.start, d.end = nil, 0, 0
}

// Err returns what ended the walk early, or nil.
func (d *Decoder) Err() error {
	if d.bad && d.err == nil {
		d.err = &Error{Err: badLength(d.data[align(d.end):])}
	}
	return d.err
}

// Type returns the current attribute's number, without flags.
func (d *Decoder) Type() uint16 {
	if d.start == 0 {
		return 0
	}
	return binary.NativeEndian.Uint16(d.data[d.start-2:]) & typeMask
}

// Raw returns the current attribute with its flags. The payload is a view.
func (d *Decoder) Raw() Raw {
	if d.start == 0 {
		return Raw{}
	}
	return Raw{binary.NativeEndian.Uint16(d.data[d.start-2:]), d.Bytes()}
}

// Bytes returns the current payload. It is a view of the list, not a copy.
func (d *Decoder) Bytes() []byte { return d.data[d.start:d.end:d.end] }

// wrong records that the current payload does not have n bytes.
func (d *Decoder) wrong(n int) {
	d.fail(&Error{Path: []uint16{d.Type()}, Err: wantBytes(n, d.end-d.start)})
}

func wantBytes(want, given int) error {
	return fmt.Errorf("%w: %d bytes wanted, %d given", ErrLength, want, given)
}

// Uint8 returns the current payload as an 8-bit number.
func (d *Decoder) Uint8() uint8 {
	if d.end-d.start != 1 {
		d.wrong(1)
		return 0
	}
	return d.data[d.start]
}

// Uint16 returns the current payload as a 16-bit number.
func (d *Decoder) Uint16() uint16 {
	if d.end-d.start != 2 {
		d.wrong(2)
		return 0
	}
	return binary.NativeEndian.Uint16(d.data[d.start:])
}

// Uint32 returns the current payload as a 32-bit number.
func (d *Decoder) Uint32() uint32 {
	if d.end-d.start != 4 {
		d.wrong(4)
		return 0
	}
	return binary.NativeEndian.Uint32(d.data[d.start:])
}

// Uint64 returns the current payload as a 64-bit number.
func (d *Decoder) Uint64() uint64 {
	if d.end-d.start != 8 {
		d.wrong(8)
		return 0
	}
	return binary.NativeEndian.Uint64(d.data[d.start:])
}

// Int8 returns the current payload as a signed 8-bit number.
func (d *Decoder) Int8() int8 { return int8(d.Uint8()) }

// Int16 returns the current payload as a signed 16-bit number.
func (d *Decoder) Int16() int16 { return int16(d.Uint16()) }

// Int32 returns the current payload as a signed 32-bit number.
func (d *Decoder) Int32() int32 { return int32(d.Uint32()) }

// Int64 returns the current payload as a signed 64-bit number.
func (d *Decoder) Int64() int64 { return int64(d.Uint64()) }

// Uint returns the current payload of 4 or 8 bytes as an unsigned number (NLA_UINT).
func (d *Decoder) Uint() uint64 {
	switch d.end - d.start {
	case 4:
		return uint64(d.Uint32())
	case 8:
		return d.Uint64()
	}
	d.wrongAuto()
	return 0
}

// Int returns the current payload of 4 or 8 bytes as a signed number (NLA_SINT).
func (d *Decoder) Int() int64 {
	switch d.end - d.start {
	case 4:
		return int64(d.Int32())
	case 8:
		return d.Int64()
	}
	d.wrongAuto()
	return 0
}

// wrongAuto records that the current payload has neither 4 nor 8 bytes.
func (d *Decoder) wrongAuto() {
	d.fail(&Error{Path: []uint16{d.Type()}, Err: badAuto(d.end - d.start)})
}

// BigEndianUint16 returns the current payload as a 16-bit number in network byte order.
func (d *Decoder) BigEndianUint16() uint16 {
	if d.end-d.start != 2 {
		d.wrong(2)
		return 0
	}
	return binary.BigEndian.Uint16(d.data[d.start:])
}

// BigEndianUint32 returns the current payload as a 32-bit number in network byte order.
func (d *Decoder) BigEndianUint32() uint32 {
	if d.end-d.start != 4 {
		d.wrong(4)
		return 0
	}
	return binary.BigEndian.Uint32(d.data[d.start:])
}

// BigEndianUint64 returns the current payload as a 64-bit number in network byte order.
func (d *Decoder) BigEndianUint64() uint64 {
	if d.end-d.start != 8 {
		d.wrong(8)
		return 0
	}
	return binary.BigEndian.Uint64(d.data[d.start:])
}

// String returns a copy of the current payload without the NULs that end it;
// there need not be any.
func (d *Decoder) String() string { return string(trimNUL(d.Bytes())) }

// Addr returns the current payload of 4 or 16 bytes as an IP address.
func (d *Decoder) Addr() netip.Addr {
	a, ok := netip.AddrFromSlice(d.Bytes())
	if !ok {
		d.fail(&Error{Path: []uint16{d.Type()}, Err: badAddr(d.end - d.start)})
	}
	return a
}

func badAddr(given int) error {
	return fmt.Errorf("%w: 4 or 16 bytes of IP address wanted, %d given", ErrLength, given)
}

// Bitfield32 returns the current payload as a value and the bits it speaks of.
func (d *Decoder) Bitfield32() Bitfield32 {
	if d.end-d.start != 8 {
		d.wrong(8)
		return Bitfield32{}
	}
	b := d.data[d.start:]
	return Bitfield32{binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[4:])}
}

// Nested returns a decoder for the attributes inside the current one.
func (d *Decoder) Nested() Decoder { return Decoder{data: d.Bytes()} }

// Find returns the payload of one attribute: the last number of path is its own,
// those before it lead through the nests that it is in, all without flags. The
// payload is a view of b; nil says that there is none. As in [Unmarshal], the last
// one counts where a number stands more than once in a list.
//
// It is for the one thing wanted of a message. A list that has an impossible
// length on the way is an error that wraps [ErrMalformed].
func Find(b []byte, path ...uint16) (payload []byte, err error) {
	for depth, number := range path {
		payload = nil
		for i := 0; i >= 0 && i <= len(b)-headerLen; {
			n := int(binary.NativeEndian.Uint16(b[i : i+2]))
			if n < headerLen || n > len(b)-i {
				return nil, &Error{Path: slices.Clone(path[:depth]), Err: badLength(b[i:])}
			}
			if binary.NativeEndian.Uint16(b[i+2:i+4])&typeMask == number {
				payload = b[i+headerLen : i+n : i+n]
			}
			i += align(n)
		}
		b = payload
	}
	return payload, nil
}

func trimNUL(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}
