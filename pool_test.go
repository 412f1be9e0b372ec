package gnl

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gnlgo/gnl/netlink"
)

func TestThoseWhoWaitForASocketAreServedInOrder(t *testing.T) {
	p := pool{max: 1, dial: func() (*netlink.Conn, error) { return new(netlink.Conn), nil }}
	first, err := p.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	inLine := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.waiting)
	}
	var order []int // appended to by whoever has the socket
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s, err := p.get(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			order = append(order, i)
			p.put(s, true)
		})
		for inLine() != i+1 {
			time.Sleep(time.Millisecond)
		}
	}
	p.put(first, true)
	wg.Wait()
	if !slices.Equal(order, []int{0, 1, 2, 3, 4, 5, 6, 7}) {
		t.Errorf("served in the order %v", order)
	}
}
