//go:build linux

package ipvs_test

import (
	"io"
	"os"
	"strings"
	"testing"
)

// What these examples print varies, so go test does not run them. This does, and
// looks for errors that nothing accounts for.
func TestExamples(t *testing.T) {
	for name, example := range map[string]func(){
		"": Example, "AddService": ExampleClient_AddService, "UpdateDestination": ExampleClient_UpdateDestination, "Batch": ExampleBatch,
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
		_, there := os.Stat("/proc/net/ip_vs")
		if there == nil && os.Geteuid() == 0 && strings.Contains(string(out), "ipvs: ") {
			t.Errorf("%s:\n%s", name, out)
		}
	}
}
