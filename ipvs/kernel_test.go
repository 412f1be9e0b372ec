//go:build linux

package ipvs

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/internal/testenv"
	"github.com/gnlgo/gnl/netlink"
)

// What is proved here needs a kernel with IPVS. Each test has a network
// namespace of its own.

func TestServicesAreReadBackAsTheyWereWritten(t *testing.T) {
	c := kernel(t)
	persistent := func(s *Service) { s.Flags |= Persistent; s.Timeout = 5 * time.Minute }
	for _, s := range []Service{
		one, oneUDP, oneSCTP, v6, marked(10, IPv4), marked(10, IPv6),
		with(tcp("1.1.1.2:0"), persistent),
		with(tcp("1.1.1.3:80"), func(s *Service) { persistent(s); s.Netmask = addr("255.255.255.0") }),
		with(tcp("1.1.1.4:80"), func(s *Service) { persistent(s); s.Netmask = addr("0.0.0.0") }),
		with(tcp("1.1.1.5:80"), func(s *Service) { persistent(s); s.Netmask = addr("255.0.255.0") }),
		with(tcp("[2001:db8::2]:80"), func(s *Service) { persistent(s); s.Netmask = PrefixMask(IPv6, 1) }),
		with(tcp("[2001:db8::3]:80"), func(s *Service) { persistent(s); s.Netmask = PrefixMask(IPv6, 64) }),
		with(tcp("[2001:db8::4]:80"), func(s *Service) { persistent(s); s.Netmask = PrefixMask(IPv6, 127) }),
		with(marked(11, IPv6), func(s *Service) { persistent(s); s.Netmask = PrefixMask(IPv6, 48) }),
		with(marked(1<<32-1, IPv4), func(s *Service) { persistent(s); s.Timeout = time.Second }),
		with(tcp("1.1.1.6:80"), func(s *Service) { persistent(s); s.Timeout = maxTimeout }),
		with(tcp("1.1.1.7:80"), func(s *Service) { s.Scheduler = "sh"; s.Flags = SHPort | SHFallback }),
		with(tcp("1.1.1.8:80"), func(s *Service) { s.Scheduler = "mh"; s.Flags = MHPort }),
		with(tcp("1.1.1.9:80"), func(s *Service) { s.Flags = SchedulerFlag3 }),
		with(tcp("1.1.1.10:80"), func(s *Service) { s.Scheduler = "none" }),
		with(marked(12, IPv4), func(s *Service) { s.Flags = OnePacket }),
	} {
		if err := c.AddService(t.Context(), s); err != nil {
			t.Errorf("%#v: %v", s, err)
			continue
		}
		mustRead(t, c, s)
	}
}

func TestAddressServicesAreCanonical(t *testing.T) {
	c := kernel(t)
	must(t, c.AddService(t.Context(), with(one, func(s *Service) {
		s.Family, s.Flags, s.Netmask = IPv4, Hashed, addr("255.255.255.255")
	})))
	mustRead(t, c, one)
	must(t, c.AddService(t.Context(), with(v6, func(s *Service) { s.Family, s.Netmask = IPv6, PrefixMask(IPv6, 128) })))
	mustRead(t, c, v6)
}

func TestEveryScheduler(t *testing.T) {
	c := kernel(t)
	testenv.LoadLocalitySchedulers(t)
	for i, name := range []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos"} {
		s := scheduled(tcp(fmt.Sprintf("1.1.1.1:%d", i+1)), name)
		err := c.AddService(t.Context(), s)
		if name == "twos" && strings.HasPrefix(release(t), "6.1.") && errors.Is(err, fs.ErrNotExist) {
			t.Log(err) // Debian's 6.1 was built without it
			continue
		}
		must(t, err)
		mustRead(t, c, s)
		must(t, c.AddDestination(t.Context(), s.ServiceID, Destination{Address: at("10.0.0.5:80"), Weight: 1}))
		// And from each to another, with its destination.
		must(t, c.UpdateService(t.Context(), s.ServiceID, ServiceUpdate{Scheduler: gnl.Some("rr")}))
		must(t, c.UpdateService(t.Context(), s.ServiceID, ServiceUpdate{Scheduler: gnl.Some(name)}))
		mustRead(t, c, s)
	}
}

func TestThePersistenceEngine(t *testing.T) {
	c := kernel(t)
	s := with(oneUDP, func(s *Service) { s.Flags, s.Timeout, s.Engine = Persistent|OnePacket, time.Minute, "sip" })
	must(t, c.AddService(t.Context(), s))
	mustRead(t, c, s)
	must(t, c.UpdateService(t.Context(), s.ServiceID, ServiceUpdate{Engine: gnl.Some("")}))
	s.Engine = ""
	mustRead(t, c, s)
	must(t, c.UpdateService(t.Context(), s.ServiceID, ServiceUpdate{Engine: gnl.Some("sip")}))
	s.Engine = "sip"
	mustRead(t, c, s)

	err := c.AddService(t.Context(), with(tcp("1.1.1.1:85"), func(s *Service) { s.Engine = "nosuch" }))
	expect(t, err, "ipvs: add service tcp:1.1.1.1:85: no such scheduler, or no such persistence engine: are the modules ip_vs_rr and ip_vs_pe_nosuch there?: no such file or directory",
		fs.ErrNotExist, syscall.ENOENT)
}

