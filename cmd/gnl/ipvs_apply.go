package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gnlgo/gnl/ipvs"
	"github.com/spf13/cobra"
)

func (a *app) applyCommand() *cobra.Command {
	var flags planFlags
	var drain time.Duration
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "apply FILE",
		Short: "Make the kernel have the pools of a file",
		Long: `Change what has to be changed so that the kernel has the pools of a file, and
touch nothing else: connections live on, and to apply a file twice changes
nothing the second time.

` + filesAre + `

Every change is a line: + was added, ~ changed, - removed. What is added or
changed comes first, then what is removed. Services that are not in the file are
left alone unless --prune is given.

With --drain a destination that is to be removed gets weight 0 first, and is
removed when its connections have ended, or after that time in any case. To a
persistent service's destination the clients that it knows go on to come, unless
the sysctl net.ipv4.vs.expire_quiescent_template is 1.

If something fails, the pool that it is in loses no destination, no service is
removed, and the other pools are applied all the same. What was done, failed and
was skipped is then listed, and the exit code is 1. Once the cause is gone, to
apply the file again makes up for the rest.

--timeout limits not the whole, but how long nothing at all may happen.`,
		Example: `  gnl ipvs apply pools.yaml
  gnl ipvs apply pools.yaml --prune --drain 30s
  gnl ipvs apply pools.yaml --dry-run
  gnl ipvs export --format json | gnl ipvs --netns standby apply -`,
		Args:              takes(1, 1, "a file of pools (- is standard input)"),
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			if drain < 0 {
				return wrong("--drain %v is negative", drain)
			}
			if dryRun {
				_, err := a.plan(cmd.Context(), args[0], flags)
				return err
			}
			return a.apply(cmd.Context(), args[0], flags, drain)
		},
	}
	flags.addTo(cmd)
	cmd.Flags().Var((*duration)(&drain), "drain", "wait that long for the connections of what is to be removed")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be changed, as gnl ipvs plan does")
	cmd.RegisterFlagCompletionFunc("drain", cobra.NoFileCompletions)
	return cmd
}

// outcomeRecord is what an apply did, for JSON.
type outcomeRecord struct {
	Done      []changeRecord `json:"done"`
	Failed    []changeRecord `json:"failed"`
	Skipped   []changeRecord `json:"skipped"`
	Cut       []cutRecord    `json:"cut"`       // destinations removed with connections, at the end of --drain
	Unchanged int            `json:"unchanged"` // pools
	Foreign   []string       `json:"foreign"`   // services that are not in the file, and were left alone
}

type cutRecord struct {
	Service     string `json:"service"`
	Destination string `json:"destination"`
	Connections uint32 `json:"connections"`
}

func (a *app) apply(ctx context.Context, file string, flags planFlags, drain time.Duration) error {
	pools, err := a.readPools(ctx, file, flags.format, flags.prune)
	if err != nil {
		return err
	}
	c, done, err := a.openIPVS()
	if err != nil {
		return err
	}
	defer done()

	pauses := min(drain, 2*time.Second) // between two looks at what is left; it says to look every second
	working, alive, end := a.watched(ctx, pauses)
	defer end()
	bar := a.newBar()
	o, err := c.Apply(working, pools, &ipvs.ApplyConfig{Prune: flags.prune, Drain: drain, Progress: func(p ipvs.Progress) {
		alive()
		bar.show(p)
	}})
	bar.end()
	if cause := context.Cause(working); err != nil && ctx.Err() == nil && errors.Is(cause, context.DeadlineExceeded) {
		err = cause
		for i := range o.Skipped {
			if f := &o.Skipped[i]; errors.Is(f.Err, context.Canceled) {
				f.Err = cause
			}
		}
	}
	if len(o.Done)+len(o.Failed)+len(o.Skipped) == 0 && err != nil {
		return a.explain(ctx, c, err)
	}
	return cmp.Or(a.writeOutcome(o, flags.prune), incomplete(o, err))
}

// watched gives a context that ends when nothing has been alive for as long as
// --timeout says, and pauses.
func (a *app) watched(ctx context.Context, pauses time.Duration) (working context.Context, alive, end func()) {
	working, cancel := context.WithCancelCause(ctx)
	if a.timeout == 0 {
		return working, func() {}, func() { cancel(nil) }
	}
	timer := time.AfterFunc(a.timeout+pauses, func() { cancel(context.DeadlineExceeded) })
	return working, func() { timer.Reset(a.timeout + pauses) }, func() { timer.Stop(); cancel(nil) }
}

func (a *app) writeOutcome(o *ipvs.Outcome, prune bool) error {
	done := made(o.Done)
	var foreign []string // that were left alone
	if !prune {
		foreign = sorted(o.Foreign)
	}
	if a.json {
		r := outcomeRecord{changeRecords(done), changeRecords(o.Failed), changeRecords(o.Skipped), []cutRecord{}, o.Unchanged, append([]string{}, foreign...)}
		for _, c := range o.Cut {
			r.Cut = append(r.Cut, cutRecord{c.Service.String(), addressText(c.Service, c.Destination), c.Connections})
		}
		return a.writeDocument(r)
	}
	lines := changesText(done)
	if len(o.Failed)+len(o.Skipped) > 0 {
		lines = section("done", lines) + section("failed", changesText(o.Failed)) + section("skipped", changesText(o.Skipped))
		lines = lines[:len(lines)-1]
	}
	t := tallyOf(done)
	summary := fmt.Sprintf("%d added, %d changed, %d removed", t.added, t.changed, t.removed)
	for _, c := range o.Cut {
		summary += fmt.Sprintf("\n%s of %s was removed with %s", addressText(c.Service, c.Destination), c.Service, number(c.Connections, "connection"))
	}
	return a.writeChanges(lines, summary, o.Unchanged, foreign, prune)
}

// section is lines below a title, if there are any, and a blank one.
func section(title, lines string) string {
	if lines == "" {
		return ""
	}
	return title + ":\n" + lines + "\n"
}

// incomplete is the error of an apply that did not do all.
func incomplete(o *ipvs.Outcome, err error) error {
	if err == nil {
		return nil
	}
	why := "to apply it again makes up for the rest"
	switch {
	case errors.Is(err, context.Canceled):
		why = "interrupted; " + why
	case errors.Is(err, context.DeadlineExceeded):
		why = "the kernel did not answer in time (--timeout); " + why
	case len(o.Failed) > 0:
		why = "once the cause is gone, " + why
	default:
		why = fmt.Sprintf("%s; %s", reason(err), why)
	}
	counts := fmt.Sprintf("%s skipped, %d done", number(len(o.Skipped), "change"), len(o.Done))
	if len(o.Failed) > 0 {
		counts = fmt.Sprintf("%s failed, %d skipped, %d done", number(len(o.Failed), "change"), len(o.Skipped), len(o.Done))
	}
	return fmt.Errorf("%s: %s", counts, why)
}
