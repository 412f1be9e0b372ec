package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/gnlgo/gnl"
	"golang.org/x/sys/unix"
)

// newRaw is the floor: requests made beforehand, in sends of 64 KiB of which only the last request asks for an ack, and
// answers of which nothing is looked at but where they end. What it takes is what the kernel takes.
func newRaw(s scene) (*implementation, error) {
	g, err := gnl.Open(nil)
	if err != nil {
		return nil, err
	}
	defer g.Close()
	family, err := g.Family(context.Background(), "IPVS")
	if err != nil {
		return nil, err
	}
	r := &raw{family: family.ID, buffer: make([]byte, 32<<10)}
	if r.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC); err != nil {
		return nil, err
	}
	if err := unix.Bind(r.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}

	var sends [][]byte
	const full = 64 << 10
	var last int // where the last request of the last send begins
	seal := func() {
		send := sends[len(sends)-1]
		flags := send[last+6:]
		binary.NativeEndian.PutUint16(flags, binary.NativeEndian.Uint16(flags)|unix.NLM_F_ACK)
	}
	add := func(message []byte) {
		if n := len(sends); n > 0 && len(sends[n-1])+len(message) > full {
			seal()
			sends = append(sends, nil)
		} else if n == 0 {
			sends = append(sends, nil)
		}
		last = len(sends[len(sends)-1])
		sends[len(sends)-1] = append(sends[len(sends)-1], message...)
	}
	lists := [][]byte{r.message(cmdGetService, unix.NLM_F_DUMP, nil)}
	for i := range s.Services {
		key := serviceKey(s.service(i))
		whole := attribute(key, svcSchedName, append([]byte(scheduler), 0))
		whole = attribute(whole, svcFlags, native32(0, ^uint32(0)))
		whole = attribute(whole, svcTimeout, native32(0))
		whole = attribute(whole, svcNetmask, native32(^uint32(0)))
		add(r.message(cmdNewService, 0, attribute(nil, attrService, whole)))
		lists = append(lists, r.message(cmdGetDest, unix.NLM_F_DUMP, attribute(nil, attrService, key)))
		for j := range s.Each {
			message := attribute(nil, attrService, key)
			message = attribute(message, attrDest, destination(s.destination(i, j), uint32(s.weight(j))))
			add(r.message(cmdNewDest, 0, message))
		}
	}
	seal()
	return &implementation{
		add: func() error {
			for _, send := range sends {
				if _, err := r.exchange(send); err != nil {
					return err
				}
			}
			return nil
		},
		list: func() (services, destinations int, err error) {
			services, err = r.exchange(lists[0])
			for _, request := range lists[1:] {
				if err == nil {
					var n int
					n, err = r.exchange(request)
					destinations += n
				}
			}
			return services, destinations, err
		},
	}, nil
}

type raw struct {
	fd     int
	family uint16
	buffer []byte
}

// exchange sends requests and takes what comes until the end: of a dump, or of a send. It returns how many answers there
// were.
func (r *raw) exchange(requests []byte) (answers int, err error) {
	// write and read, since what makes them of a socket's address allocates.
	if _, err := unix.Write(r.fd, requests); err != nil {
		return 0, err
	}
	for {
		n, err := unix.Read(r.fd, r.buffer)
		if err != nil {
			return answers, err
		}
		for b := r.buffer[:n]; len(b) >= unix.NLMSG_HDRLEN; {
			length := int(binary.NativeEndian.Uint32(b))
			if length < unix.NLMSG_HDRLEN || length > len(b) {
				return answers, errors.New("a message is longer than its datagram")
			}
			switch binary.NativeEndian.Uint16(b[4:]) {
			case unix.NLMSG_DONE:
				return answers, nil
			case unix.NLMSG_ERROR:
				if errno := int32(binary.NativeEndian.Uint32(b[unix.NLMSG_HDRLEN:])); errno != 0 {
					return answers, fmt.Errorf("the kernel refuses a request: %w", unix.Errno(-errno))
				}
				return answers, nil
			}
			answers++
			b = b[min(aligned(length), len(b)):]
		}
	}
}

// The numbers of include/uapi/linux/ip_vs.h that x/sys does not have.
const (
	cmdNewService = 1
	cmdGetService = 4
	cmdNewDest    = 5
	cmdGetDest    = 8

	attrService = 1
	attrDest    = 2

	svcFamily    = 1
	svcProtocol  = 2
	svcAddress   = 3
	svcPort      = 4
	svcSchedName = 6
	svcFlags     = 7
	svcTimeout   = 8
	svcNetmask   = 9

	destAddress        = 1
	destPort           = 2
	destMethod         = 3
	destWeight         = 4
	destUpperThreshold = 5
	destLowerThreshold = 6
	destFamily         = 11
)

func serviceKey(a netip.Addr) []byte {
	key := attribute(nil, svcFamily, native16(unix.AF_INET))
	key = attribute(key, svcProtocol, native16(unix.IPPROTO_TCP))
	key = attribute(key, svcAddress, a.AsSlice())
	return attribute(key, svcPort, binary.BigEndian.AppendUint16(nil, servicePort))
}

func destination(a netip.Addr, weight uint32) []byte {
	d := attribute(nil, destAddress, a.AsSlice())
	d = attribute(d, destPort, binary.BigEndian.AppendUint16(nil, destinationPort))
	d = attribute(d, destMethod, native32(0))
	d = attribute(d, destWeight, native32(weight))
	d = attribute(d, destUpperThreshold, native32(0))
	d = attribute(d, destLowerThreshold, native32(0))
	return attribute(d, destFamily, native16(unix.AF_INET))
}

// message is a request with the headers of netlink and generic netlink.
func (r *raw) message(command byte, flags uint16, attributes []byte) []byte {
	const headers = unix.NLMSG_HDRLEN + unix.GENL_HDRLEN
	b := binary.NativeEndian.AppendUint32(nil, uint32(headers+len(attributes)))
	b = binary.NativeEndian.AppendUint16(b, r.family)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|flags)
	b = append(b, make([]byte, 8)...) // sequence and port
	b = append(b, command, 1, 0, 0)
	return append(b, attributes...)
}

// attribute appends an attribute and its padding to a copy of b.
func attribute(b []byte, number uint16, value []byte) []byte {
	const header = 4
	length := header + len(value)
	b = append(make([]byte, 0, len(b)+aligned(length)), b...)
	b = binary.NativeEndian.AppendUint16(b, uint16(length))
	b = binary.NativeEndian.AppendUint16(b, number)
	b = append(b, value...)
	return append(b, make([]byte, aligned(length)-length)...)
}

func aligned(n int) int { return (n + 3) &^ 3 }

func native16(v uint16) []byte { return binary.NativeEndian.AppendUint16(nil, v) }

func native32(vs ...uint32) (b []byte) {
	for _, v := range vs {
		b = binary.NativeEndian.AppendUint32(b, v)
	}
	return b
}
