package covered

import (
	"os"
	"testing"
)

func TestSign(t *testing.T) {
	if Sign(5) != 1 {
		t.Error("5")
	}
	if b, err := os.ReadFile("testdata/file"); err != nil || string(b) != "here\n" {
		t.Errorf("%q, %v", b, err)
	}
	if os.Getenv("GNL_LAB") != "uml" || os.Geteuid() != 0 {
		t.Error("this is not the lab")
	}
}
