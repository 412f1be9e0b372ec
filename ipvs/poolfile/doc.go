// Package poolfile reads and writes IPVS pools as files: JSON, YAML, and the
// text of "ipvsadm -S -n". What it writes reads back as the same pools; what a
// format cannot hold is an error of [Write], never lost in silence.
//
// # JSON and YAML
//
// Both have one schema. A file is an object with the key pools, or just the
// list; the object is what is written.
//
//	pools:
//	  - service:
//	      protocol: tcp             # tcp, udp, sctp
//	      address: 10.0.0.1:80      # [2001:db8::1]:80; port 0 is all ports
//	      scheduler: wrr
//	      flags: [persistent]       # ops, sh-port, sh-fallback, mh-port, mh-fallback, flag-1 to flag-3
//	      timeout: 5m               # or seconds: 300
//	      netmask: 255.255.255.0    # or its length: 24; for IPv6 the length alone
//	      engine: sip
//	    destinations:
//	      - {address: 10.1.0.5:8080, method: masquerade, weight: 1}
//	      - address: 10.1.0.6       # the service's port
//	        method: tunnel          # masquerade, local, tunnel, route, bypass
//	        weight: 5
//	        upper_threshold: 1000
//	        lower_threshold: 800
//	        tunnel: {type: gue, port: 6080, flags: [csum]}
//	  - service: {mark: 10, family: ipv6, scheduler: rr}
//	    destinations: []
//
// Left out, a weight is 1, a destination's port the service's, a mark's family
// ipv4, and a list of flags or destinations is empty. A scheduler, a method and
// a persistent service's timeout have no default: ipvsadm, gnlpy and the kernel
// each have another one.
//
// Unknown keys, keys given twice, services and destinations given twice, and
// whatever [ipvs.Service.Validate] and [ipvs.Destination.Validate] refuse are
// errors, reported with their places, many at once ([Errors]). A key without a
// value is one too, and so is an empty file: it might be meant to remove
// everything, which "pools: []" says clearly.
//
// In YAML, anchors, aliases and merge keys (<<) can be used.
//
// # gnlpy's JSON
//
// The list of pools that gnlpy (github.com/facebook/gnlpy) keeps is read too,
// as it is:
//
//	[{"service": {"proto": "TCP", "vip": "10.0.0.1", "port": 80, "sched": "rr", "af": 2},
//	  "dests": [{"ip": "10.1.0.5", "weight": 1}]},
//	 {"service": {"fwmark": 10, "sched": "rr", "af": 2}, "dests": []}]
//
// There, as in gnlpy, a destination's method (fwd_method) left out is tunnel,
// its port the service's; af may be left out beside a vip. One file keeps to
// one of the two schemas.
//
// # ipvsadm's text
//
// A line of ipvsadm's text is an -A for a service or an -a for a destination,
// with short or long options. What is left out is what ipvsadm 1.31 makes of it:
// the scheduler wlc, the weight 1, the method route, the service's port, and 360
// seconds of persistence (its manual says 300). Beyond what ipvsadm -R reads,
// lines may be comments (#); names of hosts and ports are not looked up. No lines
// at all are no pools, as ipvsadm -S prints it, if the format is given.
//
// The text of ipvsadm -S is not all that the kernel holds. It leaves out
// thresholds, the netmask and timeout of a service that is not persistent, and
// flag-3 of the schedulers sh and mh beside another flag. It prints the method local as route and
// the method bypass as (null), which is an error here, and marks from 2³¹ on as
// negative numbers, which are read as they are meant. [Write] writes all of
// this that ipvsadm -R takes: thresholds, netmasks, flags and marks.
//
// ipvsadm -R has no option for the rest, nor does it take comments, so each of
// these is an error of Write: the methods local and bypass; a timeout without
// persistence, and persistence for 0 seconds or more than 31 days;
// GUE with both kinds of checksum; and with the methods route and tunnel a port
// other than the service's, which ipvsadm -R would put in its place, though
// ipvsadm -S prints it.
package poolfile
