//go:build linux

package taskstats

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestParseCPUs(t *testing.T) {
	for list, want := range map[string][]int{
		"0":           {0},
		"0-3":         {0, 1, 2, 3},
		"0-1,8,10-11": {0, 1, 8, 10, 11},
		"3,1,2,1-3":   {1, 2, 3},
		"7-7":         {7},
	} {
		got, err := parseCPUs(list)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v, want %v", list, got, err, want)
		}
		if again, err := parseCPUs(formatCPUs(got)); err != nil || !slices.Equal(again, want) {
			t.Errorf("%q: %q: %v, %v", list, formatCPUs(got), again, err)
		}
	}
	for _, list := range []string{"", ",", "0,", "-", "-1", "1-", "3-1", "a", "0-a", "0 1", "0-1-2", "+1", "0x1", "99999999999999999999", "0-31:2/8"} {
		if cpus, err := parseCPUs(list); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%q: %v, %v", list, cpus, err)
		}
	}
	for _, list := range []string{"0-4294967295", "65537"} {
		if cpus, err := parseCPUs(list); !errors.Is(err, syscall.ERANGE) {
			t.Errorf("%q: %v, %v", list, cpus, err)
		}
	}
}

func TestFormatCPUs(t *testing.T) {
	for want, cpus := range map[string][]int{
		"":              nil,
		"5":             {5},
		"0-1":           {0, 1},
		"0-3,5,7-8":     {0, 1, 2, 3, 5, 7, 8},
		"1,3,5":         {1, 3, 5},
		"0,65534-65536": {0, 65534, 65535, 65536},
	} {
		if got := formatCPUs(cpus); got != want {
			t.Errorf("%v: %q, want %q", cpus, got, want)
		}
	}
}

func TestSplitCPUs(t *testing.T) {
	for _, x := range []struct {
		list string
		n    int
		want string
	}{
		{"0-7", 1, "0-7"},
		{"0-7", 2, "0-3 4-7"},
		{"0-7", 3, "0-1 2-4 5-7"},
		{"0-1", 5, "0 1"},
		{"0,2,4,6", 2, "0,2 4,6"},
	} {
		cpus, err := parseCPUs(x.list)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, group := range splitCPUs(cpus, x.n) {
			got = append(got, formatCPUs(group))
		}
		if strings.Join(got, " ") != x.want {
			t.Errorf("%s by %d: %v, want %s", x.list, x.n, got, x.want)
		}
	}
}
