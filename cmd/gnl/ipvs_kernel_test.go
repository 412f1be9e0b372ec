package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gnlgo/gnl/internal/testenv"
	"github.com/gnlgo/gnl/netlink"
)

// traffic is a service, two servers behind it, and their clients, all on one
// machine.
type traffic struct {
	*balancer
	ns *netlink.Namespace
}

const virtualAddress = "10.0.0.1:80"

func newTraffic(t *testing.T) *traffic {
	b := newBalancer(t)
	ns, err := netlink.OpenNamespace("/run/netns/" + b.netns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	ip := testenv.Program(t, "ip", "iproute2")
	for _, address := range []string{"10.0.0.1/32", "10.1.0.5/32", "10.1.0.6/32"} {
		testenv.Run(t, ip, "-n", b.netns, "address", "add", address, "dev", "lo")
	}
	tr := &traffic{b, ns}
	for _, server := range []string{"10.1.0.5:8080", "10.1.0.6:8080"} {
		tr.serve(t, server)
	}
	b.must("add service tcp:"+virtualAddress+" -s rr", "add destination tcp:"+virtualAddress+" 10.1.0.5:8080 -m", "add destination tcp:"+virtualAddress+" 10.1.0.6:8080 -m")
	return tr
}

// serve answers every connection with the server's address, and holds it.
func (tr *traffic) serve(t *testing.T, address string) {
	var l net.Listener
	err := tr.ns.Do(func() (err error) { l, err = net.Listen("tcp", address); return err })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			c.Write([]byte(address))
		}
	}()
}

// connect connects through the service, and returns the connection and the
// server that has answered.
func (tr *traffic) connect(t *testing.T) (net.Conn, string) {
	t.Helper()
	var c net.Conn
	err := tr.ns.Do(func() (err error) { c, err = net.DialTimeout("tcp", virtualAddress, 10*time.Second); return err })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, len("10.1.0.5:8080"))
	if _, err := c.Read(b); err != nil {
		t.Fatal(err)
	}
	return c, string(b)
}

func TestIPVSListCountsConnections(t *testing.T) {
	tr := newTraffic(t)
	servers := map[string]int{}
	for range 6 {
		_, server := tr.connect(t)
		servers[server]++
	}
	if servers["10.1.0.5:8080"] != 3 || servers["10.1.0.6:8080"] != 3 {
		t.Errorf("%v", servers)
	}
	var got poolsRecord
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) { // it counts every two seconds
		decodeStrictly(t, tr.must("list --json"), &got)
		if got.Pools[0].Service.Stats.Connections == 6 || time.Now().After(end) {
			break
		}
	}
	s, d := got.Pools[0].Service, got.Pools[0].Destinations
	if s.Stats.Connections != 6 || s.Stats.PacketsIn == 0 || s.Stats.BytesOut == 0 || d[0].Active != 3 || d[1].Active != 3 || d[0].Stats.Connections != 3 {
		t.Errorf("%+v", got)
	}
	if stdout := tr.must("list"); !regexp.MustCompile(`(?m)^tcp:10\.0\.0\.1:80 +rr +6 +0 +\d+ `).MatchString(stdout) || !regexp.MustCompile(`(?m)^  10\.1\.0\.5:8080 +masquerade +1 +3 +0 `).MatchString(stdout) {
		t.Error(stdout)
	}
	if stdout := tr.must("list --stats --exact"); !regexp.MustCompile(`(?m)^tcp:10\.0\.0\.1:80 +6 `).MatchString(stdout) {
		t.Error(stdout)
	}
	if stdout := tr.must("zero tcp:10.0.0.1:80", "list --stats"); !regexp.MustCompile(`(?m)^tcp:10\.0\.0\.1:80 +0 `).MatchString(stdout) {
		t.Error(stdout)
	}
}

