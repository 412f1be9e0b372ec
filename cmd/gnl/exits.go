package main

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/taskstats"
	"github.com/spf13/cobra"
)

func (a *app) exitsCommand() *cobra.Command {
	var until limits
	var processes bool
	cmd := &cobra.Command{
		Use:   "exits",
		Short: "Show tasks as they end",
		Long: `Show every task of the machine when it ends, with its exit status and what it
has used, until interrupted. It needs CAP_NET_ADMIN, and the initial pid and
network namespaces.

Every thread is a task. --processes shows only the last task of each process,
with the lifetime of the process, and the CPU time of all its threads.

A line has the time, the ids of the task and of its process, how long it
existed, its CPU time, the most memory that was ever resident, how it ended, and
its name.

In JSON it has the fields of gnl tasks, its time, exit_status or else signal and
core_dumped, and as process the sums over a process of several threads whose
last one it was.

Exits that come faster than they are read are lost at some point. That is said
on stderr, and the rest goes on.`,
		Example: `  gnl exits
  gnl exits --processes --count 10
  gnl exits --json --for 1m | jq -r 'select(.signal).comm'`,
		Args:              takes(0, 0, ""),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.exits(cmd.Context(), until, processes)
		},
	}
	until.addTo(cmd, "exits")
	cmd.Flags().BoolVarP(&processes, "processes", "p", false, "processes only, not each of their threads")
	return cmd
}

func (a *app) exits(ctx context.Context, until limits, processes bool) error {
	if err := until.check(); err != nil {
		return err
	}
	client, done, err := a.connect()
	if err != nil {
		return err
	}
	defer done()
	listener, err := a.listen(ctx, client)
	if err != nil {
		return err
	}
	defer listener.Close()
	if a.width > 0 && !a.json {
		if err := a.writeText(exitTitles()); err != nil {
			return err
		}
	}
	stream := listener.Exits
	if processes {
		stream = func(ctx context.Context) iter.Seq2[*taskstats.Exit, error] { return processEnds(listener.Exits(ctx)) }
	}
	return follow(ctx, a, stream, until, func(e *taskstats.Exit) error { return a.writeExit(e, processes) })
}

// processEnds passes on the exits with which a process ended. Kernels whose
// records do not name the process (before 5.19) do not tell; then all are.
func processEnds(exits iter.Seq2[*taskstats.Exit, error]) iter.Seq2[*taskstats.Exit, error] {
	return func(yield func(*taskstats.Exit, error) bool) {
		for e, err := range exits {
			if err == nil && e.Task.Has(taskstats.FieldTGID) && !e.HasGroup && e.Task.Flags&taskstats.FlagGroup == 0 {
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func (a *app) listen(ctx context.Context, client *gnl.Client) (*taskstats.Listener, error) {
	ctx, cancel := a.limited(ctx)
	defer cancel()
	listener, err := taskstats.New(client).Listen(ctx, nil)
	if err == nil {
		a.say("listening for exits")
	}
	return listener, err
}

// exitRecord is the end of a task, for JSON.
type exitRecord struct {
	Time time.Time `json:"time"` // of the arrival of the news
	record
	ExitStatus gnl.Optional[int]    `json:"exit_status,omitzero"` // what it passed to exit(2), unless a signal killed it
	Signal     gnl.Optional[string] `json:"signal,omitzero"`      // that killed it
	CoreDumped bool                 `json:"core_dumped,omitempty"`
	// The sums over the process, if it had several threads and this was its last.
	Process *record `json:"process,omitempty"`
}

func newExitRecord(e *taskstats.Exit, now time.Time) exitRecord {
	x := exitRecord{Time: now.UTC(), record: newRecord(&e.Task)}
	if e.Task.Has(taskstats.FieldExitCode) {
		code := e.Task.ExitCode
		if n := code.Signal(); n != 0 {
			x.Signal, x.CoreDumped = gnl.Some(signalName(n)), code.CoreDumped()
		} else {
			x.ExitStatus = gnl.Some(code.Status())
		}
	}
	if e.HasGroup {
		process := newRecord(&e.Group)
		process.TGID = gnl.Some(e.Group.TGID)
		x.Process = &process
	}
	return x
}

const exitFormat = "%-12s  %6s  %6s  %6s  %6s  %5s  %-9s  %s"

func exitTitles() string {
	return fmt.Sprintf(exitFormat+"\n", "TIME", "PID", "TGID", "LIFE", "CPU", "RSS", "END", "COMM")
}

func (a *app) writeExit(e *taskstats.Exit, processes bool) error {
	now := time.Now()
	x := newExitRecord(e, now)
	if a.json {
		return a.writeLine(x)
	}
	life, cpu := e.Task.ElapsedTime, cpuTime(&e.Task)
	if processes && e.HasGroup {
		life, cpu = e.Task.GroupElapsedTime, cpuTime(&e.Group)
	}
	return a.writeText(fmt.Sprintf(exitFormat+"\n", now.Format("15:04:05.000"), x.PID, x.TGID,
		orDash(humanDuration(life), x.ElapsedTime.Given), orDash(humanDuration(cpu), x.CPUVirtualTime.Given || x.UserTime.Given),
		orDash(humanBytes(x.PeakRSS.Value), x.PeakRSS.Given), x.end(), orDash(printable(x.Comm.Value), x.Comm.Given)))
}

// end says how the task ended.
func (x *exitRecord) end() string {
	switch {
	case x.CoreDumped:
		return x.Signal.Value + " (core)"
	case x.Signal.Given:
		return x.Signal.Value
	case x.ExitStatus.Given:
		return "exit " + strconv.Itoa(x.ExitStatus.Value)
	}
	return "-"
}
