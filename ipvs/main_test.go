//go:build linux

package ipvs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/internal/testenv"
	"github.com/gnlgo/gnl/netlink"
)

// helperEnv names what this test binary is to do instead of testing, in a
// process of its own.
const helperEnv = "IPVS_TEST_HELPER"

var helpers = map[string]func() error{}

func TestMain(m *testing.M) {
	if name := os.Getenv(helperEnv); name != "" {
		if err := helpers[name](); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	testenv.Main(m)
}

// helper prepares a process that runs a helper.
func helper(t testing.TB, name string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), helperEnv+"="+name)
	return cmd
}

// run runs a helper to its end.
func run(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// needIPVS needs the running kernel to have the family, and the test to be root.
func needIPVS(t testing.TB) {
	t.Helper()
	testenv.NeedFamily(t, family)
	testenv.Root(t)
}

// fresh is a network namespace of the test's own, without services. Its loopback
// interface is up: before one is, the kernel has no routes, and takes no address
// for one of a server.
func fresh(t testing.TB) *netlink.Namespace {
	t.Helper()
	ns := namespace(t)
	must(t, ns.Do(func() error {
		// RTM_NEWLINK for interface 1.
		return routeRequest(interfaceInfo(1), 0)
	}))
	return ns
}

// addInterface makes an interface in a namespace, and switches it on.
func addInterface(t testing.TB, ns *netlink.Namespace, name string) {
	t.Helper()
	var e attr.Encoder
	e.String(unix.IFLA_IFNAME, name)
	nest := e.Begin(unix.IFLA_LINKINFO)
	e.String(unix.IFLA_INFO_KIND, "dummy")
	e.End(nest)
	attributes, err := e.Finish()
	must(t, err)
	err = ns.Do(func() error {
		return routeRequest(append(interfaceInfo(0), attributes...), netlink.FlagCreate|netlink.FlagExclusive)
	})
	if errors.Is(err, syscall.EOPNOTSUPP) {
		testenv.Missing(t, "needs the kernel's module dummy")
	}
	must(t, err)
}

// interfaceInfo is struct ifinfomsg for an interface that is to be up.
func interfaceInfo(index uint32) []byte {
	b := binary.NativeEndian.AppendUint32(nil, 0)
	b = binary.NativeEndian.AppendUint32(b, index)
	b = binary.NativeEndian.AppendUint32(b, unix.IFF_UP)
	return binary.NativeEndian.AppendUint32(b, unix.IFF_UP)
}

// routeRequest asks the kernel for a new or changed interface (RTM_NEWLINK).
func routeRequest(payload []byte, flags netlink.Flags) error {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	b := netlink.BeginMessage(nil, unix.RTM_NEWLINK, netlink.FlagRequest|netlink.FlagAck|flags)
	b = netlink.EndMessage(append(b, payload...), 0)
	x, err := conn.Begin(b, false)
	if err != nil {
		return err
	}
	if _, err = x.Next(context.Background()); err == io.EOF {
		return nil
	}
	return err
}

// namespace is a network namespace as it comes, with nothing that is up.
func namespace(t testing.TB) *netlink.Namespace {
	t.Helper()
	needIPVS(t)
	var ns *netlink.Namespace
	err := onThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		ns, err = netlink.OpenNamespace("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

// onThread runs f on a thread that is brought back into its namespace after.
func onThread(f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer home.Close()
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, back) // the thread stays locked, and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}

// kernel is a Client of the real kernel, in a fresh network namespace.
func kernel(t testing.TB) *Client {
	t.Helper()
	return New(open(t, &gnl.Config{Socket: netlink.Config{Namespace: fresh(t)}}))
}

func open(t testing.TB, config *gnl.Config) *gnl.Client {
	t.Helper()
	client, err := gnl.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// release is the running kernel's version, "6.12.117+deb12-amd64".
func release(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustBe(t testing.TB, err, is error) {
	t.Helper()
	if !errors.Is(err, is) {
		t.Errorf("got %v, want %v", err, is)
	}
}

// expect checks an error: how it reads, and what it is.
func expect(t testing.TB, err error, text string, is ...error) {
	t.Helper()
	if err == nil || err.Error() != text {
		t.Errorf("got  %v\nwant %s", err, text)
	}
	for _, target := range is {
		if !errors.Is(err, target) {
			t.Errorf("%v: is not %v", err, target)
		}
	}
}

// addr and at read addresses, and a service and destination that tests often need.
func addr(s string) netip.Addr   { return netip.MustParseAddr(s) }
func at(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func tcp(s string) Service { return Service{ServiceID: Virtual(TCP, at(s)), Scheduler: "rr"} }

func marked(mark uint32, f Family) Service {
	return Service{ServiceID: Marked(mark, f), Scheduler: "rr"}
}

// tunnelTo is the destination that the recorded operations make most.
func tunnelTo(s string, weight uint32) Destination {
	return Destination{Address: at(s), Weight: weight, Method: Tunnel}
}

func services(t testing.TB, c *Client) []ServiceStatus {
	t.Helper()
	all, err := gnl.Collect(c.Services(t.Context()))
	must(t, err)
	return all
}

func destinations(t testing.TB, c *Client, id ServiceID) []DestinationStatus {
	t.Helper()
	all, err := gnl.Collect(c.Destinations(t.Context(), id))
	must(t, err)
	return all
}

// servers are the addresses of destinations, in order.
func servers(t testing.TB, c *Client, id ServiceID) []string {
	t.Helper()
	var all []string
	for _, d := range destinations(t, c, id) {
		all = append(all, d.Address.String())
	}
	return all
}

// mustRead checks that a service is read back, from a list too, as it was written.
func mustRead(t testing.TB, c *Client, s Service) {
	t.Helper()
	got, err := c.Service(t.Context(), s.ServiceID)
	must(t, err)
	if got.Service != s {
		t.Errorf("read\n%#v, wrote\n%#v", got.Service, s)
	}
	if !slices.ContainsFunc(services(t, c), func(l ServiceStatus) bool { return l.Service == s }) {
		t.Errorf("the list lacks %#v", s)
	}
}

// mustReadDestination is mustRead for a destination.
func mustReadDestination(t testing.TB, c *Client, id ServiceID, d Destination) {
	t.Helper()
	got, err := c.Destination(t.Context(), id, d.Address)
	must(t, err)
	if got.Destination != d {
		t.Errorf("read\n%#v, wrote\n%#v", got.Destination, d)
	}
}

const patience = 10 * time.Second
