//go:build linux

package ipvs

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/gnltest"
	"github.com/gnlgo/gnl/netlink"
)

// operations that another program carried out on a real kernel (testdata/README.md).
type recordedOperation struct {
	Op     string
	TX, RX []string
	Result json.RawMessage
	Error  *struct{ Errno syscall.Errno }
}

// exchange is one request of a recording with its answers, datagram by datagram.
type exchange struct {
	request gnl.Message
	answers [][]byte
}

func recording(t testing.TB) []recordedOperation {
	t.Helper()
	b, err := os.ReadFile("testdata/recorded.json")
	must(t, err)
	var r struct{ Ops []recordedOperation }
	must(t, json.Unmarshal(b, &r))
	if len(r.Ops) != 118 {
		t.Fatalf("%d operations", len(r.Ops))
	}
	return r.Ops
}

// split takes a datagram apart.
func split(t testing.TB, text string) (b []byte, messages []gnl.Message) {
	t.Helper()
	b, err := hex.DecodeString(text)
	must(t, err)
	for rest := b; len(rest) >= 16; {
		n := binary.LittleEndian.Uint32(rest)
		var m gnl.Message
		m.Type = binary.LittleEndian.Uint16(rest[4:])
		m.Flags = netlink.Flags(binary.LittleEndian.Uint16(rest[6:]))
		m.Sequence = binary.LittleEndian.Uint32(rest[8:])
		if m.Type > netlink.TypeDone && n >= 20 {
			m.Command, m.Attributes = rest[16], rest[20:n]
		}
		messages = append(messages, m)
		rest = rest[min(len(rest), int(n+3)&^3):]
	}
	return b, messages
}

func (o *recordedOperation) exchanges(t testing.TB) []exchange {
	t.Helper()
	var all []exchange
	for _, tx := range o.TX {
		_, m := split(t, tx)
		all = append(all, exchange{request: m[0]})
	}
	for _, rx := range o.RX {
		b, m := split(t, rx)
		i := slices.IndexFunc(all, func(x exchange) bool { return x.request.Sequence == m[0].Sequence })
		if i < 0 {
			t.Fatalf("%s: nobody asked for %x", o.Op, b)
		}
		all[i].answers = append(all[i].answers, b)
	}
	return all
}

// replies are the messages that the family answered with.
func (o *recordedOperation) replies(t testing.TB) []gnl.Message {
	t.Helper()
	var all []gnl.Message
	for _, rx := range o.RX {
		_, messages := split(t, rx)
		for _, m := range messages {
			if m.Type > netlink.TypeDone {
				all = append(all, m)
			}
		}
	}
	return all
}

// player answers like the kernel that was recorded. Questions behind the
// recorded ones it answers as a kernel without services.
type player struct {
	mu       sync.Mutex
	script   []exchange
	requests []gnl.Message
}

func newPlayer(t testing.TB) (*player, *Client) {
	littleEndian(t)
	p := &player{}
	k := gnltest.NewKernel(t)
	k.Register(gnltest.Family{Name: family, Version: familyVersion})
	k.Intercept(func(r *gnltest.Request, handle func() error) error {
		if r.Family != family {
			return handle()
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.requests = append(p.requests, *r.Message.Clone())
		if len(p.script) == 0 || p.script[0].request.Command != r.Command {
			switch r.Command {
			case getInfo.ID:
				r.Reply(14, infoReply{})
				return gnltest.SkipEnd
			case getService.ID:
				return syscall.ESRCH
			}
			return fmt.Errorf("command %d was not recorded", r.Command)
		}
		ended := r.Flags&netlink.FlagDump == 0
		for _, b := range p.script[0].answers {
			b = slices.Clone(b)
			for rest := b; len(rest) >= 16; {
				switch typ := binary.LittleEndian.Uint16(rest[4:]); {
				case typ > netlink.TypeDone:
					binary.LittleEndian.PutUint16(rest[4:], r.Type)
				case typ == netlink.TypeDone:
					ended = true
				}
				binary.LittleEndian.PutUint32(rest[8:], r.Sequence)
				binary.LittleEndian.PutUint32(rest[12:], r.Socket())
				rest = rest[min(len(rest), int(binary.LittleEndian.Uint32(rest)+3)&^3):]
			}
			r.SendBytes(b)
		}
		if !ended { // two recordings break off before it
			r.Send(r.Done(nil))
		}
		p.script = p.script[1:]
		return gnltest.SkipEnd
	})
	return p, New(k.Client())
}

func littleEndian(t testing.TB) {
	t.Helper()
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("what was recorded is in the byte order of x86")
	}
}

