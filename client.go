package gnl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"weak"

	"github.com/gnlgo/gnl/netlink"
)

// DefaultMaxConns is how many sockets a Client has at most unless Config says
// otherwise.
const DefaultMaxConns = 64

// Config says how a Client works. The zero Config is right for most.
type Config struct {
	// Socket is how the sockets for requests are opened: network namespace,
	// strict checking, tracing. Most callers leave it as it is. Without a
	// namespace all are opened in that of the thread which calls Open.
	Socket netlink.Config

	// MaxConns bounds the sockets in use at once for requests; whoever needs
	// one more waits. Zero is DefaultMaxConns. Every socket costs a descriptor
	// and a buffer of 32 KiB, once it has carried a Batch 16 more of them, and
	// stays open until the Client is closed.
	MaxConns int

	// LoadModules lets the Client run modprobe for a family that the kernel
	// does not know, where the Command names the module. The kernel loads most
	// families by itself as soon as their name is asked for; this is for those
	// whose module lacks the alias. Loading needs CAP_SYS_MODULE.
	LoadModules bool

	// Warn, if set, is called with what the kernel had to say about requests
	// that it carried out: an *Error that wraps a *netlink.Error without an
	// errno. Nil logs it with log/slog.
	Warn func(error)

	// Dial, if set, opens the sockets instead of netlink.Dial. Tests set it to
	// talk to a kernel of their own (see package gnltest).
	Dial func(*netlink.Config) (*netlink.Conn, error)
}

// Client calls generic netlink families. It holds a pool of sockets: each
// request has one to itself until its answer is complete. A Client is safe for
// concurrent use, and it is meant to be opened once and kept.
type Client struct {
	config   Config
	own      *netlink.Namespace // of the thread that opened the Client, where Config names none
	pool     pool
	self     weak.Pointer[Client]                // what Commands know it by, which outlive it
	families atomic.Pointer[map[string]familyID] // resolved so far; never changed in place
}

// familyID is what a request needs to know of a family.
type familyID struct {
	id         uint16
	headerSize int // padded to 4 bytes
}

// nlctrl is the controller, the family whose id is fixed (GENL_ID_CTRL).
const nlctrl = "nlctrl"

// Open opens a Client. A nil Config is the zero Config. One socket is opened
// at once, so that what cannot work fails here.
func Open(config *Config) (*Client, error) {
	c := &Client{}
	if config != nil {
		c.config = *config
	}
	if c.config.MaxConns < 0 {
		return nil, fmt.Errorf("gnl: config: MaxConns is %d: give the most sockets to use at once, or 0 for %d", c.config.MaxConns, DefaultMaxConns)
	}
	if c.config.MaxConns == 0 {
		c.config.MaxConns = DefaultMaxConns
	}
	if c.config.Dial == nil {
		c.config.Dial = func(cfg *netlink.Config) (*netlink.Conn, error) { return netlink.Dial(netlink.Generic, cfg) }
	}
	if c.config.Socket.Namespace == nil {
		// Threads can be in different namespaces. Whichever goroutine needs one
		// more socket, it is opened where the first was.
		if own, err := netlink.CurrentNamespace(); err == nil {
			c.own, c.config.Socket.Namespace = own, own
		}
	}
	c.self = weak.Make(c)
	c.families.Store(&map[string]familyID{nlctrl: {id: 16}})
	c.pool.max = c.config.MaxConns
	c.pool.dial = func() (*netlink.Conn, error) { return c.config.Dial(&c.config.Socket) }

	s, err := c.pool.get(context.Background())
	if err != nil {
		c.own.Close()
		return nil, fmt.Errorf("gnl: %w", err)
	}
	c.pool.put(s, true)
	return c, nil
}

// Close closes all sockets. Requests under way end with net.ErrClosed, and so
// do later ones. Conns and Subscriptions have sockets of their own and are closed by
// themselves.
func (c *Client) Close() error {
	c.pool.close()
	c.own.Close()
	return nil
}

