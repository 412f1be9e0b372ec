//go:build linux

package gnltest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/gnltest"
	"github.com/gnlgo/gnl/internal/testenv"
	"github.com/gnlgo/gnl/internal/unix"
	"github.com/gnlgo/gnl/netlink"
)

// groupsPermitted skips the test where events cannot be received.
func groupsPermitted(t testing.TB) {
	t.Helper()
	if err := gnltest.GroupsPermitted(); err != nil {
		testenv.Missing(t, "%v", err)
	}
}

var toyGroup = gnl.GroupName{Family: "toy", Group: "news"}

func toyWithGroup() gnltest.Family {
	f := toy(nil, nil)
	f.Groups = []string{"news"}
	return f
}

func subscribe(t testing.TB, c *gnl.Client, groups ...gnl.GroupName) *gnl.Subscription {
	t.Helper()
	s, err := c.Subscribe(t.Context(), groups...)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// receive receives n events.
func receive(t testing.TB, s *gnl.Subscription, n int) (events []*gnl.Message) {
	t.Helper()
	for m, err := range s.Messages(timeout(t)) {
		must(t, err)
		events = append(events, m.Clone())
		if len(events) == n {
			break
		}
	}
	return events
}

func TestTheControllerTellsOfFamiliesThatComeAndGo(t *testing.T) {
	groupsPermitted(t)
	k := gnltest.NewKernel(t)
	s := subscribe(t, k.Client(), gnl.GroupName{Family: "nlctrl", Group: "notify"})
	id := k.Register(toyWithGroup())
	k.Unregister("toy")
	var got []string
	for _, m := range receive(t, s, 4) {
		if m.Sequence != 0 || m.PortID != 0 || m.Flags != 0 || m.Version != 2 {
			t.Errorf("%+v", m)
		}
		var f gnl.Family
		must(t, m.Unmarshal(&f))
		got = append(got, fmt.Sprintf("%d %s %v %d %d", m.Command, f.Name, f.ID == id, len(f.Commands), len(f.Groups)))
	}
	want := []string{
		"1 toy true 1 1", // CTRL_CMD_NEWFAMILY
		"7 toy true 0 1", // CTRL_CMD_NEWMCAST_GRP
		"8 toy true 0 1", // CTRL_CMD_DELMCAST_GRP
		"2 toy true 1 1", // CTRL_CMD_DELFAMILY
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q", got)
	}
}

func TestEventsReachTheMembersOfTheirGroupOnly(t *testing.T) {
	groupsPermitted(t)
	k, other := gnltest.NewKernel(t), gnltest.NewKernel(t)
	k.Register(toyWithGroup())
	other.Register(toyWithGroup())
	c := k.Client()
	s := subscribe(t, c, toyGroup)
	quiet := subscribe(t, c, gnl.GroupName{Family: "nlctrl", Group: "notify"})

	other.Notify(toyGroup, 9, nil)
	k.Notify(toyGroup, 2, []byte{8, 0, 1, 0, 1, 2, 3, 4})
	m := receive(t, s, 1)[0]
	if m.Family != "toy" || m.Type != toyID || m.Command != 2 || m.Version != 3 || len(m.Attributes) != 8 || m.Sequence != 0 || m.PortID != 0 {
		t.Errorf("%+v", m)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for m, err := range quiet.Messages(ctx) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%+v, %v", m, err)
		}
	}
}

// inPrivate skips a test that takes all groups there are, of which others are
// in need: TestWithoutPrivilege runs it in a network namespace of its own.
func inPrivate(t *testing.T) {
	t.Helper()
	if os.Getenv("GNLTEST_NOBODY") == "" {
		t.Skip("TestWithoutPrivilege runs it")
	}
}

func TestGroupsOfAKernelHaveNumbersOfTheirOwn(t *testing.T) {
	inPrivate(t)
	k := gnltest.NewKernel(t)
	f := toyWithGroup()
	for i := range 40 {
		f.Groups = append(f.Groups, fmt.Sprint(i))
	}
	k.Register(f)
	c := k.Client()
	families, err := c.Families(timeout(t))
	must(t, err)
	seen := map[uint32]bool{}
	for _, f := range families {
		for _, g := range f.Groups {
			if seen[g.ID] {
				t.Errorf("group %d is there twice", g.ID)
			}
			seen[g.ID] = true
		}
	}
	for id := range uint32(42) { // with nlctrl's
		if !seen[1+id] {
			t.Errorf("no group has number %d", 1+id)
		}
	}
	// Those that the carrier has no number for cannot be joined, but all else
	// works.
	last := gnl.GroupName{Family: "toy", Group: "39"}
	if _, err := c.Subscribe(timeout(t), last); !errors.Is(err, unix.EINVAL) {
		t.Error(err)
	}
	k.Notify(last, 1, nil)
}

