package ipvs

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// Method is how packets get to a destination (IP_VS_CONN_F_* of
// include/uapi/linux/ip_vs.h).
type Method uint32

// The forwarding methods. In brackets, what ipvsadm calls them.
const (
	Masquerade Method = 0 // network address translation (-m)
	Local      Method = 1 // the machine itself; the kernel uses it for addresses of its own
	Tunnel     Method = 2 // encapsulated in IP, or as Destination.Tunnel says (-i)
	Route      Method = 3 // direct routing: to the destination's link-layer address (-g)
	Bypass     Method = 4 // to the address that the client asked for; the kernel's own
)

var methodNames = [...]string{"masquerade", "local", "tunnel", "route", "bypass"}

// String gives "masquerade", "local", "tunnel", "route", "bypass", or the number.
func (m Method) String() string {
	if int64(m) < int64(len(methodNames)) {
		return methodNames[m]
	}
	return strconv.FormatUint(uint64(m), 10)
}

// MarshalText gives what String does.
func (m Method) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText takes a name, in upper or lower case, ipvsadm's words for it
// ("masquerading", "ipip", "gatewaying", "dr", "nat"), or a number.
func (m *Method) UnmarshalText(text []byte) error {
	name := strings.ToLower(string(text))
	for i, known := range methodNames {
		if name == known {
			*m = Method(i)
			return nil
		}
	}
	switch name {
	case "masq", "masquerading", "nat":
		*m = Masquerade
	case "tunneling", "ipip", "tun":
		*m = Tunnel
	case "direct", "dr", "gate", "gatewaying":
		*m = Route
	default:
		n, err := strconv.ParseUint(name, 10, 32)
		if err != nil {
			return fmt.Errorf("forwarding method %q: not masquerade, local, tunnel, route or bypass", text)
		}
		*m = Method(n)
	}
	return nil
}

// TunnelType is how packets are encapsulated for a destination with the method
// Tunnel (IP_VS_CONN_F_TUNNEL_TYPE_*). Kernels before 5.2 know IPIP alone.
type TunnelType uint8

// The types of tunnels.
const (
	IPIP TunnelType = 0 // IP in IP
	GUE  TunnelType = 1 // generic UDP encapsulation, which needs a port
	GRE  TunnelType = 2 // generic routing encapsulation, since Linux 5.3
)

var tunnelNames = [...]string{"ipip", "gue", "gre"}

// String gives "ipip", "gue", "gre", or the number.
func (t TunnelType) String() string {
	if int(t) < len(tunnelNames) {
		return tunnelNames[t]
	}
	return strconv.Itoa(int(t))
}

