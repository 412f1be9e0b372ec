package table

import (
	"os"
	"path/filepath"
	"testing"
)

func TestASectionLeavesTheOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "RESULTS.md")
	for _, step := range []struct{ section, want string }{
		{"# One\n\nfirst\n", "# One\n\nfirst\n"},
		{"# Two\n\n## Under it\n", "# One\n\nfirst\n\n# Two\n\n## Under it\n"},
		{"# One\n\nsecond\n\n", "# One\n\nsecond\n\n# Two\n\n## Under it\n"},
		{"# Two\n\nnew\n", "# One\n\nsecond\n\n# Two\n\nnew\n"},
	} {
		if err := Put(path, step.section); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != step.want {
			t.Fatalf("after %q: %q, want %q", step.section, got, step.want)
		}
	}
}
