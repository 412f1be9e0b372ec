package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const twoPools = `pools:
  - service: {protocol: tcp, address: "10.0.0.1:80", scheduler: wrr, flags: [persistent], timeout: 5m}
    destinations:
      - {address: "10.1.0.5:8080", method: masquerade, weight: 1}
      - {address: "10.1.0.6:8080", method: masquerade, weight: 3, upper_threshold: 100}
  - service: {mark: 10, scheduler: rr}
    destinations: []
`

func TestIPVSAFileIsPlannedAppliedAndExported(t *testing.T) {
	onBoth(t, func(t *testing.T, b *balancer) {
		file := inFile(t, "pools.yaml", twoPools)
		const added = `+ tcp:10.0.0.1:80  wrr, persistent 5m
  + 10.1.0.5:8080  masquerade, weight 1
  + 10.1.0.6:8080  masquerade, weight 3, upper 100
+ fwmark:10        rr

`
		for _, line := range []string{"plan " + file, "apply --dry-run " + file} {
			if stdout := b.must(line); stdout != added+"4 to add, 0 to change, 0 to remove\n" {
				t.Errorf("%s:\n%s", line, stdout)
			}
		}
		b.exports(t, "pools: []")
		if stdout := b.must("apply " + file); stdout != added+"4 added, 0 changed, 0 removed\n" {
			t.Error(stdout)
		}
		b.exports(t, twoPools)
		for _, line := range []string{"plan " + file, "apply " + file} {
			if stdout := b.must(line); stdout != "nothing to change; 2 pools as desired\n" {
				t.Errorf("%s:\n%s", line, stdout)
			}
		}
		for _, format := range []string{"yaml", "json", "ipvsadm"} {
			exported := b.must("export --format " + format)
			r := b.runWith(exported, "apply", "-")
			if want := "nothing to change; 2 pools as desired\n"; format == "ipvsadm" && !strings.Contains(exported, "-A -t 10.0.0.1:80") || r.code != 0 || r.stdout != want {
				t.Errorf("%s: exit code %d: %s%s of\n%s", format, r.code, r.stdout, r.stderr, exported)
			}
		}

		b.must("add service udp:10.0.0.9:53 -s rr", "add destination udp:10.0.0.9:53 10.1.0.9")
		changed := inFile(t, "pools.json", `{"pools": [{"service": {"protocol": "tcp", "address": "10.0.0.1:80", "scheduler": "rr", "flags": ["persistent"], "timeout": 300},
			"destinations": [{"address": "10.1.0.6:8080", "method": "masquerade", "weight": 5}, {"address": "10.1.0.7:80", "method": "route"}]}]}`)
		const difference = `~ tcp:10.0.0.1:80  scheduler wrr → rr
  ~ 10.1.0.6:8080  weight 3 → 5, upper_threshold 100 → 0
  + 10.1.0.7:80    route, weight 1
  - 10.1.0.5:8080
`
		if stdout := b.must("plan " + changed); stdout != difference+`
1 to add, 2 to change, 1 to remove
2 services not in the file, left alone: udp:10.0.0.9:53, fwmark:10
` {
			t.Error(stdout)
		}
		if stdout := b.must("plan --prune " + changed); stdout != difference+`- udp:10.0.0.9:53
- fwmark:10

1 to add, 2 to change, 3 to remove
` {
			t.Error(stdout)
		}
		if r := b.run("plan", "--exit-code", changed); r.code != 3 || r.stderr != "" {
			t.Errorf("exit code %d: %s", r.code, r.stderr)
		}
		if stdout := b.must("apply " + changed); !strings.HasSuffix(stdout, `
1 added, 2 changed, 1 removed
2 services not in the file, left alone: udp:10.0.0.9:53, fwmark:10
`) {
			t.Error(stdout)
		}
		if r := b.run("plan", "--exit-code", changed); r.code != 0 {
			t.Errorf("exit code %d: %s", r.code, r.stdout)
		}
		if stdout := b.must("apply --prune --drain 1s " + changed); !strings.HasSuffix(stdout, "0 added, 1 changed, 2 removed; 1 pool as desired\n") {
			t.Error(stdout) // what is removed gets weight 0 first
		}
		if stdout := b.must("apply --prune " + changed); stdout != "nothing to change; 1 pool as desired\n" {
			t.Error(stdout)
		}
	})
}

