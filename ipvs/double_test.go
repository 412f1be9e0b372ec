//go:build linux

package ipvs

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/gnltest"
	"github.com/gnlgo/gnl/netlink"
)

// What real kernels do not do on command, or not these ones, is played by a
// kernel in this process.

// double is such a kernel. What is set of it answers; all else is refused.
type double struct {
	kernel *gnltest.Kernel
	*Client
	do, dump map[uint8]func(*gnltest.Request) error
}

func newDouble(t testing.TB) *double {
	d := &double{kernel: gnltest.NewKernel(t), do: map[uint8]func(*gnltest.Request) error{}, dump: map[uint8]func(*gnltest.Request) error{}}
	f := gnltest.Family{Name: family, Version: familyVersion}
	for id := uint8(1); id <= flush.ID; id++ {
		handle := func(handlers map[uint8]func(*gnltest.Request) error) func(*gnltest.Request) error {
			return func(r *gnltest.Request) error {
				if f := handlers[id]; f != nil {
					return f(r)
				}
				return syscall.EOPNOTSUPP
			}
		}
		f.Commands = append(f.Commands, gnltest.Command{ID: id, Do: handle(d.do), Dump: handle(d.dump)})
	}
	d.kernel.Register(f)
	d.Client = New(d.kernel.Client())
	return d
}

// entry is an answer with attributes of the test's choosing, in a nest.
func entry(t testing.TB, number uint16, fill func(*attr.Encoder)) []byte {
	t.Helper()
	var e attr.Encoder
	nest := e.Begin(number)
	fill(&e)
	e.End(nest)
	b, err := e.Finish()
	must(t, err)
	return b
}

func TestAKernelWithout64BitCountersIsReadFromThe32BitOnes(t *testing.T) {
	d := newDouble(t)
	counters := func(e *attr.Encoder) {
		nest := e.Begin(10)
		e.Uint32(1, 1<<32-1)
		e.Uint32(2, 2)
		e.Uint32(3, 3)
		e.Uint64(4, 1<<40)
		e.Uint64(5, math.MaxUint64)
		for n := uint16(6); n <= 10; n++ {
			e.Uint32(n, uint32(n))
		}
		e.End(nest)
	}
	d.dump[4] = func(r *gnltest.Request) error {
		r.Reply(1, entry(t, 1, func(e *attr.Encoder) {
			e.Uint16(1, 2)
			e.Uint16(2, 6)
			e.Bytes(3, append([]byte{1, 1, 1, 1}, make([]byte, 12)...))
			e.BigEndianUint16(4, 80)
			counters(e)
		}))
		return nil
	}
	d.dump[8] = func(r *gnltest.Request) error {
		// As before Linux 3.18, without a family of its own.
		r.Reply(5, entry(t, 2, func(e *attr.Encoder) {
			e.Bytes(1, append([]byte{0x20, 1, 0xd, 0xb8}, make([]byte, 12)...))
			e.BigEndianUint16(2, 80)
			counters(e)
		}))
		return nil
	}
	stats := Counters{1<<32 - 1, 2, 3, 1 << 40, math.MaxUint64}
	rates := Counters{6, 7, 8, 9, 10}
	s := services(t, d.Client)[0]
	if s.ServiceID != one.ServiceID || s.Stats != stats || s.Rates != rates || s.Netmask != addr("0.0.0.0") {
		t.Errorf("%#v", s)
	}
	got := destinations(t, d.Client, v6.ServiceID)[0]
	if got.Address != at("[2001:db8::]:80") || got.Stats != stats || got.Rates != rates {
		t.Errorf("%#v", got)
	}
}

