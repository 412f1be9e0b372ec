package ipvs_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/netip"
	"os"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/ipvs"
	"github.com/gnlgo/gnl/ipvs/poolfile"
)

// The services of this machine, with what is behind them.
func Example() {
	client, err := gnl.Open(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	c, ctx := ipvs.New(client), context.Background()

	for s, err := range c.Services(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(s.ServiceID, s.Scheduler, s.Stats.Connections, "connections")
		for d, err := range c.Destinations(ctx, s.ServiceID) {
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Println("  ", d.Address, d.Method, "weight", d.Weight, "active", d.Active)
		}
	}
}

// A web service on two servers, of which one takes twice as much.
func ExampleClient_AddService() {
	client, err := gnl.Open(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	c, ctx := ipvs.New(client), context.Background()

	web := ipvs.Service{
		ServiceID: ipvs.Virtual(ipvs.TCP, netip.MustParseAddrPort("192.0.2.1:80")),
		Scheduler: "wlc",
		Flags:     ipvs.Persistent,
		Timeout:   5 * time.Minute,
	}
	if err := c.AddService(ctx, web); err != nil && !errors.Is(err, os.ErrExist) {
		fmt.Println(err)
		return
	}
	for i, server := range []string{"10.0.0.5:8080", "10.0.0.6:8080"} {
		d := ipvs.Destination{Address: netip.MustParseAddrPort(server), Weight: uint32(2 - i)}
		if err := c.AddDestination(ctx, web.ServiceID, d); err != nil && !errors.Is(err, os.ErrExist) {
			fmt.Println(err)
			return
		}
	}
	if err := c.RemoveService(ctx, web.ServiceID); err != nil {
		fmt.Println(err)
	}
}

// A server gets no new connections, and keeps those that it has.
func ExampleClient_UpdateDestination() {
	client, err := gnl.Open(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	web := ipvs.Virtual(ipvs.TCP, netip.MustParseAddrPort("192.0.2.1:80"))
	err = ipvs.New(client).UpdateDestination(context.Background(), web, netip.MustParseAddrPort("10.0.0.5:8080"),
		ipvs.DestinationUpdate{Weight: gnl.Some(uint32(0))})
	if errors.Is(err, os.ErrNotExist) {
		fmt.Println("no such service, or no such server behind it")
	} else if err != nil {
		fmt.Println(err)
	}
}

// Many servers with few system calls.
func ExampleBatch() {
	client, err := gnl.Open(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	dns := ipvs.Service{
		ServiceID: ipvs.Virtual(ipvs.UDP, netip.MustParseAddrPort("192.0.2.1:53")),
		Scheduler: "sh",
		Flags:     ipvs.OnePacket | ipvs.SHPort,
	}
	b := ipvs.New(client).Batch()
	b.AddService(dns)
	for server := netip.MustParseAddr("10.0.0.1"); server.Compare(netip.MustParseAddr("10.0.3.255")) < 0; server = server.Next() {
		b.AddDestination(dns.ServiceID, ipvs.Destination{Address: netip.AddrPortFrom(server, 53), Weight: 1})
	}
	b.RemoveService(dns.ServiceID)
	if err := b.Do(context.Background()); err != nil {
		fmt.Println(err)
	}
	fmt.Println(b.Len(), "changes")
}

// What is wrong is said before the kernel is asked.
func ExampleService_Validate() {
	s := ipvs.Service{
		ServiceID: ipvs.Virtual(ipvs.TCP, netip.MustParseAddrPort("192.0.2.1:0")),
		Scheduler: "wlc",
	}
	fmt.Println(s.Validate())
	// Output: port: port 0 stands for all ports, which needs persistence
}

func ExampleParseServiceID() {
	for _, text := range []string{"tcp:192.0.2.1:80", "udp/[2001:db8::1]:53", "fwmark:10:ipv6", "tcp:80"} {
		id, err := ipvs.ParseServiceID(text)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(id)
	}
	// Output:
	// tcp:192.0.2.1:80
	// udp:[2001:db8::1]:53
	// fwmark:10:ipv6
	// service "tcp:80": "80" is no ADDRESS:PORT (an IPv6 address stands in brackets)
}

// The pools of a file, and nothing else touched.
func ExampleClient_Apply() {
	ctx := context.Background()
	pools, err := poolfile.ReadFile("pools.yaml")
	if err != nil {
		log.Fatal(err) // all that is wrong with it, with the places
	}
	client, err := gnl.Open(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	outcome, err := ipvs.New(client).Apply(ctx, pools, &ipvs.ApplyConfig{Drain: 30 * time.Second})
	for _, change := range outcome.Done {
		fmt.Println(change)
	}
	if err != nil {
		log.Fatal(err) // what failed first; outcome.Failed and outcome.Skipped have the rest
	}
}
