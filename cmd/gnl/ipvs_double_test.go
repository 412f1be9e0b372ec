package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gnlgo/gnl/gnltest"
	"github.com/gnlgo/gnl/internal/testenv"
	"github.com/gnlgo/gnl/internal/unix"
)

// balancer is a machine with IPVS, and gnl on it.
type balancer struct {
	t      *testing.T
	netns  string  // of the running kernel; "" for the double
	double *double // nil for the running kernel
}

// result is what a command line came to.
type result struct {
	line           string
	stdout, stderr string
	code           int
}

// app is a gnl that works there; in is what is written to it.
func (b *balancer) app(in string, out, errOut io.Writer) *app {
	a := &app{in: strings.NewReader(in), out: out, errOut: errOut}
	if b.double != nil {
		a.dial = b.double.kernel.Config().Dial
	}
	return a
}

// run carries out gnl ipvs with arguments.
func (b *balancer) run(args ...string) result { return b.runWith("", args...) }

func (b *balancer) runWith(in string, args ...string) result {
	b.t.Helper()
	var out, errOut bytes.Buffer
	a := b.app(in, &out, &errOut)
	return b.finish(a.run(b.line(args)), args, &out, &errOut)
}

// line is a command line.
func (b *balancer) line(args []string) []string {
	line := []string{"ipvs"}
	if b.netns != "" {
		line = append(line, "--netns", b.netns)
	}
	return append(line, args...)
}

func (b *balancer) finish(code int, args []string, out, errOut *bytes.Buffer) result {
	r := result{"gnl ipvs " + strings.Join(args, " "), out.String(), errOut.String(), code}
	if b.netns != "" { // the texts are then the same
		r.stderr = strings.ReplaceAll(r.stderr, " in that network namespace", "")
		r.stderr = strings.ReplaceAll(r.stderr, " in network namespace "+b.netns, "")
	}
	return r
}

// must carries out lines of arguments, none of which may fail, and returns what
// the last one wrote.
func (b *balancer) must(lines ...string) string {
	b.t.Helper()
	var r result
	for _, line := range lines {
		if r = b.run(strings.Fields(line)...); r.code != 0 {
			b.t.Fatalf("%s: exit code %d: %s%s", r.line, r.code, r.stderr, r.stdout)
		}
	}
	return r.stdout
}

// onBoth runs a test with the double, and with the running kernel if that has
// IPVS.
func onBoth(t *testing.T, test func(*testing.T, *balancer)) {
	t.Run("double", func(t *testing.T) { test(t, newDouble(t)) })
	t.Run("kernel", func(t *testing.T) { test(t, newBalancer(t)) })
}

// newBalancer is the running kernel, in a network namespace of the test's own.
func newBalancer(t *testing.T) *balancer {
	t.Helper()
	testenv.NeedFamily(t, "IPVS")
	name, _ := testenv.Netns(t)
	testenv.Run(t, testenv.Program(t, "ip", "iproute2"), "-n", name, "link", "set", "lo", "up")
	return &balancer{t: t, netns: name}
}

// double is as much of IPVS as these tests need, in a kernel of gnltest. What
// goes on in it is set by the tests.
type double struct {
	kernel *gnltest.Kernel

	mu       sync.Mutex
	pools    []*doublePool
	timeouts doubleTimeouts
	daemons  []doubleDaemon

	refuse func(command uint8, address string) error // see refuses
}

