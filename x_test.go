package gnl

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
)

func TestX(t *testing.T) {
	c, err := Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	fs, err := c.Families(ctx)
	b, _ := json.Marshal(fs[2])
	fmt.Println(len(fs), err, string(b))
	f, err := c.Family(ctx, "ethtool")
	fmt.Println(f.ID, err)
	_, err = c.Family(ctx, "nosuch")
	fmt.Println(err)
	_, err = c.Family(ctx, "nosuchnosuchnosuchnosuchnosuchnosuch")
	fmt.Println(err)
	_, err = c.FamilyByID(ctx, 999)
	fmt.Println(err)
	p, err := c.Policy(ctx, "nlctrl")
	b, _ = json.Marshal(p)
	fmt.Println(string(b), err)
	_, err = c.Policy(ctx, "VFS_DQUOT")
	fmt.Println(err)
	type devreq struct {
		IfIndex *uint32 `nl:"1,name=ifindex"`
	}
	dev := Command[devreq, struct{}]{Family: "netdev", ID: 1, Name: "dev-get"}
	_, err = dev.Do(ctx, c, devreq{IfIndex: new(uint32)})
	fmt.Println(err)
	_, err = dev.Do(ctx, c, devreq{})
	fmt.Println(err)
}

func BenchmarkGetFamily(b *testing.B) {
	c, _ := Open(nil)
	defer c.Close()
	ctx := context.Background()
	var f Family
	b.ReportAllocs()
	for b.Loop() {
		if err := c.FamilyInto(ctx, "ethtool", &f); err != nil {
			b.Fatal(err)
		}
	}
}
func BenchmarkPolicy(b *testing.B) {
	c, _ := Open(nil)
	defer c.Close()
	ctx := context.Background()
	var f Policy
	b.ReportAllocs()
	for b.Loop() {
		if err := c.PolicyInto(ctx, "ethtool", &f); err != nil {
			b.Fatal(err)
		}
	}
}
func BenchmarkFamilies(b *testing.B) {
	c, _ := Open(nil)
	defer c.Close()
	ctx := context.Background()
	var f Family
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range c.FamiliesInto(ctx, &f) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}
