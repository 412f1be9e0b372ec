package gnl

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/gnlgo/gnl/netlink"
)

// SubscriptionReceiveBuffer is how many bytes of events the kernel may queue
// for a Subscription, where it is allowed so much (see
// netlink.Config.ReceiveBuffer).
const SubscriptionReceiveBuffer = 4 << 20

// subscriptionDatagrams is how many events one system call may take: 16 gain
// nearly all that can be gained.
const subscriptionDatagrams = 16

// GroupName names a multicast group of a family.
type GroupName struct{ Family, Group string }

// String is "ethtool/monitor".
func (g GroupName) String() string { return g.Family + "/" + g.Group }

// Subscription receives the events of multicast groups, on a socket of its
// own. It is for one goroutine at a time, but for Close.
type Subscription struct {
	owner *Client
	conn  *netlink.Conn
	names []familyName // of the groups' families: event after event asks for them
}

type familyName struct {
	id         uint16
	headerSize int
	name       string
}

// Subscribe joins groups. Events are queued from then on: to know a state and
// its changes, subscribe first, and list the state after. It must be closed.
//
// An unknown group is [ErrNoGroup], and the error lists those there are.
func (c *Client) Subscribe(ctx context.Context, groups ...GroupName) (*Subscription, error) {
	if len(groups) == 0 {
		return nil, errors.New("gnl: subscribe: no group given")
	}
	cfg := c.config.Socket
	if cfg.Datagrams == 0 {
		cfg.Datagrams = subscriptionDatagrams
	}
	if cfg.ReceiveBuffer == 0 {
		cfg.ReceiveBuffer = SubscriptionReceiveBuffer
	}
	s := &Subscription{owner: c}
	ids := make([]uint32, len(groups))
	for i, g := range groups {
		id, err := c.groupID(ctx, g.Family, g.Group)
		if err != nil {
			return nil, err
		}
		f := (*c.families.Load())[g.Family]
		s.names = append(s.names, familyName{f.id, f.headerSize, g.Family})
		ids[i] = id
	}
	conn, err := c.config.Dial(&cfg)
	if err != nil {
		return nil, fmt.Errorf("gnl: %w", err)
	}
	for i, id := range ids {
		if err := conn.Join(id); err != nil {
			conn.Close()
			return nil, groupError(groups[i].Family, groups[i].Group, err)
		}
	}
	s.conn = conn
	return s, nil
}

// Close ends the subscription, and Messages with net.ErrClosed.
func (s *Subscription) Close() error { return s.conn.Close() }

// Messages yields event after event, waiting for each. An event is valid until
// the next; Clone keeps it.
//
// [ErrOverrun] says that events were lost, and netlink.ErrTruncated or
// netlink.ErrMalformed that one could not be read: the loop may go on after
// these, for which [GoesOn] is true. All other errors end it: that of ctx, and
// net.ErrClosed.
func (s *Subscription) Messages(ctx context.Context) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		var view Message
		for {
			if err := ctx.Err(); err != nil { // in a storm there is no wait in which it would be noticed
				yield(nil, fmt.Errorf("gnl: events: %w", err))
				return
			}
			m, err := s.conn.Receive(ctx)
			if err != nil {
				if !yield(nil, fmt.Errorf("gnl: events: %w", err)) || !GoesOn(err) {
					return
				}
				continue
			}
			if m.Type < netlink.MinType {
				continue
			}
			name, headerSize := s.familyOf(m.Type)
			if len(m.Data) < genlHeaderLen+headerSize {
				if !yield(nil, fmt.Errorf("gnl: events: %w", errShortMessage)) {
					return
				}
				continue
			}
			view.view(m, name, headerSize)
			if !yield(&view, nil) {
				return
			}
		}
	}
}

func (s *Subscription) familyOf(id uint16) (name string, headerSize int) {
	for i := range s.names {
		if s.names[i].id == id {
			return s.names[i].name, s.names[i].headerSize
		}
	}
	return s.owner.familyOf(id)
}

// Strangers is how many messages were dropped that the kernel had not sent.
func (s *Subscription) Strangers() uint64 { return s.conn.Strangers() }
