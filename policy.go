package gnl

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/gnlgo/gnl/attr"
)

// Policy is what the kernel accepts in a family's requests: which attributes,
// of which type, within which bounds (CTRL_CMD_GETPOLICY). The policies form a
// graph by their indices: one may be used in several places, and may contain
// itself (nl80211's does).
type Policy struct {
	FamilyID uint16          `json:"family_id"`
	Commands []CommandPolicy `json:"commands"`
	Policies []PolicyTable   `json:"policies"` // in the order of their indices
}

// MarshalJSON gives the policy with lists that may be empty, but never null.
func (p Policy) MarshalJSON() ([]byte, error) {
	type policy Policy
	if p.Commands == nil {
		p.Commands = []CommandPolicy{}
	}
	if p.Policies == nil {
		p.Policies = []PolicyTable{}
	}
	return json.Marshal(policy(p))
}

// CommandPolicy says which policies hold for a command's requests: an index
// into Policies for single requests and one for dumps, absent where the command
// does not answer such or does not check them.
type CommandPolicy struct {
	ID   uint32           `json:"id"`
	Do   Optional[uint32] `json:"do,omitzero"`
	Dump Optional[uint32] `json:"dump,omitzero"`

	// Inferred says that the kernel filed this policy under command 0, and
	// that ID is the only command it can mean. Linux up to 6.18 at least does
	// so for commands that only dump.
	Inferred bool `json:"inferred,omitzero"`
}

// PolicyTable is one policy: the attributes it knows.
type PolicyTable struct {
	Index      uint32            `json:"index"`
	Attributes []AttributePolicy `json:"attributes"`
}

// AttributePolicy is what the kernel accepts as one attribute
// (NL_POLICY_TYPE_ATTR_* in include/uapi/linux/netlink.h). What the kernel does
// not say is absent. Attributes that it always rejects, and big-endian
// numbers, it does not list at all.
type AttributePolicy struct {
	ID   uint32        `json:"id"`
	Type AttributeType `json:"type"`

	// The range of a number. Absent where the kernel checks by a mask or by a
	// function of its own.
	Min Optional[Integer] `json:"min,omitzero"`
	Max Optional[Integer] `json:"max,omitzero"`
	// The bits that a number or a bitfield32 may have.
	Mask Optional[uint64] `json:"mask,omitzero"`

	// The length in bytes of a string, without its NUL, or of binary data.
	MinLength Optional[uint32] `json:"min_length,omitzero"`
	MaxLength Optional[uint32] `json:"max_length,omitzero"`

	// The policy of what is inside of a nest: an index into Policy.Policies,
	// and its highest attribute number.
	Policy  Optional[uint32] `json:"policy,omitzero"`
	MaxType Optional[uint32] `json:"maxtype,omitzero"`
}

// AttributeType is the type of an attribute in a policy (enum
// netlink_attribute_type in include/uapi/linux/netlink.h).
type AttributeType uint32

const (
	TypeInvalid AttributeType = iota
	TypeFlag                  // present or absent
	TypeU8                    // unsigned numbers
	TypeU16
	TypeU32
	TypeU64
	TypeS8 // signed numbers
	TypeS16
	TypeS32
	TypeS64
	TypeBinary      // bytes
	TypeString      // with or without a NUL behind it
	TypeNulString   // with a NUL behind it
	TypeNested      // attributes
	TypeNestedArray // nests, numbered
	TypeBitfield32  // value and selector
	TypeSint        // signed, 4 or 8 bytes
	TypeUint        // unsigned, 4 or 8 bytes
)

var attributeTypes = [...]string{"invalid", "flag", "u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64",
	"binary", "string", "nul-string", "nested", "nested-array", "bitfield32", "sint", "uint"}

// String is the type's name: "u32", "nul-string".
func (t AttributeType) String() string {
	if int(t) < len(attributeTypes) {
		return attributeTypes[t]
	}
	return "type " + strconv.Itoa(int(t))
}

