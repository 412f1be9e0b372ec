package main

// A row is one piece of work, done by every implementation that can.
type row struct {
	key, work string
	// base is the implementation that the others are measured against: the bare system calls, or the codec in C by hand.
	base string
	// limit is what gnl's ratio to the base must stay within; 0 where there is none.
	limit float64
	// allocs is how many allocations an operation of gnl may make; negative where there is no limit.
	allocs float64
	// unit is how many operations make one run: a burst is a multiple of it.
	unit int
	// live rows are measured once more with a goroutine of the process parked in the poller, where servers always have one.
	live bool
	// place is the network namespace where it is done.
	place place
	// stretch makes the bursts so many times as long: shorter where preparing the work costs far more than doing it,
	// longer where starting all the threads does.
	stretch float64
	// only names the one implementation that does the row; empty for all.
	only string
}

// A place is a network namespace. Only what changes nothing is done in the one where the driver was started.
type place int

const (
	outside place = iota
	private       // a new one for each worker: what one does, the others do not see
	crowded       // a new one for all, with many devices
)

// The limits are what a decoder in Go was shown to reach, with some room. A batch is compared to its requests one by one.
var rows = []row{
	{key: "getfamily", work: "GETFAMILY by name, decoded", base: "raw", limit: 1.3, allocs: -1, unit: 1, live: true},
	{key: "getfamily-fresh", work: "GETFAMILY by name, decoded into fresh memory", base: "raw", allocs: 8, unit: 1, only: "gnl"},
	{key: "families", work: "dump of all families, decoded", base: "raw", allocs: -1, unit: 1, live: true},
	{key: "taskstats", work: "TASKSTATS of one pid, decoded", base: "raw", limit: 1.3, allocs: -1, unit: 1, live: true},
	{key: "policy", work: "policy dump of ethtool, decoded", base: "raw", limit: 1.2, allocs: -1, unit: 1, live: true},
	{key: "devices", work: "ethtool features dump, 2,001 devices, index and name decoded", base: "raw", limit: 1.1, allocs: -1, unit: 1, live: true, place: crowded},
	{key: "devices-bitsets", work: "the dump, the features of each decoded too", base: "raw", allocs: -1, unit: 1, live: true, place: crowded},
	{key: "parallel64", work: "GETFAMILY from 64 goroutines (raw: threads)", base: "raw", limit: 1.2, allocs: -1, unit: goroutines, live: true, stretch: 5},
	{key: "events", work: "draining 500 queued notifications, each", base: "raw", limit: 1.1, allocs: -1, unit: eventCount, live: true, place: private, stretch: 0.5},
	{key: "batch-taskstats", work: "64 TASKSTATS requests in one send, each", base: "raw", limit: 0.75, allocs: -1, unit: batchSize, live: true},
	{key: "batch-setlimits", work: "64 mptcp_pm set-limits in one send, each", base: "raw", limit: 0.25, allocs: -1, unit: batchSize, live: true, place: private},
	{key: "decode-families", work: "decoding 15 families, no system call", base: "hand", limit: 3, allocs: -1, unit: 1},
	{key: "decode-policy", work: "decoding 260 policy messages, no system call", base: "hand", limit: 3, allocs: -1, unit: 1},
	{key: "encode-newdest", work: "encoding an IPVS NEW_DEST of 14 attributes", base: "hand", limit: 2, allocs: -1, unit: 1},
}

// The implementations in the order of the table, and which of them are programs in C.
var (
	implementations = []string{"gnl", "threaded", "bulk", "libmnl", "libnl", "mdlayher", "vishvananda"}
	inC             = map[string]bool{"raw": true, "hand": true, "threaded": true, "bulk": true, "libmnl": true, "libnl": true}
)
