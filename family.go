package gnl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
)

// Family is what the kernel says of a generic netlink family (CTRL_CMD_NEWFAMILY
// in include/uapi/linux/genetlink.h).
type Family struct {
	Name       string          `json:"name" nl:"2"`
	ID         uint16          `json:"id" nl:"1"` // given at run time; only nlctrl's is fixed, at 16
	Version    uint32          `json:"version" nl:"3"`
	HeaderSize uint32          `json:"hdrsize" nl:"4"` // bytes of the family's own header, before the attributes
	MaxAttr    uint32          `json:"maxattr" nl:"5"` // 0 where the commands have policies of their own
	Commands   []FamilyCommand `json:"commands" nl:"6,array=1,noflag"`
	Groups     []Group         `json:"groups" nl:"7,array=1,noflag"`
}

// FamilyCommand is a command that a family has.
type FamilyCommand struct {
	ID    uint32       `json:"id" nl:"1"`
	Flags CommandFlags `json:"flags" nl:"2"`
}

// Group is a multicast group. Its id is given at run time and unique among
// all families.
type Group struct {
	Name string `json:"name" nl:"1"`
	ID   uint32 `json:"id" nl:"2"`
}

// MarshalJSON gives the family with lists that may be empty, but never null.
func (f Family) MarshalJSON() ([]byte, error) {
	type family Family
	if f.Commands == nil {
		f.Commands = []FamilyCommand{}
	}
	if f.Groups == nil {
		f.Groups = []Group{}
	}
	return json.Marshal(family(f))
}

// CommandFlags say what a command can do and who may use it (GENL_* flags in
// include/uapi/linux/genetlink.h).
type CommandFlags uint32

const (
	CommandAdmin          CommandFlags = 0x01 // needs CAP_NET_ADMIN in the initial user namespace
	CommandDo             CommandFlags = 0x02 // answers single requests
	CommandDump           CommandFlags = 0x04 // answers dumps
	CommandPolicyKnown    CommandFlags = 0x08 // has a policy that can be asked for
	CommandNamespaceAdmin CommandFlags = 0x10 // needs CAP_NET_ADMIN in the network namespace's user namespace
)

// String names the flags as the kernel does: "do|dump|has-policy".
func (f CommandFlags) String() string {
	if f == 0 {
		return "0"
	}
	var s []string
	for i, name := range []string{"admin-perm", "do", "dump", "has-policy", "uns-admin-perm"} {
		if f&(1<<i) != 0 {
			s = append(s, name)
			f &^= 1 << i
		}
	}
	if f != 0 {
		s = append(s, fmt.Sprintf("%#x", uint32(f)))
	}
	return strings.Join(s, "|")
}

// Group returns the multicast group of that name.
func (f *Family) Group(name string) (Group, bool) {
	for _, g := range f.Groups {
		if g.Name == name {
			return g, true
		}
	}
	return Group{}, false
}

// Command returns the command with that number.
func (f *Family) Command(id uint32) (FamilyCommand, bool) {
	for _, c := range f.Commands {
		if c.ID == id {
			return c, true
		}
	}
	return FamilyCommand{}, false
}

type getFamily struct {
	Name string `nl:"2,omitzero,name=family-name"`
	ID   uint16 `nl:"1,omitzero,name=family-id"`
}

// The controller's requests (CTRL_CMD_GETFAMILY is 3).
var (
	cmdGetFamily   = Command[getFamily, Family]{Family: nlctrl, ID: 3, Name: "getfamily", Version: 2, Single: true}
	cmdGetFamilies = Command[struct{}, Family]{Family: nlctrl, ID: 3, Name: "getfamily", Version: 2}
)

// Families lists all families of the kernel.
func (c *Client) Families(ctx context.Context) ([]Family, error) {
	return Collect(cmdGetFamilies.Dump(ctx, c, struct{}{}))
}

// FamiliesInto is [Client.Families] into the caller's memory: every family is
// decoded into f, which is yielded.
func (c *Client) FamiliesInto(ctx context.Context, f *Family) iter.Seq2[*Family, error] {
	return cmdGetFamilies.DumpInto(ctx, c, &struct{}{}, f)
}

// Family asks the kernel for a family by name. The kernel loads the family's
// module first, if there is one that says so. A family that does not exist is
// os.ErrNotExist; a name of more than 15 bytes the kernel refuses as invalid.
func (c *Client) Family(ctx context.Context, name string) (*Family, error) {
	f := new(Family)
	if err := c.FamilyInto(ctx, name, f); err != nil {
		return nil, err
	}
	return f, nil
}

// FamilyInto is [Client.Family] into the caller's memory. It allocates nothing
// once f has held a family as large.
func (c *Client) FamilyInto(ctx context.Context, name string, f *Family) error {
	return familyInto(ctx, c, name, f)
}

func familyInto(ctx context.Context, on Caller, name string, f *Family) error {
	return named(cmdGetFamily.DoInto(ctx, on, &getFamily{Name: name}, f), name)
}

// FamilyByID asks the kernel for the family that has an id now.
func (c *Client) FamilyByID(ctx context.Context, id uint16) (*Family, error) {
	if id == 0 {
		return nil, &Error{Family: nlctrl, Command: "getfamily", Attribute: "family-id", Err: errors.New("0 is no family's id")}
	}
	f := new(Family)
	if err := named(cmdGetFamily.DoInto(ctx, c, &getFamily{ID: id}, f), fmt.Sprintf("family %d", id)); err != nil {
		return nil, err
	}
	return f, nil
}

// named turns the controller's "there is none" into an error about the family
// that was asked for.
func named(err error, family string) error {
	if e, ok := err.(*Error); ok && isNotExist(e) {
		return &Error{Family: family, Hint: "the kernel has no such family", Err: e.Err}
	}
	return err
}
