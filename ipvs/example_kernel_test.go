//go:build linux

package ipvs_test

import (
	"os"
	"testing"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/internal/testenv"
	"github.com/gnlgo/gnl/ipvs"
	"github.com/gnlgo/gnl/ipvs/poolfile"
)

func TestTheExampleAppliesTheFile(t *testing.T) {
	testenv.NeedLab(t) // it configures the machine that it runs on
	t.Chdir(t.TempDir())
	f, err := os.Create("pools.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := poolfile.Write(f, poolfile.YAML, somePools()); err != nil {
		t.Fatal(err)
	}
	ExampleClient_Apply()

	g, err := gnl.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	c := ipvs.New(g)
	wantPools(t, c, somePools())
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}
