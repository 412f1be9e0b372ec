//go:build linux

package ipvs

import (
	"encoding"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestNamesAreReadBack(t *testing.T) {
	for _, v := range []encoding.TextMarshaler{
		TCP, UDP, SCTP, Protocol(99), IPv4, IPv6, Masquerade, Local, Tunnel, Route, Bypass, Method(9),
		IPIP, GUE, GRE, TunnelType(9), Master, Backup,
	} {
		text, err := v.MarshalText()
		must(t, err)
		back := reflect.New(reflect.TypeOf(v))
		for _, text := range []string{string(text), strings.ToUpper(string(text))} {
			must(t, back.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)))
			if back.Elem().Interface() != v {
				t.Errorf("%v became %v", v, back.Elem())
			}
		}
		if err := back.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte("nosuch")); err == nil || !strings.Contains(err.Error(), `"nosuch"`) {
			t.Errorf("%T: %v", v, err)
		}
	}
	for scheduler, names := range map[string][]string{
		"sh": {"persistent", "hashed", "ops", "sh-fallback", "sh-port", "flag-3", "0x40"},
		"mh": {"persistent", "hashed", "ops", "mh-fallback", "mh-port", "flag-3", "0x40"},
		"rr": {"persistent", "hashed", "ops", "flag-1", "flag-2", "flag-3", "0x40"},
	} {
		if got := ServiceFlags(0x7f).Names(scheduler); !slices.Equal(got, names) {
			t.Errorf("%v", got)
		}
		for i, name := range names {
			if f, err := ParseServiceFlag(name); name != "hashed" && (err != nil || f != 1<<i) {
				t.Errorf("%s is %#x, %v", name, uint32(f), err)
			}
		}
	}
	for i, name := range []string{"csum", "remcsum", "0x4"} {
		if f, err := ParseTunnelFlag(name); err != nil || f != 1<<i || f.String() != name {
			t.Errorf("%s is %s, %v", name, f, err)
		}
	}
}

func TestServicesAreNamed(t *testing.T) {
	for text, id := range map[string]ServiceID{
		"tcp:1.1.1.1:80": one.ServiceID, "udp:[2001:db8::1]:53": Virtual(UDP, at("[2001:db8::1]:53")), "sctp:1.1.1.1:87": oneSCTP.ServiceID,
		"99:1.1.1.1:80": {Protocol: 99, Address: at("1.1.1.1:80")}, "fwmark:10": Marked(10, IPv4), "fwmark:4294967295:ipv6": Marked(1<<32-1, IPv6),
	} {
		for _, sep := range []string{" ", "/", ":"} {
			kind, rest, _ := strings.Cut(text, ":")
			if kind == "fwmark" {
				rest = strings.Replace(rest, ":", sep, 1)
			}
			got, err := ParseServiceID(kind + sep + rest)
			if err != nil || got != id || id.String() != text {
				t.Errorf("%s: %v, %v", text, got, err)
			}
		}
	}
	for _, wrong := range []string{"", "tcp", "tcp 1.1.1.1", "tcp:1.1.1.1:99999", "tcp Z::1:80", "tcp:323.1.1.1:80", "fwmark x", "fwmark 1 ipv5", "icmp 1.1.1.1:80", "256 1.1.1.1:80"} {
		if id, err := ParseServiceID(wrong); err == nil {
			t.Errorf("%q is %v", wrong, id)
		}
	}
}

func TestServicesThatCannotBeRightNameTheField(t *testing.T) {
	for _, test := range []struct {
		field  string
		change func(*Service)
	}{
		{"", func(*Service) {}},
		{"", func(s *Service) { s.Timeout = maxTimeout }},
		{"timeout", func(s *Service) { s.Timeout = maxTimeout + time.Second }},
		{"timeout", func(s *Service) { s.Timeout = -time.Second }},
		{"timeout", func(s *Service) { s.Timeout = time.Second / 2 }},
		{"mark", func(s *Service) { s.Mark = 1 }},
		{"mark", func(s *Service) { s.ServiceID = ServiceID{Family: IPv4} }},
		{"family", func(s *Service) { s.ServiceID = ServiceID{Mark: 1} }},
		{"family", func(s *Service) { s.Family = IPv6 }},
		{"protocol", func(s *Service) { s.Protocol = 0 }},
		{"protocol", func(s *Service) { s.Protocol = 1 }},
		{"address", func(s *Service) { s.Address = netip.AddrPort{} }},
		{"address", func(s *Service) { s.Address = at("[fe80::1%eth0]:80") }},
		{"address", func(s *Service) { s.Address = at("[::ffff:1.1.1.1]:80") }},
		{"port", func(s *Service) { s.Address = at("1.1.1.1:0") }},
		{"", func(s *Service) { s.Address, s.Flags = at("1.1.1.1:0"), Persistent }},
		{"scheduler", func(s *Service) { s.Scheduler = "" }},
		{"scheduler", func(s *Service) { s.Scheduler = "0123456789abcdef" }},
		{"scheduler", func(s *Service) { s.Scheduler = "r\x00r" }},
		{"", func(s *Service) { s.Scheduler = "0123456789abcde" }},
		{"engine", func(s *Service) { s.Engine = "0123456789abcdef" }},
		{"flags", func(s *Service) { s.Flags = OnePacket }},
		{"flags", func(s *Service) { s.Flags = 0x40 }},
		{"netmask", func(s *Service) { s.Netmask = addr("ffff::") }},
		{"", func(s *Service) { s.Netmask = addr("0.0.0.0") }},
		{"netmask", func(s *Service) { *s = v6; s.Netmask = addr("ffff:0:ffff::") }},
		{"netmask", func(s *Service) { *s = v6; s.Netmask = addr("::") }},
		{"netmask", func(s *Service) { *s = v6; s.Netmask = addr("255.0.0.0") }},
	} {
		s := with(one, test.change)
		wantField(t, s.Validate(), test.field)
	}
}

