package gnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"

	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/internal/unix"
	"github.com/gnlgo/gnl/netlink"
)

// What can go wrong with answers and the flow of events, besides the kernel's
// refusals.
var (
	// ErrOverrun: messages were lost because a receive buffer was full. A
	// subscription goes on; what it watches should be listed again.
	ErrOverrun = netlink.ErrOverrun
	// ErrInterrupted: what was dumped changed meanwhile; entries may be missing
	// or there twice.
	ErrInterrupted = netlink.ErrInterrupted
	// ErrNoReply: the kernel acknowledged a request without the reply that its
	// Command says it has.
	ErrNoReply = errors.New("acknowledged without a reply")
	// ErrMoreReplies: the kernel gave more than the one reply that
	// Command.Do can return. Command.All gives them all.
	ErrMoreReplies = errors.New("more than one reply")
	// ErrUnknownOutcome: a member of a batch may or may not have been carried
	// out, since answers were lost.
	ErrUnknownOutcome = errors.New("outcome unknown")

	errShortMessage = fmt.Errorf("%w: shorter than its family's header", netlink.ErrMalformed)
)

// GoesOn reports whether a stream of events that yields err goes on after it:
// something was lost or could not be read, but what comes next can be.
func GoesOn(err error) bool {
	return errors.Is(err, ErrOverrun) || errors.Is(err, netlink.ErrTruncated) || errors.Is(err, netlink.ErrMalformed)
}

// Error says which command of which family failed, and why. errors.Is and
// errors.As go on to what it wraps: most often a [*netlink.Error], and so the
// errno.
type Error struct {
	Family  string // "netdev"
	Command string // "dev-get", or "command 1" where no name is known; empty for the family as such

	// Attribute is the path to the attribute that the kernel points at, by
	// name where the request's type is known ("header.dev-name", "2.5.1"),
	// and Value what the request had there. Empty if it points at none.
	Attribute string
	Value     string
	// Accepts says in words what the kernel accepts there, if it said so:
	// "1..4294967295".
	Accepts string

	// Hint says what the errno means here, where the kernel gave no words.
	Hint string

	Err error
}

// Error gives for example "gnl: netdev dev-get: ifindex: integer out of range
// (0, kernel accepts 1..4294967295): numerical result out of range".
func (e *Error) Error() string {
	s := []string{"gnl"}
	what := e.Family
	if e.Command != "" {
		what += " " + e.Command
	}
	s = append(s, what)
	switch {
	case e.Attribute == "":
	case e.Attribute[0] >= '0' && e.Attribute[0] <= '9':
		s = append(s, "attribute "+e.Attribute)
	default:
		s = append(s, e.Attribute)
	}
	var kernel *netlink.Error
	if !errors.As(e.Err, &kernel) {
		return strings.Join(append(s, e.Err.Error()), ": ")
	}
	var aside []string
	if e.Value != "" {
		aside = append(aside, e.Value)
	}
	if e.Accepts != "" {
		aside = append(aside, "kernel accepts "+e.Accepts)
	}
	words := kernel.Message
	if kernel.HasMissing && words == "" {
		words = "attribute is missing"
	}
	if words == "" {
		words = e.Hint
	}
	if len(aside) > 0 {
		words = strings.TrimSpace(words + " (" + strings.Join(aside, ", ") + ")")
	}
	if words != "" {
		s = append(s, words)
	}
	if kernel.Errno != 0 {
		s = append(s, kernel.Errno.Error())
	}
	return strings.Join(s, ": ")
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// failed wraps what happened to a request.
func (o *operation) failed(dump bool, err error) *Error {
	e := &Error{Family: o.family, Command: o.name, Err: err}
	if e.Command == "" {
		e.Command = fmt.Sprintf("command %d", o.command)
	}
	if dump {
		e.Command += " dump"
	}
	return e
}

// refused wraps what came instead of an answer to request, and works out which
// attribute the kernel points at.
func (o *operation) refused(dump bool, err error, request []byte, headerSize int) *Error {
	e := o.failed(dump, err)
	kernel, ok := err.(*netlink.Error)
	if !ok {
		return e
	}
	// What genl_family_rcv_msg says without a word.
	switch kernel.Errno {
	case unix.EPERM:
		e.Hint = "needs CAP_NET_ADMIN"
	case unix.EOPNOTSUPP:
		e.Hint = "the family has no such command"
		if dump {
			e.Hint += " that dumps"
		}
	}
	at := payloadAt + headerSize
	if kernel.Offset >= at && len(request) >= at {
		if path, found, ok := attr.Locate(request[at:], kernel.Offset-at); ok {
			e.Attribute = attr.FormatPath(path)
			e.Accepts, e.Value = describeBreach(kernel.Policy, found)
			e.name(o.request, path)
		}
	}
	if kernel.HasMissing {
		var path []uint16
		if kernel.MissingNest >= at && len(request) >= at {
			path, _, _ = attr.Locate(request[at:], kernel.MissingNest-at)
		}
		path = append(path, uint16(kernel.Missing))
		e.Attribute, e.Value = attr.FormatPath(path), ""
		e.name(o.request, path)
	}
	return e
}

// name replaces the path by names where the request's type knows them.
func (e *Error) name(request reflect.Type, path []uint16) {
	if request != nil {
		if name := attr.Name(request, path); name != "" {
			e.Attribute = name
		}
	}
}

// describeBreach says in words what a policy accepts and what an attribute has.
func describeBreach(policy []byte, found attr.Raw) (accepts, value string) {
	if policy == nil {
		return "", ""
	}
	var p AttributePolicy
	if p.decode(policy) != nil {
		return "", ""
	}
	if n := p.Type.size(); n > 0 && n != len(found.Payload) {
		return p.Type.String(), fmt.Sprintf("%d bytes", len(found.Payload))
	}
	switch {
	case p.Type.signed():
		value = formatSigned(found.Payload)
	case p.Type.unsigned():
		value = formatUnsigned(found.Payload)
	case p.Type == TypeString || p.Type == TypeNulString || p.Type == TypeBinary:
		value = fmt.Sprintf("%d bytes", len(found.Payload))
	}
	return p.Accepts(), value
}

func formatUnsigned(b []byte) string {
	switch len(b) {
	case 1:
		return fmt.Sprint(b[0])
	case 2:
		return fmt.Sprint(binary.NativeEndian.Uint16(b))
	case 4:
		return fmt.Sprint(binary.NativeEndian.Uint32(b))
	case 8:
		return fmt.Sprint(binary.NativeEndian.Uint64(b))
	}
	return fmt.Sprintf("%d bytes", len(b))
}

func formatSigned(b []byte) string {
	switch len(b) {
	case 1:
		return fmt.Sprint(int8(b[0]))
	case 2:
		return fmt.Sprint(int16(binary.NativeEndian.Uint16(b)))
	case 4:
		return fmt.Sprint(int32(binary.NativeEndian.Uint32(b)))
	case 8:
		return fmt.Sprint(int64(binary.NativeEndian.Uint64(b)))
	}
	return fmt.Sprintf("%d bytes", len(b))
}

func isInterrupted(err error) bool { return errors.Is(err, ErrInterrupted) }

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

func headerMismatch(request any, has, needs int) error {
	return fmt.Errorf("%s has %d bytes for the family's own header, which has %d (in a struct, it is a field tagged `nl:\"header\"`)", request, has, needs)
}
