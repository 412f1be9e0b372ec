//go:build linux

package netlink_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/gnlgo/gnl/gnltest"
	"github.com/gnlgo/gnl/netlink"
)

// Which messages are the answers to a request, and which one is the end.

func TestReplyAndAckMayComeInAnyNumberOfDatagrams(t *testing.T) {
	_, c := fake(t, nil, inTurn(
		func(r *gnltest.Request) error {
			r.Send(r.Answer(1, entry(1)))
			r.Send(r.Ack())
			return gnltest.SkipEnd
		},
		func(r *gnltest.Request) error {
			r.Send(r.Answer(1, entry(2)), r.Ack())
			return gnltest.SkipEnd
		},
		func(r *gnltest.Request) error {
			r.Send(r.Answer(1, entry(3)), r.Answer(1, entry(4)))
			r.Send(r.Answer(1, entry(5)))
			return nil
		},
	), nil)
	for _, want := range []string{"\x01", "\x02", "\x03\x04\x05", "\x03\x04\x05"} {
		if got, err := entries(t, c, ask); err != nil || string(got) != want {
			t.Errorf("%v, %v, want %v", got, err, []byte(want))
		}
	}
}

// netdev's dumps are so: only NLMSG_DONE has NLM_F_MULTI.
func TestADumpsPartsNeedNoMultiFlag(t *testing.T) {
	_, c := fake(t, nil, reply, func(r *gnltest.Request) error {
		for n := range byte(5) {
			m := r.Answer(1, entry(n))
			m.Flags = 0
			r.Send(m)
		}
		return nil
	})
	if got, err := dumped(t, c); err != nil || !bytes.Equal(got, []byte{0, 1, 2, 3, 4}) {
		t.Errorf("%v, %v", got, err)
	}
	works(t, c, 7)
}

func TestPartsOfADumpMayComeWithItsEnd(t *testing.T) {
	_, c := fake(t, nil, reply, func(r *gnltest.Request) error {
		r.Send(r.Answer(1, entry(1)), r.Answer(1, entry(2)), r.Done(nil))
		return gnltest.SkipEnd
	})
	if got, err := dumped(t, c); err != nil || !bytes.Equal(got, []byte{1, 2}) {
		t.Errorf("%v, %v", got, err)
	}
	works(t, c, 7)
}

func TestADumpThatFailsMidwayKeepsItsEntriesAndGivesTheErrno(t *testing.T) {
	_, c := fake(t, nil, reply, func(r *gnltest.Request) error {
		r.Reply(1, entry(1))
		return &netlink.Error{Errno: syscall.ENODEV, Message: "it went away", Offset: 20}
	})
	got, err := dumped(t, c)
	var e *netlink.Error
	if !errors.As(err, &e) || e.Errno != syscall.ENODEV || e.Message != "it went away" || e.Offset != 20 || !bytes.Equal(got, []byte{1}) {
		t.Errorf("%v, %v", got, err)
	}
	works(t, c, 7)
}

func TestADumpThatCannotStartIsRefusedWithoutADone(t *testing.T) {
	_, c := fake(t, nil, reply, func(*gnltest.Request) error { return gnltest.Refuse(syscall.EPERM) })
	got, err := dumped(t, c)
	wantError(t, err, os.ErrPermission)
	if got != nil {
		t.Error(got)
	}
	works(t, c, 7)
}

func TestAnEndTooShortForAnErrnoIsAnEnd(t *testing.T) {
	for size := range 4 {
		_, c := fake(t, nil, reply, func(r *gnltest.Request) error {
			r.Reply(1, entry(1))
			done := r.Done(nil)
			done.Data = done.Data[:size]
			r.Send(done)
			return gnltest.SkipEnd
		})
		if got, err := dumped(t, c); err != nil || !bytes.Equal(got, []byte{1}) {
			t.Errorf("%d bytes: %v, %v", size, got, err)
		}
		works(t, c, 7)
	}
}

