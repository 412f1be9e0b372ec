package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/ipvs"
	"golang.org/x/sys/unix"
)

// An implementation does the work in one way. The functions that are not there it has no means for.
type implementation struct {
	add  func() error
	list func() (services, destinations int, err error)
}

// implementations set one up for a scene: what is given to add is made here, and not timed.
var implementations = map[string]func(scene) (*implementation, error){
	"raw":        newRaw,
	"gnl":        newApply,
	"batch":      newBatch,
	"cloudflare": newCloudflare,
	"moby":       newMoby,
	"ipvsadm":    newIpvsadm,
}

// A measurement is one step of a worker.
type measurement struct {
	Step   string
	Ns     int64
	Allocs uint64
	Bytes  uint64 // allocated in all
	Peak   uint64 // of the heap, over what it was before; of the steps of which it is asked
}

// workerMain does steps in the network namespace that it finds itself in, which nothing has been configured in, and
// writes a line of JSON for each.
func workerMain(arguments []string) error {
	flags := flag.NewFlagSet("worker", flag.ContinueOnError)
	var s scene
	name := flags.String("implementation", "gnl", "who does it")
	flags.IntVar(&s.Services, "services", 0, "services")
	flags.IntVar(&s.Each, "each", 0, "destinations a service")
	steps := flags.String("steps", "add,list", "what is to be done, in order")
	profile := flags.String("profile", "", "write a CPU profile of each step into this `folder`")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if err := raiseLoopback(); err != nil {
		return err
	}
	setup := implementations[*name]
	if setup == nil {
		return fmt.Errorf("no implementation %s", *name)
	}
	who, err := setup(s)
	if err != nil {
		return fmt.Errorf("%s: %w", *name, err)
	}
	w := &worker{scene: s, who: who}
	if w.gnl, err = gnl.Open(nil); err != nil {
		return err
	}
	defer w.gnl.Close()
	w.ipvs = ipvs.New(w.gnl)
	out := json.NewEncoder(os.Stdout)
	for _, step := range strings.Split(*steps, ",") {
		m, err := w.profiled(step, *profile)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", *name, step, err)
		}
		if err := out.Encode(m); err != nil {
			return err
		}
	}
	return nil
}

type worker struct {
	scene scene
	who   *implementation
	gnl   *gnl.Client
	ipvs  *ipvs.Client
	pools []ipvs.Pool
}

// profiled does a step, with a profile of it if there is a folder for that.
func (w *worker) profiled(step, folder string) (*measurement, error) {
	if folder == "" {
		return w.step(step)
	}
	f, err := os.Create(filepath.Join(folder, step+".pprof"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	defer pprof.StopCPUProfile()
	return w.step(step)
}

func (w *worker) step(step string) (*measurement, error) {
	ctx := context.Background()
	if w.pools == nil && step != "add" && step != "list" {
		w.pools = w.scene.pools()
	}
	all := w.scene
	switch step {
	case "add":
		m, err := timed(step, w.who.add)
		if err == nil {
			err = w.verify(ctx, all.Services, all.destinations())
		}
		return m, err
	case "list":
		var services, destinations int
		m, err := timed(step, func() (err error) {
			services, destinations, err = w.who.list()
			return err
		})
		if err == nil {
			err = all.expect(services, destinations)
		}
		return m, err
	case "peak":
		return w.peak(ctx)
	case "again":
		return w.apply(ctx, step, w.pools, nil, 0)
	case "change":
		m, err := w.apply(ctx, step, w.pools, nil, all.change(w.pools))
		if err == nil {
			err = w.verify(ctx, all.Services, all.destinations())
		}
		return m, err
	case "prune":
		keep := all.Services / 2
		m, err := w.apply(ctx, step, w.pools[:keep], &ipvs.ApplyConfig{Prune: true}, all.Services-keep)
		if err == nil {
			err = w.verify(ctx, keep, keep*all.Each)
		}
		return m, err
	}
	return nil, fmt.Errorf("no such step")
}

// apply applies pools and sees that it took so many changes.
func (w *worker) apply(ctx context.Context, step string, pools []ipvs.Pool, config *ipvs.ApplyConfig, changes int) (*measurement, error) {
	var outcome *ipvs.Outcome
	m, err := timed(step, func() (err error) {
		outcome, err = w.ipvs.Apply(ctx, pools, config)
		return err
	})
	if err == nil && len(outcome.Done) != changes {
		err = fmt.Errorf("it took %d changes, and not %d", len(outcome.Done), changes)
	}
	return m, err
}

// peak lists as gnl does, and looks at the heap meanwhile.
func (w *worker) peak(ctx context.Context) (*measurement, error) {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	size := func() uint64 {
		metrics.Read(heap)
		return heap[0].Value.Uint64()
	}
	var before, most uint64
	m, err := timed("peak", func() error {
		before = size()
		_, _, err := stream(ctx, w.ipvs, func() { most = max(most, size()) })
		return err
	})
	if most > before && m != nil {
		m.Peak = most - before
	}
	return m, err
}

// verify sees that the kernel has so much, whoever has brought it there.
func (w *worker) verify(ctx context.Context, services, destinations int) error {
	s, d, err := stream(ctx, w.ipvs, nil)
	if err != nil {
		return err
	}
	return scene{services, 1}.same(s, d, destinations)
}

func (s scene) expect(services, destinations int) error {
	return s.same(services, destinations, s.destinations())
}

func (s scene) same(services, destinations, want int) error {
	if services != s.Services || destinations != want {
		return fmt.Errorf("%d services and %d destinations are there, and not %d and %d", services, destinations, s.Services, want)
	}
	return nil
}

// timed begins with an empty heap, so that nobody pays for what came before.
func timed(step string, run func() error) (*measurement, error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	if err := run(); err != nil {
		return nil, err
	}
	ns := time.Since(start)
	runtime.ReadMemStats(&after)
	return &measurement{
		Step: step, Ns: int64(ns),
		Allocs: after.Mallocs - before.Mallocs, Bytes: after.TotalAlloc - before.TotalAlloc,
	}, nil
}

// raiseLoopback gives a new network namespace its first route. Without one, the kernel takes no destination for unicast.
func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("raise lo: %w", err)
	}
	return nil
}
