package main

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// scheduling is a way to choose destinations.
type scheduling struct{ name, text string }

var knownSchedulers = []scheduling{
	{"rr", "in turn"},
	{"wrr", "in turn, by weight"},
	{"lc", "least connections"},
	{"wlc", "least connections, by weight"},
	{"lblc", "locality-based least connections"},
	{"lblcr", "locality-based least connections with replication"},
	{"dh", "by the destination's address"},
	{"sh", "by the source's address"},
	{"mh", "by the source's address, Maglev hashing"},
	{"sed", "shortest expected delay"},
	{"nq", "never queue"},
	{"fo", "the heaviest that is there"},
	{"ovf", "the heaviest until it is full"},
	{"twos", "the better of two at random"},
}

// schedulers are those that the running kernel has modules for. Where that
// cannot be found out, they are all.
func schedulers() []scheduling {
	there := map[string]bool{}
	note := func(module string) {
		if name, ok := strings.CutPrefix(strings.ReplaceAll(module, "-", "_"), "ip_vs_"); ok {
			there[name] = true
		}
	}
	for _, list := range []string{"modules.dep", "modules.builtin"} {
		f, err := os.Open(filepath.Join("/lib/modules", kernelRelease(), list))
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			path, _, _ := strings.Cut(lines.Text(), ":")
			name, _, _ := strings.Cut(filepath.Base(path), ".")
			note(name)
		}
		f.Close()
	}
	loaded, _ := filepath.Glob("/sys/module/ip_vs_*")
	for _, path := range loaded {
		note(filepath.Base(path))
	}
	var all []scheduling
	for _, s := range knownSchedulers {
		if there[s.name] {
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return knownSchedulers
	}
	return all
}

func completeSchedulers(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	for _, s := range schedulers() {
		names = append(names, cobra.CompletionWithDesc(s.name, s.text))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
