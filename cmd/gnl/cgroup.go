package main

import (
	"context"
	"strconv"

	"github.com/gnlgo/gnl/taskstats"
	"github.com/spf13/cobra"
)

func (a *app) cgroupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cgroup PATH...",
		Short: "Count the tasks of cgroups by their state",
		Long: `Count the tasks of cgroups by what they are doing now. A cgroup is given by the
path of its directory. The kernel has these counts for cgroups of version 1
only, and does not count the tasks of cgroups below.

  RUNNING           on a CPU, or ready to be
  SLEEPING          waiting
  STOPPED           stopped by a signal
  UNINTERRUPTIBLE   waiting, and no signal ends it
  IO-WAIT           in none of these states, and waiting for I/O`,
		Example: `  gnl cgroup /sys/fs/cgroup/cpu
  gnl cgroup /sys/fs/cgroup/cpu/* --json`,
		Args:              takes(1, -1, "the path of a cgroup's directory"),
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.cgroups(cmd.Context(), args)
		},
	}
}

// cgroupCounts is what the kernel says of a cgroup, for JSON.
type cgroupCounts struct {
	Path            string `json:"path"`
	Running         uint64 `json:"running"`
	Sleeping        uint64 `json:"sleeping"`
	Stopped         uint64 `json:"stopped"`
	Uninterruptible uint64 `json:"uninterruptible"`
	IOWait          uint64 `json:"io_wait"`
}

func (a *app) cgroups(ctx context.Context, paths []string) error {
	client, done, err := a.connect()
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := a.limited(ctx)
	defer cancel()
	stats := taskstats.New(client)
	counts := []cgroupCounts{}
	var failed error
	for _, path := range paths {
		s, err := stats.Cgroup(ctx, path)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			a.say("%v", err)
			failed = errReported
			continue
		}
		counts = append(counts, cgroupCounts{path, s.Running, s.Sleeping, s.Stopped, s.Uninterruptible, s.IOWait})
	}
	if len(counts) == 0 && !a.json {
		return failed
	}
	if err := a.writeCgroups(counts); err != nil {
		return err
	}
	return failed
}

func (a *app) writeCgroups(counts []cgroupCounts) error {
	if a.json {
		return a.writeDocument(counts)
	}
	rows := make([][]string, len(counts))
	for i, c := range counts {
		number := func(n uint64) string { return strconv.FormatUint(n, 10) }
		rows[i] = []string{number(c.Running), number(c.Sleeping), number(c.Stopped), number(c.Uninterruptible), number(c.IOWait), printable(c.Path)}
	}
	return a.writeTable([]column{{title: "RUNNING", right: true}, {title: "SLEEPING", right: true},
		{title: "STOPPED", right: true}, {title: "UNINTERRUPTIBLE", right: true}, {title: "IO-WAIT", right: true},
		{title: "CGROUP", fit: wrapped}}, rows)
}