func wantField(t *testing.T, err error, field string) {
	t.Helper()
	var e *FieldError
	if field == "" && err != nil || field != "" && (!errors.As(err, &e) || e.Field != field || !errors.Is(err, syscall.EINVAL)) {
		t.Errorf("got %v, want one about %q", err, field)
	}
}

func TestDestinationsThatCannotBeRightNameTheField(t *testing.T) {
	tunnel := func(e Encapsulation) func(*Destination) {
		return func(d *Destination) { d.Method, d.Tunnel = Tunnel, e }
	}
	for _, test := range []struct {
		field  string
		change func(*Destination)
	}{
		{"", func(*Destination) {}},
		{"address", func(d *Destination) { d.Address = netip.AddrPort{} }},
		{"address", func(d *Destination) { d.Address = at("224.0.0.1:80") }},
		{"address", func(d *Destination) { d.Address = at("[ff02::1]:80") }},
		{"address", func(d *Destination) { d.Address = at("[::ffff:1.1.1.1]:80") }},
		{"", func(d *Destination) { d.Address = at("10.0.0.5:0") }},
		{"weight", func(d *Destination) { d.Weight = 1 << 31 }},
		{"method", func(d *Destination) { d.Method = 5 }},
		{"upper_threshold", func(d *Destination) { d.UpperThreshold = 1 << 31 }},
		{"lower_threshold", func(d *Destination) { d.LowerThreshold = 1 }},
		{"method", func(d *Destination) { d.Address = at("[2001:db8::5]:80") }},
		{"tunnel", func(d *Destination) { d.Tunnel.Type = GRE }},
		{"tunnel.type", tunnel(Encapsulation{Type: 3})},
		{"tunnel.port", tunnel(Encapsulation{Type: GUE})},
		{"tunnel.port", tunnel(Encapsulation{Type: GRE, Port: 1})},
		{"tunnel.flags", tunnel(Encapsulation{Type: GRE, Flags: 4})},
		{"tunnel.flags", tunnel(Encapsulation{Flags: Checksum})},
		{"tunnel.flags", tunnel(Encapsulation{Type: GRE, Flags: RemoteChecksum})},
		{"", tunnel(Encapsulation{Type: GRE, Flags: Checksum})},
		{"", tunnel(Encapsulation{Type: GUE, Port: 1, Flags: RemoteChecksum})},
	} {
		d := with(Destination{Address: at("10.0.0.5:80"), Weight: 1}, test.change)
		wantField(t, d.Validate(one.ServiceID), test.field)
	}
}

func TestDaemonsThatCannotBeRightNameTheField(t *testing.T) {
	for _, test := range []struct {
		field  string
		change func(*Daemon)
	}{
		{"", func(*Daemon) {}},
		{"role", func(d *Daemon) { d.Role = 0 }},
		{"interface", func(d *Daemon) { d.Interface = "" }},
		{"interface", func(d *Daemon) { d.Interface = "0123456789abcdef" }},
		{"sync_id", func(d *Daemon) { d.SyncID = 256 }},
		{"group", func(d *Daemon) { d.Group = addr("10.0.0.1") }},
		{"group", func(d *Daemon) { d.Group = addr("::ffff:224.0.0.1") }},
		{"group", func(d *Daemon) { d.Group = addr("ff02::1%eth0") }},
		{"", func(d *Daemon) { d.Group = addr("ff02::51") }},
	} {
		d := with(onDummy, test.change)
		wantField(t, d.Validate(), test.field)
	}
}

func TestAServiceReadsAsItIsConfigured(t *testing.T) {
	s := Service{
		ServiceID: tcp("[2001:db8::1]:80").ServiceID, Scheduler: "sh", Flags: Persistent | SHPort,
		Timeout: 5 * time.Minute, Netmask: PrefixMask(IPv6, 64), Engine: "sip",
	}
	const want = "tcp:[2001:db8::1]:80 sh persistent sh-port 5m0s netmask 64 engine sip"
	if got := (ServiceStatus{Service: s}).String(); got != want {
		t.Errorf("it reads %q, not %q", got, want)
	}
}
