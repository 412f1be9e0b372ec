//go:build linux && amd64

package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// run is a command line of "lab run".
type run struct {
	kernel    string
	modules   []string
	autoload  []string
	programs  []string
	files     []string
	env       []string
	get       []string
	timeout   time.Duration
	memory    int
	cpus      int
	append    string
	console   bool
	stats     bool
	program   []string
	directory string
}

func runCommand(code *int) *cobra.Command {
	var r run
	c := &cobra.Command{
		Use:   "run [flags] -- PROGRAM [ARGUMENT...]",
		Short: "Run a program inside a kernel",
		Long: `Run a program inside a kernel, as root, and end with its exit code.

A path means the same in the guest as here: the program, the folder testdata of
the working directory, and what --program and --file name are copied in, to
where they are here, and the program runs in the same working directory.
Dynamically linked programs bring their libraries. Standard output and error
both come out of standard output. The profiles and coverage that go test asks
for come back. The variables CI, GNL_*, GODEBUG, GORACE and GOTRACEBACK go in,
GNL_LAB is the kernel's name, and GNL_LAB_MODULES the names of --modules and
--autoload.

` + kernelsHelp + `

Exit codes:
  the program's own, or 128+N if signal N killed it
  124  the time is up; everything has been killed
  125  the lab failed, or the guest died: its console's last lines tell why
  127  there is no such program`,
		Example: `  # The tests of a package, in User-Mode Linux.
  CGO_ENABLED=0 go test -exec 'lab run --modules ip_vs,ip_vs_rr --' .

  # One test, with modules for the kernel to load when it wants them.
  CGO_ENABLED=0 go test -run TestAutoload -exec 'lab run --kernel 6.12 --autoload wireguard --' .

  # A program of the host's.
  lab run --modules ip_vs --program ipvsadm -- ipvsadm -Ln`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("no program was named: lab run [flags] -- PROGRAM [ARGUMENT...]")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			r.program = args
			if r.directory, err = os.Getwd(); err == nil {
				*code, err = r.do(cmd.Context())
			}
			if ended := (*exitError)(nil); err != nil && !errors.As(err, &ended) {
				err = &exitError{exitFailed, err}
			}
			return err
		},
	}
	c.Flags().SetInterspersed(false)
	c.Flags().StringVar(&r.kernel, "kernel", "uml", "the kernel")
	c.Flags().StringSliceVar(&r.modules, "modules", nil, "modules to insert, in order, after what they need; parameters may follow the name after spaces")
	c.Flags().StringSliceVar(&r.autoload, "autoload", nil, "modules that only lie there for modprobe, by name and alias")
	c.Flags().StringSliceVar(&r.programs, "program", nil, "programs to copy in; ip, genl, ipvsadm and their like are fetched if they are not installed")
	c.Flags().StringArrayVar(&r.files, "file", nil, "`HOST[:GUEST]`, a file or folder to copy in (repeatable)")
	c.Flags().StringArrayVar(&r.env, "env", nil, "`NAME=VALUE`, a variable for the program (repeatable)")
	c.Flags().StringArrayVar(&r.get, "get", nil, "`GLOB` of files to copy back, relative to the working directory (repeatable)")
	c.Flags().DurationVar(&r.timeout, "timeout", 5*time.Minute, "kill everything after this")
	c.Flags().IntVar(&r.memory, "mem", 512, "memory in MiB")
	c.Flags().IntVar(&r.cpus, "smp", 2, "CPUs; User-Mode Linux has one")
	c.Flags().StringVar(&r.append, "append", "", "more kernel parameters")
	c.Flags().BoolVar(&r.console, "console", false, "show the kernel's console on standard error")
	c.Flags().BoolVar(&r.stats, "stats", false, "say on standard error how long what took")
	return c
}

// do runs the program and returns the exit code, or why it could not.
func (r *run) do(ctx context.Context) (int, error) {
	start := time.Now()
	k, err := openKernel(r.kernel)
	if err != nil {
		return 0, err
	}
	tmp, err := os.MkdirTemp("", "gnl-lab-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(tmp)
	m := &machine{kernel: k, initramfs: filepath.Join(tmp, "initramfs"), memory: r.memory, cpus: r.cpus, append: r.append, output: os.Stdout, tmp: tmp}
	if r.console {
		m.console = os.Stderr
	}
	if err := r.writeInitramfs(m); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout, errTimeout)
	defer cancel()
	ctx, stop := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGHUP)
	defer stop()
	booting := time.Now()
	text, console, ended := m.run(ctx)
	var res result
	switch err := json.Unmarshal(text, &res); {
	case err == nil:
	case errors.Is(context.Cause(ctx), errTimeout):
		return 0, &exitError{exitTimeout, fmt.Errorf("the guest was killed after %v: --timeout allows for more%s", r.timeout, tail(console))}
	case ctx.Err() != nil:
		return 0, errors.New("interrupted")
	default:
		return 0, fmt.Errorf("the guest died (%v)%s", ended, tail(console))
	}
	if r.stats {
		round := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
		fmt.Fprintf(os.Stderr, "lab: %s: prepared in %v, booted in %v, modules in %v, program in %v, machine %v, all %v\n", k.release,
			round(booting.Sub(start)), round(res.Booted), round(res.Loaded), round(res.Ran), round(time.Since(booting)), round(time.Since(start)))
	}
	for name, data := range res.Files {
		if err := os.WriteFile(name, data, 0o644); err != nil {
			return 0, fmt.Errorf("bring back: %w", err)
		}
	}
	switch {
	case res.Problem != "":
		return 0, &exitError{res.Code, fmt.Errorf("in the guest: %s", res.Problem)}
	case res.Signal != "":
		fmt.Fprintf(os.Stderr, "lab: %s was ended by signal %d, %s\n", r.program[0], res.Code-exitSignal, res.Signal)
	}
	return res.Code, nil
}

