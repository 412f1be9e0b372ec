//go:build linux && amd64

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// job is what the host wants done, in the file jobFile of the guest.
type job struct {
	Kernel   string
	Modules  []*module // all that modprobe is to know
	Builtin  []string  // those asked for that are part of the kernel
	Insert   []string  // those to insert, each a name with parameters
	Program  []string  // the path and the arguments
	Dir      string    // to run it in
	Env      []string
	Output   string   // the terminal that the program writes to
	Result   string   // the terminal that the result goes to
	Files    []string // to bring back, also those below of folders
	Globs    []string // to bring back, relative to Dir
	CleanEnd bool     // powering off ends the machine; else a reset does
}

const jobFile = "/lab.json"

// result is what the guest tells the host at the end.
type result struct {
	Code    int               // the exit code
	Problem string            // what the lab could not do
	Signal  string            // what killed the program
	Files   map[string][]byte // by the name that they had in the guest
	Booted  time.Duration     // when init began, from the kernel's start
	Loaded  time.Duration     // how long inserting the modules took
	Ran     time.Duration     // how long the program ran
}

func readJob() (*job, error) {
	text, err := os.ReadFile(jobFile)
	if err != nil {
		return nil, err
	}
	var j job
	if err := json.Unmarshal(text, &j); err != nil {
		return nil, fmt.Errorf("%s: %w", jobFile, err)
	}
	return &j, nil
}

// guestMain is /init. What it cannot even report goes to the console, and the
// end of init is the end of the machine.
func guestMain() {
	j, err := readJob()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
	res := result{Code: exitFailed, Booted: sinceBoot()}
	out, err := guestRun(j, &res)
	if err != nil {
		res.Problem = err.Error()
	}
	text, err := json.Marshal(res)
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
	}
	tty, err := openTerminal(j.Result)
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
	if _, err := tty.Write(text); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
	}
	for _, tty := range []*os.File{out, tty} {
		if tty != nil {
			_ = unix.IoctlSetInt(int(tty.Fd()), unix.TCSBRK, 1) // waits until all is out
		}
	}
	if j.CleanEnd {
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}

func guestRun(j *job, res *result) (out *os.File, err error) {
	if err := prepare(); err != nil {
		return nil, err
	}
	if out, err = openTerminal(j.Output); err != nil {
		return nil, err
	}
	start := sinceBoot()
	for _, name := range j.Insert {
		words := strings.Fields(name)
		if err := j.load(words[0], strings.Join(words[1:], " ")); err != nil {
			return out, err
		}
	}
	res.Loaded = sinceBoot() - start

	for _, env := range j.Env {
		name, value, _ := strings.Cut(env, "=")
		os.Setenv(name, value)
	}
	for _, dir := range append([]string{j.Dir}, j.Files...) {
		if strings.HasSuffix(dir, "/") || dir == j.Dir {
			err = os.MkdirAll(dir, 0o755)
		} else {
			err = os.MkdirAll(filepath.Dir(dir), 0o755)
		}
		if err != nil {
			return out, err
		}
	}
	start = sinceBoot()
	err = runProgram(j, out, res)
	res.Ran = sinceBoot() - start
	if err != nil {
		return out, err
	}
	res.Files, err = bringBack(j)
	return out, err
}

// mounts is the guest's file systems. The root is one already, in memory, where
// /tmp and all else are. The cgroup hierarchies are as in Debian's hybrid mode:
// tests want those of both versions.
var mounts = []struct {
	kind, dir, options string
	optional           bool // some kernels have none
}{
	{"proc", "/proc", "", false},
	{"sysfs", "/sys", "", false},
	{"devtmpfs", "/dev", "", false},
	{"devpts", "/dev/pts", "", false},
	{"tmpfs", "/dev/shm", "", false},
	{"tmpfs", "/run", "", false},
	{"tmpfs", "/sys/fs/cgroup", "", true},
	{"cgroup2", "/sys/fs/cgroup/unified", "", true},
	{"cgroup", "/sys/fs/cgroup/cpu", "cpu,cpuacct", true},
	{"debugfs", "/sys/kernel/debug", "", true},
	{"tracefs", "/sys/kernel/tracing", "", true},
}

// prepare makes a Linux system of a kernel that has just started.
func prepare() error {
	unix.Umask(0o022)
	for _, m := range mounts {
		err := os.MkdirAll(m.dir, 0o755)
		if err == nil {
			err = unix.Mount(m.kind, m.dir, m.kind, 0, m.options)
		}
		if err != nil && !m.optional {
			return fmt.Errorf("mount %s on %s: %w", m.kind, m.dir, err)
		}
	}
	for link, target := range map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, link); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if err := os.Chmod("/tmp", 0o777|fs.ModeSticky); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte("lab")); err != nil {
		return fmt.Errorf("set the host's name: %w", err)
	}
	// As a login has it: the kernel itself gives init 4096, of which Go programs
	// take all.
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1024, Max: 1 << 20}); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	return loopbackUp()
}

func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return nil
}

// openTerminal opens a serial line that changes no byte.
func openTerminal(path string) (*os.File, error) {
	tty, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	mode, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err == nil {
		mode.Iflag, mode.Oflag, mode.Lflag = 0, 0, 0
		mode.Cflag |= unix.CLOCAL
		err = unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, mode)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return tty, nil
}

// runProgram runs the program, and meanwhile buries the processes whose parents
// have ended: they are init's.
func runProgram(j *job, out *os.File, res *result) error {
	c := exec.Command(j.Program[0], j.Program[1:]...)
	c.Dir, c.Stdout, c.Stderr = j.Dir, out, out
	if err := c.Start(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			res.Code = exitNotFound
		}
		return err
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("wait for %s: %w", j.Program[0], err)
		case pid == c.Process.Pid && status.Signaled():
			res.Code, res.Signal = exitSignal+int(status.Signal()), status.Signal().String()
			return nil
		case pid == c.Process.Pid:
			res.Code = status.ExitStatus()
			return nil
		}
	}
}

// bringBack reads the files that the host wants.
func bringBack(j *job) (map[string][]byte, error) {
	files := map[string][]byte{}
	roots := j.Files
	for _, glob := range j.Globs {
		if !filepath.IsAbs(glob) {
			glob = filepath.Join(j.Dir, glob)
		}
		found, err := filepath.Glob(glob)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", glob, err)
		}
		roots = append(roots, found...)
	}
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a program that fails writes no profile
			}
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			files[path], err = os.ReadFile(path)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

func sinceBoot() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t)
	return time.Duration(t.Nano())
}
