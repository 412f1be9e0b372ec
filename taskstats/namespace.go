package taskstats

import (
	"bufio"
	"os"
	"strconv"
	"strings"
)

// The kernel gives the initial namespaces of some kinds inode numbers that
// never change (include/linux/proc_ns.h, from Linux 3.8 on).
const (
	initialUserNamespace = "user:[4026531837]"
	initialPIDNamespace  = "pid:[4026531836]"
)

// elsewhere reports whether this process is known to be in another namespace
// than the given initial one.
func elsewhere(kind, initial string) bool {
	link, err := os.Readlink("/proc/self/ns/" + kind)
	return err == nil && link != initial
}

// whyNotPermitted explains EPERM.
func whyNotPermitted() string {
	const needs = "it needs CAP_NET_ADMIN in the initial user namespace"
	if elsewhere("user", initialUserNamespace) {
		return needs + ", and this process is in another one"
	}
	return needs
}

// eventsCannotCome reports whether the generic netlink socket with the given
// port id is known to be outside of the initial network namespace. The kernel
// lets such a socket listen, but sends the exits into the initial one.
//
// Which namespace a socket is in cannot be asked of gnl.Conn, and the socket
// need not be in that of the process. But every namespace lists its sockets,
// and the kernel's own thread number 2 is always in the initial one.
func eventsCannotCome(port uint32) bool {
	comm, err := os.ReadFile("/proc/2/comm")
	if err != nil || string(comm) != "kthreadd\n" {
		return false // not known: this /proc shows other processes
	}
	initial, err := protocolsOf(port, "/proc/2/net/netlink")
	if err != nil || initial[genericProtocol] {
		return false
	}
	// A test's own kernel is reached over another protocol.
	own, err := protocolsOf(port, "/proc/thread-self/net/netlink")
	return err == nil && (own[genericProtocol] || len(own)+len(initial) == 0)
}

const genericProtocol = "16"

// protocolsOf lists the netlink protocols of which a socket has the given port id.
func protocolsOf(port uint32, table string) (map[string]bool, error) {
	f, err := os.Open(table)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	protocols := map[string]bool{}
	id := strconv.FormatUint(uint64(port), 10)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// sk, Eth (the protocol), Pid (the port id), ...
		if columns := strings.Fields(lines.Text()); len(columns) > 2 && columns[2] == id {
			protocols[columns[1]] = true
		}
	}
	return protocols, lines.Err()
}
