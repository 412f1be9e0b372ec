package ipvs

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
)

// The family and its module, see include/uapi/linux/ip_vs.h.
const (
	family        = "IPVS"
	familyVersion = 1
	module        = "ip_vs"
)

// What requests say. Nests are sent without NLA_F_NESTED, as the kernel itself
// sends them: it accepts both.
type (
	// serviceKey is what tells a service from all others, the part of
	// IPVS_CMD_ATTR_SERVICE that every request about one has. It is either Mark,
	// or Protocol, Address and Port. The pointers go into the same key's memory.
	serviceKey struct {
		Family   uint16    `nl:"1,name=af"`
		Protocol *uint16   `nl:"2,name=protocol"`
		Address  *[16]byte `nl:"3,name=addr"` // union nf_inet_addr: IPv4 in its first 4 bytes
		Port     *uint16   `nl:"4,be,name=port"`
		Mark     *uint32   `nl:"5,name=fwmark"`

		protocol uint16
		address  [16]byte
		port     uint16
		mark     uint32
	}

	// serviceFlags is struct ip_vs_flags: of a service the bits in Mask are to be
	// as in Flags, the others stay as they are.
	serviceFlags struct{ Flags, Mask uint32 }

	// wholeService is a service with all its properties (IPVS_SVC_ATTR_*).
	wholeService struct {
		serviceKey
		Scheduler string        `nl:"6,name=sched-name"`
		Flags     serviceFlags  `nl:"7,struct,name=flags"`
		Timeout   time.Duration `nl:"8,unit=s,u32,name=timeout"`
		Netmask   [4]byte       `nl:"9,name=netmask"` // an IPv4 mask, or the length of an IPv6 prefix in native byte order
		Engine    string        `nl:"11,omitzero,name=pe-name"`
	}

	// destinationKey is what tells a destination of a service from the others,
	// the part of IPVS_CMD_ATTR_DEST that removing one needs.
	destinationKey struct {
		Address [16]byte `nl:"1,name=addr"`
		Port    uint16   `nl:"2,be,name=port"`
		Family  uint16   `nl:"11,name=addr-family"` // since Linux 3.18; without it, the service's
	}

	// wholeDestination is a destination with all its properties (IPVS_DEST_ATTR_*).
	wholeDestination struct {
		destinationKey
		Method         uint32 `nl:"3,name=fwd-method"`
		Weight         uint32 `nl:"4,name=weight"`
		UpperThreshold uint32 `nl:"5,name=u-thresh"`
		LowerThreshold uint32 `nl:"6,name=l-thresh"`
		TunnelType     uint8  `nl:"13,omitzero,name=tun-type"` // since Linux 5.2, as the port; the flags since 5.3
		TunnelPort     uint16 `nl:"14,omitzero,be,name=tun-port"`
		TunnelFlags    uint16 `nl:"15,omitzero,name=tun-flags"`
	}

	// daemonWire is a sync daemon, in requests and replies (IPVS_DAEMON_ATTR_*).
	daemonWire struct {
		State     uint32   `nl:"1,name=state"`
		Interface string   `nl:"2,omitzero,name=mcast-ifn"`
		SyncID    *uint32  `nl:"3,name=sync-id"`
		MaxLen    uint16   `nl:"4,omitzero,name=sync-maxlen"` // since Linux 4.3, as all that follow
		Group     [4]byte  `nl:"5,omitzero,name=mcast-group"`
		Group6    [16]byte `nl:"6,omitzero,name=mcast-group6"`
		Port      uint16   `nl:"7,omitzero,name=mcast-port"` // alone among the ports in native byte order
		TTL       uint8    `nl:"8,omitzero,name=mcast-ttl"`
	}

	// configWire is the timeouts in seconds, in requests and in the reply
	// (IPVS_CMD_ATTR_TIMEOUT_*).
	configWire struct {
		TCP    time.Duration `nl:"4,unit=s,u32,omitzero,name=timeout-tcp"`
		TCPFin time.Duration `nl:"5,unit=s,u32,omitzero,name=timeout-tcp-fin"`
		UDP    time.Duration `nl:"6,unit=s,u32,omitzero,name=timeout-udp"`
	}
)

// Requests: what stands at the first level (IPVS_CMD_ATTR_*).
type (
	keyRequest struct {
		Service serviceKey `nl:"1,noflag,name=service"`
	}
	serviceRequest struct {
		Service wholeService `nl:"1,noflag,name=service"`
	}
	destinationKeyRequest struct {
		Service     serviceKey     `nl:"1,noflag,name=service"`
		Destination destinationKey `nl:"2,noflag,name=dest"`
	}
	destinationRequest struct {
		Service     serviceKey       `nl:"1,noflag,name=service"`
		Destination wholeDestination `nl:"2,noflag,name=dest"`
	}
	daemonMessage struct {
		Daemon daemonWire `nl:"3,noflag,name=daemon"`
	}
)

