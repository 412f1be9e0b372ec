package attr

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"unsafe"
)

// layout is a fixed binary form: what C lays out without pointers. The Go type
// has the same bytes in memory, padding spelled out by blank fields, so that
// native numbers are copied as they are; big-endian ones are swapped in place.
type layout struct {
	size uintptr
	swap []swap // the numbers stored big-endian
}

// swap is a number whose bytes stand in network order on the wire.
type swap struct{ off, size uintptr }

// fixedLayout checks that t can be copied to and from the wire. In a struct,
// single fields are marked big-endian with the tag `nl:"be"`.
func fixedLayout(t reflect.Type, bigEndian bool) (*layout, error) {
	l := &layout{size: t.Size()}
	return l, l.add(t, 0, bigEndian)
}

func (l *layout) add(t reflect.Type, off uintptr, bigEndian bool) error {
	switch t.Kind() {
	case reflect.Uint8, reflect.Int8:
	case reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Int16, reflect.Int32, reflect.Int64:
		if bigEndian {
			l.swap = append(l.swap, swap{off, t.Size()})
		}
	case reflect.Array:
		for i := range t.Len() {
			if err := l.add(t.Elem(), off+uintptr(i)*t.Elem().Size(), bigEndian); err != nil {
				return err
			}
		}
	case reflect.Struct:
		end := uintptr(0)
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Offset != end {
				return fmt.Errorf("%s: %d bytes of padding before %s: write them as a field `_ [%d]byte`", t, f.Offset-end, f.Name, f.Offset-end)
			}
			if f.Name != "_" && !f.IsExported() {
				return fmt.Errorf("%s: field %s is not exported", t, f.Name)
			}
			if err := l.add(f.Type, off+f.Offset, bigEndian || f.Tag.Get("nl") == "be"); err != nil {
				return err
			}
			end = f.Offset + f.Type.Size()
		}
		if end != t.Size() {
			return fmt.Errorf("%s: %d bytes of padding at its end: write them as a field `_ [%d]byte`", t, t.Size()-end, t.Size()-end)
		}
	default:
		return fmt.Errorf("a %s has no fixed binary form", t)
	}
	return nil
}

// load copies one value from the wire; src has at least l.size bytes.
func (l *layout) load(dst unsafe.Pointer, src []byte) {
	mem := unsafe.Slice((*byte)(dst), l.size)
	copy(mem, src)
	l.toNative(mem)
}

// store copies one value to the wire; dst has at least l.size bytes.
func (l *layout) store(dst []byte, src unsafe.Pointer) {
	copy(dst, unsafe.Slice((*byte)(src), l.size))
	l.toNative(dst) // swapping is its own inverse
}

func (l *layout) toNative(b []byte) {
	for _, s := range l.swap {
		switch p := b[s.off:]; s.size {
		case 2:
			binary.NativeEndian.PutUint16(p, binary.BigEndian.Uint16(p))
		case 4:
			binary.NativeEndian.PutUint32(p, binary.BigEndian.Uint32(p))
		case 8:
			binary.NativeEndian.PutUint64(p, binary.BigEndian.Uint64(p))
		}
	}
}
