//go:build linux

package taskstats

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/gnltest"
)

// rawQuery returns a function that makes a ready-made request for one task
// with the bare system calls, and decodes nothing.
func rawQuery(t testing.TB, client *gnl.Client, pid int) func() {
	t.Helper()
	f, err := client.Family(t.Context(), family)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, 16)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Connect(fd, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	request := make([]byte, 28)
	binary.NativeEndian.PutUint32(request, 28)
	binary.NativeEndian.PutUint16(request[4:], f.ID)
	binary.NativeEndian.PutUint16(request[6:], 1) // NLM_F_REQUEST
	request[16], request[17] = 1, 1
	binary.NativeEndian.PutUint16(request[20:], 8)
	binary.NativeEndian.PutUint16(request[22:], 1)
	binary.NativeEndian.PutUint32(request[24:], uint32(pid))
	reply := make([]byte, 4096)
	return func() {
		if _, err := syscall.Write(fd, request); err != nil {
			t.Fatal(err)
		}
		if n, err := syscall.Read(fd, reply); err != nil || n < 400 {
			t.Fatal(n, err)
		}
	}
}

// BenchmarkPID interleaves rounds of PIDInto with rounds of the bare system
// calls, and reports the median ratio.
func BenchmarkPID(b *testing.B) {
	c, client := open(b)
	ctx := context.Background()
	pid := os.Getpid()
	raw := rawQuery(b, client, pid)
	var s Stats
	b.ReportAllocs()
	measure(b, raw, 1, func() {
		if err := c.PIDInto(ctx, pid, &s); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkMany does so with ManyInto, a task of 64.
func BenchmarkMany(b *testing.B) {
	c, client := open(b)
	ctx := context.Background()
	pid := os.Getpid()
	raw := rawQuery(b, client, pid)
	results := make([]Result, 64)
	for i := range results {
		results[i].PID = pid
	}
	b.ReportAllocs()
	measure(b, raw, len(results), func() {
		if err := c.ManyInto(ctx, results); err != nil {
			b.Fatal(err)
		}
	})
}

func measure(b *testing.B, raw func(), of int, op func()) {
	const round = 64
	var ratios []float64
	op()
	for b.Loop() {
		b.StopTimer()
		start := time.Now()
		for range round {
			raw()
		}
		bare := time.Since(start)
		b.StartTimer()
		start = time.Now()
		for range round / of {
			op()
		}
		ratios = append(ratios, float64(time.Since(start))/float64(bare))
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "x-raw")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/round, "ns/task")
}

// BenchmarkExits takes exits that are queued already.
func BenchmarkExits(b *testing.B) {
	for _, sockets := range []int{1, 2} {
		b.Run(fmt.Sprintf("sockets=%d", sockets), func(b *testing.B) {
			f := newFake(b)
			ports := make(chan uint32, sockets)
			f.registration = func(r *gnltest.Request, _ string, on bool) error {
				if on {
					ports <- r.Socket()
				}
				return nil
			}
			l, err := f.Listen(b.Context(), &ListenConfig{CPUs: "0-1", Sockets: sockets})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			exit := f.kernel.Event(family, cmdNew, encodeRecord(4, 1, 1, generate(rand.New(rand.NewPCG(1, 1)), 16)))
			const n = 1000
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				for range sockets {
					port := <-ports
					ports <- port
					for range n / sockets {
						f.kernel.Unicast(port, exit)
					}
				}
				b.StartTimer()
				i := 0
				for _, err := range l.Exits(b.Context()) {
					if err != nil {
						b.Fatal(err)
					}
					if i++; i == n {
						break
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/exit")
		})
	}
}
