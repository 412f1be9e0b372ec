//go:build linux

package ipvs_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/internal/testenv"
	"github.com/gnlgo/gnl/ipvs"
	"github.com/gnlgo/gnl/netlink"
)

// A network is what a balancer is for: clients on one side, servers on the
// other, each in a network namespace of its own.
//
//	client 10.0.1.2 ── 10.0.1.1 balancer 10.0.2.1 ── 10.0.2.10… servers
//	       fd00:1::2   fd00:1::1        fd00:2::1    fd00:2::10…
//
// The balancer answers to 10.0.1.100 and fd00:1::100.
type network struct {
	t                         testing.TB
	client, balancer, servers *netlink.Namespace
	ipvs                      *ipvs.Client
}

var (
	virtual4 = netip.MustParseAddrPort("10.0.1.100:80")
	virtual6 = netip.MustParseAddrPort("[fd00:1::100]:80")
)

// server4 and server6 are the addresses of the n-th server, from 0 to 3.
func server4(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("10.0.2.1%d", n)), 8080)
}
func server6(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("fd00:2::1%d", n)), 8080)
}

func newNetwork(t testing.TB) *network {
	t.Helper()
	testenv.NeedFamily(t, "IPVS")
	ip := testenv.Program(t, "ip", "iproute2")
	n := &network{t: t}
	var client, balancer, servers string
	client, n.client = testenv.Netns(t)
	balancer, n.balancer = testenv.Netns(t)
	servers, n.servers = testenv.Netns(t)

	// Programs take their time in emulated machines: a batch is one.
	batch := func(ns string, commands ...string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "ip")
		if err := os.WriteFile(file, []byte(strings.Join(commands, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		testenv.Run(t, ip, "-n", ns, "-batch", file)
	}
	batch(balancer,
		"link add inside type veth peer name eth0 netns "+servers,
		"link add outside type veth peer name eth0 netns "+client,
		"address add 10.0.1.1/24 dev outside",
		"address add 10.0.1.100/32 dev outside",
		"address add fd00:1::1/64 dev outside nodad",
		"address add fd00:1::100/128 dev outside nodad",
		"address add 10.0.2.1/24 dev inside",
		"address add fd00:2::1/64 dev inside nodad",
		"link set inside up",
		"link set outside up")
	batch(client,
		"address add 10.0.1.2/24 dev eth0",
		"address add fd00:1::2/64 dev eth0 nodad",
		"link set eth0 up")
	var addresses []string
	for i := range 4 {
		addresses = append(addresses,
			fmt.Sprintf("address add %s/24 dev eth0", server4(i).Addr()),
			fmt.Sprintf("address add %s/64 dev eth0 nodad", server6(i).Addr()))
	}
	batch(servers, append(addresses,
		"link set eth0 up",
		"route add default via 10.0.2.1",
		"route add ::/0 via fd00:2::1")...)
	n.in(n.balancer, func() error {
		for _, sysctl := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"} {
			if err := os.WriteFile(filepath.Join("/proc/sys", sysctl), []byte("1"), 0); err != nil {
				return err
			}
		}
		return nil
	})
	n.ipvs = newClient(t, n.balancer)
	return n
}

// in does something in one of the namespaces.
func (n *network) in(ns *netlink.Namespace, f func() error) {
	n.t.Helper()
	if err := ns.Do(f); err != nil {
		n.t.Fatal(err)
	}
}

// newClient returns a client of the balancer of a namespace.
func newClient(t testing.TB, ns *netlink.Namespace) *ipvs.Client {
	t.Helper()
	g, err := gnl.Open(&gnl.Config{Socket: netlink.Config{Namespace: ns}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return ipvs.New(g)
}

// serve starts TCP servers at these addresses. They say their own address, and
// then answer every line with itself.
func (n *network) serve(addresses ...netip.AddrPort) {
	n.t.Helper()
	for _, a := range addresses {
		n.in(n.servers, func() error {
			l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(a))
			if err != nil {
				return err
			}
			end := make(chan struct{})
			var wg sync.WaitGroup
			n.t.Cleanup(func() { close(end); l.Close(); wg.Wait() })
			wg.Go(func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					// The end of a connection does not come to a server that was removed.
					wg.Go(func() { <-end; c.Close() })
					wg.Go(func() {
						defer c.Close()
						fmt.Fprintln(c, a)
						lines := bufio.NewReader(c)
						for err == nil {
							var line string
							line, err = lines.ReadString('\n')
							io.WriteString(c, line)
						}
					})
				}
			})
			return nil
		})
	}
}

// A connection of a client's to whichever server the balancer chose.
type connection struct {
	net.Conn
	lines  *bufio.Reader
	server string
}

func (n *network) dial(address netip.AddrPort) *connection {
	n.t.Helper()
	c, err := n.tryDial(address)
	if err != nil {
		n.t.Fatal(err)
	}
	return c
}

func (n *network) tryDial(address netip.AddrPort) (*connection, error) {
	c := &connection{}
	err := n.client.Do(func() (err error) {
		c.Conn, err = net.DialTimeout("tcp", address.String(), 5*time.Second)
		return err
	})
	if err != nil {
		return nil, err
	}
	n.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	c.lines = bufio.NewReader(c)
	c.server, err = c.lines.ReadString('\n')
	c.server = strings.TrimSpace(c.server)
	return c, err
}

// answers asks the server for a sign of life.
func (c *connection) answers() error {
	const question = "still there?\n"
	if _, err := io.WriteString(c, question); err != nil {
		return err
	}
	answer, err := c.lines.ReadString('\n')
	if err == nil && answer != question {
		err = fmt.Errorf("the answer is %q", answer)
	}
	return err
}

// newBalancer returns a client of the empty balancer of a new namespace.
func newBalancer(t testing.TB) *ipvs.Client {
	t.Helper()
	testenv.NeedFamily(t, "IPVS")
	_, c := newNamedBalancer(t)
	return c
}

// newNamedBalancer is newBalancer, with the name of the namespace.
func newNamedBalancer(t testing.TB) (name string, c *ipvs.Client) {
	t.Helper()
	name, ns := testenv.Netns(t)
	// As long as no interface has been up, the kernel has no routing table for
	// local addresses, and takes every address for that of a broadcast.
	testenv.Run(t, testenv.Program(t, "ip", "iproute2"), "-n", name, "link", "set", "lo", "up")
	return name, newClient(t, ns)
}
