package gnltest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"sync"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/internal/unix"
	"github.com/gnlgo/gnl/netlink"
)

// groups gives the Kernel's multicast groups their numbers. The carrier has 32
// groups in a network namespace, for all processes. Each number is taken where
// nobody seems to use it, and held by being a member. When all are in use, Kernels
// share: whoever subscribes knows its Kernel by its port.
type groups struct {
	mine  uint32 // a bit for each group that this Kernel has
	extra uint32 // groups beyond the carrier's, which nobody can join
	spare uint32 // a group of no family, for overflow; 0 until it is needed
}

const carrierGroups = 32

// taken is how many Kernels of this process have each group.
var taken struct {
	sync.Mutex
	by [1 + carrierGroups]int
}

func bit(group uint32) uint32 { return 1 << (group - 1) }

// add returns a group that nobody uses; if there is none and it need not be the
// Kernel's alone, one that others use.
func (g *groups) add(socket *os.File, alone bool) uint32 {
	taken.Lock()
	defer taken.Unlock()
	used := usedElsewhere()
	for group, n := range taken.by {
		if n > 0 {
			used |= bit(uint32(group))
		}
	}
	avoid := used
	if used == math.MaxUint32 && !alone {
		avoid = g.mine
	}
	start := uint32(os.Getpid())
	for i := range uint32(carrierGroups) {
		group := 1 + (start+i)%carrierGroups
		if avoid&bit(group) != 0 {
			continue
		}
		taken.by[group]++
		g.mine |= bit(group)
		member(socket, unix.NetlinkAddMembership, group) // without privilege nobody can be one
		return group
	}
	g.extra++
	return carrierGroups + g.extra
}

// remove gives a group back.
func (g *groups) remove(socket *os.File, group uint32) {
	if group > carrierGroups {
		return
	}
	taken.Lock()
	defer taken.Unlock()
	taken.by[group]--
	g.mine &^= bit(group)
	member(socket, unix.NetlinkDropMembership, group)
}

func (g *groups) close() {
	taken.Lock()
	defer taken.Unlock()
	for group := range uint32(carrierGroups) {
		if g.mine&bit(group+1) != 0 {
			taken.by[group+1]--
		}
	}
}

// usedElsewhere is the groups of the carrier that sockets of the network
// namespace are members of.
func usedElsewhere() (used uint32) {
	b, err := os.ReadFile("/proc/thread-self/net/netlink")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		// sk Eth Pid Groups …
		if f := bytes.Fields(line); len(f) > 3 && string(f[1]) == strconv.Itoa(netlink.UserSock) {
			n, _ := strconv.ParseUint(string(f[3]), 16, 32)
			used |= uint32(n)
		}
	}
	return used
}

func member(socket *os.File, option int, group uint32) (err error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	controlErr := raw.Control(func(fd uintptr) { err = unix.SetNetlinkOption(int(fd), option, int(group)) })
	return errors.Join(controlErr, err)
}

// GroupsPermitted reports whether the process may join multicast groups of the
// carrier, NETLINK_USERSOCK, and so subscribe to events and be made to overrun:
// nil, or an error that says what is missing, for testing.TB.Skip. It takes
// CAP_NET_ADMIN over the network namespace, which root has, and everybody has
// who runs the tests in a user namespace: unshare --map-root-user --net go test.
func GroupsPermitted() error {
	c, err := netlink.Dial(netlink.UserSock, nil)
	if err != nil {
		return fmt.Errorf("gnltest: %w", err)
	}
	defer c.Close()
	if err := c.Join(carrierGroups); err != nil {
		return fmt.Errorf("gnltest: multicast groups need CAP_NET_ADMIN; run the test as root, or as "+
			"\"unshare --map-root-user --net go test\": %w", err)
	}
	return nil
}

// Notify sends an event to the members of a multicast group: [Kernel.Multicast]
// of what [Kernel.Event] makes.
func (k *Kernel) Notify(group gnl.GroupName, command uint8, body any) {
	k.Multicast(group, k.Event(group.Family, command, body))
}

// Multicast sends messages to the members of a group, as one datagram; see
// [Kernel.Unicast]. A member whose receive buffer is full loses it, and learns
// that by ENOBUFS. Multicast panics if there is no such group. Without the
// privilege that [GroupsPermitted] asks for nobody can be a member.
func (k *Kernel) Multicast(group gnl.GroupName, messages ...netlink.Message) {
	k.MulticastBytes(group, appendMessages(nil, messages))
}

// MulticastBytes is [Kernel.Multicast] with a datagram of any bytes.
func (k *Kernel) MulticastBytes(group gnl.GroupName, b []byte) { k.broadcast(k.groupOf(group), b) }

func (k *Kernel) broadcast(group uint32, b []byte) {
	if group > carrierGroups {
		return
	}
	// Nobody sits at port 0, which is sent to besides: that is no failure.
	if err := k.sendTo(b, 0, bit(group)); err != nil && !errors.Is(err, unix.ECONNREFUSED) && k.ctx.Err() == nil {
		panic(fmt.Errorf("gnltest: send a datagram of %d bytes to group %d: %w", len(b), group, err))
	}
}

// Overrun makes the socket of this process that has a port lose messages, as
// [Request.Overrun] does.
func (k *Kernel) Overrun(port uint32) error {
	fd, err := unix.Own(netlink.UserSock, port)
	if err != nil {
		return fmt.Errorf("gnltest: overrun: no socket has port %d: %w", port, err)
	}
	defer unix.Close(fd)
	// With the smallest buffer there is, at most one message fits.
	size, err := unix.ReceiveBuffer(fd)
	if err != nil {
		return fmt.Errorf("gnltest: overrun: %w", err)
	}
	if err := unix.SetReceiveBuffer(fd, 0); err != nil {
		return fmt.Errorf("gnltest: overrun: %w", err)
	}
	defer unix.SetReceiveBuffer(fd, size/2)
	for {
		lost, err := k.overflowOf(fd)
		if err != nil {
			return fmt.Errorf("gnltest: overrun: %w", err)
		}
		if lost {
			return nil
		}
	}
}

// overflow makes a socket whose receive buffer is full lose a message, and
// reports whether it did: it may have made room meanwhile.
func (k *Kernel) overflow(port uint32) (lost bool, err error) {
	fd, err := unix.Own(netlink.UserSock, port)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	return k.overflowOf(fd)
}

// noop is a message that receivers pass over, and large enough to fill the
// smallest receive buffer.
var noop = appendMessages(nil, []netlink.Message{{Header: netlink.Header{Type: netlink.TypeNoop}, Data: make([]byte, 4<<10)}})

// overflowOf makes the socket a member of a group for a moment and sends to
// that. Only what is sent to groups makes the real kernel set ENOBUFS on a
// socket that another process's messages do not fit into.
func (k *Kernel) overflowOf(fd int) (lost bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	g := &k.groups
	if g.spare == 0 {
		g.spare = g.add(k.file, true)
	}
	if g.spare > carrierGroups {
		g.spare = 0 // another time there may be one
		return false, errors.New("all groups of NETLINK_USERSOCK are taken")
	}
	if err := unix.SetNetlinkOption(fd, unix.NetlinkAddMembership, int(g.spare)); err != nil {
		return false, fmt.Errorf("join a group, which needs CAP_NET_ADMIN: %w", err)
	}
	defer unix.SetNetlinkOption(fd, unix.NetlinkDropMembership, int(g.spare))
	before, err := unix.Drops(fd)
	if err != nil {
		return false, err
	}
	k.broadcast(g.spare, noop)
	after, err := unix.Drops(fd)
	return after != before, err
}
