//go:build linux && amd64

package main

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// initramfs writes the guest's file system, in the format that the kernel
// unpacks (cpio's newc: Documentation/driver-api/early-userspace/buffer-format.rst).
type initramfs struct {
	w     *bufio.Writer
	size  int64
	names map[string]bool
}

func newInitramfs(w io.Writer) *initramfs {
	r := &initramfs{w: bufio.NewWriterSize(w, 1<<20), names: map[string]bool{".": true}}
	for _, dir := range merged {
		r.dir("usr/" + dir)
		r.symlink(dir, "usr/"+dir)
	}
	return r
}

// merged is the folders that are one with those in /usr, as on Debian: /bin/sh
// and /usr/bin/sh are the same, whichever of them a program was found as.
var merged = []string{"bin", "sbin", "lib", "lib64"}

// inGuest is a path as the names of the archive have it.
func inGuest(name string) string {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if first, _, inside := strings.Cut(name, "/"); inside && slices.Contains(merged, first) {
		name = "usr/" + name
	}
	return name
}

// Kinds of files, for the mode.
const (
	typeDir     = 0o040000
	typeFile    = 0o100000
	typeDevice  = 0o020000
	typeSymlink = 0o120000
)

// add adds a file of any kind, with the folders above it. A name that is there
// already stays as it is. Errors stay with the writer until close.
func (r *initramfs) add(name string, mode, major, minor uint32, data []byte) {
	if name = inGuest(name); name == "" || r.names[name] {
		return
	}
	r.names[name] = true
	r.dir(path.Dir(name))
	r.record(name, mode, major, minor, data)
}

func (r *initramfs) record(name string, mode, major, minor uint32, data []byte) {
	// The fields: inode, mode, uid, gid, links, time, size, the device that it is
	// on, the device that it is, the length of its name, a checksum.
	r.write(fmt.Appendf(nil, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		len(r.names), mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name)+1, 0))
	r.write(append([]byte(name), 0))
	r.align()
	r.write(data)
	r.align()
}

func (r *initramfs) write(b []byte) {
	n, _ := r.w.Write(b)
	r.size += int64(n)
}

func (r *initramfs) align() { r.write(make([]byte, -r.size&3)) }

func (r *initramfs) dir(name string) { r.add(name, typeDir|0o755, 0, 0, nil) }
func (r *initramfs) symlink(name, target string) {
	r.add(name, typeSymlink|0o777, 0, 0, []byte(target))
}

func (r *initramfs) file(name string, perm fs.FileMode, data []byte) {
	r.add(name, typeFile|uint32(perm.Perm()), 0, 0, data)
}

func (r *initramfs) device(name string, major, minor uint32) {
	r.add(name, typeDevice|0o600, major, minor, nil)
}

// copy adds a file of the host's, or a folder with all that is in it. Symbolic
// links become what they lead to.
func (r *initramfs) copy(host, guest string) error {
	return filepath.WalkDir(host, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(host, path)
		if err != nil {
			return err
		}
		stat, err := os.Stat(path)
		switch {
		case err != nil:
			return err
		case stat.IsDir():
			r.dir(filepath.Join(guest, inside))
			return nil
		case !stat.Mode().IsRegular():
			return fmt.Errorf("%s is neither a file nor a folder", path)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		r.file(filepath.Join(guest, inside), stat.Mode(), data)
		return nil
	})
}

func (r *initramfs) close() error {
	r.record("TRAILER!!!", 0, 0, 0, nil)
	return r.w.Flush()
}