// play sets what is answered next, and forgets what was asked.
func (p *player) play(script []exchange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.script, p.requests = script, nil
}

// tree is a request's attributes, by number, nests as trees.
func tree(t testing.TB, b []byte, nests ...uint16) map[string]any {
	t.Helper()
	m := map[string]any{}
	d := attr.NewDecoder(b)
	for d.Next() {
		if raw := d.Raw(); slices.Contains(nests, raw.Number()) {
			m[fmt.Sprint(raw.Number())] = tree(t, raw.Payload)
		} else {
			m[fmt.Sprint(raw.Number())] = hex.EncodeToString(raw.Payload)
		}
	}
	must(t, d.Err())
	return m
}

// meaning is a request's tree, as the kernel understands it: commands for which
// a key is enough ignore all else, a tunnel that is not spoken of is IP in IP,
// a short address ends with zeros, and a destination is of its service's family
// unless it says otherwise. Which flags stay as they are is left out.
func meaning(t testing.TB, m *gnl.Message) map[string]any {
	t.Helper()
	all := tree(t, m.Attributes, 1, 2, 3)
	service, _ := all["1"].(map[string]any)
	destination, _ := all["2"].(map[string]any)
	switch m.Command {
	case newService.ID, setService.ID:
		if a, ok := service["3"].(string); ok {
			service["3"] = (a + strings.Repeat("0", 32))[:32]
		}
		if flags, ok := service["7"].(string); ok {
			service["7"] = flags[:8]
		}
	case delService.ID, getService.ID, getDests.ID, delDest.ID, zero.ID:
		for number := range service {
			if n, _ := strconv.Atoi(number); n > serviceMark {
				delete(service, number)
			}
		}
	case newDest.ID, setDest.ID:
		for number, absent := range map[string]string{"13": "00", "14": "0000", "15": "0000"} {
			if destination[number] == absent {
				delete(destination, number)
			}
		}
		if destination["11"] == nil {
			destination["11"] = service["1"]
		}
	}
	return all
}

// expressed is a recorded operation as a caller of this package has it done.
type expressed func(ctx context.Context, c *Client) (any, error)

func adding(s Service) expressed {
	return func(ctx context.Context, c *Client) (any, error) { return nil, c.AddService(ctx, s) }
}

func addingTo(id ServiceID, d Destination) expressed {
	return func(ctx context.Context, c *Client) (any, error) { return nil, c.AddDestination(ctx, id, d) }
}

func setting(id ServiceID, d Destination) expressed {
	return func(ctx context.Context, c *Client) (any, error) { return nil, c.SetDestination(ctx, id, d) }
}

func removing(id ServiceID, address string) expressed {
	return func(ctx context.Context, c *Client) (any, error) {
		return nil, c.RemoveDestination(ctx, id, at(address))
	}
}

func reading(id ServiceID) expressed {
	return func(ctx context.Context, c *Client) (any, error) { return c.Service(ctx, id) }
}

func listing(id ServiceID) expressed {
	return func(ctx context.Context, c *Client) (any, error) { return gnl.Collect(c.Destinations(ctx, id)) }
}

func starting(d Daemon) expressed {
	return func(ctx context.Context, c *Client) (any, error) { return nil, c.StartDaemon(ctx, d) }
}

func stopping(roles ...Role) expressed {
	return func(ctx context.Context, c *Client) (_ any, err error) {
		for _, role := range roles {
			err = errors.Join(err, c.StopDaemon(ctx, role))
		}
		return nil, err
	}
}

func allServices(ctx context.Context, c *Client) (any, error) { return gnl.Collect(c.Services(ctx)) }
func allDaemons(ctx context.Context, c *Client) (any, error)  { return c.Daemons(ctx) }
func flushing(ctx context.Context, c *Client) (any, error)    { return nil, c.Flush(ctx) }
func timeouts(ctx context.Context, c *Client) (any, error)    { return c.Config(ctx) }
func information(ctx context.Context, c *Client) (any, error) { return c.Info(ctx) }

