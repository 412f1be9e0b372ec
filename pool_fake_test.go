//go:build linux

package gnl_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/gnltest"
	"github.com/gnlgo/gnl/netlink"
)

// The sockets of a client: how many, whose turn, and what a request that is
// given up leaves behind.

// holding is a get that is answered when release is closed, and that tells of
// every request that has come to it.
func holding() (family gnltest.Family, arrived chan uint32, release chan bool) {
	arrived, release = make(chan uint32, 1000), make(chan bool)
	return toyFamily(func(r *gnltest.Request) error {
		arrived <- asked(r)
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return echo(r)
	}, nil, nil), arrived, release
}

func TestNoMoreSocketsThanMaxConnsAreInUse(t *testing.T) {
	family, arrived, release := holding()
	k, _ := fake(t, family)
	var dialled atomic.Int64
	c := configured(t, k, func(config *gnl.Config) {
		config.MaxConns = 3
		config.Dial = func(cfg *netlink.Config) (*netlink.Conn, error) { dialled.Add(1); return k.Dial(cfg) }
	})
	var wg sync.WaitGroup
	for i := range uint32(10) {
		wg.Go(func() {
			if n, err := toyGet.Do(timeout(t), c, number{i + 1}); err != nil || n.N != i+1 {
				t.Error(n, err)
			}
		})
	}
	for range 3 {
		<-arrived
	}
	time.Sleep(5 * time.Millisecond)
	if len(arrived) != 0 || dialled.Load() != 3 {
		t.Errorf("%d more requests came, on %d sockets", len(arrived), dialled.Load())
	}
	// Pinned ones are apart.
	conn := pinned(t, c, nil)
	go toyGet.Do(timeout(t), conn, number{100})
	if n := <-arrived; n != 100 {
		t.Error(n)
	}
	close(release)
	wg.Wait()
	if n := dialled.Load(); n != 4 {
		t.Errorf("%d sockets", n)
	}
}

func TestWaitingForASocketEndsWithTheContextAndWithClose(t *testing.T) {
	family, arrived, _ := holding()
	k, _ := fake(t, family)
	c := configured(t, k, func(config *gnl.Config) { config.MaxConns = 1 })
	held := make(chan error)
	go func() { _, err := toyGet.Do(context.Background(), c, number{1}); held <- err }()
	<-arrived
	best(t, "the end after the deadline", func() time.Duration {
		deadline := time.Now().Add(3 * time.Millisecond)
		ctx, cancel := context.WithDeadline(t.Context(), deadline)
		defer cancel()
		_, err := toyGet.Do(ctx, c, number{2})
		wantError(t, err, context.DeadlineExceeded)
		return time.Since(deadline)
	})
	waits := make(chan error)
	go func() { _, err := toyGet.Do(context.Background(), c, number{3}); waits <- err }()
	time.Sleep(2 * time.Millisecond)
	must(t, c.Close())
	if err := <-held; !isClosed(err) {
		t.Error(err)
	}
	if err := <-waits; !isClosed(err) {
		t.Error(err)
	}
	if len(arrived) != 0 {
		t.Error("a request that waited was made after all")
	}
}

// A request that is given up frees its place.
func TestAGivenUpRequestGivesItsPlaceToTheNext(t *testing.T) {
	// On a slow machine the first may not even have been made by its deadline.
	k, _ := fake(t, toyFamily(func(r *gnltest.Request) error {
		if asked(r) == 1 {
			return silence(r)
		}
		return echo(r)
	}, nil, nil))
	c := configured(t, k, func(config *gnl.Config) { config.MaxConns = 1 })
	for range 2 {
		ctx, cancel := contextOf(t, 3*time.Millisecond)
		_, err := toyGet.Do(ctx, c, number{1})
		wantError(t, err, context.DeadlineExceeded)
		cancel()
	}
	works(t, c)
}

