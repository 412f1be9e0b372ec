//go:build linux

package ipvs_test

import (
	"os"
	"strings"
	"testing"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/internal/testenv"
	"github.com/gnlgo/gnl/ipvs"
	"github.com/gnlgo/gnl/ipvs/poolfile"
)

// The examples configure the machine that they run on, so go test does not run
// them. In the lab these do.

func TestExamples(t *testing.T) {
	testenv.NeedLab(t)
	for _, example := range []func(){ExampleClient_AddService, ExampleClient_UpdateDestination, ExampleBatch, Example} {
		out := testenv.Printed(t, example)
		if strings.Contains(out, "ipvs: ") || strings.Contains(out, "gnl: ") {
			t.Error(out)
		}
		t.Log(out)
	}
	flush(t)
}

// flush empties the balancer of the lab.
func flush(t testing.TB) {
	t.Helper()
	g, err := gnl.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := ipvs.New(g).Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestTheExampleAppliesTheFile(t *testing.T) {
	testenv.NeedLab(t)
	t.Chdir(t.TempDir())
	f, err := os.Create("pools.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := poolfile.Write(f, poolfile.YAML, somePools()); err != nil {
		t.Fatal(err)
	}
	t.Log(testenv.Printed(t, ExampleClient_Apply))

	g, err := gnl.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	wantPools(t, ipvs.New(g), somePools())
	flush(t)
}
