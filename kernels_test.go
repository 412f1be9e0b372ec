//go:build linux

package gnl_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/internal/testenv"
)

// What only some kernels have, and what is no good for a machine that is used.
// internal/lab has them.

type nothing struct{}

// removed makes sure that a module is not there.
func removed(t *testing.T, module string) {
	t.Helper()
	testenv.NeedModule(t, module)
	testenv.Modprobe(t, "-r", module)
}

func TestTheKernelLoadsAModuleThatHasAnAliasForTheFamily(t *testing.T) {
	for family, module := range map[string]string{"IPVS": "ip_vs", "wireguard": "wireguard", "macsec": "macsec", "ovs_vport": "openvswitch", "NET_DM": "drop_monitor"} {
		t.Run(family, func(t *testing.T) {
			removed(t, module)
			c := open(t, nil) // which may not load modules
			if slices.Contains(familyNames(t, c), family) {
				t.Fatal("the family is there without its module")
			}
			f, err := c.Family(timeout(t), family)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(familyNames(t, c), family) || f.Name != family {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestAModuleWithoutAnAliasIsLoadedByItsNameIfAllowed(t *testing.T) {
	for family, module := range map[string]string{"team": "team", "fou": "fou", "ila": "ila"} {
		t.Run(family, func(t *testing.T) {
			removed(t, module)
			// A command that no family has: it is there, or else not found.
			command := gnl.Command[nothing, nothing]{Family: family, Module: module, ID: 200, Name: "none", Version: 1}
			_, err := command.Do(timeout(t), open(t, nil), nothing{})
			wantError(t, err, os.ErrNotExist)
			_, err = command.Do(timeout(t), open(t, &gnl.Config{LoadModules: true}), nothing{})
			wantError(t, err, errors.ErrUnsupported)
			if _, err := open(t, nil).Family(timeout(t), family); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestARequestMeetsTheModuleThatHasBeenLoadedAgain(t *testing.T) {
	removed(t, "ip_vs")
	c := open(t, nil)
	getInfo := gnl.Command[nothing, nothing]{Family: "IPVS", ID: 15, Name: "get-info", Version: 1} // IPVS_CMD_GET_INFO
	for range 3 {
		if _, err := getInfo.Do(timeout(t), c, nothing{}); err != nil {
			t.Fatal(err)
		}
		testenv.Modprobe(t, "-r", "ip_vs")
		testenv.Modprobe(t, "dummy") // it takes no family's number
	}
}

func familyNames(t *testing.T, c *gnl.Client) []string {
	t.Helper()
	families, err := c.Families(timeout(t))
	must(t, err)
	var names []string
	for _, f := range families {
		names = append(names, f.Name)
	}
	return names
}

// The policies of nl80211 lead back to themselves: a nest of measurements is
// again of peers, and so on.
func TestPoliciesThatLeadBackToThemselvesAreFinite(t *testing.T) {
	testenv.NeedModule(t, "mac80211_hwsim")
	testenv.Modprobe(t, "mac80211_hwsim")
	p, err := open(t, nil).Policy(timeout(t), "nl80211")
	must(t, err)
	tables := map[uint32]gnl.PolicyTable{}
	attributes := 0
	for _, table := range p.Policies {
		tables[table.Index] = table
		attributes += len(table.Attributes)
	}
	if len(tables) != len(p.Policies) || attributes < 300 {
		t.Errorf("%d tables of %d indices with %d attributes", len(p.Policies), len(tables), attributes)
	}
	back := false
	var follow func(index uint32, above []uint32)
	follow = func(index uint32, above []uint32) {
		if slices.Contains(above, index) {
			back = true
			return
		}
		table, ok := tables[index]
		if !ok {
			t.Fatalf("there is no policy %d, to which %v lead", index, above)
		}
		for _, a := range table.Attributes {
			if a.Policy.Given && !back {
				follow(a.Policy.Value, append(above, index))
			}
		}
	}
	for _, command := range p.Commands {
		if command.Do.Given {
			follow(command.Do.Value, nil)
		}
	}
	if !back {
		t.Error("no policy leads back to itself")
	}
}

// The radios that mac80211_hwsim makes of nothing are listed, each in several
// messages, and their coming is told.
func TestRadiosAreListedAndTheirComingIsTold(t *testing.T) {
	testenv.NeedModule(t, "mac80211_hwsim")
	removed(t, "mac80211_hwsim")
	type radio struct {
		Index uint32 `nl:"1"`
		Name  string `nl:"2"`
	}
	getRadios := gnl.Command[nothing, radio]{Family: "nl80211", ID: 1, Name: "get-wiphy"}
	c := open(t, nil)
	events, err := c.Subscribe(timeout(t), gnl.GroupName{Family: "nl80211", Group: "config"})
	must(t, err)
	defer events.Close()
	testenv.Modprobe(t, "mac80211_hwsim")
	radios, err := gnl.Collect(getRadios.Dump(timeout(t), c, nothing{}))
	must(t, err)
	if len(radios) != 2 || radios[0].Name == radios[1].Name { // the module's default
		t.Errorf("%+v", radios)
	}
	came := 0
	for m, err := range events.Messages(timeout(t)) {
		must(t, err)
		if m.Command == 3 { // NL80211_CMD_NEW_WIPHY
			if came++; came == 2 {
				break
			}
		}
	}
}

func TestDevlinkWithoutDevices(t *testing.T) {
	type handle struct {
		Bus    string `nl:"1,omitzero"`
		Device string `nl:"2,omitzero"`
	}
	testenv.NeedFamily(t, "devlink")
	get := gnl.Command[handle, handle]{Family: "devlink", ID: 1, Name: "get", Version: 1}
	c := open(t, nil)
	all, err := gnl.Collect(get.Dump(timeout(t), c, handle{}))
	if err != nil {
		t.Error(err)
	}
	if len(all) > 0 {
		t.Skipf("there are devices: %v", all)
	}
	_, err = get.Do(timeout(t), c, handle{"pci", "0000:00:00.0"})
	if err == nil || !strings.Contains(err.Error(), "no such device") {
		t.Error(err)
	}
}

func TestAFamilyMayHaveACommand0(t *testing.T) {
	testenv.NeedModule(t, "wireguard")
	c := open(t, nil)
	for _, all := range []bool{true, false} {
		var p *gnl.Policy
		var err error
		if all {
			p, err = c.Policy(t.Context(), "wireguard")
		} else {
			p, err = c.CommandPolicy(t.Context(), "wireguard", 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		// WG_CMD_GET_DEVICE, which only dumps.
		if get := p.Commands[0]; get.ID != 0 || get.Inferred || !get.Dump.Given {
			t.Errorf("of all commands %t: %+v", all, get)
		}
	}
}
