package main

import (
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gnlgo/gnl/ipvs"
	"github.com/gnlgo/gnl/ipvs/poolfile"
)

// exports checks that gnl ipvs export writes the same pools.
func (b *balancer) exports(t *testing.T, want string) {
	t.Helper()
	if diff := cmp.Diff(poolsIn(t, want), poolsIn(t, b.must("export")), cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})); diff != "" {
		t.Errorf("what is configured (-want +got):\n%s", diff)
	}
}

// poolsIn reads pools from the text of a file.
func poolsIn(t *testing.T, text string) []ipvs.Pool {
	t.Helper()
	pools, err := poolfile.Read(strings.NewReader(text), poolfile.Auto)
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return pools
}

// mistake is a command line that ends with an error.
type mistake struct {
	line   string
	code   int
	stderr string // what it begins with
}

func (b *balancer) explains(t *testing.T, mistakes []mistake) {
	t.Helper()
	for _, m := range mistakes {
		r := b.run(strings.Fields(m.line)...)
		if r.code != m.code || r.stdout != "" || !strings.HasPrefix(r.stderr, "gnl: "+m.stderr) || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("gnl ipvs %s: exit code %d: %s\nnot %d: gnl: %s\n%s", m.line, r.code, r.stderr, m.code, m.stderr, r.stdout)
		}
	}
}

func TestIPVSServicesAreAddedEditedAndRemoved(t *testing.T) {
	onBoth(t, func(t *testing.T, b *balancer) {
		b.must(
			"add service tcp:10.0.0.1:80",
			"add service -u [2001:db8::1]:53 -s rr -o",
			"add service --tcp-service 10.0.0.1:0 --scheduler rr -p -M 255.255.255.0",
			"add service -t 10.0.0.1:443 -s wrr -p 600",
			"add service tcp:[2001:db8::1]:0 -s rr --persistent=90s --netmask /64",
			"add service -f 10 -s sh -b sh-port,sh-fallback",
			"add service fwmark:10:ipv6 -s sh -b flag-1",
			"add service -f 11 -6 -s rr",
			"add service sctp:10.0.0.2:5000 -s rr",
		)
		b.exports(t, `
pools:
  - service:
      protocol: tcp
      address: 10.0.0.1:0
      scheduler: rr
      flags: [persistent]
      timeout: 6m
      netmask: 255.255.255.0
    destinations: []
  - service:
      protocol: tcp
      address: 10.0.0.1:80
      scheduler: wlc
    destinations: []
  - service:
      protocol: tcp
      address: 10.0.0.1:443
      scheduler: wrr
      flags: [persistent]
      timeout: 10m
    destinations: []
  - service:
      protocol: sctp
      address: 10.0.0.2:5000
      scheduler: rr
    destinations: []
  - service:
      protocol: tcp
      address: '[2001:db8::1]:0'
      scheduler: rr
      flags: [persistent]
      timeout: 1m30s
      netmask: 64
    destinations: []
  - service:
      protocol: udp
      address: '[2001:db8::1]:53'
      scheduler: rr
      flags: [ops]
    destinations: []
  - service:
      mark: 10
      family: ipv4
      scheduler: sh
      flags: [sh-fallback, sh-port]
    destinations: []
  - service:
      mark: 10
      family: ipv6
      scheduler: sh
      flags: [sh-fallback]
    destinations: []
  - service:
      mark: 11
      family: ipv6
      scheduler: rr
    destinations: []
`)
		b.must(
			"remove service tcp:10.0.0.1:0",
			"remove service -t 10.0.0.1:80",
			"remove service --sctp-service 10.0.0.2:5000",
			"delete service tcp:[2001:db8::1]:0",
			"remove service -f 10 -6",
			"remove service fwmark:11:ipv6",
			"edit service -u [2001:db8::1]:53 --ops=false",
			"edit service fwmark:10 --sched-flags flag-3",
			"edit service fwmark:10 --netmask 24 -p",
			"edit service tcp:10.0.0.1:443 -s sh",
			"edit service tcp:10.0.0.1:443 -b sh-port",
		)
		const edited = `
pools:
  - service:
      protocol: tcp
      address: 10.0.0.1:443
      scheduler: sh
      flags: [persistent, sh-port]
      timeout: 10m
    destinations: []
  - service:
      protocol: udp
      address: '[2001:db8::1]:53'
      scheduler: rr
    destinations: []
  - service:
      mark: 10
      family: ipv4
      scheduler: sh
      flags: [persistent, flag-3]
      timeout: 6m
      netmask: 255.255.255.0
    destinations: []
`
		b.exports(t, edited)
		b.must(
			"edit service tcp:10.0.0.1:443 --persistent=none --sched-flags none",
			"edit service fwmark:10 --netmask none",
			"edit service fwmark:10 -p 30",
		)
		b.exports(t, `
pools:
  - service:
      protocol: tcp
      address: 10.0.0.1:443
      scheduler: sh
    destinations: []
  - service:
      protocol: udp
      address: '[2001:db8::1]:53'
      scheduler: rr
    destinations: []
  - service:
      mark: 10
      family: ipv4
      scheduler: sh
      flags: [persistent, flag-3]
      timeout: 30s
    destinations: []
`)
	})
}