func setTimeouts(config Config) expressed {
	return func(ctx context.Context, c *Client) (any, error) { return nil, c.SetConfig(ctx, config) }
}

func zeroing(id ServiceID) expressed {
	return func(ctx context.Context, c *Client) (any, error) { return nil, c.Zero(ctx, id) }
}

// pools lists services, and the destinations of those that the recording goes on with.
func pools(ids ...ServiceID) expressed {
	return func(ctx context.Context, c *Client) (any, error) {
		all, err := gnl.Collect(c.Services(ctx))
		for _, id := range ids {
			_, destErr := gnl.Collect(c.Destinations(ctx, id))
			if errors.Is(destErr, os.ErrNotExist) { // it has none, and the player knows no services
				destErr = nil
			}
			err = errors.Join(err, destErr)
		}
		return all, err
	}
}

func inOrder(all ...expressed) expressed {
	return func(ctx context.Context, c *Client) (last any, err error) {
		for _, do := range all {
			if last, err = do(ctx, c); err != nil {
				return nil, err
			}
		}
		return last, nil
	}
}

// The services and daemon that the recorded operations are about.
var (
	one      = tcp("1.1.1.1:80")
	oneUDP   = Service{ServiceID: Virtual(UDP, at("1.1.1.1:80")), Scheduler: "rr", Flags: OnePacket}
	oneSCTP  = Service{ServiceID: Virtual(SCTP, at("1.1.1.1:87")), Scheduler: "rr"}
	v6       = Service{ServiceID: Virtual(TCP, at("[2001:db8::1]:80")), Scheduler: "wrr"}
	missing  = Virtual(TCP, at("1.1.1.1:81"))
	onDummy  = Daemon{Role: Master, Interface: "dummy0", SyncID: 1}
	noLonger = Virtual(TCP, at("9.9.9.9:80"))
)

func with[T any](v T, change func(*T)) T {
	change(&v)
	return v
}

func scheduled(s Service, scheduler string) Service {
	return with(s, func(s *Service) { s.Scheduler = scheduler })
}

func method(d Destination, m Method) Destination {
	return with(d, func(d *Destination) { d.Method = m })
}

