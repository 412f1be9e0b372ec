package netlink_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/gnlgo/gnl/gnltest"
	"github.com/gnlgo/gnl/netlink"
)

// How messages lie in datagrams.

func TestSeveralMessagesInOneDatagram(t *testing.T) {
	_, c := fake(t, nil, func(r *gnltest.Request) error {
		r.Send(r.Answer(1, entry(1)), r.Answer(1, entry(2)), r.Answer(1, entry(3)), r.Ack())
		return gnltest.SkipEnd
	}, nil)
	works(t, c, 1, 2, 3)
	works(t, c, 1, 2, 3)
}

// nlmsg_len need not be a multiple of 4, what follows is aligned all the same,
// and the last message of a datagram need not be padded.
func TestOddLengths(t *testing.T) {
	for cut := range 4 {
		_, c := fake(t, nil, func(r *gnltest.Request) error {
			m := r.Answer(1, append(entry(1), entry(2)...))
			m.Data = m.Data[:len(m.Data)-cut]
			last := r.Answer(1, entry(3))
			last.Data = last.Data[:len(last.Data)-3] // the padding of the attribute
			r.Send(m, m, last)
			return nil
		}, nil)
		works(t, c, 1, 1, 3)
	}
}

func TestNoopIsPassedOver(t *testing.T) {
	_, c := fake(t, nil, func(r *gnltest.Request) error {
		noop := netlink.Message{Header: netlink.Header{Type: netlink.TypeNoop}, Data: make([]byte, 9)}
		r.Send(noop)
		r.Send(noop, r.Answer(1, entry(1)), noop)
		return nil
	}, nil)
	works(t, c, 1)
}

func TestGarbageIsAnErrorAndTheNextRequestWorks(t *testing.T) {
	answer := func(r *gnltest.Request) []byte {
		m := r.Answer(1, entry(1))
		return netlink.AppendMessage(nil, m.Type, m.Flags, m.Data)
	}
	length := func(b []byte, n uint32) []byte {
		b[0], b[1], b[2], b[3] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
		if !bytes.Equal(netlink.AppendMessage(nil, 0, 0, nil)[:1], []byte{16}) {
			slices.Reverse(b[:4])
		}
		return b
	}
	for name, garbage := range map[string]func(*gnltest.Request) []byte{
		"text":                     func(*gnltest.Request) []byte { return []byte("this is not netlink, not at all") },
		"less than a header":       func(*gnltest.Request) []byte { return []byte{15, 0, 0, 0, 2, 0} },
		"length 0":                 func(r *gnltest.Request) []byte { return length(answer(r), 0) },
		"length 15":                func(r *gnltest.Request) []byte { return length(answer(r), 15) },
		"length beyond the end":    func(r *gnltest.Request) []byte { return length(answer(r), 29) },
		"the largest length":       func(r *gnltest.Request) []byte { return length(answer(r), 1<<32-1) },
		"rubbish behind a message": func(r *gnltest.Request) []byte { return append(answer(r), 1, 2, 3, 4, 5, 6, 7, 8) },
	} {
		t.Run(name, func(t *testing.T) {
			_, c := fake(t, nil, inTurn(func(r *gnltest.Request) error {
				r.SendBytes(garbage(r))
				return nil
			}, reply), nil)
			_, err := entries(t, c, ask)
			wantError(t, err, netlink.ErrMalformed)
			works(t, c, 7)
		})
	}
}
