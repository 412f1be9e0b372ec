//go:build linux

package taskstats

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/gnltest"
	"github.com/gnlgo/gnl/internal/testenv"
	"github.com/gnlgo/gnl/internal/unix"
	"github.com/gnlgo/gnl/netlink"
)

// What real kernels of other versions, or in other circumstances, answer is
// played by a kernel in this process.

// fake is such a kernel. Its requests are answered by what the test sets.
type fake struct {
	kernel *gnltest.Kernel
	*Client
	task, group  func(*gnltest.Request, uint32) error
	registration func(r *gnltest.Request, cpus string, on bool) error
	cgroup       func(*gnltest.Request) error
}

func newFake(t testing.TB) *fake {
	f := &fake{kernel: gnltest.NewKernel(t)}
	f.kernel.Register(gnltest.Family{
		Name: family, Version: familyVersion,
		Commands: []gnltest.Command{{ID: 1, Do: f.get}, {ID: 4, Do: func(r *gnltest.Request) error { return f.cgroup(r) }}},
	})
	f.Client = New(f.kernel.Client())
	f.registration = func(*gnltest.Request, string, bool) error { return nil }
	return f
}

func (f *fake) get(r *gnltest.Request) error {
	var request struct {
		PID        *uint32 `nl:"1"`
		TGID       *uint32 `nl:"2"`
		Register   *string `nl:"3"`
		Deregister *string `nl:"4"`
	}
	if err := r.Unmarshal(&request); err != nil {
		return err
	}
	switch {
	case request.Register != nil:
		return f.registration(r, *request.Register, true)
	case request.Deregister != nil:
		return f.registration(r, *request.Deregister, false)
	case request.PID != nil:
		return f.task(r, *request.PID)
	case request.TGID != nil:
		return f.group(r, *request.TGID)
	}
	return unix.EINVAL
}

