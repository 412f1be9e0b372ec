//go:build linux

package ipvs

import (
	"net/netip"
	"testing"

	"github.com/gnlgo/gnl/attr"
)

// What a destination costs on this side of the kernel, in being added.
func BenchmarkBatchAddDestination(b *testing.B) {
	b.ReportAllocs()
	batch := New(nil).Batch()
	d := Destination{Address: at("10.0.0.5:80"), Weight: 1}
	for b.Loop() {
		if batch.Len() == 10_000 {
			batch.Reset()
		}
		batch.AddDestination(one.ServiceID, d)
	}
}

// The same in being listed.
func BenchmarkDecodeDestination(b *testing.B) {
	b.ReportAllocs()
	var reply destinationReply
	var d DestinationStatus
	codec, err := attr.CodecOf[destinationReply]()
	must(b, err)
	o := recording(b)[77]
	answer := o.replies(b)[0].Attributes
	for b.Loop() {
		if err := codec.Unmarshal(answer, &reply); err != nil {
			b.Fatal(err)
		}
		if err := reply.load(&d, IPv4); err != nil {
			b.Fatal(err)
		}
	}
}

// The kernel included: a thousand destinations, added and removed.
func BenchmarkAddAndRemoveDestinations(b *testing.B) {
	c := kernel(b)
	must(b, c.AddService(b.Context(), one))
	batch := c.Batch()
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		for i := range 1000 {
			batch.AddDestination(one.ServiceID, Destination{Address: netip.AddrPortFrom(addr("10.0.0.5"), uint16(i+1)), Weight: 1})
		}
		for i := range 1000 {
			batch.RemoveDestination(one.ServiceID, netip.AddrPortFrom(addr("10.0.0.5"), uint16(i+1)))
		}
		must(b, batch.Do(b.Context()))
	}
}

func BenchmarkListDestinations(b *testing.B) {
	c := kernel(b)
	must(b, c.AddService(b.Context(), one))
	batch := c.Batch()
	for i := range 1000 {
		batch.AddDestination(one.ServiceID, Destination{Address: netip.AddrPortFrom(addr("10.0.0.5"), uint16(i+1)), Weight: 1})
	}
	must(b, batch.Do(b.Context()))
	var d DestinationStatus
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range c.DestinationsInto(b.Context(), one.ServiceID, &d) {
			must(b, err)
		}
	}
}
