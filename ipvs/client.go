package ipvs

import (
	"context"
	"fmt"
	"iter"
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/internal/unix"
)

// Client configures the load balancer of a network namespace: the one that the
// gnl.Client's sockets are in. It is safe for concurrent use, as the gnl.Client
// is.
type Client struct{ gnl *gnl.Client }

// New returns a Client that works over client, which stays the caller's to
// close. Nothing is asked of the kernel yet.
func New(client *gnl.Client) *Client { return &Client{client} }

// AddService makes a service. One that is there already is os.ErrExist, and a
// scheduler or engine that the kernel has no module for os.ErrNotExist.
func (c *Client) AddService(ctx context.Context, s Service) error {
	return c.writeService(ctx, opAddService, &newService, &s, ^ServiceFlags(0))
}

// SetService gives a service all the properties in s, and so takes away those
// that s does not have. Its destinations, connections and counters stay. A
// service that is not there is os.ErrNotExist.
func (c *Client) SetService(ctx context.Context, s Service) error {
	return c.writeService(ctx, opSetService, &setService, &s, ^ServiceFlags(0))
}

// ServiceUpdate is what is to be changed of a service. What is not given stays
// as it is: the zero ServiceUpdate changes nothing.
type ServiceUpdate struct {
	Scheduler gnl.Optional[string]

	// SetFlags are switched on and ClearFlags off, the others stay.
	SetFlags, ClearFlags ServiceFlags

	Timeout gnl.Optional[time.Duration]
	Netmask gnl.Optional[netip.Addr] // given as the zero Addr: all bits
	Engine  gnl.Optional[string]     // given as "": none
}

// UpdateService changes some properties of a service. The kernel takes all of
// them at once, flags aside, so that they are read first: of two updates at the
// same time one may undo the other. A service that is not there is
// os.ErrNotExist.
func (c *Client) UpdateService(ctx context.Context, id ServiceID, update ServiceUpdate) error {
	about := subject{op: opUpdateService, service: id}
	if update.SetFlags&update.ClearFlags != 0 {
		return about.explain(invalid("flags", "%s to be both set and cleared", update.SetFlags&update.ClearFlags))
	}
	status, err := c.service(ctx, about, id)
	if err != nil {
		return err
	}
	s := status.Service
	s.Scheduler = given(update.Scheduler, s.Scheduler)
	s.Flags = s.Flags&^update.ClearFlags | update.SetFlags
	s.Timeout = given(update.Timeout, s.Timeout)
	s.Netmask = given(update.Netmask, s.Netmask)
	s.Engine = given(update.Engine, s.Engine)
	return c.writeService(ctx, opUpdateService, &setService, &s, update.SetFlags|update.ClearFlags)
}

// given is the value of o, or else what there was.
func given[T any](o gnl.Optional[T], was T) T {
	if v, ok := o.Get(); ok {
		return v
	}
	return was
}

func (c *Client) writeService(ctx context.Context, op operation, command *gnl.Command[serviceRequest, struct{}], s *Service, mask ServiceFlags) error {
	err := s.Validate()
	if err == nil {
		r := requestMemory.Get().(*requests)
		r.service.Service.set(s, mask)
		err = command.DoInto(ctx, c.gnl, &r.service, &struct{}{})
		requestMemory.Put(r)
	}
	if err != nil {
		return subject{op: op, service: s.ServiceID, scheduler: s.Scheduler, engine: s.Engine}.explain(err)
	}
	return nil
}

// RemoveService removes a service together with its destinations. What comes
// for its connections is dropped from then on; with the sysctl
// net.ipv4.vs.expire_nodest_conn they end at once. A service that is not there
// is os.ErrNotExist.
func (c *Client) RemoveService(ctx context.Context, id ServiceID) error {
	return c.byKey(ctx, opRemoveService, &delService, id)
}

