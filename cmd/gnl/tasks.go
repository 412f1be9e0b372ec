package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/taskstats"
	"github.com/spf13/cobra"
)

// taskFlags are the flags of gnl tasks.
type taskFlags struct {
	tgid, threads bool
	sort          string
	top           uint
}

func (a *app) tasksCommand() *cobra.Command {
	var flags taskFlags
	cmd := &cobra.Command{
		Use:   "tasks [PID]...",
		Short: "Show what tasks have used and waited for",
		Long: `Show what the kernel's accounting (TASKSTATS) knows of the tasks given, or of
all processes: CPU time, time spent waiting, memory, and I/O. It needs
CAP_NET_ADMIN.

A process's id stands for its main thread alone. --tgid gives the sums over all
its threads instead, for which the kernel tells no I/O; name, user and memory
are then those of the main thread. --threads shows every thread by itself.

  CPU           time on a CPU, in user mode and in the kernel
  CPU-W         waiting for a CPU
  IO-W          waiting for block I/O
  MEM-W         waiting for memory: swapping in, reclaiming, thrashing,
                compacting, copying
  RSS           the most memory that was ever resident
  READ, WRITE   what went from and to storage

All are totals since the task began. Waiting, but for a CPU, is only measured
for tasks that began while sysctl kernel.task_delayacct was 1.

Keys to sort by:
  ` + strings.Join(sortKeyNames(), " ") + `

In JSON a field that the kernel did not give is absent. Times end in their unit
(_us, _ns), sizes in _bytes.`,
		Example: `  gnl tasks --sort cpu --top 10
  gnl tasks 1 $$
  gnl tasks --tgid --sort delay
  gnl tasks --json | jq -r '.[] | [.pid, .comm, .user_time_us] | @tsv'`,
		Args:              takes(0, -1, "ids of processes or threads"),
		ValidArgsFunction: completePIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.tasks(cmd.Context(), args, flags)
		},
	}
	cmd.Flags().BoolVar(&flags.tgid, "tgid", false, "sums over the threads of each process")
	cmd.Flags().BoolVar(&flags.threads, "threads", false, "all threads, not only the main thread of each process")
	cmd.Flags().StringVarP(&flags.sort, "sort", "s", "pid", "sort by `KEY`, amounts from the greatest down")
	cmd.Flags().UintVarP(&flags.top, "top", "n", 0, "show the first `N` only")
	cmd.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(sortKeyNames(), cobra.ShellCompDirectiveNoFileComp))
	cmd.RegisterFlagCompletionFunc("top", cobra.NoFileCompletions)
	return cmd
}

// task is a line of the table.
type task struct {
	id   int // the pid, or with --tgid the tgid
	user string
	// With --tgid the fields that the kernel does not sum up are those of the
	// main thread; given in record.
	stats  taskstats.Stats
	record record
}

// sortKey is something to sort tasks by.
type sortKey struct {
	name    string
	compare func(x, y *task) int
}

var sortKeys = []sortKey{
	{"pid", func(x, y *task) int { return cmp.Compare(x.id, y.id) }},
	{"comm", func(x, y *task) int { return cmp.Compare(x.record.Comm.Value, y.record.Comm.Value) }},
	{"user", func(x, y *task) int { return cmp.Compare(x.user, y.user) }},
	{"cpu", most(func(t *task) time.Duration { return cpuTime(&t.stats) })},
	{"delay", most(func(t *task) time.Duration {
		return t.stats.CPUDelay.Total + t.stats.BlkIODelay.Total + memoryDelay(&t.stats) + t.stats.IRQDelay.Total
	})},
	{"cpu-delay", most(func(t *task) time.Duration { return t.stats.CPUDelay.Total })},
	{"io-delay", most(func(t *task) time.Duration { return t.stats.BlkIODelay.Total })},
	{"mem-delay", most(func(t *task) time.Duration { return memoryDelay(&t.stats) })},
	{"rss", most(func(t *task) uint64 { return t.record.PeakRSS.Value })},
	{"io", most(func(t *task) uint64 { return t.stats.ReadBytes + t.stats.WriteBytes })},
	{"read", most(func(t *task) uint64 { return t.stats.ReadBytes })},
	{"write", most(func(t *task) uint64 { return t.stats.WriteBytes })},
	{"age", most(func(t *task) int64 { return -t.record.BeginTime.Value.Unix() })},
}

