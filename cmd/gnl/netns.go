package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gnlgo/gnl/internal/unix"
	"github.com/gnlgo/gnl/netlink"
)

// namespaceDirs are where "ip netns" keeps the namespaces that it names.
var namespaceDirs = []string{"/run/netns", "/var/run/netns"}

// openNamespace opens the network namespace that --netns names.
func openNamespace(name string) (*netlink.Namespace, error) {
	ns, err := findNamespace(name)
	if err != nil {
		return nil, err
	}
	// To enter it once tells what is wrong with it.
	switch err := ns.Do(func() error { return nil }); {
	case errors.Is(err, unix.EPERM):
		ns.Close()
		return nil, fmt.Errorf("not permitted to enter network namespace %s: that takes CAP_SYS_ADMIN%s", name, unlessRoot())
	case err != nil:
		ns.Close()
		return nil, fmt.Errorf("--netns %s: %w", name, err)
	}
	return ns, nil
}

func findNamespace(name string) (*netlink.Namespace, error) {
	if strings.Contains(name, "/") {
		return explainOpen(name, name)
	}
	for _, dir := range namespaceDirs {
		path := filepath.Join(dir, name)
		if s, err := os.Stat(path); err == nil && !s.IsDir() {
			return explainOpen(name, path)
		}
	}
	if pid, err := strconv.ParseUint(name, 10, 31); err == nil {
		path := fmt.Sprintf("/proc/%d/ns/net", pid)
		ns, err := explainOpen(name, path)
		if errors.Is(err, os.ErrNotExist) {
			err = fmt.Errorf("no process %s, and no network namespace of that name: %s", name, namespacesThereAre())
		}
		return ns, err
	}
	return nil, fmt.Errorf("no network namespace %q: %s", name, namespacesThereAre())
}

func explainOpen(name, path string) (*netlink.Namespace, error) {
	ns, err := netlink.OpenNamespace(path)
	switch {
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("not permitted to open %s: another user's namespace takes CAP_SYS_PTRACE%s", path, unlessRoot())
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("no network namespace at %s: %w", path, os.ErrNotExist)
	case errors.Is(err, unix.EINVAL):
		return nil, fmt.Errorf("%s is not a network namespace", name)
	case err != nil:
		return nil, fmt.Errorf("--netns %s: %w", name, err)
	}
	return ns, nil
}

func namespacesThereAre() string {
	if names := namespaces(); len(names) > 0 {
		return "those there are: " + strings.Join(names, ", ")
	}
	return "there are none with a name (ip netns add makes one)"
}

// namespaces lists the network namespaces that have names.
func namespaces() []string {
	var names []string
	for _, dir := range namespaceDirs {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if !e.IsDir() && !slices.Contains(names, e.Name()) {
				names = append(names, e.Name())
			}
		}
	}
	return names
}
