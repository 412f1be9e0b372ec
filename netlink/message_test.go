package netlink_test

import (
	"errors"
	"testing"

	"github.com/gnlgo/gnl/netlink"
)

func TestMessagesAreParsedAsTheyWereAppended(t *testing.T) {
	var b []byte
	for n := range 9 {
		b = netlink.AppendMessage(b, uint16(16+n), netlink.Flags(n), make([]byte, n))
	}
	for n := range 9 {
		m, rest, err := netlink.ParseMessage(b)
		if err != nil {
			t.Fatal(err)
		}
		if int(m.Type) != 16+n || int(m.Flags) != n || len(m.Data) != n || int(m.Length) != 16+n {
			t.Errorf("message %d: %+v", n, m)
		}
		b = rest
	}
	if len(b) != 0 {
		t.Errorf("%d bytes left", len(b))
	}
}

func TestTheLastMessageNeedNotBePadded(t *testing.T) {
	b := netlink.AppendMessage(nil, 16, 0, []byte{1})[:17]
	m, rest, err := netlink.ParseMessage(b)
	if err != nil || len(m.Data) != 1 || len(rest) != 0 {
		t.Errorf("%+v, %d left, %v", m, len(rest), err)
	}
}

func TestImpossibleLengths(t *testing.T) {
	whole := netlink.AppendMessage(nil, 16, 0, make([]byte, 8))
	for _, length := range []byte{0, 1, 15, 25} {
		b := append([]byte{length}, whole[1:]...)
		if _, _, err := netlink.ParseMessage(b); !errors.Is(err, netlink.ErrMalformed) {
			t.Errorf("length %d: %v", length, err)
		}
	}
	for n := range 16 {
		if _, _, err := netlink.ParseMessage(whole[:n]); !errors.Is(err, netlink.ErrMalformed) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestFlagsInWords(t *testing.T) {
	for want, f := range map[string]netlink.Flags{
		"0": 0, "request|ack": netlink.FlagRequest | netlink.FlagAck, "request|0x300": netlink.FlagRequest | netlink.FlagDump,
		"multi|dump-interrupted": netlink.FlagMulti | netlink.FlagDumpInterrupted,
	} {
		if got := f.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
