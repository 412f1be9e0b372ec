//go:build linux

package ipvs_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/internal/testenv"
	"github.com/gnlgo/gnl/ipvs"
	"github.com/gnlgo/gnl/netlink"
)

// compare compares addresses by what they are.
var compare = cmp.Options{
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
}

func tcp(address string) ipvs.ServiceID {
	return ipvs.Virtual(ipvs.TCP, netip.MustParseAddrPort(address))
}

func to(address string, weight uint32) ipvs.Destination {
	return ipvs.Destination{Address: netip.MustParseAddrPort(address), Weight: weight}
}

// somePools are pools of every kind.
func somePools() []ipvs.Pool {
	return []ipvs.Pool{
		{
			Service:      ipvs.Service{ServiceID: tcp("192.0.2.1:80"), Scheduler: "wrr"},
			Destinations: []ipvs.Destination{to("10.1.0.1:8080", 1), to("10.1.0.2:8080", 2), to("10.1.0.2:8081", 0)},
		},
		{
			Service: ipvs.Service{
				ServiceID: ipvs.Virtual(ipvs.UDP, netip.MustParseAddrPort("[2001:db8::1]:53")), Scheduler: "rr",
				Flags: ipvs.OnePacket | ipvs.Persistent, Timeout: time.Minute, Netmask: ipvs.PrefixMask(ipvs.IPv6, 64),
			},
			Destinations: []ipvs.Destination{{
				Address: netip.MustParseAddrPort("[2001:db8::2]:53"), Weight: 3, Method: ipvs.Route,
				UpperThreshold: 100, LowerThreshold: 50,
			}},
		},
		{
			Service: ipvs.Service{ServiceID: ipvs.Marked(7, ipvs.IPv4), Scheduler: "wlc"},
			Destinations: []ipvs.Destination{{
				Address: netip.MustParseAddrPort("10.1.0.3:0"), Weight: 1, Method: ipvs.Tunnel,
				Tunnel: ipvs.Encapsulation{Type: ipvs.GUE, Port: 6080, Flags: ipvs.Checksum},
			}},
		},
	}
}

// configured is what a balancer has, in the order of the services' names.
func configured(t testing.TB, c *ipvs.Client) []ipvs.Pool {
	t.Helper()
	var pools []ipvs.Pool
	for p, err := range c.Pools(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		pools = append(pools, p.Pool())
	}
	return sorted(pools)
}

func sorted(pools []ipvs.Pool) []ipvs.Pool {
	pools = slices.Clone(pools)
	slices.SortFunc(pools, func(a, b ipvs.Pool) int {
		return strings.Compare(a.Service.ServiceID.String(), b.Service.ServiceID.String())
	})
	for i := range pools {
		ds := slices.Clone(pools[i].Destinations)
		slices.SortFunc(ds, func(a, b ipvs.Destination) int { return a.Address.Compare(b.Address) })
		pools[i].Destinations = ds
	}
	return pools
}

func wantPools(t testing.TB, c *ipvs.Client, want []ipvs.Pool) {
	t.Helper()
	if d := cmp.Diff(sorted(want), configured(t, c), compare); d != "" {
		t.Errorf("the configuration is not what it should be (-want +got):\n%s", d)
	}
}

func apply(t testing.TB, c *ipvs.Client, pools []ipvs.Pool, config *ipvs.ApplyConfig) *ipvs.Outcome {
	t.Helper()
	outcome, err := c.Apply(t.Context(), pools, config)
	if err != nil {
		t.Fatal(err)
	}
	return outcome
}

// wantPlan checks what would be changed, in order.
func wantPlan(t testing.TB, c *ipvs.Client, pools []ipvs.Pool, config *ipvs.ApplyConfig, want ...string) {
	t.Helper()
	plan, err := c.Plan(t.Context(), pools, config)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range plan.Changes {
		got = append(got, plan.Changes[i].String())
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the plan is not what it should be (-want +got):\n%s", d)
	}
}

