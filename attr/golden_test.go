package attr_test

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gnlgo/gnl/attr"
)

// What the generic netlink controller sends, in the order in which it sends it.
type (
	family struct {
		Name    string        `nl:"2"`
		ID      uint16        `nl:"1"`
		Version uint32        `nl:"3"`
		HdrSize uint32        `nl:"4"`
		MaxAttr uint32        `nl:"5"`
		Ops     []familyOp    `nl:"6,array=1,noflag,omitzero"`
		Groups  []familyGroup `nl:"7,array=1,noflag,omitzero"`
	}
	familyOp struct {
		ID    uint32 `nl:"1"`
		Flags uint32 `nl:"2"`
	}
	familyGroup struct {
		ID   uint32 `nl:"2"`
		Name string `nl:"1"`
	}

	// policyMessage is one of many that together describe a family's policies.
	policyMessage struct {
		Family uint16 `nl:"1"`
		// By index, and in there by attribute number.
		Policies map[uint32][]attributePolicy `nl:"8,keyed,omitzero"`
		Commands []commandPolicy              `nl:"9,keyed,omitzero"`
	}
	commandPolicy struct {
		Command uint32  `nl:"index"`
		Do      *uint32 `nl:"1"`
		Dump    *uint32 `nl:"2"`
	}
	attributePolicy struct {
		Attribute uint16  `nl:"index"`
		PolicyID  *uint32 `nl:"8"`
		MaxType   *uint32 `nl:"9"`
		Mask      *uint64 `nl:"12"`
		MinU      *uint64 `nl:"4"`
		MaxU      *uint64 `nl:"5"`
		MinS      *int64  `nl:"2"`
		MaxS      *int64  `nl:"3"`
		Bits      *uint32 `nl:"10"`
		MinLength *uint32 `nl:"6"`
		MaxLength *uint32 `nl:"7"`
		Type      uint32  `nl:"1"`
	}
)

// recording is a file of testdata.
type recording struct {
	Family struct {
		ID          uint16
		Name        string
		Version     uint32
		HdrSize     uint32
		MaxAttr     uint32
		Commands    map[uint32]uint32
		McastGroups map[string]uint32 `json:"mcast_groups"`
	}
	FamilyWire []string `json:"family_wire"`
	Policy     struct {
		FamilyID uint16 `json:"family_id"`
		Commands map[uint32]struct{ Do, Dump *uint32 }
		Policies map[uint32]map[uint16]struct {
			Type      uint32
			PolicyID  *uint32      `json:"policy_id"`
			MaxType   *uint32      `json:"policy_maxtype"`
			MinLength *uint32      `json:"min_length"`
			MaxLength *uint32      `json:"max_length"`
			MinValue  *json.Number `json:"min_value"`
			MaxValue  *json.Number `json:"max_value"`
			Mask      *uint64
		}
	}
	PolicyWire []string `json:"policy_wire"`
}

var recorded = []string{"linux-6.18/nlctrl", "linux-6.18/ethtool", "linux-6.18/netdev", "linux-6.18/thermal", "linux-6.18/TASKSTATS",
	"linux-6.12/IPVS", "linux-6.12/nl80211", "linux-6.12/devlink"}

func load(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(name)+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(name, err)
	}
}

// message is a generic netlink message without its headers.
type message struct {
	typ   uint16
	cmd   uint8
	attrs []byte
}

