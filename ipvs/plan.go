package ipvs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Plan is what has to be changed so that the kernel has the pools desired.
type Plan struct {
	// Changes are in the order in which they are to be made: additions and
	// settings before removals, so that at no time there is less than before
	// and after.
	Changes []Change

	// Unchanged is how many of the pools are as desired already.
	Unchanged int

	// Foreign are the services that are there and not desired. They are left
	// alone, unless ApplyConfig.Prune has put their removal into Changes.
	Foreign []ServiceID
}

// Action is what a Change does.
type Action uint8

// The actions.
const (
	AddService Action = iota
	SetService
	AddDestination
	SetDestination
	RemoveDestination
	RemoveService // with its destinations
)

var actionNames = [...]string{
	AddService:        "add service",
	SetService:        "set service",
	AddDestination:    "add destination",
	SetDestination:    "set destination",
	RemoveDestination: "remove destination",
	RemoveService:     "remove service",
}

// String gives "add service", "remove destination" and so on.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return fmt.Sprintf("action %d", uint8(a))
}

// MarshalText gives what String does.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// Change is one thing to change. Of the pointers those are set that the action
// has a use for: Old to what is there, New to what is to be.
type Change struct {
	Action                         Action
	Service                        ServiceID // that it is about, or whose destination
	OldService, NewService         *Service
	OldDestination, NewDestination *Destination
}

// Destination is the address of the destination that the change is about; the
// zero AddrPort if it is about a service.
func (c Change) Destination() netip.AddrPort {
	switch {
	case c.NewDestination != nil:
		return c.NewDestination.Address
	case c.OldDestination != nil:
		return c.OldDestination.Address
	}
	return netip.AddrPort{}
}

// String gives for example "set destination 10.1.0.5:80 of tcp:10.0.0.1:80:
// weight 1 → 5".
func (c Change) String() string {
	var b strings.Builder
	b.WriteString(c.Action.String())
	switch c.Action {
	case AddDestination:
		fmt.Fprintf(&b, " %s to", c.Destination())
	case SetDestination:
		fmt.Fprintf(&b, " %s of", c.Destination())
	case RemoveDestination:
		fmt.Fprintf(&b, " %s from", c.Destination())
	}
	fmt.Fprintf(&b, " %s", c.Service)
	if c.Action == SetService || c.Action == SetDestination {
		for i, d := range c.Differences() {
			b.WriteString([]string{": ", ", "}[min(i, 1)] + d.String())
		}
	}
	return b.String()
}

// Difference is a property that a Change gives another value, as text.
type Difference struct {
	Field    string // as it is called in the files of pools: "weight"
	Old, New string
}

// String gives for example "weight 1 → 5".
func (d Difference) String() string {
	none := func(s string) string {
		if s == "" {
			return "none"
		}
		return s
	}
	return d.Field + " " + none(d.Old) + " → " + none(d.New)
}

// Differences are the properties that a SetService or SetDestination changes.
func (c Change) Differences() []Difference {
	var ds []Difference
	compare := func(field, old, new string) {
		if old != new {
			ds = append(ds, Difference{field, old, new})
		}
	}
	if old, new := c.OldService, c.NewService; old != nil && new != nil {
		old, new := old.canonical(), new.canonical()
		compare("scheduler", old.Scheduler, new.Scheduler)
		compare("flags", strings.Join(old.Flags.Names(old.Scheduler), ","), strings.Join(new.Flags.Names(new.Scheduler), ","))
		compare("timeout", old.Timeout.String(), new.Timeout.String())
		compare("netmask", netmaskText(old.Netmask), netmaskText(new.Netmask))
		compare("engine", old.Engine, new.Engine)
	}
	if old, new := c.OldDestination, c.NewDestination; old != nil && new != nil {
		compare("weight", fmt.Sprint(old.Weight), fmt.Sprint(new.Weight))
		compare("method", old.Method.String(), new.Method.String())
		compare("upper_threshold", fmt.Sprint(old.UpperThreshold), fmt.Sprint(new.UpperThreshold))
		compare("lower_threshold", fmt.Sprint(old.LowerThreshold), fmt.Sprint(new.LowerThreshold))
		compare("tunnel", old.Tunnel.String(), new.Tunnel.String())
	}
	return ds
}

// netmaskText is a netmask as the files of pools have it: for IPv6 the length.
func netmaskText(mask netip.Addr) string {
	switch {
	case !mask.IsValid():
		return ""
	case mask.Is4():
		return mask.String()
	}
	return strconv.Itoa(PrefixLength(mask))
}

// String gives "ipip" or for example "gue port 6080 csum".
func (e Encapsulation) String() string {
	s := e.Type.String()
	if e.Port != 0 {
		s += fmt.Sprintf(" port %d", e.Port)
	}
	if e.Flags != 0 {
		s += " " + e.Flags.String()
	}
	return s
}

// Plan says what [Client.Apply] would change, and changes nothing. Pools that
// [ValidatePools] refuses are refused as a whole; only of those that are there as
// desired it is not asked, since the kernel has taken them.
//
// Pools and configuration belong to the Plan: its Changes refer to them.
func (c *Client) Plan(ctx context.Context, desired []Pool, config *ApplyConfig) (*Plan, error) {
	if config == nil {
		config = &ApplyConfig{}
	}
	return c.plan(ctx, desired, config)
}