// MarshalText is String, for JSON.
func (t AttributeType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (t *AttributeType) UnmarshalText(text []byte) error {
	for i, name := range attributeTypes {
		if name == string(text) {
			*t = AttributeType(i)
			return nil
		}
	}
	var n uint32
	if _, err := fmt.Sscanf(string(text), "type %d", &n); err != nil {
		return fmt.Errorf("gnl: %q is not an attribute type", text)
	}
	*t = AttributeType(n)
	return nil
}

// size is the length of a number of the type in bytes; 0 if it varies.
func (t AttributeType) size() int {
	switch t {
	case TypeU8, TypeS8:
		return 1
	case TypeU16, TypeS16:
		return 2
	case TypeU32, TypeS32:
		return 4
	case TypeU64, TypeS64, TypeBitfield32:
		return 8
	}
	return 0
}

func (t AttributeType) signed() bool   { return t >= TypeS8 && t <= TypeS64 || t == TypeSint }
func (t AttributeType) unsigned() bool { return t >= TypeU8 && t <= TypeU64 || t == TypeUint }

// Optional is a value that may be absent, which is not the same as zero.
type Optional[T any] struct {
	Value T
	Given bool
}

// Some returns a value that is there.
func Some[T any](v T) Optional[T] { return Optional[T]{v, true} }

// Get returns the value and whether it is there.
func (o Optional[T]) Get() (T, bool) { return o.Value, o.Given }

// IsZero reports whether the value is absent; encoding/json's omitzero asks it.
func (o Optional[T]) IsZero() bool { return !o.Given }

// String is the value, or "-" for an absent one.
func (o Optional[T]) String() string {
	if !o.Given {
		return "-"
	}
	return fmt.Sprint(o.Value)
}

// MarshalJSON gives the value, or null.
func (o Optional[T]) MarshalJSON() ([]byte, error) {
	if !o.Given {
		return []byte("null"), nil
	}
	return json.Marshal(o.Value)
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (o *Optional[T]) UnmarshalJSON(b []byte) error {
	*o = Optional[T]{}
	if string(b) == "null" {
		return nil
	}
	o.Given = true
	return json.Unmarshal(b, &o.Value)
}

// Integer is a number from -2^63 to 2^64-1.
type Integer struct {
	bits     uint64
	negative bool
}

// Signed returns v as an Integer.
func Signed(v int64) Integer { return Integer{uint64(v), v < 0} }

// Unsigned returns v as an Integer.
func Unsigned(v uint64) Integer { return Integer{v, false} }

// Int64 returns the number and whether it fits.
func (i Integer) Int64() (v int64, ok bool) { return int64(i.bits), i.negative || i.bits>>63 == 0 }

// Uint64 returns the number and whether it fits.
func (i Integer) Uint64() (v uint64, ok bool) { return i.bits, !i.negative }

// String is the number in decimal.
func (i Integer) String() string {
	if i.negative {
		return strconv.FormatInt(int64(i.bits), 10)
	}
	return strconv.FormatUint(i.bits, 10)
}

// MarshalJSON gives the number.
func (i Integer) MarshalJSON() ([]byte, error) { return []byte(i.String()), nil }

// UnmarshalJSON is the inverse of MarshalJSON.
func (i *Integer) UnmarshalJSON(b []byte) error {
	if u, err := strconv.ParseUint(string(b), 10, 64); err == nil {
		*i = Unsigned(u)
		return nil
	}
	s, err := strconv.ParseInt(string(b), 10, 64)
	*i = Signed(s)
	return err
}

// Accepts says in words what values are accepted, "" if the kernel does not
// say: "1..4294967295", "bits 0x7", "at most 15 bytes".
func (p *AttributePolicy) Accepts() string {
	switch {
	case p.Mask.Given:
		return fmt.Sprintf("bits %#x", p.Mask.Value)
	case p.Min.Given && p.Max.Given:
		return fmt.Sprintf("%s..%s", p.Min.Value, p.Max.Value)
	case p.Min.Given:
		return fmt.Sprintf("at least %s", p.Min.Value)
	case p.Max.Given:
		return fmt.Sprintf("at most %s", p.Max.Value)
	case p.MinLength.Given && p.MaxLength == p.MinLength:
		return fmt.Sprintf("%d bytes", p.MinLength.Value)
	case p.MinLength.Given && p.MaxLength.Given:
		return fmt.Sprintf("%d to %d bytes", p.MinLength.Value, p.MaxLength.Value)
	case p.MinLength.Given:
		return fmt.Sprintf("at least %d bytes", p.MinLength.Value)
	case p.MaxLength.Given:
		return fmt.Sprintf("at most %d bytes", p.MaxLength.Value)
	}
	return ""
}

type getPolicy struct {
	FamilyID   uint16  `nl:"1,omitzero,name=family-id"`
	FamilyName string  `nl:"2,omitzero,name=family-name"`
	Op         *uint32 `nl:"10,name=op"`
}

// Answers to CTRL_CMD_GETPOLICY are decoded by hand, below.
var cmdGetPolicy = Command[getPolicy, struct{}]{Family: nlctrl, ID: 10, Name: "getpolicy", Version: 2}

// Policy asks for all policies of a family, whose module the kernel loads first
// if need be, as for [Client.Family]. A family without any, like one that does not
// exist, is an error: ENODATA and ENOENT. Needs Linux 5.10, as before there were
// none by command.
func (c *Client) Policy(ctx context.Context, family string) (*Policy, error) {
	p := new(Policy)
	if err := c.PolicyInto(ctx, family, p); err != nil {
		return nil, err
	}
	return p, nil
}

// PolicyInto is [Client.Policy] into the caller's memory.
func (c *Client) PolicyInto(ctx context.Context, family string, p *Policy) error {
	return c.policy(ctx, getPolicy{FamilyName: family}, p)
}

// CommandPolicy asks for the policies of one command only; ENOENT if there is
// no such command. The indices are numbered anew: they are not those of
// [Client.Policy].
func (c *Client) CommandPolicy(ctx context.Context, family string, command uint32) (*Policy, error) {
	p := new(Policy)
	if err := c.policy(ctx, getPolicy{FamilyName: family, Op: &command}, p); err != nil {
		return nil, err
	}
	return p, nil
}

// policy asks for policies. Should the kernel not know the family, it is asked
// for the family first: that is when it loads the module.
func (c *Client) policy(ctx context.Context, request getPolicy, p *Policy) error {
	err := c.askPolicy(ctx, request, p)
	if isNotExist(err) {
		if _, err := c.Family(ctx, request.FamilyName); err != nil {
			return err
		}
		err = c.askPolicy(ctx, request, p)
	}
	return err
}

func (c *Client) askPolicy(ctx context.Context, request getPolicy, p *Policy) error {
	p.Reset()
	compiled, err := cmdGetPolicy.compile()
	if err != nil {
		return err
	}
	k := call{on: c, what: &compiled.what, dump: true}
	if err := compiled.send(ctx, &k, &request); err != nil {
		return err
	}
	defer k.end()
	for {
		m, err := k.next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if err := p.AddMessage(m.Data[genlHeaderLen:]); err != nil {
			return k.what.failed(true, err)
		}
	}
	if err := k.outcome(); err != nil {
		return err
	}
	k.end()
	return c.mapDumpOnly(ctx, &request, p)
}

// mapDumpOnly gives policies that the kernel filed under command 0 to the
// command that they are of. The kernel lists the policies in the order of its
// commands, so that there is no doubt if there are as many of the one as of the
// other.
func (c *Client) mapDumpOnly(ctx context.Context, request *getPolicy, p *Policy) error {
	var filed []int
	for i, cmd := range p.Commands {
		if cmd.ID == 0 {
			filed = append(filed, i)
		}
	}
	switch {
	case len(filed) == 0:
		return nil
	case request.Op != nil:
		for _, i := range filed {
			p.Commands[i].ID, p.Commands[i].Inferred = *request.Op, *request.Op != 0
		}
		return nil
	}
	f, err := c.Family(ctx, request.FamilyName)
	if err != nil {
		return err
	}
	named := map[uint32]bool{}
	for _, cmd := range p.Commands {
		named[cmd.ID] = cmd.ID != 0
	}
	var candidates []uint32
	for _, cmd := range f.Commands {
		dumpOnly := cmd.Flags&(CommandDo|CommandDump) == CommandDump
		if cmd.Flags&CommandPolicyKnown != 0 && !named[cmd.ID] && (dumpOnly || cmd.ID == 0) { // some have a command 0
			candidates = append(candidates, cmd.ID)
		}
	}
	if len(candidates) != len(filed) {
		return nil
	}
	for k, i := range filed {
		p.Commands[i].ID, p.Commands[i].Inferred = candidates[k], candidates[k] != 0
	}
	return nil
}

// Attributes of CTRL_CMD_GETPOLICY's answers.
const (
	ctrlFamilyID = 1
	ctrlPolicy   = 8 // {index: {attribute: policy}}
	ctrlOpPolicy = 9 // {command: {do: index, dump: index}}
)

// Reset empties the policy, keeping its memory.
func (p *Policy) Reset() { *p = Policy{Commands: p.Commands[:0], Policies: p.Policies[:0]} }

// AddMessage adds what one message of the answer to CTRL_CMD_GETPOLICY says,
// given its attributes: a command's policies, or an attribute's of one policy.
// Policies must be in the order of their indices, and stay so. The Policy methods
// of Client do this by themselves.
func (p *Policy) AddMessage(attributes []byte) error {
	// Written out, with loops in place instead of an attr.Decoder, since there
	// are hundreds of messages of one attribute each.
	for b := attributes; len(b) >= 4; {
		typ, n := header(b)
		if n < 4 || n > len(b) {
			return attr.ErrMalformed
		}
		var err error
		switch v := b[4:n]; {
		case typ == ctrlPolicy:
			err = p.addTables(v)
		case typ == ctrlOpPolicy:
			err = p.addCommands(v)
		case typ == ctrlFamilyID && len(v) == 2:
			p.FamilyID = binary.NativeEndian.Uint16(v)
		}
		if err != nil {
			return err
		}
		b = b[min(align(n), len(b)):]
	}
	return nil
}

// addTables decodes {index: {attribute: policy}}.
func (p *Policy) addTables(b []byte) error {
	for len(b) >= 4 {
		index, end := header(b)
		if end < 4 || end > len(b) {
			return attr.ErrMalformed
		}
		t := p.table(uint32(index))
		for i := 4; i <= end-4; {
			id, n := header(b[i:])
			if n < 4 || n > end-i {
				return attr.ErrMalformed
			}
			if err := t.attribute(uint32(id)).decode(b[i+4 : i+n]); err != nil {
				return err
			}
			i += align(n)
		}
		b = b[min(align(end), len(b)):]
	}
	return nil
}

// header is that of the first attribute of a list of at least 4 bytes: its
// number, and its length with the header.
func header(b []byte) (typ uint16, n int) {
	return binary.NativeEndian.Uint16(b[2:]) & 0x3fff, int(binary.NativeEndian.Uint16(b))
}

// addCommands decodes {command: {do: index, dump: index}}.
func (p *Policy) addCommands(b []byte) error {
	for len(b) >= 4 {
		id, end := header(b)
		if end < 4 || end > len(b) {
			return attr.ErrMalformed
		}
		cmd := CommandPolicy{ID: uint32(id)}
		for i := 4; i <= end-4; {
			typ, n := header(b[i:])
			switch {
			case n < 4 || n > end-i:
				return attr.ErrMalformed
			case typ != 1 && typ != 2:
			case n != 8:
				return fmt.Errorf("policy of command %d: %w: index of %d bytes", id, attr.ErrLength, n-4)
			case typ == 1: // CTRL_ATTR_POLICY_DO
				cmd.Do = Some(binary.NativeEndian.Uint32(b[i+4:]))
			case typ == 2: // CTRL_ATTR_POLICY_DUMP
				cmd.Dump = Some(binary.NativeEndian.Uint32(b[i+4:]))
			}
			i += align(n)
		}
		p.Commands = append(p.Commands, cmd)
		b = b[min(align(end), len(b)):]
	}
	return nil
}

// table returns the table of an index. They are kept in order, which is that of
// the kernel: most often it is the last one, or one more.
func (p *Policy) table(index uint32) *PolicyTable {
	n := len(p.Policies)
	at := n
	for at > 0 && p.Policies[at-1].Index > index {
		at--
	}
	if at > 0 && p.Policies[at-1].Index == index {
		return &p.Policies[at-1]
	}
	if n < cap(p.Policies) { // with the memory of what stood there before
		p.Policies = p.Policies[:n+1]
		p.Policies[n] = PolicyTable{Index: index, Attributes: p.Policies[n].Attributes[:0]}
	} else {
		p.Policies = append(p.Policies, PolicyTable{Index: index})
	}
	for ; n > at; n-- {
		p.Policies[n], p.Policies[n-1] = p.Policies[n-1], p.Policies[n]
	}
	return &p.Policies[at]
}

func (t *PolicyTable) attribute(id uint32) *AttributePolicy {
	n := len(t.Attributes)
	t.Attributes = slices.Grow(t.Attributes, 1)[:n+1] // made in place: it is large
	a := &t.Attributes[n]
	*a = AttributePolicy{ID: id}
	return a
}

// decode decodes NL_POLICY_TYPE_ATTR_* attributes.
func (a *AttributePolicy) decode(b []byte) error {
	for len(b) >= 4 {
		typ, n := header(b)
		switch {
		case n == 8 && len(b) >= 8:
			u := binary.NativeEndian.Uint32(b[4:])
			switch typ {
			case 1:
				a.Type = AttributeType(u)
			case 6:
				a.MinLength = Some(u)
			case 7:
				a.MaxLength = Some(u)
			case 8:
				a.Policy = Some(u)
			case 9:
				a.MaxType = Some(u)
			case 10: // BITFIELD32_MASK
				a.Mask = Some(uint64(u))
			}
			b = b[8:]
		case n == 12 && len(b) >= 12:
			u := binary.NativeEndian.Uint64(b[4:])
			switch typ {
			case 2:
				a.Min = Some(Signed(int64(u)))
			case 3:
				a.Max = Some(Signed(int64(u)))
			case 4:
				a.Min = Some(Unsigned(u))
			case 5:
				a.Max = Some(Unsigned(u))
			case 12: // MASK
				a.Mask = Some(u)
			}
			b = b[12:]
		case n < 4 || n > len(b):
			return fmt.Errorf("policy of attribute %d: %w", a.ID, attr.ErrMalformed)
		case typ >= 1 && typ <= 10 || typ == 12:
			return fmt.Errorf("policy of attribute %d: item %d: %w: %d bytes", a.ID, typ, attr.ErrLength, n-4)
		default:
			b = b[min(align(n), len(b)):]
		}
	}
	return nil
}
