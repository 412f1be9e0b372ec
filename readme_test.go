//go:build linux

package gnl_test

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/gnlgo/gnl/internal/testenv"
)

var codeBlock = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")

func readmeBlocks(t *testing.T, language string) (blocks []string) {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	must(t, err)
	for _, m := range codeBlock.FindAllStringSubmatch(string(readme), -1) {
		if m[1] == language {
			blocks = append(blocks, m[2])
		}
	}
	if len(blocks) == 0 {
		t.Fatalf("README.md has no block of %q", language)
	}
	return blocks
}

// Every piece of Go in the README stands in an example, which is run.
func TestTheREADMEsGoIsThatOfTheExamples(t *testing.T) {
	flat := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	var examples string
	for _, file := range []string{"example_test.go", "ipvs/example_test.go"} {
		b, err := os.ReadFile(file)
		must(t, err)
		examples += flat(string(b))
	}
	for _, block := range readmeBlocks(t, "go") {
		if !strings.Contains(examples, flat(block)) {
			t.Errorf("in no example:\n%s", block)
		}
	}
}

// And every output is what an example prints.
func TestTheREADMEsOutputIsThatOfTheExamples(t *testing.T) {
	examples, err := os.ReadFile("example_test.go")
	must(t, err)
	for _, block := range readmeBlocks(t, "") {
		for line := range strings.Lines(block) {
			if !strings.Contains(string(examples), "// "+line) {
				t.Errorf("no example prints %s", line)
			}
		}
	}
}

// Every command of the README works, in a copy of the module.
func TestTheREADMEsCommandsWork(t *testing.T) {
	testenv.Root(t)
	if testing.Short() {
		t.Skip("builds the command")
	}
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(".")))
	for _, block := range readmeBlocks(t, "sh") {
		for line := range strings.Lines(block) {
			line = strings.TrimSpace(line)
			switch {
			case line == "./test": // is what runs this
			case strings.HasPrefix(line, "go get "): // is for another module
			case strings.HasPrefix(line, "./gnl ipvs "): // needs another kernel: a test of cmd/gnl runs these
			default:
				cmd := exec.Command("sh", "-c", line)
				cmd.Dir = dir
				var stderr bytes.Buffer
				cmd.Stderr = &stderr
				out, err := cmd.Output()
				if err != nil {
					t.Errorf("%s: %v\n%s", line, err, stderr.Bytes())
				} else if len(out) == 0 && !strings.HasPrefix(line, "go build") && !strings.Contains(line, "--for") {
					t.Errorf("%s printed nothing", line)
				}
			}
		}
	}
}
