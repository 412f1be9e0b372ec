//go:build linux

package netlink_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/internal/testenv"
	"github.com/gnlgo/gnl/netlink"
)

const nlctrl = 16 // GENL_ID_CTRL

func dial(t testing.TB, config *netlink.Config) *netlink.Conn {
	t.Helper()
	c, err := netlink.Dial(netlink.Generic, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// getFamily is the data of CTRL_CMD_GETFAMILY; for an empty name, of the dump.
func getFamily(name string) []byte {
	e := attr.NewEncoder([]byte{3, 2, 0, 0})
	if name != "" {
		e.String(2, name)
	}
	b, err := e.Finish()
	if err != nil {
		panic(err)
	}
	return b
}

func TestARequestYieldsItsReplyAndEndsAtTheAck(t *testing.T) {
	c := dial(t, nil)
	for range 3 { // the socket stays in step
		replies := 0
		for m, err := range c.Do(t.Context(), netlink.Request{Type: nlctrl, Data: getFamily("nlctrl")}) {
			if err != nil {
				t.Fatal(err)
			}
			if m.Type != nlctrl || m.PortID != c.PortID() {
				t.Errorf("%+v", m)
			}
			replies++
		}
		if replies != 1 {
			t.Errorf("%d replies", replies)
		}
	}
}

func TestADumpYieldsAllAndEndsAtDone(t *testing.T) {
	c := dial(t, nil)
	families := 0
	for _, err := range c.Do(t.Context(), netlink.Request{Type: nlctrl, Flags: netlink.FlagDump, Data: getFamily("")}) {
		if err != nil {
			t.Fatal(err)
		}
		families++
	}
	if families < 5 {
		t.Errorf("%d families", families)
	}
}

func TestARefusalIsAnError(t *testing.T) {
	c := dial(t, nil)
	for _, err := range c.Do(t.Context(), netlink.Request{Type: nlctrl, Data: getFamily("nosuch")}) {
		var e *netlink.Error
		if !errors.Is(err, os.ErrNotExist) || !errors.As(err, &e) || e.Errno != syscall.ENOENT {
			t.Errorf("%v is not ENOENT", err)
		}
	}
}

// In one send, all requests are carried out, each with its own answer.
func TestSeveralMessagesInOneSend(t *testing.T) {
	c := dial(t, nil)
	var b []byte
	for _, name := range []string{"nlctrl", "nosuch", "nlctrl"} {
		b = netlink.AppendMessage(b, nlctrl, netlink.FlagRequest, getFamily(name))
	}
	first, err := c.Send(b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint32(3) {
		m, err := c.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if wantType := uint16(nlctrl); m.Sequence != first+i || i == 1 && m.Type != netlink.TypeError || i != 1 && m.Type != wantType {
			t.Errorf("answer %d: %+v", i, m.Header)
		}
	}
}

func TestAWaitEndsWithinAMillisecondOfItsContext(t *testing.T) {
	c := dial(t, nil)
	best := time.Hour
	for range 20 {
		deadline := time.Now().Add(5 * time.Millisecond)
		ctx, cancel := context.WithDeadline(t.Context(), deadline)
		_, err := c.Receive(ctx)
		late := time.Since(deadline)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%v is not context.DeadlineExceeded", err)
		}
		best = min(best, late)
	}
	// On a busy machine a goroutine may be kept waiting; not twenty times in a row.
	if best > time.Millisecond {
		t.Errorf("the deadline was missed by %v at best", best)
	}

	best = time.Hour
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		var cancelled time.Time
		time.AfterFunc(5*time.Millisecond, func() { cancelled = time.Now(); cancel() })
		_, err := c.Receive(ctx)
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("%v is not context.Canceled", err)
		}
		best = min(best, time.Since(cancelled))
	}
	if best > time.Millisecond {
		t.Errorf("after a cancellation it took %v at best", best)
	}

	// And the socket is as good as before.
	for _, err := range c.Do(t.Context(), netlink.Request{Type: nlctrl, Data: getFamily("nlctrl")}) {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAContextThatIsDoneSendsNothing(t *testing.T) {
	sent := 0
	c := dial(t, &netlink.Config{Trace: func(netlink.Direction, netlink.Message) { sent++ }})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range c.Do(ctx, netlink.Request{Type: nlctrl, Data: getFamily("nlctrl")}) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v is not context.Canceled", err)
		}
	}
	if sent != 0 {
		t.Errorf("%d messages were sent", sent)
	}
}

