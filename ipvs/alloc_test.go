//go:build linux

package ipvs

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/gnlgo/gnl/attr"
)

func wantAllocs(t *testing.T, what string, most float64, f func()) {
	t.Helper()
	if raceDetector {
		t.Skip("allocations cannot be counted under the race detector")
	}
	f() // the memory that is kept
	if n := testing.AllocsPerRun(100, f); n > most {
		t.Errorf("%s: %v allocations, want at most %v", what, n, most)
	}
}

func TestChangesAreAddedToAUsedBatchWithoutAllocation(t *testing.T) {
	b := New(nil).Batch()
	s := with(v6, func(s *Service) { s.Netmask = PrefixMask(IPv6, 64); s.Engine = "sip" })
	d := with(tunnelTo("10.0.0.5:80", 1), func(d *Destination) { d.Tunnel = Encapsulation{Type: GUE, Port: 1} })
	wantAllocs(t, "100 of each", 0, func() {
		b.Reset()
		for range 100 {
			b.AddService(s)
			b.AddService(marked(10, IPv4))
			b.SetService(s)
			b.RemoveService(s.ServiceID)
			b.Zero(s.ServiceID)
			b.AddDestination(one.ServiceID, d)
			b.SetDestination(one.ServiceID, d)
			b.RemoveDestination(one.ServiceID, d.Address)
		}
	})
	if b.Len() != 800 {
		t.Errorf("%d changes", b.Len())
	}
	for i := range b.Len() {
		must(t, b.Err(i))
	}
}

func TestAnswersAreDecodedWithoutAllocation(t *testing.T) {
	littleEndian(t)
	all := recording(t)
	var (
		service     serviceReply
		destination destinationReply
		s           ServiceStatus
		d           DestinationStatus
	)
	services, destinations := all[45].replies(t), all[77].replies(t)
	serviceCodec, err := attr.CodecOf[serviceReply]()
	must(t, err)
	destinationCodec, err := attr.CodecOf[destinationReply]()
	must(t, err)
	wantAllocs(t, "services", 0, func() {
		for i := range services {
			if err := serviceCodec.Unmarshal(services[i].Attributes, &service); err != nil {
				t.Error(err)
			}
			service.load(&s)
		}
	})
	wantAllocs(t, "destinations", 0, func() {
		for i := range destinations {
			if err := destinationCodec.Unmarshal(destinations[i].Attributes, &destination); err != nil {
				t.Error(err)
			}
			if err := destination.load(&d, IPv4); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestListsAllocateNothingForAnEntry(t *testing.T) {
	if raceDetector {
		t.Skip("allocations cannot be counted under the race detector")
	}
	c := kernel(t)
	var s ServiceStatus
	var d DestinationStatus
	b := c.Batch()
	measure := func(n int) (services, destinations float64) {
		b.Reset()
		b.Flush()
		b.AddService(one)
		for i := range n {
			b.AddService(scheduled(tcp(fmt.Sprintf("10.0.0.1:%d", i+1)), []string{"rr", "wrr"}[i%2]))
			b.AddDestination(one.ServiceID, Destination{Address: netip.AddrPortFrom(addr("10.0.0.2"), uint16(i+1)), Weight: 1})
		}
		must(t, b.Do(t.Context()))
		services = testing.AllocsPerRun(20, func() {
			for _, err := range c.ServicesInto(t.Context(), &s) {
				must(t, err)
			}
		})
		return services, testing.AllocsPerRun(20, func() {
			for _, err := range c.DestinationsInto(t.Context(), one.ServiceID, &d) {
				must(t, err)
			}
		})
	}
	fewServices, fewDestinations := measure(1)
	manyServices, manyDestinations := measure(500)
	if manyServices > fewServices+2 || manyDestinations > fewDestinations+2 {
		t.Errorf("services: %v allocations for 2 and %v for 501; destinations: %v and %v", fewServices, manyServices, fewDestinations, manyDestinations)
	}
}

func TestSingleChangesAllocateNothing(t *testing.T) {
	c := kernel(t)
	ctx := t.Context()
	must(t, c.AddService(ctx, one))
	d := Destination{Address: at("10.0.0.5:80"), Weight: 1}
	wantAllocs(t, "add, set and remove a destination, set and zero a service", 0, func() {
		must(t, c.AddDestination(ctx, one.ServiceID, d))
		must(t, c.SetDestination(ctx, one.ServiceID, d))
		must(t, c.RemoveDestination(ctx, one.ServiceID, d.Address))
		must(t, c.SetService(ctx, one))
		must(t, c.Zero(ctx, one.ServiceID))
	})
	b := c.Batch()
	wantAllocs(t, "a batch", 0, func() {
		b.Reset()
		for range 50 {
			b.AddDestination(one.ServiceID, d)
			b.RemoveDestination(one.ServiceID, d.Address)
		}
		must(t, b.Do(ctx))
	})
	wantAllocs(t, "read a service", 0, func() {
		if _, err := c.Service(ctx, one.ServiceID); err != nil {
			t.Error(err)
		}
	})
}
