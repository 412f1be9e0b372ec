package attr_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/gnlgo/gnl/attr"
)

// A list with a nest, attribute by attribute.
func ExampleEncoder() {
	e := attr.NewEncoder(make([]byte, 0, 64))
	e.Uint16(1, 2)
	dest := e.Begin(2)
	e.Addr(1, netip.MustParseAddr("192.0.2.1"))
	e.BigEndianUint16(2, 80)
	e.End(dest)
	b, err := e.Finish()
	fmt.Println(len(b), err)
	// Output: 28 <nil>
}

// The nest is walked by a decoder of its own, whose error counts as well.
func ExampleDecoder() {
	var e attr.Encoder
	e.String(1, "lo")
	nest := e.Begin(2)
	e.Uint32(1, 65536)
	e.End(nest)
	b, _ := e.Finish()

	decode := func() (name string, mtu uint32, err error) {
		d := attr.NewDecoder(b)
		for d.Next() {
			switch d.Type() {
			case 1:
				name = d.String()
			case 2:
				link := d.Nested()
				for link.Next() {
					if link.Type() == 1 {
						mtu = link.Uint32()
					}
				}
				if err := link.Err(); err != nil {
					return "", 0, err
				}
			}
		}
		return name, mtu, d.Err()
	}
	fmt.Println(decode())
	// Output: lo 65536 <nil>
}

// One attribute is all that is wanted: number 1 in the nest with number 2.
func ExampleFind() {
	var e attr.Encoder
	e.String(1, "lo")
	nest := e.Begin(2)
	e.Uint32(1, 65536)
	e.End(nest)
	b, _ := e.Finish()

	mtu, err := attr.Find(b, 2, 1)
	if err != nil || len(mtu) != 4 {
		fmt.Println("no MTU", err)
		return
	}
	fmt.Println(binary.NativeEndian.Uint32(mtu))
	// Output: 65536
}

