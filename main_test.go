//go:build linux

package gnl_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// open opens a Client on the real kernel for the test.
func open(t testing.TB, config *gnl.Config) *gnl.Client {
	t.Helper()
	c, err := gnl.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// timeout is a context that no passing test comes to the end of.
func timeout(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// needs skips the test on a kernel without the family.
func needs(t testing.TB, c *gnl.Client, family string) *gnl.Family {
	t.Helper()
	if family == "TASKSTATS" {
		testenv.Root(t) // of which it demands CAP_NET_ADMIN
	}
	testenv.NeedFamily(t, family)
	f, err := c.Family(timeout(t), family)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }
