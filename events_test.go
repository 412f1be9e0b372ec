//go:build linux

package gnl_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/internal/testenv"
	"github.com/gnlgo/gnl/netlink"
)

// inNamespace opens a Client in a new network namespace, and returns what runs
// "ip" in it.
func inNamespace(t testing.TB) (c *gnl.Client, ip func(args ...string)) {
	t.Helper()
	name, ns := testenv.Netns(t)
	program := testenv.Program(t, "ip", "iproute2")
	return open(t, &gnl.Config{Socket: netlink.Config{Namespace: ns}}), func(args ...string) {
		t.Helper()
		testenv.Run(t, program, append([]string{"-n", name}, args...)...)
	}
}

// subscribe subscribes for the test.
func subscribe(t testing.TB, c *gnl.Client, groups ...gnl.GroupName) *gnl.Subscription {
	t.Helper()
	s, err := c.Subscribe(timeout(t), groups...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// until reads events up to the one that is wanted.
func until(t testing.TB, s *gnl.Subscription, wanted func(*gnl.Message) bool) {
	t.Helper()
	for m, err := range s.Messages(timeout(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if wanted(m) {
			return
		}
	}
}

func TestNetdevTellsOfDevices(t *testing.T) {
	c, ip := inNamespace(t)
	needs(t, c, "netdev")
	s := subscribe(t, c, gnl.GroupName{Family: "netdev", Group: "mgmt"})
	ip("link", "add", "veth0", "type", "veth", "peer", "name", "veth1")
	const devAddNotification = 2
	until(t, s, func(m *gnl.Message) bool {
		var d device
		must(t, m.Unmarshal(&d))
		return m.Family == "netdev" && m.Command == devAddNotification && d.IfIndex != 0
	})
}

func TestEthtoolTellsOfChangedFeatures(t *testing.T) {
	c, ip := inNamespace(t)
	needs(t, c, "ethtool")
	ip("link", "add", "veth0", "type", "veth", "peer", "name", "veth1")
	s := subscribe(t, c, gnl.GroupName{Family: "ethtool", Group: "monitor"})

	type bit struct {
		Name  string `nl:"2"`
		Value bool   `nl:"3"`
	}
	type featuresSet struct {
		Header ethtoolHeader `nl:"1"`
		Wanted struct {
			Bits []bit `nl:"3,array=1"`
		} `nl:"3"`
	}
	set := gnl.Command[featuresSet, struct{}]{Family: "ethtool", ID: 12, Name: "features-set", Version: 1}
	request := featuresSet{Header: ethtoolHeader{DevName: "veth0"}}
	request.Wanted.Bits = []bit{{Name: "tx-checksum-ip-generic", Value: false}}
	if _, err := set.Do(timeout(t), c, request); err != nil {
		t.Fatal(err)
	}
	const featuresNotification = 13
	until(t, s, func(m *gnl.Message) bool { return m.Family == "ethtool" && m.Command == featuresNotification })
}

func TestTheControllersGroupIsJoinedByName(t *testing.T) {
	c := open(t, nil)
	s := subscribe(t, c, gnl.GroupName{Family: "nlctrl", Group: "notify"})
	// No module comes or goes here; that nothing else comes either is what can be seen.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	for m, err := range s.Messages(ctx) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%+v, %v", m, err)
		}
	}
}

func TestAGroupThatAFamilyDoesNotHave(t *testing.T) {
	c := open(t, nil)
	_, err := c.Subscribe(timeout(t), gnl.GroupName{Family: "nlctrl", Group: "nosuch"})
	if want := `gnl: nlctrl: no multicast group "nosuch": it has notify`; !errors.Is(err, gnl.ErrNoGroup) || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if _, err := c.Subscribe(timeout(t)); err == nil {
		t.Error("no group at all was not refused")
	}
}

func TestCloseEndsASubscription(t *testing.T) {
	c := open(t, nil)
	s := subscribe(t, c, gnl.GroupName{Family: "nlctrl", Group: "notify"})
	time.AfterFunc(10*time.Millisecond, func() { s.Close() })
	for _, err := range s.Messages(timeout(t)) {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v is not net.ErrClosed", err)
		}
	}
}

