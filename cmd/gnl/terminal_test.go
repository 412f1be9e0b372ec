package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a terminal with a program on it.
type terminal struct {
	t       *testing.T
	cmd     *exec.Cmd
	control *os.File
	output  chan string
	shown   strings.Builder
}

// onTerminal starts gnl on a terminal of 100 columns and 20 lines.
func onTerminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	control, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { control.Close() })
	n, err := unix.IoctlGetInt(int(control.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(control.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(control.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 20, Col: 100})
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	cmd := exec.Command("gnl", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tm := &terminal{t: t, cmd: cmd, control: control, output: make(chan string, 1000)}
	go func() {
		defer close(tm.output)
		for {
			b := make([]byte, 4096)
			n, err := control.Read(b)
			if n > 0 {
				tm.output <- string(b[:n])
			}
			if err != nil { // EIO, when nobody has the terminal any more
				return
			}
		}
	}()
	return tm
}

// await waits until the terminal shows something.
func (tm *terminal) await(pattern string) {
	tm.t.Helper()
	re := regexp.MustCompile(pattern)
	timeout := time.After(30 * time.Second)
	for !re.MatchString(tm.shown.String()) {
		select {
		case s, ok := <-tm.output:
			if !ok {
				tm.t.Fatalf("no %s in %q", pattern, tm.shown.String())
			}
			tm.shown.WriteString(s)
		case <-timeout:
			tm.cmd.Process.Kill()
			tm.t.Fatalf("no %s in %q", pattern, tm.shown.String())
		}
	}
}

func (tm *terminal) typed(keys string) {
	tm.t.Helper()
	if _, err := tm.control.WriteString(keys); err != nil {
		tm.t.Fatal(err)
	}
}

// ends waits for the program's end, and returns all that the terminal showed.
func (tm *terminal) ends(code int) string {
	tm.t.Helper()
	for s := range tm.output {
		tm.shown.WriteString(s)
	}
	tm.cmd.Wait()
	if got := tm.cmd.ProcessState.ExitCode(); got != code {
		tm.t.Errorf("exit code %d, not %d: %q", got, code, tm.shown.String())
	}
	return tm.shown.String()
}

const ctrlC = "\x03"

func TestIPVSOnATerminal(t *testing.T) {
	tr := newTraffic(t)
	on := func(args ...string) *terminal { return onTerminal(t, tr.line(args)...) }

	watch := on("list", "--watch", "--interval", "20ms")
	watch.await(`(?s)\x1b\[\?25l\x1b\[2J.*tcp:10\.0\.0\.1:80 +rr.*\x1b\[J\x1b\[H.*\x1b\[J`)
	watch.typed(ctrlC)
	if shown := watch.ends(0); !strings.HasSuffix(shown, showCursor) {
		t.Errorf("%q", shown)
	}
	list := on("list").ends(0)
	for line := range strings.Lines(list) {
		if n := len([]rune(strings.TrimRight(line, "\r\n"))); n > 100 {
			t.Errorf("a line of %d: %q", n, line)
		}
	}

	flush := on("flush")
	flush.await(`Remove all 1 service and 2 destinations in network namespace .*\? \[y/N\] $`)
	flush.typed("n\n")
	if shown := flush.ends(1); !strings.Contains(shown, "gnl: nothing was changed") {
		t.Errorf("%q", shown)
	}
	zero := on("zero")
	zero.await(`Zero the counters of all 1 service and 2 destinations.*\? \[y/N\] $`)
	zero.typed(ctrlC)
	if shown := zero.ends(1); !strings.Contains(shown, "gnl: interrupted") {
		t.Errorf("%q", shown)
	}

	tr.connect(t)
	tr.connect(t)
	apply := on("apply", "-", "--prune", "--drain", "1m")
	apply.await("reading pools from the terminal: Ctrl-D ends them")
	apply.typed("pools: []\n\x04")
	apply.await(`waiting for 2 connections of 2 destinations, \d+s left`)
	apply.typed(ctrlC)
	if shown := apply.ends(1); !strings.Contains(shown, "skipped:\r\n- tcp:10.0.0.1:80  interrupted\r\n") || !strings.Contains(shown, "gnl: 1 change skipped, 2 done: interrupted; ") {
		t.Errorf("%q", shown)
	}
	apply = on("apply", "-", "--prune", "--drain", "1s")
	apply.await("Ctrl-D")
	apply.typed("pools: []\n\x04")
	apply.ends(0)
	tr.exports(t, "pools: []")

	flush = on("flush", "--yes")
	flush.ends(0)
}