var errTimeout = errors.New("time is up")

// tail is the last lines of the console, for an error.
func tail(console []byte) string {
	const most = 40
	console = bytes.TrimSpace(console)
	if len(console) == 0 {
		return "; its console is empty"
	}
	lines := strings.Split(string(console), "\n")
	return "; its console:\n" + strings.Join(lines[max(0, len(lines)-most):], "\n")
}

// writeInitramfs makes the guest's file system, and the job in it.
func (r *run) writeInitramfs(m *machine) (err error) {
	f, err := os.Create(m.initramfs)
	if err != nil {
		return err
	}
	defer f.Close()
	fsys := newInitramfs(f)
	fsys.device("dev/console", 5, 1)
	fsys.device("dev/null", 1, 3)
	for _, dir := range []string{"proc", "sys", "run", "tmp", "root", "var/tmp", r.directory} {
		fsys.dir(dir)
	}
	fsys.symlink("var/run", "/run")
	for name, text := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
		"etc/group":  "root:x:0:\nnogroup:x:65534:\n",
		"etc/hosts":  "127.0.0.1 localhost lab\n::1 localhost\n",
	} {
		fsys.file(name, 0o644, []byte(text))
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := addBinary(fsys, "/", self); err != nil {
		return err
	}
	for _, name := range []string{"init", "sbin/modprobe", "sbin/rmmod"} {
		fsys.symlink(name, self)
	}
	j := &job{Kernel: r.kernel, Insert: r.modules, Dir: r.directory, Globs: r.get, CleanEnd: m.kernel.uml}
	j.Output, j.Result = m.kernel.terminals()
	if err := r.addModules(fsys, j, m.kernel); err != nil {
		return err
	}
	for _, name := range r.programs {
		if _, err := addProgram(fsys, name); err != nil {
			return err
		}
	}
	for _, file := range r.files {
		host, guest, ok := strings.Cut(file, ":")
		if !ok {
			guest = host
		}
		if guest, err = filepath.Abs(guest); err != nil {
			return err
		}
		if err := fsys.copy(host, guest); err != nil {
			return err
		}
	}
	if isThere("testdata") {
		if err := fsys.copy("testdata", filepath.Join(r.directory, "testdata")); err != nil {
			return err
		}
	}
	j.Env = r.guestEnv()
	path, err := addProgram(fsys, r.program[0])
	if errors.Is(err, exec.ErrNotFound) {
		return &exitError{exitNotFound, err}
	}
	if err != nil {
		return err
	}
	if built, err := buildinfo.ReadFile(path); err == nil && m.kernel.uml {
		for _, setting := range built.Settings {
			if setting.Key == "-race" && setting.Value == "true" {
				return fmt.Errorf("%s has the race detector, which finds no room for its memory in User-Mode Linux: use --kernel 6.12", path)
			}
		}
	}
	j.Program = append([]string{path}, r.program[1:]...)
	j.Files = r.profiles()
	text, err := json.Marshal(j)
	if err != nil {
		return err
	}
	fsys.file(jobFile, 0o644, text)
	return errors.Join(fsys.close(), f.Close())
}

func (r *run) addModules(fsys *initramfs, j *job, k *kernel) error {
	if len(r.modules)+len(r.autoload) == 0 {
		return nil
	}
	tree, err := openModules(k)
	if err != nil {
		return err
	}
	var names []string
	for _, name := range slices.Concat(r.modules, r.autoload) {
		words := strings.Fields(name)
		if len(words) == 0 {
			return errors.New("--modules and --autoload take names of modules, and one of them is empty")
		}
		names = append(names, words[0])
	}
	builtin := func(name string) bool {
		if !tree.builtin[name] {
			return false
		}
		j.Builtin = append(j.Builtin, name)
		return true
	}
	if j.Modules, err = closure(names, builtin, tree.read); err != nil {
		return err
	}
	for _, m := range j.Modules {
		fsys.file(m.Path, 0o644, m.data)
	}
	return nil
}

// guestEnv is the program's environment.
func (r *run) guestEnv() []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "USER=root", "TMPDIR=/tmp"}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch {
		case name == cacheEnv:
		case strings.HasPrefix(name, "GNL_"), slices.Contains([]string{"CI", "GODEBUG", "GORACE", "GOTRACEBACK"}, name):
			env = append(env, v)
		}
	}
	var modules []string
	for _, name := range slices.Concat(r.modules, r.autoload) {
		modules = append(modules, strings.Fields(name)[0])
	}
	return append(append(env, "GNL_LAB="+r.kernel, "GNL_LAB_MODULES="+strings.Join(modules, " ")), r.env...)
}

// profiles lists the files, and the folders with a / behind, that a test binary
// was told to write.
func (r *run) profiles() []string {
	dir := r.directory
	var files []string
	for _, arg := range r.program[1:] {
		name, value, ok := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		switch {
		case !ok || value == "":
		case name == "test.outputdir":
			dir = absolute(r.directory, value)
		case name == "test.gocoverdir":
			files = append(files, absolute(r.directory, value)+"/")
		case name == "test.trace" || strings.HasPrefix(name, "test.") && strings.HasSuffix(name, "profile"):
			files = append(files, value)
		}
	}
	for i, file := range files {
		files[i] = absolute(dir, file)
		if strings.HasSuffix(file, "/") {
			files[i] += "/"
		}
	}
	return files
}

func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}
