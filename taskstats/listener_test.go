//go:build linux

package taskstats

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/internal/testenv"
	"github.com/gnlgo/gnl/netlink"
)

func init() {
	helpers["threads"] = func() int {
		var all sync.WaitGroup
		hold := make(chan struct{})
		for range 5 {
			all.Add(1)
			go func() {
				runtime.LockOSThread()
				burn(20 * time.Millisecond)
				all.Done()
				<-hold
			}()
		}
		all.Wait()
		return 3
	}
	helpers["end-threads"] = func() int {
		n, err := strconv.Atoi(os.Getenv("THREADS"))
		if err != nil {
			panic(err)
		}
		out := bufio.NewWriter(os.Stdout)
		defer out.Flush()
		for _, tid := range endThreads(n) {
			fmt.Fprintln(out, tid)
		}
		return 0
	}
}

// listen returns a Listener that is closed with the test.
func listen(t testing.TB, c *Client, config *ListenConfig) *Listener {
	t.Helper()
	requireListening(t)
	l, err := c.Listen(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// endThreads makes n threads that end at once, and returns their ids.
func endThreads(n int) []int {
	tids := make([]int, n)
	var all sync.WaitGroup
	for part := range 8 {
		all.Go(func() {
			for i := part; i < n; i += 8 {
				tids[i] = endThread()
			}
		})
	}
	all.Wait()
	return tids
}

// endThread makes a thread that ends.
func endThread() int {
	tid := make(chan int)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		if syscall.Gettid() != os.Getpid() {
			tid <- syscall.Gettid()
			return
		}
		// The main thread stays. While it is held here, another one is taken: with
		// one CPU it would be the main one again and again.
		other := endThread()
		runtime.UnlockOSThread()
		tid <- other
	}()
	return <-tid
}

// endThreadsElsewhere does so in another process: while Go makes thread after
// thread, goroutines that wait for a socket are woken up to half a second late.
func endThreadsElsewhere(t testing.TB, n int) []int {
	t.Helper()
	out, err := helper(t, "end-threads", fmt.Sprintf("THREADS=%d", n)).Output()
	if err != nil {
		t.Error(err)
	}
	return numbers(t, out)
}

// numbers reads a number a line.
func numbers(t testing.TB, text []byte) (all []int) {
	t.Helper()
	for _, line := range strings.Fields(string(text)) {
		n, err := strconv.Atoi(line)
		if err != nil {
			t.Error(err)
		}
		all = append(all, n)
	}
	return all
}

// await takes exits until those of all the tasks have come, or none of them for
// a second. It returns what is missing. Other tasks of the machine end too.
func await(t testing.TB, l *Listener, tids func() []int) (missing map[int]bool, overruns int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	made := make(chan []int, 1)
	go func() {
		made <- tids()
		cancel() // to look at them
	}()
	seen := map[int]bool{}
	take := func(ctx context.Context, enough func(pid int) bool) {
		for e, err := range l.Exits(ctx) {
			switch {
			case errors.Is(err, gnl.ErrOverrun):
				overruns++
			case err != nil && ctx.Err() == nil:
				t.Error(err)
			case err == nil:
				seen[e.Task.PID] = true
				if enough(e.Task.PID) {
					return
				}
			}
		}
	}
	take(ctx, func(int) bool { return false })
	missing = map[int]bool{}
	for _, tid := range <-made {
		if !seen[tid] {
			missing[tid] = true
		}
	}
	if len(missing) == 0 {
		return missing, overruns
	}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	idle := time.AfterFunc(time.Second, cancel)
	defer idle.Stop()
	take(ctx, func(pid int) bool {
		if missing[pid] {
			idle.Reset(time.Second)
			delete(missing, pid)
		}
		return len(missing) == 0
	})
	return missing, overruns
}

func TestTwentyThousandExits(t *testing.T) {
	c, _ := open(t)
	n := 20_000
	if testing.Short() {
		n = 2000
	}
	for _, sockets := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d sockets", sockets), func(t *testing.T) {
			l := listen(t, c, &ListenConfig{Sockets: sockets})
			start := time.Now()
			missing, overruns := await(t, l, func() []int { return endThreadsElsewhere(t, n) })
			if overruns == 0 && len(missing) > 0 {
				t.Errorf("%d exits did not come, and nobody said so", len(missing))
			}
			t.Logf("%d threads in %v: %d exits did not come, %d overruns", n, time.Since(start), len(missing), overruns)
		})
	}
}

