package gnltest

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
)

// policy is a compiled policy: the graph that the kernel's pointers form.
type policy struct {
	attributes []attribute // by number, from 0 to the highest
}

// attribute is what is accepted as one; of type TypeInvalid, the policy does
// not say, or rejects it.
type attribute struct {
	gnl.AttributePolicy
	nested *policy
	reject bool
}

// The kernel's policy of newer commands that declare none
// (genl_policy_reject_all): no attribute is accepted. For the commands of some
// families, those with "split" operations, Linux 6.18 lists it among all
// policies of the family, but neither among the command's own, nor does it apply
// it.
var (
	rejectAll   = &policy{[]attribute{{}, {reject: true}}}
	listedEmpty = &policy{[]attribute{{}, {}}}
)

// commandPolicies are those of a command; nil is none.
type commandPolicies struct{ do, dump *policy }

// policyKey tells policies apart as the kernel does: by where they stand, and
// how many attributes of them count.
type policyKey struct {
	attributes *gnl.AttributePolicy
	maxType    uint32
}

type compiler struct {
	family *Family
	done   map[policyKey]*policy
}

func compilePolicies(f *Family) (map[uint8]commandPolicies, error) {
	c := compiler{f, map[policyKey]*policy{}}
	commands := map[uint8]commandPolicies{}
	for i := range f.Commands {
		command := &f.Commands[i]
		do, err := c.compile(command.Policy, maxType(command.Policy))
		if err != nil {
			return nil, fmt.Errorf("command %d: %w", command.ID, err)
		}
		dump, err := c.compile(command.DumpPolicy, maxType(command.DumpPolicy))
		if err != nil {
			return nil, fmt.Errorf("command %d: %w", command.ID, err)
		}
		commands[command.ID] = commandPolicies{do, dump}
	}
	return commands, nil
}

func (c *compiler) compile(attributes []gnl.AttributePolicy, maxType uint32) (*policy, error) {
	switch {
	case attributes == nil:
		return nil, nil
	case maxType == 0 && c.family.exact:
		return listedEmpty, nil
	case maxType == 0:
		return rejectAll, nil
	}
	key := policyKey{unsafe.SliceData(attributes), maxType}
	if p, ok := c.done[key]; ok {
		return p, nil
	}
	p := &policy{make([]attribute, maxType+1)}
	c.done[key] = p
	for _, a := range attributes {
		if a.ID > maxType {
			continue
		}
		at := &p.attributes[a.ID]
		if at.Type != gnl.TypeInvalid {
			return nil, fmt.Errorf("policy: attribute %d stands there twice", a.ID)
		}
		at.AttributePolicy = a
		if !c.family.exact {
			at.complete()
		}
		if !a.Policy.Given {
			continue
		}
		table := c.table(a.Policy.Value)
		if table == nil {
			return nil, fmt.Errorf("policy: attribute %d: there is no policy of index %d", a.ID, a.Policy.Value)
		}
		if !at.MaxType.Given {
			at.MaxType = gnl.Some(maxTypeOf(table))
		}
		nested, err := c.compile(table.Attributes, at.MaxType.Value)
		if err != nil {
			return nil, err
		}
		at.nested = nested
	}
	return p, nil
}

func maxTypeOf(t *gnl.PolicyTable) uint32 { return maxType(t.Attributes) }

func (c *compiler) table(index uint32) *gnl.PolicyTable {
	for i := range c.family.Policies {
		if t := &c.family.Policies[i]; t.Index == index {
			return t
		}
	}
	return nil
}

// complete gives a number without bounds those of its type, which the kernel
// reports.
func (a *attribute) complete() {
	if a.Min.Given || a.Max.Given || a.Mask.Given {
		low, high, ok := bounds(a.Type)
		if ok && !a.Mask.Given {
			if !a.Min.Given {
				a.Min = gnl.Some(low)
			}
			if !a.Max.Given {
				a.Max = gnl.Some(high)
			}
		}
		return
	}
	if low, high, ok := bounds(a.Type); ok {
		a.Min, a.Max = gnl.Some(low), gnl.Some(high)
	}
}

// bounds are those of a type of number.
func bounds(t gnl.AttributeType) (low, high gnl.Integer, ok bool) {
	bits := map[gnl.AttributeType]int{gnl.TypeU8: 8, gnl.TypeU16: 16, gnl.TypeU32: 32, gnl.TypeU64: 64, gnl.TypeUint: 64,
		gnl.TypeS8: 8, gnl.TypeS16: 16, gnl.TypeS32: 32, gnl.TypeS64: 64, gnl.TypeSint: 64}[t]
	switch {
	case bits == 0:
		return low, high, false
	case signed(t):
		return gnl.Signed(math.MinInt64 >> (64 - bits)), gnl.Signed(math.MaxInt64 >> (64 - bits)), true
	}
	return gnl.Unsigned(0), gnl.Unsigned(math.MaxUint64 >> (64 - bits)), true
}

func signed(t gnl.AttributeType) bool {
	return t >= gnl.TypeS8 && t <= gnl.TypeS64 || t == gnl.TypeSint
}

// describe appends the attributes NL_POLICY_TYPE_ATTR_*, in the order of
// __netlink_policy_dump_write_attr. Without an index for the policies of nests
// these are left out, as in extended acks.
func (a *attribute) describe(e *attr.Encoder, index func(*policy) uint32) {
	switch {
	case a.Type == gnl.TypeNested || a.Type == gnl.TypeNestedArray:
		if index != nil && a.nested != nil {
			e.Uint32(8, index(a.nested))
			e.Uint32(9, a.MaxType.Value)
		}
	case a.Type == gnl.TypeBitfield32:
		e.Uint32(10, uint32(a.Mask.Value))
	case a.Mask.Given:
		e.Uint64(12, a.Mask.Value)
	}
	if v, ok := a.Min.Get(); ok {
		putBound(e, a.Type, 2, 4, v)
	}
	if v, ok := a.Max.Get(); ok {
		putBound(e, a.Type, 3, 5, v)
	}
	if v, ok := a.MinLength.Get(); ok {
		e.Uint32(6, v)
	}
	if v, ok := a.MaxLength.Get(); ok {
		e.Uint32(7, v)
	}
	e.Uint32(1, uint32(a.Type))
}

func putBound(e *attr.Encoder, t gnl.AttributeType, asSigned, asUnsigned uint16, v gnl.Integer) {
	if signed(t) {
		s, _ := v.Int64()
		e.Int64(asSigned, s)
	} else {
		u, _ := v.Uint64()
		e.Uint64(asUnsigned, u)
	}
}

// policyIndex numbers policies as netlink_policy_dump_add_policy does: in the
// order of the commands, each followed by the nested ones that are not numbered
// yet.
type policyIndex struct{ order []*policy }

func (x *policyIndex) add(p *policy) {
	if p == nil || x.has(p) {
		return
	}
	from := len(x.order)
	x.order = append(x.order, p)
	for i := from; i < len(x.order); i++ {
		for j := range x.order[i].attributes {
			if nested := x.order[i].attributes[j].nested; nested != nil && !x.has(nested) {
				x.order = append(x.order, nested)
			}
		}
	}
}

func (x *policyIndex) has(p *policy) bool {
	for _, o := range x.order {
		if o == p {
			return true
		}
	}
	return false
}

func (x *policyIndex) of(p *policy) uint32 {
	for i, o := range x.order {
		if o == p {
			return uint32(i)
		}
	}
	panic("gnltest: a policy without a number")
}
