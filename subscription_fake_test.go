//go:build linux

package gnl_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/gnltest"
	"github.com/gnlgo/gnl/netlink"
)

// What a subscription makes of a stream of events.

var toyNews = gnl.GroupName{Family: "toy", Group: "news"}

// happened reads events until the last one wanted, and returns numbers and errors.
func happened(t testing.TB, s *gnl.Subscription, last uint32) (events []any) {
	t.Helper()
	for m, err := range s.Messages(timeout(t)) {
		if err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			events = append(events, err)
			continue
		}
		var n number
		must(t, m.Unmarshal(&n))
		events = append(events, n.N)
		if n.N == last {
			break
		}
	}
	return events
}

func TestAStreamGoesOnAfterWhatCannotBeRead(t *testing.T) {
	groupsPermitted(t)
	k, c := fake(t, toyFamily(echo, nil, nil))
	s := subscribe(t, c, toyNews)
	event := func(n uint32) netlink.Message { return k.Event("toy", 9, number{n}) }
	short := event(0)
	short.Data = short.Data[:3]

	k.Multicast(toyNews, event(1), event(2)) // in one datagram
	k.MulticastBytes(toyNews, []byte("garbage"))
	k.Multicast(toyNews, event(3), short, event(4))
	k.MulticastBytes(toyNews, make([]byte, 40<<10))
	k.Multicast(toyNews, netlink.Message{Header: netlink.Header{Type: netlink.TypeOverrun}})
	k.Multicast(toyNews, netlink.Message{Header: netlink.Header{Type: netlink.TypeNoop}}, netlink.Message{Header: netlink.Header{Type: netlink.TypeDone}})
	k.Multicast(toyNews, event(5))

	want := []any{uint32(1), uint32(2), netlink.ErrMalformed, uint32(3), netlink.ErrMalformed, uint32(4),
		netlink.ErrTruncated, gnl.ErrOverrun, uint32(5)}
	got := happened(t, s, 5)
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range want {
		if err, ok := want[i].(error); ok {
			if g, ok := got[i].(error); !ok || !errors.Is(g, err) {
				t.Errorf("at %d: %v, want %v", i, got[i], err)
			}
		} else if got[i] != want[i] {
			t.Errorf("at %d: %v, want %v", i, got[i], want[i])
		}
	}
}

func TestAnOverrunIsToldInTheStreamWhichGoesOn(t *testing.T) {
	groupsPermitted(t)
	k, _ := fake(t, toyFamily(echo, nil, nil))
	c := configured(t, k, func(config *gnl.Config) { config.Socket.ReceiveBuffer = 32 << 10 })
	s := subscribe(t, c, toyNews)
	for round := range uint32(3) {
		from := round*10_000 + 1
		for n := range uint32(2000) {
			k.Notify(toyNews, 9, number{from + n})
		}
		received, overruns := 0, 0
		last := from - 1
		for m, err := range s.Messages(timeout(t)) {
			if errors.Is(err, gnl.ErrOverrun) {
				overruns++
				k.Notify(toyNews, 9, number{from + 5000}) // may be lost too, while the queue is not empty
				continue
			}
			must(t, err)
			var n number
			must(t, m.Unmarshal(&n))
			if n.N <= last {
				t.Fatalf("%d after %d", n.N, last)
			}
			last = n.N
			if received++; received == 10 {
				break // some have been taken: there is room again
			}
		}
		if overruns != 1 {
			t.Errorf("%d overruns", overruns)
		}
		// All that was queued is still there.
		ctx, cancel := contextOf(t, 20*time.Millisecond)
		for m, err := range s.Messages(ctx) {
			if err != nil {
				wantError(t, err, context.DeadlineExceeded)
				break
			}
			if received++; m.Family != "toy" {
				t.Errorf("%+v", m)
			}
		}
		cancel()
		if received < 20 || received > 2000 {
			t.Errorf("%d events", received)
		}
	}
}

