package testenv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/netlink"
)

// Lab is the kernel of internal/lab that the test runs in, as "uml" and "6.12",
// and "" elsewhere.
func Lab() string { return os.Getenv("GNL_LAB") }

// LabModules lists the modules that lie in the lab's guest for modprobe.
func LabModules() []string { return strings.Fields(os.Getenv("GNL_LAB_MODULES")) }

// labKernels are the kernels that ./test runs the tests in, and what each of
// them has not, families and modules. All else has to be there: what is not is
// a failure in the lab. Elsewhere it is not, not even in CI: the lab has it.
var labKernels = []struct {
	name  string
	lacks []string
}{
	{"uml", []string{"CPUs", "mptcp_pm", "net_dm", "netdev", "devlink", "nl80211", "thermal", "l2tp", "wireguard", "mac80211_hwsim", "drop_monitor", "l2tp_netlink", "cfg80211", "dpll"}},
	{"6.1", []string{"netdev", "dpll"}},
	{"6.12", nil},
}

// NeedLab is for tests of what the lab's kernels alone have, or that are no good
// for a machine that is used: they are skipped elsewhere, and in the lab's other
// kernels. No kernels are all of them.
func NeedLab(t testing.TB, kernels ...string) {
	t.Helper()
	if Lab() == "" || len(kernels) > 0 && !slices.Contains(kernels, Lab()) {
		if len(kernels) == 0 {
			kernels = []string{labKernels[0].name}
		}
		t.Skipf("runs in Linux %s of the lab: %s", strings.Join(kernels, " and "), labCommand(t, kernels[0]))
	}
}

// NeedFamily needs the kernel to have a family, or to have a module that it
// loads for it.
func NeedFamily(t testing.TB, name string) {
	t.Helper()
	err := askFamily(t, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("ask for the family %s: %v", name, err)
	}
	if err != nil {
		lacking(t, name, "the family "+name)
	}
}

func askFamily(t testing.TB, name string) error {
	c, err := netlink.Dial(netlink.Generic, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	e := attr.NewEncoder([]byte{3, 2, 0, 0}) // CTRL_CMD_GETFAMILY
	e.String(2, name)                        // CTRL_ATTR_FAMILY_NAME
	data, err := e.Finish()
	if err != nil {
		return err
	}
	for _, err = range c.Do(t.Context(), netlink.Request{Type: 16, Data: data}) { // GENL_ID_CTRL
	}
	return err
}

// NeedModule needs the lab's guest to have a module, which the test may insert
// and remove with modprobe: no machine that is used.
func NeedModule(t testing.TB, name string) {
	t.Helper()
	if Lab() == "" {
		lacking(t, name, "the module "+name)
	}
	if !slices.Contains(LabModules(), name) {
		lacking(t, name, "the module "+name+" (lab run --autoload "+name+")")
	}
}

// NeedCPUs needs the machine to have several CPUs.
func NeedCPUs(t testing.TB, n int) {
	t.Helper()
	if runtime.NumCPU() < n {
		lacking(t, "CPUs", fmt.Sprintf("%d CPUs", n))
	}
}

// Modprobe runs modprobe and fails the test if it fails.
func Modprobe(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("modprobe", args...).CombinedOutput(); err != nil {
		t.Fatalf("modprobe %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// lacking ends a test for which something is not there.
func lacking(t testing.TB, name, what string) {
	t.Helper()
	having := ""
	for _, k := range labKernels {
		lacks := slices.Contains(k.lacks, name)
		switch {
		case Lab() != "" && lacks && (k.name == Lab() || k.name+"-cloud" == Lab()):
			t.Skipf("Linux %s of the lab lacks %s", Lab(), what)
		case !lacks && having == "":
			having = k.name
		}
	}
	if Lab() != "" || having == "" {
		Missing(t, "needs a kernel with %s", what)
	}
	t.Skipf("needs %s, as Linux %s of the lab has it: %s", what, having, labCommand(t, having))
}

// labCommand is how to run the test in the lab.
func labCommand(t testing.TB, kernel string) string {
	test, _, _ := strings.Cut(t.Name(), "/")
	command := "internal/lab/test " + kernel + " -v -run '^" + test + "$'"
	if build, ok := debug.ReadBuildInfo(); ok {
		command += " " + strings.TrimSuffix(build.Path, ".test")
	}
	return command
}

// LoadLocalitySchedulers loads the schedulers lblc and lblcr, where they are
// modules. Left to the kernel, which loads a scheduler with IPVS locked, that is
// a deadlock while a network namespace with a balancer, as of a test before, is
// being removed: the modules register per namespace and wait for the removal,
// and the removal waits for the lock.
func LoadLocalitySchedulers(t testing.TB) {
	t.Helper()
	Modprobe(t, "ip_vs_lblc")
	Modprobe(t, "ip_vs_lblcr")
}