func TestIPVSMistakesWithServicesAreExplained(t *testing.T) {
	onBoth(t, func(t *testing.T, b *balancer) {
		b.explains(t, []mistake{
			{"edit service tcp:10.0.0.1:80 -s rr", 1, "no service tcp:10.0.0.1:80: there are none\n"},
		})
		b.must("add service tcp:10.0.0.1:80 -s rr", "add service tcp:10.0.0.1:0 -s rr -p")
		b.explains(t, []mistake{
			{"add service", 2, "ipvs add service needs a service, such as tcp:10.0.0.1:80: see gnl help ipvs add service\n"},
			{"remove service", 2, "ipvs remove service needs a service, such as tcp:10.0.0.1:80: see gnl help ipvs remove service\n"},
			{"add service tcp:10.0.0.1:80 tcp:10.0.0.1:81", 2, `ipvs add service takes one service and nothing more: "tcp:10.0.0.1:81" is too many` + "\n"},
			{"add service -t 10.0.0.1:80 udp:10.0.0.1:81", 2, `ipvs add service takes one service and nothing more: "udp:10.0.0.1:81" is too many` + "\n"},
			{"add service -t 10.0.0.1:80 -u 10.0.0.1:81", 2, "--tcp-service and --udp-service exclude one another\n"},
			{"add service -t 10.0.0.1:80 -6", 2, "--ipv6 is for --fwmark-service: other services have it in their addresses\n"},
			{"add service 10.0.0.1:80", 2, `"10.0.0.1:80" is no service: give it as tcp:10.0.0.1:80, udp:[2001:db8::1]:53 or fwmark:10` + "\n"},
			{"add service www", 2, `"www" is no service: `},
			{"add service icmp:10.0.0.1:80", 2, `"icmp:10.0.0.1:80" is no service: `},
			{"add service tcp:10.0.0.1", 2, `service "tcp:10.0.0.1" has no port: give tcp:10.0.0.1:80, or port 0 for all ports of a persistent service` + "\n"},
			{"add service tcp:2001:db8::1", 2, `service "tcp:2001:db8::1" has no port: give tcp:[2001:db8::1]:80, or port 0`},
			{"add service tcp:www.example.com:80", 2, `"www.example.com:80" is no address: it takes an IP address, such as 10.0.0.1, 10.0.0.1:80 or [2001:db8::1]:80 (names are not looked up)` + "\n"},
			{"add service tcp:10.0.0.1:99999", 2, `"99999" is no port: ports are 0 to 65535` + "\n"},
			{"add service tcp:10.0.0.300:80", 2, `"10.0.0.300:80" is no address: `},
			{"add service fwmark:ten", 2, `service "fwmark:ten": firewall mark "ten" is no number`},
			{"add service fwmark:0 -s rr", 2, "firewall marks are 1 to 4294967295\n"},
			{"remove service -f 0", 2, "firewall marks are 1 to 4294967295\n"},
			{"add service -f -1", 2, `--fwmark-service "-1" is not `},
			{"add service tcp:10.0.0.2:0 -s rr", 2, "port 0 of tcp:10.0.0.2:0 is all ports, which takes --persistent\n"},
			{"edit service tcp:10.0.0.1:0 --persistent=none", 2, "port 0 of tcp:10.0.0.1:0 is all ports, which takes --persistent\n"},
			{"add service tcp:10.0.0.2:80 --ops", 2, "--ops is for UDP, and the service is one of tcp\n"},
			{"add service tcp:10.0.0.2:80 --persistent=soon", 2, `--persistent "soon" is not a number of seconds, or a duration such as 90s or 5m` + "\n"},
			{"add service tcp:10.0.0.2:80 --persistent=1.5s", 2, `--persistent "1.5s" is not a number of seconds`},
			{"add service tcp:10.0.0.2:80 --persistent=0", 2, `--persistent "0" is not a number of seconds`},
			{"add service tcp:10.0.0.2:80 -M wide", 2, `--netmask "wide" is neither a netmask, such as 255.255.255.0, nor the length of a prefix, such as 24` + "\n"},
			{"add service tcp:10.0.0.2:80 -M 33", 2, "--netmask 33: a prefix of ipv4 has 0 to 32 bits\n"},
			{"add service tcp:[::1]:80 -M 0", 2, "--netmask 0: a prefix of ipv6 has 1 to 128 bits\n"},
			{"add service tcp:10.0.0.2:80 -M ffff::", 2, "netmask: "},
			{"add service tcp:10.0.0.2:80 -s rr -b sh-port", 2, "--sched-flags sh-port is of the scheduler sh, and the service's is rr\n"},
			{"edit service tcp:10.0.0.1:80 -b mh-port", 2, "--sched-flags mh-port is of the scheduler mh, and the service's is rr\n"},
			{"add service tcp:10.0.0.2:80 -b fast", 2, `--sched-flags "fast": the flags are sh-port, sh-fallback, `},
			{"add service tcp:10.0.0.2:80 -s", 2, "--scheduler needs a value: "},
			{"add service tcp:10.0.0.2:80 -s wrrr", 1, `the kernel has no scheduler "wrrr": did you mean wrr?` + "\n"},
			{"edit service tcp:10.0.0.1:80 -s nothing", 1, `the kernel has no scheduler "nothing": its module ip_vs_nothing is neither loaded nor found` + "\n"},
			{"edit service tcp:10.0.0.1:80", 2, "nothing to change: give --scheduler, "},
			{"add service tcp:10.0.0.1:80 -s rr", 1, "there is a service tcp:10.0.0.1:80 already: gnl ipvs edit service changes it\n"},
			{"edit service tcp:10.0.0.1:81 -s rr", 1, "no service tcp:10.0.0.1:81: there are tcp:10.0.0.1:0, tcp:10.0.0.1:80\n"},
			{"remove service udp:10.0.0.1:80", 1, "no service udp:10.0.0.1:80: there are tcp:10.0.0.1:0, tcp:10.0.0.1:80\n"},
			{"zero udp:10.0.0.1:80", 1, "no service udp:10.0.0.1:80: there are "},
			{"list udp:10.0.0.1:80", 1, "no service udp:10.0.0.1:80: there are "},
			{"export udp:10.0.0.1:80", 1, "no service udp:10.0.0.1:80: there are "},
		})
		b.explains(t, []mistake{
			{"ad", 2, `no command "ad" in gnl ipvs: did you mean add?`},
			{"frobnicate", 2, `no command "frobnicate" in gnl ipvs: the commands are add, apply, daemon, edit, export, flush, info, list, plan, remove, timeouts, zero`},
			{"add servce tcp:10.0.0.1:80 -s rr", 2, `no command "servce" in gnl ipvs add: did you mean service?`},
			{"add tcp:10.0.0.1:80 -s rr", 2, `no command "tcp:10.0.0.1:80" in gnl ipvs add: the commands are destination, service`},
			{"list --sats", 2, "no flag --sats: did you mean --stats?"},
			{"add service tcp:10.0.0.1:80 --shed rr", 2, "no flag --shed: "},
			{"add service tcp:10.0.0.1:80 -z", 2, "no flag -z: see gnl help ipvs add service"},
			{"-A -t 10.0.0.1:80 -s rr", 2, "no flag -A: what ipvsadm does with it, gnl does with gnl ipvs add service\n"},
			{"-Ln", 2, "no flag -L: what ipvsadm does with it, gnl does with gnl ipvs list\n"},
			{"add service tcp:10.0.0.2:80 -p 1d", 2, `"1d" is neither a service nor a timeout for --persistent: `},
			{"add service tcp:10.0.0.2:80 -p0", 2, `--persistent "0" is not `},
		})
	})
}

