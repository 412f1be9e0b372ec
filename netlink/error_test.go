//go:build linux

package netlink_test

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gnlgo/gnl/netlink"
)

func TestRecordedRefusals(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the recordings are little-endian")
	}
	b, err := os.ReadFile("testdata/extack.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded []struct {
		Case  string
		RX    string
		Errno *int
	}
	if err := json.Unmarshal(b, &recorded); err != nil {
		t.Fatal(err)
	}
	want := map[string]netlink.Error{
		"netdev dev-get {}":                   {Errno: syscall.EINVAL, HasMissing: true, Missing: 1},
		"netdev dev-get ifindex u16":          {Errno: syscall.EINVAL, Message: "invalid attribute length", Offset: 20, Policy: unhex("0c00040001000000000000000c000500ffffffff000000000800010004000000")},
		"ethtool linkinfo-get no nested flag": {Errno: syscall.EINVAL, Message: "NLA_F_NESTED is missing", Offset: 20, Policy: unhex("080001000d000000")},
		"ethtool linkinfo-get empty header":   {Errno: syscall.EINVAL, Message: "neither ifindex nor name specified", Offset: 20},
		"nlctrl getfamily name of 40":         {Errno: syscall.EINVAL, Message: "Attribute failed policy validation", Offset: 20, Policy: unhex("080007000f000000080001000c000000")},
		"nlctrl getfamily {}":                 {Errno: syscall.EINVAL},
		"nlctrl cmd 77":                       {Errno: syscall.EOPNOTSUPP},
		"family id 999":                       {Errno: syscall.ENOENT},
		"netdev qstats dump 9999":             {Errno: syscall.ENODEV, Offset: 20}, // in NLMSG_DONE
	}
	seen := 0
	for _, r := range recorded {
		m, rest, err := netlink.ParseMessage(unhex(r.RX))
		if err != nil || len(rest) != 0 {
			t.Errorf("%s: %v, %d bytes left", r.Case, err, len(rest))
			continue
		}
		if r.Errno == nil {
			if m.Type == netlink.TypeError {
				t.Errorf("%s: an error, recorded as a reply", r.Case)
			}
			continue
		}
		var got *netlink.Error
		if !errors.As(m.Result(), &got) {
			t.Errorf("%s: %v", r.Case, m.Result())
			continue
		}
		if int(got.Errno) != -*r.Errno {
			t.Errorf("%s: errno %d, recorded %d", r.Case, got.Errno, *r.Errno)
		}
		if w, ok := want[r.Case]; ok {
			seen++
			if diff := cmp.Diff(&w, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", r.Case, diff)
			}
		}
	}
	if seen != len(want) {
		t.Errorf("%d of %d cases are in the recording", seen, len(want))
	}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// result makes a message of type NLMSG_ERROR or NLMSG_DONE.
func result(typ uint16, flags netlink.Flags, errno int32, rest ...byte) *netlink.Message {
	data := binary.NativeEndian.AppendUint32(nil, uint32(errno))
	return &netlink.Message{Header: netlink.Header{Type: typ, Flags: flags}, Data: append(data, rest...)}
}

// request is the header of a request of n bytes, as an error echoes it.
func request(n uint32) []byte {
	return append(binary.NativeEndian.AppendUint32(nil, n), make([]byte, 12)...)
}

// words is an extended-ack message attribute.
func words(s string) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(s)+1))
	b = append(binary.NativeEndian.AppendUint16(b, 1), s...)
	return append(b, 0)
}

func TestResult(t *testing.T) {
	capped, tlvs := netlink.FlagCapped, netlink.FlagAckTLVs
	for name, tt := range map[string]struct {
		m    *netlink.Message
		want error // nil, an errno, or ErrMalformed
		text string
	}{
		"an ack":                     {result(netlink.TypeError, capped, 0, request(20)...), nil, ""},
		"the end of a dump":          {result(netlink.TypeDone, 0, 0), nil, ""},
		"an end without a number":    {&netlink.Message{Header: netlink.Header{Type: netlink.TypeDone}, Data: []byte{0}}, nil, ""},
		"an error without a number":  {&netlink.Message{Header: netlink.Header{Type: netlink.TypeError}, Data: []byte{0}}, netlink.ErrMalformed, ""},
		"an errno":                   {result(netlink.TypeError, capped, -2, request(20)...), syscall.ENOENT, "no such file or directory"},
		"an errno of the wrong sign": {result(netlink.TypeError, capped, 2, request(20)...), syscall.ENOENT, "no such file or directory"},
		"an errno at a dump's end":   {result(netlink.TypeDone, 0, -19), syscall.ENODEV, "no such device"},
		"words behind a capped echo": {result(netlink.TypeError, capped|tlvs, -22, append(request(5000), words("no")...)...), syscall.EINVAL, "no: invalid argument"},
		"words behind a whole echo":  {result(netlink.TypeError, tlvs, -22, append(append(request(22), make([]byte, 8)...), words("no")...)...), syscall.EINVAL, "no: invalid argument"},
		"words at a dump's end":      {result(netlink.TypeDone, tlvs, -22, words("no")...), syscall.EINVAL, "no: invalid argument"},
		"a warning on success":       {result(netlink.TypeError, capped|tlvs, 0, append(request(20), words("old")...)...), nil, "old"},
		"flagged, but nothing there": {result(netlink.TypeError, capped|tlvs, -22, request(20)...), syscall.EINVAL, "invalid argument"},
		"an echo cut short":          {result(netlink.TypeError, tlvs, -22, request(4000)...), syscall.EINVAL, "invalid argument"},
		"broken attributes":          {result(netlink.TypeError, capped|tlvs, -22, append(request(20), 1, 0, 1, 0)...), syscall.EINVAL, "invalid argument"},
	} {
		err := tt.m.Result()
		if tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v is not %v", name, err, tt.want)
		}
		if tt.text == "" && tt.want == nil && err != nil || tt.text != "" && (err == nil || err.Error() != tt.text) {
			t.Errorf("%s: got %v, want %s", name, err, tt.text)
		}
	}
}

func TestErrnosAnswerToTheStandardErrors(t *testing.T) {
	for errno, want := range map[syscall.Errno]error{
		syscall.ENOENT: fs.ErrNotExist, syscall.EEXIST: fs.ErrExist, syscall.EPERM: fs.ErrPermission,
		syscall.EACCES: fs.ErrPermission, syscall.EOPNOTSUPP: errors.ErrUnsupported,
	} {
		var err error = &netlink.Error{Errno: errno}
		if !errors.Is(err, want) || !errors.Is(err, errno) {
			t.Errorf("%v is not %v", err, want)
		}
	}
}

func FuzzMessages(f *testing.F) {
	f.Add(netlink.AppendMessage(nil, netlink.TypeError, netlink.FlagAckTLVs, result(0, 0, -22, words("no")...).Data))
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			m, rest, err := netlink.ParseMessage(b)
			if err != nil {
				if !errors.Is(err, netlink.ErrMalformed) {
					t.Fatal(err)
				}
				return
			}
			if len(rest) >= len(b) {
				t.Fatal("no progress")
			}
			if err := m.Result(); err != nil {
				_ = err.Error()
			}
			b = rest
		}
	})
}