func TestASetServiceReplacesAllAndAnUpdateWhatIsGiven(t *testing.T) {
	c := kernel(t)
	full := with(one, func(s *Service) {
		s.Scheduler, s.Flags, s.Timeout, s.Netmask = "sh", Persistent|SHPort, 300*time.Second, addr("255.255.0.0")
	})
	must(t, c.AddService(t.Context(), full))
	d := tunnelTo("2.2.2.1:80", 1)
	must(t, c.AddDestination(t.Context(), one.ServiceID, d))

	must(t, c.UpdateService(t.Context(), one.ServiceID, ServiceUpdate{}))
	mustRead(t, c, full)
	must(t, c.UpdateService(t.Context(), one.ServiceID, ServiceUpdate{SetFlags: SHFallback}))
	mustRead(t, c, with(full, func(s *Service) { s.Flags |= SHFallback }))
	must(t, c.UpdateService(t.Context(), one.ServiceID, ServiceUpdate{ClearFlags: SHFallback | SHPort, Timeout: gnl.Some(time.Minute)}))
	mustRead(t, c, with(full, func(s *Service) { s.Flags, s.Timeout = Persistent, time.Minute }))
	must(t, c.UpdateService(t.Context(), one.ServiceID, ServiceUpdate{Netmask: gnl.Some(netip.Addr{}), Scheduler: gnl.Some("wlc")}))
	mustRead(t, c, with(full, func(s *Service) {
		s.Flags, s.Timeout, s.Netmask, s.Scheduler = Persistent, time.Minute, netip.Addr{}, "wlc"
	}))
	must(t, c.SetService(t.Context(), one))
	mustRead(t, c, one)
	mustReadDestination(t, c, one.ServiceID, d)
	expect(t, c.UpdateService(t.Context(), one.ServiceID, ServiceUpdate{SetFlags: OnePacket}),
		"ipvs: update service tcp:1.1.1.1:80: flags: scheduling packet by packet (ops) is for UDP, not tcp", syscall.EINVAL)
	expect(t, c.UpdateService(t.Context(), one.ServiceID, ServiceUpdate{SetFlags: Persistent, ClearFlags: Persistent}),
		"ipvs: update service tcp:1.1.1.1:80: flags: persistent to be both set and cleared", syscall.EINVAL)
}

func TestDestinationsAreReadBackAsTheyWereWritten(t *testing.T) {
	c := kernel(t)
	must(t, c.AddService(t.Context(), one))
	must(t, c.AddService(t.Context(), v6))
	must(t, c.AddService(t.Context(), marked(10, IPv4)))
	must(t, c.AddService(t.Context(), marked(10, IPv6)))
	tunnel := func(e Encapsulation) func(*Destination) { return func(d *Destination) { d.Tunnel = e } }
	for i, d := range []Destination{
		method(tunnelTo("2.2.2.1:80", 1), Masquerade), method(tunnelTo("2.2.2.1:80", 1), Local), tunnelTo("2.2.2.1:80", 1),
		method(tunnelTo("2.2.2.1:80", 1), Route), method(tunnelTo("2.2.2.1:80", 1), Bypass),
		tunnelTo("2.2.2.1:80", 0), tunnelTo("2.2.2.1:80", 1<<31-1), tunnelTo("2.2.2.1:65535", 1),
		{Address: at("2.2.2.1:80"), UpperThreshold: 10, LowerThreshold: 5}, {Address: at("2.2.2.1:80"), UpperThreshold: 1<<31 - 1, LowerThreshold: 1<<31 - 1},
		with(tunnelTo("2.2.2.1:80", 1), tunnel(Encapsulation{Type: GUE, Port: 6080})),
		with(tunnelTo("2.2.2.1:80", 1), tunnel(Encapsulation{Type: GUE, Port: 65535, Flags: Checksum})),
		with(tunnelTo("2.2.2.1:80", 1), tunnel(Encapsulation{Type: GUE, Port: 1, Flags: RemoteChecksum})),
		with(tunnelTo("2.2.2.1:80", 1), tunnel(Encapsulation{Type: GRE})),
		with(tunnelTo("2.2.2.1:80", 1), tunnel(Encapsulation{Type: GRE, Flags: Checksum})),
		tunnelTo("[2001:db8::2]:80", 1), // behind a service of the other family
	} {
		for _, id := range []ServiceID{one.ServiceID, v6.ServiceID, Marked(10, IPv4), Marked(10, IPv6)} {
			d := d
			if id.IPFamily() == IPv6 && d.Method != Tunnel {
				d.Address = netip.AddrPortFrom(addr("2001:db8::7"), d.Address.Port())
			}
			if id.Mark != 0 {
				d.Address = netip.AddrPortFrom(d.Address.Addr(), 0)
			}
			if err := c.AddDestination(t.Context(), id, d); err != nil {
				t.Errorf("%d %s: %v", i, id, err)
				continue
			}
			mustReadDestination(t, c, id, d)
			must(t, c.RemoveDestination(t.Context(), id, d.Address))
			if n := len(destinations(t, c, id)); n != 0 {
				t.Errorf("%s has %d destinations left", id, n)
			}
		}
	}
}

