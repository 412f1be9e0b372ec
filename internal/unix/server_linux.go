package unix

import (
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ECONNREFUSED: no socket has the port that was sent to.
const ECONNREFUSED = unix.ECONNREFUSED

// ServerSocket opens a non-blocking, close-on-exec netlink socket that is
// bound to a port of the kernel's choice and not connected, so that any socket
// of its protocol can talk to it.
func ServerSocket(protocol int) (fd int, port uint32, err error) {
	fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return -1, 0, err
	}
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if err == nil {
		port, err = portOf(fd)
	}
	if err != nil {
		unix.Close(fd)
		return -1, 0, err
	}
	return fd, port, nil
}

func portOf(fd int) (uint32, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	nl, ok := sa.(*unix.SockaddrNetlink)
	if !ok {
		return 0, unix.EAFNOSUPPORT
	}
	return nl.Pid, nil
}

// ReceiveWhole takes one datagram of any size without waiting, and says which
// port sent it and which groups it was sent to.
func ReceiveWhole(fd int) (b []byte, from, groups uint32, err error) {
	n, _, e := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), 0, 0, unix.MSG_DONTWAIT|unix.MSG_PEEK|unix.MSG_TRUNC, 0, 0)
	if e != 0 {
		return nil, 0, 0, e
	}
	b = make([]byte, max(n, 1))
	var sa unix.RawSockaddrNetlink
	size := uint32(unsafe.Sizeof(sa))
	n, _, e = unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)))
	if e != 0 {
		return nil, 0, 0, e
	}
	return b[:n], sa.Pid, sa.Groups, nil
}

// SendTo sends one datagram to a port and to groups, without waiting.
func SendTo(fd int, b []byte, port, groups uint32) error {
	sa := unix.RawSockaddrNetlink{Family: unix.AF_NETLINK, Pid: port, Groups: groups}
	_, _, e := unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&sa)), unsafe.Sizeof(sa))
	if e != 0 {
		return e
	}
	return nil
}

// Own returns a new descriptor of the netlink socket of this process that has
// the given protocol and port, whoever opened it.
func Own(protocol int, port uint32) (fd int, err error) {
	dir, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1, err
	}
	is := func(fd int) bool {
		p, err := portOf(fd)
		if err != nil || p != port {
			return false
		}
		proto, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
		return err == nil && proto == protocol
	}
	for _, entry := range dir {
		number, err := strconv.Atoi(entry.Name())
		if err != nil || !is(number) {
			continue
		}
		fd, err := unix.FcntlInt(uintptr(number), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			continue // closed meanwhile
		}
		if is(fd) {
			return fd, nil
		}
		unix.Close(fd)
	}
	return -1, unix.ENOENT
}

// Drops is how many datagrams the kernel had to drop because the socket's
// receive buffer was full.
func Drops(fd int) (uint32, error) {
	const dropsIndex = 8 // SK_MEMINFO_DROPS
	var info [dropsIndex + 1]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if e != 0 {
		return 0, e
	}
	return info[dropsIndex], nil
}
