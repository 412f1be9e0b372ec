package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A process is one worker, seen from the driver.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string // closed when the worker is gone
}

// start starts the worker of an implementation. It inherits the calling thread's network namespace.
func start(o options, name string) (*process, error) {
	cmd := exec.Command("/proc/self/exe", "worker", name)
	switch {
	case name == "threaded":
		cmd = exec.Command(filepath.Join(o.workers, "raw"), o.testdata, name)
	case inC[name]:
		cmd = exec.Command(filepath.Join(o.workers, name), o.testdata)
	}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: cmd, stdin: stdin, lines: make(chan string)}
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	return p, nil
}

// stop ends the worker: its input is over.
func (p *process) stop() {
	_ = p.stdin.Close()
	for range p.lines {
	}
	_ = p.cmd.Wait() // what it has to say it has said
}

// ask has n operations of a row done.
func (p *process) ask(key string, n int, parked bool) (ns, allocs int64, err error) {
	flag := 0
	if parked {
		flag = 1
	}
	if _, err := fmt.Fprintf(p.stdin, "%s %d %d\n", key, n, flag); err != nil {
		return 0, 0, fmt.Errorf("the worker is gone: %w", err)
	}
	select {
	case line, ok := <-p.lines:
		if !ok {
			return 0, 0, errors.New("the worker died")
		}
		return parseAnswer(line)
	case <-time.After(30 * time.Second):
		// Without a word the worker waits for an answer that does not come, and would for ever.
		_ = p.cmd.Process.Kill()
		return 0, 0, errors.New("no answer in 30 seconds")
	}
}

func parseAnswer(line string) (ns, allocs int64, err error) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "OK":
		if _, err := fmt.Sscan(rest, &ns, &allocs); err != nil {
			return 0, 0, fmt.Errorf("unexpected answer %q", line)
		}
		return ns, allocs, nil
	case "UNSUPPORTED":
		return 0, 0, fmt.Errorf("%w: %s", errUnsupported, strings.TrimPrefix(rest, errUnsupported.Error()+": "))
	case "FAIL":
		return 0, 0, errors.New(rest)
	}
	return 0, 0, fmt.Errorf("unexpected answer %q", line)
}
