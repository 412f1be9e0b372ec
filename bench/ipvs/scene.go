package main

import (
	"encoding/binary"
	"net/netip"

	"github.com/gnlgo/gnl/ipvs"
)

// A scene is what is configured: so many services, each with so many destinations.
type scene struct{ Services, Each int }

func (s scene) destinations() int { return s.Services * s.Each }

const (
	scheduler       = "rr" // does nothing for a new destination, so that adding one costs what the rest of IPVS takes
	servicePort     = 80
	destinationPort = 8080
)

// service is the address of a service. None of them is the machine's own.
func (s scene) service(i int) netip.Addr { return address(10, i) }

// destination is the address of a destination: no two services share one.
func (s scene) destination(i, j int) netip.Addr { return address(11, i*s.Each+j) }

// weight differs, so that it is a figure that has to be carried over.
func (s scene) weight(j int) int { return 1 + j%10 }

func address(first byte, n int) netip.Addr {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], uint32(n+1))
	a[0] = first
	return netip.AddrFrom4(a)
}

// pools are the scene as gnl wants it.
func (s scene) pools() []ipvs.Pool {
	pools := make([]ipvs.Pool, s.Services)
	for i := range pools {
		p := &pools[i]
		p.Service = ipvs.Service{
			ServiceID: ipvs.Virtual(ipvs.TCP, netip.AddrPortFrom(s.service(i), servicePort)),
			Scheduler: scheduler,
		}
		p.Destinations = make([]ipvs.Destination, s.Each)
		for j := range p.Destinations {
			p.Destinations[j] = ipvs.Destination{
				Address: netip.AddrPortFrom(s.destination(i, j), destinationPort),
				Weight:  uint32(s.weight(j)),
				Method:  ipvs.Masquerade,
			}
		}
	}
	return pools
}

// change changes one destination in a hundred, by turns its weight and its address. It returns what Apply makes of that:
// a new address is an addition and a removal.
func (s scene) change(pools []ipvs.Pool) (changes int) {
	for n := 0; n < s.destinations(); n += 100 {
		d := &pools[n/s.Each].Destinations[n%s.Each]
		if n/100%2 == 0 {
			d.Weight += 100
			changes++
		} else {
			d.Address = netip.AddrPortFrom(address(12, n), destinationPort)
			changes += 2
		}
	}
	return changes
}
