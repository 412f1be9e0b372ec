package gnltest

import (
	"bytes"
	"encoding/binary"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/internal/unix"
	"github.com/gnlgo/gnl/netlink"
)

// validator checks attributes against policies, as lib/nlattr.c does: in the
// same order, with the same words.
type validator struct {
	strict  bool
	base    int    // where the attributes begin in the message
	warning string // what is said about what is let pass
}

// maxPolicyDepth is MAX_POLICY_RECURSION_DEPTH.
const maxPolicyDepth = 10

// list checks a list of attributes that begins at an offset from base
// (__nla_validate_parse).
func (v *validator) list(b []byte, at int, p *policy, depth int) error {
	if depth >= maxPolicyDepth {
		return &netlink.Error{Errno: unix.EINVAL, Message: "allowed policy recursion depth exceeded"}
	}
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			break
		}
		raw := attr.Raw{Type: binary.NativeEndian.Uint16(b[2:]), Payload: b[4:n]}
		number := int(raw.Number())
		if number == 0 || number >= len(p.attributes) {
			if v.strict {
				return v.refuse(unix.EINVAL, "Unknown attribute type", at, nil)
			}
		} else if err := v.attribute(raw, at, &p.attributes[number], depth); err != nil {
			return err
		}
		step := min(align(n), len(b))
		b, at = b[step:], at+step
	}
	if len(b) == 0 {
		return nil
	}
	v.warning = "bytes leftover after parsing attributes"
	if v.strict {
		return &netlink.Error{Errno: unix.EINVAL, Message: v.warning}
	}
	return nil
}

// refuse names the attribute at an offset, and the policy that it broke, if the
// kernel does.
func (v *validator) refuse(errno netlink.Errno, words string, at int, broken *attribute) error {
	e := &netlink.Error{Errno: errno, Message: words, Offset: v.base + at}
	if broken != nil && broken.Type != gnl.TypeInvalid {
		var d attr.Encoder
		broken.describe(&d, nil)
		e.Policy, _ = d.Finish()
	}
	return e
}

const (
	badLength = "invalid attribute length"
	badValue  = "Attribute failed policy validation"
)

// attribute checks one (validate_nla).
func (v *validator) attribute(raw attr.Raw, at int, a *attribute, depth int) error {
	n := len(raw.Payload)
	size := fixedSize(a.Type)
	nest := a.Type == gnl.TypeNested || a.Type == gnl.TypeNestedArray
	flagged := raw.Type&attr.FlagNested != 0
	switch {
	case v.strict && size != 0 && n != size:
		return v.refuse(unix.EINVAL, badLength, at, a)
	case v.strict && nest && !flagged:
		return v.refuse(unix.EINVAL, "NLA_F_NESTED is missing", at, a)
	case v.strict && !nest && flagged && (a.Type != gnl.TypeInvalid || a.reject):
		return v.refuse(unix.EINVAL, "NLA_F_NESTED not expected", at, a)
	case a.reject:
		return v.refuse(unix.EINVAL, badValue, at, nil)
	case nest && n == 0:
		return nil
	case nest && n < 4:
		return v.refuse(unix.ERANGE, badValue, at, a)
	}
	switch a.Type {
	case gnl.TypeInvalid:
		if v.strict {
			return v.refuse(unix.EINVAL, "Unsupported attribute", at, nil)
		}
		return nil
	case gnl.TypeFlag:
		if n > 0 {
			return v.refuse(unix.ERANGE, badValue, at, a)
		}
	case gnl.TypeSint, gnl.TypeUint:
		if n != 4 && n != 8 {
			return v.refuse(unix.EINVAL, badLength, at, a)
		}
	case gnl.TypeBitfield32:
		return v.bitfield32(raw.Payload, at, a)
	case gnl.TypeNulString, gnl.TypeString:
		return v.text(raw.Payload, at, a)
	case gnl.TypeBinary:
		return v.binary(n, at, a)
	case gnl.TypeNested:
		if a.nested != nil {
			return v.list(raw.Payload, at+4, a.nested, depth+1)
		}
	case gnl.TypeNestedArray:
		if a.nested != nil {
			return v.array(raw.Payload, at+4, a, depth)
		}
	default:
		if n < size {
			return v.refuse(unix.ERANGE, badValue, at, a)
		}
	}
	return v.number(raw.Payload, at, a)
}

// fixedSize is that of a type whose payload must have it, 0 for others
// (nla_attr_len).
func fixedSize(t gnl.AttributeType) int {
	switch t {
	case gnl.TypeU8, gnl.TypeS8:
		return 1
	case gnl.TypeU16, gnl.TypeS16:
		return 2
	case gnl.TypeU32, gnl.TypeS32:
		return 4
	case gnl.TypeU64, gnl.TypeS64:
		return 8
	}
	return 0
}

