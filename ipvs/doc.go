// Package ipvs configures the load balancer in the Linux kernel, IP Virtual
// Server: a client of the generic netlink family IPVS.
//
//	client, err := gnl.Open(nil)
//	...
//	defer client.Close()
//	c := ipvs.New(client)
//	web := ipvs.Virtual(ipvs.TCP, netip.MustParseAddrPort("10.0.0.1:80"))
//	err = c.AddService(ctx, ipvs.Service{ServiceID: web, Scheduler: "wlc"})
//	...
//	err = c.AddDestination(ctx, web, ipvs.Destination{
//		Address: netip.MustParseAddrPort("10.0.0.5:8080"), Weight: 10,
//	})
//
// # Services and destinations
//
// A [Service] is what clients connect to: an address and port ([Virtual]), or
// all that the firewall gives a mark ([Marked]). Its scheduler chooses, for each
// new connection, among the [Destination] values behind it. Both are added, set,
// updated and removed one by one. A set replaces all properties; an update reads
// them first, and changes those that are given. What the kernel would refuse
// without a word, or take for something else than is meant, is refused by
// Validate, which names the field; all methods that write call it.
//
// # Lists
//
// [Client.Services] and [Client.Destinations] yield one entry after another as
// the kernel gives them, so that memory does not grow with their number. The
// methods whose names end in Into use the caller's memory and allocate nothing
// for an entry. A list shows what there is, though no caller of this package may
// have made it: a protocol or method without a name is a number.
//
// What is listed compares with what was written: the entries are in one
// canonical form. The family of a service with an address is 0, as the address
// has its own; the flag Hashed, which the kernel always sets, is left out; and a
// netmask of all bits is the zero Addr. Counters and rates are of 64 bits, but
// from kernels before Linux 4.1, where most of them wrap at 2³².
//
// # Many changes
//
// A [Batch] carries out thousands of changes with few system calls, and tells
// for each how it went:
//
//	b := c.Batch()
//	for _, d := range servers {
//		b.AddDestination(web, d)
//	}
//	err := b.Do(ctx)
//
// # Who may ask
//
// Everything, reading included, needs CAP_NET_ADMIN in the initial user
// namespace: root outside of containers, or in one that shares the user
// namespace. The balancer is that of the network namespace that the gnl.Client's
// sockets are in, each has one of its own. As long as no interface of it has been
// up, the kernel takes no destination. A kernel whose module ip_vs is not loaded
// loads it by the family's name, and schedulers by theirs; see also
// gnl.Config.LoadModules. Where network namespaces with balancers come and go, load
// ip_vs_lblc and ip_vs_lblcr beforehand, if they are wanted: Linux 6.1, for one,
// comes to a deadlock, which no context ends, when it loads them for a service
// while such a namespace is being removed. The kinds of failure are told apart by
// errors.Is: see [Error].
package ipvs