func TestIPVSAModuleThatIsMissingIsNamed(t *testing.T) {
	b := newDouble(t)
	b.double.refuses(func(uint8, string) error { return syscall.ENOENT })
	b.explains(t, []mistake{
		{"add service tcp:10.0.0.1:80 -s mh", 1, `the kernel has no scheduler "mh": its module ip_vs_mh is neither loaded nor found` + "\n"},
		{"add service tcp:10.0.0.1:80 -s mh --pe sip", 1, `the kernel has no persistence engine "sip", or no scheduler "mh": their modules are ip_vs_pe_sip and ip_vs_mh` + "\n"},
	})
}

func TestIPVSOfManyServicesTheLikelyOnesAreNamed(t *testing.T) {
	onBoth(t, func(t *testing.T, b *balancer) {
		for _, address := range strings.Fields("10.0.0.1:80 10.0.0.2:81 10.0.0.3:82 172.16.5.5:8000 172.16.5.6:8001 192.168.100.1:443 192.168.100.2:444 192.168.100.3:445 192.168.100.4:446") {
			b.must("add service tcp:" + address + " -s rr")
		}
		b.explains(t, []mistake{
			{"remove service tcp:10.0.0.1:8", 1, "no service tcp:10.0.0.1:8: did you mean tcp:10.0.0.1:80?\n"},
			{"remove service fwmark:1", 1, "no service fwmark:1: there are 9, which gnl ipvs list shows\n"},
		})
	})
}

func TestIPVSATimeoutMayStandAtItsFlag(t *testing.T) {
	onBoth(t, func(t *testing.T, b *balancer) {
		b.must("add service -f 5 -s rr -p6")
		if out := b.must("export"); !strings.Contains(out, "family: ipv4") || !strings.Contains(out, "timeout: 6s") {
			t.Error(out)
		}
	})
}
