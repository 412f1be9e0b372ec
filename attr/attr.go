package attr

import (
	"errors"
	"fmt"
	"strings"
)

// The two high bits of an attribute's type are flags (NLA_F_* in
// include/uapi/linux/netlink.h); the rest is its number.
const (
	FlagNested       = 1 << 15 // the payload is a list of attributes
	FlagNetByteOrder = 1 << 14 // the payload is big-endian
	typeMask         = 0x3fff
)

const (
	headerLen = 4     // struct nlattr: length u16, type u16
	alignTo   = 4     // NLA_ALIGNTO: every attribute starts at a multiple of this
	maxLen    = 65535 // nla_len is 16 bits wide

	// MaxPayload is the largest payload of one attribute in bytes.
	MaxPayload = maxLen - headerLen

	// MaxDepth is how many nests may stand inside one another. The deepest
	// that a Linux family defines is about 10; a list nested deeper than
	// MaxDepth is refused, so that hostile bytes cannot exhaust the stack.
	MaxDepth = 100
)

// What can be wrong with attributes. An [*Error] wraps one of these and says where.
var (
	// ErrMalformed: an attribute's length is below 4 or beyond the end of its list.
	ErrMalformed = errors.New("malformed attribute")
	// ErrLength: a payload does not have the size that its type needs.
	ErrLength = errors.New("wrong payload length")
	// ErrRange: a value does not fit where it should go.
	ErrRange = errors.New("value out of range")
	// ErrTooLong: a payload exceeds [MaxPayload].
	ErrTooLong = errors.New("attribute longer than 65531 bytes")
	// ErrDepth: nests stand deeper inside one another than [MaxDepth].
	ErrDepth = errors.New("attributes nested too deeply")
	// ErrTag: a struct tag cannot be followed.
	ErrTag = errors.New("bad nl tag")
)

// Error says which attribute, and which field of which type, could not be
// encoded or decoded.
type Error struct {
	Type string   // the Go type given, "ipvs.Service"; empty when there is none
	Path []uint16 // attribute numbers from the outermost nest inward; nil at the top
	Name string   // the Go field, "Dest.Weight"; empty when unknown
	Err  error    // wraps one of the Err values of this package, or what a type's own method gave
}

// Error gives for example
// "attr: ipvs.Service: Dest.Weight (attribute 2.4): wrong payload length: 4 bytes wanted, 2 given".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("attr: ")
	if e.Type != "" {
		b.WriteString(e.Type + ": ")
	}
	if e.Name != "" {
		b.WriteString(e.Name)
	}
	if len(e.Path) > 0 {
		if e.Name != "" {
			b.WriteString(" (attribute " + FormatPath(e.Path) + ")")
		} else {
			b.WriteString("attribute " + FormatPath(e.Path))
		}
	}
	if e.Name != "" || len(e.Path) > 0 {
		b.WriteString(": ")
	}
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// within returns err as an *Error one nest further in: below attribute typ,
// field name. It changes a copy: a type's own method may return the same error
// to several goroutines.
func within(err error, typ uint16, name string) error {
	inner, ok := err.(*Error)
	if !ok {
		return &Error{Path: []uint16{typ}, Name: name, Err: err}
	}
	e := &Error{Type: inner.Type, Path: append([]uint16{typ}, inner.Path...), Name: inner.Name, Err: inner.Err}
	if name != "" {
		switch {
		case e.Name == "" || e.Name[0] == '[':
			e.Name = name + e.Name
		default:
			e.Name = name + "." + e.Name
		}
	}
	return e
}

// FormatPath writes attribute numbers as "2.5.1".
func FormatPath(path []uint16) string {
	var b strings.Builder
	for i, n := range path {
		if i > 0 {
			b.WriteByte('.')
		}
		fmt.Fprint(&b, n)
	}
	return b.String()
}

// Raw is one attribute as it stands on the wire.
type Raw struct {
	Type    uint16 // the number, with FlagNested and FlagNetByteOrder where they were set
	Payload []byte
}

// Number is the attribute's number, its type without the flags.
func (r Raw) Number() uint16 { return r.Type & typeMask }

// Set is a set of attribute numbers 0 to 63. A field of this type tagged
// `nl:"given"` receives the numbers of the attributes that a decoded list
// held, which tells an attribute that is absent from one that is zero.
type Set uint64

// Has reports whether attribute number n is in the set.
func (s Set) Has(n uint16) bool { return n < 64 && s&(1<<n) != 0 }

// Bitfield32 is the payload of NLA_BITFIELD32 (struct nla_bitfield32): the
// bits that Selector names have the values in Value, the others are left alone.
type Bitfield32 struct {
	Value    uint32
	Selector uint32
}