func TestUnicastReachesAPort(t *testing.T) {
	k := gnltest.NewKernel(t)
	k.Register(toyWithGroup())
	c, err := k.Client().Conn(t.Context(), nil)
	must(t, err)
	defer c.Close()
	k.Unicast(c.PortID(), k.Event("toy", 2, nil), k.Event("toy", 3, nil))
	for want := range uint8(2) {
		if m, err := c.Receive(timeout(t)); err != nil || m.Command != want+2 {
			t.Errorf("%+v, %v", m, err)
		}
	}
	k.Unicast(1<<30, k.Event("toy", 2, nil)) // nobody is there
}

func TestOverrunMakesASocketLoseAndSayENOBUFS(t *testing.T) {
	groupsPermitted(t)
	k := gnltest.NewKernel(t)
	k.Register(toy(func(r *gnltest.Request) error {
		if err := r.Overrun(); err != nil {
			t.Error(err)
		}
		return gnltest.SkipEnd
	}, func(*gnltest.Request) error { return nil }))
	for range 3 {
		c := dial(t, k, nil)
		before, err := c.ReceiveBuffer()
		must(t, err)
		send(t, c, netlink.FlagAck)
		if m, err := c.Receive(timeout(t)); !errors.Is(err, netlink.ErrOverrun) {
			t.Fatalf("%+v, %v", m, err)
		}
		// The next request finds the socket as it was.
		send(t, c, netlink.FlagDump)
		if m := next(t, c); m.Type != netlink.TypeDone {
			t.Errorf("%+v", m)
		}
		if after, err := c.ReceiveBuffer(); err != nil || after != before {
			t.Errorf("a receive buffer of %d instead of %d, %v", after, before, err)
		}
	}
	if err := k.Overrun(1 << 30); !errors.Is(err, syscall.ENOENT) {
		t.Error(err)
	}
}

func TestAnswersThatDoNotFitTheReceiveBufferAreLost(t *testing.T) {
	groupsPermitted(t)
	k := gnltest.NewKernel(t)
	sent := make(chan bool)
	k.Register(toy(func(r *gnltest.Request) error {
		for range 100 {
			r.Reply(1, make([]byte, 4000))
		}
		sent <- true
		return nil
	}, nil))
	c := dial(t, k, &netlink.Config{ReceiveBuffer: 64 << 10})
	send(t, c, netlink.FlagAck)
	<-sent
	if _, err := c.Receive(timeout(t)); !errors.Is(err, netlink.ErrOverrun) {
		t.Error(err)
	}
	got := 0
	for {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Receive(ctx); err != nil {
			break
		}
		got++
	}
	if got < 5 || got > 60 {
		t.Errorf("%d of 100 answers were queued", got)
	}
}

// The claims about privilege: everything but events works without any, and in
// a user namespace that anybody can make, events do too.
func TestWithoutPrivilege(t *testing.T) {
	testenv.Root(t)
	if b, err := os.ReadFile("/proc/self/uid_map"); err != nil || strings.Join(strings.Fields(string(b)), " ") != "0 0 4294967295" {
		testenv.Missing(t, "needs root outside of a user namespace: %s, %v", b, err)
	}
	// The test binary lies where only root can read it.
	program := filepath.Join(os.TempDir(), fmt.Sprintf("gnltest-%d.test", os.Getpid()))
	in, err := os.Open("/proc/self/exe")
	must(t, err)
	defer in.Close()
	out, err := os.OpenFile(program, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	must(t, err)
	defer os.Remove(program)
	_, err = io.Copy(out, in)
	must(t, errors.Join(err, out.Close()))

	run := func(test string, attr *syscall.SysProcAttr) {
		t.Helper()
		cmd := exec.Command(program, "-test.run=^("+test+")$", "-test.count=1")
		cmd.Dir, cmd.SysProcAttr = "/", attr
		cmd.Env = append(os.Environ(), "CI=true", "GNLTEST_NOBODY=true")
		if b, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", test, err, b)
		}
	}
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
	run("TestAsNobody", &syscall.SysProcAttr{Credential: nobody})
	run("TestMoreGroups.*|TestGroupsOfAKernel.*|TestOverrun.*|TestEventsReach.*|TestTheController.*|TestAnswersThat.*", &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 65534, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 65534, Size: 1}},
		Credential:  &syscall.Credential{Uid: 0, Gid: 0, NoSetGroups: true},
	})
}