// most compares tasks so that those of which there is more come first.
func most[T cmp.Ordered](of func(*task) T) func(x, y *task) int {
	return func(x, y *task) int { return cmp.Compare(of(y), of(x)) }
}

func sortKeyNames() []string {
	var names []string
	for _, k := range sortKeys {
		names = append(names, k.name)
	}
	return names
}

func (a *app) tasks(ctx context.Context, args []string, flags taskFlags) error {
	i := slices.IndexFunc(sortKeys, func(k sortKey) bool { return k.name == flags.sort })
	switch {
	case i < 0:
		return wrong("no sort key %q: %s", flags.sort, didYouMean(flags.sort, sortKeyNames(), "the keys are "+strings.Join(sortKeyNames(), ", ")))
	case flags.threads && flags.tgid:
		return wrong("--threads and --tgid exclude one another")
	case flags.threads && len(args) > 0:
		return wrong("--threads is for all processes: give the ids of threads instead")
	}
	pids, err := parsePIDs(args)
	if err != nil {
		return err
	}
	client, done, err := a.connect()
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := a.limited(ctx)
	defer cancel()
	tasks, missing, err := a.collect(ctx, taskstats.New(client), pids, flags)
	if err != nil {
		return err
	}
	slices.SortStableFunc(tasks, func(x, y *task) int {
		return cmp.Or(sortKeys[i].compare(x, y), cmp.Compare(x.id, y.id))
	})
	if flags.top > 0 && uint(len(tasks)) > flags.top {
		tasks = tasks[:flags.top]
	}
	if len(tasks) == 0 && !a.json {
		return missing
	}
	if !a.json {
		a.noteDelayAccounting()
	}
	if err := a.writeTasks(tasks, flags); err != nil {
		return err
	}
	return missing
}

func parsePIDs(args []string) ([]int, error) {
	var pids []int
	for _, arg := range args {
		pid, err := strconv.ParseInt(arg, 10, 32)
		if err != nil || pid <= 0 {
			return nil, wrong("%q is not the id of a process or thread", arg)
		}
		if !slices.Contains(pids, int(pid)) {
			pids = append(pids, int(pid))
		}
	}
	return pids, nil
}

// collect asks for the tasks given, or for all. Those of the tasks given that
// are not there are reported; missing is then errReported.
func (a *app) collect(ctx context.Context, client *taskstats.Client, pids []int, flags taskFlags) (tasks []*task, missing, err error) {
	given := len(pids) > 0
	switch {
	case given:
	case flags.threads:
		pids, err = taskstats.Threads()
	default:
		pids, err = taskstats.Processes()
	}
	if err != nil {
		return nil, nil, err
	}
	results := make([]taskstats.Result, len(pids))
	for i, pid := range pids {
		results[i] = taskstats.Result{PID: pid, Group: flags.tgid}
	}
	if err := client.ManyInto(ctx, results); err != nil {
		return nil, nil, err
	}
	var main []taskstats.Result
	if flags.tgid {
		if main, err = client.Many(ctx, pids); err != nil {
			return nil, nil, err
		}
	}
	users := userNames{}
	for i := range results {
		r := &results[i]
		if errors.Is(r.Err, fs.ErrNotExist) {
			if given {
				a.say("no task %d: it has ended, or there never was one", r.PID)
				missing = errReported
			}
			continue
		}
		t := &task{id: r.PID, stats: r.Stats, record: newRecord(&r.Stats)}
		if flags.tgid {
			t.record.TGID = gnl.Some(r.PID)
			if main[i].Err == nil {
				t.record.complete(newRecord(&main[i].Stats))
			}
		}
		if uid, ok := t.record.UID.Get(); ok {
			t.user = users.name(uid)
		}
		tasks = append(tasks, t)
	}
	return tasks, missing, nil
}

