package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/internal/testenv"
)

func TestFamiliesAsPackageGnlHasThem(t *testing.T) {
	client := openClient(t)
	want, err := client.Families(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var got []gnl.Family
	mustJSON(t, &got, "families")
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("families (-package gnl +command line):\n%s", diff)
	}
	for _, f := range want {
		for _, name := range []string{f.Name, strconv.Itoa(int(f.ID)), fmt.Sprintf("%#x", f.ID)} {
			var one gnl.Family
			mustJSON(t, &one, "families", name)
			if diff := cmp.Diff(f, one, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("families %s (-package gnl +command line):\n%s", name, diff)
			}
		}
	}
}

func TestPoliciesAsPackageGnlHasThem(t *testing.T) {
	client := openClient(t)
	families, err := client.Families(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, f := range families {
		want, err := client.Policy(context.Background(), f.Name)
		if err != nil {
			if _, stderr, code := gnlOutput(t, 0, "policy", f.Name); code != 1 || !strings.Contains(stderr, "gnl: "+f.Name+" has no policy") {
				t.Errorf("policy %s: exit code %d, %q", f.Name, code, stderr)
			}
			continue
		}
		got := new(gnl.Policy)
		mustJSON(t, got, "policy", f.Name)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.AllowUnexported(gnl.Integer{})); diff != "" {
			t.Errorf("policy %s (-package gnl +command line):\n%s", f.Name, diff)
		}
		for _, c := range want.Commands {
			if c.ID == 0 {
				continue
			}
			want, err := client.CommandPolicy(context.Background(), f.Name, c.ID)
			if err != nil {
				t.Fatal(err)
			}
			got := new(gnl.Policy)
			mustJSON(t, got, "policy", f.Name, "--command", strconv.Itoa(int(c.ID)))
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.AllowUnexported(gnl.Integer{})); diff != "" {
				t.Errorf("policy %s --command %d (-package gnl +command line):\n%s", f.Name, c.ID, diff)
			}
			compared++
		}
	}
	if compared == 0 {
		t.Error("no policy was compared")
	}
}

// The table says of every family what the JSON says.
func TestFamiliesTable(t *testing.T) {
	var families []gnl.Family
	mustJSON(t, &families, "families")
	stdout, _, _ := gnlOutput(t, 0, "families")
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	if len(lines) != len(families)+1 {
		t.Fatalf("%d lines for %d families", len(lines), len(families))
	}
	for i, f := range families {
		var names []string
		for _, g := range f.Groups {
			names = append(names, g.Name)
		}
		want := strings.TrimSpace(fmt.Sprintf("%d %s %d %d %s", f.ID, f.Name, f.Version, len(f.Commands), strings.Join(names, ", ")))
		if got := strings.Join(strings.Fields(lines[i+1]), " "); got != want {
			t.Errorf("line %q, not %q", got, want)
		}
	}
}