func TestIPVSPlansAndOutcomesAsJSON(t *testing.T) {
	onBoth(t, func(t *testing.T, b *balancer) {
		b.must("add service tcp:10.0.0.1:80 -s rr", "add service tcp:10.0.0.9:80 -s rr", "add destination tcp:10.0.0.1:80 10.1.0.6:8080 -m",
			"add destination tcp:10.0.0.1:80 10.1.0.7:8080 -m", "add service fwmark:10 -s rr")
		file := inFile(t, "pools.yaml", twoPools)
		var plan planRecord
		decodeStrictly(t, b.must("plan --json "+file), &plan)
		text, err := json.Marshal(plan)
		if err != nil {
			t.Fatal(err)
		}
		const service = `"service":"tcp:10.0.0.1:80"`
		want := []string{
			`{"action":"set service",` + service + `,"differences":[{"field":"scheduler","old":"rr","new":"wrr"},{"field":"flags","old":"","new":"persistent"},{"field":"timeout","old":"0s","new":"5m0s"}],` +
				`"old":{"address":"10.0.0.1:80","protocol":"tcp","scheduler":"rr"},"new":{"address":"10.0.0.1:80","flags":["persistent"],"protocol":"tcp","scheduler":"wrr","timeout":300}}`,
			`{"action":"add destination",` + service + `,"destination":"10.1.0.5:8080","new":{"address":"10.1.0.5:8080","method":"masquerade","weight":1}}`,
			`{"action":"set destination",` + service + `,"destination":"10.1.0.6:8080","differences":[{"field":"weight","old":"1","new":"3"},{"field":"upper_threshold","old":"0","new":"100"}],` +
				`"old":{"address":"10.1.0.6:8080","method":"masquerade","weight":1},"new":{"address":"10.1.0.6:8080","method":"masquerade","upper_threshold":100,"weight":3}}`,
			`{"action":"remove destination",` + service + `,"destination":"10.1.0.7:8080","old":{"address":"10.1.0.7:8080","method":"masquerade","weight":1}}`,
			`"unchanged":1,"foreign":["tcp:10.0.0.9:80"]}`,
		}
		for _, w := range want {
			if !strings.Contains(string(text), w) {
				t.Errorf("no %s in\n%s", w, text)
			}
		}
		if len(plan.Changes) != 4 {
			t.Errorf("%d changes", len(plan.Changes))
		}
		var outcome, second outcomeRecord
		decodeStrictly(t, b.must("apply --json "+file), &outcome)
		if len(outcome.Done) != 4 || len(outcome.Failed) != 0 || len(outcome.Skipped) != 0 || outcome.Unchanged != 1 || !cmp.Equal(outcome.Foreign, []string{"tcp:10.0.0.9:80"}) {
			t.Errorf("%+v", outcome)
		}
		decodeStrictly(t, b.must("apply --json "+file), &second)
		if len(second.Done) != 0 || second.Done == nil || second.Cut == nil || second.Unchanged != 2 {
			t.Errorf("%+v", second)
		}
	})
}

func decodeStrictly(t *testing.T, text string, v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil || d.More() {
		t.Fatalf("%v in %s", err, text)
	}
}

