//go:build linux

package gnl_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gnlgo/gnl"
)

// The kernel goes on with a dump as fast as it is read, so that there is no wait
// in which the end of a context would be noticed.
func TestACancelledDumpEndsAtOnce(t *testing.T) {
	c := open(t, nil)
	needs(t, c, "ethtool")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	messages, last := 0, error(nil)
	for _, err := range c.Dump(ctx, gnl.Request{Family: "nlctrl", Command: 3}) {
		cancel()
		if last = err; err == nil {
			messages++
		}
	}
	if messages != 1 || !errors.Is(last, context.Canceled) {
		t.Errorf("%d messages, %v", messages, last)
	}
}

func TestACancelledSubscriptionEndsInAStorm(t *testing.T) {
	groupsPermitted(t)
	k, c := fake(t, toyFamily(echo, nil, nil))
	news := gnl.GroupName{Family: "toy", Group: "news"}
	s := subscribe(t, c, news)
	for i := range uint32(100) {
		k.Notify(news, 1, number{i})
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events, last := 0, error(nil)
	for _, err := range s.Messages(ctx) {
		cancel()
		if last = err; err == nil {
			events++
			k.Notify(news, 1, number{1}) // the storm goes on
		}
	}
	if events != 1 || !errors.Is(last, context.Canceled) {
		t.Errorf("%d events, %v", events, last)
	}
}

func TestARequestOnAConnKeepsItsDeadlineInAStorm(t *testing.T) {
	k, c := fake(t, toyFamily(silence, nil, nil))
	conn := pinned(t, c, nil)
	if _, err := conn.Do(timeout(t), gnl.Request{Family: "toy", Command: 2}); err == nil {
		t.Fatal("command 2 was carried out") // the family is known from here on
	}
	port, stop, stopped := conn.PortID(), make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				k.Unicast(port, k.Event("toy", 1, number{2}))
			}
		}
	}()
	ctx, cancel := contextOf(t, 20*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := toyGet.Do(ctx, conn, number{1})
	// The storm may be too much for the receive buffer. It must not be endless.
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, gnl.ErrOverrun) {
		t.Error(err)
	}
	if late := time.Since(start); late > 2*time.Second {
		t.Errorf("it took %v", late)
	}
	close(stop)
	<-stopped
}
