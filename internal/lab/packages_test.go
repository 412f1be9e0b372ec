//go:build linux && amd64

package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const image = `Package: linux-image-6.12-amd64
Version: 6.12.117-1
Pre-Depends: dpkg (>= 1.0)
Depends: linux-image-6.12.117+deb12-amd64 (= 6.12.117-1), default-mta | mail-transport-agent, python3:any
Description: Linux
 of several
 lines

Package: another
`

func TestAStanzaIsReadToItsEnd(t *testing.T) {
	s := parseStanza(image)
	if s["Package"] != "linux-image-6.12-amd64" || s["Version"] != "6.12.117-1" || s["Description"] != "Linux\n of several\n lines" {
		t.Errorf("%q", s)
	}
	if got := s.depends(); !slices.Equal(got, []string{"dpkg", "linux-image-6.12.117+deb12-amd64", "default-mta", "python3"}) {
		t.Errorf("%q", got)
	}
}

func TestTheNewestKernelOfASeriesIsFoundByItsMetaPackage(t *testing.T) {
	known := map[string]string{
		"linux-image-6.12-amd64":  "linux-image-6.12.117+deb12-amd64 (= 6.12.117-1)",
		"linux-image-amd64":       "linux-image-6.1.0-56-amd64 (= 6.1.192-2)",
		"linux-image-cloud-amd64": "linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)",
	}
	describe := func(name string) (stanza, error) {
		if depends, ok := known[name]; ok {
			return stanza{"Package": name, "Depends": depends}, nil
		}
		return nil, errNoPackage
	}
	for name, want := range map[string]string{
		"6.12": "linux-image-6.12.117+deb12-amd64", "6.1": "linux-image-6.1.0-56-amd64", "6.1-cloud": "linux-image-6.1.0-56-cloud-amd64",
		"6.12-cloud": "", "6.18": "",
	} {
		got, err := imagePackage(name, describe)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestOfSeveralOneFillsTheCache(t *testing.T) {
	t.Setenv(cacheEnv, t.TempDir())
	var filled atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			dir, err := cached("thing", func(dir string) error {
				filled.Add(1)
				time.Sleep(20 * time.Millisecond)
				return os.WriteFile(filepath.Join(dir, "file"), []byte("whole"), 0o644)
			})
			if err != nil {
				t.Error(err)
				return
			}
			if b, err := os.ReadFile(filepath.Join(dir, "file")); string(b) != "whole" {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
	all.Wait()
	if filled.Load() != 1 {
		t.Errorf("filled %d times", filled.Load())
	}
}

func TestWhatIsHalfDoneIsNotTakenForWhole(t *testing.T) {
	cache := t.TempDir()
	t.Setenv(cacheEnv, cache)
	// As a process leaves it that was killed.
	if err := os.Mkdir(filepath.Join(cache, unfinished+"1"), 0o755); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if _, err := cached("thing", func(dir string) error {
		if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
			t.Error(err)
		}
		return broken
	}); !errors.Is(err, broken) {
		t.Error(err)
	}
	left, err := os.ReadDir(cache)
	if err != nil || len(left) != 1 || left[0].Name() != "lock" {
		t.Errorf("left: %v, %v", left, err)
	}
	if _, err := cached("thing", func(string) error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestAnUnknownKernelIsExplained(t *testing.T) {
	for _, name := range []string{"", "five", "6", "6.1-rt", "../6.1"} {
		if _, err := openKernel(name); err == nil || !strings.Contains(err.Error(), "there are uml, 6.1") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