func (c *Client) plan(ctx context.Context, desired []Pool, config *ApplyConfig) (*Plan, error) {
	if validateServices(desired) != nil {
		return nil, fmt.Errorf("ipvs: %w", ValidatePools(desired))
	}
	for attempts := 5; ; attempts-- {
		plan, err := c.compare(ctx, desired, config)
		// A service may have gone between its own list and that of its destinations.
		if !errors.Is(err, fs.ErrNotExist) || attempts == 0 {
			return plan, err
		}
	}
}

// compare compares what is desired with what is there.
func (c *Client) compare(ctx context.Context, desired []Pool, config *ApplyConfig) (*Plan, error) {
	there, foreign, err := c.present(ctx, desired)
	if err != nil {
		return nil, err
	}
	additions := 0 // that are certain: there may be many
	for i := range desired {
		if there[i] == nil {
			additions += 1 + len(desired[i].Destinations)
		}
	}
	p := planner{changes: make([]Change, 0, additions), touched: make([]bool, len(desired))}
	for i := range desired {
		p.service(i, &desired[i], there[i])
	}
	for i := range desired {
		if err := p.destinations(ctx, c, i, &desired[i], there[i]); err != nil {
			return nil, err
		}
	}
	if config.Prune {
		for _, id := range foreign {
			p.removals = append(p.removals, Change{Action: RemoveService, Service: id})
		}
	}
	plan := &Plan{Changes: append(p.changes, p.removals...), Foreign: foreign}
	addresses := map[netip.AddrPort]int{}
	for i, touched := range p.touched {
		if !touched {
			plan.Unchanged++
		} else if validateDestinations(desired, i, addresses) != nil {
			return nil, fmt.Errorf("ipvs: %w", ValidatePools(desired))
		}
	}
	return plan, nil
}

// present returns which of the services desired are there, by position, and which
// others are.
func (c *Client) present(ctx context.Context, desired []Pool) (there []*Service, foreign []ServiceID, err error) {
	position := make(map[ServiceID]int, len(desired))
	for i := range desired {
		position[desired[i].Service.canonical().ServiceID] = i
	}
	there = make([]*Service, len(desired))
	var s ServiceStatus
	for _, err := range c.ServicesInto(ctx, &s) {
		if err != nil {
			return nil, nil, err
		}
		if i, ok := position[s.ServiceID]; ok {
			service := s.Service
			there[i] = &service
		} else {
			foreign = append(foreign, s.ServiceID)
		}
	}
	return there, foreign, nil
}

// planner collects changes.
type planner struct {
	changes  []Change // services, then destinations
	removals []Change
	touched  []bool // the pools that are not as desired

	reply   configuredReply
	place   map[netip.AddrPort]int // of the destinations desired; empty as long as they come in order
	matched []bool
}

// service compares the service of pool i with the one that is there, nil if there
// is none.
func (p *planner) service(i int, desired *Pool, old *Service) {
	c := Change{Action: SetService, Service: desired.Service.canonical().ServiceID, OldService: old, NewService: &desired.Service}
	if old == nil {
		c.Action = AddService
	} else if old.Equal(desired.Service) {
		return
	}
	p.changes = append(p.changes, c)
	p.touched[i] = true
}

// destinations compares the destinations of pool i with those that are there.
func (p *planner) destinations(ctx context.Context, c *Client, i int, desired *Pool, old *Service) error {
	id := desired.Service.canonical().ServiceID
	before := len(p.changes) + len(p.removals)
	p.matched = slices.Grow(p.matched[:0], len(desired.Destinations))[:len(desired.Destinations)]
	clear(p.matched)
	if old != nil {
		if err := p.match(ctx, c, desired, id); err != nil {
			return err
		}
	}
	for j, matched := range p.matched {
		if !matched {
			p.changes = append(p.changes, Change{Action: AddDestination, Service: id, NewDestination: &desired.Destinations[j]})
		}
	}
	if len(p.changes)+len(p.removals) > before {
		p.touched[i] = true
	}
	return nil
}

// match finds those desired among the destinations that are there.
func (p *planner) match(ctx context.Context, c *Client, desired *Pool, id ServiceID) error {
	clear(p.place)
	expect := len(desired.Destinations) - 1 // the kernel lists those added last first
	var old Destination
	about := subject{op: opListDestinations, service: id}
	return eachDestination(ctx, c, about, &getConfigured, &p.reply, func() (goOn bool, err error) {
		p.reply.Destination.load(&old, id.IPFamily())
		at := -1
		if expect >= 0 && desired.Destinations[expect].Address == old.Address {
			at = expect
		} else if i, ok := p.find(desired)[old.Address]; ok {
			at = i
		}
		if at < 0 {
			there := old
			p.removals = append(p.removals, Change{Action: RemoveDestination, Service: id, OldDestination: &there})
			return true, nil
		}
		expect = at - 1
		if d := &desired.Destinations[at]; old != *d && !p.matched[at] {
			there := old
			p.changes = append(p.changes, Change{Action: SetDestination, Service: id, OldDestination: &there, NewDestination: d})
		}
		p.matched[at] = true
		return true, nil
	})
}

// find is the destinations desired by their addresses.
func (p *planner) find(desired *Pool) map[netip.AddrPort]int {
	if len(p.place) == 0 {
		if p.place == nil {
			p.place = make(map[netip.AddrPort]int, len(desired.Destinations))
		}
		for i := range desired.Destinations {
			p.place[desired.Destinations[i].Address] = i
		}
	}
	return p.place
}
