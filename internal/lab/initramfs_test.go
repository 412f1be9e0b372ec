//go:build linux && amd64

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// entries reads an archive: name, mode and data of each.
func entries(t *testing.T, archive []byte) (all []string) {
	t.Helper()
	for at := 0; ; {
		header := archive[at:]
		if string(header[:6]) != "070701" {
			t.Fatalf("no header at %d: %q", at, header[:6])
		}
		field := func(i int) int {
			n, err := strconv.ParseUint(string(header[6+8*i:14+8*i]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
		name := string(header[110 : 110+field(11)-1])
		data := (at + 110 + field(11) + 3) &^ 3
		at = (data + field(6) + 3) &^ 3
		if name == "TRAILER!!!" {
			return all
		}
		all = append(all, name+" "+strconv.FormatInt(int64(field(1)), 8)+" "+string(archive[data:data+field(6)]))
	}
}

func TestTheInitramfsHasFoldersBeforeFilesAndEachOnce(t *testing.T) {
	var b bytes.Buffer
	r := newInitramfs(&b)
	r.file("/bin/sh", 0o755, []byte("shell"))
	r.file("usr/bin/sh", 0o755, []byte("another"))
	r.file("/a/b/c", 0o600, []byte("12345"))
	r.symlink("a/link", "/a/b")
	r.device("dev/null", 1, 3)
	r.dir("/")
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"usr 40755 ", "usr/bin 40755 ", "bin 120777 usr/bin", "usr/sbin 40755 ", "sbin 120777 usr/sbin", "usr/lib 40755 ", "lib 120777 usr/lib",
		"usr/lib64 40755 ", "lib64 120777 usr/lib64",
		"usr/bin/sh 100755 shell", "a 40755 ", "a/b 40755 ", "a/b/c 100600 12345", "a/link 120777 /a/b", "dev 40755 ", "dev/null 20600 ",
	}
	if got := entries(t, b.Bytes()); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestAFolderIsCopiedWithWhatLinksLeadTo(t *testing.T) {
	host := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(host, "d", "empty"), 0o755),
		os.WriteFile(filepath.Join(host, "d", "f"), []byte("text"), 0o640),
		os.Symlink("f", filepath.Join(host, "d", "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	r := newInitramfs(&b)
	if err := r.copy(host, "/guest"); err != nil {
		t.Fatal(err)
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(entries(t, b.Bytes())[9:], "; ")
	if got != "guest 40755 ; guest/d 40755 ; guest/d/empty 40755 ; guest/d/f 100640 text; guest/d/link 100640 text" {
		t.Error(got)
	}
}