// expressible says how the recorded operations, by their positions, are made
// with this package.
var expressible = map[int]expressed{
	0: flushing, 94: flushing, 110: flushing, 113: flushing, 117: flushing,
	1: allServices, 45: allServices, 93: allServices, 95: allServices, 109: allServices, 112: allServices,
	2: adding(one), 3: adding(one), 4: adding(oneUDP), 6: adding(v6),
	7:  adding(scheduled(tcp("1.1.1.3:80"), "nosuch")),
	10: func(ctx context.Context, c *Client) (any, error) { return nil, c.RemoveService(ctx, noLonger) },
	11: adding(marked(10, IPv4)), 12: adding(marked(10, IPv4)), 13: adding(marked(10, IPv6)),
	15: addingTo(one.ServiceID, tunnelTo("2.2.2.1:80", 1)), 16: addingTo(one.ServiceID, tunnelTo("2.2.2.1:80", 1)),
	17: addingTo(one.ServiceID, method(tunnelTo("2.2.2.2:8080", 100), Masquerade)),
	18: addingTo(one.ServiceID, method(tunnelTo("2.2.2.3:80", 1), Local)),
	19: addingTo(one.ServiceID, method(tunnelTo("2.2.2.4:80", 1), Route)),
	20: addingTo(one.ServiceID, method(tunnelTo("2.2.2.5:80", 1), Bypass)),
	23: addingTo(one.ServiceID, tunnelTo("2.2.2.7:80", 0)),
	24: addingTo(one.ServiceID, tunnelTo("[2001:db8::2]:80", 1)),
	26: addingTo(v6.ServiceID, tunnelTo("[2001:db8::9]:80", 7)),
	27: addingTo(noLonger, tunnelTo("2.2.2.1:80", 1)),
	28: setting(one.ServiceID, tunnelTo("2.2.2.1:80", 50)), 30: setting(one.ServiceID, tunnelTo("2.2.2.99:80", 1)),
	31: setting(one.ServiceID, tunnelTo("2.2.2.1:81", 1)), 32: setting(one.ServiceID, tunnelTo("2.2.2.2:8080", 5)),
	33: removing(one.ServiceID, "2.2.2.99:80"),
	34: addingTo(Marked(10, IPv4), tunnelTo("2.2.2.1:0", 1)), 35: setting(Marked(10, IPv4), tunnelTo("2.2.2.1:0", 2)),
	36: removing(Marked(10, IPv4), "2.2.2.1:80"),
	37: pools(oneUDP.ServiceID, one.ServiceID),
	38: reading(one.ServiceID), 39: reading(Marked(10, IPv4)), 40: reading(missing), 44: reading(missing),
	41: listing(missing), 42: listing(Marked(10, IPv4)), 46: listing(one.ServiceID), 77: listing(one.ServiceID),
	43: inOrder(reading(one.ServiceID), listing(one.ServiceID)),
	48: reading(one.ServiceID), 50: reading(one.ServiceID),
	51: func(ctx context.Context, c *Client) (any, error) { return nil, c.SetService(ctx, tcp("1.1.1.1:81")) },
	68: adding(oneSCTP),
	69: pools(oneUDP.ServiceID, Virtual(TCP, at("1.1.1.1:83")), Virtual(TCP, at("[101:101::]:80")), one.ServiceID, Virtual(TCP, at("1.1.1.9:80"))),
	70: func(ctx context.Context, c *Client) (any, error) { return nil, c.RemoveService(ctx, oneSCTP.ServiceID) },
	63: adding(tcp("1.1.1.9:80")),
	66: adding(with(tcp("1.1.1.1:85"), func(s *Service) { s.Engine = "nosuch" })),
	72: addingTo(one.ServiceID, Destination{Address: at("2.2.2.32:80"), Weight: 1, UpperThreshold: 10, LowerThreshold: 5}),
	73: addingTo(one.ServiceID, Destination{Address: at("2.2.2.33:80"), Weight: 1}),
	74: addingTo(one.ServiceID, Destination{Address: at("2.2.2.34:0"), Weight: 1}),
	75: addingTo(one.ServiceID, with(tunnelTo("2.2.2.35:80", 1), func(d *Destination) { d.Tunnel = Encapsulation{Type: GUE, Port: 6080} })),
	79: zeroing(one.ServiceID), 81: zeroing(missing),
	80: func(ctx context.Context, c *Client) (any, error) { return nil, c.ZeroAll(ctx) },
	82: information, 89: information, 83: timeouts, 85: timeouts, 87: timeouts,
	84: setTimeouts(Config{100 * time.Second, 20 * time.Second, 30 * time.Second}),
	86: setTimeouts(Config{UDP: 31 * time.Second}), 88: setTimeouts(Config{}),
	90: starting(onDummy), 97: starting(onDummy), 98: starting(onDummy), 104: starting(onDummy),
	99: starting(Daemon{Role: Backup, Interface: "nope", SyncID: 1}), 105: starting(Daemon{Role: Backup, Interface: "dummy0", SyncID: 1}),
	96: allDaemons, 101: allDaemons, 106: allDaemons,
	102: stopping(Master), 103: stopping(Master), 107: stopping(Master, Backup),
	92:  adding(tcp("10.0.0.1:80")),
	114: inOrder(adding(marked(10, IPv6)), addingTo(Marked(10, IPv6), tunnelTo("[2001:db8::1]:0", 1)), pools(Marked(10, IPv6))),
	115: inOrder(adding(one), addingTo(one.ServiceID, tunnelTo("2.2.2.1:8080", 3)), pools(one.ServiceID, Marked(10, IPv6))),
	116: pools(one.ServiceID, Marked(10, IPv6)),
}