func (c *Client) byKey(ctx context.Context, op operation, command *gnl.Command[keyRequest, struct{}], id ServiceID) error {
	err := id.identifies()
	if err == nil {
		r := requestMemory.Get().(*requests)
		r.key.Service.set(&id)
		err = command.DoInto(ctx, c.gnl, &r.key, &struct{}{})
		requestMemory.Put(r)
	}
	if err != nil {
		return subject{op: op, service: id}.explain(err)
	}
	return nil
}

// Service returns one service. One that is not there is os.ErrNotExist.
func (c *Client) Service(ctx context.Context, id ServiceID) (ServiceStatus, error) {
	return c.service(ctx, subject{op: opGetService, service: id}, id)
}

// serviceReplies and destinationReplies are memory that answers are decoded into.
var (
	serviceReplies     = sync.Pool{New: func() any { return new(serviceReply) }}
	destinationReplies = sync.Pool{New: func() any { return new(destinationReply) }}
)

func (c *Client) service(ctx context.Context, about subject, id ServiceID) (ServiceStatus, error) {
	if err := id.identifies(); err != nil {
		return ServiceStatus{}, about.explain(err)
	}
	r := requestMemory.Get().(*requests)
	defer requestMemory.Put(r)
	reply := serviceReplies.Get().(*serviceReply)
	defer serviceReplies.Put(reply)
	r.key.Service.set(&id)
	if err := getService.DoInto(ctx, c.gnl, &r.key, reply); err != nil {
		return ServiceStatus{}, about.explain(err)
	}
	var s ServiceStatus
	reply.load(&s)
	return s, nil
}

// Services yields all services, in an order of the kernel's. It ends with an
// error if the kernel refuses.
//
// The kernel finds its place in a long list by counting, and does not tell when
// the list changes meanwhile: then services may be missing, or there twice.
func (c *Client) Services(ctx context.Context) iter.Seq2[ServiceStatus, error] {
	return values(func(s *ServiceStatus) iter.Seq2[*ServiceStatus, error] { return c.ServicesInto(ctx, s) })
}

// ServicesInto is [Client.Services] into the caller's memory: every service is
// decoded into s, which is yielded and holds it until the next. It allocates
// nothing for a service, but for the names of schedulers and engines that the
// kernel itself does not have.
func (c *Client) ServicesInto(ctx context.Context, s *ServiceStatus) iter.Seq2[*ServiceStatus, error] {
	return func(yield func(*ServiceStatus, error) bool) {
		reply := serviceReplies.Get().(*serviceReply)
		defer serviceReplies.Put(reply)
		for _, err := range getServices.DumpInto(ctx, c.gnl, &struct{}{}, reply) {
			if err != nil {
				yield(nil, subject{op: opListServices}.explain(err))
				return
			}
			reply.load(s)
			if !yield(s, nil) {
				return
			}
		}
	}
}

