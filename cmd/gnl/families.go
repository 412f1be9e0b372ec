package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gnlgo/gnl"
	"github.com/spf13/cobra"
)

func (a *app) familiesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "families [NAME|ID]",
		Short: "List the families of the kernel, or describe one",
		Long: `List the generic netlink families that the kernel has, or describe one: its
commands, with what they can do and who may use them, and its multicast groups.

A family is asked for by name, or by the number that it has now. The kernel
loads the module of a family that is asked for by name, if it knows which.

  do               answers single requests
  dump             lists all there is
  has-policy       says what its requests may hold (gnl policy)
  admin-perm       needs CAP_NET_ADMIN in the initial user namespace
  uns-admin-perm   needs CAP_NET_ADMIN in that of the network namespace`,
		Example: `  gnl families
  gnl families ethtool
  gnl families --json | jq -r '.[] | select(.groups != []).name'`,
		Args:              takes(0, 1, "the name or the id of one family"),
		ValidArgsFunction: a.completeFamily(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return a.showFamily(cmd, args[0])
			}
			return a.listFamilies(cmd)
		},
	}
}

func (a *app) listFamilies(cmd *cobra.Command) error {
	client, done, err := a.connect()
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := a.limited(cmd.Context())
	defer cancel()
	families, err := client.Families(ctx)
	if err != nil {
		return err
	}
	if a.json {
		for i := range families {
			normalize(&families[i])
		}
		return a.writeDocument(families)
	}
	var rows [][]string
	for _, f := range families {
		rows = append(rows, []string{strconv.Itoa(int(f.ID)), printable(f.Name), strconv.Itoa(int(f.Version)),
			strconv.Itoa(len(f.Commands)), printable(strings.Join(groupNames(&f), ", "))})
	}
	return a.writeTable([]column{{title: "ID", right: true}, {title: "NAME"}, {title: "VERSION", right: true},
		{title: "COMMANDS", right: true}, {title: "GROUPS", fit: wrapped}}, rows)
}

func (a *app) showFamily(cmd *cobra.Command, name string) error {
	client, done, err := a.connect()
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := a.limited(cmd.Context())
	defer cancel()
	f, err := a.findFamily(ctx, client, name)
	if err != nil {
		return err
	}
	if a.json {
		normalize(f)
		return a.writeDocument(f)
	}
	return a.describeFamily(f)
}

func (a *app) describeFamily(f *gnl.Family) error {
	header := "none"
	if f.HeaderSize > 0 {
		header = fmt.Sprintf("%d bytes", f.HeaderSize)
	}
	maxAttr := "by command"
	if f.MaxAttr > 0 {
		maxAttr = strconv.Itoa(int(f.MaxAttr))
	}
	if _, err := fmt.Fprintf(a.out, "name               %s\nid                 %d\nversion            %d\nown header         %s\nhighest attribute  %s\n",
		printable(f.Name), f.ID, f.Version, header, maxAttr); err != nil {
		return err
	}
	if len(f.Commands) > 0 {
		var rows [][]string
		for _, c := range f.Commands {
			rows = append(rows, []string{strconv.Itoa(int(c.ID)), strings.ReplaceAll(c.Flags.String(), "|", ", ")})
		}
		if err := a.writeSection([]column{{title: "COMMAND", right: true}, {title: "FLAGS", fit: wrapped}}, rows); err != nil {
			return err
		}
	}
	if len(f.Groups) > 0 {
		var rows [][]string
		for _, g := range f.Groups {
			rows = append(rows, []string{printable(g.Name), strconv.Itoa(int(g.ID))})
		}
		return a.writeSection([]column{{title: "GROUP"}, {title: "ID", right: true}}, rows)
	}
	return nil
}

// writeSection writes a table below something else.
func (a *app) writeSection(columns []column, rows [][]string) error {
	if _, err := fmt.Fprintln(a.out); err != nil {
		return err
	}
	return a.writeTable(columns, rows)
}

// normalize makes lists without entries lists, for JSON.
func normalize(f *gnl.Family) {
	if f.Commands == nil {
		f.Commands = []gnl.FamilyCommand{}
	}
	if f.Groups == nil {
		f.Groups = []gnl.Group{}
	}
}

func groupNames(f *gnl.Family) []string {
	var names []string
	for _, g := range f.Groups {
		names = append(names, g.Name)
	}
	return names
}
