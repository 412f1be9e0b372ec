package poolfile_test

import (
	"net/netip"
	"testing"

	"github.com/gnlgo/gnl/ipvs"
	"github.com/gnlgo/gnl/ipvs/poolfile"
)

func TestPoolsOfGnlpyLoadUnchanged(t *testing.T) {
	address := netip.MustParseAddrPort
	pools := read(t, poolfile.JSON, `[
	{"service": {"proto": "TCP", "vip": "1.1.1.1", "port": 80, "sched": "rr", "af": 2},
	 "dests": [{"ip": "2.2.2.2", "weight": 1},
	           {"ip": "3.3.3.3", "weight": 100, "port": 8080, "fwd_method": 0},
	           {"ip": "A::1", "weight": 0, "fwd_method": 2}]},
	{"service": {"proto": "udp", "vip": "::1", "port": 53, "sched": "wrr", "fwmark": null},
	 "dests": [{"ip": "::2", "port": null, "fwd_method": 3}, {"ip": "::3", "fwd_method": 1}, {"ip": "::4", "fwd_method": 4}]},
	{"service": {"fwmark": 10, "sched": "rr", "af": 2, "proto": null, "vip": null, "port": null},
	 "dests": [{"ip": "2.2.2.2", "weight": 2}, {"ip": "2.2.2.2", "weight": 2, "port": 80}]},
	{"service": {"fwmark": 10, "sched": "rr", "af": 10}, "dests": []},
	{"service": {"proto": "TCP", "vip": "1.1.1.1", "port": 81, "sched": "rr", "af": 2}}
	]`)
	want := []ipvs.Pool{{
		Service: ipvs.Service{ServiceID: ipvs.Virtual(ipvs.TCP, address("1.1.1.1:80")), Scheduler: "rr"},
		Destinations: []ipvs.Destination{
			{Address: address("2.2.2.2:80"), Weight: 1, Method: ipvs.Tunnel},
			{Address: address("3.3.3.3:8080"), Weight: 100, Method: ipvs.Masquerade},
			{Address: address("[a::1]:80"), Method: ipvs.Tunnel},
		},
	}, {
		Service: ipvs.Service{ServiceID: ipvs.Virtual(ipvs.UDP, address("[::1]:53")), Scheduler: "wrr"},
		Destinations: []ipvs.Destination{
			{Address: address("[::2]:53"), Weight: 1, Method: ipvs.Route},
			{Address: address("[::3]:53"), Weight: 1, Method: ipvs.Local},
			{Address: address("[::4]:53"), Weight: 1, Method: ipvs.Bypass},
		},
	}, {
		Service: ipvs.Service{ServiceID: ipvs.Marked(10, ipvs.IPv4), Scheduler: "rr"},
		Destinations: []ipvs.Destination{
			{Address: address("2.2.2.2:0"), Weight: 2, Method: ipvs.Tunnel},
			{Address: address("2.2.2.2:80"), Weight: 2, Method: ipvs.Tunnel},
		},
	}, {
		Service: ipvs.Service{ServiceID: ipvs.Marked(10, ipvs.IPv6), Scheduler: "rr"},
	}, {
		Service: ipvs.Service{ServiceID: ipvs.Virtual(ipvs.TCP, address("1.1.1.1:81")), Scheduler: "rr"},
	}}
	if d := difference(pools, want); d != "" {
		t.Error(d)
	}
}
