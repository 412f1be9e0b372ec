//go:build linux

package gnl_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/netlink"
)

func TestFamiliesByNameByIDAndInTheListAreTheSame(t *testing.T) {
	c, ctx := open(t, nil), timeout(t)
	all, err := c.Families(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 5 {
		t.Fatalf("only %d families", len(all))
	}
	for _, want := range all {
		byName, err := c.Family(ctx, want.Name)
		if err != nil {
			t.Fatal(err)
		}
		byID, err := c.FamilyByID(ctx, want.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&want, byName); diff != "" {
			t.Errorf("%s by name (-list +name):\n%s", want.Name, diff)
		}
		if diff := cmp.Diff(&want, byID); diff != "" {
			t.Errorf("%s by id (-list +id):\n%s", want.Name, diff)
		}
	}
}

// recordedFamily is a family as the recording's program writes it.
type recordedFamily struct {
	ID       uint16                      `json:"id"`
	Name     string                      `json:"name"`
	Version  uint32                      `json:"version"`
	Hdrsize  uint32                      `json:"hdrsize"`
	MaxAttr  uint32                      `json:"maxattr"`
	Commands map[string]gnl.CommandFlags `json:"commands"`
	Groups   map[string]uint32           `json:"mcast_groups"`
}

func TestFamiliesOfTheRunningKernelEqualTheRecordedOnes(t *testing.T) {
	var recorded struct{ Families []recordedFamily }
	readJSON(t, "testdata/families.json", &recorded)
	var release syscall.Utsname
	if err := syscall.Uname(&release); err != nil {
		t.Fatal(err)
	}
	if r := charsToString(release.Release[:]); !strings.HasPrefix(r, "6.18.") {
		t.Skipf("recorded on Linux 6.18; this is %s", r)
	}
	c, ctx := open(t, nil), timeout(t)
	for _, want := range recorded.Families {
		got, err := c.Family(ctx, want.Name)
		if err != nil {
			t.Logf("%s: the recording kernel was built with it, this one is not: %v", want.Name, err)
			continue
		}
		if got.Version != want.Version || got.HeaderSize != want.Hdrsize || got.MaxAttr != want.MaxAttr {
			t.Errorf("%s: %+v, recorded %+v", want.Name, got, want)
		}
		flags := map[string]gnl.CommandFlags{}
		for _, cmd := range got.Commands {
			flags[jsonNumber(cmd.ID)] = cmd.Flags
		}
		if diff := cmp.Diff(want.Commands, flags); diff != "" && len(want.Commands)+len(flags) > 0 {
			t.Errorf("%s: commands (-recorded +now):\n%s", want.Name, diff)
		}
		for name := range want.Groups { // ids are given at run time
			if _, ok := got.Group(name); !ok {
				t.Errorf("%s: group %s is missing", want.Name, name)
			}
		}
	}
}

func TestCommandFlagsOfTheControllerAndTASKSTATS(t *testing.T) {
	c, ctx := open(t, nil), timeout(t)
	nlctrl, err := c.Family(ctx, "nlctrl")
	if err != nil {
		t.Fatal(err)
	}
	getfamily, _ := nlctrl.Command(3)
	if got := getfamily.Flags.String(); got != "do|dump|has-policy" {
		t.Errorf("nlctrl getfamily: %s", got)
	}
	needs(t, c, "TASKSTATS")
	taskstats, err := c.Family(ctx, "TASKSTATS")
	if err != nil {
		t.Fatal(err)
	}
	get, _ := taskstats.Command(1)
	if got := get.Flags.String(); got != "admin-perm|do|has-policy" {
		t.Errorf("TASKSTATS get: %s", got)
	}
	if got := gnl.CommandFlags(0x30).String(); got != "uns-admin-perm|0x20" {
		t.Errorf("unknown flag: %s", got)
	}
}

func TestAFamilyThatDoesNotExist(t *testing.T) {
	c, ctx := open(t, nil), timeout(t)
	_, byName := c.Family(ctx, "nosuch")
	_, byID := c.FamilyByID(ctx, 999)
	for _, err := range []error{byName, byID} {
		var e *gnl.Error
		if !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, syscall.ENOENT) || !errors.As(err, &e) {
			t.Errorf("%v is not ENOENT of a *gnl.Error", err)
		}
	}
	if got, want := byName.Error(), "gnl: nosuch: the kernel has no such family: no such file or directory"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := byID.Error(), "gnl: family 999: the kernel has no such family: no such file or directory"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, err := c.FamilyByID(ctx, 0); err == nil {
		t.Error("id 0 was not refused")
	}
}

