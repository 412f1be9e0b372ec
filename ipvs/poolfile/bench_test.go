package poolfile_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/gnlgo/gnl/ipvs"
	"github.com/gnlgo/gnl/ipvs/poolfile"
)

// manyPools are 1,000 services with 100 destinations each.
func manyPools() []ipvs.Pool {
	pools := make([]ipvs.Pool, 1000)
	for i := range pools {
		address := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		pools[i].Service = ipvs.Service{ServiceID: ipvs.Virtual(ipvs.TCP, netip.AddrPortFrom(address, 80)), Scheduler: "wrr"}
		for j := range 100 {
			address := netip.AddrFrom4([4]byte{10, byte(1 + j), byte(i >> 8), byte(i)})
			pools[i].Destinations = append(pools[i].Destinations, ipvs.Destination{Address: netip.AddrPortFrom(address, 8080), Weight: 1})
		}
	}
	return pools
}

func BenchmarkRead(b *testing.B) {
	for _, format := range formats {
		text := write(b, format, manyPools())
		b.Run(fmt.Sprintf("%s/100000-destinations", format), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := poolfile.Read(strings.NewReader(text), format); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	pools := manyPools()
	for _, format := range formats {
		b.Run(fmt.Sprintf("%s/100000-destinations", format), func(b *testing.B) {
			b.ReportAllocs()
			var text strings.Builder
			for b.Loop() {
				text.Reset()
				if err := poolfile.Write(&text, format, pools); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