func TestWhatAnotherProcessWritesToAGroupIsDropped(t *testing.T) {
	name, ns := testenv.Netns(t)
	c := open(t, &gnl.Config{Socket: netlink.Config{Namespace: ns}})
	f := needs(t, c, "netdev")
	g, _ := f.Group("mgmt")
	s := subscribe(t, c, gnl.GroupName{Family: "netdev", Group: "mgmt"})

	forged := netlink.AppendMessage(nil, f.ID, 0, []byte{2, 1, 0, 0, 8, 0, 1, 0, 99, 0, 0, 0})
	must(t, ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_GENERIC)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		// The unicast part goes to the kernel, which makes nothing of it.
		return unix.Sendto(fd, forged, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 0, Pid: 0})
	}))
	must(t, ns.Do(func() error { return multicast(forged, g.ID) }))
	testenv.Run(t, testenv.Program(t, "ip", "iproute2"), "-n", name, "link", "add", "veth0", "type", "veth", "peer", "name", "veth1")
	until(t, s, func(m *gnl.Message) bool {
		var d device
		must(t, m.Unmarshal(&d))
		if d.IfIndex == 99 {
			t.Fatal("the forged event was delivered")
		}
		return true
	})
	if s.Strangers() != 1 {
		t.Errorf("%d dropped, want 1", s.Strangers())
	}
}

// multicast sends b to a group beyond 32, which sockaddr_nl's bit mask cannot
// name: the socket is connected to the group instead.
func multicast(b []byte, group uint32) error {
	if group > 32 {
		return fmt.Errorf("group %d cannot be written to from user space", group)
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_GENERIC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (group - 1)})
	if err == unix.ECONNREFUSED {
		return nil
	}
	return err
}

func TestAnotherProcessCannotWriteToOurPort(t *testing.T) {
	testenv.Root(t)
	c := open(t, nil)
	conn, err := c.Conn(timeout(t), nil)
	must(t, err)
	defer conn.Close()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_GENERIC)
	must(t, err)
	defer unix.Close(fd)
	forged := netlink.AppendMessage(nil, 16, 0, []byte{1, 2, 0, 0})
	err = unix.Sendto(fd, forged, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Pid: conn.PortID()})
	if err != unix.ECONNREFUSED {
		t.Errorf("the kernel let root write to our port: %v", err)
	}
}

