package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/gnlgo/gnl/bench/internal/table"
)

// The limits. README.md of the folder above says what they are about.
const (
	peersAtLeast   = 3.0       // times gnl, per destination added
	ipvsadmAtLeast = 1.0       // likewise
	againAtMost    = 1.0       // times a list
	memoryGrowth   = 128 << 10 // of a list of ten times as many destinations; it is the runtime's, if anybody's
)

func reportMain(arguments []string) error {
	flags := flag.NewFlagSet("report", flag.ContinueOnError)
	out := flags.String("out", "RESULTS.md", "write the table into its section of this `file`")
	check := flags.Bool("check", false, "fail when gnl is over a limit")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	var all []*results
	for _, path := range flags.Args() {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		r := &results{}
		if err := json.Unmarshal(text, r); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, r)
	}
	if len(all) == 0 {
		return errors.New("no results")
	}
	section := markdown(all)
	fmt.Print(section)
	if err := table.Put(*out, section); err != nil {
		return err
	}
	var over []error
	for _, r := range all {
		for _, line := range r.overLimit() {
			over = append(over, fmt.Errorf("%s: %s", r.Kernel, line))
		}
	}
	if *check {
		return errors.Join(over...)
	}
	return nil
}

func markdown(all []*results) string {
	var b strings.Builder
	first := all[0]
	b.WriteString("# IPVS at scale\n\n")
	b.WriteString("The same program in each kernel. Ratios are to gnl's run right before; those of the rounds are medians, and in brackets\n" +
		"is where the middle half of them lies. README.md says how it is measured. **Bold** is over the limit.\n\n")
	versions := first.Versions
	if v := os.Getenv("BENCH_GNL"); v != "" {
		versions = append(versions, v)
	}
	for _, line := range []string{
		time.Now().UTC().Format("2006-01-02"),
		fmt.Sprintf("%s, %s", hostProcessor(first), first.Go),
		strings.Join(versions, ", "),
	} {
		fmt.Fprintf(&b, "* %s\n", line)
	}
	for _, r := range all {
		r.write(&b)
	}
	return b.String()
}

// hostProcessor is the machine's that this program reports on, as the emulated one says nothing.
func hostProcessor(r *results) string {
	if p := processor(); p != "" {
		return p
	}
	return r.Processor
}

var labels = map[string]string{
	"raw":        "the kernel alone (ready-made requests in large sends, nothing decoded)",
	"batch":      "gnl: `Batch`; list: `Pools`",
	"cloudflare": "cloudflare/ipvs",
	"moby":       "moby/ipvs",
	"ipvsadm":    "`ipvsadm -R`; list: `ipvsadm -Ln`",
}