// Processes, made by several shells, which name them.
func TestProcessExits(t *testing.T) {
	c, _ := open(t)
	l := listen(t, c, nil)
	missing, overruns := await(t, l, func() []int {
		var all sync.WaitGroup
		var mu sync.Mutex
		var pids []int
		for range 4 {
			all.Go(func() {
				out, err := exec.Command("sh", "-c", "i=0; while [ $i -lt 250 ]; do : & echo $!; wait; i=$((i+1)); done").Output()
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				pids = append(pids, numbers(t, out)...)
			})
		}
		all.Wait()
		if len(pids) != 1000 {
			t.Errorf("%d processes", len(pids))
		}
		return pids
	})
	if len(missing) > 0 && overruns == 0 {
		t.Errorf("%d exits did not come, and nobody said so", len(missing))
	}
}

// exitsOf runs a command and waits for the exit of its main thread. Where that
// has a group record it may be in another message, that of the last thread.
func exitsOf(t *testing.T, l *Listener, cmd *exec.Cmd) (task Exit, group *Exit) {
	t.Helper()
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for e, err := range l.Exits(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if e.HasGroup && e.Group.TGID == pid {
			kept := *e
			group = &kept
		}
		if e.Task.PID == pid {
			task = *e
		}
		// The last thread to end closes the group.
		if e.Task.TGID == pid && e.Task.Flags&FlagGroup != 0 {
			break
		}
	}
	return task, group
}

func TestExitOfAProcess(t *testing.T) {
	c, _ := open(t)
	l := listen(t, c, nil)
	for script, want := range map[string]ExitCode{"exit 0": 0, "exit 7": 7 << 8, "kill -TERM $$": ExitCode(syscall.SIGTERM)} {
		e, group := exitsOf(t, l, exec.Command("sh", "-c", script))
		s := &e.Task
		if s.ExitCode != want || s.Comm != "sh" || s.ParentPID != os.Getpid() || s.Group || group != nil || e.HasGroup {
			t.Errorf("%s: %+v, group %v", script, e, group)
		}
		if s.ElapsedTime <= 0 || s.ElapsedTime > 10*time.Second || time.Since(s.BeginTime).Abs() > 10*time.Second {
			t.Errorf("%s: began %v, lived %v", script, s.BeginTime, s.ElapsedTime)
		}
	}
}

func TestExitOfAThreadGroup(t *testing.T) {
	c, _ := open(t)
	l := listen(t, c, nil)
	cmd := helper(t, "threads")
	e, group := exitsOf(t, l, cmd)
	if e.Task.ExitCode != 3<<8 {
		t.Errorf("exit code %v", e.Task.ExitCode)
	}
	if group == nil {
		t.Fatal("no group record")
	}
	g := &group.Group
	if !g.Group || g.TGID != cmd.Process.Pid || g.Version != group.Task.Version || g.Comm != "" || group.Task.Group {
		t.Errorf("%+v", g)
	}
	if g.CPUVirtualTime < 90*time.Millisecond || g.CPUDelay.Count == 0 || !g.Has(FieldCPUVirtualTime) || g.Has(FieldComm) {
		t.Errorf("five threads used 20 ms each, the group has %v, %+v", g.CPUVirtualTime, g.CPUDelay)
	}
}

// What nobody takes is lost, and that is said, and then it goes on.
func TestOverrun(t *testing.T) {
	c, _ := open(t)
	for _, sockets := range []int{1, 2} {
		l := listen(t, c, &ListenConfig{Sockets: sockets, ReceiveBuffer: 16 << 10})
		lost := endThreads(500)
		missing, overruns := await(t, l, func() []int { return lost })
		if overruns == 0 || len(missing) == 0 {
			t.Errorf("%d sockets: %d of %d exits did not come, %d overruns", sockets, len(missing), len(lost), overruns)
		}
		if missing, overruns := await(t, l, func() []int { return endThreads(4) }); len(missing) > 0 || overruns > 0 {
			t.Errorf("%d sockets: after that %d exits did not come, %d overruns", sockets, len(missing), overruns)
		}
		l.Close()
	}
}

// Leaving the loop loses nothing.
func TestExitsInPieces(t *testing.T) {
	c, _ := open(t)
	for _, sockets := range []int{1, 2} {
		l := listen(t, c, &ListenConfig{Sockets: sockets})
		tids := endThreads(300)
		seen := map[int]int{}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		for len(seen) < 100_000 && !seenAll(seen, tids) && ctx.Err() == nil {
			n := 0
			for e, err := range l.Exits(ctx) {
				if err != nil {
					t.Error(err)
					break
				}
				seen[e.Task.PID]++
				if n++; n == 7 || seenAll(seen, tids) {
					break
				}
			}
		}
		cancel()
		for _, tid := range tids {
			if seen[tid] != 1 {
				t.Errorf("%d sockets: exit of %d came %d times", sockets, tid, seen[tid])
			}
		}
		l.Close()
	}
}

