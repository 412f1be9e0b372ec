//go:build linux && amd64

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// kernel is a kernel of the cache.
type kernel struct {
	name    string // as it was asked for
	release string // what uname -r says
	image   string // an ELF file: User-Mode Linux, or a vmlinux
	dir     string // where it was unpacked
	modules string // lib/modules/RELEASE
	uml     bool
}

var series = regexp.MustCompile(`^([0-9]+\.[0-9]+)(-cloud)?$`)

// openKernel finds a kernel in the cache, or fetches it.
func openKernel(name string) (*kernel, error) {
	if name != "uml" && !series.MatchString(name) {
		return nil, fmt.Errorf("unknown kernel %q: there are uml, 6.1, 6.12, 6.1-cloud and 6.12-cloud", name)
	}
	dir, err := cached("kernel-"+name, func(dir string) error { return fetchKernel(name, dir) })
	if err != nil {
		return nil, fmt.Errorf("kernel %s: %w", name, err)
	}
	k := &kernel{name: name, dir: dir, uml: name == "uml"}
	modules := "lib/modules/*"
	k.image = filepath.Join(dir, "vmlinux")
	if k.uml {
		modules = "usr/lib/uml/modules/*"
		k.image = filepath.Join(dir, "usr/bin/linux.uml")
	}
	found, _ := filepath.Glob(filepath.Join(dir, modules))
	if len(found) != 1 || !isThere(k.image) {
		return nil, fmt.Errorf("kernel %s: %s is not what it was when it was fetched: remove it", name, dir)
	}
	k.modules, k.release = found[0], filepath.Base(found[0])
	return k, nil
}

func fetchKernel(name, dir string) error {
	fmt.Fprintf(os.Stderr, "lab: fetching kernel %s\n", name)
	if name == "uml" {
		return unpack("user-mode-linux", dir)
	}
	image, err := imagePackage(name, describe)
	if err != nil {
		return err
	}
	if err := unpack(image, dir); err != nil {
		return err
	}
	boot, _ := filepath.Glob(filepath.Join(dir, "boot/vmlinuz-*"))
	if len(boot) != 1 {
		return fmt.Errorf("package %s has %d kernels in boot", image, len(boot))
	}
	compressed, err := os.ReadFile(boot[0])
	if err != nil {
		return err
	}
	vmlinux, err := unpackImage(compressed)
	if err != nil {
		return fmt.Errorf("package %s: %w", image, err)
	}
	return os.WriteFile(filepath.Join(dir, "vmlinux"), vmlinux, 0o644)
}

// imagePackage finds the package of the newest kernel of a series. Its name has
// the version in it, but a package of a name that stays depends on it: that of
// the series, or the one of the release's own kernel.
func imagePackage(name string, describe func(string) (stanza, error)) (string, error) {
	m := series.FindStringSubmatch(name)
	flavour := "amd64"
	if m[2] != "" {
		flavour = "cloud-amd64"
	}
	for _, meta := range []string{"linux-image-" + m[1] + "-" + flavour, "linux-image-" + flavour} {
		s, err := describe(meta)
		if errors.Is(err, errNoPackage) {
			continue
		}
		if err != nil {
			return "", err
		}
		for _, image := range s.depends() {
			if strings.HasPrefix(image, "linux-image-"+m[1]+".") {
				return image, nil
			}
		}
	}
	return "", fmt.Errorf("apt knows no package of Linux %s: run apt-get update; Debian 12 has 6.1 and 6.12", m[1])
}
