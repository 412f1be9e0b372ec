package netlink_test

import (
	"context"
	"testing"

	"github.com/gnlgo/gnl/gnltest"
	"github.com/gnlgo/gnl/internal/unix"
	"github.com/gnlgo/gnl/netlink"
)

// What is lost is said to be lost, and the socket goes on.

func TestATruncatedDatagramIsAnErrorAndTheNextRequestWorks(t *testing.T) {
	for _, datagrams := range []int{1, 4} {
		_, c := fake(t, &netlink.Config{MessageSize: 4 << 10, Datagrams: datagrams}, inTurn(func(r *gnltest.Request) error {
			r.Reply(1, make([]byte, 4<<10)) // more, with its headers
			return nil
		}, func(r *gnltest.Request) error {
			body := make([]byte, 4<<10-20) // just fits
			copy(body, entry(7))
			r.Reply(1, body)
			return nil
		}), nil)
		got, err := entries(t, c, ask)
		wantError(t, err, netlink.ErrTruncated)
		if got != nil {
			t.Error("a truncated message was given out")
		}
		works(t, c, 7)
	}
}

func TestTheDefaultBufferTakesTheLargestDatagramOfADump(t *testing.T) {
	_, c := fake(t, nil, func(r *gnltest.Request) error {
		body := make([]byte, 32<<10-20)
		copy(body, entry(7))
		r.Reply(1, body)
		return nil
	}, nil)
	works(t, c, 7)
}

// drain takes what is queued. Until that is done, a socket that has overrun
// loses, in silence, all that is sent to it.
func drain(t testing.TB, c *netlink.Conn) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for {
		if _, err := c.Receive(ctx); err != nil {
			wantError(t, err, context.Canceled)
			return
		}
	}
}

func TestAnOverrunOfARequestIsAnErrorAndTheNextRequestWorks(t *testing.T) {
	for name, overrun := range map[string]func(*gnltest.Request) error{
		"ENOBUFS":                   func(r *gnltest.Request) error { return r.Overrun() },
		"ENOBUFS behind the answer": func(r *gnltest.Request) error { r.Reply(1, entry(1)); return r.Overrun() },
		"NLMSG_OVERRUN": func(r *gnltest.Request) error {
			r.Send(netlink.Message{Header: netlink.Header{Type: netlink.TypeOverrun}})
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			if name != "NLMSG_OVERRUN" {
				groupsPermitted(t)
			}
			_, c := fake(t, nil, inTurn(func(r *gnltest.Request) error {
				if err := overrun(r); err != nil {
					t.Error(err)
				}
				return gnltest.SkipEnd
			}, reply), nil)
			_, err := entries(t, c, ask)
			wantError(t, err, netlink.ErrOverrun)
			drain(t, c)
			works(t, c, 7)
		})
	}
}

// Several datagrams are taken at once: an overrun among them is told in its turn.
func TestAnOverrunWhileSeveralDatagramsAreTaken(t *testing.T) {
	groupsPermitted(t)
	_, c := fake(t, &netlink.Config{Datagrams: 16}, inTurn(func(r *gnltest.Request) error {
		r.Reply(1, entry(1))
		r.Reply(1, entry(2))
		if err := r.Overrun(); err != nil {
			t.Error(err)
		}
		return gnltest.SkipEnd
	}, reply), nil)
	_, err := entries(t, c, ask)
	wantError(t, err, netlink.ErrOverrun)
	drain(t, c)
	works(t, c, 7)
}

// Group messages may come from anybody who is allowed to send them.
func TestWhatStrangersSendIsDroppedAndCounted(t *testing.T) {
	groupsPermitted(t)
	for _, datagrams := range []int{1, 4} {
		k, c := fake(t, &netlink.Config{Datagrams: datagrams}, reply, nil)
		group := freeGroup(t, k)
		must(t, c.Join(group))
		stranger, _, err := unix.ServerSocket(netlink.UserSock)
		must(t, err)
		defer unix.Close(stranger)
		forge := func() {
			b := netlink.AppendMessage(nil, toy, 0, append([]byte{66, 1, 0, 0}, entry(66)...))
			if err := unix.SendTo(stranger, b, 0, 1<<(group-1)); err != unix.ECONNREFUSED {
				t.Error(err)
			}
		}
		forge()
		forge()
		k.Unicast(c.PortID(), k.Event("toy", 2, entry(2)))
		forge()
		if m, err := c.Receive(timeout(t)); err != nil || m.Data[8] != 2 {
			t.Errorf("%+v, %v", m, err)
		}
		works(t, c, 7)
		if n := c.Strangers(); n != 3 {
			t.Errorf("%d strangers", n)
		}
		must(t, c.Leave(group))
		forge()
		works(t, c, 7)
		if n := c.Strangers(); n != 3 {
			t.Errorf("%d strangers after leaving", n)
		}
	}
}

// freeGroup is the number of a group that nobody else uses.
func freeGroup(t *testing.T, k *gnltest.Kernel) uint32 {
	k.Register(gnltest.Family{Name: "group", Groups: []string{"free"}})
	f, err := k.Client().Family(timeout(t), "group")
	must(t, err)
	return f.Groups[0].ID
}
