// Gnl is the command line of generic netlink: it lists the kernel's families
// and their policies, watches their events, and shows what the kernel's
// accounting knows of tasks, of exits and of cgroups.
//
// Run "gnl help" to see what there is.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"
)

func main() {
	ignoreClosedPipes()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, widthOf(os.Stdout)))
}

// widthOf is how many columns the terminal behind f has, 0 if it is none.
func widthOf(f *os.File) int {
	if width, _, err := term.GetSize(int(f.Fd())); err == nil {
		return width
	}
	return 0
}

// run carries out one command line and returns the exit code. Tables are
// fitted to width columns; 0 leaves them as wide as they come.
func run(args []string, stdout, stderr io.Writer, width int) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // so that a second signal kills

	a := &app{out: stdout, errOut: stderr, width: width}
	root := a.rootCommand()
	root.SetArgs(args)
	return a.exitCode(root.ExecuteContext(ctx))
}

// app is what the commands have in common.
type app struct {
	out, errOut io.Writer
	width       int // of the terminal that out is; 0: it is none

	// The flags of all commands.
	netns   string
	timeout time.Duration
	verbose bool
	json    bool

	started bool // the command line was understood, and its command began

	mu          sync.Mutex     // guards what follows, and errOut while a trace is written
	headerSizes map[uint16]int // of families that have a header of their own, by id
}
