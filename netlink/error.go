package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/internal/unix"
)

// Errno is a system call's error number: on Linux, syscall.Errno.
type Errno = unix.Errno

// Attributes of an extended ack (NLMSGERR_ATTR_*).
const (
	extMessage     = 1
	extOffset      = 2
	extCookie      = 3
	extPolicy      = 4
	extMissingType = 5
	extMissingNest = 6
)

// Error is the kernel's answer to a request that it refused, or with Errno 0 a
// warning that came with one that it carried out.
//
// errors.Is answers for the errno, and so for os.ErrNotExist (ENOENT),
// os.ErrExist (EEXIST), os.ErrPermission (EPERM, EACCES) and
// errors.ErrUnsupported (EOPNOTSUPP).
type Error struct {
	Errno   Errno
	Message string // the kernel's own words (NLMSGERR_ATTR_MSG), often none

	// Offset of the attribute that the kernel points at, in bytes from the
	// start of the request's message header (NLMSGERR_ATTR_OFFS); 0 is none.
	Offset int

	// Type number of an attribute that should have been there
	// (NLMSGERR_ATTR_MISS_TYPE) and the offset of the nest that it belongs in
	// (NLMSGERR_ATTR_MISS_NEST); 0 is the top level.
	Missing     uint32
	HasMissing  bool
	MissingNest int

	Policy []byte // the policy that the attribute broke, as attributes NL_POLICY_TYPE_ATTR_*; nil is none
	Cookie []byte // NLMSGERR_ATTR_COOKIE; its meaning is the family's
}

// Error gives the kernel's words and those of the errno.
func (e *Error) Error() string {
	var s []string
	if e.Message != "" {
		s = append(s, e.Message)
	}
	if e.HasMissing {
		s = append(s, fmt.Sprintf("attribute %d is missing", e.Missing))
	}
	if e.Errno != 0 {
		s = append(s, e.Errno.Error())
	}
	return strings.Join(s, ": ")
}

// Unwrap returns the errno, or nil for a warning.
func (e *Error) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

var errShortAck = errors.New("too short for an error number")

// Result decodes an ack, an error, or the end of a dump: a message of type
// TypeError or TypeDone. It returns nil for plain success. A warning is an
// *Error whose Errno is 0. ErrMalformed is returned for what is neither.
func (m *Message) Result() error {
	var tlvs []byte
	if len(m.Data) < 4 {
		if m.Type == TypeDone {
			return nil // seen from families that end dumps by hand
		}
		return fmt.Errorf("%w: %w", ErrMalformed, errShortAck)
	}
	errno := int32(binary.NativeEndian.Uint32(m.Data))
	if m.Flags&FlagAckTLVs != 0 {
		// On an error they stand behind the request's header, or, unless this
		// message says that the echo was capped, behind the whole request.
		at := 4
		if m.Type == TypeError && len(m.Data) >= 4+HeaderLen {
			at += HeaderLen
			if m.Flags&FlagCapped == 0 {
				at = 4 + align(int(min(binary.NativeEndian.Uint32(m.Data[4:]), uint32(len(m.Data)))))
			}
		}
		tlvs = m.Data[min(at, len(m.Data)):]
	}
	if errno == 0 && len(tlvs) == 0 {
		return nil
	}
	e := &Error{}
	if errno < 0 {
		errno = -errno // a positive one breaks the protocol; it is an error all the same
	}
	e.Errno = Errno(errno)
	e.decode(tlvs)
	if errno == 0 && e.Message == "" && e.Cookie == nil {
		return nil
	}
	return e
}

func (e *Error) decode(tlvs []byte) {
	d := attr.NewDecoder(tlvs)
	for d.Next() {
		switch d.Type() {
		case extMessage:
			e.Message = d.String()
		case extOffset:
			e.Offset = int(d.Uint32())
		case extCookie:
			e.Cookie = append([]byte{}, d.Bytes()...)
		case extPolicy:
			e.Policy = append([]byte{}, d.Bytes()...)
		case extMissingType:
			e.Missing, e.HasMissing = d.Uint32(), true
		case extMissingNest:
			e.MissingNest = int(d.Uint32())
		}
	}
	// Broken attributes here must not hide the errno: what was read stays.
}