func TestCountersAreOf64BitsWhereTheKernelHasThem(t *testing.T) {
	d := newDouble(t)
	d.dump[8] = func(r *gnltest.Request) error {
		r.Reply(5, entry(t, 2, func(e *attr.Encoder) {
			e.Bytes(1, make([]byte, 16))
			for _, stats := range []uint16{10, 12, 99} {
				nest := e.Begin(stats)
				for n := uint16(1); n <= 10; n++ {
					e.Bytes(11, nil)
					e.Uint64(n, 1<<40+uint64(n))
				}
				e.End(nest)
			}
			e.Uint32(3, 77) // a method that nobody knows
			e.Uint16(11, 0)
		}))
		return nil
	}
	got := destinations(t, d.Client, one.ServiceID)[0]
	if got.Stats != (Counters{1<<40 + 1, 1<<40 + 2, 1<<40 + 3, 1<<40 + 4, 1<<40 + 5}) ||
		got.Rates != (Counters{1<<40 + 6, 1<<40 + 7, 1<<40 + 8, 1<<40 + 9, 1<<40 + 10}) || got.Method != 77 || got.Address != at("0.0.0.0:0") {
		t.Errorf("%#v", got)
	}
}

// What Linux does not refuse so, but may.
func TestEveryErrnoHasItsSentence(t *testing.T) {
	d := newDouble(t)
	var refuse error
	for id := uint8(1); id <= flush.ID; id++ {
		d.do[id] = func(*gnltest.Request) error { return refuse }
		d.dump[id] = func(*gnltest.Request) error { return gnltest.Refuse(refuse) }
	}
	ctx := t.Context()
	mixed := tunnelTo("[2001:db8::5]:80", 1)
	list := func() error { _, err := gnl.Collect(d.Services(ctx)); return err }
	for _, test := range []struct {
		do    func() error
		errno error
		text  string
		is    error
	}{
		{func() error { return d.AddService(ctx, v6) }, syscall.EAFNOSUPPORT,
			"add service tcp:[2001:db8::1]:80: the kernel's IPVS was built without IPv6: address family not supported by protocol", syscall.EAFNOSUPPORT},
		{func() error { return d.AddDestination(ctx, one.ServiceID, Destination{Address: at("10.0.0.5:80")}) }, syscall.ERANGE,
			"add destination 10.0.0.5:80 to tcp:1.1.1.1:80: the lower threshold is above the upper one, or the weight is too large: numerical result out of range", syscall.ERANGE},
		{func() error { return d.AddDestination(ctx, one.ServiceID, mixed) }, syscall.EINVAL,
			"add destination [2001:db8::5]:80 to tcp:1.1.1.1:80: an address of another family than the service's needs the method Tunnel, and that no sync daemon runs: invalid argument", syscall.EINVAL},
		{func() error { return d.Flush(ctx) }, syscall.EPERM, "flush: it needs CAP_NET_ADMIN in the initial user namespace: operation not permitted", fs.ErrPermission},
		{list, syscall.EPERM, "list services: it needs CAP_NET_ADMIN in the initial user namespace: operation not permitted", fs.ErrPermission},
		{list, syscall.ENOMEM, "list services: cannot allocate memory", syscall.ENOMEM},
		{func() error { _, err := d.Daemons(ctx); return err }, syscall.ENOMEM, "list daemons: cannot allocate memory", syscall.ENOMEM},
		{func() error { _, err := d.Config(ctx); return err }, syscall.ENOMEM, "get timeouts: cannot allocate memory", syscall.ENOMEM},
		{func() error { _, err := d.Info(ctx); return err }, syscall.ENOMEM, "get info: cannot allocate memory", syscall.ENOMEM},
		{func() error { return d.ZeroAll(ctx) }, syscall.ENOMEM, "zero all services: cannot allocate memory", syscall.ENOMEM},
		{func() error { return d.SetConfig(ctx, Config{TCP: time.Hour}) }, syscall.EINVAL,
			"set timeouts: a timeout is longer than this kernel counts (24 days, if it counts 1000 ticks a second): invalid argument", syscall.EINVAL},
		{func() error { return d.SetService(ctx, one) }, syscall.ENOMEM, "set service tcp:1.1.1.1:80: cannot allocate memory", syscall.ENOMEM},
		{func() error { return d.Flush(ctx) }, errors.New("not today"), "flush: not today: invalid argument", syscall.EINVAL},
		{func() error { return d.SetConfig(ctx, Config{UDP: time.Second}) }, &netlink.Error{Errno: syscall.ERANGE, Message: "too short", Offset: 20},
			"set timeouts: gnl: IPVS set-config: timeout-udp: too short: numerical result out of range", syscall.ERANGE},
	} {
		refuse = test.errno
		expect(t, test.do(), "ipvs: "+test.text, test.is)
	}
}

