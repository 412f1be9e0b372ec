//go:build linux

package gnl_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/gnltest"
	"github.com/gnlgo/gnl/netlink"
)

// How many replies a command has, and what they say besides.

func numbers(r *gnltest.Request, n ...uint32) {
	for _, n := range n {
		r.Reply(1, number{n})
	}
}

func TestSeveralRepliesAreForAll(t *testing.T) {
	_, c := fake(t, toyFamily(func(r *gnltest.Request) error { numbers(r, 1, 2, 3); return nil }, nil, nil))
	for range 2 {
		_, err := toyGet.Do(timeout(t), c, number{})
		wantError(t, err, gnl.ErrMoreReplies)
		all, err := gnl.Collect(toyGet.All(timeout(t), c, number{}))
		if err != nil || len(all) != 3 || all[0].N != 1 || all[2].N != 3 {
			t.Errorf("%v, %v", all, err)
		}
	}
}

func TestAllEndsWithTheRefusal(t *testing.T) {
	_, c := fake(t, toyFamily(func(r *gnltest.Request) error { numbers(r, 1, 2); return syscall.EIO }, nil, nil))
	all, err := gnl.Collect(toyGet.All(timeout(t), c, number{}))
	wantError(t, err, syscall.EIO)
	if len(all) != 2 {
		t.Error(all)
	}
}

func TestAnAckWithoutTheReplyIsAnError(t *testing.T) {
	_, c := fake(t, toyFamily(inTurn(func(*gnltest.Request) error { return nil }, echo), nil, nil))
	_, err := toyGet.Do(timeout(t), c, number{})
	wantError(t, err, gnl.ErrNoReply)
	var e *gnl.Error
	if !errors.As(err, &e) || e.Family != "toy" || e.Command != "get" {
		t.Errorf("%#v", err)
	}
	works(t, c)
}

func TestACommandThatAsksForNothingTakesAnyReply(t *testing.T) {
	_, c := fake(t, toyFamily(nil, inTurn(
		func(*gnltest.Request) error { return nil },
		func(r *gnltest.Request) error { numbers(r, 1, 2); return nil },
	), nil))
	for range 2 {
		if _, err := toySet.Do(timeout(t), c, number{}); err != nil {
			t.Error(err)
		}
	}
}

// A request that asks for no ack ends with its reply, or its error.
func TestASingleCommandAsksForNoAck(t *testing.T) {
	var flags netlink.Flags
	_, c := fake(t, toyFamily(inTurn(func(r *gnltest.Request) error { flags = r.Flags; numbers(r, 1); return nil },
		func(*gnltest.Request) error { return syscall.ESRCH }, echo), nil, nil))
	if n, err := toySingle.Do(timeout(t), c, number{}); err != nil || n.N != 1 {
		t.Error(n, err)
	}
	if flags != netlink.FlagRequest {
		t.Error(flags)
	}
	_, err := toySingle.Do(timeout(t), c, number{})
	wantError(t, err, syscall.ESRCH)
	works(t, c)
}

// Whatever answer cannot be used, the client goes on.
func TestRepliesThatCannotBeDecoded(t *testing.T) {
	for name, answer := range map[string]func(*gnltest.Request) netlink.Message{
		"an attribute of another size": func(r *gnltest.Request) netlink.Message { return r.Answer(1, []byte{5, 0, 1, 0, 7, 0, 0, 0}) },
		"an impossible length":         func(r *gnltest.Request) netlink.Message { return r.Answer(1, []byte{99, 0, 1, 0, 7, 0, 0, 0}) },
		"no command":                   func(r *gnltest.Request) netlink.Message { m := r.Answer(1, nil); m.Data = m.Data[:3]; return m },
		"no header of the family's":    func(r *gnltest.Request) netlink.Message { m := r.Answer(1, nil); m.Data = nil; return m },
	} {
		t.Run(name, func(t *testing.T) {
			broken := func(r *gnltest.Request) error { r.Send(answer(r)); return nil }
			_, c := fake(t, toyFamily(inTurn(broken, broken, echo), nil, nil))
			var e *gnl.Error
			if n, err := toyGet.Do(timeout(t), c, number{}); !errors.As(err, &e) || e.Family != "toy" || e.Command != "get" {
				t.Errorf("%v, %v", n, err)
			}
			if all, err := gnl.Collect(toyGet.All(timeout(t), c, number{})); !errors.As(err, &e) || len(all) != 0 {
				t.Errorf("%v, %v", all, err)
			}
			works(t, c)
		})
	}
}

