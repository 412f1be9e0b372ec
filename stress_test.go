//go:build linux

package gnl_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gnlgo/gnl"
)

// soak is how long the stress tests run: a few seconds, or what GNL_SOAK says
// ("1m").
func soak(t testing.TB) time.Duration {
	if s := os.Getenv("GNL_SOAK"); s != "" {
		d, err := time.ParseDuration(s)
		must(t, err)
		return d
	}
	return 3 * time.Second
}

func TestManyGoroutinesOfRequestsDumpsAndCancellations(t *testing.T) {
	c := open(t, &gnl.Config{MaxConns: 16})
	needs(t, c, "TASKSTATS")
	needs(t, c, "ethtool")
	ctx, cancel := context.WithTimeout(t.Context(), soak(t))
	defer cancel()
	var done, cancelled atomic.Int64
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			for ctx.Err() == nil {
				// Each request may end early; those that are not cancelled must be right.
				rctx, stop := context.WithCancel(context.WithoutCancel(ctx))
				if random.IntN(4) == 0 {
					time.AfterFunc(time.Duration(random.IntN(300))*time.Microsecond, stop)
				}
				err := stressOnce(rctx, c, random)
				switch {
				case err == nil:
					done.Add(1)
				case errors.Is(err, context.Canceled) && rctx.Err() != nil:
					cancelled.Add(1)
				default:
					t.Error(err)
				}
				stop()
			}
		})
	}
	wg.Wait()
	if _, err := c.Families(timeout(t)); err != nil {
		t.Error("after all that:", err)
	}
	t.Logf("%d requests done, %d cancelled", done.Load(), cancelled.Load())
}

// stressOnce makes one request of some kind and checks its answer.
func stressOnce(ctx context.Context, c *gnl.Client, random *rand.Rand) error {
	switch random.IntN(6) {
	case 0, 1:
		f, err := c.Family(ctx, "ethtool")
		if err == nil && f.Name != "ethtool" {
			err = errors.New("another request's answer: " + f.Name)
		}
		return err
	case 2:
		self := uint32(os.Getpid())
		reply, err := taskGet.Do(ctx, c, taskRequest{PID: self})
		if err == nil && reply.Aggregate.PID != self {
			err = errors.New("another request's answer")
		}
		return err
	case 3:
		if _, err := taskGet.Do(ctx, c, taskRequest{PID: 1<<31 - 2}); !errors.Is(err, syscall.ESRCH) {
			return errors.Join(err, ctx.Err())
		}
		return nil
	case 4:
		p, err := c.Policy(ctx, "nlctrl")
		if err == nil && len(p.Policies) == 0 {
			err = errors.New("an empty policy")
		}
		return err
	default:
		stop := random.IntN(20)
		for _, err := range c.Dump(ctx, gnl.Request{Family: "nlctrl", Command: 3}) {
			if err != nil {
				return err
			}
			if stop--; stop == 0 {
				break // a dump left half-way
			}
		}
		return nil
	}
}

func TestAfterTenThousandCancelledRequestsTheNextWorks(t *testing.T) {
	c := open(t, nil)
	needs(t, c, "ethtool")
	random := rand.New(rand.NewPCG(1, 2))
	cancelled := 0
	for range 10_000 {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Duration(random.IntN(20))*time.Microsecond, cancel)
		if _, err := c.Policy(ctx, "ethtool"); err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			cancelled++
		}
		cancel()
	}
	f, err := c.Family(timeout(t), "ethtool")
	if err != nil || f.Name != "ethtool" {
		t.Fatal(f, err)
	}
	t.Logf("%d of 10000 were cancelled", cancelled)
}

func TestConcurrentDumpsSucceed(t *testing.T) {
	c := open(t, nil)
	needs(t, c, "ethtool")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				p, err := c.Policy(timeout(t), "ethtool")
				if err != nil || len(p.Policies) < 30 {
					t.Error(len(p.Policies), err)
				}
			}
		})
	}
	wg.Wait()
}

func TestAClosedClientSaysSo(t *testing.T) {
	c, err := gnl.Open(nil)
	must(t, err)
	must(t, c.Close())
	must(t, c.Close())
	if _, err := c.Family(timeout(t), "nlctrl"); !isClosed(err) {
		t.Errorf("%v is not net.ErrClosed", err)
	}
}

func TestAWaitingListOfOneSocketIsServed(t *testing.T) {
	c := open(t, &gnl.Config{MaxConns: 1})
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 50 {
				// Names that are not known yet are looked up on the same socket.
				if _, err := c.Do(timeout(t), gnl.Request{Family: "nlctrl", Command: 77}); !errors.Is(err, syscall.EOPNOTSUPP) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, err := range c.Dump(timeout(t), gnl.Request{Family: "nlctrl", Command: 3}) {
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := c.Family(ctx, "nlctrl") // the only socket is in use by this very loop
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v is not context.DeadlineExceeded", err)
		}
		break
	}
}
