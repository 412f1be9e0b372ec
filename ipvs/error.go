package ipvs

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/internal/unix"
	"github.com/gnlgo/gnl/netlink"
)

// Error says what could not be done and why. errors.Is and errors.As go on to
// what it wraps, and so to the errno, with these additions:
//
//   - A service that is not there (ESRCH) is os.ErrNotExist, as a destination
//     that is not there (ENOENT) is. So is a scheduler or persistence engine
//     that the kernel has no module for, in adding and setting services.
//   - Where the kernel has no IPVS at all, or is about to have none, it is errors.ErrUnsupported, and not
//     os.ErrNotExist, so that nobody takes it for a service that is gone.
//
// What is there already is os.ErrExist, and a lack of privilege
// os.ErrPermission. A value that was refused before the kernel was asked is a
// [*FieldError].
type Error struct {
	Op          string         // what was to be done: "add service", "list destinations", "flush"
	Service     ServiceID      // that it was to be done to; else the zero ServiceID
	Destination netip.AddrPort // likewise
	Why         string         // what the error means here, where the errno does not say it
	Err         error
}

// Error gives for example "ipvs: add destination 10.0.0.5:80 to tcp:10.0.0.1:80:
// no such service: no such process".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("ipvs: " + e.Op)
	if e.Destination.IsValid() {
		b.WriteString(" " + e.Destination.String())
	}
	if e.Service != (ServiceID{}) {
		if strings.Contains(e.Op, "destination") {
			switch verb, _, _ := strings.Cut(e.Op, " "); verb {
			case "add":
				b.WriteString(" to")
			case "remove":
				b.WriteString(" from")
			default:
				b.WriteString(" of")
			}
		}
		b.WriteString(" " + e.Service.String())
	}
	if e.Why != "" {
		b.WriteString(": " + e.Why)
	}
	err := e.Err
	if g, ok := err.(*gnl.Error); ok && g.Attribute == "" {
		err = g.Err // family and command say nothing to whoever reads this
	}
	b.WriteString(": " + err.Error())
	return b.String()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Is makes a service that is not there os.ErrNotExist, and a kernel whose IPVS is
// just going errors.ErrUnsupported.
func (e *Error) Is(target error) bool {
	return target == fs.ErrNotExist && errors.Is(e.Err, unix.ESRCH) ||
		target == errors.ErrUnsupported && errors.Is(e.Err, unix.EPROTONOSUPPORT)
}

// operation is what a request is to do.
type operation uint8

const (
	opAddService operation = iota
	opSetService
	opUpdateService
	opRemoveService
	opGetService
	opListServices
	opAddDestination
	opSetDestination
	opUpdateDestination
	opRemoveDestination
	opGetDestination
	opListDestinations
	opZero
	opZeroAll
	opFlush
	opInfo
	opConfig
	opSetConfig
	opListDaemons
	opStartDaemon
	opStopDaemon
)

var operationNames = [...]string{
	opAddService:        "add service",
	opSetService:        "set service",
	opUpdateService:     "update service",
	opRemoveService:     "remove service",
	opGetService:        "get service",
	opListServices:      "list services",
	opAddDestination:    "add destination",
	opSetDestination:    "set destination",
	opUpdateDestination: "update destination",
	opRemoveDestination: "remove destination",
	opGetDestination:    "get destination",
	opListDestinations:  "list destinations",
	opZero:              "zero service",
	opZeroAll:           "zero all services",
	opFlush:             "flush",
	opInfo:              "get info",
	opConfig:            "get timeouts",
	opSetConfig:         "set timeouts",
	opListDaemons:       "list daemons",
	opStartDaemon:       "start daemon",
	opStopDaemon:        "stop daemon",
}

// subject is what a request is about, for the explanation of its failure.
type subject struct {
	op                operation
	service           ServiceID
	destination       netip.AddrPort
	scheduler, engine string // of a service that is added or set
	daemon            *Daemon
}

