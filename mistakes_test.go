//go:build linux

package gnl_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
)

// Mistakes that people make, and what they read then.
func TestMistakesAreExplained(t *testing.T) {
	c, ctx := open(t, &gnl.Config{MaxConns: 1}), timeout(t)
	type untagged struct{ ID uint32 }

	_, zeroClient := new(gnl.Client).Family(ctx, "nlctrl")
	_, noFamily := c.Do(ctx, gnl.Request{Command: 1})
	noTags := gnl.Command[untagged, struct{}]{Family: "nlctrl", ID: 3, Name: "getfamily"}
	_, noTag := noTags.Do(ctx, c, untagged{})
	numbers := gnl.Command[struct {
		ID uint16 `nl:"1"`
	}, struct{}]{Family: "nlctrl", ID: 3, Name: "getfamily"}
	noRequest := numbers.DoInto(ctx, c, nil, &struct{}{})
	var batch gnl.Batch
	batched := batch.Err(numbers.AddTo(&batch, nil, nil))
	_, noCommand := c.Do(ctx, gnl.Request{Family: "nlctrl", Command: 99})
	var nested error
	for _, err := range c.Dump(ctx, gnl.Request{Family: "nlctrl", Command: 3}) {
		must(t, err)
		short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
		_, nested = c.Family(short, "nlctrl")
		cancel()
		break
	}
	conn, err := c.Conn(ctx, nil)
	must(t, err)
	defer conn.Close()
	for range conn.Dump(ctx, gnl.Request{Family: "nlctrl", Command: 3}) {
		break
	}
	_, givenUp := conn.Do(ctx, gnl.Request{Family: "nlctrl", Command: 3})

	for _, tt := range []struct {
		err  error
		is   error // nil: it is nothing in particular
		text string
	}{
		{zeroClient, nil, "gnl: nlctrl getfamily: the Client was not made by Open"},
		{noFamily, nil, "gnl: no family is named in the Command or Request"},
		{noTag, attr.ErrTag, "gnl: nlctrl getfamily: bad nl tag: no field of gnl_test.untagged has an nl tag (struct{} is a type without attributes)"},
		{noRequest, attr.ErrTag, "gnl: nlctrl getfamily: attr: bad nl tag: Append was given a nil *struct { ID uint16 \"nl:\\\"1\\\"\" }"},
		{batched, attr.ErrTag, noRequest.Error()},
		{noCommand, errors.ErrUnsupported, "gnl: nlctrl command 99: the family has no such command: operation not supported"},
		{nested, context.DeadlineExceeded, "gnl: nlctrl getfamily: waiting for one of 1 sockets (Config.MaxConns): context deadline exceeded"},
		{givenUp, net.ErrClosed, "gnl: nlctrl command 3: the Conn was given up: an earlier request was left before its end: use of closed network connection"},
	} {
		if tt.err == nil || tt.err.Error() != tt.text || tt.is != nil && !errors.Is(tt.err, tt.is) {
			t.Errorf("got  %v\nwant %s", tt.err, tt.text)
		}
	}
}
