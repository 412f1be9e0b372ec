//go:build linux

package ipvs_test

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gnlgo/gnl/internal/testenv"
	"github.com/gnlgo/gnl/ipvs"
)

// countedUp returns a pool as soon as the kernel has counted enough in its
// service, which it does every two seconds.
func (n *network) countedUp(id ipvs.ServiceID, enough func(ipvs.Counters) bool) ipvs.PoolStatus {
	n.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		pool, err := n.ipvs.Pool(n.t.Context(), id)
		if err != nil {
			n.t.Fatal(err)
		}
		if enough(pool.Service.Stats) || time.Now().After(end) {
			return pool
		}
	}
}

func TestTrafficIsSpreadByWeightAndCounted(t *testing.T) {
	n := newNetwork(t)
	for _, family := range []struct {
		name    string
		virtual netip.AddrPort
		server  func(int) netip.AddrPort
	}{{"IPv4", virtual4, server4}, {"IPv6", virtual6, server6}} {
		t.Run(family.name, func(t *testing.T) {
			n.serve(family.server(0), family.server(1), family.server(2))
			pool := webPool(family.virtual, "wrr", family.server(0), family.server(1), family.server(2))
			weights := []uint32{5, 3, 0}
			for i := range weights {
				pool.Destinations[i].Weight = weights[i]
			}
			apply(t, n.ipvs, []ipvs.Pool{pool}, nil)

			const connections = 80
			went := map[string]int{}
			var open []*connection
			for range connections {
				c := n.dial(family.virtual)
				if err := c.answers(); err != nil {
					t.Fatal(err)
				}
				went[c.server]++
				open = append(open, c)
			}
			for i, weight := range weights {
				if got, want := went[family.server(i).String()], connections*int(weight)/8; got != want {
					t.Errorf("of %d connections, %d went to the server of weight %d, not %d", connections, got, weight, want)
				}
			}
			status := n.countedUp(pool.Service.ServiceID, func(c ipvs.Counters) bool { return c.Connections >= connections })
			var sum ipvs.Counters
			for i, d := range status.Destinations {
				want := connections * weights[i] / 8
				if d.Active != want || d.Stats.Connections != uint64(want) {
					t.Errorf("server %d has %d connections, of %d that it ever had; %d are open", i, d.Active, d.Stats.Connections, want)
				}
				sum.Connections += d.Stats.Connections
				sum.PacketsIn += d.Stats.PacketsIn
				sum.PacketsOut += d.Stats.PacketsOut
				sum.BytesIn += d.Stats.BytesIn
				sum.BytesOut += d.Stats.BytesOut
			}
			if sum != status.Service.Stats || sum.Connections != connections || sum.BytesIn == 0 || sum.BytesOut == 0 {
				t.Errorf("the service counts %+v, its destinations %+v", status.Service.Stats, sum)
			}
			for _, c := range open {
				c.Close()
			}
		})
	}
}

func TestDatagramsAreCountedToTheByte(t *testing.T) {
	n := newNetwork(t)
	for _, family := range []struct {
		name    string
		virtual netip.AddrPort
		server  netip.AddrPort
		headers uint64 // of IP and UDP
	}{{"IPv4", virtual4, server4(0), 28}, {"IPv6", virtual6, server6(0), 48}} {
		t.Run(family.name, func(t *testing.T) {
			id := ipvs.Virtual(ipvs.UDP, family.virtual)
			apply(t, n.ipvs, []ipvs.Pool{{
				Service:      ipvs.Service{ServiceID: id, Scheduler: "rr"},
				Destinations: []ipvs.Destination{{Address: family.server, Weight: 1}},
			}}, nil)
			var server *net.UDPConn
			n.in(n.servers, func() (err error) {
				server, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(family.server))
				return err
			})
			defer server.Close()
			var client net.Conn
			n.in(n.client, func() (err error) {
				client, err = net.Dial("udp", family.virtual.String())
				return err
			})
			defer client.Close()

			var in, out uint64
			b := make([]byte, 2000)
			for size := 1; size <= 1001; size += 100 {
				deadline := time.Now().Add(10 * time.Second)
				client.SetDeadline(deadline)
				server.SetDeadline(deadline)
				if _, err := client.Write(b[:size]); err != nil {
					t.Fatal(err)
				}
				got, from, err := server.ReadFromUDPAddrPort(b)
				if err != nil || got != size {
					t.Fatalf("%d bytes, %v", got, err)
				}
				if _, err := server.WriteToUDPAddrPort(b[:size/2], from); err != nil {
					t.Fatal(err)
				}
				if got, err := client.Read(b); err != nil || got != size/2 {
					t.Fatalf("%d bytes, %v", got, err)
				}
				in, out = in+uint64(size)+family.headers, out+uint64(size/2)+family.headers
			}
			want := ipvs.Counters{Connections: 1, PacketsIn: 11, PacketsOut: 11, BytesIn: in, BytesOut: out}
			pool := n.countedUp(id, func(c ipvs.Counters) bool { return c.PacketsIn >= want.PacketsIn && c.PacketsOut >= want.PacketsOut })
			if pool.Service.Stats != want || pool.Destinations[0].Stats != want {
				t.Errorf("the service counts %+v, the destination %+v, and %+v was sent", pool.Service.Stats, pool.Destinations[0].Stats, want)
			}
			if got := n.ipvsadmStats(id); !slices.Equal(got, []ipvs.Counters{want, want}) {
				t.Errorf("ipvsadm shows %+v", got)
			}
			if err := n.ipvs.Zero(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			if pool, err := n.ipvs.Pool(t.Context(), id); err != nil || pool.Service.Stats != (ipvs.Counters{}) {
				t.Errorf("after Zero it counts %+v, %v", pool.Service.Stats, err)
			}
		})
	}
}