func TestASetDestinationReplacesAllAndAnUpdateWhatIsGiven(t *testing.T) {
	c := kernel(t)
	must(t, c.AddService(t.Context(), one))
	full := Destination{
		Address: at("2.2.2.1:80"), Weight: 3, Method: Tunnel, UpperThreshold: 10, LowerThreshold: 5,
		Tunnel: Encapsulation{Type: GUE, Port: 6080, Flags: Checksum},
	}
	must(t, c.AddDestination(t.Context(), one.ServiceID, full))
	update := func(u DestinationUpdate, change func(*Destination)) {
		t.Helper()
		must(t, c.UpdateDestination(t.Context(), one.ServiceID, full.Address, u))
		change(&full)
		mustReadDestination(t, c, one.ServiceID, full)
	}
	update(DestinationUpdate{}, func(*Destination) {})
	update(DestinationUpdate{Weight: gnl.Some(uint32(0))}, func(d *Destination) { d.Weight = 0 })
	update(DestinationUpdate{UpperThreshold: gnl.Some(uint32(20))}, func(d *Destination) { d.UpperThreshold = 20 })
	update(DestinationUpdate{LowerThreshold: gnl.Some(uint32(0))}, func(d *Destination) { d.LowerThreshold = 0 })
	update(DestinationUpdate{Tunnel: gnl.Some(Encapsulation{Type: GRE})}, func(d *Destination) { d.Tunnel = Encapsulation{Type: GRE} })
	update(DestinationUpdate{Method: gnl.Some(Route)}, func(d *Destination) { d.Method, d.Tunnel = Route, Encapsulation{} })
	update(DestinationUpdate{Method: gnl.Some(Tunnel), Tunnel: gnl.Some(Encapsulation{Type: GUE, Port: 7})},
		func(d *Destination) { d.Method, d.Tunnel = Tunnel, Encapsulation{Type: GUE, Port: 7} })
	update(DestinationUpdate{Tunnel: gnl.Some(Encapsulation{})}, func(d *Destination) { d.Tunnel = Encapsulation{} })

	plain := Destination{Address: full.Address, Weight: 1}
	must(t, c.SetDestination(t.Context(), one.ServiceID, plain))
	mustReadDestination(t, c, one.ServiceID, plain)
	expect(t, c.UpdateDestination(t.Context(), one.ServiceID, full.Address, DestinationUpdate{LowerThreshold: gnl.Some(uint32(1))}),
		"ipvs: update destination 2.2.2.1:80 of tcp:1.1.1.1:80: lower_threshold: 1 is above the upper threshold of 0", syscall.EINVAL)
}