func TestASocketThatCannotBeOpened(t *testing.T) {
	k, _ := fake(t, toyFamily(echo, nil, nil))
	broken := errors.New("no more sockets")
	fail := false
	c := configured(t, k, func(config *gnl.Config) {
		config.MaxConns = 1
		config.Dial = func(cfg *netlink.Config) (*netlink.Conn, error) {
			if fail {
				return nil, broken
			}
			return k.Dial(cfg)
		}
	})
	works(t, c)
	fail = true
	for range toyGet.Dump(timeout(t), c, number{}) { // which there is none of: the socket is as good as before
	}
	works(t, c)
	if _, err := c.Conn(timeout(t), nil); !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, err := gnl.Open(&gnl.Config{Dial: func(*netlink.Config) (*netlink.Conn, error) { return nil, broken }}); !errors.Is(err, broken) {
		t.Error(err)
	}
	// One that breaks cannot be replaced, until it can.
	ctx, cancel := context.WithCancel(t.Context())
	k.Intercept(func(*gnltest.Request, func() error) error { cancel(); return gnltest.SkipEnd })
	_, err := toyGet.Do(ctx, c, number{1})
	wantError(t, err, context.Canceled)
	k.Intercept(nil)
	_, err = toyGet.Do(timeout(t), c, number{1})
	wantError(t, err, broken)
	fail = false
	works(t, c)
}

// Answers to a request that was given up come when its socket is closed and,
// at worst, when another one has its port.
func TestALateAnswerNeverReachesALaterRequest(t *testing.T) {
	// The port of the first socket of a process is the process's id, which is
	// given out again as soon as it is free. Take care that a client's has it.
	first, err := netlink.Dial(netlink.UserSock, nil)
	must(t, err)
	var late sync.WaitGroup
	var ports []uint32
	goOn := make(chan bool)
	k := gnltest.NewKernel(t)
	must(t, first.Close())
	k.Register(toyFamily(func(r *gnltest.Request) error {
		ports = append(ports, r.Socket())
		n := asked(r)
		if n != 77 {
			late.Go(func() { // a command that answers from a worker of the kernel's
				<-goOn
				k.Unicast(r.Socket(), r.Answer(1, number{n}), r.Ack())
			})
			return gnltest.SkipEnd
		}
		close(goOn)
		late.Wait()
		return echo(r)
	}, nil, nil))
	c := k.Client()
	for n := range uint32(3) {
		ctx, cancel := contextOf(t, 3*time.Millisecond)
		_, err := toyGet.Do(ctx, c, number{n + 1})
		wantError(t, err, context.DeadlineExceeded)
		cancel()
	}
	works(t, c)
	if ports[len(ports)-1] != uint32(os.Getpid()) || ports[0] != ports[len(ports)-1] {
		t.Logf("no port was given out again: %v", ports)
	}
}

func TestTenThousandRequestsCancelledAtRandomMoments(t *testing.T) {
	random := func(r *gnltest.Request) error {
		switch n := rand.IntN(8); n {
		case 0:
			return gnltest.SkipEnd
		case 1, 2, 3:
			time.Sleep(time.Duration(n) * 10 * time.Microsecond)
		}
		if r.IsDump() {
			numbers(r, 1, 2, 3)
			return nil
		}
		return echo(r)
	}
	k, c := fake(t, toyFamily(random, nil, random))
	must(t, second(c.Family(timeout(t), "toy")))
	var cancelled, answered atomic.Int64
	var wg sync.WaitGroup
	for worker := range uint32(8) {
		wg.Go(func() {
			for i := range uint32(1250) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Duration(rand.IntN(200))*time.Microsecond, cancel)
				var err error
				want := worker<<16 | i + 1
				switch i % 3 {
				case 0:
					var all []number
					if all, err = gnl.Collect(toyGet.Dump(ctx, c, number{})); err == nil && len(all) != 3 {
						t.Error(all)
					}
				case 1:
					var n number
					if n, err = toyGet.Do(ctx, c, number{want}); err == nil && n.N != want {
						t.Errorf("%d, want %d", n.N, want)
					}
				case 2:
					var b gnl.Batch
					var n number
					toyGet.AddTo(&b, &number{want}, &n)
					if err = b.Do(ctx, c); err == nil && n.N != want {
						t.Errorf("%d, want %d", n.N, want)
					}
				}
				switch {
				case err == nil:
					answered.Add(1)
				case errors.Is(err, context.Canceled):
					cancelled.Add(1)
				default:
					t.Error(err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	k.Intercept(func(r *gnltest.Request, handle func() error) error {
		if r.Family == "toy" {
			return echo(r)
		}
		return handle()
	})
	works(t, c)
	if answered.Load()+cancelled.Load() != 10_000 || answered.Load() == 0 || cancelled.Load() == 0 {
		t.Errorf("%d answered, %d cancelled", answered.Load(), cancelled.Load())
	}
	// That no goroutine and no descriptor is left is checked by TestMain, for
	// all tests.
}