// Replies.
type (
	// stats32 is IPVS_*_ATTR_STATS, whose counts of connections and packets and
	// whose rates wrap at 2³² (IPVS_STATS_ATTR_*).
	stats32 struct {
		Connections   uint32 `nl:"1"`
		PacketsIn     uint32 `nl:"2"`
		PacketsOut    uint32 `nl:"3"`
		BytesIn       uint64 `nl:"4"`
		BytesOut      uint64 `nl:"5"`
		ConnectionsPS uint32 `nl:"6"`
		PacketsInPS   uint32 `nl:"7"`
		PacketsOutPS  uint32 `nl:"8"`
		BytesInPS     uint32 `nl:"9"`
		BytesOutPS    uint32 `nl:"10"`
	}
	// stats64 is IPVS_*_ATTR_STATS64, since Linux 4.1.
	stats64 struct {
		Connections   uint64 `nl:"1"`
		PacketsIn     uint64 `nl:"2"`
		PacketsOut    uint64 `nl:"3"`
		BytesIn       uint64 `nl:"4"`
		BytesOut      uint64 `nl:"5"`
		ConnectionsPS uint64 `nl:"6"`
		PacketsInPS   uint64 `nl:"7"`
		PacketsOutPS  uint64 `nl:"8"`
		BytesInPS     uint64 `nl:"9"`
		BytesOutPS    uint64 `nl:"10"`
	}

	serviceReply struct {
		Service struct {
			Given     attr.Set      `nl:"given"`
			Family    uint16        `nl:"1"`
			Protocol  uint16        `nl:"2"`
			Address   [16]byte      `nl:"3"`
			Port      uint16        `nl:"4,be"`
			Mark      uint32        `nl:"5"`
			Scheduler []byte        `nl:"6"` // with a NUL behind it; no string, as that allocates when it changes
			Flags     serviceFlags  `nl:"7,struct"`
			Timeout   time.Duration `nl:"8,unit=s,u32"`
			Netmask   [4]byte       `nl:"9"`
			Stats     stats32       `nl:"10"`
			Engine    []byte        `nl:"11"`
			Stats64   stats64       `nl:"12"`
		} `nl:"1"`
	}
	destinationReply struct {
		Destination struct {
			configuredDestination
			Active     uint32  `nl:"7"`
			Inactive   uint32  `nl:"8"`
			Persistent uint32  `nl:"9"`
			Stats      []byte  `nl:"10,view"` // of use without Stats64 alone
			Stats64    stats64 `nl:"12"`
		} `nl:"2"`
	}
	// configuredReply is destinationReply for those who look at what is
	// configured, and at all destinations.
	configuredReply struct {
		Destination configuredDestination `nl:"2"`
	}
	configuredDestination struct {
		Given          attr.Set `nl:"given"`
		Address        [16]byte `nl:"1"`
		Port           uint16   `nl:"2,be"`
		Method         uint32   `nl:"3"`
		Weight         uint32   `nl:"4"`
		UpperThreshold uint32   `nl:"5"`
		LowerThreshold uint32   `nl:"6"`
		Family         uint16   `nl:"11"`
		TunnelType     uint8    `nl:"13"`
		TunnelPort     uint16   `nl:"14,be"`
		TunnelFlags    uint16   `nl:"15"`
	}
	// infoReply has numbers that mean other things in all other commands
	// (IPVS_INFO_ATTR_*).
	infoReply struct {
		Version             uint32 `nl:"1"`
		ConnectionTableSize uint32 `nl:"2"`
	}
)

// Attribute numbers that replies are asked for.
const (
	serviceMark        = 5
	serviceStats64     = 12
	destinationFamily  = 11
	destinationStats64 = 12
)