func TestWhatOnlyTheKernelCanKnowIsExplained(t *testing.T) {
	c := kernel(t)
	must(t, c.AddService(t.Context(), one))
	d := tunnelTo("2.2.2.1:80", 1)
	must(t, c.AddDestination(t.Context(), one.ServiceID, d))
	other := at("2.2.2.99:80")
	_, noService := c.Service(t.Context(), missing)
	_, noDestination := c.Destination(t.Context(), one.ServiceID, other)
	_, noServiceEither := c.Destination(t.Context(), missing, other)
	_, noList := gnl.Collect(c.Destinations(t.Context(), missing))
	for text, result := range map[string]struct {
		err error
		is  []error
	}{
		"add service tcp:1.1.1.1:80: it exists: file exists": {c.AddService(t.Context(), one), []error{fs.ErrExist, syscall.EEXIST}},
		"add service tcp:1.1.1.3:80: no such scheduler: is the module ip_vs_nosuch there?: no such file or directory": {
			c.AddService(t.Context(), scheduled(tcp("1.1.1.3:80"), "nosuch")), []error{fs.ErrNotExist, syscall.ENOENT}},
		"set service tcp:1.1.1.1:80: no such scheduler: is the module ip_vs_nosuch there?: no such file or directory": {
			c.SetService(t.Context(), scheduled(one, "nosuch")), []error{fs.ErrNotExist, syscall.ENOENT}},
		"set service tcp:1.1.1.1:81: no such service: no such process": {
			c.SetService(t.Context(), tcp("1.1.1.1:81")), []error{fs.ErrNotExist, syscall.ESRCH}},
		"update service tcp:1.1.1.1:81: no such service: no such process": {
			c.UpdateService(t.Context(), missing, ServiceUpdate{}), []error{fs.ErrNotExist, syscall.ESRCH}},
		"remove service tcp:1.1.1.1:81: no such service: no such process": {
			c.RemoveService(t.Context(), missing), []error{fs.ErrNotExist, syscall.ESRCH}},
		"get service tcp:1.1.1.1:81: no such service: no such process":  {noService, []error{fs.ErrNotExist, syscall.ESRCH}},
		"zero service tcp:1.1.1.1:81: no such service: no such process": {c.Zero(t.Context(), missing), []error{fs.ErrNotExist, syscall.ESRCH}},
		"add destination 2.2.2.1:80 to tcp:1.1.1.1:80: it exists: file exists": {
			c.AddDestination(t.Context(), one.ServiceID, d), []error{fs.ErrExist, syscall.EEXIST}},
		"add destination 2.2.2.1:80 to tcp:1.1.1.1:81: no such service: no such process": {
			c.AddDestination(t.Context(), missing, d), []error{fs.ErrNotExist, syscall.ESRCH}},
		"set destination 2.2.2.1:80 of tcp:1.1.1.1:81: no such service: no such process": {
			c.SetDestination(t.Context(), missing, d), []error{fs.ErrNotExist, syscall.ESRCH}},
		"set destination 2.2.2.99:80 of tcp:1.1.1.1:80: no such destination: no such file or directory": {
			c.SetDestination(t.Context(), one.ServiceID, Destination{Address: other}), []error{fs.ErrNotExist, syscall.ENOENT}},
		"update destination 2.2.2.99:80 of tcp:1.1.1.1:80: no such destination: no such file or directory": {
			c.UpdateDestination(t.Context(), one.ServiceID, other, DestinationUpdate{}), []error{fs.ErrNotExist, syscall.ENOENT}},
		"remove destination 2.2.2.99:80 from tcp:1.1.1.1:80: no such destination: no such file or directory": {
			c.RemoveDestination(t.Context(), one.ServiceID, other), []error{fs.ErrNotExist, syscall.ENOENT}},
		"remove destination 2.2.2.99:80 from tcp:1.1.1.1:81: no such service: no such process": {
			c.RemoveDestination(t.Context(), missing, other), []error{fs.ErrNotExist, syscall.ESRCH}},
		"get destination 2.2.2.99:80 of tcp:1.1.1.1:80: no such destination: no such file or directory": {noDestination, []error{fs.ErrNotExist, syscall.ENOENT}},
		"get destination 2.2.2.99:80 of tcp:1.1.1.1:81: no such service: no such process":               {noServiceEither, []error{fs.ErrNotExist, syscall.ESRCH}},
		"list destinations of tcp:1.1.1.1:81: no such service: no such process":                         {noList, []error{fs.ErrNotExist, syscall.ESRCH}},
		"add destination 224.0.0.1:80 to tcp:1.1.1.1:80: address: 224.0.0.1 is multicast: a server has an address of its own": {
			c.AddDestination(t.Context(), one.ServiceID, Destination{Address: at("224.0.0.1:80")}), []error{syscall.EINVAL}},
		"add destination 255.255.255.255:80 to tcp:1.1.1.1:80: the kernel has no unicast route for such an address: it is broadcast or link-local, or no interface is up: invalid argument": {
			c.AddDestination(t.Context(), one.ServiceID, Destination{Address: at("255.255.255.255:80")}), []error{syscall.EINVAL}},
	} {
		expect(t, result.err, "ipvs: "+text, result.is...)
	}
	all := destinations(t, c, one.ServiceID)
	if len(all) != 1 || len(services(t, c)) != 1 {
		t.Errorf("left: %v", all)
	}
	if errors.Is(noService, fs.ErrExist) || errors.Is(noService, errors.ErrUnsupported) {
		t.Errorf("%v is too much", noService)
	}
}

func TestWithoutAnInterfaceThatIsUpNoDestinationIsTaken(t *testing.T) {
	c := New(open(t, &gnl.Config{Socket: netlink.Config{Namespace: namespace(t)}}))
	must(t, c.AddService(t.Context(), one))
	expect(t, c.AddDestination(t.Context(), one.ServiceID, tunnelTo("2.2.2.1:80", 1)),
		"ipvs: add destination 2.2.2.1:80 to tcp:1.1.1.1:80: the kernel has no unicast route for such an address: it is broadcast or link-local, or no interface is up: invalid argument", syscall.EINVAL)
	expect(t, c.StartDaemon(t.Context(), Daemon{Role: Master, Interface: "lo"}),
		"ipvs: start master daemon on lo: the interface is down, or has no address for such a group: network is unreachable", syscall.ENETUNREACH)
}

func TestAServiceWithoutDestinationsIsNoError(t *testing.T) {
	c := kernel(t)
	must(t, c.AddService(t.Context(), one))
	if all := destinations(t, c, one.ServiceID); len(all) != 0 {
		t.Errorf("%v", all)
	}
}

