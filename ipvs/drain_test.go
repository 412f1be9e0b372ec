//go:build linux

package ipvs_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/gnlgo/gnl/ipvs"
)

// webPool is the service of a network's with some of its servers, of equal
// weight.
func webPool(virtual netip.AddrPort, scheduler string, servers ...netip.AddrPort) ipvs.Pool {
	p := ipvs.Pool{Service: ipvs.Service{ServiceID: ipvs.Virtual(ipvs.TCP, virtual), Scheduler: scheduler}}
	for _, a := range servers {
		p.Destinations = append(p.Destinations, ipvs.Destination{Address: a, Weight: 1})
	}
	return p
}

func TestDrainWaitsForConnections(t *testing.T) {
	n := newNetwork(t)
	n.serve(server4(0), server4(1))
	apply(t, n.ipvs, []ipvs.Pool{webPool(virtual4, "rr", server4(0), server4(1))}, nil)
	var held *connection
	for held == nil || held.server != server4(0).String() {
		held = n.dial(virtual4)
	}

	type result struct {
		outcome *ipvs.Outcome
		err     error
	}
	done := make(chan result, 1)
	draining := make(chan ipvs.Progress, 1000)
	go func() {
		outcome, err := n.ipvs.Apply(t.Context(), []ipvs.Pool{webPool(virtual4, "rr", server4(1))}, &ipvs.ApplyConfig{
			Drain: time.Minute, Progress: func(p ipvs.Progress) {
				if p.Draining > 0 {
					draining <- p
				}
			},
		})
		done <- result{outcome, err}
	}()
	for range 3 {
		p := <-draining
		if p.Draining != 1 || p.Connections != 1 || p.Left > time.Minute || p.Left < 30*time.Second {
			t.Errorf("progress is %+v", p)
		}
		if c := n.dial(virtual4); c.server != server4(1).String() {
			t.Error("a new connection went to a server that is draining")
		}
		if err := held.answers(); err != nil {
			t.Fatalf("the connection that is waited for: %v", err)
		}
	}
	select {
	case <-done:
		t.Fatal("Apply has not waited")
	default:
	}
	held.Close()
	r := <-done
	if r.err != nil || len(r.outcome.Cut) != 0 {
		t.Errorf("outcome %+v, %v", r.outcome, r.err)
	}
	wantPools(t, n.ipvs, []ipvs.Pool{webPool(virtual4, "rr", server4(1))})
}

func TestDrainEndsAtItsDeadline(t *testing.T) {
	n := newNetwork(t)
	n.serve(server6(0))
	pool := webPool(virtual6, "wlc", server6(0))
	apply(t, n.ipvs, []ipvs.Pool{pool}, nil)
	held := n.dial(virtual6)
	if err := held.answers(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	outcome := apply(t, n.ipvs, nil, &ipvs.ApplyConfig{Prune: true, Drain: 500 * time.Millisecond})
	if took := time.Since(start); took < 500*time.Millisecond {
		t.Errorf("it took %s", took)
	}
	want := []ipvs.Cut{{Service: pool.Service.ServiceID, Destination: server6(0), Connections: 1}}
	if fmt.Sprint(outcome.Cut) != fmt.Sprint(want) {
		t.Errorf("cut off: %v, not %v", outcome.Cut, want)
	}
	wantPools(t, n.ipvs, nil)
}

func TestWhatHasNoConnectionsIsDrainedAtOnce(t *testing.T) {
	c := newBalancer(t)
	apply(t, c, somePools(), nil)
	start := time.Now()
	apply(t, c, somePools()[1:2], &ipvs.ApplyConfig{Prune: true, Drain: time.Hour})
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	wantPools(t, c, somePools()[1:2])
}

func TestAPersistentServiceKeepsItsClientsWhileItDrains(t *testing.T) {
	n := newNetwork(t)
	n.serve(server4(0), server4(1))
	pool := webPool(virtual4, "rr", server4(0), server4(1))
	pool.Service.Flags, pool.Service.Timeout = ipvs.Persistent, 5*time.Minute
	apply(t, n.ipvs, []ipvs.Pool{pool}, nil)
	first := n.dial(virtual4)

	if first.server == server4(0).String() {
		pool.Destinations = pool.Destinations[1:]
	} else {
		pool.Destinations = pool.Destinations[:1]
	}
	var second *connection
	outcome := apply(t, n.ipvs, []ipvs.Pool{pool}, &ipvs.ApplyConfig{Drain: 500 * time.Millisecond, Progress: func(p ipvs.Progress) {
		if p.Draining > 0 && second == nil {
			second = n.dial(virtual4)
			first.Close()
		}
	}})
	if second == nil || second.server != first.server || len(outcome.Cut) != 1 || outcome.Cut[0].Connections != 1 {
		t.Errorf("from %s to %+v, cut off: %v", first.server, second, outcome.Cut)
	}
}
