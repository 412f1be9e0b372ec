package main

import (
	"regexp"
	"strings"
	"testing"
)

func TestIPVSDestinationsAreAddedEditedAndRemoved(t *testing.T) {
	onBoth(t, func(t *testing.T, b *balancer) {
		b.must(
			"add service tcp:10.0.0.1:80 -s rr",
			"add service fwmark:10 -s rr",
			"add destination tcp:10.0.0.1:80 10.1.0.1",
			"add dest tcp:10.0.0.1:80 10.1.0.2:8080 -m -w 3",
			"add destination -t 10.0.0.1:80 -r 10.1.0.3:80 -g -x 1000 -y 800",
			"add destination -t 10.0.0.1:80 10.1.0.4 -i -w 0",
			"add destination tcp:10.0.0.1:80 -r 10.1.0.5 --ipip --tun-type gue --tun-port 6080 --tun-csum",
			"add destination tcp:10.0.0.1:80 10.1.0.6 --method tunnel --tun-type gre --tun-csum",
			"add destination tcp:10.0.0.1:80 10.1.0.7 --method bypass",
			"add destination tcp:10.0.0.1:80 [2001:db8::5] -i",
			"add destination -f 10 -r 10.1.0.8 -m",
			"add destination fwmark:10 10.1.0.8:8080 -m",
		)
		b.exports(t, `
pools:
  - service:
      protocol: tcp
      address: 10.0.0.1:80
      scheduler: rr
    destinations:
      - {address: 10.1.0.1:80, method: route, weight: 1}
      - {address: 10.1.0.2:8080, method: masquerade, weight: 3}
      - {address: 10.1.0.3:80, method: route, weight: 1, upper_threshold: 1000, lower_threshold: 800}
      - {address: 10.1.0.4:80, method: tunnel, weight: 0}
      - {address: 10.1.0.5:80, method: tunnel, weight: 1, tunnel: {type: gue, port: 6080, flags: [csum]}}
      - {address: 10.1.0.6:80, method: tunnel, weight: 1, tunnel: {type: gre, flags: [csum]}}
      - {address: 10.1.0.7:80, method: bypass, weight: 1}
      - {address: '[2001:db8::5]:80', method: tunnel, weight: 1}
  - service:
      mark: 10
      family: ipv4
      scheduler: rr
    destinations:
      - {address: 10.1.0.8, method: masquerade, weight: 1}
      - {address: 10.1.0.8:8080, method: masquerade, weight: 1}
`)
		b.must(
			"remove destination tcp:10.0.0.1:80 10.1.0.1",
			"remove dest -t 10.0.0.1:80 -r 10.1.0.7",
			"remove destination tcp:10.0.0.1:80 [2001:db8::5]:80",
			"remove destination fwmark:10 10.1.0.8:8080",
			"edit destination tcp:10.0.0.1:80 10.1.0.2:8080 -w 5",
			"edit destination tcp:10.0.0.1:80 10.1.0.3 -y 0",
			"edit destination tcp:10.0.0.1:80 10.1.0.4 -i --tun-type gre",
			"edit destination tcp:10.0.0.1:80 10.1.0.5 --tun-port 6081 --tun-csum=false --tun-remcsum",
			"edit destination tcp:10.0.0.1:80 10.1.0.6 -g",
			"edit destination fwmark:10 10.1.0.8 -w 0",
		)
		b.exports(t, `
pools:
  - service:
      protocol: tcp
      address: 10.0.0.1:80
      scheduler: rr
    destinations:
      - {address: 10.1.0.2:8080, method: masquerade, weight: 5}
      - {address: 10.1.0.3:80, method: route, weight: 1, upper_threshold: 1000}
      - {address: 10.1.0.4:80, method: tunnel, weight: 0, tunnel: {type: gre}}
      - {address: 10.1.0.5:80, method: tunnel, weight: 1, tunnel: {type: gue, port: 6081, flags: [remcsum]}}
      - {address: 10.1.0.6:80, method: route, weight: 1}
  - service:
      mark: 10
      family: ipv4
      scheduler: rr
    destinations:
      - {address: 10.1.0.8, method: masquerade, weight: 0}
`)
		b.must("edit destination tcp:10.0.0.1:80 10.1.0.5 --tun-nocsum --tun-type gre")
		if stdout := b.must("list"); !regexp.MustCompile(`(?m)^  10\.1\.0\.5:80 +tunnel .*  gre$`).MatchString(stdout) {
			t.Error(stdout)
		}
	})
}