func TestWhatNoCallerCouldHaveMadeCanBeListedAndRemoved(t *testing.T) {
	ns := fresh(t)
	c := New(open(t, &gnl.Config{Socket: netlink.Config{Namespace: ns}}))
	for _, i := range []int{2, 8, 14, 21, 59, 62, 64, 74} { // as recorded: port 0, mark 0, method 9, protocol 99…
		for _, x := range recording(t)[i].exchanges(t) {
			_, err := c.gnl.Do(t.Context(), gnl.Request{Family: family, Command: x.request.Command, Version: 1, Attributes: x.request.Attributes})
			must(t, err)
		}
	}
	if d, err := c.Destination(t.Context(), one.ServiceID, at("2.2.2.6:80")); err != nil || d.Method != Local {
		t.Errorf("method 9 is listed as %v: %v", d.Method, err) // the kernel keeps its low bits
	}
	must(t, c.RemoveDestination(t.Context(), one.ServiceID, at("2.2.2.34:0")))
	all := services(t, c)
	if len(all) != 6 {
		t.Errorf("%d services", len(all))
	}
	for _, s := range all {
		if got, err := c.Service(t.Context(), s.ServiceID); err != nil || got != s {
			t.Errorf("%#v: got %#v, %v", s, got, err)
		}
		must(t, c.Zero(t.Context(), s.ServiceID))
		must(t, c.RemoveService(t.Context(), s.ServiceID))
	}
}

