//go:build linux && amd64

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestNamesOfModules(t *testing.T) {
	for path, want := range map[string]string{
		"/a/ip_vs.ko": "ip_vs", "crc32c-intel.ko.xz": "crc32c_intel", "x.ko.zst": "x", "x.ko.gz": "x", "modules.order": "", "x.xz": "",
	} {
		if got, ok := moduleName(path); ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q, %t", path, got, ok)
		}
	}
}

func TestWhatAModuleNeeds(t *testing.T) {
	exists := func(name string) bool {
		return slices.Contains([]string{"crc32c_generic", "nf_log", "crc32c_intel", "plain"}, name)
	}
	for section, want := range map[string][]string{
		"depends=a,b-c\x00name=x\x00":                                {"a", "b_c"},
		"depends=\x00softdep=pre: crypto-crc32c\x00":                 {"crc32c_generic"},
		"depends=\x00softdep=pre: crc32c\x00":                        {"crc32c_generic"},
		"softdep=pre: nosuch nf-log post: plain pre: plain\x00":      {"nf_log", "plain"},
		"softdep=post: plain\x00depends=a\x00softdep=pre: plain\x00": {"plain", "a"},
		"": nil,
	} {
		if got := parseInfo([]byte(section)).needs(exists); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", section, got, want)
		}
	}
}

func TestModulesComeAfterWhatTheyNeed(t *testing.T) {
	needs := map[string]string{"ip_vs": "nf_conntrack libcrc32c", "nf_conntrack": "nf_defrag libcrc32c", "nf_defrag": "", "libcrc32c": "built_in", "ip_vs_rr": "ip_vs", "broken": "missing", "a": "b", "b": "a"}
	read := func(name string) (*module, error) {
		n, ok := needs[name]
		if !ok {
			return nil, fmt.Errorf("no module %s", name)
		}
		return &module{Name: name, Needs: strings.Fields(n)}, nil
	}
	builtin := func(name string) bool { return name == "built_in" }
	names := func(all []*module) string {
		var s []string
		for _, m := range all {
			s = append(s, m.Name)
		}
		return strings.Join(s, " ")
	}
	all, err := closure([]string{"ip-vs-rr", "built_in", "nf_conntrack"}, builtin, read)
	if err != nil || names(all) != "nf_defrag libcrc32c nf_conntrack ip_vs ip_vs_rr" {
		t.Error(names(all), err)
	}
	if all, err := closure([]string{"a"}, builtin, read); err != nil || names(all) != "b a" { // a circle ends
		t.Error(names(all), err)
	}
	if _, err := closure([]string{"broken"}, builtin, read); err == nil || err.Error() != "module broken needs missing: no module missing" {
		t.Error(err)
	}
}

func TestModprobeFindsByNameAndByAlias(t *testing.T) {
	j := &job{Builtin: []string{"dummy"}, Modules: []*module{{Name: "ip_vs", Aliases: []string{familyAlias + "IPVS"}}, {Name: "team"}}}
	for name, want := range map[string]string{"ip_vs": "ip_vs", "ip-vs": "ip_vs", "net-pf-16-proto-16-family-IPVS": "ip_vs", "team": "team"} {
		if got, err := j.find(name); err != nil || len(got) != 1 || got[0].Name != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if got, err := j.find("dummy"); err != nil || got != nil {
		t.Error(got, err)
	}
	if _, err := j.find("nosuch"); err == nil {
		t.Error("found")
	}
}