// genl is iproute2's program for the same questions.
func genl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(testenv.Program(t, "genl", "iproute2"), args...).Output()
	if err != nil {
		t.Fatalf("genl %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

func TestFamiliesAsGenlHasThem(t *testing.T) {
	want := parseGenlList(t, genl(t, "ctrl", "list"))
	var got []gnl.Family
	mustJSON(t, &got, "families")
	for i, f := range got {
		// Of families of version 1 genl does not show what commands can do: it
		// takes the family's version for that of the controller.
		for j := range f.Commands {
			if i < len(want) && f.Version < 2 && j < len(want[i].Commands) && want[i].Commands[j].Flags == 0 {
				f.Commands[j].Flags = 0
			}
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("families (-genl +gnl):\n%s", diff)
	}
	t.Logf("%d families compared", len(got))
}

// parseGenlList reads what "genl ctrl list" writes:
//
//	Name: nlctrl
//		ID: 0x10  Version: 0x2  header size: 0  max attribs: 0
//		commands supported:
//			#1:  ID-0x3
//			Capabilities (0xe):
//	 		  can doit; can dumpit; has policy
//		multicast groups:
//			#1:  ID-0x10  name: notify
func parseGenlList(t *testing.T, text string) []gnl.Family {
	t.Helper()
	var families []gnl.Family
	for _, line := range strings.Split(text, "\n") {
		var number int
		if name, ok := strings.CutPrefix(line, "Name: "); ok {
			families = append(families, gnl.Family{Name: name})
			continue
		}
		if len(families) == 0 {
			continue
		}
		f := &families[len(families)-1]
		line = strings.TrimSpace(line)
		var group gnl.Group
		var command gnl.FamilyCommand
		var flags gnl.CommandFlags
		switch {
		case strings.HasPrefix(line, "ID: "):
			if _, err := fmt.Sscanf(line, "ID: 0x%x Version: 0x%x header size: %d max attribs: %d", &f.ID, &f.Version, &f.HeaderSize, &f.MaxAttr); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		case strings.Contains(line, "name: "):
			if _, err := fmt.Sscanf(line, "#%d: ID-0x%x name: %s", &number, &group.ID, &group.Name); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			f.Groups = append(f.Groups, group)
		case strings.HasPrefix(line, "#"):
			if _, err := fmt.Sscanf(line, "#%d: ID-0x%x", &number, &command.ID); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			f.Commands = append(f.Commands, command)
		case strings.HasPrefix(line, "Capabilities"):
			if _, err := fmt.Sscanf(line, "Capabilities (0x%x):", &flags); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			f.Commands[len(f.Commands)-1].Flags = flags
		}
	}
	return families
}

func TestPoliciesAsGenlHasThem(t *testing.T) {
	var families []gnl.Family
	mustJSON(t, &families, "families")
	attributes := 0
	for _, f := range families {
		text, err := exec.Command(testenv.Program(t, "genl", "iproute2"), "ctrl", "policy", "name", f.Name).Output()
		if err != nil || len(text) == 0 {
			continue // it has none
		}
		var p gnl.Policy
		mustJSON(t, &p, "policy", f.Name)
		want := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		got := asGenl(&p, want)
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("policy %s (-genl +gnl):\n%s", f.Name, diff)
		}
		attributes += len(got)
	}
	if attributes == 0 {
		t.Error("nothing was compared")
	}
	t.Logf("%d lines of policies compared", attributes)
}

// asGenl writes a policy as genl does. Types that genl is too old to know, for
// which it has the word "unknown", are taken from its lines.
func asGenl(p *gnl.Policy, lines []string) []string {
	unknown := map[string]bool{}
	for _, l := range lines {
		if head, _, ok := strings.Cut(l, " type=unknown"); ok {
			unknown[head] = true
		}
	}
	var all []string
	for _, c := range p.Commands {
		id := c.ID
		if c.Inferred {
			id = 0 // which is what the kernel says
		}
		l := fmt.Sprintf("\tID: %#x  op %d policies:", p.FamilyID, id)
		if c.Do.Given {
			l += fmt.Sprintf(" do=%d", c.Do.Value)
		}
		if c.Dump.Given {
			l += fmt.Sprintf(" dump=%d", c.Dump.Value)
		}
		all = append(all, l)
	}
	for _, table := range p.Policies {
		for _, a := range table.Attributes {
			head := fmt.Sprintf("\tID: %#x  policy[%d]:attr[%d]:", p.FamilyID, table.Index, a.ID)
			typ := strings.ToUpper(strings.ReplaceAll(a.Type.String(), "-", "_"))
			if unknown[head] && (a.Type == gnl.TypeUint || a.Type == gnl.TypeSint) {
				typ = "unknown"
			}
			l := head + " type=" + typ
			if a.Policy.Given {
				l += fmt.Sprintf(" policy:%d", a.Policy.Value)
			}
			if a.MaxType.Given {
				l += fmt.Sprintf(" maxattr:%d", a.MaxType.Value)
			}
			if a.Min.Given && a.Max.Given {
				l += fmt.Sprintf(" range:[%s,%s]", a.Min.Value, a.Max.Value)
			}
			if a.MinLength.Given {
				l += fmt.Sprintf(" min len:%d", a.MinLength.Value)
			}
			if a.MaxLength.Given {
				l += fmt.Sprintf(" max len:%d", a.MaxLength.Value)
			}
			all = append(all, l)
		}
	}
	return all
}

// The text for people has every command and attribute of the policy, once.
func TestPolicyText(t *testing.T) {
	var families []gnl.Family
	mustJSON(t, &families, "families")
	for _, f := range families {
		stdout, _, code := gnlOutput(t, 0, "policy", f.Name)
		if code != 0 {
			continue
		}
		var p gnl.Policy
		mustJSON(t, &p, "policy", f.Name)
		rows := 0
		for s := bufio.NewScanner(bytes.NewBufferString(stdout)); s.Scan(); {
			if first, _, _ := strings.Cut(strings.TrimSpace(s.Text()), " "); first != "" && strings.Trim(first, "0123456789") == "" {
				rows++
			}
		}
		attributes := 0
		for _, table := range p.Policies {
			attributes += len(table.Attributes)
		}
		if rows != attributes {
			t.Errorf("policy %s: %d attributes in the text, %d in the JSON\n%s", f.Name, rows, attributes, stdout)
		}
		for _, c := range p.Commands {
			if n := strings.Count(stdout, fmt.Sprintf("command %d", c.ID)); c.ID != 0 && n == 0 {
				t.Errorf("policy %s: no command %d in the text", f.Name, c.ID)
			}
		}
	}
}
