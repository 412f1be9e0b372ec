package poolfile_test

import (
	"strings"
	"testing"

	"github.com/gnlgo/gnl/ipvs/poolfile"
)

// mistakes are files that do not read, and the errors. A line that ends in "…"
// goes on in the words of package ipvs.
var mistakes = []struct{ text, want string }{
	{"# nothing",
		"the file is empty; for no pools at all write: pools: []"},
	{"{}",
		"1:1: pools: missing; for no pools at all write: pools: []"},
	{`{"pools": []`,
		"1:12: JSON: unexpected end of JSON input"},
	{`{"pools": [}`,
		"1:12: JSON: invalid character '}' looking for beginning of value"},
	{`[{"service": {"mark": 010}}]`,
		"1:24: JSON: invalid character '1' after object key:value pair"},
	{"[1, 2,]",
		"1:7: JSON: invalid character ']' looking for beginning of value"},
	{"[] x",
		"1:4: JSON: invalid character 'x' after top-level value"},
	{"pools",
		"1:1: pools: is text, and should be a list"},
	{"pools:",
		"1:1: pools: has no value; an empty list is []"},
	{"pools: {}",
		"1:8: pools: is an object, and should be a list"},
	{"poosl: []",
		`1:1: unknown key "poosl"; did you mean "pools"?`},
	{`pools: []
version: 1`,
		`2:1: unknown key "version"; known are pools`},
	{`pools: []
pools: []`,
		"2:1: pools: stands here twice, first in line 1"},
	{`pools: []
---
pools: []`,
		"YAML: expected single document, found multiple"},
	{"pools: [",
		"2:1: YAML: while parsing a flow node: did not find expected node content"},
	{"- service: {mark: 1, scheduler: rr}\n\tdestinations: []",
		"2:1: YAML: while scanning for the next token: found character that cannot start any token; indent with blanks, not with tabs"},
	{"- service: *nowhere",
		"1:12: YAML: unknown anchor 'nowhere' referenced"},
	{"- service: &self {<<: *self}",
		"1:23: YAML: nested too deep, or more than a million values by way of aliases"},
	{"- service: {<<: 5, mark: 1, scheduler: rr}",
		"1:17: YAML: << takes an object or a list of them, not a number"},
	{"- service: {? [a] : 1}",
		"1:15: YAML: a key must be a plain word"},
	{"- service: {mark: !!binary aGk=, scheduler: !own rr}",
		`1:19: pools[0].service.mark: is a value of a type of its own, and should be a number from 0 to 4294967295, without quotes
1:45: pools[0].service.scheduler: is a value of a type of its own, and should be text in quotes, such as "wrr"`},
	{`- 5
- service: 5
- destinations: []`,
		`1:3: pools[0]: is a number, and should be an object with the keys service, destinations
2:12: pools[1].service: is a number, and should be an object with the keys protocol, address, mark, family, scheduler, flags, timeout, netmask, engine
3:3: pools[2].service: missing`},
	{`- service: {protocol: tcp, adress: 10.0.0.1:80, scheduler: rr}
  destination: []`,
		`1:28: pools[0].service: unknown key "adress"; did you mean "address"?
2:3: pools[0]: unknown key "destination"; did you mean "destinations"?`},
	{"- service: {protocol: tcp, address: 10.0.0.1:80, address: 10.0.0.2:80, scheduler: rr, colour: red}",
		`1:50: pools[0].service.address: stands here twice, first in line 1
1:87: pools[0].service: unknown key "colour"; known are protocol, address, mark, family, scheduler, flags, timeout, netmask, engine`},
	{"- service: {scheduler: rr}",
		"1:12: pools[0].service.address: missing; a service has a protocol and an address, or a mark"},
	{"- service: {address: 10.0.0.1:80, scheduler: rr}",
		"1:12: pools[0].service.protocol: missing: tcp, udp or sctp"},
	{"- service: {protocol: tcp, scheduler: rr}",
		"1:12: pools[0].service.address: missing; a service has a protocol and an address, or a mark"},
	{"- service: {protocol: icmp, address: 10.0.0.1:80, scheduler: rr}",
		`1:23: pools[0].service.protocol: protocol "icmp": not tcp, udp, sctp or a number up to 255`},
	{"- service: {protocol: 1, address: 10.0.0.1, scheduler: 5}",
		`1:23: pools[0].service.protocol: is a number, and should be text in quotes, such as "tcp"
1:35: pools[0].service.address: "10.0.0.1" lacks the port; port 0 is all ports of a persistent service
1:56: pools[0].service.scheduler: is a number, and should be text in quotes, such as "wrr"`},
	{`- service: {protocol: tcp, address: www.example.org:80, scheduler: rr}
- service: {protocol: tcp, address: "10.0.0.1:http", scheduler: rr}
- service: {protocol: tcp, address: 10.0.0.1:99999, scheduler: rr}
- service: {protocol: tcp, address: "", scheduler: rr}
- service: {protocol: tcp, address: [], scheduler: rr}
- service: {protocol: tcp, address: 80, scheduler: rr}`,
		`1:37: pools[0].service.address: "www.example.org:80" is no IP address with a port, such as 10.0.0.1:80 or [2001:db8::1]:80 (names are not looked up)
2:37: pools[1].service.address: "http" in "10.0.0.1:http" is no port number from 0 to 65535
3:37: pools[2].service.address: "99999" in "10.0.0.1:99999" is no port number from 0 to 65535
4:37: pools[3].service.address: is empty; leave the key out
5:37: pools[4].service.address: is a list, and should be text in quotes, such as "10.0.0.1:80"
6:37: pools[5].service.address: is a number, and should be text in quotes, such as "10.0.0.1:80"`},
	{"- service: {protocol: tcp, address: [2001:db8::1]:80, scheduler: rr}",
		"1:50: YAML: while parsing a flow mapping: did not find expected ',' or '}'; an address that begins with a bracket needs quotes: '[2001:db8::1]:80'"},
	{`- service:
    protocol: tcp
    address: [2001:db8::1]:80`,
		"3:27: YAML: while parsing a block mapping: did not find expected key; an address that begins with a bracket needs quotes: '[2001:db8::1]:80'"},
	{`- service: {protocol: tcp, address: "[::ffff:10.0.0.1]:80", scheduler: rr}
- service: {protocol: tcp, address: "[fe80::1%eth0]:80", scheduler: rr}`,
		`1:37: pools[0].service.address: …
2:37: pools[1].service.address: …`},
	{"- service: {protocol: tcp, address: 10.0.0.1:0, scheduler: rr}",
		"1:37: pools[0].service.address: …"},
	{`- service: {mark: 0, scheduler: rr}
- service: {mark: -1, scheduler: rr}
- service: {mark: 4294967296, scheduler: rr}
- service: {mark: 1.5, scheduler: rr}
- service: {mark: "1", scheduler: rr}
- service: {mark: 007, scheduler: rr}
- service: {mark: 1, family: ipx, scheduler: rr}
- service: {mark: 1, protocol: tcp, scheduler: rr}
- service: {mark: 1, address: 10.0.0.1:80, scheduler: rr}`,
		`1:19: pools[0].service.mark: …
2:19: pools[1].service.mark: -1 is no whole number from 0 to 4294967295
3:19: pools[2].service.mark: 4294967296 is no whole number from 0 to 4294967295
4:19: pools[3].service.mark: 1.5 is no whole number from 0 to 4294967295
5:19: pools[4].service.mark: is text, and should be a number from 0 to 4294967295, without quotes
6:19: pools[5].service.mark: 007 begins with 0, which is octal to some; write 7
7:30: pools[6].service.family: family "ipx": not ipv4 or ipv6
8:19: pools[7].service.mark: …
9:19: pools[8].service.mark: …`},
	{"- service: {protocol: tcp, address: 10.0.0.1:80, family: ipv6, scheduler: rr}",
		"1:58: pools[0].service.family: …"},
	{"- service: {mark: 1}",
		"1:12: pools[0].service.scheduler: missing; rr and wlc are the usual ones"},
	{"- service: {mark: 1, scheduler: averyverylongname}",
		"1:33: pools[0].service.scheduler: …"},
	{"- service: {mark: 1, scheduler: rr, flags: ops}",
		"1:44: pools[0].service.flags: is text, and should be a list of names, such as [persistent]"},
	{"- service: {mark: 1, scheduler: rr, flags: [sh-port, nonsense, 5]}",
		`1:45: pools[0].service.flags[0]: flag "sh-port" is one of the scheduler sh, not of rr
1:54: pools[0].service.flags[1]: flag "nonsense": not persistent, ops, sh-port, sh-fallback, mh-port, mh-fallback, flag-1, flag-2 or flag-3
1:64: pools[0].service.flags[2]: is a number, and should be a name, such as persistent`},
	{"- service: {protocol: tcp, address: 10.0.0.1:80, scheduler: rr, flags: [ops]}",
		"1:72: pools[0].service.flags: …"},
	{"- service: {mark: 1, scheduler: rr, flags: [persistent]}",
		"1:12: pools[0].service.timeout: missing; a persistent service needs one, such as 5m"},
	{`- service: {mark: 1, scheduler: rr, timeout: "300"}
- service: {mark: 2, scheduler: rr, timeout: 1500ms}
- service: {mark: 3, scheduler: rr, timeout: -5m}
- service: {mark: 4, scheduler: rr, timeout: 2147483648}
- service: {mark: 5, scheduler: rr, timeout: true}
- service: {mark: 6, scheduler: rr, timeout: }`,
		`1:46: pools[0].service.timeout: "300" is no duration, such as 90s, 5m or 1h30m, nor a number of seconds
2:46: pools[1].service.timeout: …
3:46: pools[2].service.timeout: …
4:46: pools[3].service.timeout: 2147483648 is no whole number from 0 to 2147483647
5:46: pools[4].service.timeout: is true or false, and should be text in quotes, such as "5m"
6:37: pools[5].service.timeout: has no value; leave it out or give it one`},
	{`- service: {mark: 1, scheduler: rr, netmask: 33}
- service: {mark: 2, scheduler: rr, netmask: /x}
- service: {mark: 3, scheduler: rr, netmask: 255.255.255}
- service: {mark: 4, scheduler: rr, netmask: "ffff::"}
- service: {mark: 5, scheduler: rr, netmask: [24]}
- service: {mark: 6, scheduler: rr, family: ipv6, netmask: 0}
- service: {mark: 7, scheduler: rr, family: ipv6, netmask: 255.255.255.0}`,
		`1:46: pools[0].service.netmask: 33 is no length of a prefix of ipv4
2:46: pools[1].service.netmask: /x is no length of a prefix of ipv4
3:46: pools[2].service.netmask: "255.255.255" is neither a netmask such as 255.255.255.0 nor the length of a prefix such as 24
4:46: pools[3].service.netmask: …
5:46: pools[4].service.netmask: is a list, and should be text in quotes, such as "255.255.255.0"
6:60: pools[5].service.netmask: 0 is no length of a prefix of ipv6
7:60: pools[6].service.netmask: …`},
	{"- service: {mark: 1, scheduler: rr, engine: averyverylongname}",
		"1:45: pools[0].service.engine: …"},
	{`- service: {mark: 1, scheduler: rr}
- service: {mark: 1, scheduler: wlc, family: ipv4}`,
		"2:12: pools[1].service: fwmark:1 is in pools[0] already, in line 1"},
	{`- service: {protocol: tcp, address: 10.0.0.1:80, scheduler: rr}
  destinations:
    - {address: 10.1.0.5:8080}
    - {method: route}
    - {address: 10.1.0.5, method: masqurade}
    - {address: server1:80, method: route}
    - {address: 10.1.0.6, method: route, weight: 1.5}
    - {address: 10.1.0.7, method: route, weight: 2147483648}
    - {address: 10.1.0.8, method: route, wieght: 1}
    - {address: 10.1.0.9, method: 9}
    - {address: "2001:db8::1", method: masquerade}
    - {address: 10.1.0.10, method: route, upper_threshold: 5, lower_threshold: 6}
    - {address: 10.1.0.10, method: "9"}`,
		`3:7: pools[0].destinations[0].method: missing: masquerade, route, tunnel, local or bypass
4:7: pools[0].destinations[1].address: missing
5:35: pools[0].destinations[2].method: forwarding method "masqurade": not masquerade, local, tunnel, route or bypass
6:17: pools[0].destinations[3].address: "server1:80" is no IP address with a port, such as 10.0.0.1:80 or [2001:db8::1]:80 (names are not looked up)
7:50: pools[0].destinations[4].weight: 1.5 is no whole number from 0 to 2147483647
8:50: pools[0].destinations[5].weight: 2147483648 is no whole number from 0 to 2147483647
9:42: pools[0].destinations[6]: unknown key "wieght"; did you mean "weight"?
10:35: pools[0].destinations[7].method: is a number, and should be text in quotes, such as "masquerade"
11:40: pools[0].destinations[8].method: …
12:80: pools[0].destinations[9].lower_threshold: …
13:36: pools[0].destinations[10].method: …`},
	{`- service: {protocol: tcp, address: 10.0.0.1:80, scheduler: rr}
  destinations:
    - {address: 10.1.0.5, method: route}
    - {address: 10.1.0.5:80, method: tunnel}
    - {address: 10.1.0.6, method: route, tunnel: {type: gue, port: 5}}
    - {address: 10.1.0.7, method: tunnel, tunnel: {port: 5}}
    - {address: 10.1.0.8, method: tunnel, tunnel: {type: gue}}
    - {address: 10.1.0.9, method: tunnel, tunnel: {type: vxlan}}
    - {address: 10.1.0.10, method: tunnel, tunnel: {type: gre, flags: [remcsum]}}
    - {address: 10.1.0.11, method: tunnel, tunnel: {type: ipip, flags: [csum]}}
    - {address: 10.1.0.12, method: tunnel, tunnel: {type: gue, prot: 5}}
    - {address: 10.1.0.13, method: tunnel, tunnel: gue}
    - {address: 10.1.0.14, method: tunnel, tunnel: {type: gue, port: 5, flags: [checksum]}}`,
		`4:7: pools[0].destinations[1]: 10.1.0.5:80 is there already, in line 3
5:50: pools[0].destinations[2].tunnel: …
6:51: pools[0].destinations[3].tunnel.type: missing: ipip, gue or gre
7:51: pools[0].destinations[4].tunnel.port: …
8:58: pools[0].destinations[5].tunnel.type: tunnel type "vxlan": not ipip, gue or gre
9:71: pools[0].destinations[6].tunnel.flags: …
10:72: pools[0].destinations[7].tunnel.flags: …
11:64: pools[0].destinations[8].tunnel: unknown key "prot"; did you mean "port"?
12:52: pools[0].destinations[9].tunnel: is text, and should be an object with the keys type, port, flags
13:81: pools[0].destinations[10].tunnel.flags[0]: tunnel flag "checksum": not csum, remcsum or nocsum`},
	{`- service: {mark: 1, scheduler: rr}
  destinations: 5`,
		"2:17: pools[0].destinations: is a number, and should be a list"},
	{`- service: {mark: 1, scheduler: rr}
  destinations:`,
		"2:3: pools[0].destinations: has no value; an empty list is []"},
	{`- service: {mark: 1, scheduler: rr}
- service: {fwmark: 2, sched: rr, af: 2}`,
		"2:3: pools[1]: is in another schema than the pool in line 1: one of them is gnlpy's (service with vip or fwmark, dests)"},
	{`[{"service": {"proto": "TCP", "vip": "10.0.0.1", "port": 80, "sched": "rr"}, "destinations": []}]`,
		`1:78: pools[0]: unknown key "destinations"; known are service, dests`},
	{`[{"service": {"proto": "SCTPX", "vip": "10.0.0.1x", "port": 0, "sched": "rr", "af": 3}, "dests": []},
 {"service": {"proto": "TCP", "vip": "10.0.0.1", "port": 0, "sched": "rr", "af": 10}, "dests": []},
 {"service": {"vip": "10.0.0.1"}, "dests": []},
 {"service": {"fwmark": 10, "sched": "rr"}, "dests": []},
 {"service": {"fwmark": 0, "sched": "rr", "af": 2}, "dests": []},
 {"service": {"fwmark": 10, "vip": "10.0.0.1", "sched": "rr", "af": 2}, "dests": []},
 {"service": {"proto": "TCP", "vip": "10.0.0.1", "port": 0, "sched": "rr", "af": 2}, "dests": []},
 {"dests": []}]`,
		`1:24: pools[0].service.proto: protocol "SCTPX": not tcp, udp, sctp or a number up to 255
1:40: pools[0].service.vip: "10.0.0.1x" is no IP address
1:85: pools[0].service.af: 3 is neither 2 (IPv4) nor 10 (IPv6)
2:82: pools[1].service.af: 10 is not the family of 10.0.0.1
3:14: pools[2].service.sched: missing; rr and wlc are the usual ones
3:14: pools[2].service.proto: missing; a service has proto, vip and port, or fwmark
3:14: pools[2].service.port: missing; a service has proto, vip and port, or fwmark
4:14: pools[3].service.af: missing; a service with fwmark needs 2 (IPv4) or 10 (IPv6)
5:25: pools[4].service.fwmark: firewall marks are 1 to 4294967295
6:36: pools[5].service.vip: stands beside fwmark; a service has one or the other
7:58: pools[6].service.port: …
8:2: pools[7].service: missing`},
	{`[{"service": {"proto": "TCP", "vip": "10.0.0.1", "port": 80, "sched": "rr", "af": 2}, "dests": [
  {"weight": 1},
  {"ip": "323.1.1.1"},
  {"ip": "10.1.0.5", "weight": -1},
  {"ip": "10.1.0.5", "fwd_method": 10},
  {"ip": "10.1.0.5", "fwd_method": "route"},
  {"ip": "10.1.0.5", "rport": 10},
  {"ip": "::1", "fwd_method": 0},
  {"ip": "10.1.0.6"},
  {"ip": "10.1.0.6", "port": 80},
  5]}]`,
		`2:3: pools[0].dests[0].ip: missing
3:10: pools[0].dests[1].ip: "323.1.1.1" is no IP address
4:32: pools[0].dests[2].weight: -1 is no whole number from 0 to 2147483647
5:36: pools[0].dests[3].fwd_method: 10 is no whole number from 0 to 4
6:36: pools[0].dests[4].fwd_method: is text, and should be a number from 0 to 4, without quotes
7:22: pools[0].dests[5]: unknown key "rport"; did you mean "port"?
8:31: pools[0].dests[6].fwd_method: …
10:3: pools[0].dests[8]: 10.1.0.6:80 is there already, in line 9
11:3: pools[0].dests[9]: is a number, and should be an object with the keys ip, weight, port, fwd_method`},
	{`-A -t 10.0.0.1:80 -s rr
-A -t 10.0.0.1:80 -s wrr`,
		"2:4: -t: tcp:10.0.0.1:80 is there already, in line 1"},
	{"-a -t 10.0.0.1:80 -r 10.1.0.5:80 -m",
		"1:4: -t: no -A before this line adds tcp:10.0.0.1:80"},
	{`-A -t 10.0.0.1:80
-a -t 10.0.0.1:80 -r 10.1.0.5:80 -m
-a -t 10.0.0.1:80 -r 10.1.0.5 -m -w 5`,
		"3:19: -r: 10.1.0.5:80 is behind tcp:10.0.0.1:80 already, in line 2"},
	{"-A -t",
		"1:4: -t: lacks its value"},
	{"-A -s rr",
		"1:1: lacks the service: -t, -u, --sctp-service or -f"},
	{"-A -t 10.0.0.1:80 -u 10.0.0.1:80",
		"1:19: -u: -t is there too; only one of them can be"},
	{"-A -t 10.0.0.1:80 -t 10.0.0.2:80",
		"1:19: -t: stands twice in one line"},
	{"-A -t www:http -s rr",
		`1:4: -t: "www:http" is no IP address with a port, such as 10.0.0.1:80 or [2001:db8::1]:80 (names are not looked up)`},
	{`-A -t "10.0.0.1:80" -s rr`,
		`1:4: -t: "\"10.0.0.1:80\"" is no IP address with a port, such as 10.0.0.1:80 or [2001:db8::1]:80 (names are not looked up)`},
	{"-A -t 10.0.0.1:0 -s rr",
		"1:4: -t: …"},
	{"-A -t 10.0.0.1:80 -6",
		"1:19: -6: is for -f; with -t the address tells"},
	{`-A -f ten
-A -f 0
-A -f 4294967296
-A -f 0x10`,
		`1:4: -f: "ten" is no firewall mark, a number from 1 to 4294967295
2:4: -f: "0" is no firewall mark, a number from 1 to 4294967295
3:4: -f: "4294967296" is no firewall mark, a number from 1 to 4294967295
4:4: -f: "0x10" is no firewall mark, a number from 1 to 4294967295`},
	{"-A -f 10 -s averyverylongname",
		"1:10: -s: …"},
	{`-A -f 10 -p 0
-A -f 11 -p 30x
-A -f 12 -p 2678401`,
		`1:10: -p: 0 is no time to persist
2:10: -p: "30x" is no whole number from 0 to 2678400
3:10: -p: "2678401" is no whole number from 0 to 2678400`},
	{`-A -f 10 -M 24
-A -f 11 -6 -M 255.255.255.0
-A -f 12 -6 -M 0
-A -f 13 -6 -M 129`,
		`1:10: -M: "24" is no IPv4 netmask, such as 255.255.255.0
2:13: -M: "255.255.255.0" is no length of an IPv6 prefix, 1 to 128
3:13: -M: "0" is no length of an IPv6 prefix, 1 to 128
4:13: -M: "129" is no length of an IPv6 prefix, 1 to 128`},
	{"-A -t 10.0.0.1:80 -o",
		"1:19: -o: …"},
	{`-A -f 10 -b sh-port
-A -f 11 -s sh -b mh-port
-A -f 12 -b ops
-A -f 13 -b flag-1,,flag-2
-A -f 14 -b flag-4`,
		`1:10: -b: flag "sh-port" is one of the scheduler sh, not of wlc
2:16: -b: flag "mh-port" is one of the scheduler mh, not of sh
3:10: -b: "ops" is no flag of a scheduler, such as sh-port or flag-1
4:10: -b: "" is no flag of a scheduler, such as sh-port or flag-1
5:10: -b: flag "flag-4": not persistent, ops, sh-port, sh-fallback, mh-port, mh-fallback, flag-1, flag-2 or flag-3`},
	{"-A -f 10 -w 5",
		"1:10: -w: is not for -A"},
	{`-A -f 10 -n
-A -f 10 -zx
-A -f 10 --wieght 5
-A -f 10 --numeric
-A -f 10 --ops=yes
-A -f 10 rr`,
		`1:10: -n is no option of a service or server
2:4: -f: fwmark:10 is there already, in line 1
2:10: -zx is no option of a service or server
3:4: -f: fwmark:10 is there already, in line 1
3:10: --wieght is no option; did you mean --weight?
3:19: "5" is no option, nor the value of one
4:4: -f: fwmark:10 is there already, in line 1
4:10: --numeric is no option of a service or server
5:4: -f: fwmark:10 is there already, in line 1
5:10: -o: takes no value
6:4: -f: fwmark:10 is there already, in line 1
6:10: "rr" is no option, nor the value of one`},
	{"-E -f 10 -s rr",
		"1:1: -E edits a service; a file of pools has -A and -a alone, as ipvsadm -S -n prints them"},
	{`-A -f 10
-C`,
		"2:1: -C: throws away the lines before it; begin the file with it, or leave them out"},
	{"-A -a -f 10",
		"1:4: -a: -A is there too; only one of them can be"},
	{"-f 10",
		"1:1: neither -A (a service) nor -a (a server)"},
	{`-A -f 10
-a -f 10
-a -f 10 -r
-a -f 10 -r www:80
-a -f 10 -r 10.1.0.5:99999
-a -f 10 -r 10.1.0.5 -w -1
-a -f 10 -r 10.1.0.5 -w 2147483648
-a -f 10 -r 10.1.0.5 -m -g
-a -f 10 -r 10.1.0.5 -x 5 -y 6
-a -f 10 -r 10.1.0.5 -y 6
-a -f 10 -r [2001:db8::1]:80 -m
-a -f 10 -r [2001:db8::1]:80
-a -f 10 -r 10.1.0.5 -s rr
-a -f 10 -6 -r 10.1.0.5`,
		`2:1: lacks the server: -r
3:10: -r: lacks its value
4:10: -r: "www:80" is no IP address with a port, such as 10.0.0.1:80 or [2001:db8::1]:80 (names are not looked up)
5:10: -r: "99999" in "10.1.0.5:99999" is no port number from 0 to 65535
6:22: -w: "-1" is no whole number from 0 to 2147483647
7:22: -w: "2147483648" is no whole number from 0 to 2147483647
8:25: -g: -m is there too; only one of them can be
9:27: -y: …
10:22: -y: …
11:30: -m: …
12:10: -r: …
13:22: -s: is not for -a
14:4: -f: no -A before this line adds fwmark:10:ipv6`},
	{`-A -t 10.0.0.1:80
-a -t 10.0.0.1:80 -r 10.1.0.5 --tun-type gue --tun-port 5
-a -t 10.0.0.1:80 -r 10.1.0.5 -i --tun-type gue
-a -t 10.0.0.1:80 -r 10.1.0.5 -i --tun-type vxlan
-a -t 10.0.0.1:80 -r 10.1.0.5 -i --tun-port 5
-a -t 10.0.0.1:80 -r 10.1.0.5 -i --tun-csum
-a -t 10.0.0.1:80 -r 10.1.0.5 -i --tun-type gre --tun-remcsum
-a -t 10.0.0.1:80 -r 10.1.0.5 -i --tun-type gue --tun-port 5 --tun-csum --tun-remcsum`,
		`2:31: --tun-type: …
3:34: --tun-type: …
4:34: --tun-type: tunnel type "vxlan": not ipip, gue or gre
5:34: --tun-port: …
6:34: --tun-csum: …
7:49: --tun-remcsum: …
8:73: --tun-remcsum: --tun-csum is there too; only one of them can be`},
	{`-A -t 10.0.0.1:80 -s rr -p 0
-a -t 10.0.0.1:80 -r 10.1.0.5 -m
-a -t 10.0.0.1:80 -r 10.1.0.5 -m -w x
`,
		`1:25: -p: 0 is no time to persist
3:34: -w: "x" is no whole number from 0 to 2147483647`},
}

func TestEveryMistakeIsExplainedWhereItIs(t *testing.T) {
	for _, c := range mistakes {
		_, err := poolfile.Read(strings.NewReader(c.text), poolfile.Auto)
		if err == nil {
			t.Errorf("%s\nreads", c.text)
		} else if !explains(err.Error(), c.want) {
			t.Errorf("%s\n%v\nwant:\n%s", c.text, err, c.want)
		}
	}
}

func explains(got, want string) bool {
	lines, wanted := strings.Split(got, "\n"), strings.Split(want, "\n")
	if len(lines) != len(wanted) {
		return false
	}
	for i, line := range lines {
		if start, open := strings.CutSuffix(wanted[i], "…"); open {
			if !strings.HasPrefix(line, start) || len(line) == len(start) {
				return false
			}
		} else if line != wanted[i] {
			return false
		}
	}
	return true
}
