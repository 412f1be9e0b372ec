package main

import (
	"testing"

	"github.com/gnlgo/gnl/internal/testenv"
)

// With every module that the lab has, there are families of all kinds: several
// in one module, some with a header of their own, and policies with cycles.
func TestTheFamiliesOfAllModulesAreAsGenlHasThem(t *testing.T) {
	testenv.NeedLab(t)
	for _, module := range testenv.LabModules() {
		testenv.Modprobe(t, module)
	}
	t.Run("families", TestFamiliesAsGenlHasThem)
	t.Run("policies", TestPoliciesAsGenlHasThem)
}