func TestAnAckTooShortForAnErrnoIsMalformed(t *testing.T) {
	_, c := fake(t, nil, inTurn(func(r *gnltest.Request) error {
		ack := r.Ack()
		ack.Data = ack.Data[:3]
		r.Send(ack)
		return gnltest.SkipEnd
	}, reply), nil)
	_, err := entries(t, c, ask)
	wantError(t, err, netlink.ErrMalformed)
	works(t, c, 7)
}

// A second dump on a socket is refused in the middle of the first one, which
// must not take that for its own end.
func TestTheRefusalOfASecondDumpIsNotTheEndOfTheFirst(t *testing.T) {
	goOn := make(chan bool)
	_, c := fake(t, nil, nil, func(r *gnltest.Request) error {
		r.Reply(1, entry(1))
		r.Flush()
		<-goOn
		r.Reply(1, entry(2))
		return nil
	})
	request := netlink.AppendMessage(nil, toy, netlink.FlagRequest|netlink.FlagDump, ask.Data)
	first, err := c.Begin(bytes.Clone(request), false)
	must(t, err)
	m, err := first.Next(timeout(t))
	if err != nil || m.Data[8] != 1 {
		t.Fatal(m, err)
	}
	second, err := c.Begin(bytes.Clone(request), false)
	must(t, err)
	_, err = second.Next(timeout(t))
	wantError(t, err, syscall.EBUSY)
	if !second.Done() || first.Done() {
		t.Errorf("done: the second %v, the first %v", second.Done(), first.Done())
	}
	close(goOn)
	if m, err = first.Next(timeout(t)); err != nil || m.Data[8] != 2 {
		t.Error(m, err)
	}
	_, err = first.Next(timeout(t))
	wantError(t, err, io.EOF)
}

func TestAnInterruptedDumpSaysSoAfterAllEntries(t *testing.T) {
	for name, at := range map[string]int{"on the first part": 0, "on a later part": 2, "on the end": 3} {
		t.Run(name, func(t *testing.T) {
			_, c := fake(t, nil, reply, inTurn(func(r *gnltest.Request) error {
				for n := range byte(3) {
					if int(n) == at {
						r.Interrupt()
					}
					r.Reply(1, entry(n))
				}
				if at == 3 {
					r.Interrupt()
				}
				return nil
			}, func(r *gnltest.Request) error { r.Reply(1, entry(9)); return nil }))
			got, err := dumped(t, c)
			wantError(t, err, netlink.ErrInterrupted)
			if !bytes.Equal(got, []byte{0, 1, 2}) {
				t.Error(got)
			}
			if got, err = dumped(t, c); err != nil || !bytes.Equal(got, []byte{9}) {
				t.Errorf("the next dump: %v, %v", got, err)
			}
			works(t, c, 7)
		})
	}
}

func TestAnInterruptedDumpThatFailsGivesTheErrno(t *testing.T) {
	_, c := fake(t, nil, reply, func(r *gnltest.Request) error {
		r.Interrupt()
		r.Reply(1, entry(1))
		return syscall.ENOMEM
	})
	_, err := dumped(t, c)
	wantError(t, err, syscall.ENOMEM)
}

