package main

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gnlgo/gnl/taskstats"
)

var update = flag.Bool("update", false, "write the golden files anew")

// fromKernel is what a kernel with that version of the struct sends, with a
// value of its own in every field.
func fromKernel(t *testing.T, version int, group bool) *taskstats.Stats {
	t.Helper()
	s := taskstats.Stats{Version: version, Group: group, Comm: "name", BeginTime: time.Unix(1767225600, 0),
		ExitCode: 3 << 8, Flags: taskstats.FlagSuperUser | taskstats.FlagGroup, Nice: -5, SchedPolicy: 2}
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		if !f.CanSet() || !f.IsZero() {
			continue
		}
		n := i + 1
		switch f.Interface().(type) {
		case int:
			f.SetInt(int64(n))
		case uint32:
			f.SetUint(uint64(n))
		case uint64:
			f.SetUint(uint64(n) << 20)
		case time.Duration:
			f.SetInt(int64(n) * int64(time.Millisecond))
		case taskstats.Delay:
			total := time.Duration(n) * time.Microsecond
			f.Set(reflect.ValueOf(taskstats.Delay{Count: uint64(n), Total: total, Max: total / 2, Min: total / 4, MaxAt: time.Unix(1767225600+int64(n), 0)}))
		}
	}
	b, err := s.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var sent taskstats.Stats
	if err := sent.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	return &sent
}

func TestRecord(t *testing.T) {
	b, err := json.MarshalIndent(newRecord(fromKernel(t, 17, false)), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "record.json")
	if *update {
		if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(b)+"\n"); diff != "" {
		t.Error(diff)
	}
}

// What the kernel did not give is absent, not 0.
func TestRecordLacksWhatWasNotGiven(t *testing.T) {
	keys := func(version int, group bool) []string {
		b, err := json.Marshal(newRecord(fromKernel(t, version, group)))
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		return slices.Sorted(maps.Keys(m))
	}
	all := keys(17, false)
	// Of the struct's fields Group is absent unless it is true, and Tail always.
	if exported := len(reflect.VisibleFields(reflect.TypeFor[taskstats.Stats]())) - unexported(); len(all) != exported-2 {
		t.Errorf("%d keys for %d fields", len(all), exported)
	}
	for _, c := range []struct {
		version int
		absent  string
	}{
		{12, "irq_delay wpcopy_delay"},
		{8, "compact_delay exe_device exe_inode group_elapsed_time_us irq_delay tgid thrashing_delay wpcopy_delay"},
	} {
		has := keys(c.version, false)
		var absent []string
		for _, k := range all {
			if !slices.Contains(has, k) {
				absent = append(absent, k)
			}
		}
		if got := strings.Join(absent, " "); got != c.absent {
			t.Errorf("version %d lacks %s, not %s", c.version, got, c.absent)
		}
	}
}

func unexported() (n int) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[taskstats.Stats]()) {
		if !f.IsExported() {
			n++
		}
	}
	return n
}
