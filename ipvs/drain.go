package ipvs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"time"

	"github.com/gnlgo/gnl"
)

// draining is a destination that is to be removed when its connections have
// ended.
type draining struct {
	before      *Destination // if it has been given weight 0
	connections uint32
	idle        int // how often in a row it was found without any
}

// drainingIn are the destinations of a service that drain, by address.
type drainingIn map[netip.AddrPort]*draining

// drained is how often in a row a destination must be found without connections:
// a handshake that was under way may become one, and a list that changes
// meanwhile may miss an entry.
const drained = 2

// How often connections are looked at: soon at first, since most are short.
const (
	firstLook = 50 * time.Millisecond
	lastLook  = time.Second
)

// drain lets the connections of what is to be removed end, and removes it as they
// have. It returns the removals that are left to make, when time is up.
func (a *applier) drain(ctx context.Context, removals []Change) []Change {
	if a.deadline.IsZero() { // the rounds of an Apply have one together
		a.deadline = time.Now().Add(a.config.Drain)
	}
	a.waiting = map[ServiceID]drainingIn{}
	left := a.quiesce(ctx, removals)
	for look := firstLook; ; look = min(2*look, lastLook) {
		left = a.giveUp(ctx, left)
		remaining := time.Until(a.deadline)
		if len(a.waiting) == 0 || remaining <= 0 || !sleep(ctx, min(look, remaining)) {
			return left
		}
		left = a.look(ctx, left)
		ready := a.ready(left)
		left = without(left, ready)
		a.make(ctx, ready)
		a.progress()
	}
}

// sleep waits, and reports false if ctx ended meanwhile.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// quiesce gives what is to be removed weight 0, and notes what has to be waited
// for. It returns the removals to make.
func (a *applier) quiesce(ctx context.Context, removals []Change) (left []Change) {
	services := slices.IndexFunc(removals, func(c Change) bool { return c.Action == RemoveService })
	if services < 0 {
		services = len(removals)
	}
	var settings []Change
	for i := range removals[:services] {
		if c := &removals[i]; a.held(c) == nil {
			settings = a.quiet(settings, c.Service, c.OldDestination)
		}
	}
	a.settings(ctx, settings)
	left, settings = removals[:services:services], nil
	for i := range removals[services:] {
		c := &removals[services+i]
		if a.held(c) == nil {
			var d DestinationStatus
			for _, err := range a.client.DestinationsInto(ctx, c.Service, &d) {
				switch {
				case err == nil:
					old := d.Destination
					settings = a.quiet(settings, c.Service, &old)
				case ctx.Err() == nil && !errors.Is(err, fs.ErrNotExist): // one that has gone has nothing to wait for
					a.fail(c, err)
					delete(a.waiting, c.Service)
					c = nil
				}
			}
		}
		if c != nil {
			left = append(left, *c)
		}
	}
	settings = slices.DeleteFunc(settings, func(c Change) bool { return a.waiting[c.Service] == nil })
	if len(a.broken) == 0 {
		a.settings(ctx, settings)
	}
	return left
}

// quiet notes that a destination drains, and adds the change that gives it weight
// 0 where it takes one. What nobody could have set, nobody can set to weight 0.
func (a *applier) quiet(settings []Change, id ServiceID, d *Destination) []Change {
	if a.waiting[id] == nil {
		a.waiting[id] = drainingIn{}
	}
	w := &draining{}
	a.waiting[id][d.Address] = w
	if d.Weight == 0 || d.Validate(id) != nil {
		return settings
	}
	new := *d
	new.Weight = 0
	return append(settings, Change{Action: SetDestination, Service: id, OldDestination: d, NewDestination: &new})
}

// settings changes weights. A destination that has gone needs none.
func (a *applier) settings(ctx context.Context, changes []Change) {
	a.total += len(changes)
	for part := range slices.Chunk(changes, chunk) {
		if ctx.Err() != nil {
			a.total -= len(part)
			continue
		}
		a.batch.Reset()
		for i := range part {
			part[i].addTo(a.batch)
		}
		_ = a.batch.Do(ctx) // the outcomes are looked at one by one
		for i := range part {
			c := &part[i]
			switch err := a.batch.Err(i); {
			case err == nil:
				a.outcome.Done = append(a.outcome.Done, *c)
				if w := a.waiting[c.Service][c.Destination()]; w != nil {
					w.before = c.OldDestination
				}
			case errors.Is(err, fs.ErrNotExist):
				a.total--
			case ctx.Err() != nil || !a.final && errors.Is(err, gnl.ErrUnknownOutcome):
				a.overtaken, a.broken[c.Service] = true, true
				a.skip(c, err)
			default:
				a.fail(c, err)
			}
		}
		a.progress()
	}
}