func TestApplyOfAChangedPoolDropsNoEstablishedConnection(t *testing.T) {
	n := newNetwork(t)
	n.serve(server4(0), server4(1), server4(2), server4(3))
	pools := []ipvs.Pool{webPool(virtual4, "rr", server4(0), server4(1))}
	apply(t, n.ipvs, pools, nil)
	var open []*connection
	for range 20 {
		open = append(open, n.dial(virtual4))
	}

	stop := make(chan struct{})
	var talking sync.WaitGroup
	for _, c := range open {
		talking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := c.answers(); err != nil {
					t.Errorf("a connection to %s: %v", c.server, err)
					return
				}
			}
		})
	}
	for i := range 20 {
		pool := webPool(virtual4, []string{"rr", "wlc", "sh", "wrr"}[i%4], server4(0), server4(1), server4(2+i%2))
		pool.Destinations[0].Weight = uint32(1 + i)
		pool.Destinations[1].UpperThreshold = uint32(100 + i)
		pools = []ipvs.Pool{pool, webPool(netip.AddrPortFrom(virtual4.Addr(), uint16(1000+i)), "rr", server4(3))}
		apply(t, n.ipvs, pools, &ipvs.ApplyConfig{Prune: true})
	}
	close(stop)
	talking.Wait()
	wantPools(t, n.ipvs, pools)
}

// ipvsadmStats is what ipvsadm shows of a service's counters, and below of its
// destinations'.
func (n *network) ipvsadmStats(id ipvs.ServiceID) []ipvs.Counters {
	n.t.Helper()
	ipvsadm := testenv.Program(n.t, "ipvsadm", "ipvsadm")
	var out []byte
	n.in(n.balancer, func() (err error) {
		out, err = exec.Command(ipvsadm, "-L", "-n", "--stats", "--exact", "-u", id.Address.String()).CombinedOutput()
		return err
	})
	var all []ipvs.Counters
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line) // "UDP 10.0.1.100:80 …", "-> 10.0.2.10:8080 …"
		if len(fields) != 7 || strings.HasPrefix(fields[2], "Conns") {
			continue
		}
		var c ipvs.Counters
		for i, to := range []*uint64{&c.Connections, &c.PacketsIn, &c.PacketsOut, &c.BytesIn, &c.BytesOut} {
			if _, err := fmt.Sscan(fields[2+i], to); err != nil {
				n.t.Fatalf("%q: %v", line, err)
			}
		}
		all = append(all, c)
	}
	return all
}

func TestADestinationWithPort0IsReachedAtThePortOfTheService(t *testing.T) {
	n := newNetwork(t)
	at := netip.AddrPortFrom(server4(0).Addr(), virtual4.Port())
	n.serve(at)
	apply(t, n.ipvs, []ipvs.Pool{webPool(virtual4, "rr", netip.AddrPortFrom(at.Addr(), 0))}, nil)
	if c := n.dial(virtual4); c.server != at.String() {
		t.Errorf("a client of %s was served at %s", virtual4, c.server)
	}
}
