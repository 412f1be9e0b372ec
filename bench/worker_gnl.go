package main

import (
	"context"
	"fmt"
	"os"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/netlink"
	"github.com/gnlgo/gnl/taskstats"
)

// gnlRows does the rows with this module, into memory that is used again where the API offers that.
var gnlRows = works{
	"getfamily":       gnlGetFamily,
	"getfamily-fresh": gnlGetFamilyFresh,
	"families":        gnlFamilies,
	"taskstats":       gnlTaskstats,
	"policy":          gnlPolicy,
	"devices":         func() (*work, error) { return gnlDevices[gnlDevice]() },
	"devices-bitsets": func() (*work, error) { return gnlDevices[gnlFeatures]() },
	"parallel64":      gnlParallel,
	"events":          gnlEvents,
	"batch-taskstats": gnlBatchTaskstats,
	"batch-setlimits": gnlBatchSetLimits,
	"decode-families": gnlDecodeFamilies,
	"decode-policy":   gnlDecodePolicy,
	"encode-newdest":  gnlEncodeNewDest,
}

// fromGnlFamily is for the checks only.
func fromGnlFamily(f *gnl.Family) *family {
	out := &family{id: f.ID, name: f.Name, version: f.Version, hdrsize: f.HeaderSize, maxattr: f.MaxAttr}
	for _, c := range f.Commands {
		out.ops = append(out.ops, op{c.ID, uint32(c.Flags)})
	}
	for _, g := range f.Groups {
		out.groups = append(out.groups, group{g.ID, g.Name})
	}
	return out
}

func gnlGetFamily() (*work, error) {
	c, err := gnl.Open(nil)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	var f gnl.Family
	op := func() error { return c.FamilyInto(ctx, ethtool, &f) }
	return simply(op, func() error { return checkFamily(fromGnlFamily(&f)) }), nil
}

func gnlGetFamilyFresh() (*work, error) {
	c, err := gnl.Open(nil)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	var f *gnl.Family
	op := func() (err error) {
		f, err = c.Family(ctx, ethtool)
		return err
	}
	return simply(op, func() error { return checkFamily(fromGnlFamily(f)) }), nil
}

func gnlFamilies() (*work, error) {
	c, err := gnl.Open(nil)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	var f, last gnl.Family
	op := func() error {
		last = gnl.Family{}
		for f, err := range c.FamiliesInto(ctx, &f) {
			if err != nil {
				return err
			}
			if f.Name == ethtool {
				last = *f
			}
		}
		return nil
	}
	return simply(op, func() error {
		if last.Name != ethtool || last.Version != 1 {
			return fmt.Errorf("wrong family: %+v", last)
		}
		return nil
	}), nil
}

func gnlTaskstats() (*work, error) {
	c, err := gnl.Open(nil)
	if err != nil {
		return nil, err
	}
	ctx, client, pid := context.Background(), taskstats.New(c), os.Getpid()
	var stats taskstats.Stats
	op := func() error { return client.PIDInto(ctx, pid, &stats) }
	return simply(op, func() error {
		if stats.PID != pid {
			return fmt.Errorf("statistics of %d, not %d", stats.PID, pid)
		}
		return nil
	}), nil
}

func gnlPolicy() (*work, error) {
	c, err := gnl.Open(nil)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	var p gnl.Policy
	op := func() error { return c.PolicyInto(ctx, ethtool, &p) }
	return simply(op, func() error { return checkGnlPolicy(&p) }), nil
}

type gnlFeaturesRequest struct {
	Header struct {
		Flags uint32 `nl:"3"`
	} `nl:"1"`
}

type gnlHeader struct {
	Index uint32 `nl:"1"`
	Name  []byte `nl:"2"` // into memory that is used again, as a string would not be
}

// gnlDevice leaves the features out, which are then walked over.
type gnlDevice struct {
	Header gnlHeader `nl:"1"`
}

type gnlFeatures struct {
	Header   gnlHeader `nl:"1"`
	HW       gnlBitset `nl:"2"`
	Wanted   gnlBitset `nl:"3"`
	Active   gnlBitset `nl:"4"`
	NoChange gnlBitset `nl:"5"`
}

type gnlBitset struct {
	NoMask bool     `nl:"1"`
	Size   uint32   `nl:"2"`
	Value  []uint32 `nl:"4,packed"`
	Mask   []uint32 `nl:"5,packed"`
}

func gnlDevices[T any]() (*work, error) {
	c, err := gnl.Open(nil)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	get := gnl.Command[gnlFeaturesRequest, T]{Family: ethtool, ID: featuresGet, Name: "features-get", Version: 1}
	var request gnlFeaturesRequest
	request.Header.Flags = flagCompactBitsets
	var (
		n     int
		reply T
	)
	op := func() error {
		n = 0
		for _, err := range get.DumpInto(ctx, c, &request, &reply) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	}
	return simply(op, func() error {
		if n != devices {
			return fmt.Errorf("%d devices, not %d", n, devices)
		}
		switch r := any(&reply).(type) {
		case *gnlDevice:
			if r.Header.Index == 0 || len(r.Header.Name) == 0 {
				return fmt.Errorf("wrong device: %+v", r)
			}
		case *gnlFeatures:
			if r.Header.Index == 0 || len(r.Header.Name) == 0 || r.Active.Size < 32 || len(r.Active.Value) != int(r.Active.Size+31)/32 {
				return fmt.Errorf("wrong device: %+v", r)
			}
		}
		return nil
	}), nil
}

