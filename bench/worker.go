package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"
)

// A work is what an implementation does for a row.
type work struct {
	// run does n operations. It is timed, and its allocations are counted.
	run func(n int) error
	// prepare, if there is one, goes before every chunk operations, and is not timed.
	prepare func() error
	chunk   int
}

// works has an implementation's rows by key. The functions set a row up: they are called once a process.
type works map[string]func() (*work, error)

// errUnsupported is wrapped where an implementation has no means for a row.
var errUnsupported = errors.New("unsupported")

func unsupported(why string) func() (*work, error) {
	return func() (*work, error) { return nil, fmt.Errorf("%w: %s", errUnsupported, why) }
}

// simply makes a work of an operation; check sees whether the last of a burst had the right result.
func simply(op, check func() error) *work {
	return &work{run: func(n int) error {
		for range n {
			if err := op(); err != nil {
				return err
			}
		}
		return check()
	}}
}

// parallel makes a work of one operation for each of 64 goroutines, which share a burst's operations out.
func parallel(ops []func() error) *work {
	return &work{run: func(n int) error {
		errs := make([]error, len(ops))
		var wg sync.WaitGroup
		for i, op := range ops {
			wg.Go(func() {
				for range n / len(ops) {
					if err := op(); err != nil {
						errs[i] = err
						return
					}
				}
			})
		}
		wg.Wait()
		return errors.Join(errs...)
	}}
}

// events makes a work of receive, which answers how many notifications it took off the socket.
func events(receive func() (int, error)) *work {
	return &work{
		run: func(n int) error {
			for n > 0 {
				got, err := receive()
				if err != nil {
					return err
				}
				n -= got
			}
			if n < 0 {
				return fmt.Errorf("%d notifications too many", -n)
			}
			return nil
		},
		prepare: produce,
		chunk:   eventCount,
	}
}

// batches makes a work of send, which does batchSize operations.
func batches(send func() error) *work {
	return &work{run: func(n int) error {
		for ; n > 0; n -= batchSize {
			if err := send(); err != nil {
				return err
			}
		}
		return nil
	}}
}

// serve answers the line protocol that c/worker.h describes.
func serve(rows works, in io.Reader, out io.Writer) error {
	open := map[string]*work{}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var (
			key       string
			n, parked int
		)
		if _, err := fmt.Sscan(lines.Text(), &key, &n, &parked); err != nil || n < 1 {
			fmt.Fprintf(out, "FAIL not a request: %s\n", lines.Text())
			continue
		}
		ns, allocs, err := serveRow(rows, open, key, n, parked != 0)
		switch {
		case errors.Is(err, errUnsupported):
			fmt.Fprintf(out, "UNSUPPORTED %v\n", err)
		case err != nil:
			fmt.Fprintf(out, "FAIL %v\n", err)
		default:
			fmt.Fprintf(out, "OK %d %d\n", ns, allocs)
		}
	}
	return lines.Err()
}

func serveRow(rows works, open map[string]*work, key string, n int, parked bool) (ns, allocs int64, err error) {
	w, ok := open[key]
	if !ok {
		setup, ok := rows[key]
		if !ok {
			return 0, 0, errUnsupported
		}
		if w, err = setup(); err != nil {
			return 0, 0, err
		}
		open[key] = w
	}
	if parked {
		unpark, err := park()
		if err != nil {
			return 0, 0, err
		}
		defer unpark()
	}
	return burst(w, n)
}

// park leaves a goroutine waiting in the poller, as in every server that waits for its next connection: from then on the
// runtime keeps a thread in epoll_wait, which every registered socket that becomes readable wakes.
func park() (unpark func(), err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = r.Read(make([]byte, 1)) // ends in io.EOF
	}()
	time.Sleep(time.Millisecond) // until it waits
	return func() {
		w.Close()
		<-done
		r.Close()
	}, nil
}

// burst counts the allocations of prepare too, of which there are hardly any: counting stops the world, and the threads
// that go on afterwards would be in the way of a chunk of some 100 µs.
func burst(w *work, n int) (ns, allocs int64, err error) {
	var before, after runtime.MemStats
	chunk := w.chunk
	if chunk == 0 {
		chunk = n
	}
	runtime.ReadMemStats(&before)
	for ; n > 0; n -= chunk {
		if w.prepare != nil {
			if err := w.prepare(); err != nil {
				return 0, 0, err
			}
		}
		start := time.Now()
		if err := w.run(min(n, chunk)); err != nil {
			return 0, 0, err
		}
		ns += int64(time.Since(start))
	}
	runtime.ReadMemStats(&after)
	return ns, int64(after.Mallocs - before.Mallocs), nil
}