func (r *results) write(b *strings.Builder) {
	full, short := &r.Full, &r.Short
	fmt.Fprintf(b, "\n## %s\n\n%s destinations in %s services, once, and %s in %s, in %s. %s.\n\n", r.Kernel,
		thousands(full.Scene.destinations()), thousands(full.Scene.Services),
		thousands(short.Scene.destinations()), thousands(short.Scene.Services), count(short.Rounds, "round"), count(r.CPUs, "CPU"))
	in := "in " + count(short.Rounds, "round")
	fmt.Fprintf(b, "| | add, µs a destination | to gnl | %s | limit | allocations | list, µs a destination | to gnl | %s | allocations |\n", in, in)
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|\n")
	fmt.Fprintf(b, "| gnl: `Apply`; list: `DestinationsInto` | %s | 1 | 1 | – | %s | %s | 1 | 1 | %s |\n", microseconds(full.Gnl.Add),
		table.Short(full.Gnl.AddAllocs), microseconds(full.Gnl.List), table.Short(full.Gnl.ListAllocs))
	for _, name := range names {
		f, s := full.Peers[name], short.Peers[name]
		if f.Err != "" || s.Err != "" {
			fmt.Fprintf(b, "| %s | – | – | – | – | – | – | – | – | – |\n", labels[name])
			continue
		}
		least, limit := atLeast(name), "–"
		if least > 0 {
			limit = fmt.Sprintf("≥ %g", least)
		}
		addAllocs, listAllocs := table.Short(f.AddAllocs), table.Short(f.ListAllocs)
		if name == "ipvsadm" { // what Go allocates to start it says nothing
			addAllocs, listAllocs = "–", "–"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", labels[name],
			microseconds(f.Add), bold(table.Short(table.Median(f.AddRatios)), table.Median(f.AddRatios) < least),
			bold(table.Spread(s.AddRatios), table.Median(s.AddRatios) < least), limit, addAllocs,
			microseconds(f.List), table.Short(table.Median(f.ListRatios)), table.Spread(s.ListRatios), listAllocs)
	}
	if raw := short.Peers["raw"]; r.failure("raw") == "" {
		fmt.Fprintf(b, "\nTo the kernel alone that is, in the rounds, %s for `Apply` and %s for the list.\n",
			table.Short(1/table.Median(raw.AddRatios)), table.Short(1/table.Median(raw.ListRatios)))
	}
	for _, name := range names {
		if err := r.failure(name); err != "" {
			fmt.Fprintf(b, "\nWithout a figure: %s: %s\n", name, err)
		}
	}

	n := float64(full.Scene.destinations())
	b.WriteString("\n| gnl's `Apply` | in all | µs a destination | to a list | in the rounds | limit |\n|---|---|---|---|---|---|\n")
	fmt.Fprintf(b, "| of what is there already | %s | %s | %s | %s | ≤ %g |\n", milliseconds(full.Again, n), microseconds(full.Again),
		bold(table.Spread(full.AgainRatios), table.Median(full.AgainRatios) > againAtMost),
		bold(table.Spread(short.AgainRatios), table.Median(short.AgainRatios) > againAtMost), againAtMost)
	fmt.Fprintf(b, "| of what is there, but for 1 %% (%s) | %s | %s | %s | %s | – |\n", thousands(full.Changed), milliseconds(full.Change, n),
		microseconds(full.Change), table.Spread(full.ChangeRatios), table.Spread(short.ChangeRatios))
	fmt.Fprintf(b, "| that prunes half (%s) | %s | %s | – | – | – |\n",
		thousands(full.Pruned), milliseconds(full.Prune, float64(full.Pruned)), microseconds(full.Prune))

	fmt.Fprintf(b, "\nA list by `DestinationsInto` allocates %s with %s destinations and %s with %s in as many services; the heap grows by\n%s and %s.\n",
		kibibytes(r.Few.Bytes), thousands(r.Few.Destinations), kibibytes(r.Many.Bytes), thousands(r.Many.Destinations),
		kibibytes(r.Few.Peak), kibibytes(r.Many.Peak))
}

func bold(text string, yes bool) string {
	if yes {
		return "**" + text + "**"
	}
	return text
}

func (r *results) failure(name string) string {
	return cmp.Or(r.Short.Peers[name].Err, r.Full.Peers[name].Err)
}

// atLeast is how many times gnl's time an implementation must take to add a destination, 0 for any.
func atLeast(name string) float64 {
	switch name {
	case "cloudflare", "moby":
		return peersAtLeast
	case "ipvsadm":
		return ipvsadmAtLeast
	}
	return 0
}

func (r *results) overLimit() (lines []string) {
	for _, name := range names {
		if err := r.failure(name); err != "" {
			lines = append(lines, fmt.Sprintf("%s: no figure: %s", name, err))
		}
	}
	for _, f := range []*figures{&r.Full, &r.Short} {
		for _, name := range names {
			least, ratios := atLeast(name), f.Peers[name].AddRatios
			if len(ratios) > 0 && table.Median(ratios) < least {
				lines = append(lines, fmt.Sprintf("gnl adds %d destinations %.2f times as fast as %s, not %g times",
					f.Scene.destinations(), table.Median(ratios), name, least))
			}
		}
		if m := table.Median(f.AgainRatios); m > againAtMost {
			lines = append(lines, fmt.Sprintf("applying %d destinations that are there takes %.2f lists, over the limit of %g",
				f.Scene.destinations(), m, againAtMost))
		}
	}
	if few, many := r.Few, r.Many; many.Bytes > few.Bytes+memoryGrowth || many.Peak > few.Peak+memoryGrowth {
		lines = append(lines, fmt.Sprintf("a list allocates %s (heap %s) with %d destinations, and %s (heap %s) with %d",
			kibibytes(few.Bytes), kibibytes(few.Peak), few.Destinations, kibibytes(many.Bytes), kibibytes(many.Peak), many.Destinations))
	}
	return lines
}

func microseconds(ns []float64) string { return table.Short(table.Median(ns) / 1e3) }

func milliseconds(ns []float64, n float64) string { return table.Short(table.Median(ns)*n/1e6) + " ms" }

func kibibytes(n uint64) string { return fmt.Sprintf("%d KiB", (n+1023)>>10) }

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
