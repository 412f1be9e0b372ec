package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gnlgo/gnl/bench/internal/table"
	"golang.org/x/sys/unix"
)

// markdown writes the table.
func markdown(o options, results []*result) string {
	var b strings.Builder
	b.WriteString("# Benchmark\n\n")
	b.WriteString("Each figure is a ratio to the bare system calls (raw), or in the codec rows to C by hand: the median of the\n" +
		"rounds, and in brackets where the middle half of them lies. README.md says how it is measured. **Bold** is over the\n" +
		"limit.\n\n")
	for _, line := range environment(o) {
		fmt.Fprintf(&b, "* %s\n", line)
	}

	fmt.Fprintf(&b, "\n| work | base | limit | %s |\n", strings.Join(implementations, " | "))
	fmt.Fprintf(&b, "|%s\n", strings.Repeat("---|", len(implementations)+3))
	for _, r := range results {
		ratioLine(&b, r, false)
		if r.live {
			ratioLine(&b, r, true)
		}
	}

	b.WriteString("\nAllocations an operation:\n\n| work | gnl | mdlayher | vishvananda |\n|---|---|---|---|\n")
	for _, r := range results {
		fmt.Fprintf(&b, "| %s |", r.work)
		for _, name := range []string{"gnl", "mdlayher", "vishvananda"} {
			s := r.find(name, false)
			switch {
			case s == nil || s.err != nil || len(s.ns) == 0:
				b.WriteString(" – |")
			case name == "gnl" && r.allocs >= 0 && s.allocs > r.allocs:
				fmt.Fprintf(&b, " **%s** |", table.Short(s.allocs))
			default:
				fmt.Fprintf(&b, " %s |", table.Short(s.allocs))
			}
		}
		b.WriteString("\n")
	}

	if notes := failures(results); len(notes) > 0 {
		b.WriteString("\nWithout a figure:\n\n")
		for _, n := range notes {
			fmt.Fprintf(&b, "* %s\n", n)
		}
	}
	return b.String()
}

func ratioLine(b *strings.Builder, r *result, parked bool) {
	work, base, limit := r.work, "–", "–"
	if parked {
		work = "the same, a goroutine parked"
	}
	if len(r.base.ns) > 0 {
		base = duration(table.Median(r.base.ns))
	}
	if r.limit > 0 {
		limit = fmt.Sprintf("%g", r.limit)
	}
	fmt.Fprintf(b, "| %s | %s | %s |", work, base, limit)
	for _, name := range implementations {
		fmt.Fprintf(b, " %s |", ratio(r.find(name, parked), r.limit))
	}
	b.WriteString("\n")
}

func ratio(s *series, limit float64) string {
	switch {
	case s == nil:
		return ""
	case s.err != nil || len(s.ratios) == 0:
		return "–"
	}
	text := table.Spread(s.ratios)
	if s.name == "gnl" && limit > 0 && table.Median(s.ratios) > limit {
		return "**" + text + "**"
	}
	return text
}

func duration(ns float64) string {
	switch {
	case ns >= 1e6:
		return table.Short(ns/1e6) + " ms"
	case ns >= 1e3:
		return table.Short(ns/1e3) + " µs"
	}
	return table.Short(ns) + " ns"
}

// failures tells why a figure is missing, for those that were expected.
func failures(results []*result) (notes []string) {
	for _, r := range results {
		for _, s := range append([]*series{r.base}, r.series...) {
			if s.err == nil || s.parked || errors.Is(s.err, errUnsupported) && s.name != "gnl" && s != r.base {
				continue
			}
			notes = append(notes, fmt.Sprintf("%s, %s: %v", r.key, s.name, s.err))
		}
	}
	return notes
}

func environment(o options) []string {
	var uname unix.Utsname
	kernel := "unknown"
	if unix.Uname(&uname) == nil {
		kernel, _, _ = strings.Cut(unix.ByteSliceToString(uname.Release[:]), "-") // without who built it
	}
	lines := []string{
		time.Now().UTC().Format("2006-01-02"),
		fmt.Sprintf("%s, %d CPUs, Linux %s, %s", processor(), runtime.NumCPU(), kernel, runtime.Version()),
		fmt.Sprintf("%d rounds of bursts of %v", o.rounds, o.burst),
	}
	versions := []string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			switch m.Path {
			case "github.com/mdlayher/genetlink", "github.com/mdlayher/netlink", "github.com/vishvananda/netlink":
				versions = append(versions, strings.TrimPrefix(m.Path, "github.com/")+" "+m.Version)
			}
		}
	}
	// The script knows what it installed and what is checked out.
	for _, name := range []string{"BENCH_LIBRARIES", "BENCH_GNL"} {
		if v := os.Getenv(name); v != "" {
			versions = append(versions, v)
		}
	}
	return append(lines, strings.Join(versions, ", "))
}

func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}
