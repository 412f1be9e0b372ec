//go:build linux && amd64

package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// programPackages are Debian's packages of programs that tests of netlink want.
// What the host has not installed is fetched, and stays in the cache.
var programPackages = map[string]string{
	"bridge": "iproute2", "devlink": "iproute2", "genl": "iproute2", "ip": "iproute2", "tc": "iproute2",
	"ethtool": "ethtool", "ipvsadm": "ipvsadm", "iw": "iw", "wg": "wireguard-tools",
}

// addProgram puts a program into the guest, by its name or its path, and
// returns where it is there.
func addProgram(r *initramfs, name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		if path, err = filepath.Abs(path); err != nil {
			return "", err
		}
		return path, addBinary(r, "/", path)
	}
	if strings.Contains(name, "/") {
		return "", notFound(name)
	}
	for _, dir := range []string{"/usr/sbin/", "/sbin/"} { // of which users have not heard
		if path := dir + name; isThere(path) {
			return path, addBinary(r, "/", path)
		}
	}
	debianPackage := programPackages[name]
	if debianPackage == "" {
		return "", notFound(name)
	}
	root, err := cached("program-"+name, func(dir string) error {
		fmt.Fprintf(os.Stderr, "lab: fetching %s\n", debianPackage)
		return unpackAll(debianPackage, dir)
	})
	if err != nil {
		return "", fmt.Errorf("program %s: %w", name, err)
	}
	for _, dir := range []string{"/usr/sbin/", "/sbin/", "/usr/bin/", "/bin/"} {
		if path := dir + name; isThere(root + path) {
			return path, addBinary(r, root, path)
		}
	}
	return "", fmt.Errorf("package %s has no program %s", debianPackage, name)
}

func notFound(name string) error {
	return fmt.Errorf("no program %s: %w", name, exec.ErrNotFound)
}

// unpackAll unpacks a package and those that it needs and the host has not.
func unpackAll(name, dir string) error {
	todo, seen := []string{name}, map[string]bool{}
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if seen[name] {
			continue
		}
		seen[name] = true
		status, _ := hostOutput("dpkg-query", "-W", "-f", "${Status}", name)
		if string(status) == "install ok installed" {
			continue
		}
		s, err := describe(name)
		if errors.Is(err, errNoPackage) && len(seen) > 1 {
			continue // a name that several provide, and no library's
		}
		if err != nil {
			return err
		}
		if err := unpack(name, dir); err != nil {
			return err
		}
		todo = append(todo, s.depends()...)
	}
	return nil
}

// libraryDirs is where the dynamic linker of Debian looks.
var libraryDirs = []string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"}

// addBinary puts a file into the guest and, if it is dynamically linked, the
// linker and all libraries, which are under root or the host's own.
func addBinary(r *initramfs, root, path string) error {
	todo := []string{path}
	for len(todo) > 0 {
		path := todo[0]
		todo = todo[1:]
		host := filepath.Join(root, path)
		if !isThere(host) {
			host = path
		}
		if err := r.copy(host, path); err != nil {
			return err
		}
		needs, err := linked(host)
		if err != nil {
			return err
		}
		for _, need := range needs {
			library, err := findLibrary(root, need)
			if err != nil {
				return fmt.Errorf("program %s: %w", path, err)
			}
			if !r.names[inGuest(library)] {
				todo = append(todo, library)
			}
		}
	}
	return nil
}

// linked lists the libraries that an ELF file names, and its linker.
func linked(path string) ([]string, error) {
	f, err := elf.Open(path)
	if format := (*elf.FormatError)(nil); errors.As(err, &format) {
		return nil, nil // a script
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	libraries, err := f.ImportedLibraries()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if section := f.Section(".interp"); section != nil {
		name, err := section.Data()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		libraries = append(libraries, strings.TrimRight(string(name), "\x00"))
	}
	return libraries, nil
}

func findLibrary(root, name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	for _, root := range slices.Compact([]string{root, "/"}) {
		for _, dir := range libraryDirs {
			if path := filepath.Join(dir, name); isThere(filepath.Join(root, path)) {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("needs the library %s, which is not there", name)
}
