//go:build linux

package gnltest_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"syscall"
	"testing"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/gnltest"
	"github.com/gnlgo/gnl/netlink"
)

// The client under test: what a package for a family of its own declares.
type (
	sensorRequest struct {
		ID uint32 `nl:"1,omitzero,name=id"`
	}
	sensor struct {
		ID           uint32 `nl:"1"`
		MilliCelsius int32  `nl:"2"`
	}
)

var sensorGet = gnl.Command[sensorRequest, sensor]{Family: "thermometer", ID: 1, Name: "sensor-get", Version: 1}

// The other side: what the kernel's module would be.
func thermometer() gnltest.Family {
	sensors := []sensor{{1, 36_600}, {2, -40_000}}
	return gnltest.Family{
		Name:    "thermometer",
		Version: 1,
		Groups:  []string{"readings"},
		Commands: []gnltest.Command{{
			ID:     1,
			Policy: []gnl.AttributePolicy{{ID: 1, Type: gnl.TypeU32, Min: gnl.Some(gnl.Unsigned(1))}},
			Do: gnltest.DoFunc(1, func(q sensorRequest) (sensor, error) {
				for _, s := range sensors {
					if s.ID == q.ID {
						return s, nil
					}
				}
				return sensor{}, syscall.ENODEV
			}),
			Dump: gnltest.DumpFunc(1, func(struct{}) ([]sensor, error) { return sensors, nil }),
		}},
	}
}

// A test of a client: its commands meet a kernel that has what the test says.
func ExampleNewKernel() {
	var t *testing.T // of func TestThermometer(t *testing.T)
	test := func() {
		k := gnltest.NewKernel(t)
		k.Register(thermometer())

		s, err := sensorGet.Do(t.Context(), k.Client(), sensorRequest{ID: 2})
		if err != nil || s.MilliCelsius != -40_000 {
			t.Errorf("sensor 2: %+v, %v", s, err)
		}
	}
	_ = test
}

// Outside of tests a Kernel is opened and closed.
func ExampleOpen() {
	k, err := gnltest.Open()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer k.Close()
	k.Register(thermometer())
	ctx, client := context.Background(), k.Client()

	for s, err := range sensorGet.Dump(ctx, client, sensorRequest{}) {
		fmt.Println(s, err)
	}
	_, err = sensorGet.Do(ctx, client, sensorRequest{ID: 3})
	fmt.Println(err)
	// The declared policy is enforced, in the kernel's words.
	_, err = gnl.Collect(client.Dump(ctx, gnl.Request{Family: "thermometer", Command: 9}))
	fmt.Println(err)
	_, err = client.Do(ctx, gnl.Request{Family: "thermometer", Command: 1, Attributes: []byte{8, 0, 1, 0, 0, 0, 0, 0}})
	fmt.Println(err)
	// Output:
	// {1 36600} <nil>
	// {2 -40000} <nil>
	// gnl: thermometer sensor-get: no such device
	// gnl: thermometer command 9 dump: the family has no such command that dumps: operation not supported
	// gnl: thermometer command 1: attribute 1: integer out of range (0, kernel accepts 1..4294967295): numerical result out of range
}

// Events go to whoever has subscribed.
func ExampleKernel_Notify() {
	k, err := gnltest.Open()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer k.Close()
	k.Register(thermometer())
	readings := gnl.GroupName{Family: "thermometer", Group: "readings"}

	if err := gnltest.GroupsPermitted(); err != nil {
		return // in a test: t.Skip(err)
	}
	events, err := k.Client().Subscribe(context.Background(), readings)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer events.Close()

	k.Notify(readings, 2, sensor{ID: 1, MilliCelsius: 39_500})

	for m, err := range events.Messages(context.Background()) {
		if err != nil {
			fmt.Println(err)
			return
		}
		var s sensor
		err = m.Unmarshal(&s)
		fmt.Println(m.Family, m.Command, s, err)
		break
	}
	// thermometer 2 {1 39500} <nil>
}

// What a real kernel does once in a blue moon: here a dump is interrupted the
// first time, and the client has to notice and ask again.
func ExampleRequest_Interrupt() {
	k, err := gnltest.Open()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer k.Close()
	asked := 0
	k.Register(gnltest.Family{Name: "thermometer", Commands: []gnltest.Command{{
		ID: 1,
		Dump: func(r *gnltest.Request) error {
			r.Reply(1, sensor{ID: 1})
			if asked++; asked == 1 {
				r.Interrupt() // the next message says so: here NLMSG_DONE
			} else {
				r.Reply(1, sensor{ID: 2})
			}
			return nil
		},
	}}})
	client := k.Client()

	sensors, err := gnl.CollectConsistent(3, func() iter.Seq2[sensor, error] {
		return sensorGet.Dump(context.Background(), client, sensorRequest{})
	})
	fmt.Println(len(sensors), "sensors after", asked, "attempts:", err)
	// Output: 2 sensors after 2 attempts: <nil>
}

// A handler may answer by itself, message by message, in any order.
func ExampleRequest_Send() {
	k, err := gnltest.Open()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer k.Close()
	k.Register(gnltest.Family{Name: "thermometer", Commands: []gnltest.Command{{
		ID: 1,
		Do: func(r *gnltest.Request) error {
			event := k.Event("thermometer", 2, sensor{ID: 9})
			event.Sequence = r.Sequence // a counter of the kernel's own: it may be anything
			r.Send(r.Answer(1, sensor{ID: 1}))
			r.Send(event)
			r.Send(r.Ack())
			return gnltest.SkipEnd
		},
	}}})

	s, err := sensorGet.Do(context.Background(), k.Client(), sensorRequest{ID: 1})
	fmt.Println(s, err)
	// Output: {1 0} <nil>
}

// A kernel that does not answer: the client gives up when its context ends.
func ExampleSkipEnd() {
	k, err := gnltest.Open()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer k.Close()
	k.Register(gnltest.Family{Name: "thermometer", Commands: []gnltest.Command{{
		ID: 1,
		Do: func(*gnltest.Request) error { return gnltest.SkipEnd },
	}}})

	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err = sensorGet.Do(ctx, k.Client(), sensorRequest{ID: 1})
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output: true
}

// Errors are what the kernel says, with or without words.
func ExampleRequest_OffsetOf() {
	k, err := gnltest.Open()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer k.Close()
	k.Register(gnltest.Family{Name: "thermometer", Commands: []gnltest.Command{{
		ID: 1,
		Do: func(r *gnltest.Request) error {
			return &netlink.Error{Errno: syscall.EBUSY, Message: "sensor is warming up", Offset: r.OffsetOf(1)}
		},
	}}})

	_, err = sensorGet.Do(context.Background(), k.Client(), sensorRequest{ID: 1})
	fmt.Println(err)
	// Output: gnl: thermometer sensor-get: id: sensor is warming up: device or resource busy
}

// Intercept reaches every request, the questions to nlctrl included.
func ExampleKernel_Intercept() {
	k, err := gnltest.Open()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer k.Close()
	k.Register(thermometer())
	k.Intercept(func(r *gnltest.Request, handle func() error) error {
		fmt.Printf("%s command %d\n", r.Family, r.Command)
		return handle()
	})
	sensorGet.Do(context.Background(), k.Client(), sensorRequest{ID: 1})
	// Output:
	// nlctrl command 3
	// thermometer command 1
}
