package poolfile_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/gnlgo/gnl/ipvs"
	"github.com/gnlgo/gnl/ipvs/poolfile"
)

// seeded is a source of randomness whose seed stands in the log of the test.
func seeded(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func oneOf[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

// randomPools are pools that a format can hold, with everything that it can.
func randomPools(r *rand.Rand, format poolfile.Format) []ipvs.Pool {
	var pools []ipvs.Pool
	seen := map[ipvs.ServiceID]bool{}
	for range r.IntN(6) {
		service := randomService(r, format)
		if seen[service.ServiceID] {
			continue
		}
		seen[service.ServiceID] = true
		pool := ipvs.Pool{Service: service}
		addresses := map[netip.AddrPort]bool{}
		for range r.IntN(6) {
			d := randomDestination(r, format, service.ServiceID)
			if !addresses[d.Address] {
				addresses[d.Address] = true
				pool.Destinations = append(pool.Destinations, d)
			}
		}
		pools = append(pools, pool)
	}
	return pools
}

func randomAddress(r *rand.Rand, family ipvs.Family) netip.Addr {
	if family == ipvs.IPv4 {
		return netip.AddrFrom4([4]byte{10, byte(r.IntN(2)), 0, byte(r.Uint32())})
	}
	a := netip.MustParseAddr("2001:db8::").As16()
	a[5], a[15] = byte(r.IntN(2)), byte(r.Uint32())
	return netip.AddrFrom16(a)
}

func randomService(r *rand.Rand, format poolfile.Format) ipvs.Service {
	var s ipvs.Service
	family := oneOf(r, ipvs.IPv4, ipvs.IPv6)
	port := oneOf(r, 0, uint16(r.UintN(65536)))
	if r.IntN(4) == 0 {
		s.ServiceID = ipvs.Marked(oneOf(r, 1, math.MaxUint32, 1+r.Uint32N(math.MaxUint32)), family)
	} else {
		s.ServiceID = ipvs.Virtual(oneOf(r, ipvs.TCP, ipvs.UDP, ipvs.SCTP), netip.AddrPortFrom(randomAddress(r, family), port))
	}
	s.Scheduler = oneOf(r, "rr", "wrr", "lc", "wlc", "sh", "mh", "fo", "yes", "10", "null", "1e3", "-", "é", "a:b", "x_y-z")
	s.Flags = ipvs.ServiceFlags(r.Uint32N(8)) * ipvs.SchedulerFlag1
	if s.Mark != 0 || s.Protocol == ipvs.UDP {
		s.Flags |= oneOf(r, 0, ipvs.OnePacket)
	}
	if s.Mark == 0 && port == 0 || r.IntN(2) == 0 {
		s.Flags |= ipvs.Persistent
		s.Timeout = time.Duration(oneOf(r, 1, 60, 300, 3600, 5400, 1+r.Int64N(2678400))) * time.Second
	}
	s.Flags |= oneOf(r, 0, ipvs.Hashed) // of what the kernel reports
	switch {
	case r.IntN(2) == 0:
	case family == ipvs.IPv4:
		s.Netmask = oneOf(r, ipvs.PrefixMask(family, r.IntN(33)), netip.MustParseAddr("255.0.255.0"))
	default:
		s.Netmask = ipvs.PrefixMask(family, 1+r.IntN(128))
	}
	s.Engine = oneOf(r, "", "sip")
	if format == poolfile.IPVSAdm {
		return s
	}

	s.Timeout *= time.Duration(r.IntN(2))
	if s.Flags&ipvs.Persistent == 0 {
		s.Timeout = oneOf(r, 0, 4294967*time.Second)
	}
	s.Engine = oneOf(r, s.Engine, "a b", " ", "#x", "tab\there", "'quote'\"s", "~", "[x]", "\u2028", "\x01")
	return s
}

func randomDestination(r *rand.Rand, format poolfile.Format, service ipvs.ServiceID) ipvs.Destination {
	var d ipvs.Destination
	family := oneOf(r, ipvs.IPv4, ipvs.IPv6)
	d.Method = ipvs.Tunnel
	if family == service.IPFamily() {
		d.Method = oneOf(r, ipvs.Masquerade, ipvs.Route, ipvs.Tunnel)
		if format != poolfile.IPVSAdm {
			d.Method = ipvs.Method(r.IntN(int(ipvs.Bypass) + 1))
		}
	}
	port := service.Address.Port()
	if service.Mark != 0 || port == 0 {
		port = uint16(r.UintN(2) * r.UintN(65536))
	} else if r.IntN(2) == 0 {
		port = uint16(1 + r.UintN(65535))
	}
	if format == poolfile.IPVSAdm && d.Method != ipvs.Masquerade && service.Mark == 0 {
		port = service.Address.Port()
	}
	d.Address = netip.AddrPortFrom(randomAddress(r, family), port)
	d.Weight = oneOf(r, 0, 1, r.Uint32N(1<<31))
	if r.IntN(2) == 0 {
		d.UpperThreshold = oneOf(r, math.MaxInt32, r.Uint32N(math.MaxInt32))
		d.LowerThreshold = r.Uint32N(max(1, d.UpperThreshold))
	}
	if d.Method == ipvs.Tunnel {
		d.Tunnel = oneOf(r, ipvs.Encapsulation{},
			ipvs.Encapsulation{Type: ipvs.GUE, Port: uint16(1 + r.UintN(65535)), Flags: oneOf(r, 0, ipvs.Checksum, ipvs.RemoteChecksum)},
			ipvs.Encapsulation{Type: ipvs.GRE, Flags: oneOf(r, 0, ipvs.Checksum)})
		if format != poolfile.IPVSAdm && d.Tunnel.Type == ipvs.GUE {
			d.Tunnel.Flags = ipvs.TunnelFlags(r.UintN(4))
		}
	}
	return d
}

// difference says how two lists of pools differ; it is empty if they mean the
// same.
func difference(got, want []ipvs.Pool) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d pools, not %d", len(got), len(want))
	}
	for i := range got {
		if !got[i].Service.Equal(want[i].Service) {
			// Not %+v, which shows the embedded ServiceID alone.
			return fmt.Sprintf("pools[%d].service:\n%#v\nnot\n%#v", i, got[i].Service, want[i].Service)
		}
		if !slices.Equal(got[i].Destinations, want[i].Destinations) {
			return fmt.Sprintf("pools[%d].destinations:\n%+v\nnot\n%+v", i, got[i].Destinations, want[i].Destinations)
		}
	}
	return ""
}