func seenAll(seen map[int]int, tids []int) bool {
	return !slices.ContainsFunc(tids, func(tid int) bool { return seen[tid] == 0 })
}

// A copy of an Exit stays what it is.
func TestExitCanBeCopied(t *testing.T) {
	c, _ := open(t)
	l := listen(t, c, nil)
	tids := endThreads(100)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	copies := map[int]Exit{}
	for e, err := range l.Exits(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		copies[e.Task.PID] = *e
		if e.Task.PID == tids[99] || len(copies) > 1000 {
			break
		}
	}
	for pid, e := range copies {
		if e.Task.PID != pid || e.Task.Comm == "" {
			t.Errorf("%d: %+v", pid, e)
		}
	}
}

func TestExitsEnd(t *testing.T) {
	c, _ := open(t)
	for _, sockets := range []int{1, 2} {
		l := listen(t, c, &ListenConfig{Sockets: sockets})
		// By the context. Other tasks of the machine may end meanwhile.
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		var last error
		for _, err := range l.Exits(ctx) {
			last = err
		}
		cancel()
		if !errors.Is(last, context.DeadlineExceeded) || last.Error() != "taskstats: exits: context deadline exceeded" {
			t.Errorf("%d sockets: %v", sockets, last)
		}
		// By Close, while it waits.
		time.AfterFunc(20*time.Millisecond, func() { l.Close() })
		for _, err := range l.Exits(t.Context()) {
			last = err
		}
		if !errors.Is(last, net.ErrClosed) {
			t.Errorf("%d sockets: %v", sockets, last)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		n := 0
		for _, err := range l.Exits(t.Context()) {
			if n++; !errors.Is(err, net.ErrClosed) {
				t.Errorf("%d sockets: after Close: %v", sockets, err)
			}
		}
		if n != 1 {
			t.Errorf("%d sockets: after Close: %d times", sockets, n)
		}
	}
}

// Many a Close in the middle of many an exit.
func TestCloseUnderLoad(t *testing.T) {
	c, _ := open(t)
	requireListening(t)
	stop := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				endThreads(16)
			}
		}
	})
	for i := range 30 {
		l, err := c.Listen(t.Context(), &ListenConfig{Sockets: 1 + i%2})
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Duration(i%6)*time.Millisecond, func() { l.Close() })
		var last error
		for _, err := range l.Exits(t.Context()) {
			last = err
		}
		if !errors.Is(last, net.ErrClosed) {
			t.Error(last)
		}
	}
	close(stop)
	load.Wait()
}

// After the deregistration nothing comes, also while the socket is open.
func TestDeregister(t *testing.T) {
	c, _ := open(t)
	l := listen(t, c, nil)
	s := l.sockets[0]
	if missing, _ := await(t, l, func() []int { return endThreads(10) }); len(missing) > 0 {
		t.Fatal("no exits to begin with")
	}
	if _, err := deregister.Do(t.Context(), s.conn, deregisterRequest{s.cpus}); err != nil {
		t.Fatal(err)
	}
	// What came before is read with the answer.
	for ctx, cancel := context.WithCancel(t.Context()); ; {
		cancel()
		if _, err := s.conn.Receive(ctx); err != nil {
			break
		}
	}
	endThreads(50)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	for e, err := range l.Exits(ctx) {
		if err == nil {
			t.Errorf("the exit of %d %q came after the deregistration", e.Task.PID, e.Task.Comm)
		}
	}
}

// Only the exits on the CPUs asked for come.
func TestListenToOneCPU(t *testing.T) {
	c, _ := open(t)
	cpus, err := possibleCPUs()
	if err != nil {
		t.Fatal(err)
	}
	online, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		t.Fatal(err)
	}
	if len(cpus) < 2 || len(online) < 3 {
		testenv.NeedCPUs(t, 2)
	}
	taskset := testenv.Program(t, "taskset", "util-linux")
	l := listen(t, c, &ListenConfig{CPUs: "1"})
	var pids [2]int
	for cpu := range pids {
		cmd := exec.Command(taskset, "-c", strconv.Itoa(cpu), "true")
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		pids[cpu] = cmd.Process.Pid
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for e, err := range l.Exits(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Task.PID == pids[0] {
			t.Error("a task ended on CPU 0, and it came to the listener of CPU 1")
		}
		if e.Task.PID == pids[1] {
			break
		}
	}
}

