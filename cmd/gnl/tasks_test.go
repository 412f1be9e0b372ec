package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gnlgo/gnl/internal/testenv"
	"github.com/gnlgo/gnl/taskstats"
)

// note is what is said while delay accounting is off.
const note = "gnl: note: delay accounting is off"

func TestTaskAsPackageTaskstatsHasIt(t *testing.T) {
	testenv.Root(t)
	cat := exec.Command("cat") // an echo says that it has begun; it sleeps from then on
	in, err := cat.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cat.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cat.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); cat.Wait() }()
	pid := cat.Process.Pid
	fmt.Fprintln(in)
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	for state := ""; state != "S"; time.Sleep(time.Millisecond) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		state = strings.Fields(string(b))[2]
	}

	var got []record
	mustJSON(t, &got, "tasks", strconv.Itoa(pid))
	stats, err := taskstats.New(openClient(t)).PID(context.Background(), pid)
	if err != nil {
		t.Fatal(err)
	}
	want := newRecord(&stats)
	if len(got) != 1 {
		t.Fatalf("%d records", len(got))
	}
	for _, r := range []*record{&want, &got[0]} { // what goes on while it sleeps
		r.ElapsedTime.Value, r.GroupElapsedTime.Value = 0, 0
		r.BeginTime.Value = time.Time{}
	}
	if got[0] != want {
		t.Errorf("got  %+v\nwant %+v", got[0], want)
	}
	if r := got[0]; r.PID.Value != pid || r.TGID.Value != pid || r.PPID.Value != os.Getpid() || r.Comm.Value != "cat" || r.UID.Value != uint32(os.Getuid()) {
		t.Errorf("%+v", r)
	}
}

func TestAllTasks(t *testing.T) {
	testenv.Root(t)
	var all []record
	mustJSON(t, &all, "tasks")
	if !slices.IsSortedFunc(all, func(a, b record) int { return cmp.Compare(a.PID.Value, b.PID.Value) }) {
		t.Error("not in the order of their ids")
	}
	if !slices.ContainsFunc(all, func(r record) bool { return r.PID.Value == os.Getpid() }) {
		t.Error("the test itself is not there")
	}
	if !slices.ContainsFunc(all, func(r record) bool { return r.PID.Value == 1 }) {
		t.Error("process 1 is not there")
	}
	var threads []record
	mustJSON(t, &threads, "tasks", "--threads")
	if !slices.ContainsFunc(threads, func(r record) bool { return r.TGID.Value == os.Getpid() && r.PID.Value != os.Getpid() }) {
		t.Error("no thread of the test is there, and Go has several")
	}
}

func TestSortedTasks(t *testing.T) {
	testenv.Root(t)
	total := func(d ...uint64) (sum float64) {
		for _, n := range d {
			sum += float64(n)
		}
		return sum
	}
	for key, of := range map[string]func(record) float64{
		"cpu":       func(r record) float64 { return float64(r.CPUVirtualTime.Value) },
		"rss":       func(r record) float64 { return float64(r.PeakRSS.Value) },
		"io":        func(r record) float64 { return total(r.ReadBytes.Value, r.WriteBytes.Value) },
		"read":      func(r record) float64 { return float64(r.ReadBytes.Value) },
		"cpu-delay": func(r record) float64 { return float64(r.CPUDelay.Value.Total) },
		"age":       func(r record) float64 { return -float64(r.BeginTime.Value.Unix()) },
	} {
		var tasks []record
		mustJSON(t, &tasks, "tasks", "--sort", key, "--top", "20")
		if len(tasks) < 3 || len(tasks) > 20 {
			t.Errorf("sorted by %s: %d tasks", key, len(tasks))
		}
		if !slices.IsSortedFunc(tasks, func(a, b record) int { return cmp.Compare(of(b), of(a)) }) {
			t.Errorf("not sorted by %s", key)
		}
	}
	for _, key := range sortKeyNames() {
		if stdout, stderr, code := gnlOutput(t, 0, "tasks", "--sort", key, "--top", "3"); code != 0 || strings.Count(stdout, "\n") != 4 {
			t.Errorf("sorted by %s: exit code %d: %s\n%s", key, code, stderr, stdout)
		}
	}
}

