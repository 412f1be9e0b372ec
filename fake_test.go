//go:build linux

package gnl_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/gnltest"
	"github.com/gnlgo/gnl/internal/testenv"
)

// What the running kernel does only now and then, or no more, a kernel in the
// process does on command. It has one family in these tests, the toy.

type number struct {
	N uint32 `nl:"1,omitzero,name=number"`
}

var (
	toyGet    = gnl.Command[number, number]{Family: "toy", ID: 1, Name: "get", Version: 1}
	toySingle = gnl.Command[number, number]{Family: "toy", ID: 1, Name: "get", Version: 1, Single: true}
	toySet    = gnl.Command[number, struct{}]{Family: "toy", ID: 2, Name: "set", Version: 1}
)

// toyFamily has a command that answers and one that does not.
func toyFamily(get, set, dump func(*gnltest.Request) error) gnltest.Family {
	return gnltest.Family{Name: "toy", Version: 1, Groups: []string{"news"}, Commands: []gnltest.Command{
		{ID: 1, Do: get, Dump: dump}, {ID: 2, Do: set},
	}}
}

// fake starts a kernel with the toy, and a client of it.
func fake(t testing.TB, f gnltest.Family) (*gnltest.Kernel, *gnl.Client) {
	t.Helper()
	k := gnltest.NewKernel(t)
	k.Register(f)
	return k, k.Client()
}

// configured is another client of the kernel.
func configured(t testing.TB, k *gnltest.Kernel, change func(*gnl.Config)) *gnl.Client {
	t.Helper()
	config := k.Config()
	change(config)
	return open(t, config)
}

// echo answers with the number asked for.
var echo = gnltest.DoFunc(1, func(n number) (number, error) { return n, nil })

// works fails the test unless a get is answered as it should be.
func works(t testing.TB, on gnl.Caller) {
	t.Helper()
	if n, err := toyGet.Do(timeout(t), on, number{77}); err != nil || n.N != 77 {
		t.Errorf("the next request: %v, %v", n, err)
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

// groupsPermitted skips the test where the fake's groups cannot be joined.
func groupsPermitted(t testing.TB) {
	t.Helper()
	if err := gnltest.GroupsPermitted(); err != nil {
		testenv.Missing(t, "%v", err)
	}
}

func wantError(t testing.TB, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// silence never answers.
func silence(*gnltest.Request) error { return gnltest.SkipEnd }

// contextOf is a context of the test that lasts so long.
func contextOf(t testing.TB, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

func isNotExist(err error) bool { return errors.Is(err, os.ErrNotExist) }
