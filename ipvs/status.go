package ipvs

// Counters count what went through a service or to a destination. The kernel
// adds up every two seconds, so that what has just happened is not in them yet
// (net/netfilter/ipvs/ip_vs_est.c).
type Counters struct {
	Connections uint64 // new ones
	PacketsIn   uint64 // from clients
	PacketsOut  uint64 // to clients, where they pass the balancer (Masquerade)
	BytesIn     uint64
	BytesOut    uint64
}

// ServiceStatus is a service as the kernel reports it.
type ServiceStatus struct {
	Service
	Stats Counters // since it was added, or zeroed
	Rates Counters // a second, averaged over some
}

// DestinationStatus is a destination as the kernel reports it.
type DestinationStatus struct {
	Destination
	Active     uint32   // established connections
	Inactive   uint32   // connections in any other state
	Persistent uint32   // templates that keep a client here
	Stats      Counters // since it was added, or zeroed
	Rates      Counters // a second, averaged over some
}