func TestAStopWithoutAnAnswerIsDone(t *testing.T) {
	d := newDouble(t)
	d.do[10] = func(*gnltest.Request) error { return gnltest.SkipEnd } // EINTR, to netlink_rcv_skb
	d.do[15] = gnltest.DoFunc(14, func(struct{}) (infoReply, error) { return infoReply{1, 2}, nil })
	must(t, d.StopDaemon(t.Context(), Backup))
	expect(t, d.StopDaemon(t.Context(), 3), "ipvs: stop 3 daemon: role: 3 is neither Master nor Backup", syscall.EINVAL)
}

func TestAFailureInTheMiddleOfAListEndsIt(t *testing.T) {
	d := newDouble(t)
	reply := func(r *gnltest.Request) {
		r.Reply(1, entry(t, 1, func(e *attr.Encoder) { e.Uint16(1, 2); e.Bytes(3, make([]byte, 16)); e.String(6, "mine") }))
	}
	var end func(*gnltest.Request) error
	d.dump[4] = func(r *gnltest.Request) error { reply(r); return end(r) }
	for name, test := range map[string]struct {
		end func(*gnltest.Request) error
		is  error
	}{
		"errno":       {func(*gnltest.Request) error { return syscall.ENOMEM }, syscall.ENOMEM},
		"interrupted": {func(r *gnltest.Request) error { r.Interrupt(); return nil }, gnl.ErrInterrupted},
		"overrun": {func(r *gnltest.Request) error {
			r.Send(netlink.Message{Header: netlink.Header{Type: netlink.TypeOverrun, Sequence: r.Sequence, PortID: r.Socket()}})
			return nil
		}, gnl.ErrOverrun},
		"malformed": {func(r *gnltest.Request) error { r.Reply(1, []byte{200, 0, 1, 0}); return nil }, attr.ErrMalformed},
		"short": {func(r *gnltest.Request) error {
			r.Reply(1, entry(t, 1, func(e *attr.Encoder) { e.Uint8(1, 2) }))
			return nil
		}, attr.ErrLength},
	} {
		end = test.end
		all, err := gnl.Collect(d.Services(t.Context()))
		if len(all) != 1 || all[0].Scheduler != "mine" || !errors.Is(err, test.is) || !strings.HasPrefix(err.Error(), "ipvs: list services: ") {
			t.Errorf("%s: %v, %v", name, all, err)
		}
	}
	// Counters that are too short are found when a destination is looked at.
	d.dump[8] = func(r *gnltest.Request) error {
		r.Reply(5, entry(t, 2, func(e *attr.Encoder) { e.Bytes(10, []byte{5, 0, 1, 0, 9}) }))
		return nil
	}
	_, err := gnl.Collect(d.Destinations(t.Context(), one.ServiceID))
	mustBe(t, err, attr.ErrLength)
}

