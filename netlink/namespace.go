package netlink

import (
	"fmt"
	"os"

	"github.com/gnlgo/gnl/internal/netns"
)

// Namespace is a network namespace, held open so that it stays what it is
// whatever happens to the path or process that it was found by. Nil is the
// caller's own.
type Namespace struct{ file *os.File }

// OpenNamespace opens the namespace that a path names: /proc/PID/ns/net, or
// what "ip netns add NAME" makes at /run/netns/NAME.
func OpenNamespace(path string) (*Namespace, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("netlink: network namespace: %w", err)
	}
	return &Namespace{f}, nil
}

// OpenNamespaceOf opens the namespace that a process is in.
func OpenNamespaceOf(pid int) (*Namespace, error) {
	return OpenNamespace(fmt.Sprintf("/proc/%d/ns/net", pid))
}

// OpenNamespaceFD opens the namespace that a descriptor refers to. The
// descriptor stays the caller's.
func OpenNamespaceFD(fd int) (*Namespace, error) {
	return OpenNamespace(fmt.Sprintf("/proc/self/fd/%d", fd))
}

// Do runs f on a thread inside the namespace. It needs CAP_SYS_ADMIN, unless n
// is nil. The thread is not used again.
func (n *Namespace) Do(f func() error) error {
	if n == nil {
		return f()
	}
	return netns.Do(int(n.file.Fd()), f)
}

// Close lets go of the namespace.
func (n *Namespace) Close() error {
	if n == nil {
		return nil
	}
	return n.file.Close()
}
