// Package testenv is what tests need of the machine they run on: root, network
// namespaces, programs; and the check that a package's tests leave nothing
// behind.
//
// A test that cannot run says why and is skipped. Where everything should be
// there, with CI=true in the environment and in the lab's kernels (see package
// internal/lab), the same is a failure. What a kernel is known to lack is not:
// see NeedFamily and NeedModule.
package testenv

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/gnlgo/gnl/netlink"
)

// CI reports whether a skip is a failure.
func CI() bool { return os.Getenv("CI") == "true" }

// Missing skips the test, for the reason given, or fails it in CI and in the lab.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	switch {
	case Lab() != "":
		t.Fatalf("the lab must have this: "+format, args...)
	case CI():
		t.Fatalf("CI must have this: "+format, args...)
	}
	t.Skipf(format, args...)
}

// Root needs the test to run as root in the initial user namespace.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "needs root: run the test with sudo")
	}
	// Only the initial user namespace maps all users to themselves.
	users, err := os.ReadFile("/proc/self/uid_map")
	if err == nil && !slices.Equal(strings.Fields(string(users)), []string{"0", "0", "4294967295"}) {
		Missing(t, "needs root in the initial user namespace")
	}
}

// Program needs a program to be installed and returns its path. Debian's
// package of it goes into the reason.
func Program(t testing.TB, name, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
			if _, err := os.Stat(dir + name); err == nil {
				return dir + name
			}
		}
		if Lab() != "" {
			Missing(t, "needs the program %s: lab run --program %s", name, name)
		}
		Missing(t, "needs the program %s: apt-get install %s", name, debianPackage)
	}
	return path
}

// Run runs a program and fails the test if it fails.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

var namespaces atomic.Int64

// Netns makes a network namespace for the test and returns its name, as known
// to "ip -n NAME", and the namespace. It needs root and iproute2.
func Netns(t testing.TB) (name string, ns *netlink.Namespace) {
	t.Helper()
	Root(t)
	ip := Program(t, "ip", "iproute2")
	name = fmt.Sprintf("gnl-test-%d-%d", os.Getpid(), namespaces.Add(1))
	Run(t, ip, "netns", "add", name)
	t.Cleanup(func() { exec.Command(ip, "netns", "delete", name).Run() })
	ns, err := netlink.OpenNamespace("/run/netns/" + name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return name, ns
}

// Printed runs an example and returns what it prints: those whose output varies,
// go test does not run.
func Printed(t testing.TB, example func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(r)
		text <- string(b)
	}()
	stdout := os.Stdout
	os.Stdout = w
	defer func() { os.Stdout = stdout }()
	example()
	w.Close()
	return <-text
}

// Main runs a package's tests, and fails if goroutines or descriptors are left
// open after them.
func Main(m *testing.M) {
	before := descriptors()
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines left behind:", err)
			code = 1
		}
		for fd, what := range descriptors() {
			if _, ok := before[fd]; !ok && !strings.HasPrefix(what, "anon_inode:[event") {
				fmt.Fprintf(os.Stderr, "descriptor left open: %s is %s\n", fd, what)
				code = 1
			}
		}
	}
	os.Exit(code)
}

// descriptors lists what is open; Go's poller opens two of its own.
func descriptors() map[string]string {
	open := map[string]string{}
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if what, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			open[e.Name()] = what
		}
	}
	return open
}
