package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/gnlgo/gnl/internal/testenv"
)

// busyDouble is a double with something of everything that a list shows.
func busyDouble(t *testing.T) *balancer {
	b := newDouble(t)
	b.must(
		"add service fwmark:10:ipv6 -s sh -b sh-port",
		"add service tcp:10.0.0.1:80 -s wrr -p 300 -M 24 --pe sip",
		"add service udp:[2001:db8::1]:53 -s rr -o",
		"add destination tcp:10.0.0.1:80 10.1.0.5:8080 -m",
		"add destination tcp:10.0.0.1:80 10.1.0.6:8080 -m -w 3 -x 1000 -y 800",
		"add destination fwmark:10:ipv6 2001:db8::5 -i --tun-type gue --tun-port 6080 --tun-csum",
	)
	for _, p := range b.double.pools {
		for i, d := range p.destinations {
			n := uint64(i + 1)
			d.Active, d.Inactive, d.Persistent = uint32(17*n), uint32(20000*n), uint32(n-1)
			d.Stats = doubleCounters{1_000_000 * n, 5_000_000 * n, 4_000_000 * n, 3 << 30 * n, 40 << 30 * n, 12 * n, 340 * n, 330 * n, 56_789 * n, 12_345_678 * n}
			p.service.Stats = d.Stats
		}
	}
	return b
}