func TestTimeoutsOfConnections(t *testing.T) {
	c := kernel(t)
	want := Config{TCP: 15 * time.Minute, TCPFin: 2 * time.Minute, UDP: 5 * time.Minute}
	check := func() {
		t.Helper()
		got, err := c.Config(t.Context())
		must(t, err)
		if got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	check()
	must(t, c.SetConfig(t.Context(), Config{}))
	check()
	must(t, c.SetConfig(t.Context(), Config{TCP: 100 * time.Second, TCPFin: 20 * time.Second, UDP: 30 * time.Second}))
	want = Config{TCP: 100 * time.Second, TCPFin: 20 * time.Second, UDP: 30 * time.Second}
	check()
	must(t, c.SetConfig(t.Context(), Config{UDP: 31 * time.Second}))
	want.UDP = 31 * time.Second
	check()
	must(t, c.SetConfig(t.Context(), Config{TCPFin: 21 * time.Second}))
	want.TCPFin = 21 * time.Second
	check()
	for _, wrong := range []time.Duration{-time.Second, time.Second / 2, maxConfig + time.Second} {
		mustBe(t, c.SetConfig(t.Context(), Config{TCP: wrong}), syscall.EINVAL)
	}
	if err := c.SetConfig(t.Context(), Config{TCP: maxConfig}); err != nil {
		expect(t, err, "ipvs: set timeouts: a timeout is longer than this kernel counts (24 days, if it counts 1000 ticks a second): invalid argument", syscall.EINVAL)
	} else {
		want.TCP = maxConfig
	}
	check()
}

func TestInfo(t *testing.T) {
	info, err := kernel(t).Info(t.Context())
	must(t, err)
	if info.Version != 0x010201 || info.ConnectionTableSize == 0 || info.ConnectionTableSize&(info.ConnectionTableSize-1) != 0 {
		t.Errorf("%v", info)
	}
}

func TestZero(t *testing.T) {
	c := kernel(t)
	must(t, c.AddService(t.Context(), one))
	must(t, c.Zero(t.Context(), one.ServiceID))
	must(t, c.ZeroAll(t.Context()))
	mustBe(t, c.Zero(t.Context(), missing), fs.ErrNotExist)
}

func TestDaemons(t *testing.T) {
	ns := fresh(t)
	addInterface(t, ns, "sync0")
	c := New(open(t, &gnl.Config{Socket: netlink.Config{Namespace: ns}}))
	list := func(want ...Daemon) {
		t.Helper()
		got, err := c.Daemons(t.Context())
		must(t, err)
		if !slices.Equal(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	plain := Daemon{Role: Master, Interface: "sync0", SyncID: 1, Group: addr("224.0.0.81"), Port: 8848, TTL: 1, MaxLen: 1472}
	backup := with(plain, func(d *Daemon) { d.Role = Backup })
	list()
	expect(t, c.StopDaemon(t.Context(), Master), "ipvs: stop master daemon: none runs: no such process", fs.ErrNotExist, syscall.ESRCH)
	must(t, c.StartDaemon(t.Context(), Daemon{Role: Master, Interface: "sync0", SyncID: 1}))
	list(plain)
	expect(t, c.StartDaemon(t.Context(), plain), "ipvs: start master daemon on sync0: one of this role runs: file exists", fs.ErrExist, syscall.EEXIST)
	must(t, c.StartDaemon(t.Context(), Daemon{Role: Backup, Interface: "sync0", SyncID: 1}))
	list(plain, backup)
	must(t, c.StopDaemon(t.Context(), Master))
	list(backup)
	must(t, c.StopDaemon(t.Context(), Backup))
	list()
	expect(t, c.StartDaemon(t.Context(), Daemon{Role: Backup, Interface: "nope"}),
		"ipvs: start backup daemon on nope: no such interface: no such device", syscall.ENODEV)

	for _, d := range []Daemon{
		{Role: Master, Interface: "sync0", SyncID: 255, Group: addr("239.1.2.3"), Port: 65535, TTL: 255, MaxLen: 1000},
		{Role: Master, Interface: "sync0", SyncID: 0, Group: addr("ff02::51"), Port: 1, TTL: 2, MaxLen: 900},
		{Role: Backup, Interface: "sync0", SyncID: 7, Group: addr("224.0.0.82"), Port: 9000, TTL: 1, MaxLen: 1200},
	} {
		err := c.StartDaemon(t.Context(), d)
		for begin := time.Now(); errors.Is(err, syscall.EADDRNOTAVAIL) && time.Since(begin) < patience; {
			// An interface's own IPv6 address takes a moment to be its own.
			expect(t, err, "ipvs: start master daemon on sync0: the interface is down, or has no address for such a group: cannot assign requested address")
			time.Sleep(50 * time.Millisecond)
			err = c.StartDaemon(t.Context(), d)
		}
		if err != nil {
			t.Errorf("%+v: %v", d, err)
			continue
		}
		list(d)
		must(t, c.StopDaemon(t.Context(), d.Role))
		list()
	}

	must(t, c.AddService(t.Context(), one))
	mixed := tunnelTo("[2001:db8::2]:80", 1)
	must(t, c.AddDestination(t.Context(), one.ServiceID, mixed))
	expect(t, c.StartDaemon(t.Context(), plain),
		"ipvs: start master daemon on sync0: there are destinations of another family than their service, which daemons cannot tell each other of: invalid argument", syscall.EINVAL)
	must(t, c.RemoveDestination(t.Context(), one.ServiceID, mixed.Address))
	must(t, c.StartDaemon(t.Context(), plain))
	expect(t, c.AddDestination(t.Context(), one.ServiceID, mixed),
		"ipvs: add destination [2001:db8::2]:80 to tcp:1.1.1.1:80: an address of another family than the service's needs the method Tunnel, and that no sync daemon runs: invalid argument", syscall.EINVAL)
	must(t, c.StopDaemon(t.Context(), Master))
}

// A daemon whose thread has not run yet is stopped without an answer.
func TestADaemonCanBeStoppedAtOnce(t *testing.T) {
	c := kernel(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 20 {
		must(t, c.StartDaemon(ctx, Daemon{Role: Master, Interface: "lo"}))
		must(t, c.StopDaemon(ctx, Master))
		if all, err := c.Daemons(ctx); err != nil || len(all) != 0 {
			t.Fatalf("%v, %v", all, err)
		}
	}
}

func TestManyServicesAreListedWhole(t *testing.T) {
	c := kernel(t)
	b := c.Batch()
	want := map[ServiceID]bool{}
	for i := range 311 {
		s := tcp(fmt.Sprintf("10.0.%d.%d:80", i/250, i%250+1))
		b.AddService(s)
		want[s.ServiceID] = true
	}
	must(t, b.Do(t.Context()))
	var s ServiceStatus
	for got, err := range c.ServicesInto(t.Context(), &s) {
		must(t, err)
		if !want[got.ServiceID] || got.Service != tcp(got.Address.String()) {
			t.Errorf("%#v", got)
		}
		delete(want, got.ServiceID)
	}
	if len(want) != 0 {
		t.Errorf("not listed: %v", want)
	}
}

func TestABatchConfiguresThousandsAndTellsWhichFailed(t *testing.T) {
	c := kernel(t)
	b := c.Batch()
	must(t, b.Do(t.Context()))
	const n = 3000
	added := b.AddService(one)
	var bad []int
	for i := range n {
		d := Destination{Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 80), Weight: uint32(i)}
		b.AddDestination(one.ServiceID, d)
		switch i % 1000 {
		case 7:
			bad = append(bad, b.AddDestination(one.ServiceID, d))
		case 8:
			bad = append(bad, b.AddDestination(missing, d))
		case 9:
			bad = append(bad, b.AddDestination(one.ServiceID, with(d, func(d *Destination) { d.Method = 9 })))
		}
	}
	err := b.Do(t.Context())
	var failed *gnl.BatchError
	if !errors.As(err, &failed) || failed.Failed != len(bad) || failed.Of != b.Len() || failed.First != bad[0] {
		t.Errorf("%v", err)
	}
	for i := range b.Len() {
		if got := b.Err(i) != nil; got != slices.Contains(bad, i) {
			t.Errorf("%d: %v", i, b.Err(i))
		}
	}
	mustBe(t, b.Err(added), nil)
	mustBe(t, b.Err(bad[0]), fs.ErrExist)
	expect(t, b.Err(bad[1]), "ipvs: add destination 10.1.0.8:80 to tcp:1.1.1.1:81: no such service: no such process", fs.ErrNotExist)
	expect(t, b.Err(bad[2]), "ipvs: add destination 10.1.0.9:80 to tcp:1.1.1.1:80: method: 9 is not known", syscall.EINVAL)
	seen := 0
	var d DestinationStatus
	for got, err := range c.DestinationsInto(t.Context(), one.ServiceID, &d) {
		must(t, err)
		a := got.Address.Addr().As4()
		if got.Weight != uint32(a[2])<<8|uint32(a[3]) {
			t.Errorf("%#v", got)
		}
		seen++
	}
	if seen != n {
		t.Errorf("%d destinations", seen)
	}

	b.Reset()
	b.SetDestination(one.ServiceID, Destination{Address: at("10.1.0.1:80"), Weight: 77})
	b.RemoveDestination(one.ServiceID, at("10.1.0.2:80"))
	b.SetService(scheduled(one, "wrr"))
	b.Zero(one.ServiceID)
	b.ZeroAll()
	nowhere := b.Zero(missing)
	gone := b.RemoveService(missing)
	noScheduler := b.AddService(scheduled(tcp("1.1.1.1:82"), "nosuch"))
	if err := b.Do(t.Context()); err == nil {
		t.Error("no error")
	}
	for i := range b.Len() {
		if err := b.Err(i); (err != nil) != slices.Contains([]int{nowhere, gone, noScheduler}, i) {
			t.Errorf("%d: %v", i, err)
		}
	}
	expect(t, b.Err(noScheduler), "ipvs: add service tcp:1.1.1.1:82: no such scheduler: is the module ip_vs_nosuch there?: no such file or directory")
	mustReadDestination(t, c, one.ServiceID, Destination{Address: at("10.1.0.1:80"), Weight: 77})
	mustRead(t, c, scheduled(one, "wrr"))
	b.Reset()
	b.RemoveService(one.ServiceID)
	b.AddService(v6)
	b.Flush()
	must(t, b.Do(t.Context()))
	if all := services(t, c); len(all) != 0 {
		t.Errorf("left: %v", all)
	}
}

// Requests as another program made them, with the answers of the kernel then and now.
func TestTheRecordedOperationsGiveTheSameAnswersHere(t *testing.T) {
	littleEndian(t)
	ns := fresh(t)
	addInterface(t, ns, "dummy0")
	client := open(t, &gnl.Config{Socket: netlink.Config{Namespace: ns}})
	for i, o := range recording(t) {
		name := fmt.Sprintf("%d %s", i, o.Op)
		if i == 92 { // of the 300 only the first was recorded
			for n := range 300 {
				must(t, New(client).AddService(t.Context(), tcp(fmt.Sprintf("10.0.%d.%d:80", n/250, n%250+1))))
			}
			continue
		}
		for _, x := range o.exchanges(t) {
			var got, want []string
			var gotErr, wantErr error
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			r := gnl.Request{Family: family, Command: x.request.Command, Version: 1, Attributes: x.request.Attributes}
			if x.request.Flags&netlink.FlagDump != 0 {
				for m, err := range client.Dump(ctx, r) {
					if err != nil {
						gotErr = err
						break
					}
					got = append(got, withoutPads(t, m.Attributes))
				}
			} else if x.request.Command == delDaemon.ID {
				gotErr = New(client).StopDaemon(ctx, Role(x.request.Attributes[8]))
			} else {
				var answers []gnl.Message
				answers, gotErr = client.Do(ctx, r)
				for _, m := range answers {
					got = append(got, withoutPads(t, m.Attributes))
				}
			}
			cancel()
			for _, b := range x.answers {
				_, messages := split(t, hex.EncodeToString(b))
				for _, m := range messages {
					if m.Type > netlink.TypeDone {
						want = append(want, withoutPads(t, m.Attributes))
					} else if errno := -int32(binary.LittleEndian.Uint32(b[16:])); errno != 0 {
						wantErr = syscall.Errno(errno)
					}
				}
			}
			// Services are listed by a hash of their namespace's address.
			if x.request.Command == getServices.ID {
				slices.Sort(got)
				slices.Sort(want)
			}
			if i == 82 || i == 89 { // the size of the table of connections is the machine's affair
				got, want = []string{got[0][:20]}, []string{want[0][:20]}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: answered\n%v, recorded\n%v", name, got, want)
			}
			if wantErr == nil && gotErr != nil || wantErr != nil && !errors.Is(gotErr, wantErr) {
				t.Errorf("%s: got %v, recorded %v", name, gotErr, wantErr)
			}
		}
	}
}

// withoutPads is an answer as text, without the attributes that only stand in
// for alignment, as on machines that need it.
func withoutPads(t testing.TB, b []byte) string {
	t.Helper()
	var text strings.Builder
	d := attr.NewDecoder(b)
	for d.Next() {
		fmt.Fprintf(&text, "%d=", d.Type())
		entry := d.Raw()
		if entry.Number() > 2 || len(entry.Payload) < 64 { // no nest of a service or destination
			fmt.Fprintf(&text, "%x ", entry.Payload)
			continue
		}
		for e := d.Nested(); e.Next(); {
			if e.Type() != 10 && e.Type() != 12 {
				fmt.Fprintf(&text, "%d=%x ", e.Type(), e.Bytes())
				continue
			}
			fmt.Fprintf(&text, "%d={", e.Type())
			for stats := e.Nested(); stats.Next(); {
				if stats.Type() != 11 {
					fmt.Fprintf(&text, "%d=%x ", stats.Type(), stats.Bytes())
				}
			}
			text.WriteString("} ")
		}
	}
	must(t, d.Err())
	return text.String()
}

func init() {
	helpers["nobody"] = func() error {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
			return err
		}
		return mayNothing()
	}
	helpers["in-user-namespace"] = mayNothing
}

// mayNothing checks that this process is refused everything.
func mayNothing() error {
	client, err := gnl.Open(nil)
	if err != nil {
		return err
	}
	defer client.Close()
	c, ctx := New(client), context.Background()
	_, list := gnl.Collect(c.Services(ctx))
	_, info := c.Info(ctx)
	_, listDestinations := gnl.Collect(c.Destinations(ctx, one.ServiceID))
	b := c.Batch()
	b.AddService(one)
	_ = b.Do(ctx)
	const tail = ": it needs CAP_NET_ADMIN in the initial user namespace: operation not permitted"
	for text, err := range map[string]error{
		"list services": list, "get info": info, "list destinations of tcp:1.1.1.1:80": listDestinations,
		"add service tcp:1.1.1.1:80": b.Err(0), "flush": c.Flush(ctx), "set timeouts": c.SetConfig(ctx, Config{}),
		"start master daemon on lo": c.StartDaemon(ctx, Daemon{Role: Master, Interface: "lo"}), "stop backup daemon": c.StopDaemon(ctx, Backup),
	} {
		if err == nil || err.Error() != "ipvs: "+text+tail || !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("%s: %v", text, err)
		}
	}
	return nil
}

func TestUnprivilegedCallersAreToldWhatTheyNeed(t *testing.T) {
	needIPVS(t)
	run(t, helper(t, "nobody"))
}

func TestRootOfAnotherUserNamespaceIsUnprivileged(t *testing.T) {
	needIPVS(t)
	if _, err := os.Stat("/proc/self/ns/user"); err != nil {
		t.Skip("the kernel has no user namespaces")
	}
	cmd := helper(t, "in-user-namespace")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: 0, Size: 1}},
	}
	run(t, cmd)
}