// A thread group has no I/O of its own, but a name.
func TestThreadGroups(t *testing.T) {
	testenv.Root(t)
	var groups []record
	mustJSON(t, &groups, "tasks", "--tgid", strconv.Itoa(os.Getpid()))
	if len(groups) != 1 {
		t.Fatalf("%d records", len(groups))
	}
	r := groups[0]
	comm, _ := os.ReadFile("/proc/self/comm")
	if !r.Group || r.TGID.Value != os.Getpid() || r.PID.Given || r.ReadBytes.Given || r.Comm.Value+"\n" != string(comm) ||
		!r.CPURealTime.Given || !r.PeakRSS.Given || r.UID.Value != uint32(os.Getuid()) {
		t.Errorf("%+v", r)
	}
	stdout, _, code := gnlOutput(t, 0, "tasks", "--tgid", strconv.Itoa(os.Getpid()))
	lines := strings.Split(stdout, "\n")
	if code != 0 || !strings.Contains(lines[0], "TGID") || strings.Count(lines[1], "  -") != 2 {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
}

func TestTasksTable(t *testing.T) {
	testenv.Root(t)
	for _, width := range []int{0, 60, 80, 120} {
		stdout, stderr, code := gnlOutput(t, width, "tasks")
		lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
		head := strings.Fields(lines[0])
		want := "PID USER CPU CPU-W IO-W MEM-W RSS READ WRITE COMM"
		if code != 0 || width != 60 && strings.Join(head, " ") != want {
			t.Errorf("exit code %d, head %q: %s", code, lines[0], stderr)
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); width > 0 && n > width {
				t.Errorf("at width %d a line of %d: %q", width, n, line)
			}
		}
		off := false
		if on, err := taskstats.DelayAccounting(); err == nil {
			off = !on
		}
		if n := strings.Count(stderr, note); n > 1 || (n == 1) != off {
			t.Errorf("delay accounting off: %v, on stderr: %q", off, stderr)
		}
	}
}

func TestTasksThatAreNotThere(t *testing.T) {
	testenv.Root(t)
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	pid := strconv.Itoa(ended.Process.Pid)
	stdout, stderr, code := gnlOutput(t, 0, "tasks", "1", pid)
	if code != 1 || strings.Count(stdout, "\n") != 2 || !strings.Contains(stderr, "gnl: no task "+pid+": it has ended, or there never was one\n") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	stdout, stderr, code = gnlOutput(t, 0, "tasks", pid)
	if code != 1 || stdout != "" || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}

func TestCgroups(t *testing.T) {
	const root = "/sys/fs/cgroup"
	v1, v2 := "", ""
	for _, path := range []string{root, filepath.Join(root, "cpu"), filepath.Join(root, "memory"), filepath.Join(root, "unified")} {
		if _, err := os.Stat(filepath.Join(path, "cgroup.controllers")); err == nil {
			v2 = path
		} else if _, err := os.Stat(filepath.Join(path, "cgroup.procs")); err == nil {
			v1 = path
		}
	}
	if v2 != "" {
		_, stderr, code := gnlOutput(t, 0, "cgroup", v2)
		if code != 1 || !strings.HasPrefix(stderr, "gnl: cgroup "+v2+": ") || !strings.Contains(stderr, "version 1 only") {
			t.Errorf("exit code %d: %s", code, stderr)
		}
	}
	if v1 == "" {
		testenv.Missing(t, "needs a cgroup of version 1 at %s", root)
	}
	var counts []cgroupCounts
	mustJSON(t, &counts, "cgroup", v1, v1)
	if len(counts) != 2 || counts[0].Path != v1 || counts[0].Running+counts[0].Sleeping == 0 {
		t.Errorf("%+v", counts)
	}
	stdout, stderr, code := gnlOutput(t, 0, "cgroup", v1, "/nonexistent", v1)
	if code != 1 || strings.Count(stdout, "\n") != 3 || stderr != "gnl: cgroup /nonexistent: no such file or directory\n" {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}
