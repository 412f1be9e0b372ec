//go:build linux

package gnl_test

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/gnlgo/gnl"
)

type (
	taskRequest struct {
		PID uint32 `nl:"1"`
	}
	taskReply struct {
		Aggregate struct {
			PID   uint32 `nl:"1"`
			Stats []byte `nl:"3"`
		} `nl:"4"`
	}
	limits struct {
		Addresses *uint32 `nl:"2,name=rcv-add-addrs"`
		Subflows  *uint32 `nl:"3,name=subflows"`
	}
)

var (
	taskGet   = gnl.Command[taskRequest, taskReply]{Family: "TASKSTATS", ID: 1, Name: "get", Version: 1, Single: true}
	limitsSet = gnl.Command[limits, struct{}]{Family: "mptcp_pm", ID: 5, Name: "set-limits", Version: 1}
	limitsGet = gnl.Command[struct{}, limits]{Family: "mptcp_pm", ID: 6, Name: "get-limits", Version: 1}
)

func TestABatchAnswersByPositionAndAFailureStopsNothing(t *testing.T) {
	c, ctx := open(t, nil), timeout(t)
	needs(t, c, "TASKSTATS")
	needs(t, c, "netdev")
	self, none := uint32(os.Getpid()), uint32(1<<31-2)
	var (
		b       gnl.Batch
		replies [300]taskReply
		lo      device
	)
	for i := range replies {
		pid := self
		if i%7 == 3 {
			pid = none
		}
		if at := taskGet.AddTo(&b, &taskRequest{PID: pid}, &replies[i]); at != i {
			t.Fatalf("position %d, want %d", at, i)
		}
	}
	one := uint32(1)
	loAt := deviceGet.AddTo(&b, &deviceRequest{IfIndex: &one}, &lo)
	zero := uint32(0)
	badAt := deviceGet.AddTo(&b, &deviceRequest{IfIndex: &zero}, &lo)
	nilAt := deviceGet.AddTo(&b, &deviceRequest{IfIndex: &one}, nil)

	err := b.Do(ctx, c)
	var failed *gnl.BatchError
	if !errors.As(err, &failed) || failed.First != 3 || failed.Of != 303 || failed.Failed != 43+2 || !errors.Is(err, syscall.ESRCH) {
		t.Errorf("%v: %+v", err, failed)
	}
	for i := range replies {
		err, reply := b.Err(i), &replies[i].Aggregate
		switch {
		case i%7 == 3 && !errors.Is(err, syscall.ESRCH):
			t.Errorf("position %d: %v is not ESRCH", i, err)
		case i%7 != 3 && (err != nil || reply.PID != self || len(reply.Stats) < 328):
			t.Errorf("position %d: %v, %d, %d bytes", i, err, reply.PID, len(reply.Stats))
		}
	}
	if b.Err(loAt) != nil || lo.IfIndex != 1 {
		t.Errorf("lo: %v, %+v", b.Err(loAt), lo)
	}
	if want := "gnl: netdev dev-get: ifindex: integer out of range (0, kernel accepts 1..4294967295): numerical result out of range"; b.Err(badAt) == nil || b.Err(badAt).Error() != want {
		t.Errorf("got  %v\nwant %s", b.Err(badAt), want)
	}
	if b.Err(nilAt) == nil {
		t.Error("a reply without memory was not refused")
	}

	b.Reset()
	if err := b.Do(ctx, c); err != nil || b.Len() != 0 {
		t.Errorf("an empty batch: %v, %d", err, b.Len())
	}
}

func TestCommandsWithoutAReplyAreCarriedOutInOrder(t *testing.T) {
	c, _ := inNamespace(t)
	ctx := timeout(t)
	needs(t, c, "mptcp_pm")
	var b gnl.Batch
	for i := range uint32(200) {
		n := i % 8
		if i%50 == 49 {
			n = 1000 // beyond what the kernel takes
		}
		limitsSet.AddTo(&b, &limits{Addresses: &n, Subflows: &n}, nil)
	}
	if err := b.Do(ctx, c); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("%v is not EINVAL", err)
	}
	for i := range b.Len() {
		if err := b.Err(i); (err != nil) != (i%50 == 49) {
			t.Errorf("position %d: %v", i, err)
		}
	}
	got, err := limitsGet.Do(ctx, c, struct{}{})
	must(t, err)
	if got.Subflows == nil || *got.Subflows != 198%8 { // the last one that was good
		t.Errorf("subflows: %v", got.Subflows)
	}
}

func TestABatchOnAPinnedConn(t *testing.T) {
	c, ctx := open(t, nil), timeout(t)
	needs(t, c, "TASKSTATS")
	conn, err := c.Conn(ctx, nil)
	must(t, err)
	defer conn.Close()
	var (
		b     gnl.Batch
		reply taskReply
	)
	taskGet.AddTo(&b, &taskRequest{PID: uint32(os.Getpid())}, &reply)
	must(t, b.Do(ctx, conn))
	if reply.Aggregate.PID != uint32(os.Getpid()) {
		t.Errorf("%+v", reply)
	}
}

func TestBatchAllocations(t *testing.T) {
	c, ctx := open(t, nil), timeout(t)
	needs(t, c, "TASKSTATS")
	var b gnl.Batch
	replies := make([]taskReply, 64)
	request := taskRequest{PID: uint32(os.Getpid())}
	if n := testing.AllocsPerRun(50, func() {
		b.Reset()
		for i := range replies {
			taskGet.AddTo(&b, &request, &replies[i])
		}
		must(t, b.Do(ctx, c))
	}); n != 0 {
		t.Errorf("%v allocations for 64 commands", n)
	}
}

// The kernel queues the answers to all of a send before the send returns:
// replies and acks must fit the receive buffer.
func TestNoAnswerOfABatchIsLost(t *testing.T) {
	c := open(t, nil)
	needs(t, c, "ethtool")
	type request struct {
		Name string `nl:"2"`
	}
	for _, single := range []bool{true, false} {
		get := &gnl.Command[request, gnl.Family]{Family: "nlctrl", ID: 3, Name: "getfamily", Single: single}
		var b gnl.Batch
		families := make([]gnl.Family, 500)
		for i := range families {
			get.AddTo(&b, &request{"ethtool"}, &families[i])
		}
		if err := b.Do(timeout(t), c); err != nil {
			t.Errorf("single %v: %v", single, err)
		}
	}
}
