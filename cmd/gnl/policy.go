package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/internal/unix"
	"github.com/spf13/cobra"
)

func (a *app) policyCommand() *cobra.Command {
	var command uint32
	cmd := &cobra.Command{
		Use:   "policy NAME|ID",
		Short: "Show what a family's requests may hold",
		Long: `Show what the kernel accepts in the requests of a family: for every command,
single (do) or for all there is (dump), which attributes there may be, of which
type, and with what values.

Policies have numbers, since several commands may share one, and since what is
inside of a nest is a policy too. Each is shown once, where it is met first.
With --command they are numbered anew.

The kernel lists neither attributes that it always refuses, nor big-endian
numbers.`,
		Example: `  gnl policy ethtool
  gnl policy ethtool --command 1
  gnl policy TASKSTATS --json | jq '.policies[0].attributes'`,
		Args:              takes(1, 1, "the name or the id of a family"),
		ValidArgsFunction: a.completeFamily(),
		RunE: func(cmd *cobra.Command, args []string) error {
			one := &command
			if !cmd.Flags().Changed("command") {
				one = nil
			}
			return a.showPolicy(cmd.Context(), args[0], one)
		},
	}
	cmd.Flags().Uint32VarP(&command, "command", "c", 0, "show the policies of one command only, given by its `number`")
	cmd.RegisterFlagCompletionFunc("command", a.completeCommandNumber)
	return cmd
}

func (a *app) showPolicy(ctx context.Context, name string, command *uint32) error {
	client, done, err := a.connect()
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := a.limited(ctx)
	defer cancel()
	f, err := a.findFamily(ctx, client, name)
	if err != nil {
		return err
	}
	p, err := askPolicy(ctx, client, f, command)
	if err != nil {
		return err
	}
	if !a.json {
		return a.describePolicy(f, p)
	}
	if p.Commands == nil {
		p.Commands = []gnl.CommandPolicy{}
	}
	if p.Policies == nil {
		p.Policies = []gnl.PolicyTable{}
	}
	return a.writeDocument(p)
}

func askPolicy(ctx context.Context, client *gnl.Client, f *gnl.Family, command *uint32) (p *gnl.Policy, err error) {
	of := f.Name
	if command == nil {
		p, err = client.Policy(ctx, f.Name)
	} else {
		if _, ok := f.Command(*command); !ok {
			return nil, fmt.Errorf("%s has no command %d: %s", f.Name, *command, commandsOf(f))
		}
		of = fmt.Sprintf("%s command %d", f.Name, *command)
		p, err = client.CommandPolicy(ctx, f.Name, *command)
	}
	switch {
	case errors.Is(err, unix.ENODATA) || errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s has no policy that the kernel could tell", of)
	case errors.Is(err, unix.EOPNOTSUPP):
		return nil, fmt.Errorf("this kernel (%s) does not tell policies: Linux 5.10 and later do", kernelRelease())
	}
	return p, err
}

// commandsOf says which commands a family has: "it has 1-13 and 15".
func commandsOf(f *gnl.Family) string {
	var ids []uint32
	for _, c := range f.Commands {
		ids = append(ids, c.ID)
	}
	if len(ids) == 0 {
		return "it has none"
	}
	slices.Sort(ids)
	var ranges []string
	for len(ids) > 0 {
		n := 1
		for n < len(ids) && ids[n] == ids[0]+uint32(n) {
			n++
		}
		r := strconv.Itoa(int(ids[0]))
		if n > 1 {
			r += "-" + strconv.Itoa(int(ids[n-1]))
		}
		ranges, ids = append(ranges, r), ids[n:]
	}
	return "it has " + strings.Join(ranges, ", ")
}

// policyWriter writes policies, each once, however they refer to one another.
type policyWriter struct {
	*app
	policy *gnl.Policy
	shown  map[uint32]bool
	tables bool // the last thing written is a table
	err    error
}

