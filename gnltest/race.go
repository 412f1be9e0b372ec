//go:build race

package gnltest

import (
	"sync/atomic"

	"github.com/gnlgo/gnl/netlink"
)

// exchanged tells the race detector of the order that messages make: what
// happened before one was sent has happened when it is received. The detector
// sees that by itself for the reads and writes of package syscall, but not for
// the system calls that netlink sockets use.
type exchanged struct{ n atomic.Uint64 }

func (e *exchanged) sent()     { e.n.Add(1) }
func (e *exchanged) received() { e.n.Load() }

// traced makes a client's socket take part, by its trace function.
func (e *exchanged) traced(trace func(netlink.Direction, netlink.Message)) func(netlink.Direction, netlink.Message) {
	return func(d netlink.Direction, m netlink.Message) {
		if d == netlink.Sent {
			e.sent()
		} else {
			e.received()
		}
		if trace != nil {
			trace(d, m)
		}
	}
}
