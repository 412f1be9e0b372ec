//go:build linux

package ipvs

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/gnltest"
)

// What goes wrong while destinations drain, which a kernel does not do on
// command.

// drainScene is a double with services of one port and three connections at each
// of their destinations.
type drainScene struct {
	*double
	t testing.TB

	mu       sync.Mutex
	weights  map[byte]map[byte]uint32 // by the last bytes of service and destination
	requests []string                 // what was changed: "set 5 0", "remove 5", "remove service 9"

	list   func(service byte, nth int) error // before a list of destinations; nil: nothing is wrong
	change func(what string) error           // before a change
	lists  int
}

func newDrainScene(t testing.TB, services ...byte) *drainScene {
	s := &drainScene{double: newDouble(t), t: t, weights: map[byte]map[byte]uint32{}}
	for _, service := range services {
		s.weights[service] = map[byte]uint32{5: 1, 6: 1}
	}
	s.dump[4] = func(r *gnltest.Request) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, service := range sortedKeys(s.weights) {
			r.Reply(1, entry(t, 1, func(e *attr.Encoder) {
				e.Uint16(1, 2)
				e.Uint16(2, 6)
				e.Bytes(3, wireBytes(1, 1, 1, service))
				e.BigEndianUint16(4, 80)
				e.String(6, "rr")
				e.Bytes(9, []byte{255, 255, 255, 255})
			}))
		}
		return nil
	}
	s.dump[8] = func(r *gnltest.Request) error {
		service, _ := keysOf(t, r)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lists++
		if s.list != nil {
			if err := s.list(service, s.lists); err != nil {
				return err
			}
		}
		for _, d := range sortedKeys(s.weights[service]) {
			r.Reply(5, entry(t, 2, func(e *attr.Encoder) {
				e.Bytes(1, wireBytes(10, 0, 0, d))
				e.BigEndianUint16(2, 80)
				e.Uint32(3, 0)
				e.Uint32(4, s.weights[service][d])
				e.Uint32(5, 0)
				e.Uint32(6, 0)
				e.Uint32(7, 3) // active
				e.Uint32(8, 0)
				e.Uint32(9, 0)
				e.Uint16(11, 2)
			}))
		}
		return nil
	}
	s.do[4] = func(r *gnltest.Request) error { return syscall.ESRCH }
	s.do[6] = func(r *gnltest.Request) error {
		service, d := keysOf(t, r)
		weight := tree(t, r.Attributes, 1, 2)["2"].(map[string]any)["4"]
		return s.made(fmt.Sprintf("set %d %v", d, weight), func() {
			if strings.HasPrefix(fmt.Sprint(weight), "00") {
				s.weights[service][d] = 0
			}
		})
	}
	s.do[7] = func(r *gnltest.Request) error {
		service, d := keysOf(t, r)
		return s.made(fmt.Sprintf("remove %d", d), func() { delete(s.weights[service], d) })
	}
	s.do[3] = func(r *gnltest.Request) error {
		service, _ := keysOf(t, r)
		return s.made(fmt.Sprintf("remove service %d", service), func() { delete(s.weights, service) })
	}
	return s
}

func (s *drainScene) made(what string, apply func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.change != nil {
		if err := s.change(what); err != nil {
			return err
		}
	}
	s.requests = append(s.requests, what)
	apply()
	return nil
}

func sortedKeys[V any](m map[byte]V) []byte {
	var keys []byte
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func wireBytes(a ...byte) []byte { return append(a, make([]byte, 12)...) }

// keysOf are the last bytes of the addresses of service and destination.
func keysOf(t testing.TB, r *gnltest.Request) (service, destination byte) {
	t.Helper()
	for nest, to := range map[string]*byte{"1": &service, "2": &destination} {
		address := map[string]string{"1": "3", "2": "1"}[nest]
		if m, ok := tree(t, r.Attributes, 1, 2)[nest].(map[string]any); ok {
			if _, err := fmt.Sscanf(m[address].(string)[6:8], "%02x", to); err != nil {
				t.Error(err)
			}
		}
	}
	return service, destination
}

// emptied is the pool of service 1 without destinations.
func emptied() []Pool {
	return []Pool{{Service: Service{ServiceID: Virtual(TCP, netip.MustParseAddrPort("1.1.1.1:80")), Scheduler: "rr"}}}
}

func describe(failures []Failure) (lines []string) {
	for _, f := range failures {
		lines = append(lines, f.Change.String())
	}
	return lines
}

func wantLines(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, not %q", what, got, want)
	}
}