// refused are the recorded operations that this package does not ask the kernel
// for: those that it refuses, or would take for something else.
var refused = map[int]struct {
	do    expressed
	field string
}{
	5:   {adding(with(one, func(s *Service) { s.Flags = OnePacket })), "flags"},
	8:   {adding(tcp("1.1.1.3:0")), "port"},
	14:  {adding(marked(0, IPv4)), "mark"},
	21:  {addingTo(one.ServiceID, method(tunnelTo("2.2.2.6:80", 1), 9)), "method"},
	22:  {addingTo(one.ServiceID, tunnelTo("2.2.2.7:80", 1<<32-1)), "weight"},
	25:  {addingTo(one.ServiceID, Destination{Address: at("[2001:db8::3]:80"), Weight: 1}), "method"},
	53:  {adding(scheduled(tcp("1.1.1.1:82"), "")), "scheduler"},
	57:  {adding(marked(1, 99)), "family"},
	58:  {adding(Service{ServiceID: ServiceID{Protocol: TCP}, Scheduler: "rr"}), "address"},
	59:  {adding(with(one, func(s *Service) { s.Protocol = 99 })), "protocol"},
	60:  {adding(with(v6, func(s *Service) { s.Netmask = addr("::") })), "netmask"},
	62:  {adding(tcp("[::ffff:1.1.1.1]:80")), "address"},
	64:  {adding(with(tcp("1.1.1.1:83"), func(s *Service) { s.Flags = OnePacket })), "flags"},
	65:  {adding(scheduled(tcp("1.1.1.1:84"), strings.Repeat("x", 20))), "scheduler"},
	67:  {adding(scheduled(tcp("1.1.1.1:86"), "")), "scheduler"},
	71:  {addingTo(one.ServiceID, Destination{Address: at("2.2.2.32:80"), Weight: 1, UpperThreshold: 5, LowerThreshold: 10}), "lower_threshold"},
	76:  {addingTo(one.ServiceID, with(tunnelTo("2.2.2.36:80", 1), func(d *Destination) { d.Tunnel.Type = GUE })), "tunnel.port"},
	78:  {listing(ServiceID{}), "mark"},
	100: {starting(Daemon{Role: Master}), "interface"},
	108: {adding(tcp("1.1.1.3:0")), "port"},
	111: {adding(marked(0, IPv4)), "mark"},
}

// inexpressible are the recorded operations that callers of this package have
// no words for.
var inexpressible = map[int]string{
	9:  "an address that is none does not parse",
	29: "a destination has a weight", 52: "a service has a scheduler, flags, timeout and netmask",
	54: "a service has flags", 55: "a service has a timeout", 56: "a service has a netmask",
	61: "no netmask has 129 bits", 91: "there is no command 99",
	47: "its own test", 49: "its own test",
}

func TestEveryRecordedOperationIsAccountedFor(t *testing.T) {
	for i, o := range recording(t) {
		_, a := expressible[i]
		_, b := refused[i]
		_, c := inexpressible[i]
		if n := map[bool]int{true: 1}; n[a]+n[b]+n[c] != 1 {
			t.Errorf("%d, %s: expressible %t, refused %t, inexpressible %t", i, o.Op, a, b, c)
		}
	}
}

func TestRequestsSayWhatTheRecordedOnesSay(t *testing.T) {
	p, c := newPlayer(t)
	all := recording(t)
	for _, i := range slices.Sorted(maps.Keys(expressible)) {
		o := all[i]
		t.Run(fmt.Sprintf("%d %s", i, o.Op), func(t *testing.T) {
			script := o.exchanges(t)
			p.play(script)
			result, err := expressible[i](t.Context(), c)
			p.mu.Lock()
			requests := p.requests
			p.mu.Unlock()
			if len(requests) < len(script) {
				t.Fatalf("%d of %d requests made: %v", len(requests), len(script), err)
			}
			asked := 0
			for _, x := range script {
				for requests[asked].Command != x.request.Command {
					asked++ // a question of our own in between
				}
				got, want := &requests[asked], &x.request
				asked++
				if got.Flags&netlink.FlagDump != want.Flags&netlink.FlagDump || got.Version != familyVersion {
					t.Errorf("flags %v and version %d, want flags %v", got.Flags, got.Version, want.Flags)
				}
				if a, b := meaning(t, got), meaning(t, want); !reflect.DeepEqual(a, b) {
					t.Errorf("command %d: asked\n%v, recorded\n%v", got.Command, a, b)
				}
			}
			var errno syscall.Errno
			if _, messages := split(t, o.RX[len(o.RX)-1]); messages[0].Type == netlink.TypeError {
				b, _ := hex.DecodeString(o.RX[len(o.RX)-1])
				errno = syscall.Errno(-int32(binary.LittleEndian.Uint32(b[16:])))
			}
			if i == 41 { // the kernel lists no destinations; the player knows no services
				errno = syscall.ESRCH
			}
			if errno != 0 && !errors.Is(err, errno) || errno == 0 && err != nil {
				t.Errorf("got %v, recorded %v", err, errno)
			}
			if n := len(o.replies(t)); reflect.ValueOf(result).Kind() == reflect.Slice && len(script) == 1 {
				if got := reflect.ValueOf(result).Len(); got != n {
					t.Errorf("%d entries, recorded %d", got, n)
				}
			}
		})
	}
}