// messages takes datagrams in hex apart, up to the message that ends them.
func messages(t testing.TB, datagrams []string) (list []message) {
	t.Helper()
	for _, d := range datagrams {
		b, err := hex.DecodeString(d)
		if err != nil {
			t.Fatal(err)
		}
		for len(b) > 0 {
			n, typ := int(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint16(b[4:])
			if typ >= 16 {
				list = append(list, message{typ, b[16], b[20:n]})
			}
			b = b[min((n+3)&^3, len(b)):]
		}
	}
	return list
}

// roundTrip decodes in and checks that encoding gives the same bytes.
func roundTrip[T any](t testing.TB, in []byte) (v T) {
	t.Helper()
	if err := attr.Unmarshal(in, &v); err != nil {
		t.Fatal(err)
	}
	out, err := attr.Marshal(&v)
	if err != nil {
		t.Fatal(err)
	}
	sameBytes(t, out, in)
	return v
}

func TestRecordedFamilies(t *testing.T) {
	littleEndianOnly(t)
	for _, name := range recorded {
		t.Run(name, func(t *testing.T) {
			var r recording
			load(t, name, &r)
			list := messages(t, r.FamilyWire)
			if len(list) != 1 || list[0].cmd != 1 {
				t.Fatalf("there are %d messages", len(list))
			}
			got := roundTrip[family](t, list[0].attrs)
			want := family{Name: r.Family.Name, ID: r.Family.ID, Version: r.Family.Version, HdrSize: r.Family.HdrSize, MaxAttr: r.Family.MaxAttr}
			if got.Name != want.Name || got.ID != want.ID || got.Version != want.Version || got.HdrSize != want.HdrSize || got.MaxAttr != want.MaxAttr {
				t.Errorf("decoded to %+v, not %+v", got, want)
			}
			commands, groups := map[uint32]uint32{}, map[string]uint32{}
			for _, op := range got.Ops {
				commands[op.ID] = op.Flags
			}
			for _, g := range got.Groups {
				groups[g.Name] = g.ID
			}
			same(t, commands, r.Family.Commands)
			same(t, groups, r.Family.McastGroups)
		})
	}
}

func TestRecordedPolicies(t *testing.T) {
	littleEndianOnly(t)
	for _, name := range recorded {
		t.Run(name, func(t *testing.T) {
			var r recording
			load(t, name, &r)
			commands := map[uint32]commandPolicy{}
			policies := map[uint32]map[uint16]attributePolicy{}
			for _, m := range messages(t, r.PolicyWire) {
				p := roundTrip[policyMessage](t, m.attrs)
				if p.Family != r.Policy.FamilyID {
					t.Errorf("the policy is of family %d", p.Family)
				}
				for _, c := range p.Commands {
					commands[c.Command] = c
				}
				for index, list := range p.Policies {
					if policies[index] == nil {
						policies[index] = map[uint16]attributePolicy{}
					}
					for _, a := range list {
						policies[index][a.Attribute] = a
					}
				}
			}
			if len(commands) != len(r.Policy.Commands) || len(policies) != len(r.Policy.Policies) {
				t.Errorf("%d commands and %d policies, not %d and %d", len(commands), len(policies), len(r.Policy.Commands), len(r.Policy.Policies))
			}
			for id, want := range r.Policy.Commands {
				same(t, commands[id], commandPolicy{id, want.Do, want.Dump})
			}
			for index, attributes := range r.Policy.Policies {
				if len(policies[index]) != len(attributes) {
					t.Errorf("policy %d has %d attributes, not %d", index, len(policies[index]), len(attributes))
				}
				for number, want := range attributes {
					got := policies[index][number]
					if got.Bits != nil { // the other implementation has one mask for both
						bits := uint64(*got.Bits)
						got.Mask, got.Bits = &bits, nil
					}
					w := attributePolicy{Attribute: number, Type: want.Type, PolicyID: want.PolicyID, MaxType: want.MaxType,
						MinLength: want.MinLength, MaxLength: want.MaxLength, Mask: want.Mask}
					if got.Type == 16 || got.Type == 17 {
						got.MinU, got.MaxU, got.MinS, got.MaxS, got.Mask = nil, nil, nil, nil, nil
					}
					if want.MinValue != nil && want.Type <= 5 {
						w.MinU, w.MaxU = jsonNumber[uint64](t, want.MinValue), jsonNumber[uint64](t, want.MaxValue)
					} else if want.MinValue != nil {
						w.MinS, w.MaxS = jsonNumber[int64](t, want.MinValue), jsonNumber[int64](t, want.MaxValue)
					}
					if !reflect.DeepEqual(got, w) {
						t.Errorf("policy %d, attribute %d: %s", index, number, diff(got, w))
					}
				}
			}
		})
	}
}

func jsonNumber[T any](t *testing.T, n *json.Number) *T {
	t.Helper()
	v := new(T)
	if err := json.Unmarshal([]byte(*n), v); err != nil {
		t.Fatal(err)
	}
	return v
}

// What IPVS sends, in the order in which it sends it.
type (
	ipvs struct {
		Service    *ipvsService `nl:"1,noflag"`
		Dest       *ipvsDest    `nl:"2,noflag"`
		Daemon     *ipvsDaemon  `nl:"3,noflag"`
		TimeoutTCP *uint32      `nl:"4"`
		TimeoutFin *uint32      `nl:"5"`
		TimeoutUDP *uint32      `nl:"6"`
	}
	ipvsService struct {
		Family   *uint16          `nl:"1"`
		Protocol *uint16          `nl:"2"`
		Addr     *[16]byte        `nl:"3"`
		Port     *uint16          `nl:"4,be"`
		Mark     *uint32          `nl:"5"`
		Sched    *string          `nl:"6"`
		PE       *string          `nl:"11"`
		Flags    *attr.Bitfield32 `nl:"7"`
		Timeout  *uint32          `nl:"8"`
		Netmask  *uint32          `nl:"9,be"`
		Stats    *ipvsStats       `nl:"10,noflag"`
		Stats64  *ipvsStats64     `nl:"12,noflag"`
	}
	ipvsDest struct {
		Addr     *[16]byte    `nl:"1"`
		Port     *uint16      `nl:"2,be"`
		Forward  *uint32      `nl:"3"`
		Weight   *uint32      `nl:"4"`
		TunType  *uint8       `nl:"13"`
		TunPort  *uint16      `nl:"14,be"`
		TunFlags *uint16      `nl:"15"`
		Upper    *uint32      `nl:"5"`
		Lower    *uint32      `nl:"6"`
		Active   *uint32      `nl:"7"`
		Inactive *uint32      `nl:"8"`
		Persist  *uint32      `nl:"9"`
		Family   *uint16      `nl:"11"`
		Stats    *ipvsStats   `nl:"10,noflag"`
		Stats64  *ipvsStats64 `nl:"12,noflag"`
	}
	ipvsStats struct {
		Conns    uint32 `nl:"1"`
		InPkts   uint32 `nl:"2"`
		OutPkts  uint32 `nl:"3"`
		InBytes  uint64 `nl:"4"`
		OutBytes uint64 `nl:"5"`
		CPS      uint32 `nl:"6"`
		InPPS    uint32 `nl:"7"`
		OutPPS   uint32 `nl:"8"`
		InBPS    uint32 `nl:"9"`
		OutBPS   uint32 `nl:"10"`
	}
	ipvsStats64 struct {
		Conns    uint64 `nl:"1"`
		InPkts   uint64 `nl:"2"`
		OutPkts  uint64 `nl:"3"`
		InBytes  uint64 `nl:"4"`
		OutBytes uint64 `nl:"5"`
		CPS      uint64 `nl:"6"`
		InPPS    uint64 `nl:"7"`
		OutPPS   uint64 `nl:"8"`
		InBPS    uint64 `nl:"9"`
		OutBPS   uint64 `nl:"10"`
	}
	ipvsDaemon struct {
		State  *uint32   `nl:"1"`
		Ifn    *string   `nl:"2"`
		SyncID *uint32   `nl:"3"`
		MaxLen *uint16   `nl:"4"`
		Group  *uint32   `nl:"5,be"`
		Group6 *[16]byte `nl:"6"`
		Port   *uint16   `nl:"7"`
		TTL    *uint8    `nl:"8"`
	}
)

// sorted is a list in one order, those within nests of depth below 2 too: the
// other implementation sends attributes in an order of its own.
func sorted(b []byte, depth int) string {
	var list []string
	d := attr.NewDecoder(b)
	for d.Next() {
		if payload := d.Bytes(); depth == 0 && d.Type() <= 3 {
			list = append(list, string(n16(d.Type()))+sorted(payload, 1))
		} else {
			list = append(list, string(n16(d.Type()))+string(payload))
		}
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}

func TestRecordedIPVS(t *testing.T) {
	littleEndianOnly(t)
	var ops []struct {
		Op     string
		Tx, Rx []string
	}
	load(t, "linux-6.12/ipvs-operations", &ops)
	services, dests := 0, 0
	for _, op := range ops {
		for _, m := range messages(t, op.Tx) {
			var v ipvs
			if err := attr.Unmarshal(m.attrs, &v); err != nil {
				// The kernel takes a part of an address; a [16]byte does not.
				if !errors.Is(err, attr.ErrLength) || !strings.Contains(op.Op, "addr only 4 bytes") {
					t.Errorf("%s: %v", op.Op, err)
				}
				continue
			}
			out, err := attr.Marshal(&v)
			if err != nil {
				t.Fatal(op.Op, err)
			}
			if sorted(out, 0) != sorted(m.attrs, 0) {
				t.Errorf("%s: request % x is encoded as % x", op.Op, m.attrs, out)
			}
		}
		for _, m := range messages(t, op.Rx) {
			switch m.cmd {
			case 1:
				v := roundTrip[ipvs](t, m.attrs)
				if v.Service == nil || v.Service.Flags == nil || v.Service.Flags.Selector != 1<<32-1 || v.Service.Stats64 == nil {
					t.Errorf("%s: decoded to %+v", op.Op, v)
				}
				services++
			case 5:
				v := roundTrip[ipvs](t, m.attrs)
				if v.Dest == nil || v.Dest.Addr == nil || v.Dest.Stats64 == nil {
					t.Errorf("%s: decoded to %+v", op.Op, v)
				}
				dests++
			case 12:
				if v := roundTrip[ipvs](t, m.attrs); v.TimeoutTCP == nil || *v.TimeoutTCP == 0 {
					t.Errorf("%s: decoded to %+v", op.Op, v)
				}
			}
		}
	}
	if services < 20 || dests < 20 {
		t.Errorf("%d services and %d destinations were decoded", services, dests)
	}
}