// There may be more Kernels with groups than the carrier has groups: their
// subscribers get each the events of their own.
func TestMoreGroupsThanTheCarrierHas(t *testing.T) {
	inPrivate(t)
	var kernels []*gnltest.Kernel
	var subscriptions []*gnl.Subscription
	for range 40 {
		k := gnltest.NewKernel(t)
		k.Register(toyWithGroup())
		kernels = append(kernels, k)
		subscriptions = append(subscriptions, subscribe(t, k.Client(), toyGroup))
	}
	for i, k := range kernels {
		k.Notify(toyGroup, uint8(1+i), nil)
	}
	for i, s := range subscriptions {
		if m := receive(t, s, 1)[0]; m.Command != uint8(1+i) {
			t.Errorf("subscription %d: %+v", i, m)
		}
	}
	// An overrun takes a group that nobody else has: it is refused until there is
	// one.
	conn, err := kernels[0].Client().Conn(t.Context(), nil)
	must(t, err)
	defer conn.Close()
	if err := kernels[0].Overrun(conn.PortID()); err == nil || !strings.Contains(err.Error(), "all groups") {
		t.Error(err)
	}
	for i, k := range kernels {
		must(t, subscriptions[i].Close())
		k.Unregister("toy")
	}
	must(t, kernels[0].Overrun(conn.PortID()))
	again := gnltest.NewKernel(t)
	again.Register(toyWithGroup())
	s := subscribe(t, again.Client(), toyGroup)
	again.Notify(toyGroup, 99, nil)
	if m := receive(t, s, 1)[0]; m.Command != 99 {
		t.Errorf("%+v", m)
	}
}

func TestAsNobody(t *testing.T) {
	inPrivate(t)
	if err := gnltest.GroupsPermitted(); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "unshare --map-root-user --net") {
		t.Error(err)
	}
	k := gnltest.NewKernel(t)
	f := toyWithGroup()
	f.Commands[0].Do = func(r *gnltest.Request) error {
		if err := r.Overrun(); !errors.Is(err, os.ErrPermission) {
			t.Error(err)
		}
		for range 200 { // more than fits: they wait, since losing them takes privilege
			r.Reply(1, make([]byte, 4000))
		}
		return nil
	}
	k.Register(f)
	c := k.Client()
	replies, err := c.Do(timeout(t), toyRequest)
	if err != nil || len(replies) != 200 {
		t.Errorf("%d replies, %v", len(replies), err)
	}
	if _, err := c.Subscribe(timeout(t), toyGroup); !errors.Is(err, os.ErrPermission) {
		t.Error(err)
	}
	k.Notify(toyGroup, 1, nil) // nobody listens
	k.Unregister("toy")
}

// A third process can send to any group: the fake's clients know whom to
// believe.
func TestEventsOfOthersAreNotTheFakes(t *testing.T) {
	groupsPermitted(t)
	k := gnltest.NewKernel(t)
	k.Register(toyWithGroup())
	c := k.Client()
	s := subscribe(t, c, toyGroup)
	f, err := c.Family(timeout(t), "toy")
	must(t, err)
	stranger, _, err := unix.ServerSocket(netlink.UserSock)
	must(t, err)
	defer unix.Close(stranger)
	forged := netlink.AppendMessage(nil, toyID, 0, []byte{66, 1, 0, 0})
	if err := unix.SendTo(stranger, forged, 0, 1<<(f.Groups[0].ID-1)); err != unix.ECONNREFUSED {
		t.Fatal(err)
	}
	k.Notify(toyGroup, 2, attr.Raw{}.Payload)
	if m := receive(t, s, 1)[0]; m.Command != 2 || s.Strangers() != 1 {
		t.Errorf("%+v, %d strangers", m, s.Strangers())
	}
}
