package main

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gnlgo/gnl"
)

// A family whose policies refer to one another in a circle.
func TestDescribePolicy(t *testing.T) {
	some := gnl.Some[uint32]
	number := func(min, max uint64) gnl.AttributePolicy {
		return gnl.AttributePolicy{Type: gnl.TypeU32, Min: gnl.Some(gnl.Unsigned(min)), Max: gnl.Some(gnl.Unsigned(max))}
	}
	id := func(id uint32, a gnl.AttributePolicy) gnl.AttributePolicy { a.ID = id; return a }
	p := &gnl.Policy{
		FamilyID: 30,
		Commands: []gnl.CommandPolicy{
			{ID: 1, Do: some(0), Dump: some(0)}, {ID: 2, Do: some(0), Dump: some(1)}, {ID: 3, Do: some(2)},
			{ID: 4, Dump: some(3), Inferred: true}, {ID: 0, Dump: some(4)},
		},
		Policies: []gnl.PolicyTable{
			{Index: 0, Attributes: []gnl.AttributePolicy{
				id(1, number(0, 1<<32-1)), id(2, number(1, 10)),
				{ID: 3, Type: gnl.TypeNested, Policy: some(2), MaxType: some(3)},
				{ID: 4, Type: gnl.TypeNestedArray, Policy: some(0), MaxType: some(5)},
				{ID: 5, Type: gnl.TypeS8, Min: gnl.Some(gnl.Signed(-128)), Max: gnl.Some(gnl.Signed(127))},
			}},
			{Index: 1, Attributes: []gnl.AttributePolicy{
				{ID: 10, Type: gnl.TypeBitfield32, Mask: gnl.Some(uint64(7))},
				{ID: 11, Type: gnl.TypeBinary, MinLength: some(6), MaxLength: some(6)},
				{ID: 100000, Type: 42},
			}},
			{Index: 2, Attributes: []gnl.AttributePolicy{
				{ID: 1, Type: gnl.TypeNulString, MaxLength: some(15)},
				{ID: 2, Type: gnl.TypeNested, Policy: some(0)},
				{ID: 3, Type: gnl.TypeNested},
			}},
			{Index: 4, Attributes: []gnl.AttributePolicy{{ID: 1, Type: gnl.TypeFlag}}},
		},
	}
	var b bytes.Buffer
	a := &app{out: &b}
	if err := a.describePolicy(&gnl.Family{Name: "test", ID: 30}, p); err != nil {
		t.Fatal(err)
	}
	want := `family test, id 30

command 1, do and dump: policy 0
ATTRIBUTE  TYPE          ACCEPTS
        1  u32           any
        2  u32           1..10
        3  nested        policy 2
        4  nested-array  policy 0
        5  s8            any

attribute 3 of policy 0: policy 2
ATTRIBUTE  TYPE          ACCEPTS
        1  nul-string    at most 15 bytes
        2  nested        policy 0
        3  nested

command 2, do: policy 0, above

command 2, dump: policy 1
ATTRIBUTE  TYPE          ACCEPTS
       10  bitfield32    bits 0x7
       11  binary        6 bytes
   100000  type 42

command 3, do: policy 2, above

command 4 (inferred), dump: policy 3, no attributes

a command that the kernel does not name, dump: policy 4
ATTRIBUTE  TYPE          ACCEPTS
        1  flag
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestCommandsOf(t *testing.T) {
	for want, ids := range map[string][]uint32{
		"it has none": nil, "it has 1": {1}, "it has 1-3": {3, 1, 2}, "it has 1, 3-4, 9": {1, 3, 4, 9},
	} {
		f := &gnl.Family{}
		for _, id := range ids {
			f.Commands = append(f.Commands, gnl.FamilyCommand{ID: id})
		}
		if got := commandsOf(f); got != want {
			t.Errorf("%v: %s, not %s", ids, got, want)
		}
	}
}

func TestWholeRange(t *testing.T) {
	for typ, bounds := range map[gnl.AttributeType][2]gnl.Integer{
		gnl.TypeU8: {gnl.Unsigned(0), gnl.Unsigned(255)}, gnl.TypeU16: {gnl.Unsigned(0), gnl.Unsigned(65535)},
		gnl.TypeU64: {gnl.Unsigned(0), gnl.Unsigned(1<<64 - 1)}, gnl.TypeUint: {gnl.Unsigned(0), gnl.Unsigned(1<<64 - 1)},
		gnl.TypeS16: {gnl.Signed(-1 << 15), gnl.Signed(1<<15 - 1)}, gnl.TypeS32: {gnl.Signed(-1 << 31), gnl.Signed(1<<31 - 1)},
		gnl.TypeS64: {gnl.Signed(-1 << 63), gnl.Signed(1<<63 - 1)}, gnl.TypeSint: {gnl.Signed(-1 << 63), gnl.Signed(1<<63 - 1)},
	} {
		a := gnl.AttributePolicy{Type: typ, Min: gnl.Some(bounds[0]), Max: gnl.Some(bounds[1])}
		if got := accepts(&a); got != "any" {
			t.Errorf("%s: %s", typ, got)
		}
		a.Min = gnl.Some(gnl.Unsigned(1))
		if got := accepts(&a); got == "any" {
			t.Errorf("%s from 1: %s", typ, got)
		}
	}
}
