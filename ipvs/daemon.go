package ipvs

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Role is what a sync daemon does (IP_VS_STATE_* of include/uapi/linux/ip_vs.h).
type Role uint32

// The roles. One daemon of each may run in a network namespace.
const (
	Master Role = 1 // sends what connections there are
	Backup Role = 2 // receives it
)

// String gives "master", "backup", or the number.
func (r Role) String() string {
	switch r {
	case Master:
		return "master"
	case Backup:
		return "backup"
	}
	return strconv.FormatUint(uint64(r), 10)
}

// MarshalText gives what String does.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText takes a name, in upper or lower case.
func (r *Role) UnmarshalText(text []byte) error {
	switch strings.ToLower(string(text)) {
	case "master":
		*r = Master
	case "backup":
		*r = Backup
	default:
		return fmt.Errorf("role %q: not master or backup", text)
	}
	return nil
}

// Daemon is a thread of the kernel's that tells other machines what connections
// there are, or is told, so that they can go on elsewhere.
type Daemon struct {
	Role      Role
	Interface string // that it multicasts on, or listens on
	SyncID    uint32 // which daemons belong together: those of one number, 0 to 255

	// Group is the multicast group. To start, the zero Addr is 224.0.0.81.
	Group netip.Addr
	// Port is the UDP port. To start, 0 is 8848.
	Port uint16
	// TTL is how far a master's datagrams go. To start, 0 is 1.
	TTL uint8
	// MaxLen is the largest payload of a datagram in bytes. To start, 0 is what
	// the interface carries in one packet. The kernel brings it into its bounds.
	MaxLen uint16
}

// maxSyncID is the largest number that fits a datagram (struct ip_vs_sync_mesg);
// the kernel would cut others off.
const maxSyncID = 255

// Validate says what is wrong with a daemon that is to be started, as far as it
// can be known without the kernel. The error names the field and is
// errors.Is(err, syscall.EINVAL).
func (d *Daemon) Validate() error {
	switch {
	case d.Role != Master && d.Role != Backup:
		return invalid("role", "%s is neither Master nor Backup", d.Role)
	case d.Interface == "":
		return invalid("interface", "missing")
	case len(d.Interface) > maxName || strings.ContainsRune(d.Interface, 0):
		return invalid("interface", "%q is no name of at most %d bytes", d.Interface, maxName)
	case d.SyncID > maxSyncID:
		return invalid("sync_id", "%d is above %d", d.SyncID, maxSyncID)
	case !d.Group.IsValid():
		return nil
	case !d.Group.IsMulticast() || d.Group.Is4In6():
		return invalid("group", "%s is no multicast address", d.Group)
	case d.Group.Zone() != "":
		return invalid("group", "%s has a zone: name the interface in its own field", d.Group)
	}
	return nil
}

func (w *daemonWire) set(d *Daemon) {
	*w = daemonWire{
		State: uint32(d.Role), Interface: d.Interface, SyncID: &d.SyncID,
		MaxLen: d.MaxLen, Port: d.Port, TTL: d.TTL,
	}
	switch {
	case d.Group.Is4():
		w.Group = d.Group.As4()
	case d.Group.IsValid():
		w.Group6 = d.Group.As16()
	}
}

func (w *daemonWire) daemon() Daemon {
	d := Daemon{Role: Role(w.State), Interface: w.Interface, Port: w.Port, TTL: w.TTL, MaxLen: w.MaxLen}
	if w.SyncID != nil {
		d.SyncID = *w.SyncID
	}
	switch {
	case w.Group6 != [16]byte{}:
		d.Group = netip.AddrFrom16(w.Group6)
	case w.Group != [4]byte{}:
		d.Group = netip.AddrFrom4(w.Group)
	}
	return d
}
