package netlink_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gnlgo/gnl/gnltest"
	"github.com/gnlgo/gnl/internal/testenv"
	"github.com/gnlgo/gnl/netlink"
)

// What the running kernel does only now and then, or no more, a kernel in the
// process does on command: the tests in the files exchange_test.go, loss_test.go
// and wait_test.go.

// toy is the id of a family with one command, 1.
const toy = 40

var ask = netlink.Request{Type: toy, Data: []byte{1, 1, 0, 0}}

// fake starts a kernel with the toy, and a socket to it.
func fake(t testing.TB, config *netlink.Config, do, dump func(*gnltest.Request) error) (*gnltest.Kernel, *netlink.Conn) {
	t.Helper()
	k := gnltest.NewKernel(t)
	k.Register(gnltest.Family{Name: "toy", ID: toy, Commands: []gnltest.Command{{ID: 1, Do: do, Dump: dump}}})
	c, err := k.Dial(config)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return k, c
}

// entry is the body of the n-th answer.
func entry(n byte) []byte { return []byte{5, 0, 1, 0, n, 0, 0, 0} }

// entries makes a request and returns the numbers of the answers, with what
// the exchange ended with.
func entries(t testing.TB, c *netlink.Conn, request netlink.Request) (got []byte, err error) {
	t.Helper()
	for m, err := range c.Do(timeout(t), request) {
		if err != nil {
			return got, err
		}
		if m.Type != toy || len(m.Data) < 9 {
			t.Fatalf("no answer of the toy: %+v", m)
		}
		got = append(got, m.Data[8])
	}
	return got, nil
}

// dumped is entries for a dump.
func dumped(t testing.TB, c *netlink.Conn) (got []byte, err error) {
	t.Helper()
	request := ask
	request.Flags = netlink.FlagDump
	return entries(t, c, request)
}

// works fails the test unless the socket still works, over which 7 is the
// answer.
func works(t testing.TB, c *netlink.Conn, wanted ...byte) {
	t.Helper()
	if got, err := entries(t, c, ask); err != nil || string(got) != string(wanted) {
		t.Errorf("the next request: %v, %v, not %v", got, err, wanted)
	}
}

// inTurn makes a handler whose n-th call is the n-th function, and all later
// ones the last.
func inTurn(handlers ...func(*gnltest.Request) error) func(*gnltest.Request) error {
	n := 0
	return func(r *gnltest.Request) error {
		h := handlers[n]
		n = min(n+1, len(handlers)-1)
		return h(r)
	}
}

// reply is the handler that answers 7.
func reply(r *gnltest.Request) error {
	r.Reply(1, entry(7))
	return nil
}

// timeout is a context that no passing test comes to the end of.
func timeout(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// groupsPermitted skips the test where the fake may not make sockets overrun.
func groupsPermitted(t testing.TB) {
	t.Helper()
	if err := gnltest.GroupsPermitted(); err != nil {
		testenv.Missing(t, "%v", err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t testing.TB, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
