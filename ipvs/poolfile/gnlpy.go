package poolfile

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/gnlgo/gnl/ipvs"
)

var (
	gnlpyPoolKeys    = []string{"service", "dests"}
	gnlpyServiceKeys = []string{"proto", "vip", "port", "sched", "fwmark", "af"}
	gnlpyDestKeys    = []string{"ip", "weight", "port", "fwd_method"}
)

// gnlpyKey is what gnlpy calls a field of ipvs.FieldError.
func gnlpyKey(field string, at place) string {
	switch field {
	case "address":
		if at.destination >= 0 {
			return "ip"
		}
		return "vip"
	case "protocol":
		return "proto"
	case "mark":
		return "fwmark"
	case "family":
		return "af"
	case "scheduler":
		return "sched"
	case "method":
		return "fwd_method"
	}
	return field
}

// isGnlpy reports whether a pool has keys that gnlpy alone uses.
func isGnlpy(pool *node) bool {
	// Most of the keys decide: one may be a mistake.
	gnlpys, ours := pool.count("dests"), pool.count("destinations")
	if service := pool.get("service"); service != nil {
		gnlpys += service.count("proto", "vip", "port", "sched", "fwmark", "af")
		ours += service.count("protocol", "address", "mark", "family", "scheduler")
	}
	return gnlpys > ours
}

// withoutNulls leaves out what Python wrote as None.
func (n *node) withoutNulls() *node {
	without := *n
	without.entries = nil
	for _, e := range n.entries {
		if e.value.kind != kindNull {
			without.entries = append(without.entries, e)
		}
	}
	return &without
}

// gnlpyPool reads a pool, and reports whether its service is known.
func (o *object) gnlpyPool(pool *ipvs.Pool) bool {
	if !o.open(gnlpyPoolKeys) {
		return false
	}
	service := o.node.get("service")
	if service == nil {
		o.missing("service", "")
		return false
	}
	at := object{report: o.report, node: service.withoutNulls(), place: o.place}
	at.place.whole = false
	ok := at.gnlpyService(&pool.Service)
	o.destinations(pool, "dests", ok, (*object).gnlpyDest)
	return ok
}

func (o *object) gnlpyService(s *ipvs.Service) bool {
	before := o.count()
	if !o.open(gnlpyServiceKeys) {
		return false
	}
	family := ipvs.Family(o.number("af", 1<<16-1, 0))
	if family != 0 && family != ipvs.IPv4 && family != ipvs.IPv6 {
		o.fail("af", fmt.Errorf("%d is neither 2 (IPv4) nor 10 (IPv6)", family))
	}
	s.Scheduler = o.text("sched", "rr")
	if !o.node.has("sched") {
		o.missing("sched", "; rr and wlc are the usual ones")
	}
	if o.node.has("fwmark") {
		o.gnlpyMark(s, family)
	} else {
		o.gnlpyVIP(s, family)
	}
	if o.count() == before {
		if err := s.Validate(); err != nil {
			o.refuse(err)
		}
	}
	return o.count() == before
}

func (o *object) gnlpyMark(s *ipvs.Service, family ipvs.Family) {
	for _, other := range []string{"vip", "port", "proto"} {
		if o.node.has(other) {
			o.fail(other, errors.New("stands beside fwmark; a service has one or the other"))
		}
	}
	if s.Mark = uint32(o.number("fwmark", 1<<32-1, 0)); s.Mark == 0 {
		o.fail("fwmark", fmt.Errorf("firewall marks are 1 to %d", uint32(1<<32-1)))
	}
	if s.Family = family; !o.node.has("af") {
		o.missing("af", "; a service with fwmark needs 2 (IPv4) or 10 (IPv6)")
	}
}

func (o *object) gnlpyVIP(s *ipvs.Service, family ipvs.Family) {
	for _, needed := range []string{"proto", "vip", "port"} {
		if !o.node.has(needed) {
			o.missing(needed, "; a service has proto, vip and port, or fwmark")
		}
	}
	o.unmarshal("proto", "TCP", &s.Protocol)
	vip := o.address("vip")
	s.Address = netip.AddrPortFrom(vip, uint16(o.number("port", 1<<16-1, 0)))
	if vip.IsValid() && family != 0 && family != s.IPFamily() {
		o.fail("af", fmt.Errorf("%d is not the family of %s", family, vip))
	}
}

// address is an address without a port.
func (o *object) address(key string) netip.Addr {
	text := o.text(key, "10.0.0.1")
	if text == "" {
		return netip.Addr{}
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		o.fail(key, fmt.Errorf("%q is no IP address", text))
	}
	return address
}

func (o *object) gnlpyDest(d *ipvs.Destination, service ipvs.ServiceID) bool {
	o.node = o.node.withoutNulls()
	before := o.count()
	if !o.open(gnlpyDestKeys) {
		return false
	}
	if !o.node.has("ip") {
		o.missing("ip", "")
	}
	port := o.number("port", 1<<16-1, uint64(service.Address.Port()))
	d.Address = netip.AddrPortFrom(o.address("ip"), uint16(port))
	d.Weight = uint32(o.number("weight", 1<<31-1, 1))
	d.Method = ipvs.Method(o.number("fwd_method", uint64(ipvs.Bypass), uint64(ipvs.Tunnel)))
	return o.count() == before
}