func TestWhatTheKernelWouldTakeWronglyIsNotAskedFor(t *testing.T) {
	p, c := newPlayer(t)
	all := recording(t)
	for _, i := range slices.Sorted(maps.Keys(refused)) {
		r := refused[i]
		p.play(nil)
		_, err := r.do(t.Context(), c)
		var field *FieldError
		var e *Error
		if !errors.As(err, &field) || field.Field != r.field || !errors.As(err, &e) || !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%d %s: %v, want one about %s", i, all[i].Op, err, r.field)
		}
		p.mu.Lock()
		if len(p.requests) > 0 {
			t.Errorf("%d %s: the kernel was asked", i, all[i].Op)
		}
		p.mu.Unlock()
	}
}

// Recorded as operations 47 and 49, which other programs must spell out.
func TestAnUpdateSendsTheFlagsThatChangeWithTheirMask(t *testing.T) {
	p, c := newPlayer(t)
	all := recording(t)
	read := all[38].exchanges(t)
	for _, test := range []struct {
		recorded int
		read     []exchange
		update   ServiceUpdate
	}{
		{47, read, ServiceUpdate{
			Scheduler: gnl.Some("wlc"), SetFlags: Persistent, Timeout: gnl.Some(300 * time.Second), Netmask: gnl.Some(addr("255.255.255.0")),
		}},
		{49, all[48].exchanges(t), ServiceUpdate{
			ClearFlags: Persistent, Timeout: gnl.Some(time.Duration(0)), Netmask: gnl.Some(netip.Addr{}),
		}},
	} {
		want := all[test.recorded].exchanges(t)
		p.play(append(slices.Clone(test.read), want...))
		must(t, c.UpdateService(t.Context(), one.ServiceID, test.update))
		p.mu.Lock()
		got := tree(t, p.requests[1].Attributes, 1)
		p.mu.Unlock()
		if want := tree(t, want[0].request.Attributes, 1); !reflect.DeepEqual(flagsInMask(got), flagsInMask(want)) {
			t.Errorf("%d: asked\n%v, recorded\n%v", test.recorded, got, want)
		}
	}
}

// flagsInMask leaves of a request's flags only those that its mask says are meant.
func flagsInMask(request map[string]any) map[string]any {
	service := request["1"].(map[string]any)
	b, _ := hex.DecodeString(service["7"].(string))
	for i := range 4 {
		b[i] &= b[4+i]
	}
	service["7"] = hex.EncodeToString(b)
	return request
}

