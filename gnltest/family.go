package gnltest

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/internal/unix"
	"github.com/gnlgo/gnl/netlink"
)

// Family is a generic netlink family, as a kernel module declares one.
type Family struct {
	Name       string // at most 15 bytes
	ID         uint16 // 0: the next one free, from 19 up
	Version    uint32
	HeaderSize uint32 // bytes of the family's own header, before the attributes
	MaxAttr    uint32 // only reported

	Commands []Command
	Groups   []string // names of multicast groups

	// Policies are what nests hold, for the Policy of attributes to refer to by
	// PolicyTable.Index. Policies that contain themselves are fine.
	Policies []gnl.PolicyTable

	exact bool // made by FamilyOf: what is absent is so on purpose
}

// Command is a command of a [Family].
type Command struct {
	ID uint8

	// Flags are reported, together with those that follow from the fields
	// below; the Kernel does not look at who asks.
	Flags gnl.CommandFlags

	// Do answers single requests, and Dump those with NLM_F_DUMP. Nil answers
	// EOPNOTSUPP. They are called in the order of a socket's requests, from
	// goroutines of the Kernel's own, and may only use what is safe there: not
	// testing.TB.Fatal, for one.
	//
	// If Do returns nil, the request is acknowledged, if it asks for that. An
	// error refuses it: a [netlink.Error], an errno, or any other, which
	// becomes EINVAL with the error as the kernel's words. A [netlink.Error]
	// without an errno is a warning.
	//
	// What Dump sends with [Request.Reply] goes out in large datagrams. If
	// it returns nil, NLMSG_DONE follows; an error stands in NLMSG_DONE, or,
	// wrapped by [Refuse], is the answer to the request as such.
	//
	// [SkipEnd] adds nothing to what the handler has sent itself.
	Do, Dump func(*Request) error

	// Policy is what single requests may hold, and DumpPolicy what dumps may.
	// Requests are checked before they are handled, with the kernel's own
	// results, and GETPOLICY reports them. Nil is no policy, and no check; empty
	// but not nil permits no attribute. The same slice in several places is the
	// same policy.
	Policy, DumpPolicy []gnl.AttributePolicy

	// Lenient says that unknown attributes, wrong lengths and bytes behind
	// the attributes of single requests are let pass, and LenientDump those of
	// dumps, as families from before Linux 5.2 do (GENL_DONT_VALIDATE_STRICT,
	// GENL_DONT_VALIDATE_DUMP_STRICT). All other commands also refuse
	// unexpected bits in the message's headers.
	Lenient, LenientDump bool
}

func (c *Command) flags() gnl.CommandFlags {
	f := c.Flags
	if c.Do != nil {
		f |= gnl.CommandDo
	}
	if c.Dump != nil {
		f |= gnl.CommandDump
	}
	if c.Policy != nil || c.DumpPolicy != nil {
		f |= gnl.CommandPolicyKnown
	}
	return f
}

// FamilyOf is the declaration of a family that another kernel, most often the
// real one, reports: its commands, policies and groups. The policy may be nil.
// The handlers are missing: the commands answer EOPNOTSUPP until they are
// filled in (see [Family.Command]). So is what no kernel reports: which commands
// are lenient.
func FamilyOf(f *gnl.Family, p *gnl.Policy) Family {
	family := Family{
		Name: f.Name, ID: f.ID, Version: f.Version, HeaderSize: f.HeaderSize, MaxAttr: f.MaxAttr, exact: true,
	}
	for _, g := range f.Groups {
		family.Groups = append(family.Groups, g.Name)
	}
	for _, c := range f.Commands {
		family.Commands = append(family.Commands, Command{ID: uint8(c.ID), Flags: c.Flags})
	}
	if p == nil {
		return family
	}
	family.Policies = p.Policies
	table := func(index gnl.Optional[uint32]) []gnl.AttributePolicy {
		for _, t := range p.Policies {
			if index.Given && t.Index == index.Value {
				return t.Attributes
			}
		}
		if index.Given {
			return []gnl.AttributePolicy{} // one of which nothing is said
		}
		return nil
	}
	for _, c := range p.Commands {
		if command := family.Command(uint8(c.ID)); command != nil {
			command.Policy, command.DumpPolicy = table(c.Do), table(c.Dump)
		}
	}
	return family
}

// Command returns the command with that number, nil if there is none.
func (f *Family) Command(id uint8) *Command {
	for i := range f.Commands {
		if f.Commands[i].ID == id {
			return &f.Commands[i]
		}
	}
	return nil
}

// family is a registered one.
type family struct {
	Family
	groups   []gnl.Group
	policies map[uint8]commandPolicies
}

// registry is the families there are.
type registry struct {
	byID   map[uint16]*family
	order  []*family // by id, as the kernel lists them
	nextID uint16
}

// The kernel gives ids in turn, from GENL_START_ALLOC to GENL_MAX_ID.
const (
	ctrlID  = 16 // GENL_ID_CTRL
	firstID = 19
	lastID  = 1023
)

func (g *registry) init() { *g = registry{byID: map[uint16]*family{}, nextID: firstID} }

