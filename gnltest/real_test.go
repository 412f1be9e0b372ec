//go:build linux

package gnltest_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/gnltest"
	"github.com/gnlgo/gnl/netlink"
)

// These tests compare the fake with the kernel that they run on: its families
// are declared in the fake as it reports them, both are asked the same, and the
// answers must be the same to the byte, but for what differs from one socket and
// one boot to the next: ids of families and groups, sequence numbers, port ids.

// twin is a fake with all families of the running kernel, under the same ids.
func twin(t *testing.T) (*gnltest.Kernel, []gnl.Family) {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	must(t, err)
	var major, minor int
	fmt.Sscanf(string(b), "%d.%d", &major, &minor)
	if major < 6 || major == 6 && minor < 18 {
		t.Skipf("the fake is as Linux 6.18 is, and this is %s", b)
	}
	client, err := gnl.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	families, err := client.Families(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k := gnltest.NewKernel(t)
	for i := range families {
		if families[i].Name == "nlctrl" {
			continue // the fake has it already, by its own declaration
		}
		policy, err := client.Policy(t.Context(), families[i].Name)
		if err != nil {
			policy = nil // it has none
		}
		f := gnltest.FamilyOf(&families[i], policy)
		if f.Name == "TASKSTATS" { // older than strict checks
			for j := range f.Commands {
				f.Commands[j].Lenient = true
			}
		}
		k.Register(f)
	}
	return k, families
}

// question is a request to nlctrl.
type question struct {
	name  string
	flags netlink.Flags
	data  []byte
}

func genl(command uint8, encode func(*attr.Encoder)) []byte {
	e := attr.NewEncoder([]byte{command, 2, 0, 0})
	if encode != nil {
		encode(e)
	}
	b, err := e.Finish()
	if err != nil {
		panic(err)
	}
	return b
}

func TestControllerAnswersAsTheRunningKernel(t *testing.T) {
	k, families := twin(t)
	const getFamily, getPolicy, dump = 3, 10, netlink.FlagDump
	junk := []byte{1, 2, 3}
	long := func(e *attr.Encoder) { e.String(2, "a-name-of-more-than-fifteen-bytes") }
	questions := []question{
		{"all families", dump, genl(getFamily, nil)},
		{"no family named", 0, genl(getFamily, nil)},
		{"name too long", 0, genl(getFamily, long)},
		{"name without a NUL", 0, genl(getFamily, func(e *attr.Encoder) { e.Text(2, "nlctrl") })},
		{"empty name", 0, genl(getFamily, func(e *attr.Encoder) { e.Bytes(2, nil) })},
		{"no such name", 0, genl(getFamily, func(e *attr.Encoder) { e.String(2, "no-such") })},
		{"no such id", 0, genl(getFamily, func(e *attr.Encoder) { e.Uint16(1, 999) })},
		{"id too short", 0, genl(getFamily, func(e *attr.Encoder) { e.Uint8(1, 16) })},
		{"id too long", 0, genl(getFamily, func(e *attr.Encoder) { e.Uint32(1, 16) })},
		{"name wins over id", 0, genl(getFamily, func(e *attr.Encoder) { e.Uint16(1, 999); e.String(2, "nlctrl") })},
		{"unknown attribute", 0, genl(getFamily, func(e *attr.Encoder) { e.Uint16(1, 16); e.Uint32(99, 1) })},
		{"junk behind the attributes", 0, append(genl(getFamily, func(e *attr.Encoder) { e.Uint16(1, 16) }), junk...)},
		{"junk of no family", 0, append(genl(getFamily, nil), junk...)},
		{"attribute flagged as a nest", 0, genl(getFamily, func(e *attr.Encoder) { e.Raw(attr.Raw{Type: 1 | attr.FlagNested, Payload: []byte{16, 0}}) })},
		{"reserved header bits", 0, []byte{getFamily, 2, 1, 1, 6, 0, 1, 0, 16, 0, 0, 0}},
		{"other flags", 0x800, genl(getFamily, func(e *attr.Encoder) { e.Uint16(1, 16) })},
		{"dump with junk", dump, append(genl(getFamily, nil), junk...)},
		{"dump with an unknown attribute", dump, genl(getFamily, func(e *attr.Encoder) { e.Uint32(99, 1) })},
		{"dump with attribute 0", dump, genl(getFamily, func(e *attr.Encoder) { e.Uint32(0, 1) })},
		{"dump with id too long", dump, genl(getFamily, func(e *attr.Encoder) { e.Uint32(1, 16) })},
		{"dump with name too long", dump, genl(getFamily, long)},
		{"no such command", 0, genl(77, nil)},
		{"command that only dumps", 0, genl(getPolicy, nil)},
		{"command 0", 0, genl(0, nil)},
		{"policy of nothing", dump, genl(getPolicy, nil)},
		{"policy of no such family", dump, genl(getPolicy, func(e *attr.Encoder) { e.String(2, "no-such") })},
		{"policy of no such id", dump, genl(getPolicy, func(e *attr.Encoder) { e.Uint16(1, 999) })},
		{"policy by id and name", dump, genl(getPolicy, func(e *attr.Encoder) { e.Uint16(1, 16); e.String(2, "no-such") })},
		{"policy with an unknown attribute", dump, genl(getPolicy, func(e *attr.Encoder) { e.Uint16(1, 16); e.Uint32(11, 1) })},
		{"policy with an attribute that has no policy", dump, genl(getPolicy, func(e *attr.Encoder) { e.Uint16(1, 16); e.Uint32(5, 1) })},
		{"policy of no such command", dump, genl(getPolicy, func(e *attr.Encoder) { e.Uint16(1, 16); e.Uint32(10, 77) })},
		{"policy of command 300", dump, genl(getPolicy, func(e *attr.Encoder) { e.Uint16(1, 16); e.Uint32(10, 300) })},
		{"header cut short", 0, []byte{3, 2}},
		{"no header", 0, nil},
	}
	for _, f := range families {
		name := func(e *attr.Encoder) { e.String(2, f.Name) }
		questions = append(questions,
			question{f.Name + " by name", 0, genl(getFamily, name)},
			question{f.Name + " by id", 0, genl(getFamily, func(e *attr.Encoder) { e.Uint16(1, f.ID) })},
			question{f.Name + " policy", dump, genl(getPolicy, name)},
			question{f.Name + " unknown command", 0, genl(getPolicy, name)},
		)
		for _, c := range f.Commands {
			questions = append(questions, question{fmt.Sprintf("%s policy of command %d", f.Name, c.ID), dump,
				genl(getPolicy, func(e *attr.Encoder) { name(e); e.Uint32(10, c.ID) })})
		}
	}
	groups := groupNumbers(t, k, families)
	for _, q := range questions {
		want := ask(t, func(c *netlink.Config) (*netlink.Conn, error) { return netlink.Dial(netlink.Generic, c) }, q, nil)
		got := ask(t, k.Dial, q, groups)
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("%s:\n fake %x\n real %x", q.name, got, want)
		}
	}
}