func TestApplyConfiguresThePools(t *testing.T) {
	c := newBalancer(t)
	outcome := apply(t, c, somePools(), nil)
	if len(outcome.Done) != 8 {
		t.Errorf("%d changes were made for 3 services and 5 destinations", len(outcome.Done))
	}
	wantPools(t, c, somePools())
}

func TestTheSecondApplyDoesNothing(t *testing.T) {
	c := newBalancer(t)
	apply(t, c, somePools(), nil)
	plan, err := c.Plan(t.Context(), somePools(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Changes) != 0 || plan.Unchanged != 3 {
		t.Errorf("%d pools are unchanged, and there is to be changed: %v", plan.Unchanged, plan.Changes)
	}
	if outcome := apply(t, c, somePools(), nil); len(outcome.Done) != 0 {
		t.Errorf("changed: %v", outcome.Done)
	}
}

func TestWhatIsExportedIsApplied(t *testing.T) {
	c := newBalancer(t)
	apply(t, c, somePools(), nil)
	wantPlan(t, c, configured(t, c), &ipvs.ApplyConfig{Prune: true})
}

func TestThePlanSaysWhatDiffers(t *testing.T) {
	c := newBalancer(t)
	apply(t, c, somePools(), nil)
	pools := somePools()
	pools[0].Service.Scheduler = "wlc"
	pools[0].Destinations = []ipvs.Destination{to("10.1.0.9:80", 1), to("10.1.0.2:8080", 5), to("10.1.0.2:8081", 0)}
	pools[1].Service.Flags = 0
	pools[1].Service.Timeout = 0
	pools[1].Service.Netmask = netip.Addr{}
	pools[2].Destinations[0].Tunnel = ipvs.Encapsulation{Type: ipvs.GRE}
	wantPlan(t, c, pools, nil,
		"set service tcp:192.0.2.1:80: scheduler wrr → wlc",
		"set service udp:[2001:db8::1]:53: flags persistent,ops → none, timeout 1m0s → 0s, netmask 64 → none",
		"set destination 10.1.0.2:8080 of tcp:192.0.2.1:80: weight 2 → 5",
		"add destination 10.1.0.9:80 to tcp:192.0.2.1:80",
		"set destination 10.1.0.3:0 of fwmark:7: tunnel gue port 6080 csum → gre",
		"remove destination 10.1.0.1:8080 from tcp:192.0.2.1:80",
	)
	wantPools(t, c, somePools()) // a plan changes nothing
	apply(t, c, pools, nil)
	wantPools(t, c, pools)
}

func TestForeignServicesAreLeftAloneUnlessAsked(t *testing.T) {
	c := newBalancer(t)
	apply(t, c, somePools(), nil)
	mine := somePools()[:1]
	plan, err := c.Plan(t.Context(), mine, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Changes) != 0 || len(plan.Foreign) != 2 {
		t.Errorf("foreign are %v, and to be changed %v", plan.Foreign, plan.Changes)
	}
	apply(t, c, mine, nil)
	wantPools(t, c, somePools())

	apply(t, c, mine, &ipvs.ApplyConfig{Prune: true})
	wantPools(t, c, mine)
	apply(t, c, nil, &ipvs.ApplyConfig{Prune: true})
	wantPools(t, c, nil)
}

func TestAFailureLeavesTheOtherPoolsAndCanBeMadeUpFor(t *testing.T) {
	c := newBalancer(t)
	before := somePools()
	before = append(before, ipvs.Pool{Service: ipvs.Service{ServiceID: tcp("192.0.2.99:1"), Scheduler: "rr"}})
	apply(t, c, before, nil)

	pools := somePools()
	// A scheduler that no kernel has, in a service that is there…
	pools[0].Service.Scheduler = "nosuch"
	pools[0].Destinations = []ipvs.Destination{to("10.1.0.1:8080", 4), to("10.1.0.7:80", 1)}
	// … and in a new one.
	pools = append(pools, ipvs.Pool{
		Service:      ipvs.Service{ServiceID: tcp("192.0.2.2:80"), Scheduler: "nosuch"},
		Destinations: []ipvs.Destination{to("10.1.0.8:80", 1)},
	})
	pools[2].Destinations[0].Weight = 9
	outcome, err := c.Apply(t.Context(), pools, &ipvs.ApplyConfig{Prune: true})
	var e *ipvs.ApplyError
	if !errors.As(err, &e) || e.Failed != 2 || !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the error is %v", err)
	}
	var failed, skipped []string
	for _, f := range outcome.Failed {
		failed = append(failed, f.Change.String())
	}
	for _, f := range outcome.Skipped {
		skipped = append(skipped, f.Change.String())
	}
	if d := cmp.Diff([]string{
		"set service tcp:192.0.2.1:80: scheduler wrr → nosuch",
		"add service tcp:192.0.2.2:80",
	}, failed); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{
		"set destination 10.1.0.1:8080 of tcp:192.0.2.1:80: weight 1 → 4",
		"add destination 10.1.0.7:80 to tcp:192.0.2.1:80",
		"add destination 10.1.0.8:80 to tcp:192.0.2.2:80",
		"remove destination 10.1.0.2:8081 from tcp:192.0.2.1:80",
		"remove destination 10.1.0.2:8080 from tcp:192.0.2.1:80",
		"remove service tcp:192.0.2.99:1",
	}, skipped); d != "" {
		t.Error(d)
	}
	if len(outcome.Done) != 1 || outcome.Done[0].String() != "set destination 10.1.0.3:0 of fwmark:7: weight 1 → 9" {
		t.Errorf("done: %v", outcome.Done)
	}

	pools[0].Service.Scheduler, pools[3].Service.Scheduler = "rr", "wlc"
	apply(t, c, pools, &ipvs.ApplyConfig{Prune: true})
	wantPools(t, c, pools)
}

