// Command bench measures gnl and its peers against the bare system calls. Run it through the script run; README.md says
// how to read what it writes.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/gnlgo/gnl/bench/internal/table"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "worker" {
		if err := worker(os.Args[2]); err != nil {
			fmt.Fprintf(os.Stderr, "worker %s: %v\n", os.Args[2], err)
			os.Exit(1)
		}
		return
	}

	var o options
	quick := flag.Bool("quick", false, "few and short rounds: does everything work?")
	flag.IntVar(&o.rounds, "rounds", 0, "rounds, of whose ratios a row quotes the median (default 60; 5 with -quick)")
	flag.DurationVar(&o.burst, "burst", 5*time.Millisecond, "about how long a worker is at it at a time")
	rows := flag.String("rows", "", "only the rows whose key matches this `regexp`")
	out := flag.String("out", "RESULTS.md", "write the table to this `file`")
	check := flag.Bool("check", false, "exit 1 when a row of gnl is over its limit")
	flag.StringVar(&o.workers, "workers", "", "`folder` of the workers in C")
	flag.StringVar(&o.testdata, "testdata", "testdata", "`folder` of the recorded messages")
	flag.Parse()

	rounds := 60
	if *quick {
		rounds = 5
	}
	if o.rounds == 0 {
		o.rounds = rounds
	}
	pattern, err := regexp.Compile(*rows)
	if err != nil || o.workers == "" || o.rounds < 1 || flag.NArg() > 0 {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		flag.Usage()
		os.Exit(2)
	}
	o.selected = pattern.MatchString

	results, err := measure(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	report := markdown(o, results)
	fmt.Print(report)
	if err := table.Put(*out, report); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if *check {
		over := overLimit(results)
		for _, line := range over {
			fmt.Fprintln(os.Stderr, line)
		}
		if len(over) > 0 {
			os.Exit(1)
		}
	}
}

// worker is what this program is when the driver starts it again, for an implementation in Go.
func worker(implementation string) error {
	rows, ok := map[string]works{
		"gnl":         gnlRows,
		"mdlayher":    mdlayher,
		"vishvananda": vishvananda,
	}[implementation]
	if !ok {
		return fmt.Errorf("no such implementation")
	}
	return serve(rows, os.Stdin, os.Stdout)
}