// complete takes what describes a whole process, and is not in its group's
// record, from the record of its main thread.
func (r *record) complete(main record) {
	r.PPID, r.UID, r.GID, r.Comm = main.PPID, main.UID, main.GID, main.Comm
	r.ExeDevice, r.ExeInode, r.BeginTime = main.ExeDevice, main.ExeInode, main.BeginTime
	r.PeakRSS, r.PeakVM = main.PeakRSS, main.PeakVM
}

// noteDelayAccounting says so if the kernel does not measure delays.
func (a *app) noteDelayAccounting() {
	if on, err := taskstats.DelayAccounting(); err == nil && !on {
		a.say("note: delay accounting is off, so that no delays but those for a CPU are measured: sysctl kernel.task_delayacct=1 turns it on for new tasks")
	}
}

func (a *app) writeTasks(tasks []*task, flags taskFlags) error {
	if a.json {
		records := make([]record, len(tasks))
		for i, t := range tasks {
			records[i] = t.record
		}
		return a.writeDocument(records)
	}
	id := "PID"
	if flags.tgid {
		id = "TGID"
	}
	columns := []column{{title: id, right: true}, {title: "USER", fit: shortened},
		{title: "CPU", right: true}, {title: "CPU-W", right: true}, {title: "IO-W", right: true}, {title: "MEM-W", right: true},
		{title: "RSS", right: true}, {title: "READ", right: true}, {title: "WRITE", right: true}, {title: "COMM", fit: shortened}}
	rows := make([][]string, len(tasks))
	for i, t := range tasks {
		s, r := &t.stats, &t.record
		rows[i] = []string{strconv.Itoa(t.id), orDash(t.user, r.UID.Given),
			orDash(humanDuration(cpuTime(s)), r.CPUVirtualTime.Given || r.UserTime.Given),
			orDash(humanDuration(s.CPUDelay.Total), r.CPUDelay.Given),
			orDash(humanDuration(s.BlkIODelay.Total), r.BlkIODelay.Given),
			orDash(humanDuration(memoryDelay(s)), r.SwapInDelay.Given),
			orDash(humanBytes(r.PeakRSS.Value), r.PeakRSS.Given),
			orDash(humanBytes(s.ReadBytes), r.ReadBytes.Given), orDash(humanBytes(s.WriteBytes), r.WriteBytes.Given),
			orDash(printable(r.Comm.Value), r.Comm.Given)}
	}
	return a.writeTable(columns, rows)
}

// orDash is the text, or a dash where the kernel did not give what it is of.
func orDash(text string, given bool) string {
	if !given {
		return "-"
	}
	return text
}

// cpuTime is the time on a CPU: by the scheduler's clock, and for kernels
// without delay accounting by the coarse one that the rest is in.
func cpuTime(s *taskstats.Stats) time.Duration {
	if s.CPUVirtualTime > 0 {
		return s.CPUVirtualTime
	}
	return s.UserTime + s.SystemTime
}

// memoryDelay is the time spent waiting for memory.
func memoryDelay(s *taskstats.Stats) time.Duration {
	return s.SwapInDelay.Total + s.FreePagesDelay.Total + s.ThrashingDelay.Total + s.CompactDelay.Total + s.WPCopyDelay.Total
}

// userNames remembers the names of users by their ids.
type userNames map[uint32]string

func (names userNames) name(uid uint32) string {
	name, ok := names[uid]
	if !ok {
		name = strconv.FormatUint(uint64(uid), 10)
		if u, err := user.LookupId(name); err == nil {
			name = printable(u.Username)
		}
		names[uid] = name
	}
	return name
}

func completePIDs(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var words []cobra.Completion
	pids, _ := taskstats.Processes()
	for _, pid := range pids {
		words = append(words, strconv.Itoa(pid))
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}
