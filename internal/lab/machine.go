//go:build linux && amd64

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// machine is a virtual machine. It has three lines to the host: its console,
// and those that the program's output and the result go to.
type machine struct {
	kernel    *kernel
	initramfs string
	memory    int // MiB
	cpus      int
	append    string    // more kernel parameters
	console   io.Writer // besides what is kept of it
	output    io.Writer
	tmp       string // a folder of its own
}

// The descriptors of the lines, in the machine's process.
const (
	consoleFD = 3 + iota
	outputFD
	resultFD
)

// Terminals of the guest for output and result.
func (k *kernel) terminals() (output, result string) {
	if k.uml {
		return "/dev/ttyS0", "/dev/ttyS1" // its console is a device apart
	}
	return "/dev/ttyS1", "/dev/ttyS2"
}

// parameters that all kernels get: a panic ends the machine, and what is not
// wrong is not said.
const parameters = "panic=-1 quiet loglevel=4"

// command is User-Mode Linux, which is a program. What it need not do takes
// longer than all else: 0.9 s for RAID and the 256 old pseudo terminals.
func (m *machine) umlCommand() []string {
	args := []string{m.kernel.image, fmt.Sprintf("mem=%dM", m.memory), "initrd=" + m.initramfs, "uml_dir=" + m.tmp,
		"con=null", fmt.Sprintf("con0=null,fd:%d", consoleFD),
		"ssl=null", fmt.Sprintf("ssl0=null,fd:%d", outputFD), fmt.Sprintf("ssl1=null,fd:%d", resultFD),
		"pty.legacy_count=0", "initcall_blacklist=raid6_select_algo,init_zswap"}
	return append(args, strings.Fields(parameters+" "+m.append)...)
}

// qemuCommand is an emulated PC. Hardware's help (KVM) is not there in most
// machines of CI, and what works in only one of two ways is worth little. The
// type pc, as microvm's clocks fail under load. One thread for all CPUs: with a
// thread each, one of them may still run a breakpoint that the kernel, patching
// itself, has taken back already, which is a panic ("Oops: int3"). reboot=t ends it at once where
// powering off would need ACPI. The self tests and keys that the kernel leaves
// out take half a second.
func (m *machine) qemuCommand() []string {
	line := func(name string, fd, index int) []string {
		return []string{"-chardev", fmt.Sprintf("file,id=%s,path=/dev/fd/%d", name, fd),
			"-device", fmt.Sprintf("isa-serial,index=%d,chardev=%s", index, name)}
	}
	args := []string{"qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-M", "pc", "-accel", "tcg,thread=single", "-cpu", "max", "-smp", strconv.Itoa(m.cpus), "-m", strconv.Itoa(m.memory),
		"-kernel", m.kernel.image, "-initrd", m.initramfs,
		"-append", strings.Join([]string{parameters, "console=ttyS0 reboot=t tsc=reliable no_timer_check mitigations=off lsm= cryptomgr.notests",
			"initcall_blacklist=jent_mod_init,load_system_certificate_list,init_encrypted", m.append}, " ")}
	args = append(args, line("console", consoleFD, 0)...)
	args = append(args, line("output", outputFD, 1)...)
	return append(args, line("result", resultFD, 2)...)
}

// keeperName is what the lab calls itself where it is a keeper.
const keeperName = "lab-keeper"

// keeper ends a machine when the lab ends, by whatever: nothing else sees to
// that if the lab is killed. It is told the group of the machine's processes.
func keeper() int {
	var group int
	if _, err := fmt.Fscanln(os.Stdin, &group); err != nil {
		return exitFailed
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // of which the lab has the other end
	_ = unix.Kill(-group, unix.SIGKILL)
	return 0
}

// keep starts a keeper, which must be stopped when nothing of the group is left
// to be killed: its number may be another's then.
func keep(group int) (stop func(), err error) {
	c := exec.Command("/proc/self/exe")
	c.Args[0] = keeperName
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // ^C is for the lab
	in, err := c.StdinPipe()
	if err == nil {
		err = c.Start()
	}
	if err == nil {
		_, err = fmt.Fprintln(in, group)
	}
	if err != nil {
		return nil, fmt.Errorf("start the keeper of the machine: %w", err)
	}
	return func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	}, nil
}

// run boots the machine and waits for its end. It returns what came over the
// line of the result and over the console.
func (m *machine) run(ctx context.Context) (result, console []byte, err error) {
	args := m.qemuCommand()
	if m.kernel.uml {
		args = m.umlCommand()
	}
	var said, resultText, consoleText bytes.Buffer
	var consoleTo io.Writer = &consoleText
	if m.console != nil {
		consoleTo = io.MultiWriter(&consoleText, m.console)
	}
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Stdout, c.Stderr = &said, &said // what the emulator itself says
	// In User-Mode Linux each process of the guest is one of the host: all of the
	// group has to end. It must lead the group, as otherwise it leaves it for a
	// session of its own.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return unix.Kill(-c.Process.Pid, unix.SIGKILL) }
	c.WaitDelay = 2 * time.Second
	var reading sync.WaitGroup
	for _, to := range []io.Writer{consoleTo, m.output, &resultText} { // in the order of the descriptors
		r, w, err := os.Pipe()
		if err != nil {
			return nil, nil, err
		}
		defer w.Close()
		c.ExtraFiles = append(c.ExtraFiles, w)
		reading.Go(func() {
			_, _ = io.Copy(to, r)
			r.Close()
		})
	}
	err = c.Start()
	for _, w := range c.ExtraFiles {
		w.Close()
	}
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, nil, missingProgram(args[0], "qemu-system-x86")
	case err != nil:
		return nil, nil, err
	}
	stop, err := keep(c.Process.Pid)
	if err != nil {
		_ = c.Cancel()
	} else {
		defer stop()
	}
	ended := c.Wait()
	_ = c.Cancel() // what is left of the group holds the lines open
	reading.Wait()
	switch {
	case err != nil:
		return nil, nil, err
	case ended != nil:
		err = fmt.Errorf("%w %s", ended, bytes.TrimSpace(said.Bytes()))
	}
	return resultText.Bytes(), consoleText.Bytes(), err
}