// The commands, IPVS_CMD_*. What they answer has the number of another command:
// a service that of IPVS_CMD_NEW_SERVICE, for one.
var (
	newService    = gnl.Command[serviceRequest, struct{}]{Family: family, ID: 1, Name: "new-service", Version: familyVersion, Module: module}
	setService    = gnl.Command[serviceRequest, struct{}]{Family: family, ID: 2, Name: "set-service", Version: familyVersion, Module: module}
	delService    = gnl.Command[keyRequest, struct{}]{Family: family, ID: 3, Name: "del-service", Version: familyVersion, Module: module}
	getService    = gnl.Command[keyRequest, serviceReply]{Family: family, ID: 4, Name: "get-service", Version: familyVersion, Module: module, Single: true}
	getServices   = gnl.Command[struct{}, serviceReply]{Family: family, ID: 4, Name: "get-service", Version: familyVersion, Module: module}
	newDest       = gnl.Command[destinationRequest, struct{}]{Family: family, ID: 5, Name: "new-dest", Version: familyVersion, Module: module}
	setDest       = gnl.Command[destinationRequest, struct{}]{Family: family, ID: 6, Name: "set-dest", Version: familyVersion, Module: module}
	delDest       = gnl.Command[destinationKeyRequest, struct{}]{Family: family, ID: 7, Name: "del-dest", Version: familyVersion, Module: module}
	getDests      = gnl.Command[keyRequest, destinationReply]{Family: family, ID: 8, Name: "get-dest", Version: familyVersion, Module: module}
	getConfigured = gnl.Command[keyRequest, configuredReply]{Family: family, ID: 8, Name: "get-dest", Version: familyVersion, Module: module}
	newDaemon     = gnl.Command[daemonMessage, struct{}]{Family: family, ID: 9, Name: "new-daemon", Version: familyVersion, Module: module}
	delDaemon     = gnl.Command[daemonMessage, struct{}]{Family: family, ID: 10, Name: "del-daemon", Version: familyVersion, Module: module}
	getDaemons    = gnl.Command[struct{}, daemonMessage]{Family: family, ID: 11, Name: "get-daemon", Version: familyVersion, Module: module}
	setConfig     = gnl.Command[configWire, struct{}]{Family: family, ID: 12, Name: "set-config", Version: familyVersion, Module: module}
	getConfig     = gnl.Command[struct{}, configWire]{Family: family, ID: 13, Name: "get-config", Version: familyVersion, Module: module, Single: true}
	getInfo       = gnl.Command[struct{}, infoReply]{Family: family, ID: 15, Name: "get-info", Version: familyVersion, Module: module, Single: true}
	zero          = gnl.Command[keyRequest, struct{}]{Family: family, ID: 16, Name: "zero", Version: familyVersion, Module: module}
	zeroAll       = gnl.Command[struct{}, struct{}]{Family: family, ID: 16, Name: "zero", Version: familyVersion, Module: module}
	flush         = gnl.Command[struct{}, struct{}]{Family: family, ID: 17, Name: "flush", Version: familyVersion, Module: module}
)

// requests is the memory of one request, of whatever kind. A request is encoded
// before the call that makes it returns, so that one serves many in turn.
type requests struct {
	key            keyRequest
	service        serviceRequest
	destinationKey destinationKeyRequest
	destination    destinationRequest
}

var requestMemory = sync.Pool{New: func() any { return new(requests) }}

// set makes the key that of a service.
func (k *serviceKey) set(id *ServiceID) {
	k.Family = uint16(id.IPFamily())
	if id.Mark != 0 {
		k.mark = id.Mark
		k.Protocol, k.Address, k.Port, k.Mark = nil, nil, nil, &k.mark
		return
	}
	k.protocol, k.address, k.port = uint16(id.Protocol), wireAddress(id.Address.Addr()), id.Address.Port()
	k.Protocol, k.Address, k.Port, k.Mark = &k.protocol, &k.address, &k.port, nil
}

// set makes the request's service s, and the flags in mask its flags.
func (w *wholeService) set(s *Service, mask ServiceFlags) {
	w.serviceKey.set(&s.ServiceID)
	w.Scheduler, w.Engine, w.Timeout = s.Scheduler, s.Engine, s.Timeout
	// Before Linux 5.13, to be told that it is hashed kept the kernel from it.
	w.Flags = serviceFlags{uint32(s.Flags &^ Hashed), uint32(mask)}
	w.Netmask = wireNetmask(s.Netmask, s.IPFamily())
}

func (k *destinationKey) set(a netip.AddrPort) {
	k.Address, k.Port, k.Family = wireAddress(a.Addr()), a.Port(), uint16(familyOf(a.Addr()))
}

func (w *wholeDestination) set(d *Destination) {
	w.destinationKey.set(d.Address)
	w.Method, w.Weight = uint32(d.Method), d.Weight
	w.UpperThreshold, w.LowerThreshold = d.UpperThreshold, d.LowerThreshold
	w.TunnelType, w.TunnelPort, w.TunnelFlags = uint8(d.Tunnel.Type), d.Tunnel.Port, uint16(d.Tunnel.Flags)
}

// wireAddress is union nf_inet_addr.
func wireAddress(a netip.Addr) (wire [16]byte) {
	if a.Is4() {
		v4 := a.As4()
		copy(wire[:], v4[:])
		return wire
	}
	if a.IsValid() {
		wire = a.As16()
	}
	return wire
}

func addressOf(wire *[16]byte, f Family) netip.Addr {
	if f == IPv6 {
		return netip.AddrFrom16(*wire)
	}
	return netip.AddrFrom4([4]byte(wire[:4]))
}

