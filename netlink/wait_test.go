package netlink_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/gnlgo/gnl/gnltest"
	"github.com/gnlgo/gnl/netlink"
)

// Requests that are not answered, or not soon.

// best runs f until once it took less than a millisecond, 200 times at most: on
// a busy machine a goroutine may be kept waiting.
func best(t testing.TB, what string, f func() time.Duration) {
	t.Helper()
	least := time.Hour
	for range 200 {
		if least = min(least, f()); least <= time.Millisecond {
			return
		}
	}
	t.Errorf("%s took %v at best", what, least)
}

func silence(*gnltest.Request) error { return gnltest.SkipEnd }

func TestSilenceEndsWithinAMillisecondOfTheDeadline(t *testing.T) {
	best(t, "the end after the deadline", func() time.Duration {
		_, c := fake(t, nil, silence, nil)
		deadline := time.Now().Add(5 * time.Millisecond)
		ctx, cancel := context.WithDeadline(t.Context(), deadline)
		defer cancel()
		for _, err := range c.Do(ctx, ask) {
			wantError(t, err, context.DeadlineExceeded)
		}
		return time.Since(deadline)
	})
}

func TestSilenceEndsWithinAMillisecondOfTheCancellation(t *testing.T) {
	best(t, "the end after the cancellation", func() time.Duration {
		_, c := fake(t, nil, silence, nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		cancelled := make(chan time.Time, 1)
		time.AfterFunc(5*time.Millisecond, func() { cancelled <- time.Now(); cancel() })
		for _, err := range c.Do(ctx, ask) {
			wantError(t, err, context.Canceled)
		}
		return time.Since(<-cancelled)
	})
}

func TestADumpThatStopsHalfwayEndsWithTheContext(t *testing.T) {
	_, c := fake(t, nil, nil, func(r *gnltest.Request) error {
		r.Reply(1, entry(1))
		r.Flush()
		return gnltest.SkipEnd
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request := ask
	request.Flags = netlink.FlagDump
	parts := 0
	for _, err := range c.Do(ctx, request) {
		if parts++; parts == 1 {
			must(t, err)
			time.AfterFunc(time.Millisecond, cancel)
		} else {
			wantError(t, err, context.Canceled)
		}
	}
	if parts != 2 {
		t.Errorf("%d results", parts)
	}
}

func TestCloseEndsARequestThatWaits(t *testing.T) {
	best(t, "the end after Close", func() time.Duration {
		_, c := fake(t, nil, silence, nil)
		closed := make(chan time.Time, 1)
		time.AfterFunc(5*time.Millisecond, func() { closed <- time.Now(); c.Close() })
		for _, err := range c.Do(context.Background(), ask) {
			wantError(t, err, net.ErrClosed)
		}
		return time.Since(<-closed)
	})
}

// The same socket that waited in vain waits well the next time.
func TestASlowAnswerIsWaitedFor(t *testing.T) {
	slow := func(r *gnltest.Request) error {
		time.Sleep(2 * time.Millisecond)
		r.Reply(1, entry(7))
		time.Sleep(2 * time.Millisecond)
		return nil
	}
	_, c := fake(t, nil, inTurn(slow, silence, slow), nil)
	for range 2 {
		works(t, c, 7)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Millisecond)
		for _, err := range c.Do(ctx, ask) {
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		cancel()
	}
	works(t, c, 7)
}

// An answer and the end of the context may come at the same moment: either may
// win, and the socket must be in order whichever does.
func TestAnswersAndDeadlinesThatMeet(t *testing.T) {
	_, c := fake(t, nil, func(r *gnltest.Request) error {
		time.Sleep(200 * time.Microsecond)
		r.Reply(1, entry(7))
		return nil
	}, nil)
	ended, answered := 0, 0
	for i := range 200 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(100+2*i)*time.Microsecond)
		replies := 0
		var last error
		for m, err := range c.Do(ctx, ask) {
			if last = err; err == nil {
				replies++
				if m.Data[8] != 7 {
					t.Fatalf("%+v", m)
				}
			}
		}
		cancel()
		switch {
		case last == nil && replies == 1:
			answered++
		case errors.Is(last, context.DeadlineExceeded):
			ended++
		default:
			t.Fatalf("%d replies, %v", replies, last)
		}
	}
	works(t, c, 7)
	t.Logf("%d answered, %d ended", answered, ended)
}

// The fake's end is the end of its port.
func TestSendingToAPortThatNobodyHas(t *testing.T) {
	k, c := fake(t, nil, reply, nil)
	must(t, k.Close())
	for _, err := range c.Do(t.Context(), ask) {
		var errno netlink.Errno
		if !errors.As(err, &errno) || errno.Error() != "connection refused" {
			t.Error(err)
		}
	}
}