// A family's own header stands between the command and the attributes.
func TestAFamilysOwnHeaderIsSentAndReceived(t *testing.T) {
	type header struct {
		Bus, Device uint16
		_           [2]byte
	}
	type message struct {
		Header header `nl:"header"`
		Name   string `nl:"1"`
	}
	f := toyFamily(gnltest.DoFunc(1, func(m message) (message, error) {
		m.Header.Bus++
		m.Name += "!"
		return m, nil
	}), nil, gnltest.DumpFunc(1, func(m message) ([]message, error) {
		return []message{{Header: header{Bus: m.Header.Bus, Device: 1}}, {Header: header{Bus: m.Header.Bus, Device: 2}}}, nil
	}))
	f.HeaderSize = 6 // padded to 8
	k, c := fake(t, f)
	command := gnl.Command[message, message]{Family: "toy", ID: 1}
	m, err := command.Do(timeout(t), c, message{Header: header{Bus: 1, Device: 2}, Name: "x"})
	if err != nil || m.Header.Bus != 2 || m.Header.Device != 2 || m.Name != "x!" {
		t.Errorf("%+v, %v", m, err)
	}
	all, err := gnl.Collect(command.Dump(timeout(t), c, message{Header: header{Bus: 5}}))
	if err != nil || len(all) != 2 || all[1].Header.Bus != 5 || all[1].Header.Device != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	var b gnl.Batch
	command.AddTo(&b, &message{Header: header{Bus: 8}, Name: "y"}, &m)
	if err := b.Do(timeout(t), c); err != nil || m.Header.Bus != 9 || m.Name != "y!" {
		t.Errorf("%+v, %v", m, err)
	}
	raw, err := c.Do(timeout(t), gnl.Request{Family: "toy", Command: 1, UserHeader: []byte{0, 0, 0, 0, 0, 0}})
	if err != nil || len(raw) != 1 || len(raw[0].UserHeader) != 8 {
		t.Errorf("%+v, %v", raw, err)
	}
	// Requests without it, and requests with one for a family that has none.
	for _, err := range []error{
		second(toyGet.Do(timeout(t), c, number{})),
		second(c.Do(timeout(t), gnl.Request{Family: "toy", Command: 1})),
		second(c.Do(timeout(t), gnl.Request{Family: "nlctrl", Command: 3, UserHeader: make([]byte, 8)})),
	} {
		if err == nil || !strings.Contains(err.Error(), "bytes for the family's own header, which has") {
			t.Error(err)
		}
	}
	_ = k
}

func second[T any](_ T, err error) error { return err }

func TestWarningsReachTheConfigsFunction(t *testing.T) {
	var warnings []error
	deprecated := func(r *gnltest.Request) error {
		if r.IsDump() || r.Command == 1 {
			numbers(r, 7)
		}
		return &netlink.Error{Message: "this is deprecated"}
	}
	k := gnltest.NewKernel(t)
	k.Register(toyFamily(deprecated, deprecated, deprecated))
	c := configured(t, k, func(config *gnl.Config) { config.Warn = func(err error) { warnings = append(warnings, err) } })
	ctx := timeout(t)
	if n, err := toyGet.Do(ctx, c, number{}); err != nil || n.N != 7 {
		t.Error(n, err)
	}
	if _, err := toySet.Do(ctx, c, number{}); err != nil {
		t.Error(err)
	}
	if all, err := gnl.Collect(toyGet.Dump(ctx, c, number{})); err != nil || len(all) != 1 {
		t.Error(all, err)
	}
	var b gnl.Batch
	toySet.AddTo(&b, &number{}, nil)
	must(t, b.Do(ctx, c))
	for i, err := range warnings {
		var e *gnl.Error
		var kernel *netlink.Error
		if !errors.As(err, &e) || e.Family != "toy" || !errors.As(err, &kernel) || kernel.Errno != 0 || kernel.Message != "this is deprecated" {
			t.Errorf("warning %d: %#v", i, err)
		}
	}
	if len(warnings) != 4 {
		t.Errorf("%d warnings: %v", len(warnings), warnings)
	}
}