func TestIPVSDrainLetsConnectionsEnd(t *testing.T) {
	tr := newTraffic(t)
	open := map[string][]net.Conn{}
	for range 4 {
		c, server := tr.connect(t)
		open[server] = append(open[server], c)
	}
	file := inFile(t, "pools.yaml", `pools:
  - service: {protocol: tcp, address: "10.0.0.1:80", scheduler: rr}
    destinations: [{address: "10.1.0.6:8080", method: masquerade}]
`)
	results := make(chan result)
	begun := time.Now()
	go func() { results <- tr.run("apply", "--drain", "30s", file) }()
	for weight := regexp.MustCompile(`(?m)^  10\.1\.0\.5:8080 +masquerade +0 `); !weight.MatchString(tr.must("list")); time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > 20*time.Second {
			t.Fatalf("no weight is 0:\n%s", tr.must("list"))
		}
	}
	for range 4 {
		if _, server := tr.connect(t); server != "10.1.0.6:8080" {
			t.Error("a new connection came to the server that is to be removed")
		}
	}
	select {
	case r := <-results:
		t.Fatalf("removed with connections: %+v", r)
	case <-time.After(500 * time.Millisecond):
	}
	for _, c := range open["10.1.0.5:8080"] {
		c.Close()
	}
	r := <-results
	if r.code != 0 || !strings.HasSuffix(r.stdout, "  ~ 10.1.0.5:8080  weight 1 → 0\n  - 10.1.0.5:8080\n\n0 added, 1 changed, 1 removed\n") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	for _, c := range open["10.1.0.6:8080"] { // all others live on
		if _, err := c.Write([]byte("still there")); err != nil {
			t.Error(err)
		}
	}
}

func TestIPVSDrainEndsWithItsTime(t *testing.T) {
	tr := newTraffic(t)
	_, first := tr.connect(t)
	_, second := tr.connect(t)
	if first == second {
		t.Fatal("both at the same server")
	}
	begun := time.Now()
	r := tr.runWith("pools: []", "apply", "--prune", "--drain", "1s", "-")
	if r.code != 0 || time.Since(begun) < time.Second || !strings.Contains(r.stdout, "10.1.0.5:8080 of tcp:10.0.0.1:80 was removed with 1 connection\n") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	tr.exports(t, "pools: []")
}

// blocks are the blocks of a language in README.md.
func blocks(t *testing.T, readme, language string) (all []string) {
	t.Helper()
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(readme, -1) {
		all = append(all, m[1])
	}
	return all
}

// Every command on IPVS in the README works, with the file of pools that stands
// there, and what it shows of the output is what comes.
func TestIPVSInTheREADMEWorks(t *testing.T) {
	b := newBalancer(t)
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if os.IsNotExist(err) {
		testenv.Missing(t, "needs the module's README.md: lab run --file")
	}
	if err != nil {
		t.Fatal(err)
	}
	sh, ip := testenv.Program(t, "sh", "dash"), testenv.Program(t, "ip", "iproute2")
	dir := t.TempDir()
	for i, file := range blocks(t, string(readme), "yaml") {
		if i > 0 {
			t.Fatal("which block is pools.yaml?")
		}
		if err := os.WriteFile(filepath.Join(dir, "pools.yaml"), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ran := 0
	shown := ""
	for _, block := range blocks(t, string(readme), "sh") {
		for line := range strings.Lines(block) {
			line = strings.TrimSpace(line)
			if !strings.HasPrefix(line, "./gnl ipvs ") {
				continue
			}
			cmd := exec.Command(ip, "netns", "exec", b.netns, sh, "-c", strings.ReplaceAll(line, "./gnl ", "gnl "))
			cmd.Dir = dir
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil || stderr.Len() > 0 {
				t.Errorf("%s: %v\n%s%s", line, err, stderr.Bytes(), out)
			}
			shown += string(out)
			ran++
		}
	}
	if ran == 0 {
		t.Error("the README has no command on IPVS")
	}
	for _, block := range blocks(t, string(readme), "text") {
		if !strings.Contains(shown, block) {
			t.Errorf("no command writes\n%s but they write\n%s", block, shown)
		}
	}
}
