package unix

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Errno is a system call's error number.
type Errno = syscall.Errno

// Error numbers that the packages above speak of.
const (
	EPERM      = unix.EPERM
	ENOENT     = unix.ENOENT
	ESRCH      = unix.ESRCH
	EINTR      = unix.EINTR
	EBADF      = unix.EBADF
	EAGAIN     = unix.EAGAIN
	EACCES     = unix.EACCES
	EBUSY      = unix.EBUSY
	EEXIST     = unix.EEXIST
	ENODEV     = unix.ENODEV
	EINVAL     = unix.EINVAL
	ERANGE     = unix.ERANGE
	ENODATA    = unix.ENODATA
	ENOBUFS    = unix.ENOBUFS
	EOPNOTSUPP = unix.EOPNOTSUPP

	EAFNOSUPPORT    = unix.EAFNOSUPPORT
	EPROTONOSUPPORT = unix.EPROTONOSUPPORT
	EADDRNOTAVAIL   = unix.EADDRNOTAVAIL
	ENETUNREACH     = unix.ENETUNREACH
)

// Socket options and flags (include/uapi/linux/netlink.h).
const (
	NetlinkAddMembership  = unix.NETLINK_ADD_MEMBERSHIP
	NetlinkDropMembership = unix.NETLINK_DROP_MEMBERSHIP
	NetlinkCapAck         = unix.NETLINK_CAP_ACK
	NetlinkExtAck         = unix.NETLINK_EXT_ACK
	NetlinkGetStrictChk   = unix.NETLINK_GET_STRICT_CHK
)

// NetlinkSocket opens a non-blocking, close-on-exec socket of a netlink
// protocol, binds it to a port of the kernel's choice, connects it to port
// peer, and returns the descriptor and its port id.
func NetlinkSocket(protocol int, peer uint32) (fd int, port uint32, err error) {
	fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return -1, 0, err
	}
	port, err = bindAndConnect(fd, peer)
	if err != nil {
		unix.Close(fd)
		return -1, 0, err
	}
	return fd, port, nil
}

func bindAndConnect(fd int, peer uint32) (uint32, error) {
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	if err := unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: peer}); err != nil {
		return 0, err
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	return sa.(*unix.SockaddrNetlink).Pid, nil
}

// SetNetlinkOption sets an option of level SOL_NETLINK.
func SetNetlinkOption(fd, option, value int) error {
	return unix.SetsockoptInt(fd, unix.SOL_NETLINK, option, value)
}

// SetReceiveBuffer asks for a receive buffer of n bytes: beyond the system's
// limit where the process has CAP_NET_ADMIN, else up to it.
func SetReceiveBuffer(fd, n int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, n) == nil {
		return nil
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, n)
}

// ReceiveBuffer returns the size of the receive buffer as the kernel counts
// it: twice what was asked for.
func ReceiveBuffer(fd int) (int, error) {
	return unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
}

// EnterNetworkNamespace moves the calling thread.
func EnterNetworkNamespace(fd int) error { return unix.Setns(fd, unix.CLONE_NEWNET) }

// IsNetworkNamespace reports whether fd refers to one.
func IsNetworkNamespace(fd int) bool {
	typ, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	return err == nil && typ == unix.CLONE_NEWNET
}

// Gettid is the calling thread's id.
func Gettid() int { return unix.Gettid() }

// SignalName is a signal's name, "SIGKILL"; "" if it has none.
func SignalName(s syscall.Signal) string { return unix.SignalName(s) }

// Close closes a descriptor.
func Close(fd int) error { return unix.Close(fd) }

// Send sends b to the peer that the socket is connected to. The wrapper in
// x/sys allocates an address for each call; this does not.
func Send(fd int, b []byte) error {
	_, _, e := unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// Receive takes one datagram without waiting and returns its whole length,
// which is more than len(b) if it did not fit. With from not nil, the sender's
// port id is stored there. The kernel goes on with a dump in here, which may
// take its time.
func Receive(fd int, b []byte, from *uint32) (int, error) {
	if from != nil {
		return receiveFrom(fd, b, from)
	}
	n, _, e := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_TRUNC, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

// ReceiveQueued is Receive on a socket on which no dump is under way. It only
// copies what is queued, or finds that nothing is: no lock that may be held for
// long, no sleep. So the scheduler need not know of it, which saves small requests
// a little.
func ReceiveQueued(fd int, b []byte) (int, error) {
	n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_TRUNC, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

func receiveFrom(fd int, b []byte, from *uint32) (int, error) {
	var sa unix.RawSockaddrNetlink
	size := uint32(unsafe.Sizeof(sa))
	n, _, e := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_TRUNC, uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)))
	if e != 0 {
		return 0, e
	}
	*from = sa.Pid
	return int(n), nil
}

// Datagrams receives several datagrams with one system call (recvmmsg).
type Datagrams struct {
	bufs    [][]byte
	headers []mmsghdr
	iovecs  []unix.Iovec
	names   []unix.RawSockaddrNetlink
}

// mmsghdr is struct mmsghdr of recvmmsg(2); Go pads it as C does.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// NewDatagrams makes room for count datagrams of size bytes.
func NewDatagrams(count, size int) *Datagrams {
	d := &Datagrams{
		bufs:    make([][]byte, count),
		headers: make([]mmsghdr, count),
		iovecs:  make([]unix.Iovec, count),
		names:   make([]unix.RawSockaddrNetlink, count),
	}
	// One after another in memory, but for a cache line: buffers a power of two
	// apart would fight for the same lines of the processor's cache.
	const cacheLine = 64
	memory := make([]byte, count*(size+cacheLine))
	for i := range d.bufs {
		at := i * (size + cacheLine)
		d.bufs[i] = memory[at : at+size : at+size]
		d.iovecs[i].Base = &d.bufs[i][0]
		d.iovecs[i].SetLen(size)
		h := &d.headers[i].hdr
		h.Iov = &d.iovecs[i]
		h.SetIovlen(1)
	}
	return d
}

// Len is how many datagrams there is room for.
func (d *Datagrams) Len() int { return len(d.headers) }

// Senders says whether At is to tell who sent a datagram, which costs the
// kernel a tenth of its time.
func (d *Datagrams) Senders(wanted bool) {
	if wanted == (d.headers[0].hdr.Name != nil) {
		return
	}
	for i := range d.headers {
		h := &d.headers[i].hdr
		h.Name, h.Namelen = nil, 0
		if wanted {
			h.Name = (*byte)(unsafe.Pointer(&d.names[i]))
		}
	}
}

// Receive takes as many datagrams as are queued, up to most, without waiting,
// and returns how many.
func (d *Datagrams) Receive(fd, most int) (int, error) {
	headers := d.headers[:most]
	if headers[0].hdr.Name != nil {
		for i := range headers {
			headers[i].hdr.Namelen = unix.SizeofSockaddrNetlink
		}
	}
	n, _, e := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&headers[0])), uintptr(most),
		unix.MSG_DONTWAIT, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

// At returns the i-th datagram received, its sender's port id if Senders wants
// to know, and whether it was cut off to fit.
func (d *Datagrams) At(i int) (b []byte, from uint32, truncated bool) {
	h := &d.headers[i]
	return d.bufs[i][:h.n], d.names[i].Pid, h.hdr.Flags&unix.MSG_TRUNC != 0
}
