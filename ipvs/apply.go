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
	"github.com/gnlgo/gnl/internal/unix"
)

// ApplyConfig says how pools are applied. The zero ApplyConfig leaves services
// alone that are not in the pools, and removes destinations at once.
type ApplyConfig struct {
	// Prune removes the services that are there and not in the pools.
	Prune bool

	// Drain is how long destinations that are to be removed may keep their
	// connections: they get weight 0, so that no new ones come, and are removed
	// when theirs have ended, or after this time in any case. Should something
	// fail so that they are not removed, they get their weights back, but not
	// when the context ends.
	//
	// Behind a persistent service the kernel goes on to send those clients to a
	// destination of weight 0 that it knows already, unless the sysctl
	// net.ipv4.vs.expire_quiescent_template is 1.
	Drain time.Duration

	// Progress, if set, is called now and then: after every some hundred
	// changes, and while connections are waited for. The call is made by the
	// goroutine that called Apply.
	Progress func(Progress)
}

// Progress is how far an Apply has come.
type Progress struct {
	Done, Total int           // changes; Total may grow
	Draining    int           // destinations that still have connections
	Connections uint64        // that they have
	Left        time.Duration // until those are cut off; 0 when nothing is draining
}

// Outcome says what an Apply did.
type Outcome struct {
	Done []Change
	// Failed are the changes that the kernel refused.
	Failed []Failure
	// Skipped are the changes that were not made because of those that failed, or
	// because the context ended.
	Skipped []Failure
	// Unchanged is how many of the pools were as desired already, and Foreign are
	// the services that are there and not desired, which ApplyConfig.Prune removes.
	Unchanged int
	Foreign   []ServiceID
	// Cut are the destinations that were removed with connections at the end of
	// ApplyConfig.Drain.
	Cut []Cut
}

// Failure is a change that was not made, and why.
type Failure struct {
	Change Change
	Err    error
}

// Cut is a destination that was removed before its connections had ended.
type Cut struct {
	Service     ServiceID
	Destination netip.AddrPort
	Connections uint32
}

// ApplyError says that pools could not be applied in full. To apply them again
// makes up for what is missing, once the cause is gone.
type ApplyError struct {
	Done, Failed, Skipped int   // changes
	Err                   error // the first failure, or what ended the work
}

// Error gives for example "ipvs: apply: changes: 1 failed, 2 skipped, 7 done: ipvs:
// add service tcp:10.0.0.1:80: …".
func (e *ApplyError) Error() string {
	return fmt.Sprintf("ipvs: apply: changes: %d failed, %d skipped, %d done: %v", e.Failed, e.Skipped, e.Done, e.Err)
}

// Unwrap returns Err.
func (e *ApplyError) Unwrap() error { return e.Err }

// Apply changes what is configured so that every pool is there as desired. Only
// what differs is touched, so that connections live on, and what is applied
// twice changes nothing the second time. What is added or set comes first, then
// what is removed.
//
// A pool in which something fails loses no destination, and while anything has
// failed no service is removed; the other pools are applied all the same. The
// error is then an [*ApplyError], and the Outcome tells what was done and what
// was not. Pools that [ValidatePools] refuses are refused as a whole, before
// anything is changed.
//
// Should others change the configuration meanwhile, what they have brought about
// or undone is looked at again, a few times.
//
// Pools must not be changed until the Outcome is of no more use, which refers to
// them.
func (c *Client) Apply(ctx context.Context, desired []Pool, config *ApplyConfig) (*Outcome, error) {
	if config == nil {
		config = &ApplyConfig{}
	}
	if err := checkDrain(config.Drain); err != nil {
		return &Outcome{}, err
	}
	a := applier{client: c, batch: c.Batch(), config: config, outcome: &Outcome{}}
	// Each round begins anew from what is there. Two that apply the same pools
	// at once are done after the second; those that disagree would never be.
	const rounds = 5
	for round := 1; ; round++ {
		plan, err := c.plan(ctx, desired, config)
		if err != nil && round == 1 {
			return a.outcome, err // there is no more to say
		}
		if err != nil {
			return a.outcome, a.failed(err)
		}
		if round == 1 {
			a.outcome.Unchanged = plan.Unchanged
		}
		a.begin(plan, round == rounds)
		a.run(ctx, plan.Changes)
		if ctx.Err() != nil && len(a.outcome.Skipped) > 0 {
			return a.outcome, a.failed(ctx.Err())
		}
		if !a.overtaken {
			return a.outcome, a.failed(nil)
		}
	}
}

// applier makes the changes of one Apply.
type applier struct {
	client  *Client
	batch   *Batch
	config  *ApplyConfig
	outcome *Outcome
	total   int
	at      []int // positions in batch of the changes that are being made

	deadline time.Time                // of draining
	waiting  map[ServiceID]drainingIn // what is draining

	final     bool               // there is no other round: being overtaken is a failure
	overtaken bool               // in this round: someone else was quicker with a change
	broken    map[ServiceID]bool // something failed there in this round
}

// chunk is how many changes are made between two calls of Progress.
const chunk = 512

func (a *applier) begin(plan *Plan, final bool) {
	a.final, a.overtaken, a.broken = final, false, map[ServiceID]bool{}
	// What failed is tried again, if there is another round at all.
	a.outcome.Failed, a.outcome.Skipped = nil, nil
	a.outcome.Foreign = plan.Foreign
	a.total = len(a.outcome.Done) + len(plan.Changes)
	a.outcome.Done = slices.Grow(a.outcome.Done, len(plan.Changes)) // they may be many
}

