package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/netlink"
)

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"abc", "abc", 0}, {"kitten", "sitting", 3}, {"ethtol", "ethtool", 1}, {"flaw", "lawn", 2}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q, %q: %d, not %d", c.a, c.b, got, c.want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	words := []string{"nlctrl", "TASKSTATS", "ethtool", "SEG6", "NLBL_MGMT", "mptcp_pm"}
	for given, want := range map[string]string{
		"taskstats": "did you mean TASKSTATS?", "etool": "did you mean ethtool?", "nlctl": "did you mean nlctrl?", "seg": "did you mean SEG6?",
		"mptcp": "did you mean mptcp_pm?", "NLBL": "did you mean NLBL_MGMT?", "x": "no", "wireguard": "no", "foo": "no", "": "no",
	} {
		if got := didYouMean(given, words, "no"); got != want {
			t.Errorf("%q: %s, not %s", given, got, want)
		}
	}
	if got := didYouMean("tsk", []string{"task", "tsks", "other"}, "no"); got != "did you mean task or tsks?" {
		t.Error(got)
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err     error
		started bool
		code    int
		stderr  string
	}{
		{nil, true, 0, ""},
		{errors.New("it broke"), true, 1, "gnl: it broke\n"},
		{fmt.Errorf("gnl: %w", gnl.ErrOverrun), true, 1, "gnl: netlink messages were lost: the receive buffer overran\n"},
		{errors.New("two\nlines \x1b[31m"), true, 1, `gnl: two\nlines \x1b[31m` + "\n"},
		{wrong("--top is %d", 3), true, 2, "gnl: --top is 3\n"},
		{errors.New("from cobra"), false, 2, "gnl: from cobra\n"},
		{fmt.Errorf("gnl: events: %w", context.Canceled), true, 1, "gnl: interrupted\n"},
		{fmt.Errorf("gnl: %w", context.DeadlineExceeded), true, 1, "gnl: no answer within 3s: --timeout allows for more\n"},
		{errReported, true, 1, ""},
		{&os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}, true, 0, ""},
	} {
		var stderr bytes.Buffer
		a := &app{errOut: &stderr, started: c.started, timeout: 3 * time.Second}
		if code := a.exitCode(c.err); code != c.code || stderr.String() != c.stderr {
			t.Errorf("%v: exit code %d, stderr %q", c.err, code, stderr.String())
		}
	}
}

// A stream says on stderr what was lost, and goes on.
func TestFollow(t *testing.T) {
	broken := errors.New("broken")
	stream := func(entries ...any) func(context.Context) iter.Seq2[int, error] {
		return func(ctx context.Context) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for _, e := range entries {
					n, _ := e.(int)
					err, _ := e.(error)
					if !yield(n, err) {
						return
					}
				}
				<-ctx.Done()
				yield(0, ctx.Err())
			}
		}
	}
	short := limits{after: 20 * time.Millisecond}
	overrun := fmt.Errorf("gnl: events: %w", gnl.ErrOverrun)
	for _, c := range []struct {
		entries []any
		until   limits
		want    error
		written string
		stderr  string
	}{
		{[]any{1, 2, 3}, short, nil, "1 2 3 ", ""},
		{[]any{1, 2, 3}, limits{count: 2}, nil, "1 2 ", ""},
		{[]any{1, overrun, 2, 3}, limits{count: 2}, nil, "1 2 ", "gnl: events: netlink messages were lost: the receive buffer overran\n"},
		{[]any{1, fmt.Errorf("gnl: events: %w", netlink.ErrMalformed), 2}, short, nil, "1 2 ", "gnl: events: malformed netlink message\n"},
		{[]any{1, broken, 2}, short, broken, "1 ", ""},
	} {
		var stderr, written bytes.Buffer
		a := &app{errOut: &stderr}
		err := follow(context.Background(), a, stream(c.entries...), c.until, func(n int) error {
			fmt.Fprintf(&written, "%d ", n)
			return nil
		})
		if err != c.want || written.String() != c.written || stderr.String() != c.stderr {
			t.Errorf("%v: %v, %q, %q", c.entries, err, written.String(), stderr.String())
		}
	}

	ctx, cancel := context.WithCancel(context.Background())
	if err := follow(ctx, &app{}, stream(1, 2), limits{}, func(n int) error { cancel(); return nil }); err != nil {
		t.Error("interrupted:", err)
	}
	err := follow(context.Background(), &app{}, stream(1, 2), limits{}, func(n int) error { return io.ErrShortWrite })
	if err != io.ErrShortWrite {
		t.Error("an error of writing:", err)
	}
}
