//go:build linux

package gnl_test

import (
	"context"
	"errors"
	"fmt"
	"os"
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

// Batches: the order, who is asked for what, and what is known after losses.

// recorder is a toy that notes the requests that it gets: "get 1 ack".
type recorder struct {
	family gnltest.Family
	seen   []string
}

// record notes, and leaves the answer to handlers that may be nil.
func record(get, set func(*gnltest.Request) error) *recorder {
	rec := &recorder{}
	note := func(what string, handler func(*gnltest.Request) error) func(*gnltest.Request) error {
		return func(r *gnltest.Request) error {
			n, err := gnltest.Decode[number](r)
			if err != nil {
				return err
			}
			s := fmt.Sprintf("%s %d", what, n.N)
			if r.Flags&netlink.FlagAck != 0 {
				s += " ack"
			}
			rec.seen = append(rec.seen, s)
			if handler == nil {
				return nil
			}
			return handler(r)
		}
	}
	if get == nil {
		get = echo
	}
	rec.family = toyFamily(note("get", get), note("set", set), nil)
	return rec
}

// asked is the number that a request asks for.
func asked(r *gnltest.Request) uint32 {
	n, err := gnltest.Decode[number](r)
	if err != nil {
		panic(err)
	}
	return n.N
}

// batch has gets and sets of the numbers 1, 2, 3, …, as a string says: "gsS"
// is a get, a set, a single get.
func batch(kinds string) (*gnl.Batch, []number) {
	b, replies := new(gnl.Batch), make([]number, len(kinds))
	for i, kind := range kinds {
		n := number{uint32(i + 1)}
		switch kind {
		case 'g':
			toyGet.AddTo(b, &n, &replies[i])
		case 'S':
			toySingle.AddTo(b, &n, &replies[i])
		default:
			toySet.AddTo(b, &n, nil)
		}
	}
	return b, replies
}

// An ack is asked for where a reply must be told from its absence, and of the
// last member; all else is known by its place in the order.
func TestABatchAsksForAcksOnlyWhereNeeded(t *testing.T) {
	for kinds, want := range map[string][]string{
		"s":    {"set 1 ack"},
		"sss":  {"set 1", "set 2", "set 3 ack"},
		"g":    {"get 1 ack"},
		"gsg":  {"get 1 ack", "set 2", "get 3 ack"},
		"gss":  {"get 1 ack", "set 2", "set 3 ack"},
		"S":    {"get 1"},
		"sS":   {"set 1", "get 2"},
		"SsgS": {"get 1", "set 2", "get 3 ack", "get 4"},
	} {
		rec := record(nil, nil)
		_, c := fake(t, rec.family)
		b, replies := batch(kinds)
		if err := b.Do(timeout(t), c); err != nil || !slices.Equal(rec.seen, want) {
			t.Errorf("%s: %q, %v", kinds, rec.seen, err)
		}
		for i, r := range replies {
			if kinds[i] != 's' && r.N != uint32(i+1) {
				t.Errorf("%s: reply %d is %d", kinds, i, r.N)
			}
		}
	}
}

func TestAFailingMemberStopsNothing(t *testing.T) {
	fails := func(r *gnltest.Request) error {
		switch n := asked(r); {
		case n%3 == 0:
			return &netlink.Error{Errno: syscall.EPERM, Message: fmt.Sprintf("not %d", n), Offset: r.OffsetOf(1)}
		case r.Command == 1:
			r.Reply(1, number{n})
		}
		return nil
	}
	for _, kinds := range []string{"ggggggg", "sssssss", "SSSSSSS", "sgSsgSs", "ssssss", "gggggg", "SSSSSS"} {
		rec := record(fails, fails)
		_, c := fake(t, rec.family)
		b, replies := batch(kinds)
		err := b.Do(timeout(t), c)
		var failed *gnl.BatchError
		if !errors.As(err, &failed) || failed.Failed != 2 || failed.Of != len(kinds) || failed.First != 2 || !errors.Is(err, syscall.EPERM) {
			t.Errorf("%s: %v", kinds, err)
		}
		if len(rec.seen) != len(kinds) {
			t.Errorf("%s: %d carried out: %q", kinds, len(rec.seen), rec.seen)
		}
		for i := range kinds {
			var e *gnl.Error
			switch err := b.Err(i); {
			case i%3 != 2:
				if err != nil || kinds[i] != 's' && replies[i].N != uint32(i+1) {
					t.Errorf("%s: member %d: %v, %v", kinds, i, replies[i], err)
				}
			case !errors.As(err, &e) || e.Attribute != "number" || !errors.Is(err, syscall.EPERM):
				t.Errorf("%s: member %d: %v", kinds, i, err)
			}
		}
	}
}

func TestAMemberWithoutItsReplyAndOneWithTooMany(t *testing.T) {
	_, c := fake(t, toyFamily(func(r *gnltest.Request) error {
		for range asked(r) - 1 {
			r.Reply(1, number{9})
		}
		return nil
	}, nil, nil))
	b, replies := batch("ggg")
	var failed *gnl.BatchError
	if err := b.Do(timeout(t), c); !errors.As(err, &failed) || failed.Failed != 2 {
		t.Error(err)
	}
	wantError(t, b.Err(0), gnl.ErrNoReply)
	if b.Err(1) != nil || replies[1].N != 9 {
		t.Error(b.Err(1), replies[1])
	}
	wantError(t, b.Err(2), gnl.ErrMoreReplies)
}

// A reply that cannot be decoded is its own member's affair.
func TestAMemberWhoseReplyCannotBeDecoded(t *testing.T) {
	_, c := fake(t, toyFamily(func(r *gnltest.Request) error {
		if asked(r) == 2 {
			r.Reply(1, []byte{5, 0, 1, 0, 9, 0, 0, 0})
			return nil
		}
		return echo(r)
	}, nil, nil))
	b, replies := batch("gggS")
	var failed *gnl.BatchError
	if err := b.Do(timeout(t), c); !errors.As(err, &failed) || failed.Failed != 1 || replies[2].N != 3 || replies[3].N != 4 {
		t.Error(err, replies)
	}
	wantError(t, b.Err(1), attr.ErrLength)
	works(t, c)
}

func TestWhatIsNoAnswerToABatchIsLeftAside(t *testing.T) {
	var k *gnltest.Kernel
	stray := func(r *gnltest.Request) {
		a, b, c, d := k.Event("toy", 9, number{66}), k.Event("toy", 9, number{66}), r.Answer(1, number{66}), r.Error(syscall.EIO)
		a.Sequence = r.Sequence
		b.PortID = r.Socket()
		c.Sequence -= 1000
		d.Sequence += 1000
		r.Send(a, b)
		r.Send(c)
		r.Send(d)
	}
	k, c := fake(t, toyFamily(func(r *gnltest.Request) error { stray(r); err := echo(r); stray(r); return err },
		func(r *gnltest.Request) error { stray(r); return nil }, nil))
	b, replies := batch("gsgSs")
	if err := b.Do(timeout(t), c); err != nil || replies[0].N != 1 || replies[2].N != 3 || replies[3].N != 4 {
		t.Error(err, replies)
	}
}

// After an overrun, what was answered is known, and what was not is said to be
// unknown.
func TestAnOverrunLeavesExactlyTheUnansweredUnknown(t *testing.T) {
	groupsPermitted(t)
	// From member 4 on, answers are lost.
	lossy := func(r *gnltest.Request) error {
		switch n := asked(r); {
		case n == 4:
			return errors.Join(r.Overrun(), gnltest.SkipEnd)
		case n > 4:
			return gnltest.SkipEnd
		case n == 2:
			return syscall.EPERM
		case r.Command == 1:
			r.Reply(1, number{n})
		}
		return nil
	}
	for _, kinds := range []string{"gggggg", "SSSSSS", "gSgSgS"} {
		_, c := fake(t, toyFamily(lossy, lossy, nil))
		b, replies := batch(kinds)
		err := b.Do(timeout(t), c)
		wantError(t, err, syscall.EPERM) // the first
		if b.Err(0) != nil || replies[0].N != 1 || b.Err(2) != nil || replies[2].N != 3 {
			t.Errorf("%s: %v, %v, %v", kinds, b.Err(0), b.Err(2), replies)
		}
		wantError(t, b.Err(1), syscall.EPERM)
		for i := 3; i < 6; i++ {
			wantError(t, b.Err(i), gnl.ErrUnknownOutcome)
			wantError(t, b.Err(i), gnl.ErrOverrun)
		}
		var n number
		toyGet.AddTo(b, &number{1}, &n)
		if b.Do(timeout(t), c); b.Err(6) != nil || n.N != 1 {
			t.Errorf("%s: a member added later: %v, %v", kinds, n, b.Err(6))
		}
	}
}

// Members that ask for no ack are known to be done by the end of a later one,
// but only if nothing was lost before it.
func TestAnOverrunLeavesMembersWithoutAnAckUnknown(t *testing.T) {
	groupsPermitted(t)
	_, c := fake(t, toyFamily(nil, func(r *gnltest.Request) error {
		switch asked(r) {
		case 2:
			return syscall.EPERM
		case 3:
			if err := r.Overrun(); err != nil {
				t.Error(err)
			}
		case 5:
			time.Sleep(5 * time.Millisecond) // the socket takes what it has, and then gets the ack
		}
		return nil
	}, nil))
	b, _ := batch("sssss")
	b.Do(timeout(t), c)
	for i, want := range []error{gnl.ErrUnknownOutcome, syscall.EPERM, gnl.ErrUnknownOutcome, gnl.ErrUnknownOutcome} {
		wantError(t, b.Err(i), want)
	}
	if err := b.Err(4); err != nil && !errors.Is(err, gnl.ErrUnknownOutcome) {
		t.Error(err)
	}
}

// One answer that cannot be received does not take the others with it, which
// have been answered by then.
func TestATruncatedReplyIsTheLossOfItsMemberOnly(t *testing.T) {
	answered := make(chan bool)
	k, _ := fake(t, toyFamily(func(r *gnltest.Request) error {
		switch asked(r) {
		case 2:
			r.Reply(1, make([]byte, 40<<10))
			return nil
		case 4:
			defer close(answered)
			r.Reply(1, number{4})
			r.Send(r.Ack())
			return gnltest.SkipEnd
		}
		return echo(r)
	}, nil, nil))
	c := configured(t, k, func(config *gnl.Config) {
		config.Socket.Trace = func(d netlink.Direction, m netlink.Message) {
			if d == netlink.Received && m.Type != 16 { // as if the kernel had answered within the send
				<-answered
			}
		}
	})
	b, replies := batch("gggg")
	err := b.Do(timeout(t), c)
	if err == nil || b.Err(1) == nil {
		t.Error(err, b.Err(1))
	}
	for _, i := range []int{0, 2, 3} {
		if b.Err(i) != nil || replies[i].N != uint32(i+1) {
			t.Errorf("member %d: %v, %v", i, replies[i], b.Err(i))
		}
	}
}

func TestACancelledBatchKnowsWhatWasAnswered(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, c := fake(t, toyFamily(func(r *gnltest.Request) error {
		if asked(r) == 3 {
			time.AfterFunc(2*time.Millisecond, cancel)
			<-r.Context().Done()
			return gnltest.SkipEnd
		}
		return echo(r)
	}, nil, nil))
	b, replies := batch("ggggg")
	err := b.Do(ctx, c)
	wantError(t, err, gnl.ErrUnknownOutcome)
	wantError(t, err, context.Canceled)
	for i := range 5 {
		if i < 2 && (b.Err(i) != nil || replies[i].N != uint32(i+1)) {
			t.Errorf("member %d: %v, %v", i, replies[i], b.Err(i))
		}
		if i >= 2 {
			wantError(t, b.Err(i), gnl.ErrUnknownOutcome)
		}
	}
}

func TestABatchOfOtherFamiliesThanThereAre(t *testing.T) {
	rec := record(nil, nil)
	_, c := fake(t, rec.family)
	missing := gnl.Command[number, number]{Family: "no-such", ID: 1}
	b, replies := batch("gs")
	var n number
	missing.AddTo(b, &number{1}, &n)
	toyGet.AddTo(b, &number{4}, &n)
	err := b.Do(timeout(t), c)
	var failed *gnl.BatchError
	if !errors.As(err, &failed) || failed.Failed != 1 || failed.First != 2 || !errors.Is(b.Err(2), syscall.ENOENT) {
		t.Error(err)
	}
	if replies[0].N != 1 || n.N != 4 || !slices.Equal(rec.seen, []string{"get 1 ack", "set 2", "get 4 ack"}) {
		t.Error(replies, n, rec.seen)
	}
}

// More members than fit one send: in order all the same.
func TestAsManySendsAsTheReceiveBufferTakes(t *testing.T) {
	rec := record(nil, nil)
	k, _ := fake(t, rec.family)
	c := configured(t, k, func(config *gnl.Config) { config.Socket.ReceiveBuffer = 32 << 10 })
	var kinds []byte
	for i := range 500 {
		kinds = append(kinds, "gsS"[i%3])
	}
	b, replies := batch(string(kinds))
	must(t, b.Do(timeout(t), c))
	for i := range kinds {
		if kinds[i] != 's' && replies[i].N != uint32(i+1) {
			t.Fatalf("reply %d is %d", i, replies[i].N)
		}
	}
	acks := 0
	for i, s := range rec.seen {
		var what, ack string
		var n int
		fmt.Sscan(s, &what, &n, &ack)
		if n != i+1 {
			t.Fatalf("request %d is %q", i, s)
		}
		if what == "set" && ack != "" {
			acks++
		}
	}
	if len(rec.seen) != 500 || acks == 0 {
		t.Errorf("%d requests, %d acks of members without a reply", len(rec.seen), acks)
	}
}

func TestABatchIsDoneOnce(t *testing.T) {
	rec := record(nil, nil)
	_, c := fake(t, rec.family)
	b, _ := batch("gs")
	must(t, b.Do(timeout(t), c))
	must(t, b.Do(timeout(t), c))
	toySet.AddTo(b, &number{3}, nil)
	must(t, b.Do(timeout(t), c))
	if !slices.Equal(rec.seen, []string{"get 1 ack", "set 2 ack", "set 3 ack"}) {
		t.Error(rec.seen)
	}
	b.Reset()
	if b.Len() != 0 || b.Do(timeout(t), c) != nil || len(rec.seen) != 3 {
		t.Error(b.Len(), rec.seen)
	}
}

func TestMembersThatCannotBeAdded(t *testing.T) {
	type bad struct {
		N chan int `nl:"1"`
	}
	type text struct {
		S string `nl:"1"`
	}
	type withHeader struct {
		Header [4]byte `nl:"header"`
	}
	badCommand := gnl.Command[bad, struct{}]{Family: "toy", ID: 1}
	textCommand := gnl.Command[text, struct{}]{Family: "toy", ID: 2}
	headerCommand := gnl.Command[withHeader, struct{}]{Family: "toy", ID: 2}
	rec := record(nil, nil)
	_, c := fake(t, rec.family)
	b, replies := batch("g")
	badCommand.AddTo(b, &bad{}, nil)
	textCommand.AddTo(b, &text{"a\x00b"}, nil)
	headerCommand.AddTo(b, &withHeader{}, nil)
	toyGet.AddTo(b, &number{5}, nil)
	toySet.AddTo(b, &number{6}, nil)
	var failed *gnl.BatchError
	if err := b.Do(timeout(t), c); !errors.As(err, &failed) || failed.Failed != 4 || failed.First != 1 || failed.Of != 6 {
		t.Error(err)
	}
	wantError(t, b.Err(1), attr.ErrTag)
	wantError(t, b.Err(2), attr.ErrRange)
	if replies[0].N != 1 || b.Err(5) != nil || !slices.Equal(rec.seen, []string{"get 1 ack", "set 6 ack"}) {
		t.Error(replies, b.Err(5), rec.seen)
	}
}

func TestABatchOnAClosedClient(t *testing.T) {
	_, c := fake(t, toyFamily(echo, nil, nil))
	must(t, c.Close())
	b, _ := batch("gs")
	if err := b.Do(timeout(t), c); !isClosed(err) || !isClosed(b.Err(1)) {
		t.Error(err)
	}
}

// A member is a message of the kernel's own limits.
func TestAMemberLargerThanASendMayBe(t *testing.T) {
	type blob struct {
		B []byte `nl:"1"`
	}
	put := gnl.Command[blob, struct{}]{Family: "toy", ID: 2}
	sizes := []int{}
	_, c := fake(t, toyFamily(nil, func(r *gnltest.Request) error { sizes = append(sizes, len(r.Attributes)); return nil }, nil))
	var b gnl.Batch
	for _, n := range []int{60_000, 60_000, 60_000, 1, 65_531} {
		put.AddTo(&b, &blob{make([]byte, n)}, nil)
	}
	put.AddTo(&b, &blob{make([]byte, 65_532)}, nil)
	b.Do(timeout(t), c)
	wantError(t, b.Err(5), attr.ErrTooLong)
	if !slices.Equal(sizes, []int{60_004, 60_004, 60_004, 8, 65_536}) {
		t.Error(sizes)
	}
}

// A family that is not there is asked for once, also where its commands take
// turns, and not at all for members that cannot be sent.
func TestABatchAsksForAMissingFamilyOnce(t *testing.T) {
	type text struct {
		S string `nl:"1"`
	}
	k := gnltest.NewKernel(t)
	asked, c := resolutions(k), k.Client()
	unfit := gnl.Command[text, struct{}]{Family: "elsewhere", ID: 2}
	var b gnl.Batch
	unfit.AddTo(&b, &text{"a\x00b"}, nil)
	wantError(t, b.Do(timeout(t), c), attr.ErrRange)
	if n := asked.Load(); n != 0 {
		t.Errorf("asked %d times for a member that cannot be sent", n)
	}
	turns, _ := batch(strings.Repeat("gs", 50))
	wantError(t, turns.Do(timeout(t), c), os.ErrNotExist)
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// panics is a value whose methods panic as they are told.
type panics struct{ When string }

func (p *panics) AppendBinary(b []byte) ([]byte, error) {
	if p.When == "encoding" {
		panic(p.When)
	}
	return append(b, 1, 2, 3, 4), nil
}

func (p *panics) UnmarshalBinary([]byte) error {
	if p.When == "decoding" {
		panic(p.When)
	}
	return nil
}

// Whoever recovers from the panic of a method has a batch that says so, and that
// goes on.
func TestABatchAfterAPanic(t *testing.T) {
	type value struct {
		P panics `nl:"1"`
	}
	_, c := fake(t, toyFamily(echo, nil, nil))
	get := gnl.Command[value, value]{Family: "toy", ID: 1}
	panicking := func(f func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		f()
	}
	var b gnl.Batch
	replies := make([]value, 4)
	replies[1].P.When = "decoding"
	for i := range replies[:3] {
		get.AddTo(&b, &value{}, &replies[i])
	}
	panicking(func() { get.AddTo(&b, &value{panics{"encoding"}}, &replies[3]) })
	panicking(func() { b.Do(timeout(t), c) })
	replies[1].P.When = ""
	for range 2 {
		get.AddTo(&b, &value{}, &replies[3])
		var failed *gnl.BatchError
		if err := b.Do(timeout(t), c); !errors.As(err, &failed) || failed.Failed != 3 || failed.First != 1 {
			t.Error(err)
		}
	}
	for i, want := range []error{nil, gnl.ErrUnknownOutcome, gnl.ErrUnknownOutcome, errors.New("encoding the request panicked"), nil, nil} {
		switch err := b.Err(i); {
		case want == nil && err != nil || want != nil && err == nil:
			t.Errorf("member %d: %v, want %v", i, err, want)
		case want != nil && !errors.Is(err, want) && err.Error() != want.Error():
			t.Errorf("member %d: %v, want %v", i, err, want)
		}
	}
}