// nlctrl's own: bytes that nobody asked for, behind the attributes.
func TestAWarningOfTheController(t *testing.T) {
	var warning error
	k := gnltest.NewKernel(t)
	c := configured(t, k, func(config *gnl.Config) { config.Warn = func(err error) { warning = err } })
	_, err := c.Do(timeout(t), gnl.Request{Family: "nlctrl", Command: 3, Attributes: []byte{6, 0, 1, 0, 16, 0, 0, 0, 1}})
	must(t, err)
	if warning == nil || warning.Error() != "gnl: nlctrl command 3: bytes leftover after parsing attributes" {
		t.Error(warning)
	}
}

func TestAnInterruptedDumpIsAnErrorBehindAllEntries(t *testing.T) {
	_, c := fake(t, toyFamily(echo, nil, func(r *gnltest.Request) error {
		numbers(r, 1)
		r.Interrupt()
		numbers(r, 2, 3)
		return nil
	}))
	all, err := gnl.Collect(toyGet.Dump(timeout(t), c, number{}))
	wantError(t, err, gnl.ErrInterrupted)
	if len(all) != 3 {
		t.Error(all)
	}
	raw := 0
	for m, err := range c.Dump(timeout(t), gnl.Request{Family: "toy", Command: 1}) {
		if err == nil {
			raw++
		} else if m != nil || raw != 3 || !errors.Is(err, gnl.ErrInterrupted) {
			t.Error(m, raw, err)
		}
	}
	works(t, c)
}

func TestCollectConsistentAsksAgainUntilADumpIsNotInterrupted(t *testing.T) {
	asked, interruptions := 0, 0
	_, c := fake(t, toyFamily(echo, nil, func(r *gnltest.Request) error {
		asked++
		numbers(r, uint32(asked))
		if asked <= interruptions {
			r.Interrupt()
		}
		return nil
	}))
	dump := func() iter.Seq2[number, error] { return toyGet.Dump(timeout(t), c, number{}) }
	for _, q := range []struct {
		attempts, interruptions, asked int
		err                            error
	}{
		{3, 0, 1, nil}, {3, 1, 2, nil}, {3, 2, 3, nil}, {3, 3, 3, gnl.ErrInterrupted}, {1, 1, 1, gnl.ErrInterrupted}, {0, 1, 1, gnl.ErrInterrupted},
	} {
		asked, interruptions = 0, q.interruptions
		all, err := gnl.CollectConsistent(q.attempts, dump)
		wantError(t, err, q.err)
		if asked != q.asked || len(all) != 1 || all[0].N != uint32(asked) {
			t.Errorf("%+v: asked %d times, %v, %v", q, asked, all, err)
		}
	}
}

func TestCollectConsistentDoesNotRepeatOtherErrors(t *testing.T) {
	asked := 0
	_, c := fake(t, toyFamily(echo, nil, func(r *gnltest.Request) error { asked++; numbers(r, 1); return syscall.EIO }))
	all, err := gnl.CollectConsistent(5, func() iter.Seq2[number, error] { return toyGet.Dump(timeout(t), c, number{}) })
	wantError(t, err, syscall.EIO)
	if asked != 1 || len(all) != 1 {
		t.Errorf("asked %d times, %v", asked, all)
	}
}

// A loop may be left, and its end is not awaited.
func TestADumpThatIsLeftEarly(t *testing.T) {
	_, c := fake(t, toyFamily(echo, nil, func(r *gnltest.Request) error {
		for i := range uint32(10_000) {
			numbers(r, i)
		}
		<-r.Context().Done() // never ends by itself
		return nil
	}))
	for range 3 {
		for n, err := range toyGet.Dump(timeout(t), c, number{}) {
			must(t, err)
			if n.N == 5 {
				break
			}
		}
		works(t, c)
	}
}

