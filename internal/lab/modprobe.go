//go:build linux && amd64

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// modprobe is the guest's /sbin/modprobe, as far as the kernel and tests use
// kmod's: by name or alias, with parameters, and -r to remove.
func modprobe(args []string) int {
	remove, quiet, options := false, false, true
	var words []string
	for _, arg := range args {
		switch {
		case options && arg == "--":
			options = false
		case options && strings.HasPrefix(arg, "-"):
			switch arg {
			case "-r", "--remove":
				remove = true
			case "-q", "--quiet":
				quiet = true
			default:
				fmt.Fprintf(os.Stderr, "modprobe: the lab's modprobe has no option %s\n", arg)
				return exitUsage
			}
		default:
			words = append(words, arg)
		}
	}
	if len(words) == 0 {
		fmt.Fprintln(os.Stderr, "modprobe: no module was named")
		return exitUsage
	}
	j, err := readJob()
	switch {
	case err != nil:
	case remove:
		for _, name := range words {
			err = errors.Join(err, j.unload(name))
		}
	default:
		err = j.load(words[0], strings.Join(words[1:], " "))
	}
	if err != nil {
		if !quiet || !errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintln(os.Stderr, "modprobe: FATAL:", err)
		}
		return 1
	}
	return 0
}

// find lists the modules of a name or an alias; none of them if the kernel has
// it built in.
func (j *job) find(name string) ([]*module, error) {
	name = underscores(name)
	var found []*module
	for _, m := range j.Modules {
		if m.Name == name || slices.ContainsFunc(m.Aliases, func(alias string) bool { return underscores(alias) == name }) {
			found = append(found, m)
		}
	}
	if found == nil && !slices.Contains(j.Builtin, name) {
		return nil, fmt.Errorf("module %s: %w in the guest: see lab's --modules and --autoload", name, fs.ErrNotExist)
	}
	return found, nil
}

// load inserts the modules of a name or an alias, and before them what they need.
func (j *job) load(name, parameters string) error {
	found, err := j.find(name)
	if err != nil {
		return err
	}
	for _, m := range found {
		for _, need := range m.Needs {
			if needed, _ := j.find(need); needed == nil {
				continue // built in
			}
			if err := j.load(need, ""); err != nil {
				return err
			}
		}
		if err := insert(m, parameters); err != nil {
			return err
		}
	}
	return nil
}

func insert(m *module, parameters string) error {
	f, err := os.Open(m.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), parameters, 0); err != nil && err != unix.EEXIST {
		return fmt.Errorf("insert module %s: %w", m.Name, err)
	}
	return nil
}

// unload removes the modules of a name or an alias, and then what they needed
// and nothing else does.
func (j *job) unload(name string) error {
	found, err := j.find(name)
	if err != nil {
		return err
	}
	for _, m := range found {
		if err := unix.DeleteModule(m.Name, unix.O_NONBLOCK); err != nil && err != unix.ENOENT { // it is not there
			return fmt.Errorf("remove module %s: %w", m.Name, err)
		}
		for _, need := range slices.Backward(m.Needs) {
			_ = j.unload(need) // which fails if it is in use
		}
	}
	return nil
}