// gnlParallel has one Client for all goroutines, as programs do. A request takes a socket of its pool.
func gnlParallel() (*work, error) {
	c, err := gnl.Open(nil)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	var ops []func() error
	for range goroutines {
		var f gnl.Family
		ops = append(ops, func() error { return c.FamilyInto(ctx, ethtool, &f) })
	}
	return parallel(ops), nil
}

func gnlEvents() (*work, error) {
	c, err := gnl.Open(&gnl.Config{Socket: netlink.Config{ReceiveBuffer: bufferSize}})
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	s, err := c.Subscribe(ctx, gnl.GroupName{Family: ethtool, Group: "monitor"})
	if err != nil {
		return nil, err
	}
	run := func(n int) error {
		for m, err := range s.Messages(ctx) {
			if err != nil {
				return err
			}
			if m.Command != featuresNtf || len(m.Attributes) == 0 {
				return fmt.Errorf("not a notification: %+v", m)
			}
			if n--; n == 0 {
				break
			}
		}
		return nil
	}
	return &work{run: run, prepare: produce, chunk: eventCount}, nil
}

func gnlBatchTaskstats() (*work, error) {
	c, err := gnl.Open(nil)
	if err != nil {
		return nil, err
	}
	ctx, client, pid := context.Background(), taskstats.New(c), os.Getpid()
	results := make([]taskstats.Result, batchSize)
	for i := range results {
		results[i].PID = pid
	}
	return batches(func() error {
		if err := client.ManyInto(ctx, results); err != nil {
			return err
		}
		for i := range results {
			if got := results[i].Stats.PID; got != pid {
				return fmt.Errorf("statistics of %d, not %d", got, pid)
			}
		}
		return nil
	}), nil
}

type gnlLimitsRequest struct {
	RcvAddAddrs uint32 `nl:"2"`
	Subflows    uint32 `nl:"3"`
}

func gnlBatchSetLimits() (*work, error) {
	c, err := gnl.Open(nil)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	set := gnl.Command[gnlLimitsRequest, struct{}]{Family: "mptcp_pm", ID: mptcpCmdSetLimits, Name: "set-limits", Version: 1}
	request := gnlLimitsRequest{RcvAddAddrs: 2, Subflows: 2}
	var b gnl.Batch
	return batches(func() error {
		b.Reset()
		for range batchSize {
			set.AddTo(&b, &request, nil)
		}
		return b.Do(ctx, c)
	}), nil
}

func gnlDecodeFamilies() (*work, error) {
	codec, err := attr.CodecOf[gnl.Family]()
	if err != nil {
		return nil, err
	}
	msgs := recorded("families.bin")
	fs := make([]gnl.Family, len(msgs))
	op := func() error {
		for i, m := range msgs {
			if err := codec.Unmarshal(m, &fs[i]); err != nil {
				return err
			}
		}
		return nil
	}
	return simply(op, func() error {
		var out []family
		for i := range fs {
			out = append(out, *fromGnlFamily(&fs[i]))
		}
		return checkFamilies(out)
	}), nil
}

// gnlDecodePolicy decodes with what Client.Policy is made of.
func gnlDecodePolicy() (*work, error) {
	var p gnl.Policy
	msgs := recorded("policy-ethtool.bin")
	op := func() error {
		p.Reset()
		for _, m := range msgs {
			if err := p.AddMessage(m); err != nil {
				return err
			}
		}
		return nil
	}
	return simply(op, func() error { return checkGnlPolicy(&p) }), nil
}

// checkGnlPolicy is for the checks only.
func checkGnlPolicy(p *gnl.Policy) error {
	if len(p.Commands) < 30 || len(p.Policies) < 30 || p.Commands[0].ID != 1 || p.Commands[0].Do != gnl.Some(uint32(0)) {
		return fmt.Errorf("wrong policy: %d commands, %d policies", len(p.Commands), len(p.Policies))
	}
	if a := p.Policies[0].Attributes[0]; a.ID != 1 || a.Type != gnl.TypeNested || a.Policy != gnl.Some(uint32(1)) {
		return fmt.Errorf("wrong policy: %+v", a)
	}
	return nil
}

type gnlNewDest struct {
	Service struct {
		AF       uint16   `nl:"1"`
		Protocol uint16   `nl:"2"`
		Addr     [16]byte `nl:"3"`
		Port     uint16   `nl:"4,be"`
	} `nl:"1"`
	Dest struct {
		AF      uint16   `nl:"11"`
		Addr    [16]byte `nl:"1"`
		Port    uint16   `nl:"2,be"`
		Forward uint32   `nl:"3"`
		Weight  uint32   `nl:"4"`
		Upper   uint32   `nl:"5"`
		Lower   uint32   `nl:"6"`
		TunType uint8    `nl:"13"`
	} `nl:"2"`
}

func gnlEncodeNewDest() (*work, error) {
	codec, err := attr.CodecOf[gnlNewDest]()
	if err != nil {
		return nil, err
	}
	var d gnlNewDest
	d.Service.AF, d.Service.Protocol, d.Service.Port = destination.serviceAF, destination.protocol, destination.servicePort
	d.Service.Addr = destination.serviceAddr
	d.Dest.AF, d.Dest.Port, d.Dest.Addr = destination.af, destination.port, destination.addr
	d.Dest.Forward, d.Dest.Weight = destination.fwd, destination.weight
	d.Dest.Upper, d.Dest.Lower, d.Dest.TunType = destination.upper, destination.lower, destination.tunType
	var b []byte
	op := func() (err error) {
		b, err = codec.Append(b[:0], &d)
		return err
	}
	return simply(op, func() error { return checkNewDest(b) }), nil
}