// Requests within the loop take other sockets.
func TestRequestsWithinADumpsLoop(t *testing.T) {
	_, c := fake(t, toyFamily(echo, nil, func(r *gnltest.Request) error {
		for i := range uint32(1000) {
			numbers(r, i)
		}
		return nil
	}))
	want := uint32(0)
	for n, err := range toyGet.Dump(timeout(t), c, number{}) {
		must(t, err)
		if n.N != want {
			t.Fatalf("entry %d is %d", want, n.N)
		}
		if want++; want%250 == 0 {
			works(t, c)
		}
	}
	if want != 1000 {
		t.Errorf("%d entries", want)
	}
}

func TestALostReplyIsTypedAndTheNextRequestWorks(t *testing.T) {
	lose := map[error]func(*gnltest.Request) error{
		netlink.ErrTruncated: func(r *gnltest.Request) error { r.Reply(1, make([]byte, 33<<10)); return nil },
		gnl.ErrOverrun: func(r *gnltest.Request) error {
			r.Send(netlink.Message{Header: netlink.Header{Type: netlink.TypeOverrun}})
			return gnltest.SkipEnd
		},
		netlink.ErrMalformed: func(r *gnltest.Request) error { r.SendBytes([]byte("garbage")); return gnltest.SkipEnd },
	}
	for want, handler := range lose {
		_, c := fake(t, toyFamily(inTurn(handler, handler, echo), nil, nil))
		_, err := toyGet.Do(timeout(t), c, number{})
		wantError(t, err, want)
		var e *gnl.Error
		if !errors.As(err, &e) || e.Family != "toy" || e.Command != "get" {
			t.Errorf("%#v", err)
		}
		_, err = c.Do(timeout(t), gnl.Request{Family: "toy", Command: 1})
		wantError(t, err, want)
		works(t, c)
	}
}

func TestAFullReceiveBufferIsTypedAndTheNextRequestWorks(t *testing.T) {
	groupsPermitted(t)
	overrun := func(r *gnltest.Request) error { return errors.Join(r.Overrun(), gnltest.SkipEnd) }
	_, c := fake(t, toyFamily(inTurn(overrun, echo), nil, func(r *gnltest.Request) error { numbers(r, 1); return overrun(r) }))
	_, err := toyGet.Do(timeout(t), c, number{})
	wantError(t, err, gnl.ErrOverrun)
	works(t, c)
	_, err = gnl.Collect(toyGet.Dump(timeout(t), c, number{}))
	wantError(t, err, gnl.ErrOverrun)
	works(t, c)
}

func TestSilenceEndsWithinAMillisecondOfTheContextsEnd(t *testing.T) {
	_, c := fake(t, toyFamily(inTurn(silence), silence, silence))
	_, err := c.Family(timeout(t), "toy")
	must(t, err)
	for name, request := range map[string]func(context.Context) error{
		"Do":   func(ctx context.Context) error { return second(toyGet.Do(ctx, c, number{})) },
		"Dump": func(ctx context.Context) error { return second(gnl.Collect(toyGet.Dump(ctx, c, number{}))) },
		"raw":  func(ctx context.Context) error { return second(c.Do(ctx, gnl.Request{Family: "toy", Command: 1})) },
		"batch": func(ctx context.Context) error {
			var b gnl.Batch
			toySet.AddTo(&b, &number{}, nil)
			return b.Do(ctx, c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			best(t, "the end after the deadline", func() time.Duration {
				deadline := time.Now().Add(3 * time.Millisecond)
				ctx, cancel := context.WithDeadline(t.Context(), deadline)
				defer cancel()
				wantError(t, request(ctx), context.DeadlineExceeded)
				return time.Since(deadline)
			})
			best(t, "the end after the cancellation", func() time.Duration {
				ctx, cancel := context.WithCancel(t.Context())
				cancelled := make(chan time.Time, 1)
				time.AfterFunc(3*time.Millisecond, func() { cancelled <- time.Now(); cancel() })
				wantError(t, request(ctx), context.Canceled)
				return time.Since(<-cancelled)
			})
		})
	}
	best(t, "the end after Close", func() time.Duration {
		k, _ := fake(t, toyFamily(silence, nil, nil))
		c := k.Client()
		closed := make(chan time.Time, 1)
		time.AfterFunc(3*time.Millisecond, func() { closed <- time.Now(); c.Close() })
		if _, err := toyGet.Do(context.Background(), c, number{}); !isClosed(err) {
			t.Error(err)
		}
		return time.Since(<-closed)
	})
}

