package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
)

// event is a message to a multicast group, for JSON.
type event struct {
	Time       time.Time   `json:"time"` // of its arrival here
	Family     string      `json:"family"`
	Command    uint8       `json:"command"`
	Version    uint8       `json:"version"`
	Header     string      `json:"header,omitempty"` // the family's own, in hex
	Attributes []attribute `json:"attributes"`
	Malformed  string      `json:"malformed,omitempty"` // why there are no more attributes
}

// attribute is an attribute as its bytes let guess it. What is a nest by its
// flag has Nested only; where the bytes just look like one it has Bytes too.
type attribute struct {
	ID        uint16                    `json:"id"`
	BigEndian bool                      `json:"big_endian,omitempty"` // by its flag
	Nested    []attribute               `json:"nested,omitzero"`
	Bytes     *string                   `json:"bytes,omitempty"` // the payload in hex
	Number    gnl.Optional[gnl.Integer] `json:"number,omitzero"` // of 1, 2, 4 or 8 bytes
	Text      string                    `json:"text,omitempty"`  // with a NUL behind it
}

// maxNesting is how deep nests are looked for; kernel families have five.
const maxNesting = 16

func newEvent(m *gnl.Message, now time.Time) event {
	e := event{Time: now, Family: m.Family, Command: m.Command, Version: m.Version, Header: hex.EncodeToString(m.UserHeader)}
	var err error
	if e.Attributes, err = attributesOf(m.Attributes, 0); err != nil {
		e.Malformed = err.Error()
	}
	return e
}

// attributesOf decodes a list of attributes up to its end or to what is wrong.
func attributesOf(list []byte, depth int) ([]attribute, error) {
	all := []attribute{}
	d := attr.NewDecoder(list)
	for d.Next() {
		all = append(all, newAttribute(d.Raw(), depth))
	}
	return all, d.Err()
}

func newAttribute(r attr.Raw, depth int) attribute {
	at := attribute{ID: r.Number(), BigEndian: r.Type&attr.FlagNetByteOrder != 0}
	flagged := r.Type&attr.FlagNested != 0
	if depth < maxNesting && (flagged || looksNested(r.Payload)) {
		if nested, err := attributesOf(r.Payload, depth+1); err == nil {
			at.Nested = nested
			if flagged {
				return at
			}
		}
	}
	bytes := hex.EncodeToString(r.Payload)
	at.Bytes = &bytes
	if n, ok := numberOf(r.Payload, at.BigEndian); ok {
		at.Number = gnl.Some(gnl.Unsigned(n))
	}
	at.Text = textOf(r.Payload)
	return at
}

// looksNested guesses whether a payload is a list of attributes: it is if they
// fill it exactly, their padding is zero, and they stand in order. Families
// number them from 1: 0 is what a small number looks like.
func looksNested(p []byte) bool {
	if len(p) <= 4 || len(p)%4 != 0 {
		return false
	}
	for last := 0; len(p) > 0; {
		if len(p) < 4 {
			return false
		}
		length, number := int(binary.NativeEndian.Uint16(p)), int(binary.NativeEndian.Uint16(p[2:])&^(attr.FlagNested|attr.FlagNetByteOrder))
		padded := (length + 3) &^ 3
		if length < 4 || padded > len(p) || number < last || number > 1024 || number == 0 {
			return false
		}
		for _, b := range p[length:padded] {
			if b != 0 {
				return false
			}
		}
		p, last = p[padded:], number
	}
	return true
}

func numberOf(p []byte, bigEndian bool) (uint64, bool) {
	var order binary.ByteOrder = binary.NativeEndian
	if bigEndian {
		order = binary.BigEndian
	}
	switch len(p) {
	case 1:
		return uint64(p[0]), true
	case 2:
		return uint64(order.Uint16(p)), true
	case 4:
		return uint64(order.Uint32(p)), true
	case 8:
		return order.Uint64(p), true
	}
	return 0, false
}

// textOf returns a payload as text if it is two characters or more and a NUL.
func textOf(p []byte) string {
	s, ok := strings.CutSuffix(string(p), "\x00")
	if !ok || len(s) < 2 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		return ""
	}
	return s
}

// String is the event for people: a line, and below it the attributes.
func (e *event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  command %d  version %d\n", e.Time.Format("15:04:05.000000"), printable(e.Family), e.Command, e.Version)
	if e.Header != "" {
		fmt.Fprintf(&b, "  header %s\n", e.Header)
	}
	writeAttributes(&b, e.Attributes, "  ")
	if e.Malformed != "" {
		fmt.Fprintf(&b, "  malformed: %s\n", e.Malformed)
	}
	return b.String()
}

func writeAttributes(b *strings.Builder, list []attribute, indent string) {
	for _, at := range list {
		fmt.Fprintf(b, "%s%d:", indent, at.ID)
		switch {
		case at.Nested != nil:
			b.WriteString("\n")
			writeAttributes(b, at.Nested, indent+"  ")
			continue
		case at.Text != "":
			fmt.Fprintf(b, " %q", at.Text)
		case at.Number.Given:
			fmt.Fprintf(b, " %s (%s)", at.Number.Value, *at.Bytes)
		case *at.Bytes == "":
			b.WriteString(" present")
		default:
			b.WriteString(" " + *at.Bytes)
		}
		if at.BigEndian {
			b.WriteString(" big-endian")
		}
		b.WriteString("\n")
	}
}
