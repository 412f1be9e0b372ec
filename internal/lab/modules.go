//go:build linux && amd64

package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// module is a module as the guest needs it.
type module struct {
	Name    string
	Path    string   // in the guest
	Needs   []string // what has to be there first
	Aliases []string // the names by which the kernel asks for it
	data    []byte
}

// moduleTree is the modules of a kernel.
type moduleTree struct {
	kernel  *kernel
	files   map[string]string // by name
	builtin map[string]bool
}

func openModules(k *kernel) (*moduleTree, error) {
	t := &moduleTree{kernel: k, files: map[string]string{}, builtin: map[string]bool{}}
	err := filepath.WalkDir(k.modules, func(path string, _ fs.DirEntry, err error) error {
		if name, ok := moduleName(path); ok {
			t.files[name] = path
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	builtin, err := os.ReadFile(filepath.Join(k.modules, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	for _, path := range strings.Fields(string(builtin)) {
		if name, ok := moduleName(path); ok {
			t.builtin[name] = true
		}
	}
	return t, nil
}

// moduleName is the name of a module by its file's.
func moduleName(path string) (string, bool) {
	name := filepath.Base(path)
	for _, packed := range []string{".xz", ".zst", ".gz"} {
		name = strings.TrimSuffix(name, packed)
	}
	name, ok := strings.CutSuffix(name, ".ko")
	return underscores(name), ok
}

// underscores is a module's name as the kernel writes it: - and _ are the same.
func underscores(name string) string { return strings.ReplaceAll(name, "-", "_") }

// read reads a module. Those that are packed are kept unpacked in the cache, as
// xz takes longer than all else that is done for a run.
func (t *moduleTree) read(name string) (*module, error) {
	path, ok := t.files[name]
	if !ok {
		return nil, fmt.Errorf("kernel %s (%s) has no module %s", t.kernel.name, t.kernel.release, name)
	}
	if filepath.Ext(path) != ".ko" {
		packed := path
		path = filepath.Join(t.kernel.dir, "unpacked", name+".ko")
		if !isThere(path) {
			if err := unpackModule(packed, path); err != nil {
				return nil, err
			}
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	info, err := modinfo(data)
	if err != nil {
		return nil, fmt.Errorf("module %s: %w", name, err)
	}
	return &module{
		Name:    name,
		Path:    "/lib/modules/" + t.kernel.release + "/" + name + ".ko",
		Needs:   info.needs(func(name string) bool { return t.files[name] != "" }),
		Aliases: info["alias"],
		data:    data,
	}, nil
}

// unpackModule makes a file of a packed one; half of it is never seen.
func unpackModule(packed, path string) error {
	data, err := os.ReadFile(packed)
	if err != nil {
		return err
	}
	if data, err = decompress(data); err != nil {
		return fmt.Errorf("%s: %w", packed, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), unfinished)
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// info is what a module says of itself in its section .modinfo.
type info map[string][]string

func modinfo(file []byte) (info, error) {
	f, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("has no section .modinfo")
	}
	data, err := section.Data()
	if err != nil {
		return nil, err
	}
	return parseInfo(data), nil
}

func parseInfo(section []byte) info {
	i := info{}
	for entry := range bytes.SplitSeq(section, []byte{0}) {
		if key, value, ok := strings.Cut(string(entry), "="); ok {
			i[key] = append(i[key], value)
		}
	}
	return i
}

// needs lists the modules that have to be there before this one, in order. What
// the module can do without (softdep) is left out if there is none.
func (i info) needs(exists func(string) bool) []string {
	var needs []string
	add := func(name string) {
		if name != "" && !slices.Contains(needs, name) {
			needs = append(needs, name)
		}
	}
	for _, softdep := range i["softdep"] { // "pre: a b post: c"
		before := false
		for _, word := range strings.Fields(softdep) {
			switch {
			case strings.HasSuffix(word, ":"):
				before = word == "pre:"
			case before:
				// An algorithm may stand there, which several modules have: take the one
				// in C, which runs on every CPU.
				word = underscores(strings.TrimPrefix(word, "crypto-"))
				candidates := []string{word + "_generic", word}
				if n := slices.IndexFunc(candidates, exists); n >= 0 {
					add(candidates[n])
				}
			}
		}
	}
	for _, depends := range i["depends"] {
		for name := range strings.SplitSeq(depends, ",") {
			add(underscores(name))
		}
	}
	return needs
}

// closure lists modules with all that they need, which comes first. Of those
// that are built into the kernel it makes nothing.
func closure(names []string, builtin func(string) bool, read func(string) (*module, error)) ([]*module, error) {
	var all []*module
	seen := map[string]bool{}
	var visit func(name, by string) error
	visit = func(name, by string) error {
		name = underscores(name)
		if seen[name] || builtin(name) {
			return nil
		}
		seen[name] = true
		m, err := read(name)
		if err != nil {
			if by != "" {
				err = fmt.Errorf("module %s needs %s: %w", by, name, err)
			}
			return err
		}
		for _, need := range m.Needs {
			if err := visit(need, name); err != nil {
				return err
			}
		}
		all = append(all, m)
		return nil
	}
	for _, name := range names {
		if err := visit(name, ""); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// listFamilies writes the modules that have families.
func listFamilies(w io.Writer, k *kernel) error {
	t, err := openModules(k)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(t.files)) {
		m, err := t.read(name)
		if err != nil {
			return err
		}
		if !bytes.Contains(m.data, []byte("genl_register_family\x00")) {
			continue
		}
		var families []string
		for _, alias := range m.Aliases {
			if family, ok := strings.CutPrefix(alias, familyAlias); ok {
				families = append(families, family)
			}
		}
		fmt.Fprintln(w, strings.Join(append([]string{name}, families...), " "))
	}
	return nil
}

// familyAlias and a family's name are what the kernel asks modprobe for.
const familyAlias = "net-pf-16-proto-16-family-"
