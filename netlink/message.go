package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Netlink protocols (NETLINK_* in include/uapi/linux/netlink.h).
const (
	Route         = 0
	UserSock      = 2
	SockDiag      = 4
	Netfilter     = 12
	KobjectUevent = 15
	Generic       = 16
)

// Message types below MinType are netlink's own (NLMSG_*).
const (
	TypeNoop    = 1
	TypeError   = 2 // an error, or with errno 0 an ack
	TypeDone    = 3 // the end of a dump
	TypeOverrun = 4 // data was lost
	MinType     = 16
)

// Flags are the flags of a message header (NLM_F_*). The meaning of the bits
// from 0x100 up depends on the kind of request.
type Flags uint16

const (
	FlagRequest         Flags = 0x01
	FlagMulti           Flags = 0x02
	FlagAck             Flags = 0x04
	FlagEcho            Flags = 0x08
	FlagDumpInterrupted Flags = 0x10
	FlagDumpFiltered    Flags = 0x20

	// On requests that get.
	FlagRoot   Flags = 0x100
	FlagMatch  Flags = 0x200
	FlagAtomic Flags = 0x400
	FlagDump   Flags = FlagRoot | FlagMatch

	// On requests that make something new.
	FlagReplace   Flags = 0x100
	FlagExclusive Flags = 0x200
	FlagCreate    Flags = 0x400
	FlagAppend    Flags = 0x800

	// On requests that delete.
	FlagNonRecursive Flags = 0x100
	FlagBulk         Flags = 0x200

	// On acks.
	FlagCapped  Flags = 0x100 // the echoed request is cut to its header
	FlagAckTLVs Flags = 0x200 // extended-ack attributes follow
)

// String names the flags that mean the same on every message and gives the
// rest in hex: "request|ack|0x300".
func (f Flags) String() string {
	if f == 0 {
		return "0"
	}
	var s []string
	for i, name := range []string{"request", "multi", "ack", "echo", "dump-interrupted", "dump-filtered"} {
		if f&(1<<i) != 0 {
			s = append(s, name)
			f &^= 1 << i
		}
	}
	if f != 0 {
		s = append(s, fmt.Sprintf("%#x", uint16(f)))
	}
	return strings.Join(s, "|")
}

// HeaderLen is the size of a message header in bytes.
const HeaderLen = 16

// Header is a message header (struct nlmsghdr).
type Header struct {
	Length   uint32 // of the message in bytes, header included
	Type     uint16
	Flags    Flags
	Sequence uint32 // chosen by the requester, repeated in every answer
	PortID   uint32 // of the requester
}

// Message is a netlink message.
type Message struct {
	Header
	Data []byte // what follows the header, without padding
}

// What can be wrong with the bytes or the flow of messages.
var (
	// ErrMalformed: a message's length is below 16 or beyond the end of its datagram.
	ErrMalformed = errors.New("malformed netlink message")
	// ErrTruncated: a datagram was larger than the receive buffer, and its end
	// is lost. Config.MessageSize sets the size.
	ErrTruncated = errors.New("netlink datagram larger than the receive buffer")
	// ErrOverrun: messages were lost, because the socket's receive buffer was
	// full (ENOBUFS), or the kernel says so (NLMSG_OVERRUN). The socket goes on.
	ErrOverrun = errors.New("netlink messages were lost: the receive buffer overran")
	// ErrInterrupted: what was dumped changed meanwhile (NLM_F_DUMP_INTR): the
	// dump may lack entries or have some twice.
	ErrInterrupted = errors.New("dump interrupted: what it lists changed meanwhile")
)

// AppendMessage appends a message with the given type, flags and data to b,
// padded so that another can follow. Length is set; [Conn.Send] sets sequence
// number and port id.
func AppendMessage(b []byte, typ uint16, flags Flags, data []byte) []byte {
	start := len(b)
	b = BeginMessage(b, typ, flags)
	return EndMessage(append(b, data...), start)
}

// BeginMessage appends a message header to b. The data is appended behind it
// by the caller, and [EndMessage] closes the message.
func BeginMessage(b []byte, typ uint16, flags Flags) []byte {
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	h := b[len(b)-HeaderLen:]
	binary.NativeEndian.PutUint16(h[4:], typ)
	binary.NativeEndian.PutUint16(h[6:], uint16(flags))
	return b
}

// EndMessage sets the length of the message that begins at b[start], and pads
// it.
func EndMessage(b []byte, start int) []byte {
	n := len(b) - start
	binary.NativeEndian.PutUint32(b[start:], uint32(n))
	for range align(n) - n {
		b = append(b, 0)
	}
	return b
}

// ParseMessage splits the first message off b. Data is a view of b.
func ParseMessage(b []byte) (m Message, rest []byte, err error) {
	switch end := m.parse(b, 0); {
	case len(b) < HeaderLen:
		return m, nil, fmt.Errorf("%w: %d bytes where a header of %d should be", ErrMalformed, len(b), HeaderLen)
	case end == 0:
		return m, nil, fmt.Errorf("%w: length %d with %d bytes left", ErrMalformed, m.Length, len(b))
	default:
		return m, b[min(end, len(b)):], nil
	}
}

// parse makes m the message at b[at] and returns where the next one begins, which
// may lie behind the end: the last message of a datagram need not be padded. It
// returns 0 if there is none, or its length is impossible.
func (m *Message) parse(b []byte, at int) (next int) {
	if at > len(b)-HeaderLen {
		return 0
	}
	h := b[at : at+HeaderLen]
	m.Length = binary.NativeEndian.Uint32(h)
	m.Type = binary.NativeEndian.Uint16(h[4:])
	m.Flags = Flags(binary.NativeEndian.Uint16(h[6:]))
	m.Sequence = binary.NativeEndian.Uint32(h[8:])
	m.PortID = binary.NativeEndian.Uint32(h[12:])
	if m.Length < HeaderLen || uint64(m.Length) > uint64(len(b)-at) {
		return 0
	}
	end := at + int(m.Length)
	m.Data = b[at+HeaderLen : end : end]
	return at + align(int(m.Length))
}

func align(n int) int { return (n + 3) &^ 3 }