func TestAKernelWithoutIPVSIsUnsupported(t *testing.T) {
	client := open(t, nil)
	if _, err := client.Family(t.Context(), family); err == nil {
		t.Skip("the kernel has IPVS")
	}
	mustBeAbsent(t, New(client))
}

// mustBeAbsent checks what is said where there is no IPVS.
func mustBeAbsent(t testing.TB, c *Client) {
	t.Helper()
	const why = ": the kernel has no IPVS: load its module (modprobe ip_vs), or set gnl.Config.LoadModules: unsupported operation"
	_, list := gnl.Collect(c.Services(t.Context()))
	b := c.Batch()
	b.AddDestination(one.ServiceID, tunnelTo("2.2.2.1:80", 1))
	_ = b.Do(t.Context())
	for text, err := range map[string]error{
		"list services": list, "add service tcp:1.1.1.1:80": c.AddService(t.Context(), one),
		"add destination 2.2.2.1:80 to tcp:1.1.1.1:80": b.Err(0), "stop master daemon": c.StopDaemon(t.Context(), Master),
	} {
		expect(t, err, "ipvs: "+text+why, errors.ErrUnsupported)
		if errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v is taken for a service that is gone", err)
		}
	}
}

func TestManyGoroutinesShareAClient(t *testing.T) {
	c := kernel(t)
	done := make(chan error)
	workers := 4 * runtime.GOMAXPROCS(0)
	for w := range workers {
		go func() {
			done <- func() error {
				s := tcp(fmt.Sprintf("10.9.0.%d:80", w+1))
				for range 20 {
					d := Destination{Address: at("10.0.0.5:80"), Weight: uint32(w)}
					if err := errors.Join(c.AddService(t.Context(), s), c.AddDestination(t.Context(), s.ServiceID, d)); err != nil {
						return err
					}
					got, err := c.Destination(t.Context(), s.ServiceID, d.Address)
					if err != nil || got.Destination != d {
						return fmt.Errorf("%v, %w", got, err)
					}
					if err := c.RemoveService(t.Context(), s.ServiceID); err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	for range workers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