// failed is the error that Apply ends with; cause is what ended it early.
func (a *applier) failed(cause error) error {
	e := &ApplyError{Done: len(a.outcome.Done), Failed: len(a.outcome.Failed), Skipped: len(a.outcome.Skipped), Err: cause}
	if e.Failed > 0 && cause == nil {
		e.Err = a.outcome.Failed[0].Err
	}
	if e.Err == nil {
		return nil
	}
	return e
}

func (a *applier) run(ctx context.Context, changes []Change) {
	a.progress()
	removals := len(changes)
	for removals > 0 && changes[removals-1].isRemoval() {
		removals--
	}
	// A service must be there before its destinations come, and whether it is
	// decides whether they can: so the two do not go together.
	services := 0
	for services < removals && changes[services].NewService != nil {
		services++
	}
	a.make(ctx, changes[:services])
	a.make(ctx, changes[services:removals])
	a.remove(ctx, changes[removals:])
}

func (c *Change) isRemoval() bool { return c.Action == RemoveDestination || c.Action == RemoveService }

var (
	errPoolFailed  = errors.New("ipvs: something failed in the same pool")
	errOtherFailed = errors.New("ipvs: no service is removed while something fails")
)

// make makes changes of which none needs another.
func (a *applier) make(ctx context.Context, changes []Change) {
	for len(changes) > 0 {
		part := changes[:min(len(changes), chunk)]
		changes = changes[len(part):]
		a.part(ctx, part)
		a.progress()
	}
}

func (a *applier) part(ctx context.Context, changes []Change) {
	a.batch.Reset()
	a.at = slices.Grow(a.at[:0], len(changes))[:len(changes)]
	for i := range changes {
		c := &changes[i]
		a.at[i] = -1
		if ctx.Err() != nil {
			a.skip(c, ctx.Err())
		} else if why := a.held(c); why != nil {
			a.skip(c, why)
		} else {
			a.at[i] = c.addTo(a.batch)
		}
	}
	if a.batch.Len() == 0 {
		return
	}
	_ = a.batch.Do(ctx) // the outcomes are looked at one by one
	for i := range changes {
		if a.at[i] >= 0 {
			a.settle(ctx, &changes[i], a.batch.Err(a.at[i]))
		}
	}
}

// held is why a change is not to be made, since something else has failed.
func (a *applier) held(c *Change) error {
	switch {
	case a.broken[c.Service] && c.NewService == nil:
		return errPoolFailed
	case c.Action == RemoveService && len(a.broken) > 0:
		return errOtherFailed
	}
	return nil
}

func (c *Change) addTo(b *Batch) int {
	switch c.Action {
	case AddService:
		return b.AddService(*c.NewService)
	case SetService:
		return b.SetService(*c.NewService)
	case AddDestination:
		return b.AddDestination(c.Service, *c.NewDestination)
	case SetDestination:
		return b.SetDestination(c.Service, *c.NewDestination)
	case RemoveDestination:
		return b.RemoveDestination(c.Service, c.OldDestination.Address)
	default:
		return b.RemoveService(c.Service)
	}
}

func (a *applier) skip(c *Change, why error) {
	a.outcome.Skipped = append(a.outcome.Skipped, Failure{*c, why})
}

func (a *applier) fail(c *Change, err error) {
	a.broken[c.Service] = true
	a.outcome.Failed = append(a.outcome.Failed, Failure{*c, err})
}

// settle notes what became of a change.
func (a *applier) settle(ctx context.Context, c *Change, err error) {
	switch {
	case err == nil:
		a.outcome.Done = append(a.outcome.Done, *c)
		if c.isRemoval() {
			a.cut(c)
		}
	case c.isRemoval() && errors.Is(err, fs.ErrNotExist):
		a.total-- // somebody else has removed it: nothing is left to do
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		a.broken[c.Service] = true
		a.skip(c, err)
	case !a.final && c.wasOvertaken(err):
		a.overtaken, a.broken[c.Service] = true, true
		a.skip(c, err)
	default:
		a.fail(c, err)
	}
}

// wasOvertaken says whether err comes of a change that someone else has made
// since the plan was, or may have been made and not answered.
func (c *Change) wasOvertaken(err error) bool {
	switch c.Action {
	case AddService:
		// A scheduler that is not there is ErrNotExist, and stays away.
		return errors.Is(err, fs.ErrExist) || errors.Is(err, gnl.ErrUnknownOutcome)
	case SetService:
		return errors.Is(err, unix.ESRCH) || errors.Is(err, gnl.ErrUnknownOutcome)
	}
	return errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, gnl.ErrUnknownOutcome)
}

// remove removes destinations and services, those with connections last.
func (a *applier) remove(ctx context.Context, removals []Change) {
	if a.config.Drain > 0 && len(removals) > 0 {
		removals = a.drain(ctx, removals)
	}
	destinations := 0
	for destinations < len(removals) && removals[destinations].Action == RemoveDestination {
		destinations++
	}
	a.make(ctx, removals[:destinations])
	a.make(ctx, removals[destinations:])
	a.waiting = nil
}
