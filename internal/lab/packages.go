//go:build linux && amd64

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// cacheEnv names the folder that packages are kept in.
const cacheEnv = "GNL_LAB_CACHE"

func cacheDir() (string, error) {
	if dir := os.Getenv(cacheEnv); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no place to keep kernels in: %w: set %s", err, cacheEnv)
	}
	return filepath.Join(dir, "gnl-lab"), nil
}

const unfinished = "unfinished-"

// cached returns the folder of a name in the cache. If it is not there, fill
// makes it. What fill leaves half done never gets the name, whatever happens,
// and of two processes one waits for the other.
func cached(name string, fill func(dir string) error) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, name)
	if isThere(dir) {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close() // which unlocks, as the end of the process would
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if isThere(dir) {
		return dir, nil
	}
	// Whoever made these is gone: the lock is ours.
	left, _ := filepath.Glob(filepath.Join(cache, unfinished+"*"))
	for _, dir := range left {
		_ = os.RemoveAll(dir)
	}
	tmp, err := os.MkdirTemp(cache, unfinished)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	fresh := filepath.Join(tmp, name)
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return "", err
	}
	if err := fill(fresh); err != nil {
		return "", err
	}
	return dir, os.Rename(fresh, dir)
}

func isThere(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// stanza is what apt knows of a package.
type stanza map[string]string

// parseStanza reads the first paragraph of Debian's control format.
func parseStanza(text string) stanza {
	s := stanza{}
	field := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "":
			return s
		case line[0] == ' ' || line[0] == '\t':
			s[field] += "\n" + line
		default:
			name, value, _ := strings.Cut(line, ":")
			field = name
			s[field] = strings.TrimSpace(value)
		}
	}
	return s
}

// depends lists the names of the packages that this one needs. Of alternatives
// it takes the first, as apt does.
func (s stanza) depends() []string {
	var names []string
	for _, field := range []string{"Pre-Depends", "Depends"} {
		for dependency := range strings.SplitSeq(s[field], ",") {
			first, _, _ := strings.Cut(dependency, "|")
			name, _, _ := strings.Cut(strings.TrimSpace(first), " ")
			if name, _, _ = strings.Cut(name, ":"); name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

var errNoPackage = errors.New("apt knows no such package")

// describe asks apt for a package. If it knows nothing at all, its lists may
// never have been fetched.
func describe(name string) (stanza, error) {
	ask := func() (stanza, error) {
		out, err := hostOutput("apt-cache", "show", "--no-all-versions", name)
		if s := parseStanza(string(out)); s["Package"] == name {
			return s, nil
		}
		if errors.Is(err, exec.ErrNotFound) {
			return nil, errNoApt
		}
		return nil, fmt.Errorf("package %s: %w", name, errNoPackage)
	}
	s, err := ask()
	if !errors.Is(err, errNoPackage) || updateLists() != nil {
		return s, err
	}
	return ask()
}

// unpack downloads a package and puts its files into dir.
func unpack(name, dir string) error {
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "download-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	download := func() error {
		// Its sandbox's user may not be allowed to write here.
		c := exec.Command("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name)
		c.Dir = tmp
		out, err := c.CombinedOutput()
		switch {
		case errors.Is(err, exec.ErrNotFound):
			return errNoApt
		case err != nil:
			return fmt.Errorf("apt-get download %s: %w\n%s", name, err, bytes.TrimSpace(out))
		}
		return nil
	}
	err = download()
	if err != nil && updateLists() == nil { // a mirror drops the versions that old lists name
		err = download()
	}
	if err != nil {
		return err
	}
	files, _ := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if len(files) != 1 {
		return fmt.Errorf("apt-get download %s left %d packages", name, len(files))
	}
	if _, err := hostOutput("dpkg", "-x", files[0], dir); err != nil {
		return err
	}
	return nil
}

var (
	errNoApt   = errors.New("the lab's kernels are Debian packages, and here is no apt-get: run it on Debian")
	errNotRoot = errors.New("not root")
	updated    bool
)

// updateLists runs apt-get update, once, if it may.
func updateLists() error {
	switch {
	case updated:
		return nil
	case os.Geteuid() != 0:
		return errNotRoot
	}
	updated = true
	_, err := hostOutput("apt-get", "-q", "update")
	return err
}

// hostOutput runs a program of the host's and returns its output.
func hostOutput(name string, args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	c := exec.Command(name, args...)
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		return out, fmt.Errorf("%s: %w: %s", strings.Join(c.Args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}
