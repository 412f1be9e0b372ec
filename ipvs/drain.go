package ipvs

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"time"
)

// draining is a destination that is to be removed when its connections have
// ended.
type draining struct {
	connections uint32
	idle        int // how often it was found without
}

// drained is how often a destination must be found without connections in a
// row: a handshake that was under way may become one.
const drained = 2

// How often connections are looked at: soon at first, since most are short.
const (
	firstLook = 50 * time.Millisecond
	lastLook  = time.Second
)

// drain lets the connections of what is to be removed end, and removes it as they
// have. It returns the removals that are left to make.
func (a *applier) drain(ctx context.Context, removals []Change) []Change {
	left, waiting := a.quiesce(ctx, removals)
	deadline := time.Now().Add(a.config.Drain)
	for look := firstLook; len(waiting) > 0; look = min(2*look, lastLook) {
		remaining := time.Until(deadline)
		if remaining <= 0 || !sleep(ctx, min(look, remaining)) {
			break
		}
		ready, err := a.look(ctx, left, waiting)
		if err != nil {
			// Without knowing of connections there is nothing to wait for.
			for i := range left {
				a.fail(&left[i], err)
			}
			return nil
		}
		if len(ready) > 0 {
			left = without(left, ready)
			a.make(ctx, ready)
		}
		a.progress(stillDraining(waiting, time.Until(deadline)))
	}
	if ctx.Err() == nil {
		a.noteCut(left, waiting)
	}
	return left
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

func (a *applier) fail(c *Change, err error) {
	a.broken[c.Service] = true
	a.outcome.Failed = append(a.outcome.Failed, Failure{*c, err})
}

// drainingIn are the destinations of a service that drain, by address.
type drainingIn map[netip.AddrPort]*draining

// quiesce gives what is to be removed weight 0. It returns the removals to make,
// and what has to be waited for in each service.
func (a *applier) quiesce(ctx context.Context, removals []Change) (left []Change, waiting map[ServiceID]drainingIn) {
	waiting = map[ServiceID]drainingIn{}
	var settings []Change
	quiet := func(id ServiceID, d Destination) {
		if waiting[id] == nil {
			waiting[id] = drainingIn{}
		}
		waiting[id][d.Address] = &draining{}
		if d.Weight == 0 || d.Validate(id) != nil {
			return // what nobody could have set, nobody can set to weight 0: it is removed as it is
		}
		old, new := d, d
		new.Weight = 0
		settings = append(settings, Change{Action: SetDestination, Service: id, OldDestination: &old, NewDestination: &new})
	}
	for _, c := range removals {
		switch {
		case a.broken[c.Service], c.Action == RemoveService && len(a.broken) > 0:
			// It will not be removed.
		case c.Action == RemoveDestination:
			quiet(c.Service, *c.OldDestination)
		default:
			var d DestinationStatus
			for _, err := range a.client.DestinationsInto(ctx, c.Service, &d) {
				if err != nil {
					break // the removal will say what is wrong
				}
				quiet(c.Service, d.Destination)
			}
		}
	}
	a.total += len(settings)
	a.make(ctx, settings)
	return removals, waiting
}

// look looks at the connections. It returns the removals that nothing speaks
// against any more, and takes out of waiting what they remove.
func (a *applier) look(ctx context.Context, left []Change, waiting map[ServiceID]drainingIn) (ready []Change, err error) {
	var d DestinationStatus
	for id, in := range waiting {
		there := map[netip.AddrPort]bool{}
		for _, err := range a.client.DestinationsInto(ctx, id, &d) {
			if errors.Is(err, fs.ErrNotExist) {
				break
			}
			if err != nil {
				return nil, err
			}
			there[d.Address] = true
			if w := in[d.Address]; w != nil {
				w.see(pending(id, &d))
			}
		}
		for address, w := range in {
			if !there[address] {
				w.connections, w.idle = 0, drained
			}
		}
	}
	for _, c := range left {
		in := waiting[c.Service]
		switch {
		case c.Action == RemoveDestination:
			if w := in[c.OldDestination.Address]; w != nil && w.idle >= drained {
				delete(in, c.OldDestination.Address)
				ready = append(ready, c)
			}
		case in.allIdle():
			delete(waiting, c.Service)
			ready = append(ready, c)
		}
		if len(in) == 0 {
			delete(waiting, c.Service)
		}
	}
	return ready, nil
}

func (w *draining) see(connections uint32) {
	w.connections = connections
	if connections == 0 {
		w.idle++
	} else {
		w.idle = 0
	}
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
func without(changes, made []Change) []Change {
	var left []Change
	for _, c := range changes {
		if len(made) > 0 && c == made[0] {
			made = made[1:]
		} else {
			left = append(left, c)
		}
	}
	return left
}

func stillDraining(waiting map[ServiceID]drainingIn, left time.Duration) Progress {
	var p Progress
	for _, in := range waiting {
		for _, w := range in {
			if w.idle < drained {
				p.Draining++
				p.Connections += uint64(w.connections)
			}
		}
	}
	if p.Draining > 0 {
		p.Left = max(left, 0)
	}
	return p
}

// noteCut notes what will be removed although it has connections.
func (a *applier) noteCut(left []Change, waiting map[ServiceID]drainingIn) {
	for _, c := range left {
		for address, w := range waiting[c.Service] {
			if w.connections > 0 && (c.Action == RemoveService || address == c.OldDestination.Address) {
				a.outcome.Cut = append(a.outcome.Cut, Cut{c.Service, address, w.connections})
			}
		}
	}
}
