package ipvs

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/gnlgo/gnl/internal/unix"
)

// Protocol is the transport protocol of a service, by its IP number.
type Protocol uint8

// The protocols that the kernel balances.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// String gives "tcp", "udp", "sctp", or the number.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case SCTP:
		return "sctp"
	}
	return strconv.Itoa(int(p))
}

// MarshalText gives what String does.
func (p Protocol) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText takes a name, in upper or lower case, or a number.
func (p *Protocol) UnmarshalText(text []byte) error {
	switch strings.ToLower(string(text)) {
	case "tcp":
		*p = TCP
	case "udp":
		*p = UDP
	case "sctp":
		*p = SCTP
	default:
		n, err := strconv.ParseUint(string(text), 10, 8)
		if err != nil {
			return fmt.Errorf("protocol %q: not tcp, udp, sctp or a number up to 255", text)
		}
		*p = Protocol(n)
	}
	return nil
}

// Family is a family of addresses, by its number in Linux (AF_INET, AF_INET6).
type Family uint16

// The families of addresses.
const (
	IPv4 Family = 2
	IPv6 Family = 10
)

// String gives "ipv4", "ipv6", or the number.
func (f Family) String() string {
	switch f {
	case IPv4:
		return "ipv4"
	case IPv6:
		return "ipv6"
	}
	return strconv.Itoa(int(f))
}

// MarshalText gives what String does.
func (f Family) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText takes a name, in upper or lower case, or a number: 2 is ipv4,
// 10 is ipv6.
func (f *Family) UnmarshalText(text []byte) error {
	switch strings.ToLower(string(text)) {
	case "ipv4", "2":
		*f = IPv4
	case "ipv6", "10":
		*f = IPv6
	default:
		return fmt.Errorf("family %q: not ipv4 or ipv6", text)
	}
	return nil
}

// familyOf is the family that an address belongs to; 0 for no address.
func familyOf(a netip.Addr) Family {
	switch {
	case a.Is4():
		return IPv4
	case a.Is6():
		return IPv6
	}
	return 0
}

// ServiceID is what tells a service from all others: protocol, address and
// port, or a firewall mark and the family of the addresses that carry it. It
// is comparable, and a key of maps. [Virtual] and [Marked] make one.
type ServiceID struct {
	Protocol Protocol       // of a service with an address
	Address  netip.AddrPort // that clients connect to
	Mark     uint32         // firewall mark; 0 for a service with an address
	Family   Family         // of a service with a mark; else 0, as the address has its own
}

// Virtual is the service at an address and port.
func Virtual(protocol Protocol, address netip.AddrPort) ServiceID {
	return ServiceID{Protocol: protocol, Address: address}
}

// Marked is the service of packets that the firewall has marked.
func Marked(mark uint32, family Family) ServiceID { return ServiceID{Mark: mark, Family: family} }

// IPFamily is the family of the addresses that clients connect to.
func (id ServiceID) IPFamily() Family {
	if id.Mark != 0 || !id.Address.Addr().IsValid() {
		return id.Family
	}
	return familyOf(id.Address.Addr())
}

// String gives "tcp:10.0.0.1:80", "udp:[2001:db8::1]:53", "fwmark:10", which is of
// ipv4, or "fwmark:10:ipv6".
func (id ServiceID) String() string {
	switch {
	case id.Mark == 0 && id.Address.IsValid():
		return id.Protocol.String() + ":" + id.Address.String()
	case id.Family == IPv4:
		return fmt.Sprintf("fwmark:%d", id.Mark)
	}
	return fmt.Sprintf("fwmark:%d:%s", id.Mark, id.Family)
}