func TestIPVSMistakesWithDestinationsAreExplained(t *testing.T) {
	onBoth(t, func(t *testing.T, b *balancer) {
		b.explains(t, []mistake{
			{"add destination tcp:10.0.0.1:80 10.1.0.1", 1, "no service tcp:10.0.0.1:80: there are none\n"},
			{"remove destination tcp:10.0.0.1:80 10.1.0.1", 1, "no service tcp:10.0.0.1:80: there are none\n"},
			{"edit destination tcp:10.0.0.1:80 10.1.0.1 -w 0", 1, "no service tcp:10.0.0.1:80: there are none\n"},
		})
		b.must("add service tcp:10.0.0.1:80 -s rr", "add service tcp:10.0.0.2:80 -s rr", "add destination tcp:10.0.0.1:80 10.1.0.1", "add destination tcp:10.0.0.1:80 10.1.0.2 -i")
		b.explains(t, []mistake{
			{"add destination", 2, "ipvs add destination needs a service, such as tcp:10.0.0.1:80: see gnl help ipvs add destination\n"},
			{"add destination tcp:10.0.0.1:80", 2, "ipvs add destination needs a destination, such as 10.1.0.5:8080, behind the service: see gnl help ipvs add destination\n"},
			{"add destination -t 10.0.0.1:80", 2, "ipvs add destination needs a destination, "},
			{"add destination tcp:10.0.0.1:80 10.1.0.3 10.1.0.4", 2, `ipvs add destination takes a service and one destination and nothing more: "10.1.0.4" is too many` + "\n"},
			{"add destination tcp:10.0.0.1:80 -r 10.1.0.3 10.1.0.4", 2, `ipvs add destination takes one destination: "10.1.0.4" is too many` + "\n"},
			{"add destination tcp:10.0.0.1:80 web1", 2, `"web1" is no address: it takes an IP address, such as 10.0.0.1, `},
			{"add destination tcp:10.0.0.1:80 10.1.0.3:http", 2, `"http" is no port: ports are 0 to 65535` + "\n"},
			{"add destination tcp:10.0.0.1:80 10.1.0.3:8080", 2, "10.1.0.3:8080 has another port than tcp:10.0.0.1:80, to which only --masquerading (-m) can translate: give a method\n"},
			{"add destination tcp:10.0.0.1:80 10.1.0.3 -g -m", 2, "--gatewaying, --ipip, --masquerading and --method exclude one another\n"},
			{"add destination tcp:10.0.0.1:80 10.1.0.3 -g --method route", 2, "--gatewaying, --ipip, --masquerading and --method exclude one another\n"},
			{"add destination tcp:10.0.0.1:80 10.1.0.3 --method masqerade", 2, `no method "masqerade": did you mean masquerade?` + "\n"},
			{"add destination tcp:10.0.0.1:80 10.1.0.3 --method 9", 2, `no method "9": the methods are route, tunnel, masquerade, local and bypass` + "\n"},
			{"add destination tcp:10.0.0.1:80 10.1.0.3 -w -1", 2, `--weight "-1" is not a number from 0 up` + "\n"},
			{"add destination tcp:10.0.0.1:80 10.1.0.3 -w heavy", 2, `--weight "heavy" is not a number from 0 up` + "\n"},
			{"add destination tcp:10.0.0.1:80 10.1.0.3 -w 4000000000", 2, "weight: 4000000000 is more than 2147483647\n"},
			{"add destination tcp:10.0.0.1:80 10.1.0.3 -x 5 -y 6", 2, "--l-threshold 6 is above --u-threshold 5\n"},
			{"add destination tcp:10.0.0.1:80 10.1.0.3 -y 6", 2, "--l-threshold 6 is above --u-threshold 0\n"},
			{"add destination tcp:10.0.0.1:80 2001:db8::5", 2, "[2001:db8::5]:80 is of another family than tcp:10.0.0.1:80, which takes the method tunnel (--ipip), not route\n"},
			{"add destination tcp:10.0.0.1:80 ::ffff:10.1.0.3", 2, "address: ::ffff:10.1.0.3 is an IPv4 address in IPv6 form: give it as 10.1.0.3\n"},
			{"add destination tcp:10.0.0.1:80 10.1.0.3 --tun-type gue --tun-port 1", 2, "--tun-type, --tun-port and --tun-*csum are for the method tunnel: give --ipip (-i) too\n"},
			{"edit destination tcp:10.0.0.1:80 10.1.0.1 --tun-csum", 2, "--tun-type, --tun-port and --tun-*csum are for the method tunnel: give --ipip (-i) too\n"},
			{"add destination tcp:10.0.0.1:80 10.1.0.3 -i --tun-type gue", 2, "a tunnel of type gue needs its UDP port: --tun-port\n"},
			{"add destination tcp:10.0.0.1:80 10.1.0.3 -i --tun-port 1", 2, "--tun-port is for tunnels of type gue, not ipip: --tun-type\n"},
			{"add destination tcp:10.0.0.1:80 10.1.0.3 -i --tun-port 70000", 2, `--tun-port "70000" is not a number from 0 to 65535` + "\n"},
			{"add destination tcp:10.0.0.1:80 10.1.0.3 -i --tun-type vxlan", 2, `no type of tunnel "vxlan": the types are ipip, gue and gre` + "\n"},
			{"add destination tcp:10.0.0.1:80 10.1.0.3 -i --tun-type gre --tun-csum --tun-nocsum", 2, "--tun-nocsum excludes --tun-csum and --tun-remcsum\n"},
			{"add destination tcp:10.0.0.1:80 10.1.0.3 -i --tun-type gre --tun-remcsum", 2, "tunnel.flags: remcsum is for GUE\n"},
			{"add destination tcp:10.0.0.1:80 10.1.0.3 -i --tun-csum", 2, "tunnel.flags: csum is for GUE and GRE\n"},
			{"add destination tcp:10.0.0.1:80 10.1.0.1", 1, "tcp:10.0.0.1:80 has a destination 10.1.0.1:80 already: gnl ipvs edit destination changes it\n"},
			{"edit destination tcp:10.0.0.1:80 10.1.0.1", 2, "nothing to change: give --weight, a method, thresholds, or --tun-*: see gnl help ipvs edit destination\n"},
			{"edit destination tcp:10.0.0.1:80 10.1.0.3 -w 0", 1, "tcp:10.0.0.1:80 has no destination 10.1.0.3:80: it has 10.1.0.1:80, 10.1.0.2:80\n"},
			{"remove destination tcp:10.0.0.1:80 10.1.0.1:81", 1, "tcp:10.0.0.1:80 has no destination 10.1.0.1:81: it has 10.1.0.1:80, 10.1.0.2:80\n"},
			{"remove destination tcp:10.0.0.2:80 10.1.0.1", 1, "tcp:10.0.0.2:80 has no destination 10.1.0.1:80: it has none\n"},
			{"remove destination tcp:10.0.0.3:80 10.1.0.1", 1, "no service tcp:10.0.0.3:80: there are tcp:10.0.0.1:80, tcp:10.0.0.2:80\n"},
		})
		r := b.run(strings.Fields("add destination tcp:10.0.0.1:80 10.1.0.3:8080 -g")...)
		if r.code != 0 || r.stderr != "gnl: note: with the method route, packets keep port 80 of the service: port 8080 of the destination is not used\n" {
			t.Errorf("exit code %d: %s", r.code, r.stderr)
		}
	})
}
