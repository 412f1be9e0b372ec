package attr_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// The wire bytes that tests expect are written down with these, each piece by
// hand; only the byte order of native numbers is the machine's.

// wire joins pieces.
func wire(pieces ...[]byte) []byte { return bytes.Join(pieces, nil) }

// h is an attribute's header: length and type as they stand there.
func h(length, typ uint16) []byte { return append(n16(length), n16(typ)...) }

// x is bytes in hex.
func x(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// s is text as it stands there.
func s(text string) []byte { return []byte(text) }

// n16, n32 and n64 are numbers in native byte order.
func n16(v uint16) []byte { return binary.NativeEndian.AppendUint16(nil, v) }
func n32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
func n64(v uint64) []byte { return binary.NativeEndian.AppendUint64(nil, v) }

const (
	nested   = 0x8000
	netOrder = 0x4000
)

// littleEndianOnly skips a test of bytes that were recorded on x86-64.
func littleEndianOnly(t testing.TB) {
	t.Helper()
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the recordings are from a little-endian machine")
	}
}

func sameBytes(t testing.TB, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("bytes differ:\n got % x\nwant % x", got, want)
	}
}

// same compares values; nil and empty slices count as equal.
func same(t testing.TB, got, want any) {
	t.Helper()
	if d := diff(got, want); d != "" {
		t.Errorf("values differ (-got +want):\n%s", d)
	}
}

func diff(got, want any) string {
	return cmp.Diff(got, want, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}))
}