// ParseServiceID reads what [ServiceID.String] gives. In place of the first colon,
// and that before a family, there may be a slash or a blank.
func ParseServiceID(s string) (ServiceID, error) {
	kind, rest, ok := cutSeparator(s)
	if !ok {
		return ServiceID{}, fmt.Errorf("service %q: give it as tcp:ADDRESS:PORT or fwmark:MARK:FAMILY", s)
	}
	if strings.EqualFold(kind, "fwmark") {
		number, family, hasFamily := cutSeparator(rest)
		mark, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return ServiceID{}, fmt.Errorf("service %q: firewall mark %q is no number from 1 to %d", s, number, uint32(1<<32-1))
		}
		id := Marked(uint32(mark), IPv4)
		if hasFamily {
			if err := id.Family.UnmarshalText([]byte(family)); err != nil {
				return ServiceID{}, fmt.Errorf("service %q: %w", s, err)
			}
		}
		return id, nil
	}
	var id ServiceID
	if err := id.Protocol.UnmarshalText([]byte(kind)); err != nil {
		return ServiceID{}, fmt.Errorf("service %q: %w, or fwmark", s, err)
	}
	address, err := netip.ParseAddrPort(rest)
	if err != nil {
		return ServiceID{}, fmt.Errorf("service %q: %q is no ADDRESS:PORT (an IPv6 address stands in brackets)", s, rest)
	}
	id.Address = address
	return id, nil
}