func TestIPVSListShowsServicesWithTheirDestinations(t *testing.T) {
	b := busyDouble(t)
	for line, want := range map[string]string{
		"list": `
SERVICE               SCHEDULER   WEIGHT  ACTIVE  INACTIVE  CONN/S   IN/S  OUT/S  OPTIONS
tcp:10.0.0.1:80       wrr                     51     60.0k      24  111Ki   24Mi  persistent 5m, mask 255.255.255.0, pe sip
  10.1.0.5:8080       masquerade       1      17     20.0k      12   55Ki   12Mi
  10.1.0.6:8080       masquerade       3      34     40.0k      24  111Ki   24Mi  upper 1000, lower 800, 1 client kept
udp:[2001:db8::1]:53  rr                       0         0       0     0B     0B  ops
fwmark:10:ipv6        sh                      17     20.0k      12   55Ki   12Mi  sh-port
  2001:db8::5         tunnel           1      17     20.0k      12   55Ki   12Mi  gue port 6080 csum
`,
		"list tcp:10.0.0.1:80 -n --exact": `
SERVICE          SCHEDULER   WEIGHT  ACTIVE  INACTIVE  CONN/S    IN/S     OUT/S  OPTIONS
tcp:10.0.0.1:80  wrr                     51     60000      24  113578  24691356  persistent 5m, mask 255.255.255.0, pe sip
  10.1.0.5:8080  masquerade       1      17     20000      12   56789  12345678
  10.1.0.6:8080  masquerade       3      34     40000      24  113578  24691356  upper 1000, lower 800, 1 client kept
`,
		"list tcp:10.0.0.1:80 fwmark:10:ipv6 --stats": `
SERVICE          CONNS  PKTS-IN  PKTS-OUT  BYTES-IN  BYTES-OUT
tcp:10.0.0.1:80  2.00M    10.0M     8.00M     6.0Gi       80Gi
  10.1.0.5:8080  1.00M    5.00M     4.00M     3.0Gi       40Gi
  10.1.0.6:8080  2.00M    10.0M     8.00M     6.0Gi       80Gi
fwmark:10:ipv6   1.00M    5.00M     4.00M     3.0Gi       40Gi
  2001:db8::5    1.00M    5.00M     4.00M     3.0Gi       40Gi
`,
		"list fwmark:10:ipv6 --rates": `
SERVICE         CONN/S  PKTS-IN/S  PKTS-OUT/S  IN/S  OUT/S
fwmark:10:ipv6      12        340         330  55Ki   12Mi
  2001:db8::5       12        340         330  55Ki   12Mi
`,
		"list fwmark:10:ipv6 --rates --stats --exact": `
SERVICE           CONNS  PKTS-IN  PKTS-OUT    BYTES-IN    BYTES-OUT  CONN/S  PKTS-IN/S  PKTS-OUT/S   IN/S     OUT/S
fwmark:10:ipv6  1000000  5000000   4000000  3221225472  42949672960      12        340         330  56789  12345678
  2001:db8::5   1000000  5000000   4000000  3221225472  42949672960      12        340         330  56789  12345678
`,
	} {
		if diff := cmp.Diff(want, "\n"+b.must(line)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
	b.explains(t, []mistake{
		{"list nothing", 2, `"nothing" is no service: `},
		{"list -t nothing", 2, `"nothing" is no address: `},
		{"list -t 10.0.0.1:80 -u 10.0.0.1:80", 2, "--tcp-service and --udp-service exclude one another\n"},
		{"list -6", 2, "--ipv6 is for --fwmark-service: "},
		{"list --interval 1s", 2, "--interval is for --watch\n"},
		{"list --count 1", 2, "--count is for --watch\n"},
		{"list --for 1s", 2, "--for is for --watch\n"},
		{"list --watch --interval 0s --json", 2, "--interval 0s is not above 0\n"},
		{"list --watch --for -1s --json", 2, "--for -1s is negative\n"},
		{"list --watch", 2, "--watch needs a terminal; with --json it writes a line every time\n"},
	})
	for _, line := range []string{"list -t 10.0.0.1:80", "list --tcp-service 10.0.0.1:80 --json", "list -6 -f 10 --rates", "list -f 10 -6 tcp:10.0.0.1:80", "list -t 10.0.0.1:80 tcp:10.0.0.1:80"} {
		named := strings.NewReplacer("--tcp-service ", "tcp:", "-t ", "tcp:", "-6 -f 10", "fwmark:10:ipv6", "-f 10 -6", "fwmark:10:ipv6").Replace(line)
		if diff := cmp.Diff(b.must(named), b.must(line)); diff != "" {
			t.Errorf("%s differs from %s:\n%s", line, named, diff)
		}
	}
	r := b.run("list", "tcp:10.0.0.1:81", "fwmark:10:ipv6")
	if r.code != 1 || strings.Count(r.stdout, "\n") != 3 || !strings.HasPrefix(r.stderr, "gnl: no service tcp:10.0.0.1:81: there are ") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

func TestIPVSTablesFitTheTerminal(t *testing.T) {
	b := busyDouble(t)
	file := inFile(t, "pools.yaml", twoPools)
	for _, args := range [][]string{{"list"}, {"list", "--stats", "--rates"}, {"plan", "--prune", file}, {"daemon", "list"}} {
		for width := 40; width <= 120; width += 10 {
			var out, errOut bytes.Buffer
			a := b.app("", &out, &errOut)
			a.width = width
			if code := a.run(b.line(args)); code != 0 {
				t.Fatalf("%v: exit code %d: %s", args, code, errOut.String())
			}
			for line := range strings.Lines(out.String()) {
				if line = strings.TrimSuffix(line, "\n"); utf8.RuneCountInString(line) > width || strings.TrimRight(line, " ") != line {
					t.Errorf("%v at width %d: %q", args, width, line)
				}
			}
		}
	}
}

func TestIPVSListAsJSON(t *testing.T) {
	b := busyDouble(t)
	var got poolsRecord
	decodeStrictly(t, b.must("list --json"), &got)
	counters := func(n uint64) (stats, rates countersRecord) {
		return countersRecord{1_000_000 * n, 5_000_000 * n, 4_000_000 * n, 3 << 30 * n, 40 << 30 * n}, countersRecord{12 * n, 340 * n, 330 * n, 56_789 * n, 12_345_678 * n}
	}
	destination := func(n uint64, d destinationRecord) destinationStatusRecord {
		stats, rates := counters(n)
		return destinationStatusRecord{d, uint32(17 * n), uint32(20000 * n), uint32(n - 1), stats, rates}
	}
	service := func(n uint64, s serviceRecord) serviceStatusRecord {
		stats, rates := counters(n)
		return serviceStatusRecord{s, stats, rates}
	}
	want := poolsRecord{Pools: []poolRecord{
		{service(2, serviceRecord{Protocol: "tcp", Address: "10.0.0.1:80", Scheduler: "wrr", Flags: []string{"persistent"}, Timeout: 300, Netmask: "255.255.255.0", Engine: "sip"}),
			[]destinationStatusRecord{
				destination(1, destinationRecord{Address: "10.1.0.5:8080", Method: "masquerade", Weight: 1}),
				destination(2, destinationRecord{Address: "10.1.0.6:8080", Method: "masquerade", Weight: 3, UpperThreshold: 1000, LowerThreshold: 800}),
			}},
		{serviceStatusRecord{serviceRecord: serviceRecord{Protocol: "udp", Address: "[2001:db8::1]:53", Scheduler: "rr", Flags: []string{"ops"}}}, []destinationStatusRecord{}},
		{service(1, serviceRecord{Mark: 10, Family: "ipv6", Scheduler: "sh", Flags: []string{"sh-port"}}),
			[]destinationStatusRecord{destination(1, destinationRecord{Address: "2001:db8::5", Method: "tunnel", Weight: 1, Tunnel: &tunnelRecord{"gue", 6080, []string{"csum"}}})}},
	}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(serviceStatusRecord{}, destinationStatusRecord{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if stdout := newDouble(t).must("list --json"); stdout != "{\n  \"pools\": []\n}\n" {
		t.Errorf("nothing is %q", stdout)
	}
}

// Without what the kernel counts, the list is a file of pools.
func TestIPVSListHasTheKeysOfTheFilesOfPools(t *testing.T) {
	b := busyDouble(t)
	var all struct {
		Pools []struct {
			Service      map[string]any   `json:"service"`
			Destinations []map[string]any `json:"destinations"`
		} `json:"pools"`
	}
	if err := json.Unmarshal([]byte(b.must("list --json")), &all); err != nil {
		t.Fatal(err)
	}
	for _, p := range all.Pools {
		for _, m := range append(p.Destinations, p.Service) {
			for _, key := range []string{"stats", "rates", "active_connections", "inactive_connections", "persistent_connections"} {
				delete(m, key)
			}
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if r := b.runWith(string(text), "apply", "-"); r.code != 0 || r.stdout != "nothing to change; 3 pools as desired\n" {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

func TestIPVSWatchRefreshesInPlace(t *testing.T) {
	onBoth(t, func(t *testing.T, b *balancer) {
		for i := range 9 {
			b.must("add service fwmark:"+string(rune('1'+i))+" -s rr", "add destination fwmark:"+string(rune('1'+i))+" 10.1.0.5 -m")
		}
		var out, errOut bytes.Buffer
		a := b.app("", &out, &errOut)
		size := [][2]int{{100, 40}, {100, 40}, {60, 40}, {100, 10}}
		a.width = 100
		a.screen = func() (int, int) {
			s := size[0]
			size = size[1:]
			return s[0], s[1]
		}
		if code := a.run(b.line([]string{"list", "--watch", "--interval", "10ms", "--count", "3"})); code != 0 {
			t.Fatalf("exit code %d: %s", code, errOut.String())
		}
		text, ok := strings.CutPrefix(out.String(), hideCursor+clearScreen)
		text, ok2 := strings.CutSuffix(text, clearBelow+showCursor)
		pages := strings.Split(text, topLeft)
		if !ok || !ok2 || len(pages) != 4 {
			t.Fatalf("%q", out.String())
		}
		head := regexp.MustCompile(`^\d\d:\d\d:\d\d  9 services, 9 destinations\x1b\[K\n\x1b\[K\nSERVICE +SCHEDULER`)
		for i, lines := range []int{21, 21, 21} {
			if page := pages[i+1]; !head.MatchString(page) || strings.Count(page, "\n") != lines || strings.Count(page, "\x1b[K\n") != lines {
				t.Errorf("%q", page)
			}
		}

		// What has no room is not there.
		out.Reset()
		a = b.app("", &out, &errOut)
		a.width, a.screen = 100, func() (int, int) { return 100, 10 }
		if code := a.run(b.line([]string{"list", "--watch", "--count", "1"})); code != 0 || strings.Count(out.String(), "\n") != 9 || !strings.Contains(out.String(), "… 13 lines more") {
			t.Errorf("exit code %d: %q", code, out.String())
		}

		// Not on a terminal it is an object a line.
		stdout := b.must("list --watch --interval 10ms --json --count 3 fwmark:1 fwmark:99")
		if strings.Count(stdout, "\n") != 3 {
			t.Error(stdout)
		}
		for line := range strings.Lines(stdout) {
			var r poolsRecord
			decodeStrictly(t, line, &r)
			if r.Time.IsZero() || time.Since(r.Time) > time.Minute || len(r.Pools) != 1 || r.Pools[0].Service.Mark != 1 {
				t.Errorf("%+v", r)
			}
		}
		if stdout := b.must("list --watch --interval 10ms --json --for 100ms"); strings.Count(stdout, "\n") < 2 {
			t.Error(stdout)
		}
	})
}

// signalling interrupts the process when it has been written to.
type signalling struct {
	io.Writer
	once sync.Once
}

func (s *signalling) Write(b []byte) (int, error) {
	n, err := s.Writer.Write(b)
	if bytes.Contains(b, []byte(clearBelow)) || bytes.Contains(b, []byte("}\n")) {
		s.once.Do(func() { syscall.Kill(os.Getpid(), syscall.SIGINT) })
	}
	return n, err
}

func TestIPVSWatchEndsCleanlyWhenInterrupted(t *testing.T) {
	onBoth(t, func(t *testing.T, b *balancer) {
		for _, args := range [][]string{{"list", "--watch"}, {"list", "--watch", "--json"}} {
			var out, errOut bytes.Buffer
			a := b.app("", &signalling{Writer: &out}, &errOut)
			a.width = 100
			begun := time.Now()
			if code := a.run(b.line(args)); code != 0 || errOut.Len() > 0 || time.Since(begun) > 10*time.Second {
				t.Errorf("%v: exit code %d after %v: %s", args, code, time.Since(begun), errOut.String())
			}
			if text := out.String(); strings.HasPrefix(text, hideCursor) != strings.HasSuffix(text, showCursor) {
				t.Errorf("the cursor stays hidden: %q", text)
			}
		}
	})
}

func TestIPVSListShowsWhatIpvsadmShows(t *testing.T) {
	b := newBalancer(t)
	ip, ipvsadm := testenv.Program(t, "ip", "iproute2"), testenv.Program(t, "ipvsadm", "ipvsadm")
	run := func(line string) string {
		return testenv.Run(t, ip, append([]string{"netns", "exec", b.netns, ipvsadm}, strings.Fields(line)...)...)
	}
	// What one configures, the other shows.
	run("-A -t 10.0.0.1:80 -s wrr -p 300 -M 255.255.255.0")
	run("-a -t 10.0.0.1:80 -r 10.1.0.5:8080 -m -w 3 -x 1000 -y 800")
	run("-a -t 10.0.0.1:80 -r 10.1.0.6 -g")
	run("-A -u [2001:db8::1]:53 -s rr -o")
	run("-a -u [2001:db8::1]:53 -r [2001:db8::5]:53 -i --tun-type gue --tun-port 6080 --tun-csum -w 0")
	b.must("add service -f 10 -s sh -b sh-port,sh-fallback", "add destination -f 10 -r 10.1.0.7 -i", "add service tcp:10.0.0.2:443", "add destination tcp:10.0.0.2:443 10.1.0.8:8443 -m")

	lines := func(s string) (all []string) {
		for _, l := range strings.Split(s, "\n") {
			if l = strings.Join(strings.Fields(l), " "); l != "" {
				all = append(all, l)
			}
		}
		return all
	}
	theirs := lines(run("-Sn"))
	for _, want := range []string{
		"-A -t 10.0.0.1:80 -s wrr -p 300 -M 255.255.255.0", "-a -t 10.0.0.1:80 -r 10.1.0.5:8080 -m -w 3", "-a -t 10.0.0.1:80 -r 10.1.0.6:80 -g -w 1",
		"-A -u [2001:db8::1]:53 -s rr -o", "-A -f 10 -s sh -b sh-fallback,sh-port", "-a -f 10 -r 10.1.0.7:0 -i -w 1 --tun-type ipip",
		"-A -t 10.0.0.2:443 -s wlc", "-a -t 10.0.0.2:443 -r 10.1.0.8:8443 -m -w 1",
	} {
		if !slices.Contains(theirs, want) {
			t.Errorf("ipvsadm -Sn has no %q:\n%s", want, strings.Join(theirs, "\n"))
		}
	}
	want := []string{
		"SERVICE SCHEDULER WEIGHT ACTIVE INACTIVE CONN/S IN/S OUT/S OPTIONS",
		"tcp:10.0.0.1:80 wrr 0 0 0 0B 0B persistent 5m, mask 255.255.255.0",
		"10.1.0.5:8080 masquerade 3 0 0 0 0B 0B upper 1000, lower 800",
		"10.1.0.6:80 route 1 0 0 0 0B 0B",
		"tcp:10.0.0.2:443 wlc 0 0 0 0B 0B",
		"10.1.0.8:8443 masquerade 1 0 0 0 0B 0B",
		"udp:[2001:db8::1]:53 rr 0 0 0 0B 0B ops",
		"[2001:db8::5]:53 tunnel 0 0 0 0 0B 0B gue port 6080 csum",
		"fwmark:10 sh 0 0 0 0B 0B sh-fallback, sh-port",
		"10.1.0.7 tunnel 1 0 0 0 0B 0B",
	}
	if diff := cmp.Diff(want, lines(b.must("list"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// What gnl exports is to ipvsadm what it was.
	rules := b.must("export --format ipvsadm")
	b.must("flush --yes")
	for line := range strings.Lines(rules) {
		run(line)
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(theirs)), slices.Sorted(slices.Values(lines(run("-Sn"))))); diff != "" {
		t.Errorf("after export and ipvsadm (-want +got):\n%s", diff)
	}
	if r := b.runWith(rules, "apply", "-"); r.code != 0 || r.stdout != "nothing to change; 4 pools as desired\n" {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}
