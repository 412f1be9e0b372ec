package gnltest

import (
	"encoding/binary"
	"fmt"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/internal/unix"
	"github.com/gnlgo/gnl/netlink"
)

// The controller's commands and attributes (CTRL_CMD_*, CTRL_ATTR_*).
const (
	ctrlNewFamily = 1
	ctrlDelFamily = 2
	ctrlGetFamily = 3
	ctrlNewGroup  = 7
	ctrlDelGroup  = 8
	ctrlGetPolicy = 10

	ctrlAttrFamilyID   = 1
	ctrlAttrFamilyName = 2
	ctrlAttrPolicy     = 8
	ctrlAttrOpPolicy   = 9
	ctrlAttrOp         = 10
)

const controllerName = "nlctrl"

// controllerQuery is what the controller is asked. Numbers are read as the
// kernel reads those of lenient commands: from the start of a payload that may
// be longer.
type controllerQuery struct {
	id      uint16
	name    string
	command uint32

	given attr.Set
}

func parseControllerQuery(r *Request) (q controllerQuery) {
	d := attr.NewDecoder(r.Attributes)
	for d.Next() {
		b := d.Bytes()
		switch d.Type() {
		case ctrlAttrFamilyID:
			q.id = binary.NativeEndian.Uint16(b)
		case ctrlAttrFamilyName:
			q.name = d.String()
		case ctrlAttrOp:
			q.command = binary.NativeEndian.Uint32(b)
		}
		if d.Type() < 64 {
			q.given |= 1 << d.Type()
		}
	}
	return q
}

// familyMessage is what it tells of a family.
type familyMessage struct {
	Name       string              `nl:"2"`
	ID         uint16              `nl:"1"`
	Version    uint32              `nl:"3"`
	HeaderSize uint32              `nl:"4"`
	MaxAttr    uint32              `nl:"5"`
	Commands   []gnl.FamilyCommand `nl:"6,array=1,noflag,omitzero"`
	Groups     []groupMessage      `nl:"7,array=1,noflag,omitzero"`
}

type groupMessage struct {
	ID   uint32 `nl:"2"`
	Name string `nl:"1"`
}

// groupEvent is what it tells when a group comes or goes.
type groupEvent struct {
	Name   string         `nl:"2"`
	ID     uint16         `nl:"1"`
	Groups []groupMessage `nl:"7,array=1,noflag"`
}

func (f *family) message() familyMessage {
	m := familyMessage{Name: f.Name, ID: f.ID, Version: f.Version, HeaderSize: f.HeaderSize, MaxAttr: f.MaxAttr}
	for i := range f.Commands {
		c := &f.Commands[i]
		m.Commands = append(m.Commands, gnl.FamilyCommand{ID: uint32(c.ID), Flags: c.flags()})
	}
	for _, g := range f.groups {
		m.Groups = append(m.Groups, groupMessage{ID: g.ID, Name: g.Name})
	}
	return m
}

// controller declares nlctrl as Linux 6.18 does.
func (k *Kernel) controller() Family {
	id := gnl.AttributePolicy{ID: ctrlAttrFamilyID, Type: gnl.TypeU16}
	name := gnl.AttributePolicy{ID: ctrlAttrFamilyName, Type: gnl.TypeNulString, MaxLength: gnl.Some[uint32](15)}
	op := gnl.AttributePolicy{ID: ctrlAttrOp, Type: gnl.TypeU32}
	family := []gnl.AttributePolicy{id, name}
	return Family{
		Name: controllerName, ID: ctrlID, Version: 2, Groups: []string{"notify"},
		Commands: []Command{
			{ID: ctrlGetFamily, Do: k.getFamily, Dump: k.getFamilies, Policy: family, DumpPolicy: family, Lenient: true},
			{ID: ctrlGetPolicy, Dump: k.getPolicy, DumpPolicy: []gnl.AttributePolicy{id, name, op}},
		},
	}
}

// find is the family that a query names: by name or by id, and if by both, by
// the one that counts.
func (k *Kernel) find(q *controllerQuery, preferName bool) (*family, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	byID, byName := q.given.Has(ctrlAttrFamilyID), q.given.Has(ctrlAttrFamilyName)
	var f *family
	switch {
	case byName && (preferName || !byID):
		f = k.registry.byName(q.name)
	case byID:
		f = k.registry.byID[q.id]
	default:
		return nil, unix.EINVAL
	}
	if f == nil {
		return nil, unix.ENOENT
	}
	return f, nil
}

// getFamily is ctrl_getfamily.
func (k *Kernel) getFamily(r *Request) error {
	q := parseControllerQuery(r)
	f, err := k.find(&q, true)
	if err != nil {
		return err
	}
	r.Reply(ctrlNewFamily, f.message())
	return nil
}