// array checks the nests of a NLA_NESTED_ARRAY (nla_validate_array).
func (v *validator) array(b []byte, at int, a *attribute, depth int) error {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			break
		}
		if n > 4 {
			if n < 8 {
				return v.refuse(unix.ERANGE, "Array element too short", at, nil)
			}
			if err := v.list(b[4:n], at+4, a.nested, depth+1); err != nil {
				return err
			}
		}
		step := min(align(n), len(b))
		b, at = b[step:], at+step
	}
	return nil
}

// bitfield32 is validate_nla_bitfield32.
func (v *validator) bitfield32(b []byte, at int, a *attribute) error {
	if len(b) != 8 {
		return v.refuse(unix.ERANGE, badValue, at, a)
	}
	value, selector, valid := binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[4:]), uint32(a.Mask.Value)
	if value&^valid != 0 || selector&^valid != 0 || value&^selector != 0 {
		return v.refuse(unix.EINVAL, badValue, at, a)
	}
	return nil
}

// text checks strings.
func (v *validator) text(b []byte, at int, a *attribute) error {
	n := len(b)
	limit := int(a.MaxLength.Value)
	if a.Type == gnl.TypeNulString {
		head := b
		if limit > 0 {
			head = b[:min(n, limit+1)]
		}
		if bytes.IndexByte(head, 0) < 0 {
			return v.refuse(unix.EINVAL, badValue, at, a)
		}
	}
	if n < 1 {
		return v.refuse(unix.ERANGE, badValue, at, a)
	}
	if limit > 0 {
		if b[n-1] == 0 {
			n--
		}
		if n > limit {
			return v.refuse(unix.ERANGE, badValue, at, a)
		}
	}
	return nil
}

// binary checks the length of binary data: given from and to, it is
// NLA_POLICY_RANGE, if both are the same NLA_POLICY_EXACT_LEN.
func (v *validator) binary(n, at int, a *attribute) error {
	least, most := int(a.MinLength.Value), int(a.MaxLength.Value)
	switch {
	case !a.MinLength.Given && a.MaxLength.Given && n > most:
		return v.refuse(unix.ERANGE, badValue, at, a)
	case a.MinLength.Given && a.MaxLength.Given && least == most && n > most:
		if v.strict {
			return v.refuse(unix.EINVAL, badLength, at, a)
		}
	case a.MinLength.Given && (n < least || a.MaxLength.Given && n > most):
		return v.refuse(unix.ERANGE, "binary attribute size out of range", at, a)
	}
	return nil
}

// number checks bounds and mask (nla_validate_int_range, nla_validate_mask).
func (v *validator) number(b []byte, at int, a *attribute) error {
	if _, _, ok := bounds(a.Type); !ok || !a.Min.Given && !a.Max.Given && !a.Mask.Given {
		return nil
	}
	if signed(a.Type) {
		value := signedValue(b, a.Type)
		low, lowOK := a.Min.Value.Int64()
		high, highOK := a.Max.Value.Int64()
		if a.Min.Given && lowOK && value < low || a.Max.Given && highOK && value > high {
			return v.refuse(unix.ERANGE, "integer out of range", at, a)
		}
		return nil
	}
	value := unsignedValue(b, a.Type)
	if a.Mask.Given {
		if value&^a.Mask.Value != 0 {
			return v.refuse(unix.EINVAL, "reserved bit set", at, nil)
		}
		return nil
	}
	low, _ := a.Min.Value.Uint64()
	high, _ := a.Max.Value.Uint64()
	if a.Min.Given && value < low || a.Max.Given && value > high {
		return v.refuse(unix.ERANGE, "integer out of range", at, a)
	}
	return nil
}

// unsignedValue reads a number, which may have a longer payload than it needs.
func unsignedValue(b []byte, t gnl.AttributeType) uint64 {
	n := fixedSize(t)
	if n == 0 {
		n = len(b) // 4 or 8
	}
	switch n {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.NativeEndian.Uint16(b))
	case 4:
		return uint64(binary.NativeEndian.Uint32(b))
	}
	return binary.NativeEndian.Uint64(b)
}

func signedValue(b []byte, t gnl.AttributeType) int64 {
	n := fixedSize(t)
	if n == 0 {
		n = len(b)
	}
	shift := 64 - 8*n
	return int64(unsignedValue(b, t)<<shift) >> shift
}
