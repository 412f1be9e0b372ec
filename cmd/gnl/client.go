package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/internal/unix"
	"github.com/gnlgo/gnl/netlink"
	"github.com/spf13/cobra"
)

// connect opens a client as the global flags say. What done returns must be
// called when it is not needed any more.
func (a *app) connect() (client *gnl.Client, done func(), err error) {
	config := gnl.Config{Warn: func(err error) { a.say("warning: %v", strings.TrimPrefix(err.Error(), "gnl: ")) }}
	if a.netns != "" {
		if config.Socket.Namespace, err = openNamespace(a.netns); err != nil {
			return nil, nil, err
		}
	}
	if a.verbose {
		config.Socket.Trace = a.trace
	}
	client, err = gnl.Open(&config)
	if err != nil {
		config.Socket.Namespace.Close()
		return nil, nil, err
	}
	return client, func() {
		client.Close()
		config.Socket.Namespace.Close()
	}, nil
}

// limited is ctx limited by --timeout, for requests.
func (a *app) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if a.timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, a.timeout)
}

// trace writes a message, decoded, to stderr.
func (a *app) trace(direction netlink.Direction, m netlink.Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	gnl.WriteMessage(a.errOut, direction, m, a.headerSizes[m.Type])
}

// traceHeader tells trace that a family has a header of its own.
func (a *app) traceHeader(f *gnl.Family) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.headerSizes == nil {
		a.headerSizes = map[uint16]int{}
	}
	a.headerSizes[f.ID] = int(f.HeaderSize+3) &^ 3
}

// writeDocument writes v as one JSON document.
func (a *app) writeDocument(v any) error { return a.writeJSON(v, "  ") }

// writeLine writes v as JSON on one line.
func (a *app) writeLine(v any) error { return a.writeJSON(v, "") }

func (a *app) writeJSON(v any, indent string) error {
	e := json.NewEncoder(a.out) // which writes it all at once
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	return e.Encode(v)
}

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
	case errors.Is(err, unix.EINVAL):
		ns.Close()
		return nil, fmt.Errorf("%s is not a network namespace", name)
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

func completeNamespaces(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return namespaces(), cobra.ShellCompDirectiveDefault
}

// completeFamilies completes the names of families that choose picks, with the
// words it gives for each.
func (a *app) complete(words func(gnl.Family) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		client, done, err := a.connect()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		defer done()
		ctx, cancel := a.limited(cmd.Context())
		defer cancel()
		families, err := client.Families(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var all []cobra.Completion
		for _, f := range families {
			for _, w := range words(f) {
				if !slices.Contains(args, w) {
					all = append(all, w)
				}
			}
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFamily completes one argument, the name of a family.
func (a *app) completeFamily() cobra.CompletionFunc {
	names := a.complete(func(f gnl.Family) []string { return []string{f.Name} })
	return func(cmd *cobra.Command, args []string, given string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(cmd, args, given)
	}
}