// best runs f until once it took less than a millisecond, 200 times at most: on
// a busy machine a goroutine may be kept waiting.
func best(t testing.TB, what string, f func() time.Duration) {
	t.Helper()
	least := time.Hour
	for range 200 {
		if least = min(least, f()); least <= time.Millisecond {
			return
		}
	}
	t.Errorf("%s took %v at best", what, least)
}

// The kernel has the error's words, its attribute and what is accepted there.
func TestARefusalIsExplained(t *testing.T) {
	_, c := fake(t, gnltest.Family{Name: "toy", Commands: []gnltest.Command{{
		ID: 1,
		Do: func(*gnltest.Request) error {
			return &netlink.Error{Errno: syscall.EINVAL, Missing: 1, HasMissing: true}
		},
		Policy: []gnl.AttributePolicy{{ID: 1, Type: gnl.TypeU32, Max: gnl.Some(gnl.Unsigned(99))}},
	}}})
	_, err := toyGet.Do(timeout(t), c, number{100})
	if want := "gnl: toy get: number: integer out of range (100, kernel accepts 0..99): numerical result out of range"; err.Error() != want {
		t.Error(err)
	}
	_, err = toyGet.Do(timeout(t), c, number{})
	if want := "gnl: toy get: number: attribute is missing: invalid argument"; err.Error() != want {
		t.Error(err)
	}
	if errors.Is(err, os.ErrNotExist) {
		t.Error("EINVAL is os.ErrNotExist")
	}
}