// refuses has f asked first, whether a command that changes something is
// refused.
func (d *double) refuses(f func(command uint8, address string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refuse = f
}

type doublePool struct {
	service      doubleService
	destinations []*doubleDestination
}

// What is on the wire (include/uapi/linux/ip_vs.h).
type (
	doubleService struct {
		Family    uint16         `nl:"1"`
		Protocol  uint16         `nl:"2,omitzero"`
		Address   [16]byte       `nl:"3,omitzero"`
		Port      uint16         `nl:"4,be,omitzero"`
		Mark      uint32         `nl:"5,omitzero"`
		Scheduler string         `nl:"6,omitzero"`
		Flags     doubleFlags    `nl:"7,struct"`
		Timeout   uint32         `nl:"8"`
		Netmask   [4]byte        `nl:"9"`
		Engine    string         `nl:"11,omitzero"`
		Stats     doubleCounters `nl:"12"`
	}
	doubleFlags       struct{ Flags, Mask uint32 }
	doubleDestination struct {
		Address     [16]byte       `nl:"1"`
		Port        uint16         `nl:"2,be"`
		Method      uint32         `nl:"3"`
		Weight      uint32         `nl:"4"`
		Upper       uint32         `nl:"5"`
		Lower       uint32         `nl:"6"`
		Active      uint32         `nl:"7"`
		Inactive    uint32         `nl:"8"`
		Persistent  uint32         `nl:"9"`
		Family      uint16         `nl:"11"`
		Stats       doubleCounters `nl:"12"`
		TunnelType  uint8          `nl:"13"`
		TunnelPort  uint16         `nl:"14,be"`
		TunnelFlags uint16         `nl:"15"`
	}
	doubleCounters struct {
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
	doubleTimeouts struct {
		TCP    uint32 `nl:"4,omitzero"`
		TCPFin uint32 `nl:"5,omitzero"`
		UDP    uint32 `nl:"6,omitzero"`
	}
	doubleDaemon struct {
		Daemon struct {
			State     uint32  `nl:"1"`
			Interface string  `nl:"2,omitzero"`
			SyncID    uint32  `nl:"3"`
			MaxLen    uint16  `nl:"4,omitzero"`
			Group     [4]byte `nl:"5,omitzero"`
			Port      uint16  `nl:"7,omitzero"`
			TTL       uint8   `nl:"8,omitzero"`
		} `nl:"3"`
	}
	doubleInfo struct {
		Version uint32 `nl:"1"`
		Size    uint32 `nl:"2"`
	}
	// doubleMessage is every request but those of daemons and timeouts, and what
	// is listed.
	doubleMessage struct {
		Service     *doubleService     `nl:"1"`
		Destination *doubleDestination `nl:"2"`
	}
)

const errnoSRCH, errnoEXIST, errnoNOENT = unix.ESRCH, unix.EEXIST, unix.ENOENT

func newDouble(t *testing.T) *balancer {
	d := &double{kernel: gnltest.NewKernel(t), timeouts: doubleTimeouts{900, 120, 300}}
	answer := func(command uint8, f func(doubleMessage) error) gnltest.Command {
		return gnltest.Command{ID: command, Do: gnltest.DoFunc(0, func(m doubleMessage) (struct{}, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			address := ""
			if m.Destination != nil {
				address = destinationOf(m.Destination)
			} else if m.Service != nil {
				address = fmt.Sprint(m.Service.Address[:4])
			}
			if d.refuse != nil {
				if err := d.refuse(command, address); err != nil {
					return struct{}{}, err
				}
			}
			return struct{}{}, f(m)
		})}
	}
	getService := gnltest.Command{ID: 4,
		Do: gnltest.DoFunc(1, func(m doubleMessage) (doubleMessage, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			if p := d.find(m.Service); p != nil {
				s := p.service
				return doubleMessage{Service: &s}, nil
			}
			return doubleMessage{}, errnoSRCH
		}),
		Dump: gnltest.DumpFunc(1, func(struct{}) (all []doubleMessage, err error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			for _, p := range d.pools {
				s := p.service
				all = append(all, doubleMessage{Service: &s})
			}
			return all, nil
		}),
	}
	getDestinations := gnltest.Command{ID: 8, Dump: gnltest.DumpFunc(5, func(m doubleMessage) (all []doubleMessage, err error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if p := d.find(m.Service); p != nil {
			for _, destination := range slices.Backward(p.destinations) {
				copied := *destination
				all = append(all, doubleMessage{Destination: &copied})
			}
		}
		return all, nil
	})}
	d.kernel.Register(gnltest.Family{Name: "IPVS", Version: 1, Commands: []gnltest.Command{
		answer(1, d.addService), answer(2, d.setService), answer(3, d.removeService), getService,
		answer(5, d.addDestination), answer(6, d.setDestination), answer(7, d.removeDestination), getDestinations,
		{ID: 9, Do: gnltest.DoFunc(0, d.startDaemon)}, {ID: 10, Do: gnltest.DoFunc(0, d.stopDaemon)},
		{ID: 11, Dump: gnltest.DumpFunc(9, func(struct{}) ([]doubleDaemon, error) { return d.daemons, nil })},
		{ID: 12, Do: gnltest.DoFunc(0, d.setTimeouts)},
		{ID: 13, Do: gnltest.DoFunc(12, func(struct{}) (doubleTimeouts, error) { return d.timeouts, nil })},
		{ID: 15, Do: gnltest.DoFunc(14, func(struct{}) (doubleInfo, error) { return doubleInfo{0x010201, 4096}, nil })},
		answer(16, d.zero),
		answer(17, func(doubleMessage) error { d.pools = nil; return nil }),
	}})
	return &balancer{t: t, double: d}
}

func destinationOf(d *doubleDestination) string {
	if d.Family == 2 {
		return fmt.Sprintf("%d.%d.%d.%d:%d", d.Address[0], d.Address[1], d.Address[2], d.Address[3], d.Port)
	}
	return fmt.Sprintf("%x:%d", d.Address, d.Port)
}

func (d *double) find(s *doubleService) *doublePool {
	for _, p := range d.pools {
		if o := &p.service; o.Family == s.Family && o.Protocol == s.Protocol && o.Address == s.Address && o.Port == s.Port && o.Mark == s.Mark {
			return p
		}
	}
	return nil
}

func (p *doublePool) find(d *doubleDestination) int {
	return slices.IndexFunc(p.destinations, func(o *doubleDestination) bool { return o.Address == d.Address && o.Port == d.Port })
}

func (d *double) addService(m doubleMessage) error {
	switch {
	case d.find(m.Service) != nil:
		return errnoEXIST
	case !slices.ContainsFunc(knownSchedulers, func(s scheduling) bool { return s.name == m.Service.Scheduler }):
		return errnoNOENT
	}
	m.Service.Flags = doubleFlags{m.Service.Flags.Flags | 2, 1<<32 - 1}
	d.pools = append(d.pools, &doublePool{service: *m.Service})
	return nil
}

func (d *double) setService(m doubleMessage) error {
	p := d.find(m.Service)
	switch {
	case p == nil:
		return errnoSRCH
	case !slices.ContainsFunc(knownSchedulers, func(s scheduling) bool { return s.name == m.Service.Scheduler }):
		return errnoNOENT
	}
	old := p.service
	p.service = *m.Service
	p.service.Stats = old.Stats
	mask := m.Service.Flags.Mask
	p.service.Flags = doubleFlags{old.Flags.Flags&^mask | m.Service.Flags.Flags&mask | 2, 1<<32 - 1}
	return nil
}

func (d *double) removeService(m doubleMessage) error {
	p := d.find(m.Service)
	if p == nil {
		return errnoSRCH
	}
	d.pools = slices.DeleteFunc(d.pools, func(o *doublePool) bool { return o == p })
	return nil
}

// withDestination finds what a request is about; i is -1 if there is no such
// destination.
func (d *double) withDestination(m doubleMessage, f func(p *doublePool, i int) error) error {
	p := d.find(m.Service)
	if p == nil {
		return errnoSRCH
	}
	return f(p, p.find(m.Destination))
}

func (d *double) addDestination(m doubleMessage) error {
	return d.withDestination(m, func(p *doublePool, i int) error {
		if i >= 0 {
			return errnoEXIST
		}
		p.destinations = append(p.destinations, m.Destination)
		return nil
	})
}

func (d *double) setDestination(m doubleMessage) error {
	return d.withDestination(m, func(p *doublePool, i int) error {
		if i < 0 {
			return errnoNOENT
		}
		old := p.destinations[i]
		m.Destination.Active, m.Destination.Inactive, m.Destination.Persistent, m.Destination.Stats = old.Active, old.Inactive, old.Persistent, old.Stats
		p.destinations[i] = m.Destination
		return nil
	})
}

func (d *double) removeDestination(m doubleMessage) error {
	return d.withDestination(m, func(p *doublePool, i int) error {
		if i < 0 {
			return errnoNOENT
		}
		p.destinations = slices.Delete(p.destinations, i, i+1)
		return nil
	})
}

func (d *double) zero(m doubleMessage) error {
	for _, p := range d.pools {
		if m.Service == nil || p == d.find(m.Service) {
			p.service.Stats = doubleCounters{}
			for _, destination := range p.destinations {
				destination.Stats = doubleCounters{}
			}
		}
	}
	if m.Service != nil && d.find(m.Service) == nil {
		return errnoSRCH
	}
	return nil
}

func (d *double) setTimeouts(t doubleTimeouts) (struct{}, error) {
	for _, f := range []struct{ to, from *uint32 }{{&d.timeouts.TCP, &t.TCP}, {&d.timeouts.TCPFin, &t.TCPFin}, {&d.timeouts.UDP, &t.UDP}} {
		if *f.from != 0 {
			*f.to = *f.from
		}
	}
	return struct{}{}, nil
}

func (d *double) startDaemon(m doubleDaemon) (struct{}, error) {
	if slices.ContainsFunc(d.daemons, func(o doubleDaemon) bool { return o.Daemon.State == m.Daemon.State }) {
		return struct{}{}, errnoEXIST
	}
	if m.Daemon.Interface != "lo" {
		return struct{}{}, unix.ENODEV
	}
	m.Daemon.MaxLen, m.Daemon.Group, m.Daemon.Port, m.Daemon.TTL = 1472, [4]byte{224, 0, 0, 81}, 8848, 1
	d.daemons = append(d.daemons, m)
	return struct{}{}, nil
}

func (d *double) stopDaemon(m doubleDaemon) (struct{}, error) {
	n := len(d.daemons)
	d.daemons = slices.DeleteFunc(d.daemons, func(o doubleDaemon) bool { return o.Daemon.State == m.Daemon.State })
	if len(d.daemons) == n {
		return struct{}{}, errnoSRCH
	}
	return struct{}{}, nil
}

// inFile writes a file of the test's, and returns its name.
func inFile(t *testing.T, name, content string) string {
	t.Helper()
	path := t.TempDir() + "/" + name
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
