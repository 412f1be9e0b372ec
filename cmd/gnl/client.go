package main

import (
	"context"
	"strings"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/netlink"
)

// connect opens a client as the global flags say. What done returns must be
// called when it is not needed any more.
func (a *app) connect() (client *gnl.Client, done func(), err error) {
	config := gnl.Config{Dial: a.dial, Warn: func(err error) { a.say("warning: %v", strings.TrimPrefix(err.Error(), "gnl: ")) }}
	if a.netns != "" {
		if config.Socket.Namespace, err = openNamespace(a.netns); err != nil {
			return nil, nil, err
		}
	}
	if a.verbose {
		config.Socket.Trace = a.trace
	}
	client, err = gnl.Open(&config)
	if err != nil {
		config.Socket.Namespace.Close()
		return nil, nil, err
	}
	return client, func() {
		client.Close()
		config.Socket.Namespace.Close()
	}, nil
}

// limited is ctx limited by --timeout, for requests.
func (a *app) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if a.timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, a.timeout)
}

// trace writes a message, decoded, to stderr.
func (a *app) trace(direction netlink.Direction, m netlink.Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	gnl.WriteMessage(a.errOut, direction, m, a.headerSizes[m.Type])
}

// traceHeader tells trace that a family has a header of its own.
func (a *app) traceHeader(f *gnl.Family) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.headerSizes == nil {
		a.headerSizes = map[uint16]int{}
	}
	a.headerSizes[f.ID] = int(f.HeaderSize+3) &^ 3
}
