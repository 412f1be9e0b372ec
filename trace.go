package gnl

import (
	"fmt"
	"io"
	"strings"

	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/netlink"
)

// WriteMessage writes a message in readable form, decoded down to its
// attributes: what a Config.Socket.Trace function wants to print. headerSize is
// that of the family's own header, 0 for most.
//
// Without knowledge of the family, what is a nest can only be guessed from its
// bytes where the kernel does not flag it.
func WriteMessage(w io.Writer, direction netlink.Direction, m netlink.Message, headerSize int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: type %d, flags %s, sequence %d, port %d, %d bytes\n",
		direction, m.Type, m.Flags, m.Sequence, m.PortID, m.Length)
	switch {
	case m.Type == netlink.TypeError || m.Type == netlink.TypeDone:
		writeResult(&b, m)
	case m.Type < netlink.MinType || len(m.Data) < genlHeaderLen+headerSize:
		fmt.Fprintf(&b, "  %x\n", m.Data)
	default:
		fmt.Fprintf(&b, "  command %d, version %d\n", m.Data[0], m.Data[1])
		if headerSize > 0 {
			fmt.Fprintf(&b, "  header %x\n", m.Data[genlHeaderLen:genlHeaderLen+headerSize])
		}
		writeAttributes(&b, m.Data[genlHeaderLen+headerSize:], "  ")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeResult(b *strings.Builder, m netlink.Message) {
	switch err := m.Result(); {
	case err != nil:
		fmt.Fprintf(b, "  %v\n", err)
	case m.Type == netlink.TypeDone:
		b.WriteString("  done\n")
	default:
		b.WriteString("  ack\n")
	}
}

func writeAttributes(b *strings.Builder, list []byte, indent string) {
	d := attr.NewDecoder(list)
	for d.Next() {
		r := d.Raw()
		fmt.Fprintf(b, "%s%d", indent, r.Number())
		if r.Type&attr.FlagNetByteOrder != 0 {
			b.WriteString(" (big-endian)")
		}
		if len(indent) < 2*attr.MaxDepth && (r.Type&attr.FlagNested != 0 || looksNested(r.Payload)) {
			b.WriteString(":\n")
			writeAttributes(b, r.Payload, indent+"  ")
			continue
		}
		b.WriteString(": " + describePayload(r.Payload) + "\n")
	}
	if err := d.Err(); err != nil {
		fmt.Fprintf(b, "%s%v\n", indent, err)
	}
}

// looksNested guesses whether a payload is a list of attributes: it is when
// their lengths fill it exactly and there is more than a bare header's worth.
func looksNested(p []byte) bool {
	if len(p) <= 4 || len(p)%4 != 0 {
		return false
	}
	d := attr.NewDecoder(p)
	end := 0
	for d.Next() {
		r := d.Raw()
		// Families number from 1: 0 is what a small number looks like.
		if r.Number() == 0 || r.Number() > 1024 {
			return false
		}
		end += 4 + align(len(r.Payload))
	}
	return d.Err() == nil && end == len(p)
}

// describePayload gives a payload as a number and in hex, or as text.
func describePayload(p []byte) string {
	if s, ok := strings.CutSuffix(string(p), "\x00"); ok && printable(s) {
		return fmt.Sprintf("%q", s)
	}
	switch len(p) {
	case 0:
		return "present"
	case 1, 2, 4, 8:
		return fmt.Sprintf("%s (%x)", formatUnsigned(p), p)
	}
	if len(p) > 64 {
		return fmt.Sprintf("%x… (%d bytes)", p[:64], len(p))
	}
	return fmt.Sprintf("%x", p)
}

func printable(s string) bool {
	for _, r := range s {
		if r < ' ' || r > '~' {
			return false
		}
	}
	return s != ""
}