// groupNumbers maps the fake's group numbers to the real ones.
func groupNumbers(t *testing.T, k *gnltest.Kernel, families []gnl.Family) map[uint32]uint32 {
	t.Helper()
	fake, err := k.Client().Families(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := map[uint32]uint32{}
	for i := range fake {
		for j := range fake[i].Groups {
			m[fake[i].Groups[j].ID] = families[i].Groups[j].ID
		}
	}
	return m
}

// ask makes a request on a socket of its own and returns the datagrams that
// come, with sequence numbers and port ids 0 and group numbers mapped.
func ask(t *testing.T, dial func(*netlink.Config) (*netlink.Conn, error), q question, groups map[uint32]uint32) (datagrams [][]byte) {
	t.Helper()
	c, err := dial(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	request := netlink.AppendMessage(nil, 16, netlink.FlagRequest|netlink.FlagAck|q.flags, q.data)
	// AppendMessage pads; the kernel is to see the bytes as they are.
	if _, err := c.Send(request[:netlink.HeaderLen+len(q.data)]); err != nil {
		t.Fatal(err)
	}
	var datagram []byte
	for {
		m, err := c.Receive(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		b := netlink.AppendMessage(nil, m.Type, m.Flags, m.Data)
		if m.Type == netlink.TypeError {
			clear(b[netlink.HeaderLen+4+8 : netlink.HeaderLen+4+16]) // of the request's header
		}
		mapGroups(b, groups)
		datagram = append(datagram, b...)
		if !c.Buffered() {
			datagrams, datagram = append(datagrams, datagram), nil
		}
		if m.Type == netlink.TypeError || m.Type == netlink.TypeDone {
			return datagrams
		}
	}
}

// mapGroups replaces the group numbers in a message about a family.
func mapGroups(b []byte, groups map[uint32]uint32) {
	if groups == nil || binary.NativeEndian.Uint16(b[4:]) != 16 || b[16] != 1 {
		return
	}
	d := attr.NewDecoder(b[20:])
	for d.Next() {
		if d.Type() != 7 {
			continue
		}
		list := d.Nested()
		for list.Next() {
			group := list.Nested()
			for group.Next() {
				if group.Type() == 2 {
					binary.NativeEndian.PutUint32(group.Bytes(), groups[group.Uint32()])
				}
			}
		}
	}
}
