//go:build linux

package taskstats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gnlgo/gnl/internal/testenv"
)

func init() {
	helpers["work"] = work
	helpers["thread-ended"] = threadEnded
}

// rusageThread is RUSAGE_THREAD.
const rusageThread = 1

// burn keeps the calling thread busy until it has used so much CPU time.
func burn(d time.Duration) {
	for {
		for i := range 100_000 {
			_ = math.Sqrt(float64(i))
		}
		var u syscall.Rusage
		if err := syscall.Getrusage(rusageThread, &u); err != nil {
			panic(err)
		}
		if time.Duration(u.Utime.Nano()+u.Stime.Nano()) >= d {
			return
		}
	}
}

// hold lets a helper say its line and wait for its end.
func hold(line string) {
	fmt.Println(line)
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// work is a process about which much can be said: of a user and group of its
// own, nice, busy on its main thread and on two others, reading and writing.
func work() int {
	path := os.Getenv("WORK_FILE")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = f.Chown(1234, 4321)
	}
	if err == nil {
		err = syscall.Setpriority(syscall.PRIO_PROCESS, 0, 7)
	}
	if err == nil {
		err = syscall.Setgid(4321)
	}
	if err == nil {
		err = syscall.Setuid(1234)
	}
	if err == nil {
		err = os.WriteFile("/proc/thread-self/comm", []byte("a (test) task"), 0)
	}
	data := bytes.Repeat([]byte("0123456789abcdef"), 256<<10/16)
	for range 8 {
		if err == nil {
			_, err = f.Write(data)
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		_, err = f.ReadAt(data, 0)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	burn(150 * time.Millisecond)
	var others sync.WaitGroup
	for range 2 {
		others.Add(1)
		go func() {
			runtime.LockOSThread() // and keep the thread
			burn(60 * time.Millisecond)
			others.Done()
			select {}
		}()
	}
	others.Wait()
	hold("ready")
	return 3
}

// threadEnded is a process of which one thread did the work, and ended.
func threadEnded() int {
	tid := make(chan int)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		burn(100 * time.Millisecond)
		tid <- syscall.Gettid()
	}()
	task := fmt.Sprintf("/proc/self/task/%d", <-tid)
	for range 1000 {
		if _, err := os.Stat(task); err != nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	hold("ready")
	return 0
}

func startWork(t *testing.T) (pid int, end func() error) {
	t.Helper()
	cmd := helper(t, "work", "WORK_FILE="+filepath.Join(t.TempDir(), "file"))
	if line, e := start(t, cmd); line != "ready" {
		t.Fatal(line)
	} else {
		end = e
	}
	return cmd.Process.Pid, end
}

// proc reads a file of /proc/PID/task/PID.
func proc(t *testing.T, pid int, name string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/%s", pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// procLine gives the fields of the line "name: ..." of such a file.
func procLine(t *testing.T, pid int, file, name string) []string {
	t.Helper()
	for line := range strings.Lines(proc(t, pid, file)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.Fields(rest)
		}
	}
	t.Fatalf("%s has no %s", file, name)
	return nil
}

// procStat gives the fields of /proc/PID/stat by their numbers in proc(5).
func procStat(t *testing.T, pid int) func(int) int64 {
	t.Helper()
	stat := proc(t, pid, "stat")
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:]) // from number 3 on
	return func(n int) int64 { return atoi(t, fields[n-3]) }
}