// The attributes of an extended ack stand behind the request's header, or
// behind the whole request: the answer says which.
func TestExtendedAcksAreFoundWhetherTheRequestIsCappedOrNot(t *testing.T) {
	full := &netlink.Error{Errno: syscall.ERANGE, Message: "out of range", Offset: 24, Cookie: []byte{1, 2, 3},
		Policy: []byte{8, 0, 1, 0, 4, 0, 0, 0}, Missing: 7, HasMissing: true, MissingNest: 20}
	for _, size := range []int{4, 5, 7, 64, 20_000} {
		for name, build := range map[string]func(*gnltest.Request, error) netlink.Message{
			"capped":   (*gnltest.Request).Error,
			"uncapped": (*gnltest.Request).UncappedError,
		} {
			_, c := fake(t, nil, inTurn(func(r *gnltest.Request) error {
				r.Send(build(r, full))
				return gnltest.SkipEnd
			}, reply), nil)
			request := ask
			request.Data = make([]byte, size)
			copy(request.Data, ask.Data)
			_, err := entries(t, c, request)
			var e *netlink.Error
			if !errors.As(err, &e) {
				t.Fatal(err)
			}
			if e.Errno != full.Errno || e.Message != full.Message || e.Offset != full.Offset || !bytes.Equal(e.Cookie, full.Cookie) ||
				!bytes.Equal(e.Policy, full.Policy) || e.Missing != 7 || !e.HasMissing || e.MissingNest != 20 {
				t.Errorf("%s, request of %d: %+v", name, size, e)
			}
			works(t, c, 7)
		}
	}
}

func TestALongRequestRepeatedWithoutExtendedAckKeepsItsErrno(t *testing.T) {
	_, c := fake(t, nil, inTurn(func(r *gnltest.Request) error {
		r.Send(r.UncappedError(syscall.ERANGE))
		return gnltest.SkipEnd
	}, reply), nil)
	request := ask
	request.Data = append(bytes.Clone(ask.Data), make([]byte, 30_000)...)
	_, err := entries(t, c, request)
	wantError(t, err, syscall.ERANGE)
	works(t, c, 7)
}

func TestAWarningComesWithSuccess(t *testing.T) {
	for _, dump := range []netlink.Flags{0, netlink.FlagDump} {
		_, c := fake(t, nil, func(r *gnltest.Request) error {
			r.Reply(1, entry(1))
			return &netlink.Error{Message: "this is deprecated", Cookie: []byte{5}}
		}, func(r *gnltest.Request) error {
			r.Reply(1, entry(1))
			return &netlink.Error{Message: "this is deprecated", Cookie: []byte{5}}
		})
		x, err := c.Begin(netlink.AppendMessage(nil, toy, netlink.FlagRequest|netlink.FlagAck|dump, ask.Data), false)
		must(t, err)
		if m, err := x.Next(timeout(t)); err != nil || m.Data[8] != 1 {
			t.Error(m, err)
		}
		_, err = x.Next(timeout(t))
		wantError(t, err, io.EOF)
		if w := x.Warning; w == nil || w.Errno != 0 || w.Message != "this is deprecated" || !bytes.Equal(w.Cookie, []byte{5}) || w.Unwrap() != nil {
			t.Errorf("%+v", w)
		}
	}
}

// Broken attributes must not hide what is known.
func TestABrokenExtendedAckKeepsItsErrno(t *testing.T) {
	_, c := fake(t, nil, func(r *gnltest.Request) error {
		m := r.Error(syscall.EBUSY)
		m.Flags |= netlink.FlagAckTLVs
		m.Data = append(m.Data, 7, 0, 1, 0, 'n', 'o', 0, 0, 200, 0, 2, 0, 1)
		r.Send(m)
		return gnltest.SkipEnd
	}, nil)
	_, err := entries(t, c, ask)
	var e *netlink.Error
	if !errors.As(err, &e) || e.Errno != syscall.EBUSY || e.Message != "no" {
		t.Error(err)
	}
}