// The same list both ways, declared once.
func ExampleMarshal() {
	type destination struct {
		Addr   netip.Addr `nl:"1"`
		Port   uint16     `nl:"2,be"`
		Weight uint32     `nl:"4,omitzero"`
	}
	type request struct {
		Family  uint16        `nl:"1"`
		Dest    destination   `nl:"2"`
		Timeout time.Duration `nl:"3,unit=s,u32"`
	}
	b, err := attr.Marshal(request{
		Family:  2,
		Dest:    destination{Addr: netip.MustParseAddr("192.0.2.1"), Port: 80},
		Timeout: 5 * time.Minute,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	var back request
	err = attr.Unmarshal(b, &back)
	fmt.Println(len(b), back.Dest.Addr, back.Dest.Port, back.Timeout, err)
	// Output: 36 192.0.2.1 80 5m0s <nil>
}

// A family as the kernel describes it: lists whose entries are numbered from 1.
func ExampleUnmarshal() {
	type command struct {
		ID    uint32 `nl:"1"`
		Flags uint32 `nl:"2"`
	}
	type family struct {
		Name     string     `nl:"2"`
		ID       uint16     `nl:"1"`
		Commands []command  `nl:"6,array=1,noflag"`
		Has      attr.Set   `nl:"given"`
		Rest     []attr.Raw `nl:"unknown"`
	}
	var e attr.Encoder
	e.String(2, "nlctrl")
	e.Uint16(1, 16)
	e.Uint32(3, 2) // no field asks for the version
	list := e.Begin(6)
	for i, id := range []uint32{3, 10} {
		n := e.Begin(uint16(i + 1))
		e.Uint32(1, id)
		e.End(n)
	}
	e.End(list)
	b, _ := e.Finish()

	var f family
	if err := attr.Unmarshal(b, &f); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(f.Name, f.ID, f.Commands)
	fmt.Println(f.Has.Has(6), f.Has.Has(7), f.Rest[0].Number())
	// Output:
	// nlctrl 16 [{3 0} {10 0}]
	// true false 3
}

// An error says which attribute, and which field of which type.
func ExampleError() {
	type service struct {
		Port uint16 `nl:"4,be"`
	}
	type reply struct {
		Service service `nl:"1"`
	}
	var e attr.Encoder
	n := e.Begin(1)
	e.Uint32(4, 80)
	e.End(n)
	b, _ := e.Finish()

	err := attr.Unmarshal(b, new(reply))
	fmt.Println(err)
	fmt.Println(errors.Is(err, attr.ErrLength))
	// Output:
	// attr: attr_test.reply: Service.Port (attribute 1.4): wrong payload length: 2 bytes wanted, 4 given
	// true
}

// A Codec is compiled at a moment of one's own choosing.
func ExampleCodec() {
	type request struct {
		PID  uint32 `nl:"1,omitzero"`
		TGID uint32 `nl:"2,omitzero"`
	}
	codec, err := attr.CodecOf[request]()
	if err != nil {
		fmt.Println(err) // a tag cannot be followed
		return
	}
	buf := make([]byte, 0, 4096) // used again for each request
	for _, pid := range []uint32{1, 4711} {
		b, err := codec.Append(buf, &request{PID: pid})
		if err != nil {
			fmt.Println(err)
			return
		}
		var back request
		if err := codec.Unmarshal(b, &back); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(len(b), back)
	}
	// Output:
	// 8 {1 0}
	// 8 {4711 0}
}

// The kernel objects to the attribute at an offset; which one is it?
func ExampleLocate() {
	type destination struct {
		Addr   netip.Addr `nl:"1"`
		Weight uint32     `nl:"4"`
	}
	type request struct {
		Dest destination `nl:"2,name=destination"`
	}
	b, err := attr.Marshal(request{destination{netip.MustParseAddr("192.0.2.1"), 1 << 31}})
	if err != nil {
		fmt.Println(err)
		return
	}
	path, found, ok := attr.Locate(b, 12)
	fmt.Println(attr.FormatPath(path), attr.Name(reflect.TypeFor[request](), path), len(found.Payload), ok)
	// Output: 2.4 destination.weight 4 true
}

// cpuList is text such as "0-3,7" on the wire.
type cpuList []int

// AppendBinary implements [encoding.BinaryAppender].
func (l cpuList) AppendBinary(b []byte) ([]byte, error) {
	for i, cpu := range l {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Append(b, cpu)
	}
	return append(b, 0), nil
}

// UnmarshalBinary implements [encoding.BinaryUnmarshaler].
func (l *cpuList) UnmarshalBinary(b []byte) error {
	*l = (*l)[:0]
	for part := range strings.SplitSeq(strings.TrimRight(string(b), "\x00"), ",") {
		var cpu int
		if _, err := fmt.Sscan(part, &cpu); err != nil {
			return err
		}
		*l = append(*l, cpu)
	}
	return nil
}

// A type with methods of its own makes what it likes of a payload.
func Example_ownMethods() {
	type register struct {
		CPUs cpuList `nl:"3"`
	}
	b, err := attr.Marshal(register{cpuList{0, 1, 7}})
	if err != nil {
		fmt.Println(err)
		return
	}
	var back register
	err = attr.Unmarshal(b, &back)
	fmt.Printf("%q %v %v\n", b[4:4+6], back.CPUs, err)
	// Output: "0,1,7\x00" [0 1 7] <nil>
}

// Fixed C structs are copied as they are: padding is spelled out, and numbers
// in network byte order are marked.
func Example_fixedStruct() {
	type endpoint struct {
		Port uint16 `nl:"be"`
		_    [2]byte
		Host uint32 `nl:"be"`
	}
	type request struct {
		From endpoint   `nl:"1,struct"`
		To   []endpoint `nl:"2,packed"`
	}
	b, err := attr.Marshal(request{endpoint{Port: 80, Host: 0x7f000001}, []endpoint{{Port: 443}, {Port: 8443}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("% x\n", b[4:12])
	fmt.Println(binary.NativeEndian.Uint16(b[12:])) // the length of attribute 2
	// Output:
	// 00 50 00 00 7f 00 00 01
	// 20
}