func TestPoolsThatCannotBeRightAreRefusedAsAWhole(t *testing.T) {
	g, err := gnl.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	pools := somePools()
	pools[0].Destinations = append(pools[0].Destinations, to("10.1.0.1:8080", 2), to("10.1.0.4:0", 1<<31))
	pools[1].Destinations[0].LowerThreshold = 101
	pools[2].Service.Scheduler = ""
	pools = append(pools, somePools()[0])
	_, err = ipvs.New(g).Apply(t.Context(), pools, nil) // on a kernel without IPVS as well
	const want = `ipvs: pool 0 (tcp:192.0.2.1:80): destination 4: weight: 2147483648 is more than 2147483647
pool 0 (tcp:192.0.2.1:80): destination 3: address: 10.1.0.1:8080 is that of destination 0 too
pool 1 (udp:[2001:db8::1]:53): destination 0: lower_threshold: 101 is above the upper threshold of 100
pool 2 (fwmark:7): scheduler: missing; rr and wlc are the usual ones
pool 3 (tcp:192.0.2.1:80): service: the same as that of pool 0`
	if err == nil || err.Error() != want {
		t.Errorf("the error is\n%v\nand should be\n%s", err, want)
	}
	if !errors.Is(err, syscall.EINVAL) {
		t.Error("it is not EINVAL")
	}
}

// manyPools are large pools, different by seed.
func manyPools(services, destinations, seed int) []ipvs.Pool {
	pools := make([]ipvs.Pool, services)
	for i := range pools {
		pools[i].Service = ipvs.Service{
			ServiceID: ipvs.Virtual(ipvs.TCP, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), uint16(1+i>>8))),
			Scheduler: []string{"rr", "wrr", "wlc"}[(i+seed)%3],
		}
		for j := range destinations {
			pools[i].Destinations = append(pools[i].Destinations, ipvs.Destination{
				Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(seed * (j % 2)), byte(j >> 8), byte(j)}), 80),
				Weight:  uint32(1 + (i+j+seed)%5),
			})
		}
	}
	return pools
}

