//go:build linux && amd64

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gnlgo/gnl/internal/testenv"
)

// build makes the lab as its users have it: the binary of the tests may have
// the race detector, with which it cannot be a guest's init.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gnl-lab-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "lab")
	c := exec.Command("go", "build", "-buildvcs=false", "-o", path, ".")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := build(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// needKernel needs a kernel to be in the cache. In CI it is fetched.
func needKernel(t *testing.T, name string) (lab string) {
	t.Helper()
	cache, err := cacheDir()
	if err != nil {
		t.Fatal(err)
	}
	if !testenv.CI() && !isThere(filepath.Join(cache, "kernel-"+name)) {
		t.Skipf("needs kernel %s: go run ./internal/lab fetch %s", name, name)
	}
	if _, err := openKernel(name); err != nil {
		testenv.Missing(t, "%v", err)
	}
	if lab, err = build(); err != nil {
		t.Fatal(err)
	}
	return lab
}

// inLab runs "lab run" in the folder.
func inLab(t *testing.T, dir string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errOut bytes.Buffer
	c := exec.Command(needKernel(t, "uml"), append([]string{"run", "--timeout", "1m"}, args...)...)
	c.Dir, c.Stdout, c.Stderr = dir, &out, &errOut
	if err := c.Run(); c.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), c.ProcessState.ExitCode()
}

func TestTheProgramsOutputAndExitCodeAreTheLabs(t *testing.T) {
	for _, c := range []struct {
		script, stdout, stderr string
		code                   int
	}{
		{"echo out; echo err >&2", "out\nerr\n", "", 0},
		{"exit 7", "", "", 7},
		{"kill -KILL $$", "", "was ended by signal 9, killed", 137},
		{"(sleep 1000 &) ; echo left", "left\n", "", 0},
		{"read x; echo read ended with $?", "read ended with 1\n", "", 0},
	} {
		stdout, stderr, code := inLab(t, "", "--program", "sleep", "--", "sh", "-c", c.script)
		if stdout != c.stdout || !strings.Contains(stderr, c.stderr) || c.stderr == "" && stderr != "" || code != c.code {
			t.Errorf("%s: %q, %q, %d", c.script, stdout, stderr, code)
		}
	}
}

func TestTheGuestIsAsTestsWantIt(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("GNL_OF_THE_HOST", "of the host")
	t.Setenv("OTHER_OF_THE_HOST", "no")
	script := `
		cat /proc/self/uid_map /etc/hostname 2>/dev/null
		echo $HOME $GNL_LAB $GNL_OF_THE_HOST $GIVEN $OTHER_OF_THE_HOST
		pwd
		readlink /bin /dev/fd
		uname -n
		ulimit -n
		date +%s >now
		cat /proc/self/mounts | while read a dir kind rest; do echo $kind on $dir; done
		unshare -n ip -o link | while read n name flags; do echo $name $flags; break; done
		ip -o link show lo up >/dev/null && echo lo is up
	`
	stdout, stderr, code := inLab(t, dir, "--program", "cat,date,ip,readlink,uname,unshare", "--env", "GIVEN=given", "--get", "now", "--", "sh", "-c", script)
	if code != 0 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	for _, want := range []string{"/root uml of the host given\n", dir + "\n", "usr/bin\n/proc/self/fd\nlab\n1024\n", "lo is up\n",
		"proc on /proc\n", "sysfs on /sys\n", "devtmpfs on /dev\n", "cgroup2 on /sys/fs/cgroup/unified\n", "cgroup on /sys/fs/cgroup/cpu\n", "lo: <LOOPBACK>"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in:\n%s", want, stdout)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "now"))
	if err != nil {
		t.Fatal(err)
	}
	now, err := time.ParseDuration(strings.TrimSpace(string(text)) + "s")
	if off := time.Since(time.Unix(0, int64(now))); err != nil || off.Abs() > time.Minute {
		t.Errorf("the guest's clock is off by %v, %v", off, err)
	}
}

// ours lists the processes whose command line has the text.
func ours(text string) (all []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if line, err := os.ReadFile(file); err == nil && strings.Contains(string(line), text) {
			all = append(all, string(line))
		}
	}
	return all
}