func TestCloseEndsAWait(t *testing.T) {
	for range 100 { // Close meets the wait at any of its stages
		c := dial(t, nil)
		done := make(chan error)
		go func() {
			_, err := c.Receive(context.Background())
			done <- err
		}()
		time.Sleep(time.Duration(binary.NativeEndian.Uint16([]byte{byte(time.Now().UnixNano()), 0})) * time.Microsecond)
		c.Close()
		select {
		case err := <-done:
			if !errors.Is(err, net.ErrClosed) {
				t.Fatalf("%v is not net.ErrClosed", err)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("the wait did not end")
		}
	}
}

func TestAClosedConnSaysSo(t *testing.T) {
	c := dial(t, nil)
	c.Close()
	c.Close()
	if _, err := c.Send(netlink.AppendMessage(nil, nlctrl, netlink.FlagRequest, getFamily("nlctrl"))); !errors.Is(err, net.ErrClosed) {
		t.Errorf("send: %v", err)
	}
	if _, err := c.Receive(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("receive: %v", err)
	}
	if err := c.Join(1); !errors.Is(err, net.ErrClosed) {
		t.Errorf("join: %v", err)
	}
	if _, err := c.ReceiveBuffer(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("receive buffer: %v", err)
	}
}

func TestADatagramLargerThanTheBufferIsTyped(t *testing.T) {
	for _, datagrams := range []int{1, 4} {
		c := dial(t, &netlink.Config{MessageSize: 64, Datagrams: datagrams})
		var got error
		for _, err := range c.Do(t.Context(), netlink.Request{Type: nlctrl, Data: getFamily("nlctrl")}) {
			got = err
		}
		if !errors.Is(got, netlink.ErrTruncated) {
			t.Errorf("%v is not netlink.ErrTruncated", got)
		}
	}
}

func TestTheReceiveBufferIsAsLargeAsAskedFor(t *testing.T) {
	testenv.Root(t) // beyond net.core.rmem_max
	c := dial(t, &netlink.Config{ReceiveBuffer: 16 << 20})
	if n, err := c.ReceiveBuffer(); err != nil || n < 16<<20 {
		t.Errorf("%d, %v", n, err)
	}
}

func TestEveryPortIsReadBack(t *testing.T) {
	a, b := dial(t, nil), dial(t, nil)
	if a.PortID() == 0 || a.PortID() == b.PortID() {
		t.Errorf("ports %d and %d", a.PortID(), b.PortID())
	}
}

func TestStrictCheckingReachesTheSocket(t *testing.T) {
	// rtnetlink, asked strictly, refuses a dump of addresses with a bad header.
	c, err := netlink.Dial(netlink.Route, &netlink.Config{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const getAddr = 22
	bad := []byte{0, 77, 0, 0, 0, 0, 0, 0} // struct ifaddrmsg with a prefix length
	var got error
	for _, err := range c.Do(t.Context(), netlink.Request{Type: getAddr, Flags: netlink.FlagDump, Data: bad}) {
		got = err
	}
	if !errors.Is(got, syscall.EINVAL) {
		t.Errorf("%v is not EINVAL", got)
	}
}

func TestNamespaceByPathByProcessAndByDescriptor(t *testing.T) {
	name, byPath := testenv.Netns(t)
	testenv.Run(t, testenv.Program(t, "ip", "iproute2"), "-n", name, "link", "add", "veth0", "index", "424242", "type", "veth", "peer", "name", "veth1")
	own, err := netlink.OpenNamespaceOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	f, err := os.Open("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	byFD, err := netlink.OpenNamespaceFD(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer byFD.Close()
	for name, tt := range map[string]struct {
		ns   *netlink.Namespace
		here bool
	}{"path": {byPath, false}, "process": {own, true}, "descriptor": {byFD, true}, "none": {nil, true}} {
		c := dial(t, &netlink.Config{Namespace: tt.ns})
		if there := hasDevice(t, c, 424242); there == tt.here {
			t.Errorf("by %s: in the new namespace: %v", name, there)
		}
	}
	if _, err := netlink.OpenNamespace("/run/netns/nosuch"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v is not ENOENT", err)
	}
	for _, path := range []string{"/etc/passwd", "/proc/self/ns/mnt"} {
		if ns, err := netlink.OpenNamespace(path); err == nil {
			t.Errorf("%s was taken for a network namespace", path)
			ns.Close()
		}
	}
}

// hasDevice asks the family netdev for a network device.
func hasDevice(t *testing.T, c *netlink.Conn, index uint32) bool {
	testenv.NeedFamily(t, "netdev")
	var id uint16
	for m, err := range c.Do(t.Context(), netlink.Request{Type: nlctrl, Data: getFamily("netdev")}) {
		if err != nil {
			t.Fatal(err)
		}
		for d := attr.NewDecoder(m.Data[4:]); d.Next(); {
			if d.Type() == 1 {
				id = d.Uint16()
			}
		}
	}
	e := attr.NewEncoder([]byte{1, 1, 0, 0}) // NETDEV_CMD_DEV_GET
	e.Uint32(1, index)
	data, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range c.Do(t.Context(), netlink.Request{Type: id, Data: data}) {
		if err != nil && !errors.Is(err, syscall.ENODEV) {
			t.Fatal(err)
		}
		return err == nil
	}
	return false
}

func TestNothingIsAllocatedForARequest(t *testing.T) {
	c := dial(t, nil)
	request := netlink.AppendMessage(nil, nlctrl, netlink.FlagRequest, getFamily("nlctrl"))
	if n := testing.AllocsPerRun(100, func() {
		x, err := c.Begin(request, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.Next(context.Background()); err != nil || !x.Done() {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestASocketThatWaitsJoinsThePollerAndOthersDoNot(t *testing.T) {
	before := polled(t)
	c := dial(t, nil)
	for _, err := range c.Do(t.Context(), netlink.Request{Type: nlctrl, Data: getFamily("nlctrl")}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := polled(t); n != before {
		t.Errorf("after a request %d descriptors are polled, %d before", n, before)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	c.Receive(ctx)
	if n := polled(t); n != before+1 {
		t.Errorf("after a wait %d descriptors are polled, %d before", n, before)
	}
}

// polled counts the netlink sockets in the process's epoll instances.
func polled(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fdinfo")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		info, _ := os.ReadFile("/proc/self/fdinfo/" + e.Name())
		n += countLines(string(info), "tfd:")
	}
	return n
}

func countLines(s, prefix string) (n int) {
	for i := 0; i+len(prefix) <= len(s); i++ {
		if s[i:i+len(prefix)] == prefix && (i == 0 || s[i-1] == '\n') {
			n++
		}
	}
	return n
}

func TestWhatIsTooShortForAMessageIsNotSent(t *testing.T) {
	c := dial(t, nil)
	if _, err := c.Send([]byte{1, 2, 3, 4}); !errors.Is(err, netlink.ErrMalformed) {
		t.Errorf("%v is not netlink.ErrMalformed", err)
	}
}

func TestAFunctionThatEndsItsGoroutineDoesNotHangTheNamespace(t *testing.T) {
	_, ns := testenv.Netns(t)
	if err := ns.Do(func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("no error")
	}
}