// Caller is what a request can be made on: a [*Client], which takes any free
// socket of its pool, or a [*Conn], which is one.
type Caller interface {
	socket(context.Context) (*socket, error)
	release(s *socket, fit bool)
	client() *Client
}

func (c *Client) socket(ctx context.Context) (*socket, error) { return c.pool.get(ctx) }
func (c *Client) release(s *socket, fit bool)                 { c.pool.put(s, fit) }
func (c *Client) client() *Client                             { return c }

// resolve returns what a request needs to know of a family: from memory, or
// from the kernel over the socket that the request has already. To take another
// one could wait for ever, if every socket is held by one that does.
func (c *Client) resolve(ctx context.Context, s *socket, what *operation) (familyID, error) {
	families := c.families.Load()
	last := what.resolved.Load()
	if last != nil && last.families == families {
		return last.id, nil
	}
	if f, ok := (*families)[what.family]; ok {
		// Not so where Clients take turns: it would cost memory each time.
		if what.kept && (last == nil || last.client == c.self || last.client.Value() == nil) {
			what.resolved.Store(&resolved{c.self, families, f})
		}
		return f, nil
	}
	if what.family == "" {
		return familyID{}, errors.New("gnl: no family is named in the Command or Request")
	}
	return c.lookUp(ctx, s, what.family, what.module)
}

// resolved is what a Client has last resolved an operation's family to. It
// holds as long as families are those that the Client knows.
type resolved struct {
	client   weak.Pointer[Client]
	families *map[string]familyID
	id       familyID
}

// lookUp asks the kernel and remembers.
func (c *Client) lookUp(ctx context.Context, s *socket, name, module string) (familyID, error) {
	var f Family
	on := &borrowed{c, s}
	err := familyInto(ctx, on, name, &f)
	if err != nil && module != "" && c.config.LoadModules && isNotExist(err) {
		if err := loadModule(ctx, module); err != nil {
			return familyID{}, &Error{Family: name, Err: &moduleError{err}}
		}
		err = familyInto(ctx, on, name, &f)
	}
	if err != nil {
		return familyID{}, err
	}
	id := familyID{id: f.ID, headerSize: align(int(f.HeaderSize))}
	c.remember(name, &id)
	return id, nil
}

// borrowed is a Caller that lends the socket of a request that is being made
// or has come to its end, and keeps what that one has built.
type borrowed struct {
	c *Client
	s *socket
}

func (b *borrowed) socket(context.Context) (*socket, error) {
	return &socket{conn: b.s.conn, event: b.s.event}, nil
}
func (b *borrowed) release(s *socket, fit bool) {
	b.s.overran = b.s.overran || s.overran
	b.s.forget(s.forgotten...)
	if !fit {
		b.s.broken = true
	}
}
func (b *borrowed) client() *Client { return b.c }

// remember puts a family into the cache, or with nil takes it out.
func (c *Client) remember(name string, id *familyID) {
	for {
		old := c.families.Load()
		families := make(map[string]familyID, len(*old)+1)
		for k, v := range *old {
			families[k] = v
		}
		if id != nil {
			families[name] = *id
		} else {
			delete(families, name)
		}
		if c.families.CompareAndSwap(old, &families) {
			return
		}
	}
}

// moved reports whether a family that answered ENOENT has another id now than
// the one used, as it has after its module was loaded again.
func (c *Client) moved(ctx context.Context, s *socket, what *operation, used familyID) (now familyID, moved bool) {
	if what.family == nlctrl {
		return used, false
	}
	now, err := c.lookUp(ctx, s, what.family, what.module)
	if isNotExist(err) {
		c.remember(what.family, nil)
	}
	return now, err == nil && now != used && now.headerSize == used.headerSize
}

// warn passes on what the kernel said about a request that it carried out.
func (c *Client) warn(what *operation, dump bool, warning *netlink.Error, request []byte, headerSize int) {
	err := what.refused(dump, warning, request, headerSize)
	if c.config.Warn != nil {
		c.config.Warn(err)
	} else {
		slog.Warn("generic netlink request carried out with a warning", "warning", err)
	}
}

func align(n int) int { return (n + 3) &^ 3 }