// getFamilies is ctrl_dumpfamily.
func (k *Kernel) getFamilies(r *Request) error {
	k.mu.Lock()
	families := append([]*family{}, k.registry.order...)
	k.mu.Unlock()
	r.endInPlace = true
	for _, f := range families {
		r.Reply(ctrlNewFamily, f.message())
	}
	return nil
}

// getPolicy is ctrl_dumppolicy with its start.
func (k *Kernel) getPolicy(r *Request) error {
	q := parseControllerQuery(r)
	f, err := k.find(&q, false)
	if err != nil {
		return Refuse(err)
	}
	var commands []*Command
	switch {
	case !q.given.Has(ctrlAttrOp):
		for i := range f.Commands {
			commands = append(commands, &f.Commands[i])
		}
	case q.command > 0xff || f.Command(uint8(q.command)) == nil:
		return Refuse(&netlink.Error{Errno: unix.ENOENT, Offset: r.OffsetOf(ctrlAttrOp)})
	default:
		commands = append(commands, f.Command(uint8(q.command)))
	}
	policies := func(c *Command) commandPolicies {
		p := f.policies[c.ID]
		if q.given.Has(ctrlAttrOp) {
			p = commandPolicies{ofCommand(p.do), ofCommand(p.dump)}
		}
		return p
	}
	var index policyIndex
	for _, c := range commands {
		p := policies(c)
		index.add(p.do)
		index.add(p.dump)
	}
	if len(index.order) == 0 {
		return Refuse(unix.ENODATA)
	}
	for _, c := range commands {
		k.replyCommandPolicy(r, f, c, policies(c), &index)
	}
	for i, p := range index.order {
		for number := range p.attributes {
			if a := &p.attributes[number]; a.Type != gnl.TypeInvalid {
				replyAttributePolicy(r, f, uint32(i), a, &index)
			}
		}
	}
	return nil
}

// ofCommand is a command's policy where only that command's are of interest.
func ofCommand(p *policy) *policy {
	if p == listedEmpty {
		return nil
	}
	return p
}

// replyCommandPolicy is ctrl_dumppolicy_put_op.
func (k *Kernel) replyCommandPolicy(r *Request, f *family, c *Command, p commandPolicies, index *policyIndex) {
	if p.do == nil && p.dump == nil {
		return
	}
	filed := c.ID
	if c.flags()&gnl.CommandDo == 0 && !k.dumpOnlyFixed.Load() {
		filed = 0
	}
	var e attr.Encoder
	e.Uint16(ctrlAttrFamilyID, f.ID)
	list := e.Begin(ctrlAttrOpPolicy)
	command := e.Begin(uint16(filed))
	if p.do != nil {
		e.Uint32(1, index.of(p.do))
	}
	if p.dump != nil {
		e.Uint32(2, index.of(p.dump))
	}
	e.End(command)
	e.End(list)
	r.Reply(ctrlGetPolicy, encoded(&e))
}

// replyAttributePolicy is netlink_policy_dump_write.
func replyAttributePolicy(r *Request, f *family, number uint32, a *attribute, index *policyIndex) {
	var e attr.Encoder
	e.Uint16(ctrlAttrFamilyID, f.ID)
	list := e.Begin(ctrlAttrPolicy)
	table := e.Begin(uint16(number))
	one := e.Begin(uint16(a.ID))
	a.describe(&e, index.of)
	e.End(one)
	e.End(table)
	e.End(list)
	r.Reply(ctrlGetPolicy, encoded(&e))
}

func encoded(e *attr.Encoder) []byte {
	b, err := e.Finish()
	if err != nil {
		panic(fmt.Errorf("gnltest: %w", err))
	}
	return b
}

// FixDumpOnlyPolicies makes GETPOLICY report the policy of a command that only
// dumps under the command's number. Linux up to 6.18 at least files it under
// number 0, and so does the Kernel unless told.
func (k *Kernel) FixDumpOnlyPolicies() { k.dumpOnlyFixed.Store(true) }

var notify = gnl.GroupName{Family: controllerName, Group: "notify"}

// notifyFamily tells that a family came or went.
func (k *Kernel) notifyFamily(command uint8, f *family) {
	if f.ID != ctrlID {
		k.Notify(notify, command, f.message())
	}
}

// notifyGroup tells that a group of a family came or went.
func (k *Kernel) notifyGroup(command uint8, f *family, g gnl.Group) {
	if f.ID != ctrlID {
		k.Notify(notify, command, groupEvent{Name: f.Name, ID: f.ID, Groups: []groupMessage{{g.ID, g.Name}}})
	}
}