func TestIPVSMistakesInFilesAreExplained(t *testing.T) {
	onBoth(t, func(t *testing.T, b *balancer) {
		bad := inFile(t, "bad.yaml", "pools:\n  - service: {protocol: tcp, address: 10.0.0.1:80, scheduler: rr}\n    destinations:\n      - {address: 10.1.0.5, method: route, weight: heavy}\n      - {address: 10.1.0.6, methd: route}\n")
		for _, command := range []string{"plan", "apply"} {
			r := b.run(command, bad)
			if r.code != 1 || r.stdout != "" || !regexp.MustCompile(`^gnl: \S+/bad\.yaml:4:\d+: pools\[0\]\.destinations\[0\]\.weight: .*\ngnl: \S+/bad\.yaml:5:\d+: .*"methd".*did you mean "method"\?\n$`).MatchString(r.stderr) {
				t.Errorf("%s: exit code %d: %s", command, r.code, r.stderr)
			}
		}
		r := b.runWith("{", "plan", "-")
		if r.code != 1 || !strings.HasPrefix(r.stderr, "gnl: stdin:1:") {
			t.Errorf("exit code %d: %s", r.code, r.stderr)
		}
		good := inFile(t, "good.yaml", twoPools)
		b.explains(t, []mistake{
			{"plan", 2, "ipvs plan needs a file of pools (- is standard input): see gnl help ipvs plan\n"},
			{"apply", 2, "ipvs apply needs a file of pools (- is standard input): see gnl help ipvs apply\n"},
			{"apply a b", 2, `ipvs apply takes a file of pools (- is standard input) and nothing more: "b" is too many` + "\n"},
			{"apply /nonexistent/pools.yaml", 1, "open /nonexistent/pools.yaml: no such file or directory\n"},
			{"apply /", 1, "read /: is a directory\n"},
			{"plan --format toml " + good, 2, `no format "toml": the formats are yaml, json, ipvsadm and auto` + "\n"},
			{"plan --format json " + good, 1, ""},
			{"plan -", 1, "stdin: the file is empty"},
			{"apply --drain -1s " + good, 2, "--drain -1s is negative\n"},
			{"apply --drain soon " + good, 2, `--drain "soon" is not a number of seconds, or a duration such as 500ms or 2m` + "\n"},
			{"export --format toml", 2, `no format "toml": the formats are yaml, json and ipvsadm` + "\n"},
			{"export --format auto", 2, `no format "auto": `},
			{"export --json --format yaml", 2, "--json and --format yaml exclude one another\n"},
		})
		b.must("add service tcp:10.0.0.1:80 -s rr", "add destination tcp:10.0.0.1:80 10.1.0.5 --method bypass")
		if r := b.run("export", "--format", "ipvsadm"); r.code != 1 || r.stdout != "" || !strings.HasPrefix(r.stderr, "gnl: tcp:10.0.0.1:80: pools[0].destinations[0].method: ") {
			t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
		}
	})
}

func TestIPVSAnApplyThatFailsTellsWhatWasDone(t *testing.T) {
	b := newDouble(t)
	b.must("add service udp:10.0.0.9:53 -s rr", "add service tcp:10.0.0.1:80 -s rr", "add destination tcp:10.0.0.1:80 10.1.0.7 -m")
	b.double.refuses(func(command uint8, address string) error {
		if command == 5 && address == "10.1.0.6:80" {
			return syscall.ENOMEM
		}
		return nil
	})
	file := inFile(t, "pools.yaml", `pools:
  - service: {protocol: tcp, address: "10.0.0.1:80", scheduler: rr}
    destinations: [{address: 10.1.0.5, method: masquerade}, {address: 10.1.0.6, method: masquerade}]
  - service: {mark: 10, scheduler: rr}
`)
	r := b.run("apply", "--prune", file)
	const why = "cannot allocate memory"
	want := `done:
  tcp:10.0.0.1:80
  + 10.1.0.5:80    masquerade, weight 1
+ fwmark:10        rr

failed:
  tcp:10.0.0.1:80
  + 10.1.0.6:80    masquerade, weight 1: ` + why + `

skipped:
  tcp:10.0.0.1:80
  - 10.1.0.7:80     something failed in the same pool
- udp:10.0.0.9:53   no service is removed while something fails

2 added, 0 changed, 0 removed
`
	squeeze := func(s string) string { return regexp.MustCompile(`  +`).ReplaceAllString(s, "  ") }
	if r.code != 1 || squeeze(r.stdout) != squeeze(want) || r.stderr != "gnl: 1 change failed, 2 skipped, 2 done: once the cause is gone, to apply it again makes up for the rest\n" {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	var outcome outcomeRecord
	r = b.run("apply", "--prune", "--json", file)
	decodeStrictly(t, r.stdout, &outcome)
	if r.code != 1 || len(outcome.Failed) != 1 || outcome.Failed[0].Error != why || outcome.Failed[0].Destination != "10.1.0.6:80" || len(outcome.Skipped) != 2 || len(outcome.Done) != 0 {
		t.Errorf("exit code %d: %+v", r.code, outcome)
	}
	b.double.refuses(nil)
	if stdout := b.must("apply --prune " + file); !strings.HasSuffix(stdout, "1 added, 0 changed, 2 removed; 1 pool as desired\n") {
		t.Error(stdout)
	}
}

// The connections that are waited for are those that the double reports.
func TestIPVSDrainWaitsAndTellsWhatWasCut(t *testing.T) {
	b := newDouble(t)
	b.must("add service tcp:10.0.0.1:80 -s rr", "add destination tcp:10.0.0.1:80 10.1.0.5 -m", "add destination tcp:10.0.0.1:80 10.1.0.6 -m")
	busy := b.double.pools[0].destinations[0]
	busy.Active = 7
	file := inFile(t, "pools.yaml", "pools: [{service: {protocol: tcp, address: \"10.0.0.1:80\", scheduler: rr}}]")
	r := b.run("apply", "--drain", "2s", "--timeout", "300ms", file) // the wait is not the kernel's
	if r.code != 0 || !strings.Contains(r.stdout, "~ 10.1.0.5:80    weight 1 → 0\n") || !strings.HasSuffix(r.stdout, "0 added, 2 changed, 2 removed\n10.1.0.5:80 of tcp:10.0.0.1:80 was removed with 7 connections\n") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

func TestIPVSAnApplyOnATerminalHasABar(t *testing.T) {
	b := newDouble(t)
	b.must("add service tcp:10.0.0.1:80 -s rr", "add destination tcp:10.0.0.1:80 10.1.0.5 -m")
	b.double.pools[0].destinations[0].Active = 7
	file := inFile(t, "pools.yaml", "pools: [{service: {protocol: tcp, address: \"10.0.0.1:80\", scheduler: rr}}]")
	var out, errOut bytes.Buffer
	a := b.app("", &out, &errOut)
	a.width = 100
	if code := a.run([]string{"ipvs", "apply", "--drain", "2s", file}); code != 0 {
		t.Fatalf("exit code %d: %s", code, errOut.String())
	}
	for _, want := range []string{"waiting for 7 connections of 1 destination, 2s left\n", "2s left\n\x1b[A\x1b[K", "done!\n\x1b[A\x1b[K", "0 added, 1 changed, 1 removed\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %q", want, out.String())
		}
	}
}