// An answer has our port id and the request's number. Notifications may have
// the one or the other: ethtool's have a counter of their own and port 0, others
// repeat another process's port and number.
func TestWhatIsNoAnswerIsAnEvent(t *testing.T) {
	var k *gnltest.Kernel
	stray := func(r *gnltest.Request) []netlink.Message {
		noNumber, noPort, foreign, oldNumber := k.Event("toy", 2, entry(1)), k.Event("toy", 2, entry(2)), k.Event("toy", 2, entry(3)), k.Event("toy", 2, entry(4))
		noPort.Sequence = r.Sequence
		foreign.Sequence, foreign.PortID = r.Sequence, r.PortID+1
		oldNumber.Sequence, oldNumber.PortID = r.Sequence-1, r.PortID
		lateAck := r.Error(syscall.EIO)
		lateAck.Sequence--
		return []netlink.Message{noNumber, noPort, foreign, oldNumber, lateAck}
	}
	answer := func(r *gnltest.Request) error {
		r.Send(stray(r)...)
		r.Reply(1, entry(7))
		for _, m := range stray(r) {
			r.Send(m)
		}
		return nil
	}
	k, c := fake(t, nil, answer, answer)
	works(t, c, 7)

	for _, flags := range []netlink.Flags{netlink.FlagAck, netlink.FlagDump} {
		x, err := c.Begin(netlink.AppendMessage(nil, toy, netlink.FlagRequest|flags, ask.Data), false)
		must(t, err)
		var events []byte
		x.Event = func(m *netlink.Message) {
			if m.Type == toy {
				events = append(events, m.Data[8])
			} else {
				events = append(events, 'e')
			}
		}
		if m, err := x.Next(timeout(t)); err != nil || m.Data[8] != 7 {
			t.Error(m, err)
		}
		_, err = x.Next(timeout(t))
		wantError(t, err, io.EOF)
		if string(events) != "\x01\x02\x03\x04e\x01\x02\x03\x04e" {
			t.Errorf("events %q", events)
		}
	}
}

func TestASecondAckIsNotThatOfTheNextRequest(t *testing.T) {
	_, c := fake(t, nil, inTurn(func(r *gnltest.Request) error {
		r.Send(r.Ack())
		r.Send(r.Error(syscall.EIO))
		return nil
	}, reply), nil)
	if got, err := entries(t, c, ask); err != nil || got != nil {
		t.Error(got, err)
	}
	works(t, c, 7)
}

// A request that was given up: its answer comes while the next one waits.
func TestALateAnswerIsNotThatOfTheNextRequest(t *testing.T) {
	late := make(chan bool)
	_, c := fake(t, nil, inTurn(func(r *gnltest.Request) error {
		<-late
		r.Reply(1, entry(1))
		return syscall.EIO
	}, reply), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	x, err := c.Begin(netlink.AppendMessage(nil, toy, netlink.FlagRequest|netlink.FlagAck, ask.Data), false)
	must(t, err)
	_, err = x.Next(ctx)
	wantError(t, err, context.Canceled)
	if x.Done() {
		t.Error("an exchange that was given up says that it has come to its end")
	}
	close(late)
	works(t, c, 7)
}

// With a Config that asks for one message only, the exchange ends at it.
func TestASingleAnswerIsTheEnd(t *testing.T) {
	_, c := fake(t, nil, inTurn(reply, func(*gnltest.Request) error { return syscall.ESRCH }), nil)
	for _, want := range []error{nil, syscall.ESRCH} {
		x, err := c.Begin(netlink.AppendMessage(nil, toy, netlink.FlagRequest, ask.Data), true)
		must(t, err)
		m, err := x.Next(timeout(t))
		if !errors.Is(err, want) || !x.Done() || err == nil && m.Data[8] != 7 {
			t.Errorf("%+v, %v, done: %v", m, err, x.Done())
		}
		if err == nil {
			_, err = x.Next(timeout(t))
			wantError(t, err, io.EOF)
		}
	}
}

func TestTraceSeesEverythingInOrder(t *testing.T) {
	var seen []string
	_, c := fake(t, &netlink.Config{Trace: func(d netlink.Direction, m netlink.Message) {
		seen = append(seen, d.String()+" "+m.Flags.String())
	}}, reply, nil)
	works(t, c, 7)
	if got := strings.Join(seen, ", "); got != "sent request|ack, received 0, received 0x100" {
		t.Error(got)
	}
}