// listen registers a Listener and returns the port that its exits go to.
func (f *fake) listen(t *testing.T) (*Listener, uint32) {
	t.Helper()
	port := make(chan uint32, 1)
	f.registration = func(r *gnltest.Request, _ string, on bool) error {
		if on {
			port <- r.Socket()
		}
		return nil
	}
	l, err := f.Listen(t.Context(), &ListenConfig{CPUs: "0-1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, <-port
}

// appendRecord encodes a nest as the kernel does: id and struct. A nil struct is left out.
func appendRecord(e *attr.Encoder, typ, idType uint16, id uint32, stats []byte) {
	nest := e.Begin(typ)
	e.Uint32(idType, id)
	if stats != nil {
		e.Bytes(3, stats)
	}
	e.End(nest)
}

func encodeRecord(typ, idType uint16, id uint32, stats []byte) []byte {
	var e attr.Encoder
	appendRecord(&e, typ, idType, id, stats)
	return finish(&e)
}

func finish(e *attr.Encoder) []byte {
	b, err := e.Finish()
	if err != nil {
		panic(err)
	}
	return b
}

func TestAllVersionsOverTheWire(t *testing.T) {
	f := newFake(t)
	rng := rand.New(rand.NewPCG(1, 2))
	var s, g Stats
	for round := range 20 {
		for version := 1; version <= newest+1; version++ {
			b := generate(rng, min(version, newest))
			if version > newest {
				put16(b, uint16(version))
				b = append(b, "what is to come"...)
			}
			var want Stats
			if err := want.UnmarshalBinary(b); err != nil {
				t.Fatal(err)
			}
			f.task = func(r *gnltest.Request, pid uint32) error {
				r.Reply(cmdNew, encodeRecord(4, 1, pid, b))
				return gnltest.SkipEnd
			}
			f.group = func(r *gnltest.Request, tgid uint32) error {
				r.Reply(cmdNew, encodeRecord(5, 2, tgid, b))
				return gnltest.SkipEnd
			}
			pid := 1 + rng.IntN(1<<30)
			want.Group = false
			if err := f.PIDInto(t.Context(), pid, &s); err != nil || !reflect.DeepEqual(s, want) {
				t.Fatalf("version %d: %v, got\n%+v, want\n%+v", version, err, s, want)
			}
			want.Group, want.TGID = true, pid
			if err := f.TGIDInto(t.Context(), pid, &g); err != nil || !reflect.DeepEqual(g, want) {
				t.Fatalf("group of version %d: %v, got\n%+v, want\n%+v", version, err, g, want)
			}
			if round > 0 {
				continue
			}
			results := []Result{{PID: pid}, {PID: pid, Group: true}}
			if err := f.ManyInto(t.Context(), results); err != nil || !reflect.DeepEqual(results[0].Stats, s) || !reflect.DeepEqual(results[1].Stats, g) {
				t.Fatalf("both of version %d: %v, got\n%+v", version, err, results)
			}
		}
	}
}

func put16(b []byte, v uint16) { binary.NativeEndian.PutUint16(b, v) }

// Kernels before April 2026 leave the version out of a group's last record.
func TestExitsOfAllVersions(t *testing.T) {
	f := newFake(t)
	l, port := f.listen(t)
	rng := rand.New(rand.NewPCG(3, 4))
	for version := 1; version <= newest; version++ {
		for _, withVersion := range []bool{true, false} {
			task, group := generate(rng, version), generate(rng, version)
			var want Exit
			if err := errors.Join(want.Task.UnmarshalBinary(task), want.Group.UnmarshalBinary(group)); err != nil {
				t.Fatal(err)
			}
			want.Task.Group = false
			want.Group.Group, want.Group.TGID, want.HasGroup = true, 4711, true
			if !withVersion {
				put16(group, 0)
			}
			var e attr.Encoder
			appendRecord(&e, 4, 1, 4712, task)
			appendRecord(&e, 5, 2, 4711, group)
			f.kernel.Unicast(port, f.kernel.Event(family, cmdNew, finish(&e)))
			if got := next(t, l); got == nil || !reflect.DeepEqual(*got, want) {
				t.Errorf("version %d, group with version %t: got\n%+v, want\n%+v", version, withVersion, got, want)
			}
			// One without a group, into the same memory.
			f.kernel.Unicast(port, f.kernel.Event(family, cmdNew, encodeRecord(4, 1, 4712, task)))
			want.Group, want.HasGroup = Stats{}, false
			if got := next(t, l); got == nil || !reflect.DeepEqual(*got, want) {
				t.Errorf("version %d: got\n%+v, want\n%+v", version, got, want)
			}
		}
	}
}

// next returns the next exit, nil for an error.
func next(t *testing.T, l *Listener) *Exit {
	t.Helper()
	e, err := nextOrError(t, l)
	if err != nil {
		t.Error(err)
	}
	return e
}

func nextOrError(t *testing.T, l *Listener) (*Exit, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for e, err := range l.Exits(ctx) {
		return e, err
	}
	return nil, nil
}

func TestBrokenExits(t *testing.T) {
	f := newFake(t)
	l, port := f.listen(t)
	good := generate(rand.New(rand.NewPCG(5, 6)), 16)
	var groupOnly, shortGroup attr.Encoder
	appendRecord(&groupOnly, 5, 2, 1, good)
	appendRecord(&shortGroup, 4, 1, 1, good)
	appendRecord(&shortGroup, 5, 2, 1, good[:10])
	for name, body := range map[string][]byte{
		"nothing":         nil,
		"only a group":    finish(&groupOnly),
		"no struct":       encodeRecord(4, 1, 1, nil),
		"empty struct":    encodeRecord(4, 1, 1, []byte{}),
		"short struct":    encodeRecord(4, 1, 1, good[:70]),
		"short group":     finish(&shortGroup),
		"garbage":         {3, 0, 4, 0, 1, 2, 3, 4},
		"length too long": {200, 0, 4, 0, 1, 2, 3, 4},
	} {
		f.kernel.Unicast(port, f.kernel.Event(family, cmdNew, body))
		// Others than exits are passed over.
		f.kernel.Unicast(port, f.kernel.Event(family, 77, body))
		f.kernel.Unicast(port, f.kernel.Event("nlctrl", cmdNew, body))
		f.kernel.Unicast(port, f.kernel.Event(family, cmdNew, encodeRecord(4, 1, 1, good)))

		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		n := 0
		for e, err := range l.Exits(ctx) {
			if n++; n == 1 {
				if !errors.Is(err, netlink.ErrMalformed) {
					t.Errorf("%s: %+v, %v", name, e, err)
				}
				continue
			}
			if err != nil || e.Task.Version != 16 || e.HasGroup {
				t.Errorf("after %s: %+v, %v", name, e, err)
			}
			break
		}
		cancel()
	}
}

func TestBrokenReplies(t *testing.T) {
	f := newFake(t)
	for name, body := range map[string][]byte{
		"nothing":      nil,
		"another nest": encodeRecord(5, 1, 1, make([]byte, 560)),
		"no struct":    encodeRecord(4, 1, 1, nil),
		"short struct": encodeRecord(4, 1, 1, make([]byte, 1)),
		"garbage":      {3, 0, 4, 0, 1, 2, 3, 4},
	} {
		f.task = func(r *gnltest.Request, _ uint32) error {
			r.Reply(cmdNew, body)
			return gnltest.SkipEnd
		}
		s := Stats{Comm: "untouched"}
		err := f.PIDInto(t.Context(), 1, &s)
		var e *Error
		if !errors.As(err, &e) || e.What != "pid 1" || s.Comm != "untouched" {
			t.Errorf("%s: %v, %+v", name, err, s)
		}
		results, err := f.Many(t.Context(), []int{1, 1})
		if err == nil || results[0].Err == nil || results[1].Err == nil {
			t.Errorf("%s: %v, %+v", name, err, results)
		}
	}
	f.group = func(r *gnltest.Request, _ uint32) error {
		r.Reply(cmdNew, encodeRecord(4, 1, 1, make([]byte, 560)))
		return gnltest.SkipEnd
	}
	if err := expect(f.TGIDInto(t.Context(), 5, new(Stats)), errNoStats, "taskstats: tgid 5: the reply has no statistics"); err != nil {
		t.Error(err)
	}
}

func TestSilence(t *testing.T) {
	f := newFake(t)
	f.task = func(r *gnltest.Request, pid uint32) error {
		if pid == 1 {
			return gnltest.SkipEnd
		}
		b := make([]byte, 560)
		put16(b, 16)
		r.Reply(cmdNew, encodeRecord(4, 1, pid, b))
		return gnltest.SkipEnd
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := f.PID(ctx, 1)
	if err := expect(err, context.DeadlineExceeded, "taskstats: pid 1: context deadline exceeded"); err != nil {
		t.Error(err)
	}
	if _, err := f.PID(t.Context(), 2); err != nil {
		t.Error(err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	results, err := f.Many(ctx, []int{2, 1})
	if results[0].Err != nil || !errors.Is(results[1].Err, context.DeadlineExceeded) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v: %+v", err, results)
	}
	// An answer to a later one means that there will be none.
	results, err = f.Many(t.Context(), []int{2, 1, 2})
	if results[0].Err != nil || !errors.Is(results[1].Err, gnl.ErrUnknownOutcome) || results[2].Err != nil || !errors.Is(err, gnl.ErrUnknownOutcome) {
		t.Errorf("%v: %+v", err, results)
	}
}

func TestNoFamily(t *testing.T) {
	c := New(gnltest.NewKernel(t).Client())
	ctx := t.Context()
	_, err := c.PID(ctx, 1)
	results, manyErr := c.Many(ctx, []int{1})
	_, cgroupErr := c.Cgroup(ctx, "/")
	_, listenErr := c.Listen(ctx, &ListenConfig{CPUs: "0"})
	const tail = ": the kernel has no TASKSTATS family: it was built without CONFIG_TASKSTATS, or is an old one that has it in the initial network namespace only: unsupported operation"
	for what, err := range map[string]error{
		"pid 1": err, "pid 1 ": results[0].Err, "pid 1  ": manyErr, "cgroup /": cgroupErr, "listen to CPUs 0": listenErr,
	} {
		for what[len(what)-1] == ' ' {
			what = what[:len(what)-1]
		}
		if err := expect(err, errors.ErrUnsupported, "taskstats: "+what+tail); err != nil {
			t.Error(err)
		}
		if errors.Is(err, fs.ErrNotExist) {
			t.Errorf("taken for a task that has ended: %v", err)
		}
	}
}

func TestCgroupErrors(t *testing.T) {
	f := newFake(t)
	for _, x := range []struct {
		errno netlink.Errno
		text  string
	}{
		{unix.ENOENT, ": the cgroup has been removed: no such file or directory"},
		{unix.EINVAL, ": this is not the directory of a cgroup (of version 1): invalid argument"},
		{unix.EPERM, ": " + whyNotPermitted() + ": operation not permitted"},
		{unix.EBUSY, ": device or resource busy"},
	} {
		f.cgroup = func(*gnltest.Request) error { return x.errno }
		_, err := f.Cgroup(t.Context(), "/")
		if err := expect(err, x.errno, "taskstats: cgroup /"+x.text); err != nil {
			t.Error(err)
		}
	}
	f.cgroup = func(r *gnltest.Request) error {
		var e attr.Encoder
		e.Bytes(1, make([]byte, 48)) // a later kernel's, with a field more
		r.Reply(5, finish(&e))
		return nil
	}
	if s, err := f.Cgroup(t.Context(), "/"); err != nil || s != (CgroupStats{}) {
		t.Error(s, err)
	}
	f.cgroup = func(r *gnltest.Request) error {
		r.Reply(5, nil)
		return nil
	}
	if s, err := f.Cgroup(t.Context(), "/"); err == nil {
		t.Error("a reply without counts: ", s)
	}
}

func TestRegistrationErrors(t *testing.T) {
	f := newFake(t)
	possible, err := possibleCPUs()
	if err != nil {
		t.Fatal(err)
	}
	has := ": this machine can have the CPUs " + formatCPUs(possible)
	for _, x := range []struct {
		errno netlink.Errno
		text  string
	}{
		{unix.EINVAL, has + ": invalid argument"},
		{unix.ERANGE, has + ": numerical result out of range"},
		{unix.EBUSY, ": device or resource busy"},
	} {
		f.registration = func(*gnltest.Request, string, bool) error { return x.errno }
		_, err := f.Listen(t.Context(), &ListenConfig{CPUs: "0,2-3"})
		if err := expect(err, x.errno, "taskstats: listen to CPUs 0,2-3"+x.text); err != nil {
			t.Error(err)
		}
	}
	// What was registered before the failure is taken back.
	registered := make(chan string, 10)
	f.registration = func(_ *gnltest.Request, cpus string, on bool) error {
		registered <- fmt.Sprint(cpus, " ", on)
		if cpus == "4-5" {
			return unix.EINVAL
		}
		return nil
	}
	if _, err := f.Listen(t.Context(), &ListenConfig{CPUs: "0-5", Sockets: 3}); !errors.Is(err, syscall.EINVAL) {
		t.Error(err)
	}
	close(registered)
	var got []string
	for s := range registered {
		got = append(got, s)
	}
	if want := []string{"0-1 true", "2-3 true", "4-5 true", "0-1 false", "2-3 false"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestFakeOverrun(t *testing.T) {
	if err := gnltest.GroupsPermitted(); err != nil {
		testenv.Missing(t, "%v", err)
	}
	f := newFake(t)
	l, port := f.listen(t)
	if err := f.kernel.Overrun(port); err != nil {
		t.Fatal(err)
	}
	_, err := nextOrError(t, l)
	if err := expect(err, gnl.ErrOverrun, "taskstats: exits: "+gnl.ErrOverrun.Error()); err != nil {
		t.Error(err)
	}
	// The socket loses all that is sent until what is queued has been taken.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	for e, err := range l.Exits(ctx) {
		if ctx.Err() == nil {
			t.Errorf("%+v, %v", e, err)
		}
	}
	good := generate(rand.New(rand.NewPCG(7, 8)), 16)
	f.kernel.Unicast(port, f.kernel.Event(family, cmdNew, encodeRecord(4, 1, 1, good)))
	if e := next(t, l); e == nil || e.Task.Version != 16 {
		t.Errorf("after it: %+v", e)
	}
}

// What is lost while the Listener closes is reported too.
func TestOverrunWhileClosing(t *testing.T) {
	if err := gnltest.GroupsPermitted(); err != nil {
		testenv.Missing(t, "%v", err)
	}
	f := newFake(t)
	l, _ := f.listen(t)
	f.registration = func(r *gnltest.Request, _ string, _ bool) error { return r.Overrun() }
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	var got []error
	for _, err := range l.Exits(t.Context()) {
		got = append(got, err)
	}
	if len(got) != 2 || !errors.Is(got[0], gnl.ErrOverrun) || !errors.Is(got[1], net.ErrClosed) {
		t.Errorf("%v", got)
	}
}

// A kernel that does not answer keeps Close for a second at most.
func TestCloseInSilence(t *testing.T) {
	f := newFake(t)
	l, _ := f.listen(t)
	f.registration = func(*gnltest.Request, string, bool) error { return gnltest.SkipEnd }
	start := time.Now()
	if err := l.Close(); err != nil || time.Since(start) > 5*time.Second {
		t.Error(err, time.Since(start))
	}
}
