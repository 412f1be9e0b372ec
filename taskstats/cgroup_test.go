//go:build linux

package taskstats

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gnlgo/gnl/internal/testenv"
)

// cgroupMount finds where a hierarchy is mounted: the file system is cgroup or
// cgroup2, and options tell hierarchies of version 1 apart.
func cgroupMount(t *testing.T, fileSystem, option string) string {
	t.Helper()
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if fields[2] == fileSystem && strings.Contains(","+fields[3]+",", ","+option+",") {
			return fields[1]
		}
	}
	testenv.Missing(t, "no %s with %s is mounted", fileSystem, option)
	return ""
}

func TestCgroupV1(t *testing.T) {
	c, _ := open(t)
	ctx := t.Context()
	root := cgroupMount(t, "cgroup", "cpu")
	whole, err := c.Cgroup(ctx, root)
	if err != nil {
		t.Fatal(err)
	}
	if whole.Running == 0 || whole.Sleeping == 0 {
		t.Errorf("root: %+v", whole)
	}

	dir, err := os.MkdirTemp(root, "taskstats-test-")
	if err != nil {
		testenv.Missing(t, "cannot make a cgroup: %v", err)
	}
	removed := false
	defer func() {
		if !removed {
			_ = os.Remove(dir)
		}
	}()
	if s, err := c.Cgroup(ctx, dir); err != nil || s != (CgroupStats{}) {
		t.Fatalf("empty: %+v, %v", s, err)
	}
	var children []*exec.Cmd
	end := func() {
		for _, cmd := range children {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		children = nil
	}
	defer end()
	for _, script := range []string{"exec cat", "exec cat", "kill -STOP $$", "while :; do :; done"} {
		cmd := exec.Command("sh", "-c", script)
		if _, err := cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		children = append(children, cmd)
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
			t.Fatal(err)
		}
	}
	want := CgroupStats{Sleeping: 2, Running: 1, Stopped: 1}
	var s CgroupStats
	for range 500 {
		if s, err = c.Cgroup(ctx, dir); err != nil || s == want {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if s != want || err != nil {
		t.Errorf("%+v, %v, want %+v", s, err, want)
	}

	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if s, err = c.CgroupFD(ctx, int(f.Fd())); s != want || err != nil {
		t.Errorf("by descriptor: %+v, %v", s, err)
	}

	// Removed while it is open.
	end()
	for range 500 {
		if err = os.Remove(dir); err == nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	removed = true
	// A cgroup that somebody has open may still answer.
	if s, err = c.CgroupFD(ctx, int(f.Fd())); s != (CgroupStats{}) || err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed: %+v, %v", s, err)
	}
	_, err = c.Cgroup(ctx, dir)
	if want := "taskstats: cgroup " + dir + ": no such file or directory"; !errors.Is(err, fs.ErrNotExist) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestNoCgroup(t *testing.T) {
	c, _ := open(t)
	ctx := t.Context()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	const v2 = ": this is a cgroup of version 2, and the kernel has such counts for version 1 only: invalid argument"
	const other = ": this is not the directory of a cgroup (of version 1): invalid argument"
	type test struct {
		path string
		is   error
		text string
	}
	tests := []test{
		{dir, syscall.EINVAL, other},
		{"/proc", syscall.EINVAL, other},
		{file, syscall.ENOTDIR, ": not a directory"},
		{pipe, syscall.ENOTDIR, ": not a directory"},
		{filepath.Join(dir, "none"), fs.ErrNotExist, ": no such file or directory"},
		{"", fs.ErrNotExist, ": no such file or directory"},
	}
	if mount := cgroupMount(t, "cgroup2", "rw"); mount != "" {
		tests = append(tests, test{mount, syscall.EINVAL, v2})
		below, err := os.MkdirTemp(mount, "taskstats-test-")
		if err == nil {
			defer os.Remove(below)
			tests = append(tests, test{below, syscall.EINVAL, v2})
		}
	}
	if mount := cgroupMount(t, "cgroup", "cpu"); mount != "" {
		tests = append(tests, test{filepath.Join(mount, "cgroup.procs"), syscall.ENOTDIR, ": not a directory"})
	}
	for _, x := range tests {
		_, err := c.Cgroup(ctx, x.path)
		if !errors.Is(err, x.is) || err.Error() != "taskstats: cgroup "+x.path+x.text {
			t.Errorf("%s: %v, want %v", x.path, err, x.text)
		}
	}

	// Descriptors.
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(f.Fd())
	what := fmt.Sprintf("taskstats: cgroup of descriptor %d", fd)
	if _, err := c.CgroupFD(ctx, fd); !errors.Is(err, syscall.EINVAL) || err.Error() != what+other {
		t.Errorf("plain file: %v", err)
	}
	f.Close()
	if _, err := c.CgroupFD(ctx, 1<<20); !errors.Is(err, syscall.EBADF) ||
		err.Error() != "taskstats: cgroup of descriptor 1048576: the kernel cannot use the descriptor: bad file descriptor" {
		t.Errorf("not open: %v", err)
	}
	for _, fd := range []int{-1, overflow(math.MaxInt32)} {
		if _, err := c.CgroupFD(ctx, fd); !errors.Is(err, syscall.EBADF) {
			t.Errorf("%d: %v", fd, err)
		}
	}
	const oPath = 0x200000 // O_PATH
	fd, err = syscall.Open(dir, oPath|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if _, err := c.CgroupFD(ctx, fd); !errors.Is(err, syscall.EBADF) {
		t.Errorf("open as a path only: %v", err)
	}
}

// Task and cgroup statistics over one client, in turn.
func TestTasksAndCgroups(t *testing.T) {
	c, _ := open(t)
	mount := cgroupMount(t, "cgroup", "cpu")
	for range 100 {
		if s, err := c.PID(t.Context(), os.Getpid()); err != nil || s.PID != os.Getpid() {
			t.Fatal(err)
		}
		if s, err := c.Cgroup(t.Context(), mount); err != nil || s.Running+s.Sleeping == 0 {
			t.Fatal(s, err)
		}
	}
}