func TestTwoThatApplyTheSameAtOnceBothSucceed(t *testing.T) {
	c := newBalancer(t)
	pools := manyPools(40, 40, 1)
	for range 3 {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, err := c.Apply(t.Context(), pools, &ipvs.ApplyConfig{Prune: true}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		wantPools(t, c, pools)
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAfterTwoThatDisagreeTheNextApplyPutsThingsRight(t *testing.T) {
	c := newBalancer(t)
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			for range 3 {
				// They undo each other's work, so that it may fail; it must not hang.
				_, err := c.Apply(t.Context(), manyPools(30, 30, i), &ipvs.ApplyConfig{Prune: true})
				var e *ipvs.ApplyError
				if err != nil && !errors.As(err, &e) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	apply(t, c, somePools(), &ipvs.ApplyConfig{Prune: true})
	wantPools(t, c, somePools())
}

func TestProgressIsToldAndACancelledApplyCanBeContinued(t *testing.T) {
	c := newBalancer(t)
	pools := manyPools(50, 100, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last ipvs.Progress
	outcome, err := c.Apply(ctx, pools, &ipvs.ApplyConfig{Progress: func(p ipvs.Progress) {
		if p.Done < last.Done || p.Done > p.Total || p.Total != 5050 {
			t.Errorf("from %+v to %+v", last, p)
		}
		if last = p; p.Done > 2000 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("the error is %v", err)
	}
	if n := len(outcome.Done) + len(outcome.Skipped); n != 5050 || len(outcome.Failed) != 0 || len(outcome.Done) < 2000 {
		t.Errorf("of 5,050 changes %d are done, %d were skipped, %d failed", len(outcome.Done), len(outcome.Skipped), len(outcome.Failed))
	}
	rest := apply(t, c, pools, nil)
	if len(rest.Done) != len(outcome.Skipped) {
		t.Errorf("%d changes had been skipped, and %d are made now", len(outcome.Skipped), len(rest.Done))
	}
	wantPools(t, c, pools)
}

// applierVariable names the namespace in which the test binary, started by
// itself, applies until it is killed.
const applierVariable = "GNL_TEST_APPLIER"

func TestApplierThatIsKilled(t *testing.T) {
	path := os.Getenv(applierVariable)
	if path == "" {
		t.Skip("this is the other process of TestAKillInTheMiddleLeavesNothingThatTheNextApplyDoesNotPutRight")
	}
	ns, err := netlink.OpenNamespace(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	c := newClient(t, ns)
	for seed := 0; ; seed++ {
		_, err := c.Apply(t.Context(), manyPools(30, 60, seed%4), &ipvs.ApplyConfig{Prune: true, Progress: func(p ipvs.Progress) {
			fmt.Println("progress", p.Done)
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAKillInTheMiddleLeavesNothingThatTheNextApplyDoesNotPutRight(t *testing.T) {
	testenv.NeedFamily(t, "IPVS")
	name, c := newNamedBalancer(t)
	for i := range 5 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestApplierThatIsKilled$", "-test.v")
		cmd.Env = append(os.Environ(), applierVariable+"=/run/netns/"+name)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		seen := make([]byte, 1<<20)
		for n := 0; strings.Count(string(seen[:n]), "progress") < 4+i; {
			m, err := out.Read(seen[n:])
			if err != nil {
				t.Fatalf("%v after %s", err, seen[:n])
			}
			n += m
		}
		cmd.Process.Kill()
		cmd.Wait()
		want := manyPools(10, 10, i)
		apply(t, c, want, &ipvs.ApplyConfig{Prune: true})
		wantPools(t, c, want)
	}
}
