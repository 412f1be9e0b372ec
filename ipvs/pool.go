package ipvs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/netip"
	"slices"
)

// Pool is a service with the destinations behind it.
type Pool struct {
	Service      Service
	Destinations []Destination
}

// PoolStatus is a pool as the kernel reports it.
type PoolStatus struct {
	Service      ServiceStatus
	Destinations []DestinationStatus
}

// Pool is what is configured in it.
func (p *PoolStatus) Pool() Pool {
	pool := Pool{Service: p.Service.Service, Destinations: make([]Destination, len(p.Destinations))}
	for i := range p.Destinations {
		pool.Destinations[i] = p.Destinations[i].Destination
	}
	return pool
}

// Pools yields every service with its destinations, in the order in which they
// were added. The kernel gives the services first, and then the destinations of
// each: what is changed meanwhile may be seen in part. A service that is removed
// meanwhile is left out.
//
// It holds the services and the destinations of one pool at a time. Where that is
// too much, [Client.DestinationsInto] in a loop over [Client.ServicesInto] holds
// one of each.
func (c *Client) Pools(ctx context.Context) iter.Seq2[PoolStatus, error] {
	return func(yield func(PoolStatus, error) bool) {
		var services []ServiceStatus
		var s ServiceStatus
		for _, err := range c.ServicesInto(ctx, &s) {
			if err != nil {
				yield(PoolStatus{}, err)
				return
			}
			services = append(services, s)
		}
		var d DestinationStatus
		for _, s := range services {
			pool, err := c.pool(ctx, s, &d)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if !yield(pool, err) || err != nil {
				return
			}
		}
	}
}

func (c *Client) pool(ctx context.Context, s ServiceStatus, d *DestinationStatus) (PoolStatus, error) {
	pool := PoolStatus{Service: s}
	for _, err := range c.DestinationsInto(ctx, s.ServiceID, d) {
		if err != nil {
			return PoolStatus{}, err
		}
		pool.Destinations = append(pool.Destinations, *d)
	}
	slices.Reverse(pool.Destinations) // the kernel puts new ones first
	return pool, nil
}

// Pool returns one service with its destinations, in the order in which they were
// added. A service that is not there is os.ErrNotExist.
func (c *Client) Pool(ctx context.Context, id ServiceID) (PoolStatus, error) {
	s, err := c.Service(ctx, id)
	if err != nil {
		return PoolStatus{}, err
	}
	var d DestinationStatus
	return c.pool(ctx, s, &d)
}

// ValidatePools says what is wrong with pools that are to be configured together,
// as far as it can be known without the kernel: every value that
// [Service.Validate] and [Destination.Validate] refuse, and what is there twice.
// Each error in the joined one is a [*PoolError].
func ValidatePools(pools []Pool) error {
	errs := validateServices(pools)
	addresses := map[netip.AddrPort]int{} // of the destinations of a pool
	for i := range pools {
		if pools[i].Service.Validate() == nil { // else nothing can be said of its destinations
			errs = append(errs, validateDestinations(pools, i, addresses)...)
		}
	}
	slices.SortStableFunc(errs, func(a, b *PoolError) int { return a.Pool - b.Pool })
	return joined(errs)
}

func joined(errs []*PoolError) error {
	all := make([]error, len(errs))
	for i, err := range errs {
		all[i] = err
	}
	return errors.Join(all...)
}

func validateServices(pools []Pool) (errs []*PoolError) {
	seen := make(map[ServiceID]int, len(pools))
	for i := range pools {
		s := &pools[i].Service
		err := s.Validate()
		if err == nil {
			id := s.canonical().ServiceID
			if first, ok := seen[id]; ok {
				err = invalid("service", "the same as that of pool %d", first)
			}
			seen[id] = i
		}
		if err != nil {
			errs = append(errs, &PoolError{Pool: i, Service: s.ServiceID, Destination: -1, Err: err})
		}
	}
	return errs
}

// validateDestinations does it for one pool; addresses is memory to use.
func validateDestinations(pools []Pool, i int, addresses map[netip.AddrPort]int) (errs []*PoolError) {
	p := &pools[i]
	refuse := func(destination int, err error) {
		errs = append(errs, &PoolError{Pool: i, Service: p.Service.ServiceID, Destination: destination, Err: err})
	}
	for j := range p.Destinations {
		if err := p.Destinations[j].Validate(p.Service.ServiceID); err != nil {
			refuse(j, err)
		}
	}
	for j, first := range duplicates(p.Destinations, addresses) {
		refuse(j, invalid("address", "%s is that of destination %d too", p.Destinations[j].Address, first))
	}
	return errs
}

// duplicates yields the positions of destinations whose addresses an earlier one
// has, and the position of that. Seen is memory to use.
func duplicates(destinations []Destination, seen map[netip.AddrPort]int) iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		if slices.IsSortedFunc(destinations, ascending) {
			return // as most are, and it is quicker to see
		}
		clear(seen)
		for i := range destinations {
			first, ok := seen[destinations[i].Address]
			if ok && !yield(i, first) {
				return
			}
			if !ok {
				seen[destinations[i].Address] = i
			}
		}
	}
}

// ascending compares destinations so that two of the same address are out of order.
func ascending(a, b Destination) int {
	if a.Address.Compare(b.Address) > 0 {
		return 1
	}
	return -1
}

// PoolError is something wrong with one of several pools.
type PoolError struct {
	Pool        int // its position, from 0
	Service     ServiceID
	Destination int   // its position in the pool, from 0; -1 if it is about the service
	Err         error // a [*FieldError]
}

// Error gives for example "pool 3 (tcp:10.0.0.1:80): destination 0: weight: …".
func (e *PoolError) Error() string {
	if e.Destination < 0 {
		return fmt.Sprintf("pool %d (%s): %v", e.Pool, e.Service, e.Err)
	}
	return fmt.Sprintf("pool %d (%s): destination %d: %v", e.Pool, e.Service, e.Destination, e.Err)
}

// Unwrap returns Err.
func (e *PoolError) Unwrap() error { return e.Err }