func (a *app) describePolicy(f *gnl.Family, p *gnl.Policy) error {
	w := &policyWriter{app: a, policy: p, shown: map[uint32]bool{}}
	w.line("family %s, id %d", printable(f.Name), f.ID)
	for _, c := range p.Commands {
		name := fmt.Sprintf("command %d", c.ID)
		switch {
		case c.Inferred:
			name += " (inferred)"
		case c.ID == 0:
			name = "a command that the kernel does not name"
		}
		if c.Do.Given && c.Do == c.Dump {
			w.show(name+", do and dump", c.Do.Value)
			continue
		}
		if c.Do.Given {
			w.show(name+", do", c.Do.Value)
		}
		if c.Dump.Given {
			w.show(name+", dump", c.Dump.Value)
		}
	}
	return w.err
}

func (w *policyWriter) line(format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintf(w.out, format+"\n", args...)
	}
}

// show writes a policy, and those that it leads to, unless they have been.
func (w *policyWriter) show(where string, index uint32) {
	if w.shown[index] {
		if w.tables {
			w.line("")
		}
		w.tables = false
		w.line("%s: policy %d, above", where, index)
		return
	}
	w.shown[index], w.tables = true, true
	w.line("")
	table := w.table(index)
	if len(table.Attributes) == 0 {
		w.line("%s: policy %d, no attributes", where, index)
		return
	}
	w.line("%s: policy %d", where, index)
	var rows [][]string
	for _, at := range table.Attributes {
		rows = append(rows, []string{strconv.Itoa(int(at.ID)), at.Type.String(), accepts(&at)})
	}
	if w.err == nil {
		w.err = w.writeTable([]column{{title: "ATTRIBUTE", right: true},
			{title: "TYPE", least: len("nested-array")}, {title: "ACCEPTS", fit: wrapped}}, rows)
	}
	for _, at := range table.Attributes {
		if at.Policy.Given && !w.shown[at.Policy.Value] {
			w.show(fmt.Sprintf("attribute %d of policy %d", at.ID, index), at.Policy.Value)
		}
	}
}

func (w *policyWriter) table(index uint32) gnl.PolicyTable {
	for _, t := range w.policy.Policies {
		if t.Index == index {
			return t
		}
	}
	return gnl.PolicyTable{Index: index} // the kernel lists none that is empty
}

// accepts says what an attribute may hold.
func accepts(at *gnl.AttributePolicy) string {
	switch {
	case at.Policy.Given:
		return fmt.Sprintf("policy %d", at.Policy.Value)
	case at.Min.Given && at.Max.Given && wholeRange(at):
		return "any"
	}
	return at.Accepts()
}

// wholeRange reports whether the range of a number is that of its type.
func wholeRange(at *gnl.AttributePolicy) bool {
	least, most := gnl.Unsigned(0), gnl.Unsigned(math.MaxUint64)
	switch at.Type {
	case gnl.TypeU8:
		most = gnl.Unsigned(math.MaxUint8)
	case gnl.TypeU16:
		most = gnl.Unsigned(math.MaxUint16)
	case gnl.TypeU32:
		most = gnl.Unsigned(math.MaxUint32)
	case gnl.TypeS8:
		least, most = gnl.Signed(math.MinInt8), gnl.Signed(math.MaxInt8)
	case gnl.TypeS16:
		least, most = gnl.Signed(math.MinInt16), gnl.Signed(math.MaxInt16)
	case gnl.TypeS32:
		least, most = gnl.Signed(math.MinInt32), gnl.Signed(math.MaxInt32)
	case gnl.TypeS64, gnl.TypeSint:
		least, most = gnl.Signed(math.MinInt64), gnl.Signed(math.MaxInt64)
	}
	return at.Min.Value == least && at.Max.Value == most
}

// completeCommandNumber completes the number of a command of the family given.
func (a *app) completeCommandNumber(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.complete(func(f gnl.Family) []string {
		var numbers []string
		for _, c := range f.Commands {
			if f.Name == args[0] {
				numbers = append(numbers, cobra.CompletionWithDesc(strconv.Itoa(int(c.ID)), c.Flags.String()))
			}
		}
		return numbers
	})(cmd, nil, "")
}