func TestWhereAWeightCannotBeSetNothingIsWaitedForNorLost(t *testing.T) {
	s := newDrainScene(t, 1, 9)
	s.change = func(what string) error {
		if strings.HasPrefix(what, "set 6") {
			return syscall.ENOMEM
		}
		return nil
	}
	start := time.Now()
	outcome, err := s.Apply(t.Context(), emptied(), &ApplyConfig{Drain: time.Hour, Prune: true})
	if took := time.Since(start); took > time.Minute {
		t.Errorf("it took %s", took)
	}
	if !errors.Is(err, syscall.ENOMEM) || len(outcome.Cut) != 0 {
		t.Errorf("the error is %v, and cut are %v", err, outcome.Cut)
	}
	wantLines(t, "failed", describe(outcome.Failed), "set destination 10.0.0.6:80 of tcp:1.1.1.1:80: weight 1 → 0")
	wantLines(t, "skipped", describe(outcome.Skipped), "remove destination 10.0.0.5:80 from tcp:1.1.1.1:80",
		"remove destination 10.0.0.6:80 from tcp:1.1.1.1:80", "remove service tcp:1.1.1.9:80")
	// The other one has its weight back, and the service that is not desired has lost nothing.
	if len(s.requests) != 2 || !strings.HasPrefix(s.requests[0], "set 5 00") || !strings.HasPrefix(s.requests[1], "set 5 01") {
		t.Errorf("changed was %q", s.requests)
	}
}

func TestADestinationThatGoesMeanwhileIsNotWaitedFor(t *testing.T) {
	s := newDrainScene(t, 1)
	s.change = func(what string) error {
		if strings.HasPrefix(what, "set 6") {
			delete(s.weights[1], 6)
			return syscall.ENOENT
		}
		return nil
	}
	start := time.Now()
	outcome, err := s.Apply(t.Context(), emptied(), &ApplyConfig{Drain: time.Second})
	if took := time.Since(start); err != nil || took < time.Second || took > 1900*time.Millisecond {
		t.Errorf("it took %s, and ended with %v", took, err)
	}
	if len(outcome.Cut) != 1 || outcome.Cut[0].Destination.String() != "10.0.0.5:80" || outcome.Cut[0].Connections != 3 {
		t.Errorf("cut are %v", outcome.Cut)
	}
}

func TestADestinationThatOneListMissesIsNotTakenForDrained(t *testing.T) {
	s := newDrainScene(t, 1)
	var kept uint32
	s.list = func(_ byte, nth int) error {
		if nth == 3 {
			kept = s.weights[1][5]
			delete(s.weights[1], 5)
		}
		if nth == 4 {
			s.weights[1][5] = kept
		}
		return nil
	}
	outcome, err := s.Apply(t.Context(), emptied(), &ApplyConfig{Drain: time.Second})
	if err != nil || len(outcome.Cut) != 2 {
		t.Errorf("cut are %v, with %v", outcome.Cut, err)
	}
}

func TestAServiceWhoseDestinationsCannotBeListedIsNotRemoved(t *testing.T) {
	s := newDrainScene(t, 9)
	s.list = func(byte, int) error { return syscall.ENOMEM }
	outcome, err := s.Apply(t.Context(), nil, &ApplyConfig{Drain: time.Hour, Prune: true})
	if !errors.Is(err, syscall.ENOMEM) || len(s.requests) != 0 {
		t.Errorf("the error is %v, and changed was %q", err, s.requests)
	}
	wantLines(t, "failed", describe(outcome.Failed), "remove service tcp:1.1.1.9:80")
}

func TestWhatCannotBeLookedAtWhileItDrainsIsNotRemoved(t *testing.T) {
	s := newDrainScene(t, 9)
	s.list = func(_ byte, nth int) error {
		if nth > 1 {
			return syscall.ENOMEM
		}
		return nil
	}
	outcome, err := s.Apply(t.Context(), nil, &ApplyConfig{Drain: time.Hour, Prune: true})
	if !errors.Is(err, syscall.ENOMEM) || slices.Contains(s.requests, "remove service 9") {
		t.Errorf("the error is %v, and changed was %q", err, s.requests)
	}
	wantLines(t, "failed", describe(outcome.Failed), "remove service tcp:1.1.1.9:80")
}

func TestWhatIsCancelledWhileItDrainsIsSkipped(t *testing.T) {
	s := newDrainScene(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.list = func(_ byte, nth int) error {
		if nth == 3 {
			cancel()
		}
		return nil
	}
	outcome, err := s.Apply(ctx, emptied(), &ApplyConfig{Drain: time.Hour})
	if !errors.Is(err, context.Canceled) || len(outcome.Failed) != 0 || len(outcome.Cut) != 0 {
		t.Errorf("the error is %v, failed %v, cut %v", err, outcome.Failed, outcome.Cut)
	}
	wantLines(t, "skipped", describe(outcome.Skipped), "remove destination 10.0.0.5:80 from tcp:1.1.1.1:80",
		"remove destination 10.0.0.6:80 from tcp:1.1.1.1:80")
}

func TestACancellationAfterTheLastChangeIsNoFailure(t *testing.T) {
	s := newDrainScene(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := s.Apply(ctx, emptied(), &ApplyConfig{Progress: func(p Progress) {
		if p.Done == p.Total {
			cancel()
		}
	}})
	if err != nil || ctx.Err() == nil {
		t.Errorf("%v", err)
	}
}

func TestANegativeDrainIsRefused(t *testing.T) {
	var field *FieldError
	_, err := newDrainScene(t).Apply(t.Context(), nil, &ApplyConfig{Drain: -1})
	if !errors.As(err, &field) || field.Field != "drain" {
		t.Errorf("%v", err)
	}
}
