//go:build !linux

package unix

import "errors"

// Error numbers as on most Linux architectures.
const (
	EPERM      = Errno(1)
	ENOENT     = Errno(2)
	ESRCH      = Errno(3)
	EINTR      = Errno(4)
	EBADF      = Errno(9)
	EAGAIN     = Errno(11)
	EACCES     = Errno(13)
	EBUSY      = Errno(16)
	EEXIST     = Errno(17)
	ENODEV     = Errno(19)
	EINVAL     = Errno(22)
	ERANGE     = Errno(34)
	ENODATA    = Errno(61)
	EOPNOTSUPP = Errno(95)
	ENOBUFS    = Errno(105)

	EAFNOSUPPORT    = Errno(97)
	EPROTONOSUPPORT = Errno(93)
	EADDRNOTAVAIL   = Errno(99)
	ENETUNREACH     = Errno(101)
)

const (
	NetlinkAddMembership = iota
	NetlinkDropMembership
	NetlinkCapAck
	NetlinkExtAck
	NetlinkGetStrictChk
)

func NetlinkSocket(int, uint32) (int, uint32, error) { return -1, 0, errors.ErrUnsupported }
func SetNetlinkOption(int, int, int) error           { return errors.ErrUnsupported }
func SetReceiveBuffer(int, int) error                { return errors.ErrUnsupported }
func ReceiveBuffer(int) (int, error)                 { return 0, errors.ErrUnsupported }
func IsNetworkNamespace(int) bool                    { return false }
func Close(int) error                                { return errors.ErrUnsupported }
func Send(int, []byte) error                         { return errors.ErrUnsupported }
func Receive(int, []byte, *uint32) (int, error)      { return 0, errors.ErrUnsupported }

func ReceiveQueued(int, []byte) (int, error) { return 0, errors.ErrUnsupported }

// Datagrams receives several datagrams with one system call.
type Datagrams struct{}

func NewDatagrams(int, int) *Datagrams           { return &Datagrams{} }
func (*Datagrams) Senders(bool)                  {}
func (*Datagrams) Len() int                      { return 0 }
func (*Datagrams) Receive(int, int) (int, error) { return 0, errors.ErrUnsupported }
func (*Datagrams) At(int) ([]byte, uint32, bool) { return nil, 0, false }
