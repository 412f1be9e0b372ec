//go:build linux

package gnl_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log"
	"os"
	"time"

	"github.com/gnlgo/gnl"
)

// Twenty lines declare a family's commands and call them. The numbers come from
// the family's header, here include/uapi/linux/ethtool_netlink.h.
func ExampleCommand() {
	type header struct {
		Index uint32 `nl:"1,omitzero"`
		Name  string `nl:"2,omitzero"`
	}
	type request struct {
		Header header `nl:"1"`
	}
	type linkState struct {
		Header header `nl:"1"`
		Up     bool   `nl:"2,u8"`
	}
	linkStateGet := gnl.Command[request, linkState]{Family: "ethtool", ID: 6, Name: "linkstate-get", Version: 1}

	client, err := gnl.Open(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()

	lo, err := linkStateGet.Do(ctx, client, request{header{Name: "lo"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(lo.Header.Name, "is device", lo.Header.Index)

	for device, err := range linkStateGet.Dump(ctx, client, request{}) {
		if err != nil {
			log.Fatal(err)
		}
		if device.Header.Name == "lo" {
			fmt.Println("and stands in the dump")
		}
	}
	// Output:
	// lo is device 1
	// and stands in the dump
}

// What the kernel refuses is an error that names the command, the attribute,
// what it holds and what the kernel accepts.
func ExampleError() {
	type deviceRequest struct {
		IfIndex uint32 `nl:"1,name=ifindex"`
	}
	type device struct {
		IfIndex uint32 `nl:"1"`
	}
	deviceGet := gnl.Command[deviceRequest, device]{Family: "netdev", ID: 1, Name: "dev-get", Version: 1}

	client, err := gnl.Open(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	_, err = deviceGet.Do(context.Background(), client, deviceRequest{IfIndex: 0})
	fmt.Println(err)

	var refused *gnl.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Attribute, "must be", refused.Accepts)
	}

	_, err = client.Family(context.Background(), "nosuch")
	fmt.Println(errors.Is(err, os.ErrNotExist), err)
	// Output:
	// gnl: netdev dev-get: ifindex: integer out of range (0, kernel accepts 1..4294967295): numerical result out of range
	// ifindex must be 1..4294967295
	// true gnl: nosuch: the kernel has no such family: no such file or directory
}

func ExampleClient_Families() {
	client, err := gnl.Open(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	families, err := client.Families(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range families {
		if f.Name == "nlctrl" {
			fmt.Println(f.Name, f.ID, f.Groups[0].Name)
		}
	}
	// Output: nlctrl 16 notify
}

func ExampleClient_Policy() {
	client, err := gnl.Open(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	// Only the first policy of the controller's getfamily.
	policy, err := client.CommandPolicy(context.Background(), "nlctrl", 3)
	if err != nil {
		log.Fatal(err)
	}
	for _, a := range policy.Policies[0].Attributes {
		fmt.Println(a.ID, a.Type, a.Accepts())
	}
	// Output:
	// 1 u16 0..65535
	// 2 nul-string at most 15 bytes
}

// Many commands go in one system call; each has its own outcome.
func ExampleBatch() {
	type request struct {
		Name string `nl:"2"`
	}
	family := gnl.Command[request, gnl.Family]{Family: "nlctrl", ID: 3, Name: "getfamily", Version: 2, Single: true}

	client, err := gnl.Open(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	names := []string{"nlctrl", "nosuch"}
	families := make([]gnl.Family, len(names))
	var batch gnl.Batch
	for i, name := range names {
		family.AddTo(&batch, &request{name}, &families[i])
	}
	err = batch.Do(context.Background(), client)
	fmt.Println(err)
	fmt.Println(families[0].Name, batch.Err(0))
	fmt.Println(errors.Is(batch.Err(1), os.ErrNotExist))
	// Output:
	// gnl: 1 of 2 commands failed; the first, at position 1: gnl: nlctrl getfamily: no such file or directory
	// nlctrl <nil>
	// true
}

func ExampleClient_Subscribe() {
	client, err := gnl.Open(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()

	events, err := client.Subscribe(ctx, gnl.GroupName{Family: "nlctrl", Group: "notify"})
	if err != nil {
		log.Fatal(err)
	}
	defer events.Close()
	for event, err := range events.Messages(ctx) {
		switch {
		case errors.Is(err, gnl.ErrOverrun):
			fmt.Println("events were lost: list everything again")
		case err != nil:
			fmt.Println("the end:", err)
		default:
			fmt.Println(event.Family, "command", event.Command)
		}
	}
	// Output: the end: gnl: events: context deadline exceeded
}

// An interrupted dump can be asked for again.
func ExampleCollectConsistent() {
	client, err := gnl.Open(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	families := gnl.Command[struct{}, gnl.Family]{Family: "nlctrl", ID: 3, Name: "getfamily", Version: 2}

	all, err := gnl.CollectConsistent(3, func() iter.Seq2[gnl.Family, error] {
		return families.Dump(ctx, client, struct{}{})
	})
	fmt.Println(len(all) > 0, err)
	// Output: true <nil>
}
