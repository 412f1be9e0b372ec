//go:build linux

package taskstats_test

import (
	"io"
	"os"
	"strings"
	"testing"
)

// What the examples print varies, so go test does not run them. This does, and
// looks for errors that nothing accounts for.
func TestExamples(t *testing.T) {
	for name, example := range map[string]func(){
		"": Example, "PID": ExampleClient_PID, "Self": ExampleClient_Self, "Many": ExampleClient_Many,
		"ManyInto": ExampleClient_ManyInto, "Cgroup": ExampleClient_Cgroup, "Listen": ExampleClient_Listen,
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout := os.Stdout
		os.Stdout = w
		example()
		os.Stdout = stdout
		w.Close()
		out, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s:\n%s", name, out)
		if len(out) == 0 {
			t.Errorf("%s printed nothing", name)
		}
		if os.Geteuid() == 0 && name != "Cgroup" && name != "PID" && strings.Contains(string(out), "taskstats: ") {
			t.Errorf("%s:\n%s", name, out)
		}
	}
}
