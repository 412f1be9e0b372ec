//go:build !race

package gnltest

import "github.com/gnlgo/gnl/netlink"

// exchanged is of use to the race detector only.
type exchanged struct{}

func (*exchanged) sent()     {}
func (*exchanged) received() {}

func (*exchanged) traced(trace func(netlink.Direction, netlink.Message)) func(netlink.Direction, netlink.Message) {
	return trace
}