// wireNetmask is a netmask as IPVS_SVC_ATTR_NETMASK: for IPv6 the length of the
// prefix, a number of the machine's.
func wireNetmask(mask netip.Addr, f Family) (wire [4]byte) {
	switch {
	case f != IPv6 && !mask.IsValid():
		return [4]byte{255, 255, 255, 255}
	case f != IPv6:
		return mask.As4()
	case !mask.IsValid():
		binary.NativeEndian.PutUint32(wire[:], 128)
	default:
		binary.NativeEndian.PutUint32(wire[:], uint32(PrefixLength(mask)))
	}
	return wire
}

// netmaskOf is the reverse of wireNetmask, in the canonical form: all bits are
// the zero Addr.
func netmaskOf(wire [4]byte, f Family) netip.Addr {
	if f == IPv6 {
		if bits := binary.NativeEndian.Uint32(wire[:]); bits < 128 {
			return PrefixMask(IPv6, int(bits))
		}
		return netip.Addr{}
	}
	if wire == [4]byte{255, 255, 255, 255} {
		return netip.Addr{}
	}
	return netip.AddrFrom4(wire)
}

// load makes s the service of a reply, in the canonical form.
func (r *serviceReply) load(s *ServiceStatus) {
	w := &r.Service
	f := Family(w.Family)
	if w.Given.Has(serviceMark) {
		s.ServiceID = ServiceID{Mark: w.Mark, Family: f}
	} else {
		s.ServiceID = ServiceID{Protocol: Protocol(w.Protocol), Address: netip.AddrPortFrom(addressOf(&w.Address, f), w.Port)}
	}
	s.Scheduler = intern(w.Scheduler, s.Scheduler)
	s.Engine = intern(w.Engine, s.Engine)
	s.Flags = ServiceFlags(w.Flags.Flags) &^ Hashed
	s.Timeout = w.Timeout
	s.Netmask = netmaskOf(w.Netmask, f)
	if w.Given.Has(serviceStats64) {
		w.Stats64.load(&s.Stats, &s.Rates)
	} else {
		w.Stats.load(&s.Stats, &s.Rates)
	}
}

// load makes d the destination in w, of a service with addresses of family f.
func (w *configuredDestination) load(d *Destination, f Family) {
	if w.Given.Has(destinationFamily) && w.Family != 0 {
		f = Family(w.Family)
	}
	d.Address = netip.AddrPortFrom(addressOf(&w.Address, f), w.Port)
	d.Method, d.Weight = Method(w.Method), w.Weight
	d.UpperThreshold, d.LowerThreshold = w.UpperThreshold, w.LowerThreshold
	d.Tunnel = Encapsulation{Type: TunnelType(w.TunnelType), Port: w.TunnelPort, Flags: TunnelFlags(w.TunnelFlags)}
}

// load makes d the destination of a reply about a service with addresses of family f.
func (r *destinationReply) load(d *DestinationStatus, f Family) error {
	w := &r.Destination
	w.configuredDestination.load(&d.Destination, f)
	d.Active, d.Inactive, d.Persistent = w.Active, w.Inactive, w.Persistent
	if w.Given.Has(destinationStats64) {
		w.Stats64.load(&d.Stats, &d.Rates)
		return nil
	}
	var old stats32
	if err := attr.Unmarshal(w.Stats, &old); err != nil {
		return err
	}
	old.load(&d.Stats, &d.Rates)
	return nil
}

func (w *stats64) load(stats, rates *Counters) {
	*stats = Counters{w.Connections, w.PacketsIn, w.PacketsOut, w.BytesIn, w.BytesOut}
	*rates = Counters{w.ConnectionsPS, w.PacketsInPS, w.PacketsOutPS, w.BytesInPS, w.BytesOutPS}
}

func (w *stats32) load(stats, rates *Counters) {
	*stats = Counters{uint64(w.Connections), uint64(w.PacketsIn), uint64(w.PacketsOut), w.BytesIn, w.BytesOut}
	*rates = Counters{uint64(w.ConnectionsPS), uint64(w.PacketsInPS), uint64(w.PacketsOutPS), uint64(w.BytesInPS), uint64(w.BytesOutPS)}
}

// knownNames are those that schedulers and engines of the kernel have, so that a
// list of services need not allocate each name.
var knownNames = func() map[string]string {
	names := map[string]string{}
	for _, name := range []string{
		"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos", "none", "sip",
	} {
		names[name] = name
	}
	return names
}()

// intern is the text in b, without the NUL behind it. It is old, where that is
// the same.
func intern(b []byte, old string) string {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	if string(b) == old {
		return old
	}
	if name, ok := knownNames[string(b)]; ok {
		return name
	}
	return string(b)
}
