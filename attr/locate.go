package attr

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"strings"
)

// Locate finds the attribute whose header begins offset bytes into the list b,
// descending into nests, and returns the numbers that lead to it. The kernel
// names the attribute that it objects to by such an offset
// (NLMSGERR_ATTR_OFFS, counted from the message's header).
func Locate(b []byte, offset int) (path []uint16, found Raw, ok bool) {
	for offset >= 0 && len(b) >= headerLen {
		n := int(binary.NativeEndian.Uint16(b))
		if n < headerLen || n > len(b) {
			break
		}
		raw := Raw{binary.NativeEndian.Uint16(b[2:]), b[headerLen:n:n]}
		switch {
		case offset == 0:
			return append(path, raw.Number()), raw, true
		case offset < n:
			path = append(path, raw.Number())
			b, offset = raw.Payload, offset-headerLen
		default:
			skip := min(align(n), len(b))
			b, offset = b[skip:], offset-skip
		}
	}
	return nil, Raw{}, false
}

// Name returns what the attribute at path is called in struct type t, as
// "service.addr" or "ops[2].flags": the name given by a tag's name option, else
// the Go field's, in lower case with hyphens. Where the type does not go on,
// numbers do; for a path that it does not know at all the name is "".
func Name(t reflect.Type, path []uint16) string {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil {
		return ""
	}
	p, err := planFor(t)
	if err != nil || len(path) == 0 || p.field(path[0]) == nil {
		return ""
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		var f *field
		if p != nil {
			f = p.field(path[i])
		}
		if i > 0 {
			b.WriteByte('.')
		}
		if f == nil {
			fmt.Fprint(&b, path[i])
			p = nil
			continue
		}
		b.WriteString(f.wireName)
		for f.elem != nil && f.kind != kindKeyed { // into pointers, repetitions, and entries with their index
			if f.kind == kindArray || f.kind == kindMap {
				if i++; i == len(path) {
					return b.String()
				}
				fmt.Fprintf(&b, "[%d]", path[i])
			}
			f = f.elem
		}
		if f.kind == kindKeyed {
			if i++; i == len(path) {
				return b.String()
			}
			fmt.Fprintf(&b, "[%d]", path[i])
		}
		p = f.sub
	}
	return b.String()
}

// field returns the field of attribute number n, or nil.
func (p *plan) field(n uint16) *field {
	if int(n) >= len(p.entries) || p.entries[n].field == 0 {
		return nil
	}
	return &p.fields[p.entries[n].field-1]
}
