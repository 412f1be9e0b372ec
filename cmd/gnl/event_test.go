package main

import (
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
)

// at encodes one attribute; typ has the flags.
func at(typ uint16, payload ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(payload)))
	b = append(binary.NativeEndian.AppendUint16(b, typ), payload...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func join(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

var u32 = binary.NativeEndian.AppendUint32(nil, 7)

func TestEvent(t *testing.T) {
	inner := join(at(1, u32...), at(2, []byte("eth0\x00")...))
	m := gnl.Message{Family: "test", Command: 3, Version: 1, UserHeader: []byte{1, 2, 3, 4}, Attributes: join(
		at(1, u32...),
		at(2, []byte("lo\x00")...),
		at(3|attr.FlagNested, inner...),
		at(4, inner...), // a nest, by its look
		at(5),
		at(6|attr.FlagNetByteOrder, 0x1f, 0x90),
		at(7, 1, 2, 3, 4, 5, 6),
		at(8|attr.FlagNested),
		at(9, 'A', 0),
		at(10, binary.NativeEndian.AppendUint64(nil, 1<<63)...),
		at(11|attr.FlagNested, 1, 2, 3, 4), // not a nest, whatever its flag says
	)}
	now := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	e := newEvent(&m, now)
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the texts below are those of a little-endian machine")
	}
	nest := `[{"id":1,"bytes":"07000000","number":7},{"id":2,"bytes":"6574683000","text":"eth0"}]`
	want := `{"time":"2026-01-02T03:04:05.000006Z","family":"test","command":3,"version":1,"header":"01020304","attributes":[` +
		`{"id":1,"bytes":"07000000","number":7},{"id":2,"bytes":"6c6f00","text":"lo"},` +
		`{"id":3,"nested":` + nest + `},` +
		`{"id":4,"nested":` + nest + `,"bytes":"08000100070000000900020065746830` + `00000000"},` +
		`{"id":5,"bytes":""},{"id":6,"big_endian":true,"bytes":"1f90","number":8080},{"id":7,"bytes":"010203040506"},` +
		`{"id":8,"nested":[]},{"id":9,"bytes":"4100","number":65},{"id":10,"bytes":"0000000000000080","number":9223372036854775808},` +
		`{"id":11,"bytes":"01020304","number":67305985}]}`
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Error(diff)
	}
	wantText := `03:04:05.000006  test  command 3  version 1
  header 01020304
  1: 7 (07000000)
  2: "lo"
  3:
    1: 7 (07000000)
    2: "eth0"
  4:
    1: 7 (07000000)
    2: "eth0"
  5: present
  6: 8080 (1f90) big-endian
  7: 010203040506
  8:
  9: 65 (4100)
  10: 9223372036854775808 (0000000000000080)
  11: 67305985 (01020304)
`
	if diff := cmp.Diff(wantText, e.String()); diff != "" {
		t.Error(diff)
	}
}

func TestMalformedEvent(t *testing.T) {
	m := gnl.Message{Family: "test", Attributes: join(at(1, u32...), []byte{3, 0, 2, 0})}
	e := newEvent(&m, time.Now())
	if len(e.Attributes) != 1 || e.Malformed == "" || !strings.Contains(e.String(), "malformed: ") {
		t.Errorf("%+v", e)
	}
}

func FuzzEvent(f *testing.F) {
	f.Add(join(at(1, u32...), at(2|attr.FlagNested, at(1, u32...)...)))
	f.Add(join(at(1), []byte{5, 0, 1, 0, 1}))
	f.Fuzz(func(t *testing.T, list []byte) {
		e := newEvent(&gnl.Message{Attributes: list}, time.Now())
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var back event
		if err := json.Unmarshal(b, &back); err != nil || len(back.Attributes) != len(e.Attributes) {
			t.Fatalf("%v: %s", err, b)
		}
		for _, line := range strings.Split(e.String(), "\n") {
			if line != printable(line) {
				t.Errorf("not printable: %q", line)
			}
		}
	})
}