func TestIPVSAnInterruptedApplyTellsWhatWasDone(t *testing.T) {
	b := newDouble(t)
	b.must("add service tcp:10.0.0.1:80 -s rr", "add destination tcp:10.0.0.1:80 10.1.0.5 -m")
	b.double.pools[0].destinations[0].Active = 7
	file := inFile(t, "pools.yaml", "pools: [{service: {protocol: tcp, address: \"10.0.0.1:80\", scheduler: rr}}, {service: {mark: 1, scheduler: rr}}]")
	time.AfterFunc(500*time.Millisecond, func() { syscall.Kill(syscall.Getpid(), syscall.SIGINT) })
	r := b.run("apply", "--drain", "1m", file)
	if r.code != 1 || !strings.Contains(r.stdout, "skipped:\n  tcp:10.0.0.1:80\n  - 10.1.0.5:80    interrupted\n") || !strings.Contains(r.stdout, "\n+ fwmark:1  ") ||
		r.stderr != "gnl: 1 change skipped, 2 done: interrupted; to apply it again makes up for the rest\n" {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

// A kernel that says nothing for as long as --timeout ends an apply, one that is
// slow does not.
func TestIPVSTimeoutOfApplyIsForSilence(t *testing.T) {
	b := newDouble(t)
	var pools strings.Builder
	pools.WriteString("pools:\n")
	for i := range 1500 {
		fmt.Fprintf(&pools, "  - service: {mark: %d, scheduler: rr}\n", i+1)
	}
	file := inFile(t, "pools.yaml", pools.String())
	n := 0
	b.double.refuses(func(uint8, string) error {
		if n++; n%50 == 0 {
			time.Sleep(100 * time.Millisecond)
		}
		return nil
	})
	if r := b.run("apply", "--timeout", "2s", file); r.code != 0 || !strings.HasSuffix(r.stdout, "1500 added, 0 changed, 0 removed\n") {
		t.Errorf("exit code %d: %.200s%s", r.code, r.stdout, r.stderr)
	}
	b.must("flush --yes")
	b.double.refuses(func(uint8, string) error { time.Sleep(2 * time.Second); return errors.New("late") })
	r := b.run("apply", "--timeout", "500ms", inFile(t, "one.yaml", "pools: [{service: {mark: 1, scheduler: rr}}]"))
	if r.code != 1 || !strings.Contains(r.stderr, "the kernel did not answer in time (--timeout)") {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
}

func TestIPVSAnEmptyListOfIpvsadmsRemovesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, b *balancer) {
		b.must("add service tcp:10.0.0.1:80 -s rr")
		empty := inFile(t, "empty.ipvsadm", "")
		b.explains(t, []mistake{
			{"apply --prune --format ipvsadm " + empty, 1, empty + " is empty, and --prune would remove all services: "},
		})
		b.must("apply --format ipvsadm " + empty)
		if out := b.must("list"); !strings.Contains(out, "tcp:10.0.0.1:80") {
			t.Error(out)
		}
	})
}
