//go:build linux

package gnl_test

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/gnltest"
)

// Requests and replies that encode and decode themselves as a whole.

// doubled asks for twice its number, by a method of its own.
type doubled struct{ N uint32 }

func (d doubled) AppendBinary(b []byte) ([]byte, error) {
	if d.N == 13 {
		panic("thirteen")
	}
	return attr.Append(b, number{2 * d.N})
}

// found takes what it wants out of the reply by itself.
type found struct{ number uint32 }

func (f *found) UnmarshalBinary(b []byte) error {
	n, err := attr.Find(b, 1)
	if len(n) == 4 {
		f.number = binary.NativeEndian.Uint32(n)
	}
	return err
}

func TestRequestsAndRepliesWithMethods(t *testing.T) {
	_, c := fake(t, toyFamily(echo, nil, gnltest.DumpFunc(1, func(n number) ([]number, error) { return []number{n, {n.N + 1}}, nil })))
	get := gnl.Command[doubled, found]{Family: "toy", ID: 1}
	single := gnl.Command[doubled, found]{Family: "toy", ID: 1, Single: true}
	for _, command := range []*gnl.Command[doubled, found]{&get, &single} {
		if f, err := command.Do(timeout(t), c, doubled{4}); err != nil || f.number != 8 {
			t.Errorf("%+v, %v", f, err)
		}
	}
	all, err := gnl.Collect(get.Dump(timeout(t), c, doubled{5}))
	if err != nil || len(all) != 2 || all[0].number != 10 || all[1].number != 11 {
		t.Errorf("%+v, %v", all, err)
	}
	var b gnl.Batch
	var replies [3]found
	for i := range replies {
		get.AddTo(&b, &doubled{uint32(i)}, &replies[i])
	}
	if err := b.Do(timeout(t), c); err != nil || replies != [3]found{{0}, {2}, {4}} {
		t.Errorf("%+v, %v", replies, err)
	}
}

// A method for the other direction does not stand in for forgotten tags.
func TestAMethodForTheOtherDirection(t *testing.T) {
	_, c := fake(t, toyFamily(echo, nil, nil))
	request := gnl.Command[found, number]{Family: "toy", ID: 1}
	if _, err := request.Do(timeout(t), c, found{5}); !errors.Is(err, attr.ErrTag) {
		t.Errorf("a request that only decodes: %v", err)
	}
	reply := gnl.Command[number, doubled]{Family: "toy", ID: 1}
	if r, err := reply.Do(timeout(t), c, number{5}); !errors.Is(err, attr.ErrTag) {
		t.Errorf("a reply that only encodes: %+v, %v", r, err)
	}
	both := gnl.Command[found, found]{Family: "toy", ID: 1}
	if _, err := both.Do(timeout(t), c, found{5}); !errors.Is(err, attr.ErrTag) {
		t.Errorf("one type for both: %v", err)
	}
}

// Whoever recovers from the panic of a request's method has lost no socket.
func TestARequestsMethodPanics(t *testing.T) {
	k, _ := fake(t, toyFamily(echo, nil, nil))
	c := configured(t, k, func(config *gnl.Config) { config.MaxConns = 1 })
	get := gnl.Command[doubled, found]{Family: "toy", ID: 1}
	for range 2 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			_, _ = get.Do(timeout(t), c, doubled{13})
		}()
	}
	works(t, c)
}

// A nil request is an error, with and without a header of the family's.
func TestANilRequest(t *testing.T) {
	type request struct {
		Header [2]uint16 `nl:"header"`
		N      uint32    `nl:"1"`
	}
	family := toyFamily(echo, echo, nil)
	family.HeaderSize = 4
	_, c := fake(t, family)
	set := gnl.Command[request, struct{}]{Family: "toy", ID: 2}
	err := set.DoInto(context.Background(), c, nil, &struct{}{})
	if !errors.Is(err, attr.ErrTag) {
		t.Error(err)
	}
	var b gnl.Batch
	set.AddTo(&b, nil, nil)
	if batched := b.Err(0); batched == nil || batched.Error() != err.Error() {
		t.Errorf("%v, not %v", batched, err)
	}
}
