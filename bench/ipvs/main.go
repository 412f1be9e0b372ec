// Command ipvs measures what it costs to configure and to list IPVS at scale: gnl, its peers and the kernel alone. Run it
// through the script run; ../README.md says how to read what it writes.
//
// It is three programs: measure and, started by it, worker run inside the kernel to be measured, report outside.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 2 {
		usage()
	}
	var err error
	switch arguments := os.Args[2:]; os.Args[1] {
	case "measure":
		err = measureMain(arguments)
	case "worker":
		err = workerMain(arguments)
	case "report":
		err = reportMain(arguments)
	default:
		usage()
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "ipvs %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: ipvs measure|worker|report [flags]; see the script run")
	os.Exit(2)
}
