package main

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gnlgo/gnl/gnltest"
	"github.com/gnlgo/gnl/internal/testenv"
)

// asked runs a command line at which somebody sits who answers.
func (b *balancer) asked(answer string, args ...string) result {
	b.t.Helper()
	var out, errOut bytes.Buffer
	a := b.app(answer, &out, &errOut)
	a.asks = true
	return b.finish(a.run(b.line(args)), args, &out, &errOut)
}

func TestIPVSFlushAsksFirst(t *testing.T) {
	onBoth(t, func(t *testing.T, b *balancer) {
		if r := b.asked("", "flush"); r.code != 0 || r.stderr != "" {
			t.Errorf("nothing is there, exit code %d: %s", r.code, r.stderr)
		}
		b.must("add service tcp:10.0.0.1:80 -s rr", "add destination tcp:10.0.0.1:80 10.1.0.5 -m", "add destination tcp:10.0.0.1:80 10.1.0.6 -m")
		before := b.must("export")
		const question = "Remove all 1 service and 2 destinations? [y/N] "
		for answer, stderr := range map[string]string{
			"n\n": question + "gnl: nothing was changed\n", "\n": question + "gnl: nothing was changed\n", "": question + "\ngnl: nothing was changed\n",
			"maybe\n": question + "gnl: nothing was changed\n",
		} {
			if r := b.asked(answer, "flush"); r.code != 1 || r.stderr != stderr || b.must("export") != before {
				t.Errorf("answer %q: exit code %d: %q", answer, r.code, r.stderr)
			}
		}
		b.explains(t, []mistake{
			{"flush", 2, "flush removes all services, and there is no terminal to ask whether that is meant: --yes says so\n"},
			{"flush now", 2, `ipvs flush takes no arguments: "now" is too many` + "\n"},
		})
		if b.must("export") != before {
			t.Error("flushed without being told to")
		}
		if r := b.asked("Y\n", "flush"); r.code != 0 || r.stderr != question {
			t.Errorf("exit code %d: %s", r.code, r.stderr)
		}
		b.exports(t, "pools: []")
		b.must("add service tcp:10.0.0.1:80 -s rr", "flush --yes")
		b.exports(t, "pools: []")
	})
}

// Nobody answers, and then the question is interrupted.
func TestIPVSQuestionsCanBeInterrupted(t *testing.T) {
	b := newDouble(t)
	b.must("add service tcp:10.0.0.1:80 -s rr")
	var out, errOut bytes.Buffer
	a := b.app("", &out, &errOut)
	wait := make(chan struct{})
	defer close(wait)
	a.asks, a.in = true, blocked(wait)
	time.AfterFunc(200*time.Millisecond, func() { syscall.Kill(syscall.Getpid(), syscall.SIGINT) })
	if code := a.run([]string{"ipvs", "flush"}); code != 1 || errOut.String() != "Remove all 1 service and 0 destinations? [y/N] \ngnl: interrupted\n" {
		t.Errorf("exit code %d: %q", code, errOut.String())
	}
	time.AfterFunc(200*time.Millisecond, func() { syscall.Kill(syscall.Getpid(), syscall.SIGINT) })
	errOut.Reset()
	if code := a.run([]string{"ipvs", "apply", "-"}); code != 1 || errOut.String() != "gnl: reading pools from the terminal: Ctrl-D ends them\ngnl: interrupted\n" {
		t.Errorf("exit code %d: %q", code, errOut.String())
	}
	b.exports(t, `pools: [{service: {protocol: tcp, address: "10.0.0.1:80", scheduler: rr}}]`)
}

// blocked is a terminal at which nobody types, until it is closed.
type blocked chan struct{}

func (b blocked) Read([]byte) (int, error) { <-b; return 0, syscall.EIO }

