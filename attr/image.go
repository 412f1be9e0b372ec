package attr

import (
	"encoding/binary"
	"slices"
	"unsafe"
)

// value is a number in a plan's image.
type value struct {
	at   uint32 // in the image
	off  uint32 // of the field
	kind kind
}

// planImage makes the image of a struct that is numbers only, or nests of such.
func (p *plan) planImage() {
	if p.unknown >= 0 || p.header != nil {
		return
	}
	var image []byte
	var values []value
	depth := 0
	for _, f := range p.fields {
		at := len(image)
		switch {
		case f.omitZero:
			return
		case f.kind >= kind8 && f.kind <= kind64BE:
			image = append(image, make([]byte, align(headerLen+int(f.size)))...)
			putHeader(image[at:], headerLen+int(f.size), f.typ)
			values = append(values, value{uint32(at + headerLen), uint32(f.off), f.kind})
		case f.kind == kindNest && f.sub.image != nil && f.sub.imageDepth < MaxDepth && headerLen+len(f.sub.image) <= maxLen:
			depth = max(depth, f.sub.imageDepth+1)
			image = append(append(image, 0, 0, 0, 0), f.sub.image...)
			putHeader(image[at:], len(image)-at, f.typ|f.flags)
			for _, v := range f.sub.values {
				values = append(values, value{uint32(at+headerLen) + v.at, uint32(f.off) + v.off, v.kind})
			}
		default:
			return
		}
	}
	p.image, p.imageDepth, p.values = image, depth, values
}

// Image returns what every value of T is encoded to, but for the numbers, which
// [Codec.Fill] puts into a copy: together they are [Codec.Append] for small
// requests that are made again and again. It is nil unless T is made of numbers
// that are always there, and of nests of such. A string, a flag, a pointer, a
// field with omitzero, a type with an AppendBinary of its own: none of these has
// an image.
func (c Codec[T]) Image() []byte {
	if c.p.methods.appends {
		return nil
	}
	return slices.Clone(c.p.image)
}

// Fill puts the numbers of v, which is not nil, into b, which begins with a copy
// of the [Codec.Image]. It is for types that have one.
func (c Codec[T]) Fill(b []byte, v *T) {
	base := unsafe.Pointer(v)
	for _, n := range c.p.values {
		src, dst := unsafe.Add(base, n.off), b[n.at:]
		if n.kind == kind32 { // nearly all are
			binary.NativeEndian.PutUint32(dst, *(*uint32)(src))
			continue
		}
		switch n.kind {
		case kind8:
			dst[0] = *(*uint8)(src)
		case kind16:
			binary.NativeEndian.PutUint16(dst, *(*uint16)(src))
		case kind64:
			binary.NativeEndian.PutUint64(dst, *(*uint64)(src))
		case kind16BE:
			binary.BigEndian.PutUint16(dst, *(*uint16)(src))
		case kind32BE:
			binary.BigEndian.PutUint32(dst, *(*uint32)(src))
		case kind64BE:
			binary.BigEndian.PutUint64(dst, *(*uint64)(src))
		}
	}
}