func TestDecodingEqualsWhatAnotherProgramDecoded(t *testing.T) {
	littleEndian(t)
	compared := 0
	for i, o := range recording(t) {
		var reprs []string
		if json.Unmarshal(o.Result, &reprs) != nil || len(reprs) == 0 || !strings.HasPrefix(reprs[0], "IpvsMessage(") {
			continue
		}
		for j, m := range o.replies(t) {
			want := parseRepr(t, reprs[j])["attr_list"].(map[string]any)
			var got map[string]any
			switch {
			case want["service"] != nil:
				got = map[string]any{"service": describeService(t, m.Attributes)}
			case want["dest"] != nil:
				got = map[string]any{"dest": describeDestination(t, m.Attributes)}
			default:
				var w configWire
				must(t, attr.Unmarshal(m.Attributes, &w))
				got = map[string]any{
					"timeout_tcp": int64(w.TCP / time.Second), "timeout_tcp_fin": int64(w.TCPFin / time.Second), "timeout_udp": int64(w.UDP / time.Second),
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%d %s: decoded\n%v, recorded\n%v", i, o.Op, got, want)
			}
			compared++
		}
	}
	if compared < 30 {
		t.Errorf("only %d answers compared", compared)
	}
}

func describeService(t testing.TB, b []byte) map[string]any {
	t.Helper()
	var r serviceReply
	must(t, attr.Unmarshal(b, &r))
	var s ServiceStatus
	r.load(&s)
	m := map[string]any{
		"af": int64(s.IPFamily()), "sched_name": s.Scheduler, "timeout": int64(s.Timeout / time.Second),
		"flags":   littleEndianBytes(uint32(s.Flags|Hashed), 1<<32-1),
		"netmask": int64(binary.LittleEndian.Uint32(netmaskBytes(&s))),
		"stats":   describeCounters(&s.Stats, &s.Rates), "stats64": describeCounters(&s.Stats, &s.Rates),
	}
	if s.Mark != 0 {
		m["fwmark"] = int64(s.Mark)
	} else {
		a := wireAddress(s.Address.Addr())
		m["protocol"], m["port"], m["addr"] = int64(s.Protocol), int64(s.Address.Port()), a[:]
	}
	return m
}

func netmaskBytes(s *ServiceStatus) []byte {
	b := wireNetmask(s.Netmask, s.IPFamily())
	return b[:]
}

func describeDestination(t testing.TB, b []byte) map[string]any {
	t.Helper()
	var r destinationReply
	must(t, attr.Unmarshal(b, &r))
	var d DestinationStatus
	must(t, r.load(&d, 0))
	a := wireAddress(d.Address.Addr())
	return map[string]any{
		"addr": a[:], "port": int64(d.Address.Port()), "addr_family": int64(familyOf(d.Address.Addr())),
		"fwd_method": int64(d.Method), "weight": int64(d.Weight),
		"tun_type": int64(d.Tunnel.Type), "tun_port": int64(d.Tunnel.Port), "tun_flags": int64(d.Tunnel.Flags),
		"u_thresh": int64(d.UpperThreshold), "l_thresh": int64(d.LowerThreshold),
		"active_conns": int64(d.Active), "inact_conns": int64(d.Inactive), "persist_conns": int64(d.Persistent),
		"stats": describeCounters(&d.Stats, &d.Rates), "stats64": describeCounters(&d.Stats, &d.Rates),
	}
}

func describeCounters(stats, rates *Counters) map[string]any {
	return map[string]any{
		"conns": int64(stats.Connections), "inpkts": int64(stats.PacketsIn), "outpkts": int64(stats.PacketsOut),
		"inbytes": int64(stats.BytesIn), "outbytes": int64(stats.BytesOut),
		"cps": int64(rates.Connections), "inpps": int64(rates.PacketsIn), "outpps": int64(rates.PacketsOut),
		"inbps": int64(rates.BytesIn), "outbps": int64(rates.BytesOut),
	}
}

func littleEndianBytes(numbers ...uint32) []byte {
	var b []byte
	for _, n := range numbers {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return b
}

// parseRepr reads what Python prints of a message: Name(key=value, …), with
// numbers, strings, bytes and messages as values.
func parseRepr(t testing.TB, s string) map[string]any {
	t.Helper()
	v, rest := parseValue(t, s)
	if rest != "" {
		t.Fatalf("%q is left of a message", rest)
	}
	return v.(map[string]any)
}

func parseValue(t testing.TB, s string) (v any, rest string) {
	t.Helper()
	quoted := strings.TrimPrefix(s, "b")
	switch {
	case quoted != "" && (quoted[0] == '\'' || quoted[0] == '"'):
		text, rest := unquote(t, quoted)
		if quoted != s {
			return []byte(text), rest
		}
		return text, rest
	case s[0] >= '0' && s[0] <= '9':
		end := strings.IndexAny(s, ",)")
		n, err := strconv.ParseInt(s[:end], 0, 64)
		must(t, err)
		return n, s[end:]
	}
	m := map[string]any{}
	_, rest, _ = strings.Cut(s, "(")
	for rest[0] != ')' {
		var key string
		key, rest, _ = strings.Cut(strings.TrimPrefix(rest, ", "), "=")
		m[key], rest = parseValue(t, rest)
	}
	return m, rest[1:]
}

func unquote(t testing.TB, s string) (text, rest string) {
	t.Helper()
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == s[0]:
			return b.String(), s[i+1:]
		case s[i] != '\\':
			b.WriteByte(s[i])
		case s[i+1] == 'x':
			n, err := strconv.ParseUint(s[i+2:i+4], 16, 8)
			must(t, err)
			b.WriteByte(byte(n))
			i += 3
		default:
			b.WriteByte(map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', '\\': '\\', '\'': '\'', '"': '"'}[s[i+1]])
			i++
		}
	}
	t.Fatalf("%q has no end", s)
	return "", ""
}