// values yields copies where into decodes into one place. They share no memory
// that is written to.
func values[T any](into func(*T) iter.Seq2[*T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var v, none T
		for _, err := range into(&v) {
			if err != nil {
				yield(none, err)
				return
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}

// AddDestination puts a destination behind a service. One that is there already
// is os.ErrExist, and a service that is not there os.ErrNotExist.
func (c *Client) AddDestination(ctx context.Context, service ServiceID, d Destination) error {
	return c.writeDestination(ctx, opAddDestination, &newDest, service, &d)
}

// SetDestination gives a destination all the properties in d. Its connections
// and counters stay. A service or destination that is not there is
// os.ErrNotExist.
func (c *Client) SetDestination(ctx context.Context, service ServiceID, d Destination) error {
	return c.writeDestination(ctx, opSetDestination, &setDest, service, &d)
}

// DestinationUpdate is what is to be changed of a destination. What is not given
// stays as it is: the zero DestinationUpdate changes nothing.
type DestinationUpdate struct {
	Weight         gnl.Optional[uint32]
	Method         gnl.Optional[Method] // another one than Tunnel ends the tunnel
	UpperThreshold gnl.Optional[uint32]
	LowerThreshold gnl.Optional[uint32]
	Tunnel         gnl.Optional[Encapsulation]
}

// UpdateDestination changes some properties of a destination. The kernel takes
// all of them at once, so that they are read first, as [Client.Destination]
// does: of two updates at the same time one may undo the other. A service or
// destination that is not there is os.ErrNotExist.
func (c *Client) UpdateDestination(ctx context.Context, service ServiceID, address netip.AddrPort, update DestinationUpdate) error {
	status, err := c.destination(ctx, subject{op: opUpdateDestination, service: service, destination: address})
	if err != nil {
		return err
	}
	d := status.Destination
	d.Weight = given(update.Weight, d.Weight)
	d.Method = given(update.Method, d.Method)
	d.UpperThreshold = given(update.UpperThreshold, d.UpperThreshold)
	d.LowerThreshold = given(update.LowerThreshold, d.LowerThreshold)
	if d.Method != Tunnel {
		d.Tunnel = Encapsulation{}
	}
	d.Tunnel = given(update.Tunnel, d.Tunnel)
	return c.writeDestination(ctx, opUpdateDestination, &setDest, service, &d)
}

func (c *Client) writeDestination(ctx context.Context, op operation, command *gnl.Command[destinationRequest, struct{}], service ServiceID, d *Destination) error {
	err := checkDestination(&service, d)
	if err == nil {
		r := requestMemory.Get().(*requests)
		r.destination.Service.set(&service)
		r.destination.Destination.set(d)
		err = command.DoInto(ctx, c.gnl, &r.destination, &struct{}{})
		requestMemory.Put(r)
	}
	if err != nil {
		return subject{op: op, service: service, destination: d.Address}.explain(err)
	}
	return nil
}

func checkDestination(service *ServiceID, d *Destination) error {
	if err := service.identifies(); err != nil {
		return err
	}
	return d.Validate(*service)
}

// RemoveDestination takes a destination away from behind a service. What comes
// for its connections is dropped from then on: to keep them, give it the weight
// 0 first, and wait. The kernel keeps a destination aside that has connections:
// added again soon, it has them back. A service or destination that is not there
// is os.ErrNotExist.
func (c *Client) RemoveDestination(ctx context.Context, service ServiceID, address netip.AddrPort) error {
	err := checkDestinationKey(&service, address)
	if err == nil {
		r := requestMemory.Get().(*requests)
		r.destinationKey.Service.set(&service)
		r.destinationKey.Destination.set(address)
		err = delDest.DoInto(ctx, c.gnl, &r.destinationKey, &struct{}{})
		requestMemory.Put(r)
	}
	if err != nil {
		return subject{op: opRemoveDestination, service: service, destination: address}.explain(err)
	}
	return nil
}

func checkDestinationKey(service *ServiceID, address netip.AddrPort) error {
	if err := service.identifies(); err != nil {
		return err
	}
	return identifiesAddress("address", address.Addr())
}

// Destination returns one destination of a service. The kernel can only list
// them: this reads the whole list. A service or destination that is not there
// is os.ErrNotExist.
func (c *Client) Destination(ctx context.Context, service ServiceID, address netip.AddrPort) (DestinationStatus, error) {
	return c.destination(ctx, subject{op: opGetDestination, service: service, destination: address})
}

func (c *Client) destination(ctx context.Context, about subject) (DestinationStatus, error) {
	if err := checkDestinationKey(&about.service, about.destination); err != nil {
		return DestinationStatus{}, about.explain(err)
	}
	var d, found DestinationStatus
	known := false
	for _, err := range c.destinations(ctx, about, &d) {
		if err != nil {
			return DestinationStatus{}, err
		}
		if d.Address == about.destination {
			found, known = d, true // to its end: a dump that is left costs its socket
		}
	}
	if !known {
		return DestinationStatus{}, about.explain(unix.ENOENT)
	}
	return found, nil
}

// Destinations yields all destinations of a service, those added last first. It
// ends with an error if the kernel refuses.
//
// To the kernel a service that is not there has no destinations. So where it
// lists none, the service is asked for, and if it is not there, the error is
// os.ErrNotExist. What is said of changes at [Client.Services] is true here too.
func (c *Client) Destinations(ctx context.Context, service ServiceID) iter.Seq2[DestinationStatus, error] {
	return values(func(d *DestinationStatus) iter.Seq2[*DestinationStatus, error] {
		return c.DestinationsInto(ctx, service, d)
	})
}

// DestinationsInto is [Client.Destinations] into the caller's memory: every
// destination is decoded into d, which is yielded and holds it until the next.
// It allocates nothing for a destination.
func (c *Client) DestinationsInto(ctx context.Context, service ServiceID, d *DestinationStatus) iter.Seq2[*DestinationStatus, error] {
	return c.destinations(ctx, subject{op: opListDestinations, service: service}, d)
}

func (c *Client) destinations(ctx context.Context, about subject, d *DestinationStatus) iter.Seq2[*DestinationStatus, error] {
	return func(yield func(*DestinationStatus, error) bool) {
		reply := destinationReplies.Get().(*destinationReply)
		defer func() {
			reply.Destination.Stats = nil // a view of the socket's memory
			destinationReplies.Put(reply)
		}()
		family := about.service.IPFamily()
		err := eachDestination(ctx, c, about, &getDests, reply, func() (goOn bool, err error) {
			if err := reply.load(d, family); err != nil {
				return false, err
			}
			return yield(d, nil), nil
		})
		if err != nil {
			yield(nil, err)
		}
	}
}

// eachDestination decodes every destination of a service into reply, and calls
// entry then, as long as it wants to go on.
func eachDestination[Reply any](
	ctx context.Context, c *Client, about subject, list *gnl.Command[keyRequest, Reply], reply *Reply, entry func() (goOn bool, err error),
) error {
	if err := about.service.identifies(); err != nil {
		return about.explain(err)
	}
	r := requestMemory.Get().(*requests)
	defer requestMemory.Put(r)
	r.key.Service.set(&about.service)
	empty := true
	for _, err := range list.DumpInto(ctx, c.gnl, &r.key, reply) {
		goOn := false
		if err == nil {
			goOn, err = entry()
		}
		if err != nil {
			return about.explain(err)
		}
		if !goOn {
			return nil
		}
		empty = false
	}
	if !empty {
		return nil
	}
	_, err := c.service(ctx, about, about.service)
	return err
}

// Zero sets the counters of a service and its destinations to zero. A service
// that is not there is os.ErrNotExist.
func (c *Client) Zero(ctx context.Context, id ServiceID) error {
	return c.byKey(ctx, opZero, &zero, id)
}

// ZeroAll sets the counters of all services and destinations to zero.
func (c *Client) ZeroAll(ctx context.Context) error {
	return bare(ctx, c, opZeroAll, &zeroAll, &struct{}{})
}

// Flush removes all services and destinations.
func (c *Client) Flush(ctx context.Context) error {
	return bare(ctx, c, opFlush, &flush, &struct{}{})
}

// bare makes a request that is about no service.
func bare[Reply any](ctx context.Context, c *Client, op operation, command *gnl.Command[struct{}, Reply], reply *Reply) error {
	return subject{op: op}.explain(command.DoInto(ctx, c.gnl, &struct{}{}, reply))
}

// Version is a version of the kernel's IPVS, as 0x010201 (IPVS_INFO_ATTR_VERSION).
type Version uint32

// String gives "1.2.1".
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v>>16, v>>8&0xff, v&0xff) }

// MarshalText gives what String does.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// Info is what the kernel says of its IPVS.
type Info struct {
	Version             Version
	ConnectionTableSize uint32 // places in the hash table of connections; there can be more connections than places
}

// Info returns the version of the kernel's IPVS, and the size of its table of
// connections.
func (c *Client) Info(ctx context.Context) (Info, error) {
	var r infoReply
	if err := bare(ctx, c, opInfo, &getInfo, &r); err != nil {
		return Info{}, err
	}
	return Info{Version(r.Version), r.ConnectionTableSize}, nil
}

// Config is how long connections are kept on which nothing comes, in whole
// seconds.
type Config struct {
	TCP    time.Duration // established ones
	TCPFin time.Duration // of which one side has sent its FIN
	UDP    time.Duration // after a packet
}

// maxConfig is the longest timeout that any kernel may take: INT_MAX ticks of
// its clock, of which there are 100 a second or more.
const maxConfig = math.MaxInt32 / 100 * time.Second

// Validate says what is wrong with timeouts that are to be set. The error names
// the field and is errors.Is(err, syscall.EINVAL).
func (c *Config) Validate() error {
	for _, f := range []struct {
		name    string
		timeout time.Duration
	}{{"tcp", c.TCP}, {"tcp_fin", c.TCPFin}, {"udp", c.UDP}} {
		if f.timeout < 0 || f.timeout%time.Second != 0 || f.timeout > maxConfig {
			return invalid(f.name, "%s is no whole number of seconds from 0 to %d", f.timeout, maxConfig/time.Second)
		}
	}
	return nil
}

// Config returns the timeouts.
func (c *Client) Config(ctx context.Context) (Config, error) {
	var r configWire
	if err := bare(ctx, c, opConfig, &getConfig, &r); err != nil {
		return Config{}, err
	}
	return Config(r), nil
}

// SetConfig sets those timeouts that are not zero. How long they may be is the
// kernel's affair: 2³¹ ticks of its clock, 24 days where that has 1000 a second.
func (c *Client) SetConfig(ctx context.Context, config Config) error {
	err := config.Validate()
	if err == nil {
		w := configWire(config)
		err = setConfig.DoInto(ctx, c.gnl, &w, &struct{}{})
	}
	return subject{op: opSetConfig}.explain(err)
}

// Daemons lists the sync daemons that run: none, one, or one of each role.
func (c *Client) Daemons(ctx context.Context) ([]Daemon, error) {
	var daemons []Daemon
	for r, err := range getDaemons.Dump(ctx, c.gnl, struct{}{}) {
		if err != nil {
			return nil, subject{op: opListDaemons}.explain(err)
		}
		daemons = append(daemons, r.Daemon.daemon())
	}
	return daemons, nil
}

// StartDaemon starts a sync daemon. One of the same role that runs already is
// os.ErrExist. It does not work while there are destinations of another family
// than their service.
func (c *Client) StartDaemon(ctx context.Context, d Daemon) error {
	err := d.Validate()
	if err == nil {
		var r daemonMessage
		r.Daemon.set(&d)
		err = newDaemon.DoInto(ctx, c.gnl, &r, &struct{}{})
	}
	return subject{op: opStartDaemon, daemon: &d}.explain(err)
}

// StopDaemon stops the sync daemon of a role. If none runs that is
// os.ErrNotExist.
func (c *Client) StopDaemon(ctx context.Context, role Role) error {
	about := subject{op: opStopDaemon, daemon: &Daemon{Role: role}}
	if role != Master && role != Backup {
		return about.explain(invalid("role", "%s is neither Master nor Backup", role))
	}
	// A daemon whose thread has not had a turn yet is stopped with EINTR
	// (kthread_stop), to which netlink_rcv_skb answers nothing at all. So the
	// question behind it tells that it is done.
	var b gnl.Batch
	delDaemon.AddTo(&b, &daemonMessage{daemonWire{State: uint32(role)}}, nil)
	getInfo.AddTo(&b, &struct{}{}, &infoReply{})
	_ = b.Do(ctx, c.gnl) // the first outcome is the one that counts
	return about.explain(b.Err(0))
}