func cutSeparator(s string) (before, after string, found bool) {
	i := strings.IndexAny(s, " /:")
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// identifies refuses what the kernel would take for another service than is
// meant. It lets pass what can be in a list, so that it can be removed: any
// protocol, for one.
func (id ServiceID) identifies() error {
	a := id.Address.Addr()
	switch {
	case id.Mark != 0 && (id.Address != netip.AddrPort{} || id.Protocol != 0):
		return invalid("mark", "a service has either a firewall mark or a protocol with an address, not both")
	case id.Mark != 0 && id.Family != IPv4 && id.Family != IPv6:
		return invalid("family", "a service with a firewall mark needs IPv4 or IPv6, not %s", id.Family)
	case id.Mark != 0:
		return nil
	case !a.IsValid() && id.Protocol == 0:
		// The kernel would make a service at 0.0.0.0:0 of it.
		return invalid("mark", "0, and there is no address: firewall marks are 1 to %d", uint32(1<<32-1))
	case id.Family != 0 && id.Family != familyOf(a):
		return invalid("family", "%s is not the family of %s; leave it out", id.Family, a)
	}
	return identifiesAddress("address", a)
}

// identifiesAddress refuses an address that the kernel would cut down.
func identifiesAddress(field string, a netip.Addr) error {
	switch {
	case !a.IsValid():
		return invalid(field, "missing")
	case a.Zone() != "":
		return invalid(field, "%s has a zone, which the kernel does not keep", a)
	}
	return nil
}

// validate refuses what is no service.
func (id ServiceID) validate() error {
	if err := id.identifies(); err != nil || id.Mark != 0 {
		return err
	}
	if id.Protocol != TCP && id.Protocol != UDP && id.Protocol != SCTP {
		return invalid("protocol", "%s is not balanced: TCP, UDP and SCTP are", id.Protocol)
	}
	return validateAddress("address", id.Address.Addr())
}

func validateAddress(field string, a netip.Addr) error {
	if a.Is4In6() {
		return invalid(field, "%s is an IPv4 address in IPv6 form: give it as %s", a, a.Unmap())
	}
	return identifiesAddress(field, a)
}

// ServiceFlags are properties of a service that are on or off (IP_VS_SVC_F_* of
// include/uapi/linux/ip_vs.h).
type ServiceFlags uint32

// The flags. What SchedulerFlag1 to 3 mean is the scheduler's affair.
const (
	Persistent     ServiceFlags = 0x01 // a client stays with its destination for Service.Timeout
	Hashed         ServiceFlags = 0x02 // the kernel's own: always set in what it reports, never to be given
	OnePacket      ServiceFlags = 0x04 // every packet is scheduled by itself (UDP)
	SchedulerFlag1 ServiceFlags = 0x08
	SchedulerFlag2 ServiceFlags = 0x10
	SchedulerFlag3 ServiceFlags = 0x20

	SHFallback = SchedulerFlag1 // scheduler sh: another destination where the one hashed to cannot take it
	SHPort     = SchedulerFlag2 // scheduler sh: the client's port is hashed too
	MHFallback = SchedulerFlag1 // scheduler mh: as SHFallback
	MHPort     = SchedulerFlag2 // scheduler mh: as SHPort
)

// Names are what the flags are called for a scheduler, those of ipvsadm where
// it has a name: "persistent", "ops", "sh-port", "flag-3".
func (f ServiceFlags) Names(scheduler string) []string {
	var names []string
	for bit := ServiceFlags(1); bit != 0; bit <<= 1 {
		if f&bit != 0 {
			names = append(names, flagName(bit, scheduler))
		}
	}
	return names
}

func flagName(bit ServiceFlags, scheduler string) string {
	switch bit {
	case Persistent:
		return "persistent"
	case Hashed:
		return "hashed"
	case OnePacket:
		return "ops"
	case SchedulerFlag1:
		if scheduler == "sh" || scheduler == "mh" {
			return scheduler + "-fallback"
		}
		return "flag-1"
	case SchedulerFlag2:
		if scheduler == "sh" || scheduler == "mh" {
			return scheduler + "-port"
		}
		return "flag-2"
	case SchedulerFlag3:
		return "flag-3"
	}
	return fmt.Sprintf("%#x", uint32(bit))
}

// ParseServiceFlag is the flag of a name that [ServiceFlags.Names] gives.
func ParseServiceFlag(name string) (ServiceFlags, error) {
	switch name {
	case "persistent":
		return Persistent, nil
	case "ops":
		return OnePacket, nil
	case "sh-fallback", "mh-fallback", "flag-1":
		return SchedulerFlag1, nil
	case "sh-port", "mh-port", "flag-2":
		return SchedulerFlag2, nil
	case "flag-3":
		return SchedulerFlag3, nil
	}
	if n, err := strconv.ParseUint(name, 0, 32); err == nil && n&(n-1) == 0 && ServiceFlags(n)&^Hashed != 0 {
		return ServiceFlags(n), nil
	}
	return 0, fmt.Errorf("flag %q: not persistent, ops, sh-port, sh-fallback, mh-port, mh-fallback, flag-1, flag-2 or flag-3", name)
}

// String gives the names, as for a scheduler without names of its own.
func (f ServiceFlags) String() string { return strings.Join(f.Names(""), ",") }

// Service is a virtual service: what clients connect to, and how the kernel
// chooses among the destinations behind it.
type Service struct {
	ServiceID

	// Scheduler chooses the destination: "rr", "wrr", "lc", "wlc", "lblc",
	// "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos". The kernel
	// loads the module ip_vs_NAME for it. In a list, "none" stands for a
	// service that has lost its scheduler.
	Scheduler string

	Flags ServiceFlags

	// Timeout is how long a client stays with its destination after its last
	// connection, in whole seconds. It means something with Persistent alone.
	Timeout time.Duration

	// Netmask says which clients count as one for persistence: those whose
	// addresses agree in its bits. The zero Addr is all bits, every client for
	// itself. For IPv6 it is a prefix ([PrefixMask]), for the kernel keeps its
	// length alone.
	Netmask netip.Addr

	Engine string // persistence engine: "" or "sip"
}

// String gives for example "tcp:10.0.0.1:80 wrr persistent 5m0s".
func (s Service) String() string {
	words := append([]string{s.ServiceID.String(), s.Scheduler}, s.Flags.Names(s.Scheduler)...)
	if s.Timeout != 0 {
		words = append(words, s.Timeout.String())
	}
	if s.Netmask.IsValid() {
		words = append(words, "netmask", netmaskText(s.Netmask))
	}
	if s.Engine != "" {
		words = append(words, "engine", s.Engine)
	}
	return strings.Join(words, " ")
}

// PrefixMask is the netmask with the first bits set: PrefixMask(IPv4, 24) is
// 255.255.255.0. Bits must be 0 to 32, or 1 to 128; else it is the zero Addr.
func PrefixMask(family Family, bits int) netip.Addr {
	if family == IPv6 && bits == 0 {
		return netip.Addr{}
	}
	prefix, err := allOnes(family).Prefix(bits)
	if err != nil {
		return netip.Addr{}
	}
	return prefix.Addr()
}

// PrefixLength is how many bits at its beginning a netmask has set: of what
// [PrefixMask] gives, the bits. It is -1 for a mask with a gap, which IPv4 may have.
func PrefixLength(mask netip.Addr) int {
	for n := mask.BitLen(); n >= 0; n-- {
		if prefix, err := allOnes(familyOf(mask)).Prefix(n); err == nil && prefix.Addr() == mask {
			return n
		}
	}
	return -1
}

// allOnes is the netmask of a family with all bits set.
func allOnes(family Family) netip.Addr {
	if family != IPv6 {
		return netip.AddrFrom4([4]byte{255, 255, 255, 255})
	}
	var ones [16]byte
	for i := range ones {
		ones[i] = 255
	}
	return netip.AddrFrom16(ones)
}

// maxName is how long the names of schedulers and persistence engines may be
// (IP_VS_SCHEDNAME_MAXLEN, IP_VS_PENAME_MAXLEN, less the NUL).
const maxName = 15

// maxTimeout is the longest timeout of a service that every kernel keeps: it
// counts in ticks of its clock, up to 1000 a second, modulo 2³².
const maxTimeout = math.MaxUint32 / 1000 * time.Second

// Validate says what is wrong with a service that is to be added or set, as far
// as it can be known without the kernel. The error names the field and is
// errors.Is(err, syscall.EINVAL). Client and Batch do it by themselves.
func (s *Service) Validate() error {
	if err := s.ServiceID.validate(); err != nil {
		return err
	}
	switch known := Persistent | Hashed | OnePacket | SchedulerFlag1 | SchedulerFlag2 | SchedulerFlag3; {
	case s.Mark == 0 && s.Address.Port() == 0 && s.Flags&Persistent == 0:
		return invalid("port", "port 0 stands for all ports, which needs persistence")
	case s.Scheduler == "":
		return invalid("scheduler", "missing; rr and wlc are the usual ones")
	case len(s.Scheduler) > maxName || strings.ContainsRune(s.Scheduler, 0):
		return invalid("scheduler", "%q is no name of at most %d bytes", s.Scheduler, maxName)
	case s.Flags&^known != 0:
		return invalid("flags", "%#x is not known", uint32(s.Flags&^known))
	case s.Flags&OnePacket != 0 && s.Mark == 0 && s.Protocol != UDP:
		return invalid("flags", "scheduling packet by packet (ops) is for UDP, not %s", s.Protocol)
	case s.Timeout < 0 || s.Timeout%time.Second != 0 || s.Timeout > maxTimeout:
		return invalid("timeout", "%s is no whole number of seconds from 0 to %d", s.Timeout, maxTimeout/time.Second)
	case len(s.Engine) > maxName || strings.ContainsRune(s.Engine, 0):
		return invalid("engine", "%q is no name of at most %d bytes", s.Engine, maxName)
	}
	return s.validateNetmask()
}

func (s *Service) validateNetmask() error {
	if !s.Netmask.IsValid() {
		return nil
	}
	family := s.IPFamily()
	if familyOf(s.Netmask) != family {
		return invalid("netmask", "%s is not of family %s", s.Netmask, family)
	}
	if family == IPv6 && PrefixLength(s.Netmask) < 1 {
		return invalid("netmask", "%s is no prefix of 1 to 128 bits, as IPv6 needs", s.Netmask)
	}
	return nil
}

// canonical is the service in the form in which the kernel reports it, so that
// two that mean the same are equal.
func (s Service) canonical() Service {
	if s.Mark == 0 && s.Address.IsValid() {
		s.Family = 0
	}
	s.Flags &^= Hashed
	if s.Netmask.IsValid() && s.Netmask == allOnes(familyOf(s.Netmask)) {
		s.Netmask = netip.Addr{}
	}
	return s
}

// Equal says whether two services are configured alike.
func (s Service) Equal(other Service) bool { return s.canonical() == other.canonical() }

// FieldError is a field of a Service, Destination or Daemon that cannot be right.
type FieldError struct {
	Field string // as it is called in the files of pools: "netmask"
	Why   string
}

// Error gives for example "port: port 0 stands for all ports, which needs persistence".
func (e *FieldError) Error() string { return e.Field + ": " + e.Why }

// Is reports true for syscall.EINVAL, which is what the kernel would say.
func (e *FieldError) Is(target error) bool { return errors.Is(unix.EINVAL, target) }

func invalid(field, format string, args ...any) error {
	return &FieldError{Field: field, Why: fmt.Sprintf(format, args...)}
}