// giveUp skips the removals that are not to be made any more, since something has
// failed, and gives back the weights. It returns the others.
func (a *applier) giveUp(ctx context.Context, removals []Change) (left []Change) {
	var settings []Change
	for i := range removals {
		c := &removals[i]
		why := a.held(c)
		if why == nil {
			left = append(left, *c)
			continue
		}
		a.skip(c, why)
		for address, w := range a.waiting[c.Service] {
			if c.Action == RemoveDestination && address != c.OldDestination.Address {
				continue
			}
			if w.before != nil {
				quiet := *w.before
				quiet.Weight = 0
				settings = append(settings, Change{Action: SetDestination, Service: c.Service, OldDestination: &quiet, NewDestination: w.before})
			}
			delete(a.waiting[c.Service], address)
		}
		if len(a.waiting[c.Service]) == 0 {
			delete(a.waiting, c.Service)
		}
	}
	a.settings(ctx, settings)
	return left
}

// look looks at the connections. Where it cannot, the removals fail; it returns
// the others.
func (a *applier) look(ctx context.Context, removals []Change) (left []Change) {
	unseen := map[ServiceID]error{}
	for id, in := range a.waiting {
		missing := make(map[netip.AddrPort]bool, len(in))
		for address := range in {
			missing[address] = true
		}
		var d DestinationStatus
		var failure error
		for _, err := range a.client.DestinationsInto(ctx, id, &d) {
			if failure = err; err != nil {
				break
			}
			if w := in[d.Address]; w != nil {
				delete(missing, d.Address)
				w.see(pending(id, &d))
			}
		}
		switch {
		case ctx.Err() != nil:
			return removals // they will be skipped
		case failure != nil && !errors.Is(failure, fs.ErrNotExist):
			unseen[id] = failure
			continue
		}
		for address := range missing {
			in[address].see(0)
		}
	}
	for i := range removals {
		if err := unseen[removals[i].Service]; err != nil {
			a.fail(&removals[i], err)
			delete(a.waiting, removals[i].Service)
		} else {
			left = append(left, removals[i])
		}
	}
	return left
}

func (w *draining) see(connections uint32) {
	w.connections = connections
	if connections == 0 {
		w.idle++
	} else {
		w.idle = 0
	}
}

// ready returns the removals that nothing speaks against any more, and what is in
// them is not waited for any longer.
func (a *applier) ready(removals []Change) (ready []Change) {
	for _, c := range removals {
		in := a.waiting[c.Service]
		switch {
		case c.Action == RemoveService:
			if !in.allIdle() {
				continue
			}
			clear(in)
		case in[c.OldDestination.Address] == nil || in[c.OldDestination.Address].idle < drained:
			continue
		default:
			delete(in, c.OldDestination.Address)
		}
		ready = append(ready, c)
		if len(in) == 0 {
			delete(a.waiting, c.Service)
		}
	}
	return ready
}

func (in drainingIn) allIdle() bool {
	for _, w := range in {
		if w.idle < drained {
			return false
		}
	}
	return true
}

// pending is how many connections of a destination are to be waited for. TCP and
// SCTP count those inactive that are closing, or closed: that may take minutes
// and matters to nobody. With all else, there is no other state.
func pending(id ServiceID, d *DestinationStatus) uint32 {
	if id.Mark == 0 && (id.Protocol == TCP || id.Protocol == SCTP) {
		return d.Active
	}
	return d.Active + d.Inactive
}

// without is changes less those in made, which are in the same order.
func without(changes, made []Change) (left []Change) {
	for _, c := range changes {
		if len(made) > 0 && c == made[0] {
			made = made[1:]
		} else {
			left = append(left, c)
		}
	}
	return left
}

// cut notes the connections that a removal has cut off.
func (a *applier) cut(c *Change) {
	for address, w := range a.waiting[c.Service] {
		if w.connections > 0 && (c.Action == RemoveService || address == c.OldDestination.Address) {
			a.outcome.Cut = append(a.outcome.Cut, Cut{c.Service, address, w.connections})
			delete(a.waiting[c.Service], address)
		}
	}
}

// progress tells how far the work has come.
func (a *applier) progress() {
	if a.config.Progress == nil {
		return
	}
	p := Progress{Done: len(a.outcome.Done), Total: a.total}
	for _, in := range a.waiting {
		for _, w := range in {
			if w.connections > 0 {
				p.Draining++
				p.Connections += uint64(w.connections)
			}
		}
	}
	if p.Draining > 0 {
		p.Left = max(time.Until(a.deadline), 0)
	}
	a.config.Progress(p)
}

// checkDrain refuses a time that has no sense.
func checkDrain(d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("ipvs: %w", invalid("drain", "%s is negative", d))
	}
	return nil
}