// MarshalText gives what String does.
func (t TunnelType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText takes a name, in upper or lower case, or a number.
func (t *TunnelType) UnmarshalText(text []byte) error {
	for i, known := range tunnelNames {
		if strings.EqualFold(string(text), known) {
			*t = TunnelType(i)
			return nil
		}
	}
	n, err := strconv.ParseUint(string(text), 10, 8)
	if err != nil {
		return fmt.Errorf("tunnel type %q: not ipip, gue or gre", text)
	}
	*t = TunnelType(n)
	return nil
}

// TunnelFlags are options of a tunnel (IP_VS_TUNNEL_ENCAP_FLAG_*). Kernels
// before 5.3 have none.
type TunnelFlags uint16

// The options.
const (
	Checksum       TunnelFlags = 1 // GUE and GRE: the outer header has a checksum
	RemoteChecksum TunnelFlags = 2 // GUE: remote checksum offload
)

// Names gives "csum" and "remcsum", as ipvsadm calls them, and numbers.
func (f TunnelFlags) Names() []string {
	var names []string
	for bit := TunnelFlags(1); bit != 0; bit <<= 1 {
		switch {
		case f&bit == 0:
		case bit == Checksum:
			names = append(names, "csum")
		case bit == RemoteChecksum:
			names = append(names, "remcsum")
		default:
			names = append(names, fmt.Sprintf("%#x", uint16(bit)))
		}
	}
	return names
}

// ParseTunnelFlag is the option of a name that [TunnelFlags.Names] gives.
// "nocsum" is no option, 0.
func ParseTunnelFlag(name string) (TunnelFlags, error) {
	switch name {
	case "nocsum":
		return 0, nil
	case "csum":
		return Checksum, nil
	case "remcsum":
		return RemoteChecksum, nil
	}
	if n, err := strconv.ParseUint(name, 0, 16); err == nil && n != 0 && n&(n-1) == 0 {
		return TunnelFlags(n), nil
	}
	return 0, fmt.Errorf("tunnel flag %q: not csum, remcsum or nocsum", name)
}

// String gives the names.
func (f TunnelFlags) String() string { return strings.Join(f.Names(), ",") }

// Encapsulation is the tunnel to a destination with the method Tunnel. The zero
// Encapsulation is plain IP in IP.
type Encapsulation struct {
	Type  TunnelType
	Port  uint16 // of GUE
	Flags TunnelFlags
}

// Destination is a real server behind a service. Its address and port tell it
// from the others of the service.
type Destination struct {
	// Address is where the server listens. Port 0 is the port that the client
	// has connected to, which is also where packets go with every method but
	// Masquerade, whatever this says.
	Address netip.AddrPort

	// Weight is the server's share, which has to be given: files and the command
	// line have 1 where it is left out. A server of weight 0 keeps its connections
	// and gets no new ones, but for those of clients that a persistent service
	// has sent there before (see ApplyConfig.Drain). At most 2³¹−1.
	Weight uint32

	Method Method // how packets get there; the zero value is Masquerade

	// UpperThreshold is the number of connections from which on the server gets
	// no more, LowerThreshold the one below which it gets some again; 0 is no
	// threshold. At most 2³¹−1.
	UpperThreshold, LowerThreshold uint32

	Tunnel Encapsulation // of the method Tunnel
}

// Validate says what is wrong with a destination that is to be added to a
// service or set in it, as far as it can be known without the kernel, as
// [Service.Validate] does.
func (d *Destination) Validate(service ServiceID) error {
	if err := validateAddress("address", d.Address.Addr()); err != nil {
		return err
	}
	switch {
	case d.Address.Addr().IsMulticast():
		return invalid("address", "%s is multicast: a server has an address of its own", d.Address.Addr())
	case d.Weight > math.MaxInt32:
		return invalid("weight", "%d is more than %d", d.Weight, math.MaxInt32)
	case d.Method > Bypass:
		// The kernel would mask it: 9 becomes local.
		return invalid("method", "%s is not known", d.Method)
	case d.UpperThreshold > math.MaxInt32:
		// Linux 6.1 takes it, 6.12 does not.
		return invalid("upper_threshold", "%d is more than %d", d.UpperThreshold, math.MaxInt32)
	case d.LowerThreshold > d.UpperThreshold:
		return invalid("lower_threshold", "%d is above the upper threshold of %d", d.LowerThreshold, d.UpperThreshold)
	case familyOf(d.Address.Addr()) != service.IPFamily() && d.Method != Tunnel:
		return invalid("method", "%s behind a service of family %s is reached by tunnel alone, not by %s", d.Address, service.IPFamily(), d.Method)
	case d.Method != Tunnel && d.Tunnel != Encapsulation{}:
		return invalid("tunnel", "%s is for the method tunnel, not %s", d.Tunnel.Type, d.Method)
	}
	switch t := d.Tunnel; {
	case t.Type > GRE:
		return invalid("tunnel.type", "%s is not known", t.Type)
	case t.Type == GUE && t.Port == 0:
		return invalid("tunnel.port", "missing; GUE needs one")
	case t.Type != GUE && t.Port != 0:
		return invalid("tunnel.port", "%d is for GUE, not %s", t.Port, t.Type)
	case t.Flags&^(Checksum|RemoteChecksum) != 0:
		return invalid("tunnel.flags", "%#x is not known", uint16(t.Flags&^(Checksum|RemoteChecksum)))
	case t.Type == IPIP && t.Flags != 0:
		return invalid("tunnel.flags", "%s is for GUE and GRE", t.Flags)
	case t.Type == GRE && t.Flags&RemoteChecksum != 0:
		return invalid("tunnel.flags", "remcsum is for GUE")
	}
	return nil
}