func (g *registry) byName(name string) *family {
	for _, f := range g.order {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// newID gives an id that has not been given for as long as possible.
func (g *registry) newID() uint16 {
	for range lastID {
		id := g.nextID
		if g.nextID++; g.nextID > lastID {
			g.nextID = firstID
		}
		if g.byID[id] == nil {
			return id
		}
	}
	return 0
}

// Register makes a family known and returns its id, which is new each time. It
// panics if the declaration is wrong. Who is subscribed to nlctrl's group
// "notify" is told.
func (k *Kernel) Register(declared Family) (id uint16) {
	f, err := k.register(declared)
	if err != nil {
		panic(fmt.Errorf("gnltest: register family %q: %w", declared.Name, err))
	}
	k.notifyFamily(ctrlNewFamily, f)
	for _, g := range f.groups {
		k.notifyGroup(ctrlNewGroup, f, g)
	}
	return f.ID
}

func (k *Kernel) register(declared Family) (*family, error) {
	f := &family{Family: declared}
	f.Commands, f.Groups = slices.Clone(f.Commands), slices.Clone(f.Groups)
	if n := len(f.Name); n == 0 || n > 15 {
		return nil, fmt.Errorf("a name has 1 to 15 bytes, this one has %d", n)
	}
	if f.HeaderSize > 256 {
		return nil, fmt.Errorf("a family's own header of %d bytes", f.HeaderSize)
	}
	for i, c := range f.Commands {
		if f.Command(c.ID) != &f.Commands[i] {
			return nil, fmt.Errorf("command %d stands there twice", c.ID)
		}
	}
	var err error
	if f.policies, err = compilePolicies(&f.Family); err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	g := &k.registry
	if g.byName(f.Name) != nil {
		return nil, errors.New("there is one of that name")
	}
	if f.ID == 0 {
		f.ID = g.newID()
	}
	if f.ID < netlink.MinType || f.ID > lastID || g.byID[f.ID] != nil {
		return nil, fmt.Errorf("id %d is taken, or not from %d to %d", f.ID, netlink.MinType, lastID)
	}
	for _, name := range f.Groups {
		f.groups = append(f.groups, gnl.Group{Name: name, ID: k.groups.add(k.file, false)})
	}
	g.byID[f.ID] = f
	at, _ := slices.BinarySearchFunc(g.order, f.ID, func(f *family, id uint16) int { return int(f.ID) - int(id) })
	g.order = slices.Insert(g.order, at, f)
	return f, nil
}

// Unregister makes a family unknown, as unloading its module does: requests to
// its id are answered ENOENT from then on. It panics if there is none.
func (k *Kernel) Unregister(name string) {
	k.mu.Lock()
	f := k.registry.byName(name)
	if f != nil && f.ID != ctrlID {
		delete(k.registry.byID, f.ID)
		k.registry.order = slices.DeleteFunc(k.registry.order, func(o *family) bool { return o == f })
		for _, g := range f.groups {
			k.groups.remove(k.file, g.ID)
		}
	}
	k.mu.Unlock()
	if f == nil || f.ID == ctrlID {
		panic(fmt.Errorf("gnltest: unregister family %q: there is none", name))
	}
	for _, g := range f.groups {
		k.notifyGroup(ctrlDelGroup, f, g)
	}
	k.notifyFamily(ctrlDelFamily, f)
}

// named returns a registered family; it panics if there is none.
func (k *Kernel) named(name string) *family {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := k.registry.byName(name)
	if f == nil {
		panic(fmt.Errorf("gnltest: there is no family %q", name))
	}
	return f
}

// lookUp fills in what r asks for and returns what does it; or why the kernel
// refuses, which follows genl_rcv_msg step by step.
func (k *Kernel) lookUp(r *Request, payload []byte) (run func() error, err error) {
	k.mu.Lock()
	f := k.registry.byID[r.Type]
	k.mu.Unlock()
	if f == nil {
		r.parse(payload, nil)
		return nil, unix.ENOENT
	}
	if !r.parse(payload, f) {
		return nil, unix.EINVAL
	}
	c := f.Command(r.Command)
	dump := r.Flags&netlink.FlagDump == netlink.FlagDump
	if err := checkHeader(r, c, f.ID == ctrlID); err != nil {
		return nil, err
	}
	if c == nil || dump && c.flags()&gnl.CommandDump == 0 || !dump && c.flags()&gnl.CommandDo == 0 {
		return nil, unix.EOPNOTSUPP
	}
	r.dump = dump
	handler, policy, lenient := c.Do, f.policies[c.ID].do, c.Lenient
	if dump {
		handler, policy, lenient = c.Dump, f.policies[c.ID].dump, c.LenientDump
	}
	return func() error {
		if policy = ofCommand(policy); policy != nil {
			v := validator{strict: !lenient, base: int(requestHeaderLen + align(int(f.HeaderSize)))}
			if err := v.list(r.Attributes, 0, policy, 0); err != nil {
				return Refuse(err)
			}
			r.warning = v.warning
		}
		if handler == nil {
			return Refuse(unix.EOPNOTSUPP)
		}
		return handler(r)
	}, nil
}

// checkHeader is genl_header_check. The controller's commands are older than it.
func checkHeader(r *Request, c *Command, controller bool) error {
	if controller || c == nil || c.Lenient || c.LenientDump {
		return nil
	}
	if r.reserved != 0 {
		return &netlink.Error{Errno: unix.EINVAL, Message: "genlmsghdr.reserved field is not 0"}
	}
	flags := r.Flags
	if flags&netlink.FlagDump == netlink.FlagDump {
		flags &^= netlink.FlagDump
	}
	if flags&^(netlink.FlagRequest|netlink.FlagAck|netlink.FlagEcho) != 0 {
		return &netlink.Error{Errno: unix.EINVAL, Message: "ambiguous or reserved bits set in nlmsg_flags"}
	}
	return nil
}

const requestHeaderLen = netlink.HeaderLen + genlHeaderLen

func align(n int) int { return (n + 3) &^ 3 }

// maxType is the highest attribute number of a policy.
func maxType(attributes []gnl.AttributePolicy) uint32 {
	var most uint32
	for _, a := range attributes {
		most = max(most, a.ID)
	}
	return min(most, math.MaxUint16)
}