func TestEventsOfSeveralFamiliesKnowTheirFamily(t *testing.T) {
	groupsPermitted(t)
	k, c := fake(t, toyFamily(echo, nil, nil))
	other := gnltest.Family{Name: "other", HeaderSize: 5, Groups: []string{"a", "b"}}
	k.Register(other)
	b := gnl.GroupName{Family: "other", Group: "b"}
	s := subscribe(t, c, toyNews, b, gnl.GroupName{Family: "nlctrl", Group: "notify"})
	k.Notify(toyNews, 9, number{1})
	k.Notify(b, 8, append([]byte{1, 2, 3, 4, 5, 0, 0, 0}, 8, 0, 1, 0, 2, 0, 0, 0))
	k.Notify(gnl.GroupName{Family: "other", Group: "a"}, 8, nil) // not subscribed to
	k.Register(gnltest.Family{Name: "third"})
	seen := 0
	for m, err := range s.Messages(timeout(t)) {
		must(t, err)
		switch seen++; {
		case seen == 1 && m.Family == "toy" && m.Command == 9 && len(m.UserHeader) == 0 && len(m.Attributes) == 8:
		case seen == 2 && m.Family == "other" && m.Command == 8 && len(m.UserHeader) == 8 && len(m.Attributes) == 8:
		case seen == 3 && m.Family == "nlctrl" && m.Command == 1:
		default:
			t.Errorf("event %d: %+v", seen, m)
		}
		if seen == 3 {
			break
		}
	}
	if g := b.String(); g != "other/b" {
		t.Error(g)
	}
}

func TestASubscriptionMayBeReadInPieces(t *testing.T) {
	groupsPermitted(t)
	k, c := fake(t, toyFamily(echo, nil, nil))
	s := subscribe(t, c, toyNews)
	for n := range uint32(50) {
		k.Notify(toyNews, 9, number{n})
	}
	for want := range uint32(50) {
		if got := happened(t, s, want); len(got) != 1 || got[0] != want {
			t.Fatalf("%v, want %d", got, want)
		}
	}
	ctx, cancel := contextOf(t, 3*time.Millisecond)
	defer cancel()
	for _, err := range s.Messages(ctx) {
		wantError(t, err, context.DeadlineExceeded)
	}
	k.Notify(toyNews, 9, number{99})
	happened(t, s, 99)
}

func TestAnUnpermittedOrUnknownSubscription(t *testing.T) {
	k, c := fake(t, toyFamily(echo, nil, nil))
	if _, err := c.Subscribe(timeout(t)); err == nil {
		t.Error("a subscription to nothing")
	}
	var e *gnl.Error
	if _, err := c.Subscribe(timeout(t), gnl.GroupName{Family: "toy", Group: "x"}); !errors.Is(err, gnl.ErrNoGroup) ||
		!errors.As(err, &e) || e.Error() != `gnl: toy: no multicast group "x": it has news` {
		t.Error(err)
	}
	k.Register(gnltest.Family{Name: "bare"})
	if _, err := c.Subscribe(timeout(t), gnl.GroupName{Family: "bare", Group: "x"}); !errors.Is(err, gnl.ErrNoGroup) ||
		err.Error() != `gnl: bare: no multicast group "x": it has none` {
		t.Error(err)
	}
	if _, err := c.Subscribe(timeout(t), gnl.GroupName{Family: "no-such", Group: "x"}); !isNotExist(err) {
		t.Error(err)
	}
	// Groups that the system has, but nobody may join.
	f := gnltest.Family{Name: "many"}
	for i := range 40 {
		f.Groups = append(f.Groups, string(rune('A'+i)))
	}
	k.Register(f)
	if _, err := c.Subscribe(timeout(t), gnl.GroupName{Family: "many", Group: f.Groups[39]}); !errors.As(err, &e) || e.Family != "many" {
		t.Error(err)
	}
}
