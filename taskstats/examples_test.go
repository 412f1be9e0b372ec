//go:build linux

package taskstats_test

import (
	"os"
	"strings"
	"testing"

	"github.com/gnlgo/gnl/internal/testenv"
)

// What the examples print varies, so go test does not run them. This does, and
// looks for errors that nothing accounts for.
func TestExamples(t *testing.T) {
	for name, example := range map[string]func(){
		"": Example, "PID": ExampleClient_PID, "Self": ExampleClient_Self, "Many": ExampleClient_Many,
		"ManyInto": ExampleClient_ManyInto, "Cgroup": ExampleClient_Cgroup, "Listen": ExampleClient_Listen,
	} {
		out := testenv.Printed(t, example)
		t.Logf("%s:\n%s", name, out)
		if len(out) == 0 {
			t.Errorf("%s printed nothing", name)
		}
		if os.Geteuid() == 0 && name != "Cgroup" && name != "PID" && strings.Contains(out, "taskstats: ") {
			t.Errorf("%s:\n%s", name, out)
		}
	}
}
