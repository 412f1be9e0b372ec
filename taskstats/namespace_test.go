//go:build linux

package taskstats

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/internal/testenv"
	"github.com/gnlgo/gnl/netlink"
)

func init() {
	for name, f := range map[string]func(context.Context, *Client) error{
		"nobody": nobody, "in-user-namespace": inUserNamespace,
		"in-pid-namespace": inPIDNamespace, "in-net-namespace": inNetNamespace,
	} {
		helpers[name] = func() int {
			client, err := gnl.Open(nil)
			if err == nil {
				err = f(context.Background(), New(client))
				client.Close()
			}
			if err != nil {
				fmt.Println(err)
				return 1
			}
			return 0
		}
	}
}

// expect checks an error: what it is, and how it reads.
func expect(err, is error, text string) error {
	if !errors.Is(err, is) || err.Error() != text {
		return fmt.Errorf("got  %v (is %v: %t)\nwant %s", err, is, errors.Is(err, is), text)
	}
	return nil
}

const needsPrivilege = "it needs CAP_NET_ADMIN in the initial user namespace"

// nobody has no privilege. Cgroups need none.
func nobody(ctx context.Context, c *Client) error {
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
		return err
	}
	_, err := c.Self(ctx)
	_, listenErr := c.Listen(ctx, &ListenConfig{CPUs: "0"})
	_, cgroupErr := c.Cgroup(ctx, "/")
	results, manyErr := c.Many(ctx, []int{1, os.Getpid()})
	if results[1].Err == nil || errors.Is(manyErr, fs.ErrNotExist) {
		return fmt.Errorf("many: %v, %v", results[1].Err, manyErr)
	}
	tail := ": " + needsPrivilege + ": operation not permitted"
	return errors.Join(
		expect(err, fs.ErrPermission, fmt.Sprintf("taskstats: tgid %d%s", os.Getpid(), tail)),
		expect(err, syscall.EPERM, fmt.Sprintf("taskstats: tgid %d%s", os.Getpid(), tail)),
		expect(manyErr, fs.ErrPermission, "taskstats: pid 1"+tail),
		expect(listenErr, fs.ErrPermission, "taskstats: listen to CPUs 0"+tail),
		expect(cgroupErr, syscall.EINVAL, "taskstats: cgroup /: this is not the directory of a cgroup (of version 1): invalid argument"),
	)
}

// inUserNamespace is root, but in a user namespace of its own.
func inUserNamespace(ctx context.Context, c *Client) error {
	tail := ": " + needsPrivilege + ", and this process is in another one: operation not permitted"
	_, err := c.PID(ctx, 1)
	_, listenErr := c.Listen(ctx, &ListenConfig{CPUs: "0"})
	return errors.Join(
		expect(err, fs.ErrPermission, "taskstats: pid 1"+tail),
		expect(listenErr, fs.ErrPermission, "taskstats: listen to CPUs 0"+tail),
	)
}

// inPIDNamespace is process 1. It may ask, in its own numbers, but not listen.
func inPIDNamespace(ctx context.Context, c *Client) error {
	s, err := c.PID(ctx, 1)
	if err != nil {
		return err
	}
	if comm, err := os.ReadFile("/proc/self/comm"); err != nil || s.PID != 1 || s.Comm != strings.TrimSpace(string(comm)) {
		return fmt.Errorf("this is process %d, %s: got %+v", os.Getpid(), comm, s)
	}
	_, err = c.Listen(ctx, &ListenConfig{CPUs: "0"})
	return expect(err, syscall.EINVAL,
		"taskstats: listen to CPUs 0: only processes in the initial pid namespace can listen, and this one is in another: invalid argument")
}

const noEvents = "taskstats: listen: the kernel sends the exits of tasks into the initial network namespace only, and this socket is in another one: unsupported operation"

// inNetNamespace may ask; listening would be in vain.
func inNetNamespace(ctx context.Context, c *Client) error {
	if s, err := c.PID(ctx, os.Getpid()); err != nil || s.PID != os.Getpid() {
		return fmt.Errorf("%d, %w", s.PID, err)
	}
	_, err := c.Listen(ctx, nil)
	_, err2 := c.Listen(ctx, &ListenConfig{Sockets: 2})
	return errors.Join(expect(err, errors.ErrUnsupported, noEvents), expect(err2, errors.ErrUnsupported, noEvents))
}

func TestWithoutPrivilege(t *testing.T) {
	requireKernel(t)
	run(t, helper(t, "nobody"))
}

func TestNamespaces(t *testing.T) {
	requireListening(t)
	for name, flag := range map[string]uintptr{
		"in-user-namespace": syscall.CLONE_NEWUSER,
		"in-pid-namespace":  syscall.CLONE_NEWPID,
		"in-net-namespace":  syscall.CLONE_NEWNET,
	} {
		t.Run(name, func(t *testing.T) {
			cmd := helper(t, name)
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flag}
			if flag == syscall.CLONE_NEWUSER {
				mapping := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}
				cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = mapping, mapping
			}
			run(t, cmd)
		})
	}
}

// The socket can be in another network namespace than the process, both ways.
func TestSocketInAnotherNamespace(t *testing.T) {
	requireListening(t)
	_, ns := testenv.Netns(t)
	client, err := gnl.Open(&gnl.Config{Socket: netlink.Config{Namespace: ns}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c := New(client)
	if s, err := c.PID(t.Context(), os.Getpid()); err != nil || s.PID != os.Getpid() {
		t.Errorf("%+v, %v", s, err)
	}
	_, err = c.Listen(t.Context(), nil)
	if err := expect(err, errors.ErrUnsupported, noEvents); err != nil {
		t.Error(err)
	}

	here, err := netlink.OpenNamespaceOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	client, err = gnl.Open(&gnl.Config{Socket: netlink.Config{Namespace: here}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := ns.Do(func() error {
		l, err := New(client).Listen(t.Context(), nil)
		if err != nil {
			return err
		}
		return l.Close()
	}); err != nil {
		t.Error(err)
	}
}