// What a request has in the attribute that is refused, in the form of its type.
func TestRefusedValuesAreShown(t *testing.T) {
	signed := func(id uint32, typ gnl.AttributeType) gnl.AttributePolicy {
		return gnl.AttributePolicy{ID: id, Type: typ, Min: gnl.Some(gnl.Signed(-1)), Max: gnl.Some(gnl.Signed(1))}
	}
	unsigned := func(id uint32, typ gnl.AttributeType) gnl.AttributePolicy {
		return gnl.AttributePolicy{ID: id, Type: typ, Max: gnl.Some(gnl.Unsigned(1))}
	}
	_, c := fake(t, gnltest.Family{Name: "toy", Commands: []gnltest.Command{{ID: 1, Do: func(*gnltest.Request) error { return nil },
		Policy: []gnl.AttributePolicy{
			signed(1, gnl.TypeS8), signed(2, gnl.TypeS16), signed(3, gnl.TypeS32), signed(4, gnl.TypeS64), signed(5, gnl.TypeSint),
			unsigned(6, gnl.TypeU8), unsigned(7, gnl.TypeU16), unsigned(8, gnl.TypeU32), unsigned(9, gnl.TypeU64), unsigned(10, gnl.TypeUint),
			{ID: 11, Type: gnl.TypeString, MaxLength: gnl.Some[uint32](2)},
			{ID: 12, Type: gnl.TypeBinary, MinLength: gnl.Some[uint32](2)},
			{ID: 13, Type: gnl.TypeBinary, MinLength: gnl.Some[uint32](2), MaxLength: gnl.Some[uint32](2)},
		}}}})
	for _, q := range []struct {
		encode func(*attr.Encoder)
		want   string
	}{
		{func(e *attr.Encoder) { e.Int8(1, -2) }, "1: integer out of range (-2, kernel accepts -1..1)"},
		{func(e *attr.Encoder) { e.Int16(2, -300) }, "2: integer out of range (-300, kernel accepts -1..1)"},
		{func(e *attr.Encoder) { e.Int32(3, 70_000) }, "3: integer out of range (70000, kernel accepts -1..1)"},
		{func(e *attr.Encoder) { e.Int64(4, -1<<63) }, "4: integer out of range (-9223372036854775808, kernel accepts -1..1)"},
		{func(e *attr.Encoder) { e.Int(5, -2) }, "5: integer out of range (-2, kernel accepts -1..1)"},
		{func(e *attr.Encoder) { e.Uint8(6, 2) }, "6: integer out of range (2, kernel accepts 0..1)"},
		{func(e *attr.Encoder) { e.Uint16(7, 300) }, "7: integer out of range (300, kernel accepts 0..1)"},
		{func(e *attr.Encoder) { e.Uint32(8, 70_000) }, "8: integer out of range (70000, kernel accepts 0..1)"},
		{func(e *attr.Encoder) { e.Uint64(9, 1<<64-1) }, "9: integer out of range (18446744073709551615, kernel accepts 0..1)"},
		{func(e *attr.Encoder) { e.Uint(10, 1<<40) }, "10: integer out of range (1099511627776, kernel accepts 0..1)"},
		{func(e *attr.Encoder) { e.Bytes(3, []byte{1, 2, 3}) }, "3: invalid attribute length (3 bytes, kernel accepts s32)"},
		{func(e *attr.Encoder) { e.Bytes(8, []byte{1, 2, 3}) }, "8: invalid attribute length (3 bytes, kernel accepts u32)"},
		{func(e *attr.Encoder) { e.String(11, "long") }, "11: Attribute failed policy validation (5 bytes, kernel accepts at most 2 bytes)"},
		{func(e *attr.Encoder) { e.Bytes(12, nil) }, "12: binary attribute size out of range (0 bytes, kernel accepts at least 2 bytes)"},
		{func(e *attr.Encoder) { e.Bytes(13, nil) }, "13: binary attribute size out of range (0 bytes, kernel accepts 2 bytes)"},
	} {
		var e attr.Encoder
		q.encode(&e)
		b, err := e.Finish()
		must(t, err)
		_, err = c.Do(timeout(t), gnl.Request{Family: "toy", Command: 1, Attributes: b})
		if err == nil || !strings.HasPrefix(err.Error(), "gnl: toy command 1: attribute "+q.want+": ") {
			t.Errorf("%v, want %q", err, q.want)
		}
	}
}

func TestEntriesIntoTheCallersMemory(t *testing.T) {
	_, c := fake(t, toyFamily(echo, nil, func(r *gnltest.Request) error { numbers(r, 1, 2, 3); return nil }))
	var n number
	var got []uint32
	for entry, err := range toyGet.DumpInto(timeout(t), c, &number{}, &n) {
		must(t, err)
		if entry != &n {
			t.Error("not the caller's memory")
		}
		got = append(got, n.N)
	}
	if !slices.Equal(got, []uint32{1, 2, 3}) {
		t.Error(got)
	}
	var f gnl.Family
	var names []string
	for family, err := range c.FamiliesInto(timeout(t), &f) {
		must(t, err)
		names = append(names, family.Name)
	}
	if !slices.Equal(names, []string{"nlctrl", "toy"}) {
		t.Error(names)
	}
}

func TestWarningsAreLoggedUnlessTheConfigTakesThem(t *testing.T) {
	var log bytes.Buffer
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(old)
	_, c := fake(t, toyFamily(nil, func(*gnltest.Request) error { return &netlink.Error{Message: "this is deprecated"} }, nil))
	must(t, second(toySet.Do(timeout(t), c, number{1})))
	if !strings.Contains(log.String(), `level=WARN`) || !strings.Contains(log.String(), "gnl: toy set: this is deprecated") {
		t.Error(log.String())
	}
}