func atoi(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func near(t *testing.T, what string, got, want, tolerance time.Duration) {
	t.Helper()
	if (got - want).Abs() > tolerance {
		t.Errorf("%s is %v, want %v ± %v", what, got, want, tolerance)
	}
}

func TestPIDAgainstProc(t *testing.T) {
	c, _ := open(t)
	pid, _ := startWork(t)
	s, err := c.PID(t.Context(), pid)
	for range 100 { // until it waits
		before := s.CPUVirtualTime
		time.Sleep(10 * time.Millisecond)
		if s, err = c.PID(t.Context(), pid); s.CPUVirtualTime == before {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}

	if s.Group || s.PID != pid || s.ParentPID != os.Getpid() {
		t.Errorf("group %t, pid %d, parent %d", s.Group, s.PID, s.ParentPID)
	}
	if want := atoi(t, procLine(t, pid, "status", "Uid")[0]); int64(s.UID) != want || s.UID != 1234 {
		t.Errorf("uid %d, want %d", s.UID, want)
	}
	if want := atoi(t, procLine(t, pid, "status", "Gid")[0]); int64(s.GID) != want || s.GID != 4321 {
		t.Errorf("gid %d, want %d", s.GID, want)
	}
	if want := strings.TrimSpace(proc(t, pid, "comm")); s.Comm != want || s.Comm != "a (test) task" {
		t.Errorf("comm %q, want %q", s.Comm, want)
	}
	stat := procStat(t, pid)
	if want := stat(19); int64(s.Nice) != want || s.Nice != 7 {
		t.Errorf("nice %d, want %d", s.Nice, want)
	}
	if s.MinorFaults != uint64(stat(10)) {
		t.Errorf("minor faults %d, want %d", s.MinorFaults, stat(10))
	}
	if s.ExitCode != 0 || s.SchedPolicy != 0 {
		t.Errorf("exit code %v, policy %v", s.ExitCode, s.SchedPolicy)
	}

	// Times. The kernel shares the CPU time out to user and system in /proc.
	const tick = 10 * time.Millisecond // USER_HZ is 100
	// These are counted at the clock's ticks, and /proc corrects them by the time
	// that the scheduler measured: where a virtual machine was not given its
	// processors, the ticks that it catches up on go to whoever runs then.
	onCPUTime := time.Duration(stat(14)+stat(15)) * tick
	near(t, "user and system time", s.UserTime+s.SystemTime, onCPUTime, onCPUTime/2+4*tick)
	near(t, "CPU time in nanoseconds", s.CPURealTime, s.UserTime+s.SystemTime, 2*time.Microsecond)
	if s.UserTime == 0 {
		t.Errorf("user time %v, system time %v", s.UserTime, s.SystemTime)
	}
	if onCPU := atoi(t, strings.Fields(proc(t, pid, "schedstat"))[0]); int64(s.CPUVirtualTime) != onCPU {
		t.Errorf("time on CPU %d, want %d", s.CPUVirtualTime, onCPU)
	}
	if waited := atoi(t, strings.Fields(proc(t, pid, "schedstat"))[1]); int64(s.CPUDelay.Total) != waited {
		t.Errorf("time waiting for a CPU %d, want %d", s.CPUDelay.Total, waited)
	}
	var up float64
	if b, err := os.ReadFile("/proc/uptime"); err != nil {
		t.Fatal(err)
	} else if _, err := fmt.Sscan(string(b), &up); err != nil {
		t.Fatal(err)
	}
	began := time.Now().Add(-time.Duration(up * float64(time.Second))).Add(time.Duration(stat(22)) * tick)
	near(t, "time since the begin", time.Since(s.BeginTime), time.Since(began), 2*time.Second)
	near(t, "elapsed time", s.ElapsedTime, time.Since(began), 2*time.Second)
	if want := atoi(t, procLine(t, pid, "status", "voluntary_ctxt_switches")[0]); int64(s.VoluntarySwitches) != want {
		t.Errorf("voluntary switches %d, want %d", s.VoluntarySwitches, want)
	}

	// Memory, and I/O, which the kernel rounds down to 1,024.
	if peak := uint64(atoi(t, procLine(t, pid, "status", "VmPeak")[0])) << 10; s.PeakVM != peak {
		t.Errorf("peak of memory %d, want %d", s.PeakVM, peak)
	}
	for _, x := range []struct {
		name string
		got  uint64
	}{
		{"rchar", s.ReadChars}, {"wchar", s.WriteChars}, {"syscr", s.ReadCalls}, {"syscw", s.WriteCalls},
		{"read_bytes", s.ReadBytes}, {"write_bytes", s.WriteBytes}, {"cancelled_write_bytes", s.CancelledWriteBytes},
	} {
		if want := uint64(atoi(t, procLine(t, pid, "io", x.name)[0])) &^ 1023; x.got != want {
			t.Errorf("%s is %d, want %d", x.name, x.got, want)
		}
	}
	if s.WriteChars < 2<<20 || s.ReadChars < 256<<10 {
		t.Errorf("wrote %d, read %d", s.WriteChars, s.ReadChars)
	}
	if s.Has(FieldExeInode) {
		info, err := os.Stat("/proc/self/exe")
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); s.ExeInode != st.Ino || s.TGID != pid {
			t.Errorf("inode %d, want %d; tgid %d", s.ExeInode, st.Ino, s.TGID)
		}
	}
}

func TestTGIDIsTheSumOfItsThreads(t *testing.T) {
	c, _ := open(t)
	ctx := t.Context()
	pid, _ := startWork(t)
	threads := func() []int {
		tids, err := appendIDs(nil, fmt.Sprintf("/proc/%d/task", pid))
		if err != nil || len(tids) < 3 {
			t.Fatal(tids, err)
		}
		return tids
	}
	// Go's threads are not quite still, and it begins new ones: take what did not
	// change meanwhile.
	for attempt := 0; ; attempt++ {
		tids := threads()
		before, err := c.TGID(ctx, pid)
		if err != nil {
			t.Fatal(err)
		}
		var sum Stats
		for _, tid := range tids {
			s, err := c.PID(ctx, tid)
			if err != nil {
				t.Fatal(err)
			}
			if s.PID != tid || s.Has(FieldTGID) && s.TGID != pid {
				t.Fatalf("pid %d, tgid %d of thread %d of %d", s.PID, s.TGID, tid, pid)
			}
			sum.UserTime += s.UserTime
			sum.SystemTime += s.SystemTime
			sum.CPUVirtualTime += s.CPUVirtualTime
			sum.CPUDelay.Count += s.CPUDelay.Count
			sum.VoluntarySwitches += s.VoluntarySwitches
			sum.InvoluntarySwitches += s.InvoluntarySwitches
		}
		g, err := c.TGID(ctx, tids[len(tids)-1]) // any thread will do
		if err != nil {
			t.Fatal(err)
		}
		if (before.CPUVirtualTime != g.CPUVirtualTime || !slices.Equal(tids, threads())) && attempt < 50 {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if !g.Group || g.TGID != tids[len(tids)-1] || before.TGID != pid {
			t.Errorf("group %t, tgid %d and %d", g.Group, g.TGID, before.TGID)
		}
		if g.UserTime != sum.UserTime || g.SystemTime != sum.SystemTime || g.CPUVirtualTime != sum.CPUVirtualTime ||
			g.CPUDelay.Count != sum.CPUDelay.Count ||
			g.VoluntarySwitches != sum.VoluntarySwitches || g.InvoluntarySwitches != sum.InvoluntarySwitches {
			t.Errorf("the group has\n%+v\nits threads together\n%+v", g, sum)
		}
		if g.CPUVirtualTime < 270*time.Millisecond*9/10 {
			t.Errorf("the three threads used 270 ms of CPU time, the group has %v", g.CPUVirtualTime)
		}
		if g.Comm != "" || g.UID != 0 || g.Has(FieldComm) || g.Has(FieldUID) || !g.Has(FieldUserTime) {
			t.Errorf("%+v", g)
		}
		return
	}
}

// A thread that has ended counts in a group, though not everywhere.
func TestTGIDAfterThreadEnded(t *testing.T) {
	c, _ := open(t)
	cmd := helper(t, "thread-ended")
	start(t, cmd)
	s, err := c.TGID(t.Context(), cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if s.CPUVirtualTime < 90*time.Millisecond {
		t.Errorf("a thread that has ended used 100 ms of CPU time, the group has %v", s.CPUVirtualTime)
	}
}

func TestSelf(t *testing.T) {
	c, _ := open(t)
	before, err := c.Self(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var u syscall.Rusage
		_ = syscall.Getrusage(rusageThread, &u)
		burn(time.Duration(u.Utime.Nano()+u.Stime.Nano()) + 60*time.Millisecond)
	}()
	<-done
	var s Stats
	if err := c.SelfInto(t.Context(), &s); err != nil {
		t.Fatal(err)
	}
	if !s.Group || s.TGID != os.Getpid() || s.CPUVirtualTime-before.CPUVirtualTime < 50*time.Millisecond {
		t.Errorf("another thread than the main one used 60 ms: %v, then %v: %+v", before.CPUVirtualTime, s.CPUVirtualTime, s)
	}
}

// gone returns the pid of a process that has ended.
func gone(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func TestNoSuchTask(t *testing.T) {
	c, _ := open(t)
	ctx := t.Context()
	pid := gone(t)
	s := Stats{Comm: "untouched"}
	for _, x := range []struct {
		err  error
		want string
	}{
		{c.PIDInto(ctx, pid, &s), fmt.Sprintf("taskstats: pid %d: no such process", pid)},
		{c.TGIDInto(ctx, pid, &s), fmt.Sprintf("taskstats: tgid %d: no such process", pid)},
	} {
		if !errors.Is(x.err, fs.ErrNotExist) || !errors.Is(x.err, syscall.ESRCH) || x.err.Error() != x.want {
			t.Errorf("%v, want %s", x.err, x.want)
		}
	}
	if s.Comm != "untouched" {
		t.Errorf("%+v", s)
	}
}

// overflow is one more than n, which the kernel would take for another number;
// where int has 32 bits, a negative one.
func overflow(n uint64) int { return int(n + 1) }

func TestImpossiblePID(t *testing.T) {
	c := New(nil) // nothing is asked
	ctx := context.Background()
	for _, pid := range []int{0, -1, math.MinInt, overflow(math.MaxInt32), overflow(math.MaxUint32)} {
		_, err := c.PID(ctx, pid)
		_, err2 := c.TGID(ctx, pid)
		if !errors.Is(err, syscall.EINVAL) || !errors.Is(err2, syscall.EINVAL) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%d: %v, %v", pid, err, err2)
		}
	}
	_, err := c.PID(ctx, 0)
	if want := "taskstats: pid 0: ids of tasks are 1 to 2147483647: invalid argument"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
}

func TestCancelled(t *testing.T) {
	c, _ := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.PID(ctx, 1)
	if !errors.Is(err, context.Canceled) || err.Error() != "taskstats: pid 1: context canceled" {
		t.Error(err)
	}
	if _, err := c.Many(ctx, []int{1, 2}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := c.Cgroup(ctx, "/"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := c.Listen(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAllocs(t *testing.T) {
	c, _ := open(t)
	if raceDetector {
		t.Skip("the race detector makes sync.Pool forget")
	}
	ctx := context.Background()
	var s Stats
	if n := testing.AllocsPerRun(1000, func() {
		if err := c.PIDInto(ctx, 1, &s); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("PIDInto: %v allocations", n)
	}
	if n := testing.AllocsPerRun(1000, func() {
		if err := c.TGIDInto(ctx, 1, &s); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("TGIDInto: %v allocations", n)
	}
	results := make([]Result, 300)
	for i := range results {
		results[i].PID, results[i].Group = 1+i%2, i%3 == 0
	}
	if n := testing.AllocsPerRun(100, func() {
		if err := c.ManyInto(ctx, results); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("ManyInto: %v allocations", n)
	}
}

func TestThousandQueries(t *testing.T) {
	c, _ := open(t)
	var s Stats
	for range 1000 {
		if err := c.PIDInto(t.Context(), os.Getpid(), &s); err != nil || s.PID != os.Getpid() {
			t.Fatal(s.PID, err)
		}
	}
}

func TestConcurrent(t *testing.T) {
	c, _ := open(t)
	tids, err := Threads()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			var s Stats
			results := make([]Result, 20)
			for j := range 100 {
				pid := tids[(i*100+j)%len(tids)]
				if err := c.PIDInto(t.Context(), pid, &s); err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && s.PID != pid {
					t.Errorf("%d: %d, %v", pid, s.PID, err)
					return
				}
				if j%10 != 0 {
					continue
				}
				for k := range results {
					results[k].PID = tids[(i*100+j+k)%len(tids)]
				}
				if err := c.ManyInto(t.Context(), results); err != nil {
					t.Error(err)
					return
				}
				for _, r := range results {
					if r.Err == nil && r.Stats.PID != r.PID {
						t.Errorf("%d: %d", r.PID, r.Stats.PID)
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestManyOfTheMachine(t *testing.T) {
	c, _ := open(t)
	// Kernel threads stay; pids that are gone are strewn in.
	dead := gone(t)
	threads, err := Threads()
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for len(pids) < 1000 {
		for i, tid := range threads {
			if i%7 == 0 {
				pids = append(pids, dead)
			}
			pids = append(pids, tid)
		}
	}
	results, err := c.Many(t.Context(), pids)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != len(pids) {
		t.Fatalf("%d results for %d", len(results), len(pids))
	}
	ended := 0
	for i, r := range results {
		switch {
		case r.PID != pids[i]:
			t.Fatalf("result %d is of %d, want %d", i, r.PID, pids[i])
		case r.Err == nil && (r.Stats.PID != r.PID || r.Stats.Comm == "" || r.Stats.Group):
			t.Errorf("%d: %+v", r.PID, r.Stats)
		case r.PID == dead && (!errors.Is(r.Err, fs.ErrNotExist) || r.Err.Error() != fmt.Sprintf("taskstats: pid %d: no such process", dead)):
			t.Errorf("%d has ended: %v", dead, r.Err)
		case r.Err != nil && !errors.Is(r.Err, fs.ErrNotExist):
			t.Error(r.Err)
		case r.Err != nil && r.PID != dead:
			ended++
		}
	}
	if ended > len(results)/2 {
		t.Errorf("%d of %d tasks ended meanwhile", ended, len(results))
	}
}

func TestManyInto(t *testing.T) {
	c, _ := open(t)
	ctx := t.Context()
	dead, self := gone(t), os.Getpid()
	results := []Result{{PID: self}, {PID: self, Group: true}, {PID: dead}, {PID: 0}, {PID: dead, Group: true}, {PID: self}}
	for range 2 { // the second time over what the first has left
		err := c.ManyInto(ctx, results)
		if !errors.Is(err, syscall.EINVAL) || err.Error() != "taskstats: pid 0: ids of tasks are 1 to 2147483647: invalid argument" {
			t.Error(err)
		}
		for i, want := range []error{nil, nil, fs.ErrNotExist, syscall.EINVAL, fs.ErrNotExist, nil} {
			if !errors.Is(results[i].Err, want) {
				t.Errorf("%d: %v, want %v", i, results[i].Err, want)
			}
		}
		if a, b := &results[0].Stats, &results[1].Stats; a.PID != self || a.Group || a.Comm == "" || b.TGID != self || !b.Group || b.Comm != "" {
			t.Errorf("%+v\n%+v", a, b)
		}
		if want := fmt.Sprintf("taskstats: tgid %d: no such process", dead); results[4].Err.Error() != want {
			t.Error(results[4].Err)
		}
	}
	// Other tasks, and what they failed with before is forgotten.
	results[0], results[3] = Result{PID: self, Group: true}, Result{PID: self}
	if err := c.ManyInto(ctx, results); err != nil || results[3].Err != nil || !results[0].Stats.Group {
		t.Error(err, results[3].Err)
	}
	if results, err := c.Many(ctx, nil); err != nil || len(results) != 0 {
		t.Error(results, err)
	}
}

func TestProcessesAndThreads(t *testing.T) {
	pids, err := Processes()
	if err != nil {
		t.Fatal(err)
	}
	tids, err := Threads()
	if err != nil {
		t.Fatal(err)
	}
	found := map[int]int{}
	for _, pid := range pids {
		found[pid] |= 1
	}
	for _, tid := range tids {
		found[tid] |= 2
	}
	if found[os.Getpid()] != 3 || found[1] != 3 || len(tids) < len(pids) {
		t.Errorf("%d processes, %d threads", len(pids), len(tids))
	}
	own, err := appendIDs(nil, "/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	other := 0
	for _, tid := range own {
		if tid != os.Getpid() && found[tid] == 2 {
			other++
		}
	}
	if other == 0 {
		t.Error("none of our other threads is listed")
	}
}

// With delay accounting on, tasks that begin then have delays.
func TestDelayAccounting(t *testing.T) {
	c, _ := open(t)
	was, err := DelayAccounting()
	if errors.Is(err, fs.ErrNotExist) {
		testenv.Missing(t, "the kernel does not say whether delay accounting is on: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, on := range []bool{true, false} {
		value := map[bool]string{true: "1", false: "0"}
		if err := os.WriteFile(delayAccountingFile, []byte(value[on]), 0); err != nil {
			t.Fatal(err)
		}
		defer os.WriteFile(delayAccountingFile, []byte(value[was]), 0)
		if got, err := DelayAccounting(); got != on || err != nil {
			t.Errorf("%t, %v, want %t", got, err, on)
		}
		// Programs copy pages that the parent and they shared.
		cmd := exec.Command("sh", "-c", "(:); echo ready; read x")
		_, end := start(t, cmd)
		s, err := c.PID(t.Context(), cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		if err := end(); err == nil {
			t.Error("read did not fail at the end")
		}
		if s.Has(FieldWPCopyDelay) && (s.WPCopyDelay.Count > 0) != on {
			t.Errorf("delay accounting %t: %+v", on, s.WPCopyDelay)
		}
		if s.CPUDelay.Count == 0 {
			t.Error("the scheduler counts always")
		}
	}
}
