package netlink

import (
	"fmt"
	"os"
	"runtime"

	"github.com/gnlgo/gnl/internal/netns"
	"github.com/gnlgo/gnl/internal/unix"
)

// Namespace is a network namespace, held open so that it stays what it is
// whatever happens to the path or process that it was found by. Nil is the
// caller's own.
type Namespace struct {
	file *os.File
	info os.FileInfo // which tells it from others
}

// OpenNamespace opens the namespace that a path names: /proc/PID/ns/net, or
// what "ip netns add NAME" makes at /run/netns/NAME. For what is something else
// the error is EINVAL.
func OpenNamespace(path string) (*Namespace, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("netlink: network namespace: %w", err)
	}
	if !unix.IsNetworkNamespace(int(f.Fd())) {
		f.Close()
		return nil, fmt.Errorf("netlink: %s is not a network namespace: %w", path, unix.EINVAL)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("netlink: network namespace: %w", err)
	}
	return &Namespace{f, info}, nil
}

// CurrentNamespace opens the namespace that the calling thread is in.
func CurrentNamespace() (*Namespace, error) { return OpenNamespace(threadNamespace) }

const threadNamespace = "/proc/thread-self/ns/net"

// OpenNamespaceOf opens the namespace that a process is in.
func OpenNamespaceOf(pid int) (*Namespace, error) {
	return OpenNamespace(fmt.Sprintf("/proc/%d/ns/net", pid))
}

// OpenNamespaceFD opens the namespace that a descriptor refers to. The
// descriptor stays the caller's.
func OpenNamespaceFD(fd int) (*Namespace, error) {
	return OpenNamespace(fmt.Sprintf("/proc/self/fd/%d", fd))
}

// Do runs f on a thread inside the namespace, and waits for it. Where the
// caller's thread is in another one that needs CAP_SYS_ADMIN, and f then runs in
// a goroutine of its own, on a thread that ends with it. For a nil Namespace f is
// simply called.
func (n *Namespace) Do(f func() error) error {
	if n == nil {
		return f()
	}
	runtime.LockOSThread()
	if info, err := os.Stat(threadNamespace); err == nil && os.SameFile(info, n.info) {
		defer runtime.UnlockOSThread()
		return f()
	}
	runtime.UnlockOSThread()
	defer runtime.KeepAlive(n)
	return netns.Do(int(n.file.Fd()), f)
}

// Close lets go of the namespace.
func (n *Namespace) Close() error {
	if n == nil {
		return nil
	}
	return n.file.Close()
}
