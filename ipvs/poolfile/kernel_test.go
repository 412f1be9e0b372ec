//go:build linux

package poolfile_test

import (
	"cmp"
	"errors"
	"io/fs"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/internal/testenv"
	"github.com/gnlgo/gnl/ipvs"
	"github.com/gnlgo/gnl/ipvs/poolfile"
	"github.com/gnlgo/gnl/netlink"
)

// balancer is the empty load balancer of a network namespace.
type balancer struct {
	*ipvs.Client
	ns *netlink.Namespace
}

func newBalancer(t *testing.T) balancer {
	t.Helper()
	testenv.Root(t)
	testenv.NeedFamily(t, "IPVS")
	name, ns := testenv.Netns(t)
	// Until an interface has been up, the kernel takes no address for one that
	// can be reached.
	testenv.Run(t, testenv.Program(t, "ip", "iproute2"), "-n", name, "link", "set", "lo", "up")
	client, err := gnl.Open(&gnl.Config{Socket: netlink.Config{Namespace: ns}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return balancer{ipvs.New(client), ns}
}

// listed are the pools of the kernel in the order of their IDs and addresses.
func listed(t *testing.T, c balancer) []ipvs.Pool {
	t.Helper()
	var pools []ipvs.Pool
	for p, err := range c.Pools(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		pools = append(pools, p.Pool())
	}
	return inOrder(pools)
}

func inOrder(pools []ipvs.Pool) []ipvs.Pool {
	slices.SortFunc(pools, func(a, b ipvs.Pool) int {
		return cmp.Compare(a.Service.ServiceID.String(), b.Service.ServiceID.String())
	})
	for i := range pools {
		slices.SortFunc(pools[i].Destinations, func(a, b ipvs.Destination) int { return a.Address.Compare(b.Address) })
	}
	return pools
}

// ipvsadm runs the program and returns what it prints.
func (c balancer) ipvsadm(t *testing.T, input string, args ...string) string {
	t.Helper()
	command := exec.Command(testenv.Program(t, "ipvsadm", "ipvsadm"), args...)
	command.Stdin = strings.NewReader(input)
	var complaints strings.Builder
	command.Stderr = &complaints
	var out []byte
	err := c.ns.Do(func() (err error) {
		out, err = command.Output()
		return err
	})
	// In restoring it ends with 0 even where the kernel has refused a line.
	if err != nil || complaints.Len() > 0 {
		t.Fatalf("ipvsadm %s: %v: %s\n%s", strings.Join(args, " "), err, &complaints, input)
	}
	return string(out)
}

// schedulers are those that the kernel has, of all that Debian's kernels have.
func schedulers(t *testing.T, c balancer) []string {
	t.Helper()
	testenv.LoadLocalitySchedulers(t)
	all := []string{"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos"}
	var there []string
	for _, name := range all {
		id := ipvs.Marked(1, ipvs.IPv4)
		err := c.AddService(t.Context(), ipvs.Service{ServiceID: id, Scheduler: name})
		if name == "twos" && errors.Is(err, fs.ErrNotExist) {
			continue // not in User-Mode Linux
		}
		if err == nil {
			err = c.RemoveService(t.Context(), id)
		}
		if err != nil {
			t.Fatal(err)
		}
		there = append(there, name)
	}
	return there
}

// restorable are random pools with all of the kernel's schedulers.
func restorable(t *testing.T, schedulers []string) []ipvs.Pool {
	t.Helper()
	r := seeded(t)
	var pools []ipvs.Pool
	seen := map[ipvs.ServiceID]bool{}
	for len(pools) < 300 {
		for _, pool := range randomPools(r, poolfile.IPVSAdm) {
			if seen[pool.Service.ServiceID] {
				continue
			}
			seen[pool.Service.ServiceID] = true
			pool.Service.Scheduler = oneOf(r, schedulers...)
			pools = append(pools, pool)
		}
	}
	return inOrder(pools)
}

func TestIpvsadmRestoresWhatIsWritten(t *testing.T) {
	c := newBalancer(t)
	pools := restorable(t, schedulers(t, c))
	c.ipvsadm(t, write(t, poolfile.IPVSAdm, pools), "-R")
	if d := difference(listed(t, c), pools); d != "" {
		t.Error(d)
	}
}

func TestIpvsadmShowsWhatIsConfigured(t *testing.T) {
	c := newBalancer(t)
	pools := restorable(t, schedulers(t, c))
	if _, err := c.Apply(t.Context(), pools, nil); err != nil {
		t.Fatal(err)
	}
	for i := range pools {
		// What it does not save.
		s := &pools[i].Service
		if s.Flags&ipvs.Persistent == 0 {
			s.Netmask = ipvs.Service{}.Netmask
		}
		if s.Flags&(ipvs.SchedulerFlag1|ipvs.SchedulerFlag2) != 0 && (s.Scheduler == "sh" || s.Scheduler == "mh") {
			s.Flags &^= ipvs.SchedulerFlag3
		}
		for j := range pools[i].Destinations {
			d := &pools[i].Destinations[j]
			d.UpperThreshold, d.LowerThreshold = 0, 0
		}
	}
	saved := inOrder(read(t, poolfile.IPVSAdm, c.ipvsadm(t, "", "-S", "-n")))
	if d := difference(saved, pools); d != "" {
		t.Error(d)
	}
}