func TestAListCanBeLeft(t *testing.T) {
	d := newDouble(t)
	d.dump[4] = func(r *gnltest.Request) error {
		for range 1000 {
			r.Reply(1, entry(t, 1, func(e *attr.Encoder) { e.Uint16(1, 2); e.Bytes(3, make([]byte, 16)) }))
		}
		return nil
	}
	d.dump[8] = func(r *gnltest.Request) error {
		for range 1000 {
			r.Reply(5, entry(t, 2, func(e *attr.Encoder) { e.Bytes(1, make([]byte, 16)) }))
		}
		return nil
	}
	for range 3 {
		for s, err := range d.Services(t.Context()) {
			must(t, err)
			for _, err := range d.Destinations(t.Context(), with(s.ServiceID, func(id *ServiceID) { id.Protocol = TCP })) {
				must(t, err)
				break
			}
			break
		}
	}
}

func TestCancelledCallsSaySo(t *testing.T) {
	d := newDouble(t)
	d.do[1] = func(r *gnltest.Request) error { <-r.Context().Done(); return gnltest.SkipEnd }
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	expect(t, d.AddService(ctx, one), "ipvs: add service tcp:1.1.1.1:80: context deadline exceeded", context.DeadlineExceeded)
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	b := d.Batch()
	b.AddService(one)
	mustBe(t, b.Do(ctx), context.DeadlineExceeded)
	mustBe(t, b.Err(0), context.DeadlineExceeded)
	mustBe(t, b.Err(0), gnl.ErrUnknownOutcome)
}

func TestLostAnswersOfABatchAreSaidToBeLost(t *testing.T) {
	d := newDouble(t)
	d.do[5] = func(r *gnltest.Request) error {
		r.Send(netlink.Message{Header: netlink.Header{Type: netlink.TypeOverrun, Sequence: r.Sequence, PortID: r.Socket()}})
		return gnltest.SkipEnd
	}
	b := d.Batch()
	b.AddDestination(one.ServiceID, tunnelTo("2.2.2.1:80", 1))
	mustBe(t, b.Do(t.Context()), gnl.ErrUnknownOutcome)
	mustBe(t, b.Err(0), gnl.ErrUnknownOutcome)
}

func TestAnAbsentFamilyIsUnsupported(t *testing.T) {
	k := gnltest.NewKernel(t)
	mustBeAbsent(t, New(k.Client()))

	t.Setenv("PATH", t.TempDir())
	config := k.Config()
	config.LoadModules = true
	err := New(open(t, config)).Flush(t.Context())
	expect(t, err, `ipvs: flush: the kernel has no IPVS (load module ip_vs: exec: "modprobe": executable file not found in $PATH: ): unsupported operation`, errors.ErrUnsupported)
	if errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is taken for a service that is gone", err)
	}
}

// Of what a destination may have, an update leaves what it is not given.
func TestAnUpdateReadsBeforeItWrites(t *testing.T) {
	d := newDouble(t)
	d.dump[8] = func(r *gnltest.Request) error {
		for _, weight := range []uint32{7, 9} {
			r.Reply(5, entry(t, 2, func(e *attr.Encoder) {
				e.Bytes(1, append([]byte{2, 2, 2, byte(weight)}, make([]byte, 12)...))
				e.BigEndianUint16(2, 80)
				e.Uint32(3, 2)
				e.Uint32(4, weight)
				e.Uint32(5, 20)
				e.Uint8(13, 1)
				e.BigEndianUint16(14, 6080)
			}))
		}
		return nil
	}
	var asked map[string]any
	d.do[6] = func(r *gnltest.Request) error { asked = tree(t, r.Attributes, 1, 2); return nil }
	must(t, d.UpdateDestination(t.Context(), one.ServiceID, at("2.2.2.9:80"), DestinationUpdate{LowerThreshold: gnl.Some(uint32(5))}))
	got := asked["2"].(map[string]any)
	if got["13"] != "01" || got["14"] != "17c0" || got["1"].(string)[:8] != "02020209" {
		t.Errorf("asked %v", got)
	}
	keys := []string{}
	for k := range got {
		keys = append(keys, k)
	}
	if len(keys) != 9 || slices.Contains(keys, "15") {
		t.Errorf("asked %v", got)
	}
}
