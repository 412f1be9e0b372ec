// Gnl is the command line of generic netlink: it lists the kernel's families
// and their policies, watches their events, shows what the kernel's accounting
// knows of tasks, of exits and of cgroups, and configures its load balancer.
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

	"github.com/gnlgo/gnl/netlink"
)

func main() {
	ignoreClosedPipes()
	a := &app{in: os.Stdin, out: os.Stdout, errOut: os.Stderr, asks: term.IsTerminal(int(os.Stdin.Fd()))}
	a.screen = func() (width, height int) { return screenOf(os.Stdout) }
	a.width, _ = a.screen()
	os.Exit(a.run(os.Args[1:]))
}

// screenOf is how many columns and lines the terminal behind f has, 0 if it is
// none.
func screenOf(f *os.File) (width, height int) {
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, 0
	}
	return width, height
}

// run carries out one command line and returns the exit code.
func (a *app) run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // so that a second signal kills

	root := a.rootCommand()
	root.SetArgs(spellOut(args))
	return a.exitCode(root.ExecuteContext(ctx))
}

// app is what the commands have in common.
type app struct {
	in          io.Reader
	out, errOut io.Writer
	width       int                        // of the terminal that out is, which tables are fitted to; 0: it is none
	screen      func() (width, height int) // of that terminal as it is now; nil or zeros: it is none
	asks        bool                       // somebody sits at in who can be asked

	// dial opens the sockets instead of netlink.Dial: tests have a kernel of
	// their own.
	dial func(*netlink.Config) (*netlink.Conn, error)

	// The flags of all commands.
	netns   string
	timeout time.Duration
	verbose bool
	json    bool

	started bool // the command line was understood, and its command began

	mu          sync.Mutex     // guards what follows, and errOut while a trace is written
	headerSizes map[uint16]int // of families that have a header of their own, by id
}
