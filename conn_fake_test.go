//go:build linux

package gnl_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/gnltest"
	"github.com/gnlgo/gnl/netlink"
)

// A pinned Conn asks and listens on one port.

func pinned(t testing.TB, c *gnl.Client, config *gnl.ConnConfig) *gnl.Conn {
	t.Helper()
	conn, err := c.Conn(t.Context(), config)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// received is the number in the next event.
func received(t testing.TB, conn *gnl.Conn) uint32 {
	t.Helper()
	m, err := conn.Receive(timeout(t))
	must(t, err)
	var n number
	must(t, m.Unmarshal(&n))
	return n.N
}

func TestEventsThatComeDuringARequestAreKeptInOrder(t *testing.T) {
	var k *gnltest.Kernel
	busy := func(r *gnltest.Request) error {
		event := func(n uint32) netlink.Message { return k.Event("toy", 9, number{n}) }
		withNumber, foreign := event(2), event(3)
		withNumber.Sequence = r.Sequence
		foreign.Sequence, foreign.PortID = r.Sequence, r.Socket()+1
		r.Send(event(1))
		r.Reply(1, number{77})
		r.Flush()
		r.Send(withNumber)
		r.Send(foreign)
		if !r.IsDump() {
			r.Send(r.Ack(), event(4))
		} else {
			r.Send(r.Done(nil), event(4))
		}
		return gnltest.SkipEnd
	}
	k, c := fake(t, toyFamily(busy, busy, busy))
	for name, request := range map[string]func(*gnl.Conn) error{
		"Do":   func(conn *gnl.Conn) error { return second(toyGet.Do(timeout(t), conn, number{1})) },
		"Dump": func(conn *gnl.Conn) error { return second(gnl.Collect(toyGet.Dump(timeout(t), conn, number{1}))) },
		"raw":  func(conn *gnl.Conn) error { return second(conn.Do(timeout(t), gnl.Request{Family: "toy", Command: 1})) },
		"raw dump": func(conn *gnl.Conn) error {
			return second(gnl.Collect(conn.Dump(timeout(t), gnl.Request{Family: "toy", Command: 1})))
		},
		"batch": func(conn *gnl.Conn) error { b, _ := batch("g"); return b.Do(timeout(t), conn) },
	} {
		t.Run(name, func(t *testing.T) {
			conn := pinned(t, c, nil)
			for range 2 {
				must(t, request(conn))
				for want := uint32(1); want <= 4; want++ {
					if n := received(t, conn); n != want {
						t.Fatalf("event %d is %d", want, n)
					}
				}
			}
		})
	}
}

func TestARequestInterruptsAReceiveThatWaits(t *testing.T) {
	k, c := fake(t, toyFamily(echo, nil, nil))
	conn := pinned(t, c, nil)
	events := make(chan uint32)
	go func() {
		for range 2 {
			m, err := conn.Receive(timeout(t))
			if err != nil {
				t.Error(err)
				close(events)
				return
			}
			var n number
			if err := m.Unmarshal(&n); err != nil {
				t.Error(err)
			}
			events <- n.N
		}
	}()
	for range 20 {
		works(t, conn)
		runtime.Gosched()
	}
	k.Unicast(conn.PortID(), k.Event("toy", 9, number{5}))
	if n := <-events; n != 5 {
		t.Error(n)
	}
	time.Sleep(2 * time.Millisecond) // it waits again
	works(t, conn)
	k.Unicast(conn.PortID(), k.Event("toy", 9, number{6}))
	if n := <-events; n != 6 {
		t.Error(n)
	}
}

// Many ask and one listens, all at once: everybody gets theirs.
func TestRequestsOfManyAndEventsOnOneConn(t *testing.T) {
	const askers, requests, events = 8, 50, 200
	k, c := fake(t, toyFamily(echo, nil, nil))
	conn := pinned(t, c, nil)
	var wg sync.WaitGroup
	for i := range uint32(askers) {
		wg.Go(func() {
			for j := range uint32(requests) {
				if n, err := toyGet.Do(timeout(t), conn, number{i<<16 | j + 1}); err != nil || n.N != i<<16|j+1 {
					t.Error(n, err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for n := range uint32(events) {
			k.Unicast(conn.PortID(), k.Event("toy", 9, number{n + 1}))
		}
	})
	for want := range uint32(events) {
		if n := received(t, conn); n != want+1 {
			t.Fatalf("event %d is %d", want+1, n)
		}
	}
	wg.Wait()
}

func TestReceiveEndsWithItsContextAndWithClose(t *testing.T) {
	_, c := fake(t, toyFamily(echo, nil, nil))
	conn := pinned(t, c, nil)
	best(t, "the end after the deadline", func() time.Duration {
		deadline := time.Now().Add(3 * time.Millisecond)
		ctx, cancel := context.WithDeadline(t.Context(), deadline)
		defer cancel()
		_, err := conn.Receive(ctx)
		wantError(t, err, context.DeadlineExceeded)
		return time.Since(deadline)
	})
	works(t, conn)
	time.AfterFunc(3*time.Millisecond, func() { conn.Close() })
	if _, err := conn.Receive(context.Background()); !isClosed(err) {
		t.Error(err)
	}
	if _, err := toyGet.Do(timeout(t), conn, number{1}); !isClosed(err) {
		t.Error(err)
	}
}

func TestOverrunsAndOtherLossOfAReceiveGoOn(t *testing.T) {
	k, c := fake(t, toyFamily(echo, nil, nil))
	conn := pinned(t, c, nil)
	for _, lose := range []struct {
		want error
		how  func()
	}{
		{gnl.ErrOverrun, func() { k.Unicast(conn.PortID(), netlink.Message{Header: netlink.Header{Type: netlink.TypeOverrun}}) }},
		{netlink.ErrTruncated, func() { k.UnicastBytes(conn.PortID(), make([]byte, 40<<10)) }},
		{netlink.ErrMalformed, func() { k.UnicastBytes(conn.PortID(), []byte("garbage")) }},
	} {
		lose.how()
		_, err := conn.Receive(timeout(t))
		wantError(t, err, lose.want)
		k.Unicast(conn.PortID(), k.Event("toy", 9, number{5}))
		if n := received(t, conn); n != 5 {
			t.Error(n)
		}
		works(t, conn)
	}
	groupsPermitted(t)
	must(t, k.Overrun(conn.PortID()))
	_, err := conn.Receive(timeout(t))
	wantError(t, err, gnl.ErrOverrun)
	ctx, cancel := contextOf(t, 10*time.Millisecond) // until it has taken what is there, it loses more
	defer cancel()
	_, err = conn.Receive(ctx)
	wantError(t, err, context.DeadlineExceeded)
	k.Unicast(conn.PortID(), k.Event("toy", 9, number{5}))
	if n := received(t, conn); n != 5 {
		t.Error(n)
	}
	works(t, conn)
}

// What a Conn is tied to in the kernel, a listener's registration, is lost
// with its socket: that must not happen because one request was unlucky.
func TestARequestThatFailsLeavesTheConnUsable(t *testing.T) {
	for name, fail := range map[string]func(*gnltest.Request) error{
		"refused":              func(*gnltest.Request) error { return syscall.EPERM },
		"no reply":             func(*gnltest.Request) error { return nil },
		"more replies":         func(r *gnltest.Request) error { numbers(r, 1, 2, 3); return nil },
		"reply not decodable":  func(r *gnltest.Request) error { r.Reply(1, []byte{5, 0, 1, 0, 1, 0, 0, 0}); return nil },
		"reply cut short":      func(r *gnltest.Request) error { m := r.Answer(1, nil); m.Data = nil; r.Send(m); return nil },
		"reply truncated":      func(r *gnltest.Request) error { r.Reply(1, make([]byte, 40<<10)); return nil },
		"overrun":              func(r *gnltest.Request) error { return r.Overrun() },
		"replies lost in part": func(r *gnltest.Request) error { numbers(r, 1); return r.Overrun() },
	} {
		t.Run(name, func(t *testing.T) {
			groupsPermitted(t)
			k, c := fake(t, toyFamily(inTurn(fail, echo), nil, nil))
			conn := pinned(t, c, nil)
			n, failure := toyGet.Do(timeout(t), conn, number{1})
			if failure == nil {
				t.Errorf("%v, and no error", n)
			}
			works(t, conn)
			k.Unicast(conn.PortID(), k.Event("toy", 9, number{5}))
			if errors.Is(failure, gnl.ErrOverrun) {
				// Events may have been lost too: those who listen are told.
				_, err := conn.Receive(timeout(t))
				wantError(t, err, gnl.ErrOverrun)
			}
			if n := received(t, conn); n != 5 {
				t.Error(n)
			}
		})
	}
}

// One that is given up breaks the Conn, as is documented: nothing else is told
// of its answer.
func TestAGivenUpRequestBreaksTheConn(t *testing.T) {
	_, c := fake(t, toyFamily(silence, nil, func(r *gnltest.Request) error { numbers(r, 1, 2); return nil }))
	conn := pinned(t, c, nil)
	ctx, cancel := contextOf(t, 3*time.Millisecond)
	defer cancel()
	_, err := toyGet.Do(ctx, conn, number{1})
	wantError(t, err, context.DeadlineExceeded)
	if _, err := toyGet.Do(timeout(t), conn, number{1}); !isClosed(err) {
		t.Error(err)
	}
	conn = pinned(t, c, nil)
	for range toyGet.Dump(timeout(t), conn, number{}) {
		break
	}
	if _, err := conn.Receive(timeout(t)); !isClosed(err) {
		t.Error(err)
	}
}

func TestAConnWaitsItsTurnOnlyAsLongAsItsContext(t *testing.T) {
	asked, goOn := make(chan bool), make(chan bool)
	_, c := fake(t, toyFamily(inTurn(func(r *gnltest.Request) error { asked <- true; <-goOn; return echo(r) }, echo), nil, nil))
	conn := pinned(t, c, nil)
	done := make(chan error)
	go func() { _, err := toyGet.Do(context.Background(), conn, number{1}); done <- err }()
	<-asked
	ctx, cancel := contextOf(t, 3*time.Millisecond)
	defer cancel()
	_, err := toyGet.Do(ctx, conn, number{1})
	wantError(t, err, context.DeadlineExceeded)
	_, err = conn.Receive(ctx)
	wantError(t, err, context.DeadlineExceeded)
	close(goOn)
	must(t, <-done)
	works(t, conn)
}

func TestAConnIsAMemberOfGroups(t *testing.T) {
	groupsPermitted(t)
	k, c := fake(t, toyFamily(echo, nil, nil))
	conn := pinned(t, c, &gnl.ConnConfig{Datagrams: 4, ReceiveBuffer: 1 << 20})
	news := gnl.GroupName{Family: "toy", Group: "news"}
	must(t, conn.Join(timeout(t), "toy", "news"))
	k.Notify(news, 9, number{1})
	works(t, conn)
	k.Notify(news, 9, number{2})
	if a, b := received(t, conn), received(t, conn); a != 1 || b != 2 {
		t.Error(a, b)
	}
	must(t, conn.Leave(timeout(t), "toy", "news"))
	k.Notify(news, 9, number{3})
	k.Unicast(conn.PortID(), k.Event("toy", 9, number{4}))
	if n := received(t, conn); n != 4 {
		t.Error(n)
	}
	var e *gnl.Error
	if err := conn.Join(timeout(t), "toy", "no-such"); !errors.Is(err, gnl.ErrNoGroup) || !errors.As(err, &e) || e.Family != "toy" {
		t.Error(err)
	}
}

type numberAndName struct {
	N uint32 `nl:"1,omitzero"`
	S string `nl:"2,omitzero"`
}

// What could not be encoded was never sent, and leaves no answer behind.
func TestARequestThatIsNotSentLeavesTheConnUsable(t *testing.T) {
	_, c := fake(t, toyFamily(echo, nil, nil))
	conn := pinned(t, c, nil)
	works(t, conn)
	get := gnl.Command[numberAndName, number]{Family: "toy", ID: 1, Name: "get"}
	if _, err := get.Do(timeout(t), conn, numberAndName{S: "a\x00b"}); err == nil {
		t.Error("a NUL within a string was sent")
	}
	works(t, conn)
	if _, err := conn.Do(timeout(t), gnl.Request{Family: "toy", Command: 1, UserHeader: []byte{1}}); err == nil {
		t.Error("a header that the family has not was sent")
	}
	works(t, conn)
}

func TestAnOverrunWhileAFamilyIsLookedUpIsTold(t *testing.T) {
	groupsPermitted(t)
	k, c := fake(t, toyFamily(echo, nil, nil))
	conn := pinned(t, c, nil)
	works(t, conn)
	k.Register(gnltest.Family{Name: "other", Commands: []gnltest.Command{{ID: 1, Do: echo}}})
	first := true
	k.Intercept(func(r *gnltest.Request, handle func() error) error {
		if first {
			first = false
			return r.Overrun()
		}
		return handle()
	})
	other := gnl.Command[number, number]{Family: "other", ID: 1, Name: "get"}
	_, err := other.Do(timeout(t), conn, number{1})
	wantError(t, err, gnl.ErrOverrun)
	_, err = conn.Receive(timeout(t))
	wantError(t, err, gnl.ErrOverrun)
}

func TestALateAnswerToABatchIsNoEvent(t *testing.T) {
	var late netlink.Message
	k, c := fake(t, toyFamily(func(r *gnltest.Request) error {
		if asked(r) == 1 {
			late = r.Answer(1, number{1})
			return gnltest.SkipEnd
		}
		return echo(r)
	}, nil, nil))
	conn := pinned(t, c, nil)
	b, _ := batch("gg")
	wantError(t, b.Do(timeout(t), conn), gnl.ErrUnknownOutcome)
	k.Unicast(conn.PortID(), late, k.Event("toy", 9, number{5}))
	if n := received(t, conn); n != 5 {
		t.Error(n)
	}
}

// While a family that answered ENOENT is looked up again, it is still known to
// everybody else.
func TestAFamilyIsNotForgottenWhileItIsLookedUpAgain(t *testing.T) {
	k, c := fake(t, toyFamily(func(*gnltest.Request) error { return syscall.ENOENT }, nil, nil))
	conn := pinned(t, c, nil)
	_, err := toyGet.Do(timeout(t), c, number{1})
	wantError(t, err, syscall.ENOENT)
	k.Intercept(func(r *gnltest.Request, handle func() error) error {
		if r.Type == 16 { // nlctrl
			return gnltest.SkipEnd
		}
		return handle()
	})
	ctx, cancel := contextOf(t, 10*time.Millisecond)
	defer cancel()
	if _, err := toyGet.Do(ctx, c, number{1}); err == nil {
		t.Error("no error")
	}
	k.Unicast(conn.PortID(), k.Event("toy", 1, number{2}))
	m, err := conn.Receive(timeout(t))
	if err != nil || m.Family != "toy" {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestAReplyWithViewsIsRefusedWhereItWouldDangle(t *testing.T) {
	type view struct {
		B []byte `nl:"1,view"`
	}
	_, c := fake(t, toyFamily(echo, nil, gnltest.DumpFunc(1, func(n number) ([]number, error) { return []number{{1}, {2}}, nil })))
	get := gnl.Command[number, view]{Family: "toy", ID: 1, Name: "get"}
	_, err := get.Do(timeout(t), c, number{1})
	wantError(t, err, attr.ErrTag)
	for _, err := range get.Dump(timeout(t), c, number{}) {
		wantError(t, err, attr.ErrTag)
	}
	var (
		b  gnl.Batch
		v  view
		of int
	)
	wantError(t, b.Err(get.AddTo(&b, &number{1}, &v)), attr.ErrTag)
	for v, err := range get.DumpInto(timeout(t), c, &number{}, &v) {
		if err != nil || len(v.B) != 4 {
			t.Error(v, err)
		}
		of++
	}
	if of != 2 {
		t.Error(of)
	}
}

func TestAClosedClientOpensNoConn(t *testing.T) {
	_, c := fake(t, toyFamily(echo, nil, nil))
	must(t, c.Close())
	if conn, err := c.Conn(timeout(t), nil); !isClosed(err) {
		t.Error(conn, err)
	}
}