func TestListenConfig(t *testing.T) {
	c, _ := open(t)
	requireListening(t)
	b, err := os.ReadFile(possibleCPUsFile)
	if err != nil {
		t.Fatal(err)
	}
	possible := string(b[:len(b)-1])
	for _, x := range []struct {
		config ListenConfig
		is     error
		text   string
	}{
		{ListenConfig{CPUs: "0-9999"}, syscall.ERANGE, "listen to CPUs 0-9999: this machine can have the CPUs " + possible + ": numerical result out of range"},
		{ListenConfig{CPUs: "0-99999999"}, syscall.ERANGE, `listen: CPUs "0-99999999": there is no CPU 99999999: numerical result out of range`},
		{ListenConfig{CPUs: "zero"}, syscall.EINVAL, `listen: CPUs "zero": "zero" is no CPU and no range of CPUs such as 0-3: invalid argument`},
		{ListenConfig{Sockets: -1}, syscall.EINVAL, "listen: ListenConfig has Sockets -1, ReceiveBuffer 0: invalid argument"},
		{ListenConfig{ReceiveBuffer: -1}, syscall.EINVAL, "listen: ListenConfig has Sockets 0, ReceiveBuffer -1: invalid argument"},
	} {
		l, err := c.Listen(t.Context(), &x.config)
		if err := expect(err, x.is, "taskstats: "+x.text); err != nil {
			t.Errorf("%+v:\n%v", x.config, err)
		}
		if l != nil {
			t.Errorf("%+v: a Listener all the same", x.config)
		}
	}
	// The second of two registrations fails; the first must not stay.
	if _, err := c.Listen(t.Context(), &ListenConfig{CPUs: "0,9999", Sockets: 2}); !errors.Is(err, syscall.ERANGE) {
		t.Error(err)
	}
}

func TestReceiveBuffer(t *testing.T) {
	c, _ := open(t)
	l := listen(t, c, nil)
	// 7,000 of the larger ones fit: nobody takes any meanwhile.
	tids := endThreads(3000)
	if missing, overruns := await(t, l, func() []int { return tids }); len(missing) > 0 || overruns > 0 {
		t.Errorf("%d exits did not come, %d overruns", len(missing), overruns)
	}
}

// Whole messages as the kernel sent them.
func TestDecodeRecordedExits(t *testing.T) {
	var exits []struct {
		Hex   string `json:"hex"`
		Attrs []struct {
			Type string `json:"type"`
			ID   int    `json:"id"`
		} `json:"attrs"`
	}
	readJSON(t, "linux-6.18-exits.json", &exits)
	var e Exit
	var m exitMessage
	groups := 0
	for _, x := range exits {
		b, err := hex.DecodeString(x.Hex)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.decode(&m, b[netlink.HeaderLen+4:]); err != nil {
			t.Fatal(err)
		}
		if e.Task.PID != x.Attrs[0].ID || e.Task.Group || e.Task.Version != 16 {
			t.Errorf("%+v", e.Task)
		}
		if e.HasGroup != (len(x.Attrs) > 1) {
			t.Errorf("group %t with %d records", e.HasGroup, len(x.Attrs))
		}
		if e.HasGroup {
			groups++
			if e.Group.TGID != x.Attrs[1].ID || !e.Group.Group || e.Group.Version != 16 || e.Group.CPUVirtualTime == 0 {
				t.Errorf("%+v", e.Group)
			}
		} else if e.Group.Version != 0 || e.Group.CPUVirtualTime != 0 {
			t.Errorf("a group is left from the exit before: %+v", e.Group)
		}
	}
	if groups == 0 {
		t.Error("no group")
	}
	// And twice from the end: the memory is used again.
	for i := len(exits) - 1; i >= 0; i-- {
		b, _ := hex.DecodeString(exits[i].Hex)
		if err := e.decode(&m, b[netlink.HeaderLen+4:]); err != nil || e.Task.PID != exits[i].Attrs[0].ID || e.HasGroup != (len(exits[i].Attrs) > 1) {
			t.Errorf("%+v, %v", e, err)
		}
	}
	message, err := hex.DecodeString(exits[0].Hex)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { err = e.decode(&m, message[netlink.HeaderLen+4:]) }); n != 0 || err != nil {
		t.Errorf("%v allocations, %v", n, err)
	}
}
