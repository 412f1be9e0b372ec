//go:build linux

package gnl_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"weak"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/gnltest"
	"github.com/gnlgo/gnl/netlink"
)

// Families that come, go, and come back under another id.

// resolutions counts how often a kernel is asked for the toy by name.
func resolutions(k *gnltest.Kernel) *atomic.Int64 {
	n := new(atomic.Int64)
	k.Intercept(func(r *gnltest.Request, handle func() error) error {
		if r.Family == "nlctrl" && r.Command == 3 && !r.IsDump() {
			n.Add(1)
		}
		return handle()
	})
	return n
}

func TestAFamilyIsResolvedOnce(t *testing.T) {
	k, c := fake(t, toyFamily(echo, nil, nil))
	asked := resolutions(k)
	for range 5 {
		works(t, c)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// A Command is a variable of a package: what it remembers of the Client that used
// it first must not keep that in memory, nor keep others from being remembered.
func TestACommandDoesNotKeepAClient(t *testing.T) {
	var get gnl.Command[getFamily, gnl.Family]
	get.Family, get.ID, get.Version = "nlctrl", 3, 2
	for range 2 {
		c, err := gnl.Open(nil)
		must(t, err)
		_, err = get.Do(timeout(t), c, getFamily{"nlctrl"})
		must(t, err)
		must(t, c.Close())
		kept := weak.Make(c)
		c = nil
		for end := time.Now().Add(10 * time.Second); kept.Value() != nil; runtime.GC() {
			if time.Now().After(end) {
				t.Fatal("the Client is still there")
			}
		}
	}
}

type getFamily struct {
	Name string `nl:"2"`
}

func TestAFamilyThatIsLoadedAgainIsFoundUnderItsNewID(t *testing.T) {
	f := toyFamily(echo, func(*gnltest.Request) error { return nil }, gnltest.DumpFunc(1, func(n number) ([]number, error) { return []number{n, n}, nil }))
	k, c := fake(t, f)
	conn, err := c.Conn(t.Context(), nil)
	must(t, err)
	defer conn.Close()
	asked := resolutions(k)
	for name, request := range map[string]func() error{
		"Do": func() error {
			n, err := toyGet.Do(timeout(t), c, number{5})
			if err == nil && n.N != 5 {
				err = fmt.Errorf("%v", n)
			}
			return err
		},
		"Do of a single reply": func() error { return second(toySingle.Do(timeout(t), c, number{5})) },
		"Dump": func() error {
			all, err := gnl.Collect(toyGet.Dump(timeout(t), c, number{5}))
			if err == nil && len(all) != 2 {
				err = fmt.Errorf("%v", all)
			}
			return err
		},
		"raw": func() error { return second(c.Do(timeout(t), gnl.Request{Family: "toy", Command: 1})) },
		"on a pinned Conn": func() error {
			return second(toyGet.Do(timeout(t), conn, number{5}))
		},
		"in a batch": func() error {
			var b gnl.Batch
			var replies [3]number
			toyGet.AddTo(&b, &number{1}, &replies[0])
			toySet.AddTo(&b, &number{2}, nil)
			toyGet.AddTo(&b, &number{3}, &replies[2])
			err := b.Do(timeout(t), c)
			if err == nil && (replies[0].N != 1 || replies[2].N != 3) {
				err = fmt.Errorf("%v", replies)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			must(t, request())
			k.Unregister("toy")
			k.Register(f)
			asked.Store(0)
			must(t, request())
			if n := asked.Load(); n != 1 {
				t.Errorf("asked %d times for the new id", n)
			}
			must(t, request())
			if n := asked.Load(); n != 1 {
				t.Errorf("asked %d times after that", n)
			}
		})
	}
}

func TestAFamilyThatIsGoneIsNotExist(t *testing.T) {
	k, c := fake(t, toyFamily(echo, nil, nil))
	works(t, c)
	k.Unregister("toy")
	for range 2 {
		_, err := toyGet.Do(timeout(t), c, number{1})
		wantError(t, err, os.ErrNotExist)
	}
	var b gnl.Batch
	var n number
	toyGet.AddTo(&b, &number{1}, &n)
	toyGet.AddTo(&b, &number{1}, &n)
	wantError(t, b.Do(timeout(t), c), os.ErrNotExist)
	wantError(t, b.Err(1), os.ErrNotExist)
	k.Register(toyFamily(echo, nil, nil))
	works(t, c)
}

// ENOENT may be the command's own answer: it is then returned as it is, and not
// asked again.
func TestENOENTOfTheCommandItself(t *testing.T) {
	for name, outcome := range map[string]error{
		"bare":       syscall.ENOENT,
		"with words": &netlink.Error{Errno: syscall.ENOENT, Message: "no such sensor"},
	} {
		t.Run(name, func(t *testing.T) {
			called := 0
			k, c := fake(t, toyFamily(func(*gnltest.Request) error { called++; return outcome }, nil,
				func(*gnltest.Request) error { called++; return outcome }))
			asked := resolutions(k)
			must(t, second(c.Family(timeout(t), "toy")))
			asked.Store(0)
			_, err := toyGet.Do(timeout(t), c, number{1})
			var kernel *netlink.Error
			if !errors.As(err, &kernel) || kernel.Errno != syscall.ENOENT || called != 1 {
				t.Errorf("%v after %d calls", err, called)
			}
			_, err = gnl.Collect(toyGet.Dump(timeout(t), c, number{1}))
			wantError(t, err, os.ErrNotExist)
			var b gnl.Batch
			var n number
			toyGet.AddTo(&b, &number{1}, &n)
			wantError(t, b.Do(timeout(t), c), os.ErrNotExist)
			if called != 3 {
				t.Errorf("%d calls", called)
			}
			if n := asked.Load(); n > 4 {
				t.Errorf("asked %d times whether it has moved", n)
			}
		})
	}
}

// A family that is there again, but refuses under its new id too, is asked once
// more and not for ever.
func TestAFamilyThatMovesAllTheTime(t *testing.T) {
	var k *gnltest.Kernel
	var f gnltest.Family
	called := 0
	f = toyFamily(func(*gnltest.Request) error {
		if called++; called > 10 {
			return nil
		}
		k.Unregister("toy")
		k.Register(f)
		return syscall.ENOENT
	}, nil, nil)
	k, c := fake(t, f)
	_, err := toyGet.Do(timeout(t), c, number{1})
	wantError(t, err, os.ErrNotExist)
	if called != 2 {
		t.Errorf("called %d times", called)
	}
}

// A family that comes back with another header of its own is not the one that
// the request was made for.
func TestAFamilyThatComesBackWithAnotherHeader(t *testing.T) {
	k, c := fake(t, toyFamily(echo, nil, nil))
	works(t, c)
	k.Unregister("toy")
	f := toyFamily(echo, nil, nil)
	f.HeaderSize = 4
	k.Register(f)
	if _, err := toyGet.Do(timeout(t), c, number{1}); err == nil {
		t.Error("a request without the header was made")
	}
}

// modprobe puts a program of that name first into PATH, which notes its
// arguments, and exits with the status given.
func modprobe(t *testing.T, status int) (calls func() string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "calls")
	script := fmt.Sprintf("#!/bin/sh\necho \"$@\" >>%s\necho 'words of modprobe' >&2\nexit %d\n", log, status)
	must(t, os.WriteFile(filepath.Join(dir, "modprobe"), []byte(script), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() string {
		b, err := os.ReadFile(log)
		if err != nil && !os.IsNotExist(err) {
			t.Error(err)
		}
		return string(b)
	}
}

var toyOfModule = gnl.Command[number, number]{Family: "toy", ID: 1, Name: "get", Module: "toy_mod"}

func TestAModuleIsLoadedOnlyForAFamilyThatIsMissingAndOnlyIfAllowed(t *testing.T) {
	calls := modprobe(t, 0)
	k := gnltest.NewKernel(t)
	// What modprobe does shows when the kernel is asked for the family again.
	k.Intercept(func(r *gnltest.Request, handle func() error) error {
		if r.Family == "nlctrl" && calls() != "" {
			k.Intercept(nil)
			k.Register(toyFamily(echo, nil, nil))
		}
		return handle()
	})
	forbidden := k.Client()
	allowed := configured(t, k, func(c *gnl.Config) { c.LoadModules = true })

	_, err := toyOfModule.Do(timeout(t), forbidden, number{3})
	wantError(t, err, os.ErrNotExist)
	_, err = toyGet.Do(timeout(t), allowed, number{3}) // names no module
	wantError(t, err, os.ErrNotExist)
	if calls() != "" {
		t.Errorf("modprobe was run: %q", calls())
	}
	if n, err := toyOfModule.Do(timeout(t), allowed, number{3}); err != nil || n.N != 3 {
		t.Error(n, err)
	}
	works(t, allowed)
	if calls() != "-- toy_mod\n" {
		t.Errorf("modprobe was run as %q", calls())
	}
	// Now the family is there, for those who may not load it too.
	if n, err := toyOfModule.Do(timeout(t), forbidden, number{4}); err != nil || n.N != 4 {
		t.Error(n, err)
	}
	if calls() != "-- toy_mod\n" {
		t.Errorf("modprobe was run as %q", calls())
	}
}

func TestAModuleThatIsGoneIsLoadedAgain(t *testing.T) {
	calls := modprobe(t, 0)
	k := gnltest.NewKernel(t)
	c := configured(t, k, func(c *gnl.Config) { c.LoadModules = true })
	k.Register(toyFamily(echo, nil, nil))
	_, err := toyOfModule.Do(timeout(t), c, number{3})
	must(t, err)
	k.Unregister("toy")
	k.Intercept(func(r *gnltest.Request, handle func() error) error {
		if r.Family == "nlctrl" && calls() != "" {
			k.Intercept(nil)
			k.Register(toyFamily(echo, nil, nil))
		}
		return handle()
	})
	var b gnl.Batch
	var n number
	toyOfModule.AddTo(&b, &number{5}, &n)
	if err := b.Do(timeout(t), c); err != nil || n.N != 5 {
		t.Error(n, err)
	}
	if calls() != "-- toy_mod\n" {
		t.Errorf("modprobe was run as %q", calls())
	}
}

func TestAModuleThatCannotBeLoaded(t *testing.T) {
	calls := modprobe(t, 1)
	k := gnltest.NewKernel(t)
	c := configured(t, k, func(c *gnl.Config) { c.LoadModules = true })
	_, err := toyOfModule.Do(timeout(t), c, number{3})
	var e *gnl.Error
	if !errors.As(err, &e) || e.Family != "toy" || e.Error() != "gnl: toy: load module toy_mod: exit status 1: words of modprobe" {
		t.Error(err)
	}
	if calls() != "-- toy_mod\n" {
		t.Errorf("modprobe was run as %q", calls())
	}
	// It was run and changed nothing.
	modprobe(t, 0)
	_, err = toyOfModule.Do(timeout(t), c, number{3})
	wantError(t, err, os.ErrNotExist)
}

// The context does not wait for a program, nor for what that has started.
func TestTheContextEndsTheLoadingOfAModule(t *testing.T) {
	for name, script := range map[string]string{"modprobe": "exec sleep 5", "modprobe's child": "sleep 5; true"} {
		t.Run(name, func(t *testing.T) {
			k := gnltest.NewKernel(t)
			c := configured(t, k, func(c *gnl.Config) { c.LoadModules = true })
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, "modprobe"), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
			t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			ctx, cancel := contextOf(t, 20*time.Millisecond)
			defer cancel()
			start := time.Now()
			_, err := toyOfModule.Do(ctx, c, number{3})
			wantError(t, err, context.DeadlineExceeded)
			if d := time.Since(start); d > time.Second {
				t.Errorf("after %v", d)
			}
		})
	}
}

// What modprobe has started may hold its output open for longer.
func TestAModuleThatWasLoadedIsNotReportedAsFailed(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "modprobe"), []byte("#!/bin/sh\nsleep 1 &\nexit 0\n"), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	c := configured(t, gnltest.NewKernel(t), func(config *gnl.Config) { config.LoadModules = true })
	missing := gnl.Command[number, number]{Family: "missing", ID: 1, Module: "missing"}
	_, err := missing.Do(timeout(t), c, number{1})
	wantError(t, err, os.ErrNotExist)
	if want := "gnl: missing: the kernel has no such family: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// Entries that the caller has seen must not come a second time.
func TestADumpThatHasBegunIsNotRepeated(t *testing.T) {
	toy := toyFamily(echo, nil, func(r *gnltest.Request) error {
		numbers(r, 1, 2)
		r.Flush()
		r.Send(r.Done(netlink.Errno(syscall.ENOENT)))
		return gnltest.SkipEnd
	})
	k, c := fake(t, toy)
	works(t, c)
	var got []uint32
	for n, err := range toyGet.Dump(timeout(t), c, number{}) {
		if err != nil {
			wantError(t, err, syscall.ENOENT)
			break
		}
		if len(got) == 0 {
			k.Unregister("toy")
			k.Register(toy)
		}
		got = append(got, n.N)
	}
	if len(got) != 2 {
		t.Error(got)
	}
}