// What the recording shows as objects: operations 38, 39, 42 and 114 to 116.
func TestObjectsEqualThoseOfAnotherProgram(t *testing.T) {
	p, c := newPlayer(t)
	all := recording(t)

	p.play(all[38].exchanges(t))
	s, err := c.Service(t.Context(), one.ServiceID)
	must(t, err)
	if s != (ServiceStatus{Service: one}) {
		t.Errorf("service %#v", s)
	}
	p.play(all[42].exchanges(t))
	ds := destinations(t, c, Marked(10, IPv4))
	if want := []DestinationStatus{{Destination: tunnelTo("2.2.2.1:0", 2)}}; !slices.Equal(ds, want) {
		t.Errorf("destinations %#v", ds)
	}
	p.play(all[116].exchanges(t))
	ss := services(t, c)
	if want := []ServiceStatus{{Service: one}, {Service: marked(10, IPv6)}}; !slices.Equal(ss, want) {
		t.Errorf("services %#v", ss)
	}
	if ds := destinations(t, c, one.ServiceID); !slices.Equal(ds, []DestinationStatus{{Destination: tunnelTo("2.2.2.1:8080", 3)}}) {
		t.Errorf("destinations %#v", ds)
	}
	if ds := destinations(t, c, Marked(10, IPv6)); !slices.Equal(ds, []DestinationStatus{{Destination: tunnelTo("[2001:db8::1]:0", 1)}}) {
		t.Errorf("destinations %#v", ds)
	}
	p.play(all[106].exchanges(t))
	daemons, err := c.Daemons(t.Context())
	must(t, err)
	master := Daemon{Role: Master, Interface: "dummy0", SyncID: 1, Group: addr("224.0.0.81"), Port: 8848, TTL: 1, MaxLen: 1472}
	if want := []Daemon{master, with(master, func(d *Daemon) { d.Role = Backup })}; !slices.Equal(daemons, want) {
		t.Errorf("daemons %+v", daemons)
	}
	p.play(all[82].exchanges(t))
	info, err := c.Info(t.Context())
	must(t, err)
	if info != (Info{0x010201, 4096}) || info.Version.String() != "1.2.1" {
		t.Errorf("info %v", info)
	}
}

// 311 services in 8 datagrams, among them an SCTP one, one of protocol 99, one
// that a firewall mark of 0 became, and others that no caller could have made
// with this package.
func TestStrangeEntriesAreListedAsTheyAre(t *testing.T) {
	p, c := newPlayer(t)
	o := recording(t)[93]
	if len(o.RX) != 8 {
		t.Fatalf("%d datagrams", len(o.RX))
	}
	p.play(o.exchanges(t))
	all := services(t, c)
	if len(all) != 311 {
		t.Fatalf("%d services", len(all))
	}
	ids := map[ServiceID]bool{}
	for _, s := range all {
		if s.Flags&Hashed != 0 || s.Mark == 0 && s.Family != 0 || ids[s.ServiceID] {
			t.Errorf("%#v", s)
		}
		ids[s.ServiceID] = true
	}
	for _, strange := range []ServiceID{
		{Protocol: 99, Address: at("1.1.1.1:80")}, Virtual(TCP, at("0.0.0.0:0")), Virtual(TCP, at("1.1.1.3:0")),
		Virtual(TCP, at("[101:101::]:80")), Virtual(TCP, at("1.1.1.1:83")),
	} {
		if !ids[strange] {
			t.Errorf("%s is not listed", strange)
		}
	}
}
