//go:build linux

package gnl

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"syscall"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/gnlgo/gnl/netlink"
)

// recordedPolicy is a policy as the recording's program writes it.
type recordedPolicy struct {
	Commands map[string]struct{ Do, Dump *uint32 }
	Policies map[string]map[string]struct {
		Type      uint32
		PolicyID  *uint32  `json:"policy_id"`
		MaxType   *uint32  `json:"policy_maxtype"`
		MinLength *uint32  `json:"min_length"`
		MaxLength *uint32  `json:"max_length"`
		Min       *Integer `json:"min_value"`
		Max       *Integer `json:"max_value"`
		Mask      *uint64
	}
}

func TestRecordedPoliciesDecodeToWhatAnotherProgramSaw(t *testing.T) {
	if *(*uint16)(unsafe.Pointer(&[2]byte{1, 0})) != 1 {
		t.Skip("the recordings are little-endian")
	}
	for _, name := range []string{"nlctrl", "ethtool", "TASKSTATS", "thermal", "netdev", "nl80211-6.12"} {
		t.Run(name, func(t *testing.T) {
			var recorded struct {
				Policy     recordedPolicy
				PolicyWire []string `json:"policy_wire"`
			}
			b, err := os.ReadFile("testdata/" + name + ".json")
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(b, &recorded); err != nil {
				t.Fatal(err)
			}
			var p Policy
			for _, datagram := range recorded.PolicyWire {
				rest, err := hex.DecodeString(datagram)
				if err != nil {
					t.Fatal(err)
				}
				for len(rest) > 0 {
					var m netlink.Message
					if m, rest, err = netlink.ParseMessage(rest); err != nil {
						t.Fatal(err)
					}
					if m.Type != netlink.TypeDone {
						if err := p.AddMessage(m.Data[genlHeaderLen:]); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			comparePolicy(t, &recorded.Policy, &p)
		})
	}
}

func comparePolicy(t *testing.T, want *recordedPolicy, got *Policy) {
	t.Helper()
	if len(got.Commands) != len(want.Commands) {
		t.Errorf("%d commands, recorded %d", len(got.Commands), len(want.Commands))
	}
	for _, c := range got.Commands {
		w := want.Commands[strconv.Itoa(int(c.ID))]
		if c.Do != optional(w.Do) || c.Dump != optional(w.Dump) {
			t.Errorf("command %d: do %s dump %s, recorded %s %s", c.ID, c.Do, c.Dump, optional(w.Do), optional(w.Dump))
		}
	}
	attributes, recorded := 0, 0
	for _, attrs := range want.Policies {
		recorded += len(attrs)
	}
	for _, table := range got.Policies {
		for _, a := range table.Attributes {
			attributes++
			w, ok := want.Policies[strconv.Itoa(int(table.Index))][strconv.Itoa(int(a.ID))]
			if !ok {
				t.Errorf("policy %d attribute %d is not in the recording", table.Index, a.ID)
				continue
			}
			r := AttributePolicy{ID: a.ID, Type: AttributeType(w.Type), Min: optional(w.Min), Max: optional(w.Max), Mask: optional(w.Mask),
				MinLength: optional(w.MinLength), MaxLength: optional(w.MaxLength), Policy: optional(w.PolicyID), MaxType: optional(w.MaxType)}
			if a.Type == TypeSint || a.Type == TypeUint {
				// The recording's program does not know these types, and left their ranges out.
				r.Min, r.Max, r.Mask = a.Min, a.Max, a.Mask
			}
			if diff := cmp.Diff(r, a, cmp.AllowUnexported(Integer{})); diff != "" {
				t.Errorf("policy %d attribute %d (-recorded +got):\n%s", table.Index, a.ID, diff)
			}
		}
	}
	if attributes != recorded {
		t.Errorf("%d attributes, recorded %d", attributes, recorded)
	}
}

func optional[T any](p *T) Optional[T] {
	if p == nil {
		return Optional[T]{}
	}
	return Some(*p)
}

func openPolicy(t *testing.T) (*Client, context.Context) {
	c, err := Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, t.Context()
}

func TestPolicyOfAFamilyWithoutOne(t *testing.T) {
	c, ctx := openPolicy(t)
	if _, err := c.Family(ctx, "VFS_DQUOT"); err != nil {
		t.Skip("this kernel has no quota: ", err)
	}
	if _, err := c.Policy(ctx, "VFS_DQUOT"); !errors.Is(err, syscall.ENODATA) {
		t.Errorf("%v is not ENODATA", err)
	}
}

func TestPolicyOfACommand(t *testing.T) {
	c, ctx := openPolicy(t)
	p, err := c.CommandPolicy(ctx, "nlctrl", 3)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Commands) != 1 || p.Commands[0].ID != 3 || !p.Commands[0].Do.Given {
		t.Errorf("policy of getfamily: %+v", p.Commands)
	}
	if p, err = c.CommandPolicy(ctx, "nlctrl", 10); err != nil || len(p.Commands) != 1 || p.Commands[0].ID != 10 {
		t.Errorf("policy of getpolicy, which only dumps: %+v, %v", p, err)
	}
	if _, err := c.CommandPolicy(ctx, "nlctrl", 99); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("command 99: %v is not ENOENT", err)
	}
	want := "gnl: nosuch: the kernel has no such family: no such file or directory"
	if _, err := c.CommandPolicy(ctx, "nosuch", 1); !errors.Is(err, os.ErrNotExist) || err.Error() != want {
		t.Errorf("no such family: %v, want %s", err, want)
	}
	if _, err := c.CommandPolicy(ctx, "nlctrl", 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("command 0, which some families have: %v is not ENOENT", err)
	}
}

// Linux 6.18 files the policies of commands that only dump under command 0.
func TestPoliciesOfDumpOnlyCommandsAreFoundTheirCommand(t *testing.T) {
	c, ctx := openPolicy(t)
	for family, command := range map[string]uint32{"nlctrl": 10, "netdev": 12} {
		p, err := c.Policy(ctx, family)
		if err != nil {
			t.Logf("%s: %v", family, err)
			continue
		}
		f, err := c.Family(ctx, family)
		if err != nil {
			t.Fatal(err)
		}
		if cmd, ok := f.Command(command); !ok || cmd.Flags&(CommandDo|CommandDump) != CommandDump {
			t.Logf("%s: command %d does not only dump on this kernel", family, command)
			continue
		}
		found := false
		for _, cmd := range p.Commands {
			if cmd.ID == 0 {
				t.Errorf("%s: a policy is left under command 0", family)
			}
			if cmd.ID == command {
				found = true
				if !cmd.Dump.Given || cmd.Do.Given {
					t.Errorf("%s: command %d has do %s dump %s", family, command, cmd.Do, cmd.Dump)
				}
			}
		}
		if !found {
			t.Errorf("%s: no policy of command %d", family, command)
		}
	}
}

func TestTheMappingIsLeftAloneWhereItIsAmbiguous(t *testing.T) {
	c, ctx := openPolicy(t)
	p := &Policy{Commands: []CommandPolicy{{ID: 0}, {ID: 0}, {ID: 3}}} // nlctrl has one dump-only command
	if err := c.mapDumpOnly(ctx, &getPolicy{FamilyName: "nlctrl"}, p); err != nil {
		t.Fatal(err)
	}
	if p.Commands[0].ID != 0 || p.Commands[1].ID != 0 || p.Commands[0].Inferred {
		t.Errorf("guessed: %+v", p.Commands)
	}
}

func TestPolicyJSONLeavesOutWhatTheKernelDoesNotSay(t *testing.T) {
	p := Policy{FamilyID: 5, Commands: []CommandPolicy{{ID: 1, Do: Some(uint32(0))}}, Policies: []PolicyTable{{Attributes: []AttributePolicy{
		{ID: 1, Type: TypeS8, Min: Some(Signed(-128)), Max: Some(Signed(127))},
		{ID: 2, Type: TypeU64, Min: Some(Unsigned(0)), Max: Some(Unsigned(1<<64 - 1))},
		{ID: 3, Type: TypeFlag},
	}}}}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"family_id":5,"commands":[{"id":1,"do":0}],"policies":[{"index":0,"attributes":[` +
		`{"id":1,"type":"s8","min":-128,"max":127},{"id":2,"type":"u64","min":0,"max":18446744073709551615},{"id":3,"type":"flag"}]}]}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	var back Policy
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, back, cmp.AllowUnexported(Integer{})); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestAcceptsInWords(t *testing.T) {
	for want, p := range map[string]AttributePolicy{
		"1..4294967295":    {Min: Some(Unsigned(1)), Max: Some(Unsigned(1<<32 - 1))},
		"-1..1":            {Min: Some(Signed(-1)), Max: Some(Signed(1))},
		"bits 0x7":         {Mask: Some(uint64(7))},
		"at most 15 bytes": {MaxLength: Some(uint32(15))},
		"at least 4 bytes": {MinLength: Some(uint32(4))},
		"6 bytes":          {MinLength: Some(uint32(6)), MaxLength: Some(uint32(6))},
		"1 to 6 bytes":     {MinLength: Some(uint32(1)), MaxLength: Some(uint32(6))},
		"":                 {},
	} {
		if got := p.Accepts(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// The kernel lists the policies in the order of their indices, but need not.
func TestPoliciesAreInTheOrderOfTheirIndices(t *testing.T) {
	var p, q Policy
	for _, message := range [][]byte{ // {index: {attribute: {type: u8}}}
		{20, 0, 8, 0, 16, 0, 2, 0, 12, 0, 1, 0, 8, 0, 1, 0, 2, 0, 0, 0},
		{20, 0, 8, 0, 16, 0, 0, 0, 12, 0, 3, 0, 8, 0, 1, 0, 2, 0, 0, 0},
		{20, 0, 8, 0, 16, 0, 1, 0, 12, 0, 5, 0, 8, 0, 1, 0, 2, 0, 0, 0},
		{20, 0, 8, 0, 16, 0, 2, 0, 12, 0, 2, 0, 8, 0, 1, 0, 2, 0, 0, 0},
	} {
		if err := p.AddMessage(message); err != nil {
			t.Fatal(err)
		}
	}
	of := func(ids ...uint32) (list []AttributePolicy) {
		for _, id := range ids {
			list = append(list, AttributePolicy{ID: id, Type: TypeU8})
		}
		return list
	}
	q.Policies = []PolicyTable{{0, of(3)}, {1, of(5)}, {2, of(1, 2)}}
	if diff := cmp.Diff(q, p, cmp.AllowUnexported(Integer{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add([]byte{8, 0, 8, 0, 4, 0, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Policy
		if p.AddMessage(b) == nil {
			if _, err := json.Marshal(p); err != nil {
				t.Fatal(err)
			}
			for i := range p.Policies {
				if i > 0 && p.Policies[i-1].Index >= p.Policies[i].Index {
					t.Fatalf("not in order: %+v", p.Policies)
				}
			}
		}
	})
}