func TestIPVSZero(t *testing.T) {
	b := newDouble(t)
	b.must("add service tcp:10.0.0.1:80 -s rr", "add destination tcp:10.0.0.1:80 10.1.0.5 -m", "add service fwmark:1 -s rr")
	count := func() {
		for _, p := range b.double.pools {
			p.service.Stats.Connections = 7
			for _, d := range p.destinations {
				d.Stats.Connections = 7
			}
		}
	}
	left := func() int { return strings.Count(b.must("list --stats"), " 7 ") }
	count()
	for _, step := range []struct {
		line string
		left int
	}{{"zero tcp:10.0.0.1:80", 1}, {"zero -f 1", 0}} {
		if b.must(step.line); left() != step.left {
			t.Errorf("%s: %s", step.line, b.must("list --stats"))
		}
	}
	count()
	if b.must("zero"); left() != 0 { // nobody can be asked, and little is lost
		t.Error(b.must("list --stats"))
	}
	count()
	if r := b.asked("no\n", "zero"); r.code != 1 || r.stderr != "Zero the counters of all 2 services and 1 destination? [y/N] gnl: nothing was changed\n" || left() != 3 {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	if r := b.asked("yes\n", "zero"); r.code != 0 || left() != 0 {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	count()
	if r := b.asked("", "zero", "--yes"); r.code != 0 || r.stderr != "" || left() != 0 {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	count()
	if r := b.asked("", "zero", "tcp:10.0.0.1:80"); r.code != 0 || r.stderr != "" || left() != 1 {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	b.explains(t, []mistake{{"zero tcp:10.0.0.1:80 more", 2, `ipvs zero takes one service and nothing more: "more" is too many` + "\n"}})
}

func TestIPVSTimeoutsAreShownAndSet(t *testing.T) {
	onBoth(t, func(t *testing.T, b *balancer) {
		if stdout := b.must("timeouts"); stdout != "tcp      15m\ntcp-fin  2m\nudp      5m\n" {
			t.Error(stdout)
		}
		if stdout := b.must("timeouts --tcp 7200 --udp 90s"); stdout != "tcp      2h\ntcp-fin  2m\nudp      1m30s\n" {
			t.Error(stdout)
		}
		var got timeoutsRecord
		decodeStrictly(t, b.must("timeouts --tcp-fin 30 --json"), &got)
		if got != (timeoutsRecord{7200, 30, 90}) {
			t.Errorf("%+v", got)
		}
		b.explains(t, []mistake{
			{"timeouts --tcp 0", 2, "--tcp is 0: the least is 1 second\n"},
			{"timeouts --tcp-fin 1.5s", 2, `--tcp-fin "1.5s" is not a number of seconds, or a duration such as 90s or 5m` + "\n"},
			{"timeouts --udp -1s", 2, `--udp "-1s" is not a number of seconds`},
			{"timeouts --udp 999999999", 2, "udp: "},
			{"timeouts 5", 2, `ipvs timeouts takes no arguments: "5" is too many` + "\n"},
		})
	})
}

func TestIPVSInfo(t *testing.T) {
	onBoth(t, func(t *testing.T, b *balancer) {
		if stdout := b.must("info"); !regexp.MustCompile(`^version                1\.2\.1\nconnection table size  \d+\n$`).MatchString(stdout) {
			t.Error(stdout)
		}
		var got ipvsInfoRecord
		decodeStrictly(t, b.must("info --json"), &got)
		if got.Version != "1.2.1" || got.ConnectionTableSize == 0 {
			t.Errorf("%+v", got)
		}
	})
}

func TestIPVSDaemonsAreStartedListedAndStopped(t *testing.T) {
	onBoth(t, func(t *testing.T, b *balancer) {
		if stdout := b.must("daemon list"); stdout != "ROLE  INTERFACE  SYNC-ID  GROUP  PORT  TTL  MAX-LEN\n" {
			t.Error(stdout)
		}
		if stdout := b.must("daemon list --json"); stdout != "[]\n" {
			t.Error(stdout)
		}
		if b.netns != "" { // a daemon has to have a route for its multicast
			ip := testenv.Program(t, "ip", "iproute2")
			testenv.Run(t, ip, "-n", b.netns, "link", "set", "lo", "multicast", "on")
			testenv.Run(t, ip, "-n", b.netns, "route", "add", "224.0.0.0/4", "dev", "lo")
		}
		b.must("daemon start master --mcast-interface lo --syncid 7", "daemon start backup --mcast-interface lo")
		stdout := b.must("daemon list")
		if !regexp.MustCompile(`(?m)^master  lo               7  224\.0\.0\.81  8848    1 +\d+$`).MatchString(stdout) || !regexp.MustCompile(`(?m)^backup  lo               0  224\.0\.0\.81  8848`).MatchString(stdout) {
			t.Error(stdout)
		}
		var got []daemonRecord
		decodeStrictly(t, b.must("daemon list --json"), &got)
		if len(got) != 2 || got[0].Role != "master" || got[0].SyncID != 7 || got[0].Port != 8848 || got[0].Group != "224.0.0.81" || got[0].Interface != "lo" {
			t.Errorf("%+v", got)
		}
		b.explains(t, []mistake{
			{"daemon start master --mcast-interface lo", 1, "a master runs already: gnl ipvs daemon stop master ends it\n"},
			{"daemon start", 2, "ipvs daemon start needs a role (master or backup): see gnl help ipvs daemon start\n"},
			{"daemon start slave", 2, `no role "slave": the roles are master and backup` + "\n"},
			{"daemon stop slave", 2, `no role "slave": the roles are master and backup` + "\n"},
			{"daemon start backup", 2, "ipvs daemon start needs an interface: --mcast-interface\n"},
			{"daemon start backup --mcast-interface lo --syncid 300", 2, `--syncid "300" is not a number from 0 to 255` + "\n"},
			{"daemon start backup --mcast-interface lo --mcast-group 10.0.0.1", 2, `--mcast-group "10.0.0.1" is no multicast address, such as 224.0.0.81 or ff02::81` + "\n"},
			{"daemon start backup --mcast-interface an-interface-too-long", 2, "interface: "},
			{"daemon stat", 2, `no command "stat" in gnl ipvs daemon: did you mean start?` + "\n"},
		})
		b.must("daemon stop master", "daemon stop backup")
		b.explains(t, []mistake{
			{"daemon stop master", 1, "no master runs\n"},
			{"daemon start backup --mcast-interface nosuch0", 1, "no interface nosuch0 that can multicast\n"},
		})
	})
}

func TestIPVSCompletion(t *testing.T) {
	onBoth(t, func(t *testing.T, b *balancer) {
		b.must("add service tcp:10.0.0.1:80 -s rr", "add service tcp:10.0.0.2:80 -s sh", "add service fwmark:10 -s rr",
			"add destination tcp:10.0.0.1:80 10.1.0.5:8080 -m", "add destination tcp:10.0.0.1:80 10.1.0.6", "add destination fwmark:10 10.1.0.7 -i")
		for _, c := range []struct {
			words []string
			want  string // words that are offered
			not   string // and one that is not
		}{
			{[]string{""}, "add apply daemon edit export flush info list plan remove timeouts zero", "service"},
			{[]string{"add", ""}, "service destination", "tcp:10.0.0.1:80"},
			{[]string{"list", ""}, "tcp:10.0.0.1:80 tcp:10.0.0.2:80 fwmark:10", "10.1.0.6:80"},
			{[]string{"list", "tcp:10.0.0.1:80", ""}, "tcp:10.0.0.2:80 fwmark:10", "tcp:10.0.0.1:80"},
			{[]string{"list", "--"}, "--stats --watch --json", "--weight"},
			{[]string{"edit", "service", ""}, "tcp:10.0.0.1:80 tcp:10.0.0.2:80 fwmark:10", "10.1.0.6:80"},
			{[]string{"edit", "service", "fwmark:10", ""}, "", "tcp:10.0.0.1:80"},
			{[]string{"remove", "service", "-t", ""}, "10.0.0.1:80 10.0.0.2:80", "tcp:10.0.0.1:80"},
			{[]string{"remove", "service", "-f", ""}, "10", "fwmark:10"},
			{[]string{"add", "service", "--scheduler", ""}, "rr sh", "tcp:10.0.0.1:80"},
			{[]string{"add", "service", "--sched-flags", ""}, "sh-port mh-fallback", "sh"},
			{[]string{"add", "destination", ""}, "tcp:10.0.0.1:80", "10.1.0.6:80"},
			{[]string{"add", "destination", "tcp:10.0.0.1:80", ""}, "", "10.1.0.6:80"},
			{[]string{"add", "destination", "--method", ""}, "route tunnel masquerade local bypass", "rr"},
			{[]string{"add", "destination", "--tun-type", ""}, "ipip gue gre", "rr"},
			{[]string{"edit", "destination", "tcp:10.0.0.1:80", ""}, "10.1.0.5:8080 10.1.0.6:80", "10.1.0.7"},
			{[]string{"remove", "destination", "-f", "10", "-r", ""}, "10.1.0.7", "10.1.0.6:80"},
			{[]string{"remove", "destination", "-f", "10", ""}, "10.1.0.7", "10.1.0.6:80"},
			{[]string{"export", "--format", ""}, "yaml json ipvsadm", "auto"},
			{[]string{"daemon", "start", ""}, "master backup", "lo"},
			{[]string{"daemon", "start", "--mcast-interface", ""}, "lo", "master"},
		} {
			var out, errOut bytes.Buffer
			a := b.app("", &out, &errOut)
			if code := a.run(append([]string{"__complete"}, b.line(c.words)...)); code != 0 {
				t.Errorf("%q: exit code %d: %s", c.words, code, errOut.String())
			}
			var offered []string
			for line := range strings.Lines(out.String()) {
				word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
				offered = append(offered, word)
			}
			for _, want := range strings.Fields(c.want) {
				if !slices.Contains(offered, want) {
					t.Errorf("%q: no %q in %q", c.words, want, offered)
				}
			}
			if slices.Contains(offered, c.not) || strings.Contains(errOut.String(), "gnl:") {
				t.Errorf("%q: %q, %s", c.words, offered, errOut.String())
			}
		}
	})
}

func TestIPVSWithoutIPVSSaysHowToHaveIt(t *testing.T) {
	k := gnltest.NewKernel(t)
	for _, line := range []string{"list", "info", "add service tcp:10.0.0.1:80", "remove destination tcp:10.0.0.1:80 10.1.0.5", "export", "zero", "flush --yes", "timeouts", "daemon list",
		"apply " + inFile(t, "pools.yaml", twoPools), "plan " + inFile(t, "pools.yaml", twoPools)} {
		var out, errOut bytes.Buffer
		a := &app{in: strings.NewReader(""), out: &out, errOut: &errOut, dial: k.Config().Dial}
		code := a.run(append([]string{"ipvs"}, strings.Fields(line)...))
		if want := "gnl: the kernel has no IPVS: its module ip_vs is not loaded (modprobe ip_vs), or was not built\n"; code != 1 || out.Len() > 0 || errOut.String() != want {
			t.Errorf("%s: exit code %d: %s%s", line, code, errOut.String(), out.String())
		}
	}
}

func TestIPVSWithoutPermissionSaysWhichOneIsMissing(t *testing.T) {
	newBalancer(t)
	// As root of a user namespace, it has none over the machine's network.
	one := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	for _, line := range []string{"list", "add service tcp:10.0.0.1:80", "apply " + inFile(t, "pools.yaml", twoPools), "flush --yes"} {
		cmd := exec.Command("gnl", append([]string{"ipvs"}, strings.Fields(line)...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: one, GidMappings: one}
		out, err := cmd.CombinedOutput()
		if want := regexp.MustCompile(`^gnl: [a-z ]*(tcp:10.0.0.1:80)?: it needs CAP_NET_ADMIN in the initial user namespace.*: operation not permitted\n$`); err == nil || !want.Match(out) {
			t.Errorf("%s: %v: %s", line, err, out)
		}
	}
}

func TestIPVSMessagesAreShownDecoded(t *testing.T) {
	b := newDouble(t)
	r := b.run("add", "service", "tcp:10.0.0.1:80", "--verbose")
	if r.code != 0 || !strings.Contains(r.stderr, "sent: type ") || !strings.Contains(r.stderr, `"wlc"`) {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
}

func TestIPVSSchedulersAreThoseOfTheKernel(t *testing.T) {
	newBalancer(t).must("add service fwmark:1 -s rr", "add service fwmark:2 -s sh") // loads them
	all := schedulers()
	for _, name := range []string{"rr", "sh"} {
		if !slices.ContainsFunc(all, func(s scheduling) bool { return s.name == name }) {
			t.Errorf("no %s in %v", name, all)
		}
	}
	if len(all) == 0 || len(all) > len(knownSchedulers) {
		t.Errorf("%v", all)
	}
	for _, s := range all {
		if !slices.Contains(knownSchedulers, s) {
			t.Errorf("%v", s)
		}
	}
}
