package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/gnlgo/gnl/ipvs"
	"github.com/gnlgo/gnl/ipvs/poolfile"
	"github.com/spf13/cobra"
)

// exitChanges is the exit code of a plan with --exit-code that has changes.
const exitChanges = 3

// errChanges ends a plan with exitChanges.
var errChanges = errors.New("there is something to change")

const filesAre = `FILE is YAML, JSON (of gnlpy as well), or what ipvsadm saves, which its name or
its content tells; - is standard input. gnl ipvs export writes one to start
with.`

// planFlags are the flags of gnl ipvs plan and apply.
type planFlags struct {
	format string
	prune  bool
}

func (f *planFlags) addTo(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.format, "format", "auto", "the file's `FORMAT`: yaml, json, ipvsadm")
	cmd.Flags().BoolVar(&f.prune, "prune", false, "remove services that are not in the file")
	cmd.RegisterFlagCompletionFunc("format", completeFormats)
}

func completeFormats(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return []cobra.Completion{"yaml", "json", "ipvsadm"}, cobra.ShellCompDirectiveNoFileComp
}

// completeFile completes one argument, the name of a file.
func completeFile(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveDefault
}

func (a *app) planCommand() *cobra.Command {
	var flags planFlags
	var exitCode bool
	cmd := &cobra.Command{
		Use:   "plan FILE",
		Short: "Say what applying a file of pools would change",
		Long: `Say what gnl ipvs apply would change so that the kernel has the pools of a file,
and change nothing.

` + filesAre + `

Every change is a line: + is added, ~ changed, - removed. What is as desired is
only counted. Services that are not in the file are left alone unless --prune is
given.

The exit code is 0 whether there are changes or not. With --exit-code it is 3 if
there are any.`,
		Example: `  gnl ipvs plan pools.yaml
  gnl ipvs plan pools.yaml --exit-code
  gnl ipvs export | gnl ipvs plan - --json`,
		Args:              takes(1, 1, "a file of pools (- is standard input)"),
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			changes, err := a.plan(cmd.Context(), args[0], flags)
			if err == nil && changes && exitCode {
				return errChanges
			}
			return err
		},
	}
	flags.addTo(cmd)
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "end with exit code 3 if there is anything to change")
	return cmd
}

// planRecord is a plan, for JSON.
type planRecord struct {
	Changes   []changeRecord `json:"changes"`
	Unchanged int            `json:"unchanged"` // pools
	Foreign   []string       `json:"foreign"`   // services that are not in the file
}

func (a *app) plan(ctx context.Context, file string, flags planFlags) (changes bool, err error) {
	pools, err := a.readPools(ctx, file, flags.format, flags.prune)
	if err != nil {
		return false, err
	}
	err = a.withIPVS(ctx, func(ctx context.Context, c *ipvs.Client) error {
		plan, err := c.Plan(ctx, pools, &ipvs.ApplyConfig{Prune: flags.prune})
		if err != nil {
			return err
		}
		changes = len(plan.Changes) > 0
		foreign := sorted(plan.Foreign)
		if a.json {
			return a.writeDocument(planRecord{changeRecords(made(plan.Changes)), plan.Unchanged, foreign})
		}
		all := made(plan.Changes)
		t := tallyOf(all)
		summary := fmt.Sprintf("%d to add, %d to change, %d to remove", t.added, t.changed, t.removed)
		return a.writeChanges(changesText(all), summary, plan.Unchanged, foreign, flags.prune)
	})
	return changes, err
}

func sorted(ids []ipvs.ServiceID) []string {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, compareServices)
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = id.String()
	}
	return names
}

// writeChanges writes the lines of changes, and what they come to.
func (a *app) writeChanges(lines, summary string, unchanged int, foreign []string, prune bool) error {
	if lines != "" {
		lines += "\n"
	} else {
		summary = "nothing to change"
	}
	if unchanged > 0 {
		summary += "; " + number(unchanged, "pool") + " as desired"
	}
	if len(foreign) > 0 && !prune {
		const few = 5
		named := strings.Join(foreign[:min(len(foreign), few)], ", ")
		if len(foreign) > few {
			named += ", …"
		}
		summary += fmt.Sprintf("\n%s not in the file, left alone: %s", number(len(foreign), "service"), named)
	}
	return a.writeText(lines + summary + "\n")
}

// readPools reads a file of pools. All that is wrong with it is reported; the
// error is then errReported.
func (a *app) readPools(ctx context.Context, name, format string, prune bool) ([]ipvs.Pool, error) {
	f, err := poolfile.ParseFormat(format)
	if err != nil {
		return nil, wrong("no format %q: the formats are yaml, json, ipvsadm and auto", format)
	}
	var content io.Reader
	if name == "-" {
		if a.asks {
			a.say("reading pools from the terminal: Ctrl-D ends them")
		}
		text, err := await(ctx, func() ([]byte, error) { return io.ReadAll(a.in) })
		if err != nil {
			return nil, err
		}
		content = named{bytes.NewReader(text), "stdin"}
	} else {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		content = file
	}
	pools, err := poolfile.Read(content, f)
	if err == nil && len(pools) == 0 && prune && f == poolfile.IPVSAdm {
		// Nothing at all is also what comes of a program that failed.
		return nil, fmt.Errorf("%s is empty, and --prune would remove all services: if that is meant, gnl ipvs flush does it", name)
	}
	return pools, a.reportFile(err)
}

// reportFile reports all that is wrong with a file.
func (a *app) reportFile(err error) error {
	var all *poolfile.Errors
	if !errors.As(err, &all) {
		return err
	}
	for line := range strings.Lines(all.Error()) {
		a.say("%s", strings.TrimSuffix(line, "\n"))
	}
	return errReported
}

// named is a reader with a name, as a file is.
type named struct {
	io.Reader
	name string
}

func (n named) Name() string { return n.name }

// await waits for what cannot be interrupted until ctx is done.
func await[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	results := make(chan result, 1)
	go func() {
		v, err := read()
		results <- result{v, err}
	}()
	select {
	case r := <-results:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}
