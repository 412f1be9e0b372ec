//go:build linux

package taskstats

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/internal/testenv"
)

// helperEnv names what this test binary is to do instead of testing, in a
// process of its own. Helpers report on standard output what is wrong, and end
// with a status.
const helperEnv = "TASKSTATS_TEST_HELPER"

var helpers = map[string]func() int{}

func init() {
	if os.Getenv(helperEnv) != "" {
		runtime.LockOSThread() // what main does is done by the main thread
	}
}

func TestMain(m *testing.M) {
	if name := os.Getenv(helperEnv); name != "" {
		os.Exit(helpers[name]())
	}
	testenv.Main(m)
}

// helper prepares a process that runs a helper.
func helper(t testing.TB, name string, env ...string) *exec.Cmd {
	t.Helper()
	if helpers[name] == nil {
		t.Fatalf("no helper %q", name)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(append(os.Environ(), helperEnv+"="+name), env...)
	cmd.Stderr = os.Stderr
	return cmd
}

// run runs a helper to its end.
func run(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	cmd.Stdin, cmd.Stderr = nil, nil
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// start starts a helper and waits for its first line. The function returned
// lets it end, by closing its standard input, and waits for it.
func start(t testing.TB, cmd *exec.Cmd) (line string, end func() error) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end = func() error {
		if ended {
			return nil
		}
		ended = true
		in.Close()
		return cmd.Wait()
	}
	t.Cleanup(func() { _ = end() })
	line, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the helper said %q and then: %v, %v", line, err, end())
	}
	return strings.TrimSpace(line), end
}

// requireKernel skips a test where the kernel gives no statistics to us.
func requireKernel(t testing.TB) {
	t.Helper()
	client, err := gnl.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, err = New(client).PID(t.Context(), os.Getpid())
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		testenv.Missing(t, "the kernel has no TASKSTATS: %v", err)
	case errors.Is(err, fs.ErrPermission):
		testenv.Missing(t, "not privileged: %v", err)
	case err != nil:
		t.Fatal(err)
	}
}

// requireListening skips a test where exits do not come to us.
func requireListening(t testing.TB) {
	t.Helper()
	requireKernel(t)
	if elsewhere("pid", initialPIDNamespace) {
		testenv.Missing(t, "not in the initial pid namespace")
	}
}

// open returns a Client of the kernel.
func open(t testing.TB) (*Client, *gnl.Client) {
	t.Helper()
	requireKernel(t)
	client, err := gnl.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return New(client), client
}