func TestANameThatIsTooLongIsExplained(t *testing.T) {
	c := open(t, nil)
	_, err := c.Family(timeout(t), strings.Repeat("x", 40))
	if !errors.Is(err, syscall.EINVAL) {
		t.Fatalf("%v is not EINVAL", err)
	}
	want := "gnl: nlctrl getfamily: family-name: Attribute failed policy validation (41 bytes, kernel accepts at most 15 bytes): invalid argument"
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
}

func TestFamilyAllocations(t *testing.T) {
	c, ctx := open(t, nil), timeout(t)
	var f gnl.Family
	if n := testing.AllocsPerRun(100, func() { must(t, c.FamilyInto(ctx, "ethtool", &f)) }); n != 0 {
		t.Errorf("into used memory: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { _, err := c.Family(ctx, "ethtool"); must(t, err) }); n > 8 {
		t.Errorf("into fresh memory: %v allocations", n)
	}
}

// Whatever a Family or a Policy held before, larger or smaller, leaves nothing.
func TestUsedMemoryMakesNoDifference(t *testing.T) {
	c, ctx := open(t, nil), timeout(t)
	all, err := c.Families(ctx)
	must(t, err)
	var f gnl.Family
	i := 0
	for got, err := range c.FamiliesInto(ctx, &f) {
		must(t, err)
		if diff := cmp.Diff(all[i], *got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-fresh +used):\n%s", diff)
		}
		i++
	}
	if i != len(all) {
		t.Errorf("%d families, not %d", i, len(all))
	}
	var p gnl.Policy
	for range 2 {
		for _, f := range all {
			fresh, err := c.Policy(ctx, f.Name)
			if errors.Is(err, syscall.ENODATA) {
				continue
			}
			must(t, err)
			must(t, c.PolicyInto(ctx, f.Name, &p))
			if diff := cmp.Diff(*fresh, p, cmpopts.EquateEmpty(), cmp.AllowUnexported(gnl.Integer{})); diff != "" {
				t.Errorf("%s (-fresh +used):\n%s", f.Name, diff)
			}
		}
	}
}

func TestATracedRequestShowsEveryMessageDecoded(t *testing.T) {
	var trace strings.Builder
	c := open(t, &gnl.Config{Socket: netlink.Config{Trace: func(d netlink.Direction, m netlink.Message) {
		if err := gnl.WriteMessage(&trace, d, m, 0); err != nil {
			t.Error(err)
		}
	}}})
	if _, err := c.Family(timeout(t), "nlctrl"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sent: type 16, flags request, sequence ", "command 3, version 2\n  2: \"nlctrl\"\n", "received: type 16", "  7:\n    1:\n      2: ", `1: "notify"`} {
		if !strings.Contains(trace.String(), want) {
			t.Errorf("%q is not in the trace:\n%s", want, trace.String())
		}
	}
	trace.Reset()
	if _, err := c.Family(timeout(t), "nosuch"); err == nil {
		t.Fatal("no error")
	}
	if !strings.Contains(trace.String(), "  no such file or directory\n") {
		t.Errorf("the refusal is not in the trace:\n%s", trace.String())
	}
}

func readJSON(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func jsonNumber(n uint32) string { b, _ := json.Marshal(n); return string(b) }

func charsToString[T int8 | uint8](chars []T) string {
	var b []byte
	for _, c := range chars {
		if c == 0 {
			break
		}
		b = append(b, byte(c))
	}
	return string(b)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
