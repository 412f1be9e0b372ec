package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/internal/testenv"
)

// Scripts run the program as it is.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gnl": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: filepath.Join("testdata", "script"), Cmds: scriptCommands()})
}

// Scripts that need root have a network namespace of their own, $NETNS.
func TestRootScripts(t *testing.T) {
	testenv.Root(t)
	ip := testenv.Program(t, "ip", "iproute2")
	var made atomic.Int64
	testscript.Run(t, testscript.Params{Dir: filepath.Join("testdata", "root"), Cmds: scriptCommands(), Setup: func(env *testscript.Env) error {
		name := fmt.Sprintf("gnl-cmd-test-%d-%d", os.Getpid(), made.Add(1))
		if out, err := exec.Command(ip, "netns", "add", name).CombinedOutput(); err != nil {
			return fmt.Errorf("ip netns add: %w: %s", err, out)
		}
		env.Defer(func() { exec.Command(ip, "netns", "delete", name).Run() })
		env.Setenv("NETNS", name)
		return nil
	}})
}

// What scripts can do besides what testscript brings.
func scriptCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"code":   codeCommand,
		"await":  awaitCommand,
		"decode": decodeCommand,
	}
}

// code N PROGRAM ARG...: the program ends with exit code N.
func codeCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N PROGRAM ARG...")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, not %s\n%s", got, args[0], ts.ReadFile("stderr"))
	}
}

// await FILE REGEXP: waits until the file that a program writes has it.
func awaitCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await FILE REGEXP")
	}
	re, path := regexp.MustCompile("(?m)"+args[1]), ts.MkAbs(args[0])
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if b, _ := os.ReadFile(path); re.Match(b) {
			return
		}
	}
	b, _ := os.ReadFile(path)
	ts.Fatalf("%s has no %s:\n%s", args[0], args[1], b)
}

// decode SHAPE FILE: the file, or stdout, is JSON of that shape and nothing
// else: one document, or for events and exits one or more of them.
func decodeCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: decode SHAPE FILE")
	}
	shapes := map[string]func() any{
		"families": func() any { return new([]gnl.Family) }, "family": func() any { return new(gnl.Family) },
		"policy": func() any { return new(gnl.Policy) }, "event": func() any { return new(event) },
		"tasks": func() any { return new([]record) }, "exit": func() any { return new(exitRecord) },
		"cgroups": func() any { return new([]cgroupCounts) }, "version": func() any { return new(versions) },
	}
	text := ts.ReadFile(args[1])
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	n := 0
	for ; ; n++ {
		err := d.Decode(shapes[args[0]]())
		if err == io.EOF {
			break
		}
		if err != nil {
			ts.Fatalf("%v:\n%s", err, text)
		}
	}
	stream := args[0] == "event" || args[0] == "exit"
	if n == 0 || !stream && n != 1 || stream && strings.Count(text, "\n") != n {
		ts.Fatalf("%d documents:\n%s", n, text)
	}
}

// gnlOutput runs a command line in this process and returns what it wrote.
func gnlOutput(t *testing.T, width int, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errOut bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, errOut: &errOut, width: width}
	code = a.run(args)
	return out.String(), errOut.String(), code
}

// mustJSON runs a command line that writes one JSON document and decodes it.
func mustJSON(t *testing.T, v any, args ...string) {
	t.Helper()
	stdout, stderr, code := gnlOutput(t, 0, append(args, "--json")...)
	if code != 0 {
		t.Fatalf("gnl %s: exit code %d: %s", strings.Join(args, " "), code, stderr)
	}
	d := json.NewDecoder(strings.NewReader(stdout))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("gnl %s: %v in %s", strings.Join(args, " "), err, stdout)
	}
	if d.More() {
		t.Fatalf("gnl %s: more than one document", strings.Join(args, " "))
	}
}

func openClient(t *testing.T) *gnl.Client {
	t.Helper()
	client, err := gnl.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// allCommands is a command, and all below it.
func allCommands(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, c := range cmd.Commands() {
		all = append(all, allCommands(c)...)
	}
	return all
}

func TestEveryCommandIsExplained(t *testing.T) {
	root := (&app{}).rootCommand()
	for _, cmd := range allCommands(root) {
		if cmd.Short == "" || cmd.Example == "" || cmd.RunE == nil {
			t.Errorf("%s lacks a description or an example", cmd.CommandPath())
		}
		if cmd.ValidArgsFunction == nil && cmd.ValidArgs == nil && cmd != root {
			t.Errorf("%s does not say how its arguments are completed", cmd.CommandPath())
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if _, ok := cmd.GetFlagCompletionFunc(f.Name); !ok && f.Value.Type() != "bool" {
				t.Errorf("%s does not say how --%s is completed", cmd.CommandPath(), f.Name)
			}
		})
		for _, line := range strings.Split(cmd.Long+"\n"+cmd.Example, "\n") {
			if len([]rune(line)) > 80 {
				t.Errorf("help of %s has a line of more than 80 columns: %q", cmd.CommandPath(), line)
			}
		}
	}
}

// The examples in the help are command lines that gnl understands.
func TestExamplesAreRight(t *testing.T) {
	for _, c := range allCommands((&app{}).rootCommand()) {
		for _, line := range strings.Split(c.Example, "\n") {
			line, _, _ = strings.Cut(line, " > ")
			line, _, _ = strings.Cut(line, "#")
			for i, part := range strings.Split(line, " | ") {
				args := strings.Fields(strings.Trim(strings.TrimPrefix(strings.TrimSpace(part), "source <("), " )"))
				switch {
				case args[0] == "gnl":
					checkCommandLine(t, args[1:])
				case i == 0 && !strings.Contains(line, "| gnl"):
					t.Errorf("example of %s: %q", c.CommandPath(), line)
				}
			}
		}
	}
}

func checkCommandLine(t *testing.T, args []string) {
	t.Helper()
	root := (&app{}).rootCommand()
	var cmd *cobra.Command
	cmd, rest, err := root.Find(args)
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil {
		err = cmd.ValidateArgs(cmd.Flags().Args())
	}
	if err != nil || cmd.HasSubCommands() {
		t.Errorf("%q: command %s: %v", args, cmd.Name(), err)
	}
}

func TestBinaryIsStaticAndSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program: run without -short")
	}
	path := filepath.Join(t.TempDir(), "gnl")
	build := exec.Command("go", "build", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	// It has 9.5 MB. Templates, which cobra and go-pretty can do without, would
	// bring it to 12: with them in, the linker must keep every method.
	if const10MB := int64(10 << 20); info.Size() > const10MB {
		t.Errorf("the program has %d bytes: what made it grow?", info.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte("ld-linux")) || bytes.Contains(b, []byte("libc.so")) {
		t.Error("the program is not static")
	}
}
