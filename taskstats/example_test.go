package taskstats_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/taskstats"
)

func Example() {
	client, err := gnl.Open(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	s, err := taskstats.New(client).PID(context.Background(), 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s has run since %s\n", s.Comm, s.BeginTime.Format(time.DateTime))
	fmt.Printf("CPU time: %v of its own, %v in the kernel\n", s.UserTime, s.SystemTime)
	fmt.Printf("waited %d times for a CPU, %v on average\n", s.CPUDelay.Count, s.CPUDelay.Average())
	if on, err := taskstats.DelayAccounting(); err == nil && on {
		fmt.Println("waited for disks:", s.BlkIODelay.Total)
	}
}

// The sums over all threads of this program, and what only the record of a
// single task has.
func ExampleClient_Self() {
	client, err := gnl.Open(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	c := taskstats.New(client)

	sums, err := c.Self(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	main, err := c.PID(context.Background(), os.Getpid())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(main.Comm, "of user", main.UID, "used", sums.UserTime+sums.SystemTime)
}

func ExampleClient_PID() {
	client, err := gnl.Open(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	const pid = 4711
	s, err := taskstats.New(client).PID(context.Background(), pid)
	switch {
	case errors.Is(err, os.ErrNotExist):
		fmt.Println("there is no process", pid)
	case errors.Is(err, os.ErrPermission):
		fmt.Println("this needs root:", err)
	case errors.Is(err, errors.ErrUnsupported):
		fmt.Println("this kernel has no statistics:", err)
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println(s.Comm)
	}
}

// The five threads of this machine that have used the most CPU time.
func ExampleClient_Many() {
	client, err := gnl.Open(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	tids, err := taskstats.Threads()
	if err != nil {
		fmt.Println(err)
		return
	}
	results, err := taskstats.New(client).Many(context.Background(), tids)
	if err != nil {
		fmt.Println(err)
		return
	}
	results = slices.DeleteFunc(results, func(r taskstats.Result) bool { return r.Err != nil }) // ended meanwhile
	slices.SortFunc(results, func(a, b taskstats.Result) int {
		return int(b.Stats.CPUVirtualTime - a.Stats.CPUVirtualTime)
	})
	for _, r := range results[:min(5, len(results))] {
		fmt.Println(r.PID, r.Stats.Comm, r.Stats.CPUVirtualTime)
	}
}

// Asking again and again costs no memory: the results are used anew.
func ExampleClient_ManyInto() {
	client, err := gnl.Open(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	c := taskstats.New(client)

	results := []taskstats.Result{
		{PID: 1},                        // one task
		{PID: os.Getpid(), Group: true}, // a process with all its threads
	}
	for range 3 {
		if err := c.ManyInto(context.Background(), results); err != nil {
			fmt.Println(err)
			return
		}
		for _, r := range results {
			fmt.Println(r.PID, r.Stats.UserTime, r.Err)
		}
	}
}

func ExampleClient_Cgroup() {
	client, err := gnl.Open(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	s, err := taskstats.New(client).Cgroup(context.Background(), "/sys/fs/cgroup/cpu")
	if err != nil {
		fmt.Println(err) // says so, for one, where the machine has cgroup v2
		return
	}
	fmt.Println(s.Running, "running,", s.Sleeping, "sleeping")
}

// What a command cost, though it is over.
func ExampleClient_Listen() {
	client, err := gnl.Open(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	l, err := taskstats.New(client).Listen(ctx, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()

	cmd := exec.Command("sh", "-c", "exit 3")
	if err := cmd.Start(); err != nil {
		fmt.Println(err)
		return
	}
	defer cmd.Wait()
	for exit, err := range l.Exits(ctx) {
		switch {
		case errors.Is(err, gnl.ErrOverrun):
			fmt.Println("some exits were lost")
		case err != nil:
			fmt.Println(err)
			return
		case exit.Task.PID == cmd.Process.Pid:
			fmt.Printf("%v after %v, %v of them on a CPU\n", exit.Task.ExitCode, exit.Task.ElapsedTime, exit.Task.CPUVirtualTime)
			return
		}
	}
}