func gone(t *testing.T, text string) {
	t.Helper()
	var left []string
	for range 200 {
		if left = ours(text); left == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("left: %q", left)
}

func TestAfterTheTimeoutNothingIsLeft(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	stdout, stderr, code := inLab(t, "", "--timeout", "1500ms", "--program", "sleep", "--", "sh", "-c", "sleep 1000 & echo begun; sleep 1000")
	if code != exitTimeout || stdout != "begun\n" || !strings.Contains(stderr, "killed after 1.5s: --timeout allows for more") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	gone(t, tmp)
	if files, err := os.ReadDir(tmp); err != nil || len(files) > 0 {
		t.Errorf("files left: %v, %v", files, err)
	}
}

func TestAMachineDoesNotOutliveALabThatIsKilled(t *testing.T) {
	tmp := t.TempDir()
	c := exec.Command(needKernel(t, "uml"), "run", "--program", "sleep", "--", "sh", "-c", "sleep 1000 & echo begun; sleep 1000")
	c.Env = append(os.Environ(), "TMPDIR="+tmp)
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil || len(ours(tmp)) == 0 {
		t.Error(err, ours(tmp))
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	gone(t, tmp)
}

func TestWhatIsMissingIsSaidClearly(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--modules", "nosuch", "--", "true"}, exitFailed, "lab: kernel uml (6.1."},
		{[]string{"--modules", "nosuch", "--", "true"}, exitFailed, ") has no module nosuch\n"},
		{[]string{"--kernel", "five", "--", "true"}, exitFailed, "lab: unknown kernel \"five\": there are uml,"},
		{[]string{"--", "nosuch"}, exitNotFound, "lab: no program nosuch"},
		{[]string{"--", "./nosuch"}, exitNotFound, "lab: no program ./nosuch"},
		{[]string{"--program", "nosuch", "--", "true"}, exitFailed, "lab: no program nosuch"},
		{[]string{"--file", "nosuch", "--", "true"}, exitFailed, "nosuch: no such file or directory"},
		{[]string{"--modules", "ip_vs conn_tab_bits=x", "--", "true"}, exitFailed, "lab: in the guest: insert module ip_vs: invalid argument"},
		{[]string{"--nosuch"}, exitUsage, "unknown flag: --nosuch"},
		{nil, exitUsage, "no program was named"},
	} {
		if _, stderr, code := inLab(t, t.TempDir(), c.args...); code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: exit code %d, %q", c.args, code, stderr)
		}
	}
}

func TestTheEndOfAGuestThatDies(t *testing.T) {
	_, stderr, code := inLab(t, "", "--append", "sysrq_always_enabled", "--", "sh", "-c", "echo c >/proc/sysrq-trigger")
	if code != exitFailed || !strings.Contains(stderr, "lab: the guest died") || !strings.Contains(stderr, "Kernel panic - not syncing: sysrq triggered crash") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestModulesAreLoadedByAliasAndRemovedAgain(t *testing.T) {
	script := `
		loaded() { cat /proc/modules | while read name rest; do case $name in ip_vs*) echo $1 $name;; esac; done; }
		loaded begin
		genl ctrl get name IPVS | while read a b; do case $a in Name:) echo $b;; esac; done # which the kernel loads
		loaded alias
		modprobe -r ip_vs; loaded removed
		modprobe ip_vs_rr; loaded name
		modprobe -r ip_vs; echo in use $?
		rmmod ip_vs_rr; loaded rmmod
		modprobe ip_vs conn_tab_bits=9; cat /sys/module/ip_vs/parameters/conn_tab_bits
		modprobe nosuch; echo $?
		modprobe -q nosuch; echo $?
	`
	stdout, stderr, code := inLab(t, "", "--autoload", "ip_vs,ip_vs_rr", "--program", "cat,genl", "--", "sh", "-c", script)
	want := `IPVS
alias ip_vs
name ip_vs_rr
name ip_vs
modprobe: FATAL: remove module ip_vs: resource temporarily unavailable
in use 1
9
modprobe: FATAL: module nosuch: file does not exist in the guest: see lab's --modules and --autoload
1
1
`
	if stdout != want || code != 0 {
		t.Errorf("exit code %d: %s\n%s", code, stdout, stderr)
	}
}

func TestFilesComeBack(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "testdata"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "testdata", "in"), []byte("given"), 0o644); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := inLab(t, dir, "--program", "cat", "--file", "/etc/os-release:copied/release", "--get", "out*", "--get", "testdata/more", "--",
		"sh", "-c", "cat testdata/in >out1; cat copied/release >out2; echo more >testdata/more; exit 3")
	if code != 3 {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"out1": "given", "out2": string(release), "testdata/more": "more\n"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestGoTestRunsInTheLabAndCoverageComesBack(t *testing.T) {
	lab := needKernel(t, "uml")
	profile := filepath.Join(t.TempDir(), "profile")
	c := exec.Command("go", "test", "-count=1", "-coverprofile="+profile, "-exec", lab+" run --", "./testdata/covered")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "coverage: 66.7% of statements") {
		t.Errorf("%v: %s", err, out)
	}
	if text, err := os.ReadFile(profile); err != nil || strings.Count(string(text), "covered.go:") != 3 {
		t.Errorf("%s, %v", text, err)
	}
}

func TestProfilesAreWhereTheTestBinaryIsToldToWriteThem(t *testing.T) {
	r := run{directory: "/d", program: []string{"x.test", "-test.v", "-test.coverprofile=/a/c.out", "-test.outputdir=/o", "-test.cpuprofile=cpu", "-test.trace=t",
		"--test.gocoverdir=cov", "-test.memprofile=", "-test.run=profile=x"}}
	if got := strings.Join(r.profiles(), " "); got != "/a/c.out /o/cpu /o/t /d/cov/" {
		t.Error(got)
	}
}