// Whatever bytes come before the ack, a request ends. What stands behind the end
// in the same datagram may be the misfortune of the next one, but no more.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte("garbage"))
	f.Add(make([]byte, 16))
	f.Add(netlink.AppendMessage(nil, netlink.TypeError, netlink.FlagAckTLVs, make([]byte, 40)))
	f.Add(netlink.AppendMessage(nil, 40, netlink.FlagMulti, []byte{1, 1, 0, 0, 8, 0, 1, 0, 1, 2, 3, 4}))
	f.Add(netlink.AppendMessage(nil, netlink.TypeDone, 0, nil))
	k := gnltest.NewKernel(f)
	var next atomic.Pointer[[]byte]
	answer := func(r *gnltest.Request) error {
		if b := next.Swap(nil); b != nil && len(*b) > 0 {
			// Let the messages that it begins with be answers to this request.
			all := slices.Clone(*b)
			for rest := all; len(rest) >= netlink.HeaderLen; {
				binary.NativeEndian.PutUint32(rest[8:], r.Sequence)
				binary.NativeEndian.PutUint32(rest[12:], r.Socket())
				_, behind, err := netlink.ParseMessage(rest)
				if err != nil {
					break
				}
				rest = behind
			}
			r.SendBytes(all)
			return nil
		}
		if r.IsDump() {
			numbers(r, 1)
			return nil
		}
		return echo(r)
	}
	family := toyFamily(answer, nil, answer)
	family.ID = 40
	k.Register(family)
	c := configured(f, k, func(config *gnl.Config) { config.Warn = func(error) {} })
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, request := range []func(){
			func() { toyGet.Do(timeout(t), c, number{1}) },
			func() { gnl.Collect(toyGet.Dump(timeout(t), c, number{1})) },
			func() { gnl.Collect(c.Dump(timeout(t), gnl.Request{Family: "toy", Command: 1})) },
			func() { b, _ := batch("gg"); b.Do(timeout(t), c) },
		} {
			next.Store(&b)
			start := time.Now()
			request()
			if time.Since(start) > 10*time.Second {
				t.Fatal("no end")
			}
			next.Store(nil)
			toyGet.Do(timeout(t), c, number{1})
			works(t, c)
		}
	})
}

// Requests that are nothing but numbers are copied from an image, which no
// request leaves a trace in.
func TestRequestsOfNumbersOnly(t *testing.T) {
	type request struct {
		N    uint32 `nl:"1"`
		Nest struct {
			Port uint16 `nl:"2,be"`
		} `nl:"2"`
	}
	rec := record(echo, nil)
	rec.family.Commands[0].Dump = gnltest.DumpFunc(1, func(n request) ([]number, error) {
		return []number{{n.N}, {uint32(n.Nest.Port)}}, nil
	})
	_, c := fake(t, rec.family)
	get := gnl.Command[request, number]{Family: "toy", ID: 1}
	set := gnl.Command[request, struct{}]{Family: "toy", ID: 2}
	r := request{N: 7}
	r.Nest.Port = 0x1234
	if n, err := get.Do(timeout(t), c, r); err != nil || n.N != 7 {
		t.Errorf("%v, %v", n, err)
	}
	if _, err := set.Do(timeout(t), c, request{N: 1}); err != nil {
		t.Error(err)
	}
	if all, err := gnl.Collect(get.Dump(timeout(t), c, r)); err != nil || len(all) != 2 || all[0].N != 7 || all[1].N != 0x1234 {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := get.Do(timeout(t), c, request{N: 8}); err != nil {
		t.Error(err)
	}
	var b gnl.Batch
	var n number
	set.AddTo(&b, &request{N: 2}, nil)
	set.AddTo(&b, &request{N: 3}, nil)
	get.AddTo(&b, &request{N: 4}, &n)
	set.AddTo(&b, &request{N: 5}, nil)
	if err := b.Do(timeout(t), c); err != nil || b.Len() != 4 || n.N != 4 {
		t.Errorf("%v, %v", n, err)
	}
	want := []string{"get 7 ack", "set 1 ack", "get 8 ack", "set 2", "set 3", "get 4 ack", "set 5 ack"}
	if !slices.Equal(rec.seen, want) {
		t.Errorf("the kernel saw\n%q, not\n%q", rec.seen, want)
	}
}