func TestAnEventStormLosesNoReply(t *testing.T) {
	c, ip := inNamespace(t)
	needs(t, c, "netdev")
	s := subscribe(t, c, gnl.GroupName{Family: "netdev", Group: "mgmt"}, gnl.GroupName{Family: "ethtool", Group: "monitor"})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()

	var wg sync.WaitGroup
	wg.Go(func() { // the storm
		for i := 0; ctx.Err() == nil; i++ {
			ip("link", "add", "veth0", "type", "veth", "peer", "name", "veth1")
			ip("link", "delete", "veth0")
		}
	})
	events := 0
	wg.Go(func() {
		for _, err := range s.Messages(ctx) {
			if err == nil {
				events++
			} else if !errors.Is(err, gnl.ErrOverrun) && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	requests := 0
	for ctx.Err() == nil {
		if _, err := c.Family(context.WithoutCancel(ctx), "ethtool"); err != nil {
			t.Fatal(err)
		}
		requests++
	}
	wg.Wait()
	if events == 0 {
		t.Error("no events came")
	}
	t.Logf("%d requests answered, %d events", requests, events)
}

// Devices come and go while a subscriber keeps a set of them by its events. At
// the end, and after every overrun, it lists them: what it has must be the truth.
func TestASubscriberThatResynchronisesHasTheTruth(t *testing.T) {
	c, ip := inNamespace(t)
	needs(t, c, "netdev")
	ctx := timeout(t)
	s := subscribe(t, c, gnl.GroupName{Family: "netdev", Group: "mgmt"})

	const rounds = 60
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range rounds {
			ip("link", "add", fmt.Sprintf("a%d", i), "type", "veth", "peer", "name", fmt.Sprintf("b%d", i))
			if i%3 == 0 {
				ip("link", "delete", fmt.Sprintf("a%d", i))
			}
		}
		// The last one tells the subscriber that it has seen all.
		ip("link", "add", "last", "index", "7777", "type", "veth", "peer", "name", "peer")
	}()
	defer func() { <-done }()

	known := map[uint32]bool{}
	list := func() {
		clear(known)
		for d, err := range deviceGet.Dump(ctx, c, deviceRequest{}) {
			must(t, err)
			known[d.IfIndex] = true
		}
	}
	list()
	events := 0
	for m, err := range s.Messages(ctx) {
		if errors.Is(err, gnl.ErrOverrun) {
			list()
			continue
		}
		must(t, err)
		var d device
		must(t, m.Unmarshal(&d))
		events++
		switch m.Command {
		case 2: // dev-add-ntf
			known[d.IfIndex] = true
		case 3: // dev-del-ntf
			delete(known, d.IfIndex)
		}
		if d.IfIndex == 7777 && m.Command == 2 {
			break
		}
	}
	<-done
	byEvents := len(known)
	had := fmt.Sprint(known)
	list()
	delete(known, 0)
	// The peer of the last pair is announced before or after it.
	if d := len(known) - byEvents; d < 0 || d > 1 {
		t.Errorf("after %d events %d devices were known, and there are %d: %s, %v", events, byEvents, len(known), had, known)
	}
}

func TestNamespacesLeaveNoThreadInTheWrongOne(t *testing.T) {
	_, ns := testenv.Netns(t)
	here := threadNamespaces(t)
	if len(here) != 1 {
		t.Fatalf("threads are in %v to begin with", here)
	}
	c := open(t, &gnl.Config{Socket: netlink.Config{Namespace: ns}})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			conn, err := c.Conn(timeout(t), nil)
			if err != nil {
				t.Error(err)
				return
			}
			conn.Close()
		})
	}
	wg.Wait()
	for range 100 { // threads that have been left take a moment to end
		if len(threadNamespaces(t)) == 1 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("threads are in %v", threadNamespaces(t))
}

// threadNamespaces counts the threads of the process by network namespace.
func threadNamespaces(t testing.TB) map[string]int {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	must(t, err)
	count := map[string]int{}
	for _, thread := range threads {
		ns, err := os.Readlink("/proc/self/task/" + thread.Name() + "/ns/net")
		// A thread that is ending has no namespace any more, one that has ended no
		// directory: the kernel says so with one of these.
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EACCES) {
			continue
		}
		must(t, err)
		count[ns]++
	}
	return count
}

// Threads can be in different namespaces: a Client's sockets are not.
func TestAllSocketsOfAClientAreWhereItWasOpened(t *testing.T) {
	_, ns := testenv.Netns(t)
	var c *gnl.Client
	must(t, ns.Do(func() (err error) {
		c, err = gnl.Open(nil)
		return err
	}))
	defer c.Close()
	needs(t, c, "netdev")
	devices := func() int {
		all, err := gnl.Collect(deviceGet.Dump(timeout(t), c, deviceRequest{}))
		must(t, err)
		return len(all)
	}
	first := devices()
	for _, err := range c.Dump(timeout(t), gnl.Request{Family: "nlctrl", Command: 3}) {
		must(t, err)
		if second := devices(); first != 1 || second != first { // lo
			t.Errorf("%d devices by one socket, %d by another", first, second)
		}
		break
	}
}
