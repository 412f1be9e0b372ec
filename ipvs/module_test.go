//go:build linux

package ipvs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gnlgo/gnl/internal/testenv"
	"github.com/gnlgo/gnl/ipvs"
)

// unload takes the load balancer out of the kernel, its schedulers first.
func unload(t testing.TB) error {
	t.Helper()
	modprobe := testenv.Program(t, "modprobe", "kmod")
	for {
		modules, err := os.ReadFile("/proc/modules") // those loaded last come first
		if err != nil {
			t.Fatal(err)
		}
		_, rest, found := strings.Cut("\n"+string(modules), "\nip_vs")
		if !found {
			return nil
		}
		name, _, _ := strings.Cut("ip_vs"+rest, " ")
		if out, err := exec.Command(modprobe, "-r", name).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
}

func TestTheModuleUnloadedAndLoadedAgainBetweenCalls(t *testing.T) {
	testenv.NeedLab(t) // it takes the load balancer out of the kernel
	c := newBalancer(t)
	for range 2 {
		// The family's id is another one each time. Its name brings the module
		// back, as the kernel knows it by that.
		apply(t, c, somePools(), nil)
		wantPools(t, c, somePools())
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := unload(t); err != nil {
			t.Fatal(err)
		}
	}
	wantPools(t, c, nil)
}

func TestNoCallHangsWhileTheModuleComesAndGoes(t *testing.T) {
	testenv.NeedLab(t) // it takes the load balancer out of the kernel
	c := newBalancer(t)
	// Without the module the kernel does not know the family, by its name or,
	// when it goes between two steps of one call, by its id.
	absent := func(err error) bool {
		return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrNotExist)
	}
	stop := make(chan struct{})
	var calls sync.WaitGroup
	for range 4 {
		calls.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond): // in which nobody uses the module
				}
				for _, err := range c.Services(t.Context()) {
					if err != nil && !absent(err) {
						t.Errorf("in a list: %v", err)
					}
				}
				if _, err := c.Info(t.Context()); err != nil && !absent(err) {
					t.Error(err)
				}
			}
		})
	}
	unloaded := 0
	for tries := 0; tries < 2 || unloaded == 0 && tries < 50; tries++ {
		if unload(t) == nil { // it may be in use at the moment
			unloaded++
		}
		if _, err := c.Info(t.Context()); err != nil && !absent(err) {
			t.Error(err)
		}
	}
	close(stop)
	calls.Wait()
	if unloaded == 0 {
		t.Error("the module never went")
	}
	pools := []ipvs.Pool{somePools()[0]}
	apply(t, c, pools, nil)
	wantPools(t, c, pools)
}
