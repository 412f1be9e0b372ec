package main

import (
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"unsafe"

	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// What the Go workers need from the kernel before the clock starts. It is done with mdlayher's packages.

const (
	batchSize  = 64        // requests in one send
	eventCount = 500       // notifications drained at once
	goroutines = 64        // in the parallel row
	devices    = 2001      // in the crowded namespace: lo and 1,000 pairs
	bufferSize = 8 << 20   // receives eventCount notifications
	datagram   = 32 << 10  // the largest that the kernel sends in a dump
	ethtool    = "ethtool" // the family that most rows ask
)

// resolve asks for a family.
func resolve(name string) (genetlink.Family, error) {
	c, err := genetlink.Dial(nil)
	if err != nil {
		return genetlink.Family{}, err
	}
	defer c.Close()
	return c.GetFamily(name)
}

// monitorGroup is the id of ethtool's group of notifications.
func monitorGroup() (uint32, error) {
	f, err := resolve(ethtool)
	if err != nil {
		return 0, err
	}
	for _, g := range f.Groups {
		if g.Name == "monitor" {
			return g.ID, nil
		}
	}
	return 0, errors.New("ethtool has no group monitor")
}

// producer holds a socket and eventCount ready-made requests.
type producer struct {
	fd       int
	kernel   unix.RawSockaddrNetlink
	requests []byte
	answer   [256]byte
}

// newProducer prepares the cheapest notification there is: receive offload of lo, off and on again and again. All the
// requests go out in one send. No ack is asked for, so an answer is an error.
var newProducer = sync.OnceValues(func() (*producer, error) {
	f, err := resolve(ethtool)
	if err != nil {
		return nil, err
	}
	p := &producer{kernel: unix.RawSockaddrNetlink{Family: unix.AF_NETLINK}}
	for i := range eventCount {
		attrs, err := toggle(i%2 == 1)
		if err != nil {
			return nil, err
		}
		data, err := genetlink.Message{Header: genetlink.Header{Command: featuresSet, Version: 1}, Data: attrs}.MarshalBinary()
		if err != nil {
			return nil, err
		}
		header := netlink.Header{Length: uint32(16 + len(data)), Type: netlink.HeaderType(f.ID), Flags: netlink.Request}
		b, err := netlink.Message{Header: header, Data: data}.MarshalBinary()
		if err != nil {
			return nil, err
		}
		p.requests = append(p.requests, b...)
	}
	p.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
	return p, err
})

func toggle(on bool) ([]byte, error) {
	ae := netlink.NewAttributeEncoder()
	ae.Nested(featuresHeader, func(ae *netlink.AttributeEncoder) error {
		ae.Uint32(headerDevIndex, 1)
		ae.Uint32(headerFlags, flagCompactBitsets|flagOmitReply)
		return nil
	})
	ae.Nested(featuresWanted, func(ae *netlink.AttributeEncoder) error {
		ae.Nested(bitsetBits, func(ae *netlink.AttributeEncoder) error {
			const bit, name, value = 1, 2, 3
			ae.Nested(bit, func(ae *netlink.AttributeEncoder) error {
				ae.String(name, "rx-gro")
				ae.Flag(value, on)
				return nil
			})
			return nil
		})
		return nil
	})
	return ae.Encode()
}

// produce makes the kernel send eventCount notifications to ethtool's group.
func produce() error {
	p, err := newProducer()
	if err != nil {
		return err
	}
	// The raw call: the scheduler would take a goroutine that is in the kernel for so long off its thread, and what is
	// measured next would begin on the other processor, far from the notifications.
	_, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(p.fd), uintptr(unsafe.Pointer(unsafe.SliceData(p.requests))),
		uintptr(len(p.requests)), 0, uintptr(unsafe.Pointer(&p.kernel)), unix.SizeofSockaddrNetlink)
	if e != 0 {
		return e
	}
	if _, _, err := unix.Recvfrom(p.fd, p.answer[:], unix.MSG_DONTWAIT); err == nil {
		return fmt.Errorf("setting a feature: %w", syscall.Errno(-int32(binary.NativeEndian.Uint32(p.answer[16:]))))
	}
	return nil
}

//go:embed testdata/*.bin
var testdata embed.FS

// recorded answers the attributes of each message in a recording, taken apart beforehand.
func recorded(name string) [][]byte {
	b, err := testdata.ReadFile("testdata/" + name)
	if err != nil {
		panic(err) // it is part of the program
	}
	var attrs [][]byte
	for len(b) >= 20 && binary.NativeEndian.Uint16(b[4:]) != unix.NLMSG_DONE {
		n := binary.NativeEndian.Uint32(b)
		attrs = append(attrs, b[20:n:n])
		b = b[(n+3)&^3:]
	}
	return attrs
}
