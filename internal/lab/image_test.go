//go:build linux && amd64

package main

import (
	"encoding/binary"
	"testing"
)

// bzImage makes one with the payload, in front of it setup sectors and a bit.
func bzImage(setup byte, payload string) []byte {
	const before = 100
	b := make([]byte, (int(max(setup, 1))+1)*512+before)
	if setup == 0 {
		b = make([]byte, 5*512+before)
	}
	b[0x1f1] = setup
	copy(b[0x202:], "HdrS")
	binary.LittleEndian.PutUint32(b[0x248:], before)
	binary.LittleEndian.PutUint32(b[0x24c:], uint32(len(payload)+4))
	return append(append(b, payload...), "size and more"...)
}

func TestThePayloadOfABzImage(t *testing.T) {
	for _, setup := range []byte{0, 1, 31} {
		got, err := imagePayload(bzImage(setup, "packed kernel"))
		if err != nil || string(got) != "packed kernel" {
			t.Errorf("%d sectors of setup: %q, %v", setup, got, err)
		}
	}
	whole := bzImage(4, "packed kernel")
	for _, bad := range [][]byte{nil, whole[:0x240], make([]byte, 5000), whole[:len(whole)-20]} {
		if got, err := imagePayload(bad); err == nil {
			t.Errorf("%d bytes: %q", len(bad), got)
		}
	}
	if _, err := unpackImage(bzImage(4, "packed kernel")); err == nil || err.Error() != "packed by an unknown program: it begins with 70 61 63 6b 65 64" {
		t.Error(err)
	}
}