// explain wraps what a request ended with, if that is an error.
func (s subject) explain(err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Op: operationNames[s.op], Service: s.service, Destination: s.destination, Err: err}
	if s.daemon != nil {
		e.Op = strings.Replace(e.Op, "daemon", s.daemon.Role.String()+" daemon", 1)
		if s.daemon.Interface != "" {
			e.Op += " on " + s.daemon.Interface
		}
	}
	var g *gnl.Error
	if errors.As(err, &g) && g.Command == "" && errors.Is(err, fs.ErrNotExist) {
		e.Why = "the kernel has no IPVS: load its module (modprobe ip_vs), or set gnl.Config.LoadModules"
		var kernel *netlink.Error
		if !errors.As(err, &kernel) { // the module was tried
			e.Why = fmt.Sprintf("the kernel has no IPVS (%v)", g.Err)
		}
		e.Err = errors.ErrUnsupported
		return e
	}
	if errno, ok := errnoOf(err); ok {
		e.Why = s.why(errno)
	}
	return e
}

func errnoOf(err error) (unix.Errno, bool) {
	var kernel *netlink.Error
	if errors.As(err, &kernel) {
		return kernel.Errno, true
	}
	var errno unix.Errno
	return errno, errors.As(err, &errno)
}

// why says what an errno of the kernel means (net/netfilter/ipvs/ip_vs_ctl.c).
func (s *subject) why(errno unix.Errno) string {
	switch errno {
	case unix.EPERM:
		return "it needs CAP_NET_ADMIN in the initial user namespace"
	case unix.EPROTONOSUPPORT:
		return "the module ip_vs is being removed from the kernel"
	case unix.EAFNOSUPPORT:
		return "the kernel's IPVS was built without IPv6"
	}
	switch s.op {
	case opAddService, opSetService, opUpdateService:
		return s.whyService(errno)
	case opAddDestination, opSetDestination, opUpdateDestination, opRemoveDestination, opGetDestination:
		return s.whyDestination(errno)
	case opSetConfig:
		if errno == unix.EINVAL {
			return "a timeout is longer than this kernel counts (24 days, if it counts 1000 ticks a second)"
		}
	case opStartDaemon, opStopDaemon:
		return s.whyDaemon(errno)
	default:
		if errno == unix.ESRCH {
			return "no such service"
		}
	}
	return ""
}

func (s *subject) whyService(errno unix.Errno) string {
	switch {
	case errno == unix.ESRCH:
		return "no such service"
	case errno == unix.EEXIST:
		return "it exists"
	case errno == unix.ENOENT && s.engine == "":
		return fmt.Sprintf("no such scheduler: is the module ip_vs_%s there?", s.scheduler)
	case errno == unix.ENOENT:
		return fmt.Sprintf("no such scheduler, or no such persistence engine: are the modules ip_vs_%s and ip_vs_pe_%s there?", s.scheduler, s.engine)
	}
	return ""
}

func (s *subject) whyDestination(errno unix.Errno) string {
	switch errno {
	case unix.ESRCH:
		return "no such service"
	case unix.EEXIST:
		return "it exists"
	case unix.ENOENT:
		return "no such destination"
	case unix.ERANGE:
		return "the lower threshold is above the upper one, or the weight is too large"
	case unix.EINVAL:
		if familyOf(s.destination.Addr()) != s.service.IPFamily() {
			return "an address of another family than the service's needs the method Tunnel, and that no sync daemon runs"
		}
		return "the kernel has no unicast route for such an address: it is broadcast or link-local, or no interface is up"
	}
	return ""
}

func (s *subject) whyDaemon(errno unix.Errno) string {
	switch errno {
	case unix.EEXIST:
		return "one of this role runs"
	case unix.ESRCH:
		return "none runs"
	case unix.ENODEV:
		return "no such interface"
	case unix.ENETUNREACH, unix.EADDRNOTAVAIL:
		return "the interface is down, or has no address for such a group"
	case unix.EINVAL:
		return "there are destinations of another family than their service, which daemons cannot tell each other of"
	}
	return ""
}
