package ipvs

import (
	"context"
	"net/netip"

	"github.com/gnlgo/gnl"
)

// Batch is many changes in few system calls. Each method that adds a change
// returns its position; [Batch.Do] carries them out in order. One that fails does
// not stop the others, and has an error of its own, by position.
//
// What is added is encoded at once, into memory that [Batch.Reset] keeps for the
// next: then nothing is allocated for a change. A change takes some 400 bytes,
// so it is better to carry out some thousands at a time than all of a million.
//
// A Batch is for one goroutine at a time.
type Batch struct {
	client   *Client
	batch    gnl.Batch
	requests requests
	members  []batchMember
	services []batchService
}

// batchMember is what is kept of a change, for the explanation of its failure.
type batchMember struct {
	op          operation
	service     int32 // its service's position in Batch.services
	at          int32 // in Batch.batch; -1 if it was refused before
	destination netip.AddrPort
	err         error
}

// batchService is a service that changes speak of, those of its destinations,
// for the most part.
type batchService struct {
	id                ServiceID
	scheduler, engine string
}

// Batch returns an empty Batch of changes.
func (c *Client) Batch() *Batch { return &Batch{client: c} }

// AddService is [Client.AddService].
func (b *Batch) AddService(s Service) int { return b.writeService(opAddService, &newService, &s) }

// SetService is [Client.SetService].
func (b *Batch) SetService(s Service) int { return b.writeService(opSetService, &setService, &s) }

func (b *Batch) writeService(op operation, command *gnl.Command[serviceRequest, struct{}], s *Service) int {
	b.services = append(b.services, batchService{s.ServiceID, s.Scheduler, s.Engine})
	err := s.Validate()
	at := -1
	if err == nil {
		b.requests.service.Service.set(s, ^ServiceFlags(0))
		at = command.AddTo(&b.batch, &b.requests.service, nil)
	}
	return b.add(op, netip.AddrPort{}, at, err)
}

// RemoveService is [Client.RemoveService].
func (b *Batch) RemoveService(id ServiceID) int { return b.byKey(opRemoveService, &delService, &id) }

// Zero is [Client.Zero].
func (b *Batch) Zero(id ServiceID) int { return b.byKey(opZero, &zero, &id) }

// ZeroAll is [Client.ZeroAll].
func (b *Batch) ZeroAll() int { return b.bare(opZeroAll, &zeroAll) }

// Flush is [Client.Flush].
func (b *Batch) Flush() int { return b.bare(opFlush, &flush) }

func (b *Batch) bare(op operation, command *gnl.Command[struct{}, struct{}]) int {
	b.about(&ServiceID{})
	return b.add(op, netip.AddrPort{}, command.AddTo(&b.batch, &struct{}{}, nil), nil)
}

func (b *Batch) byKey(op operation, command *gnl.Command[keyRequest, struct{}], id *ServiceID) int {
	b.about(id)
	err := id.identifies()
	at := -1
	if err == nil {
		b.requests.key.Service.set(id)
		at = command.AddTo(&b.batch, &b.requests.key, nil)
	}
	return b.add(op, netip.AddrPort{}, at, err)
}

// AddDestination is [Client.AddDestination].
func (b *Batch) AddDestination(service ServiceID, d Destination) int {
	return b.writeDestination(opAddDestination, &newDest, &service, &d)
}

// SetDestination is [Client.SetDestination].
func (b *Batch) SetDestination(service ServiceID, d Destination) int {
	return b.writeDestination(opSetDestination, &setDest, &service, &d)
}

func (b *Batch) writeDestination(op operation, command *gnl.Command[destinationRequest, struct{}], service *ServiceID, d *Destination) int {
	b.about(service)
	err := checkDestination(service, d)
	at := -1
	if err == nil {
		b.requests.destination.Service.set(service)
		b.requests.destination.Destination.set(d)
		at = command.AddTo(&b.batch, &b.requests.destination, nil)
	}
	return b.add(op, d.Address, at, err)
}

// RemoveDestination is [Client.RemoveDestination].
func (b *Batch) RemoveDestination(service ServiceID, address netip.AddrPort) int {
	b.about(&service)
	err := checkDestinationKey(&service, address)
	at := -1
	if err == nil {
		b.requests.destinationKey.Service.set(&service)
		b.requests.destinationKey.Destination.set(address)
		at = delDest.AddTo(&b.batch, &b.requests.destinationKey, nil)
	}
	return b.add(opRemoveDestination, address, at, err)
}

// about notes the service that the next member speaks of.
func (b *Batch) about(id *ServiceID) {
	if n := len(b.services); n == 0 || b.services[n-1].id != *id {
		b.services = append(b.services, batchService{id: *id})
	}
}

func (b *Batch) add(op operation, destination netip.AddrPort, at int, err error) int {
	b.members = append(b.members, batchMember{
		op: op, service: int32(len(b.services) - 1), at: int32(at), destination: destination, err: err,
	})
	return len(b.members) - 1
}

// Len is how many changes have been added.
func (b *Batch) Len() int { return len(b.members) }

// Reset empties the batch, keeping its memory.
func (b *Batch) Reset() {
	b.batch.Reset()
	clear(b.members)
	clear(b.services)
	b.members, b.services = b.members[:0], b.services[:0]
}

// Do carries out the changes that have not been yet. The error is a
// [*gnl.BatchError] if any of them failed.
func (b *Batch) Do(ctx context.Context) error {
	_ = b.batch.Do(ctx, b.client.gnl) // what was refused before counts too: the outcomes are looked at one by one
	var failed *gnl.BatchError
	for i := range b.members {
		if !b.failedAt(i) {
			continue
		}
		if failed == nil {
			failed = &gnl.BatchError{Of: len(b.members), First: i, Err: b.Err(i)}
		}
		failed.Failed++
	}
	if failed == nil {
		return nil
	}
	return failed
}

func (b *Batch) failedAt(i int) bool {
	m := &b.members[i]
	return m.err != nil || m.at >= 0 && b.batch.Err(int(m.at)) != nil
}

// Err is the outcome of the change at position i once Do has returned: nil if it
// was made, else an [*Error]. gnl.ErrUnknownOutcome says that nobody knows.
func (b *Batch) Err(i int) error {
	m := &b.members[i]
	err := m.err
	if err == nil && m.at >= 0 {
		err = b.batch.Err(int(m.at))
	}
	if err == nil {
		return nil
	}
	s := &b.services[m.service]
	return subject{op: m.op, service: s.id, destination: m.destination, scheduler: s.scheduler, engine: s.engine}.explain(err)
}
