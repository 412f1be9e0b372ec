package attr_test

import (
	"testing"

	"github.com/gnlgo/gnl/attr"
)

// BenchmarkDecodeFamily decodes a family of 57 commands and two groups, 182
// attributes in all.
func BenchmarkDecodeFamily(b *testing.B) {
	in, err := attr.Marshal(controllerFamily())
	if err != nil {
		b.Fatal(err)
	}
	codec := codecOf[family](b)
	b.Run("used", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(in)))
		v := new(family)
		for b.Loop() {
			if err := codec.Unmarshal(in, v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("fresh", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(in)))
		for b.Loop() {
			if err := codec.Unmarshal(in, new(family)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decoder", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(in)))
		v := new(family)
		for b.Loop() {
			if err := decodeFamily(in, v); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// decodeFamily does with a Decoder what the plan of family does.
func decodeFamily(b []byte, f *family) error {
	name := f.Name
	*f = family{Ops: f.Ops[:0], Groups: f.Groups[:0]}
	d := attr.NewDecoder(b)
	for d.Next() {
		switch d.Type() {
		case 1:
			f.ID = d.Uint16()
		case 2:
			if f.Name = name; string(d.Bytes()) != name+"\x00" {
				f.Name = d.String()
			}
		case 3:
			f.Version = d.Uint32()
		case 4:
			f.HdrSize = d.Uint32()
		case 5:
			f.MaxAttr = d.Uint32()
		case 6:
			ops := d.Nested()
			for ops.Next() {
				var op familyOp
				n := ops.Nested()
				for n.Next() {
					switch n.Type() {
					case 1:
						op.ID = n.Uint32()
					case 2:
						op.Flags = n.Uint32()
					}
				}
				if err := n.Err(); err != nil {
					return err
				}
				f.Ops = append(f.Ops, op)
			}
			if err := ops.Err(); err != nil {
				return err
			}
		case 7:
			groups := d.Nested()
			for groups.Next() {
				var g familyGroup
				n := groups.Nested()
				for n.Next() {
					switch n.Type() {
					case 1:
						g.Name = n.String()
					case 2:
						g.ID = n.Uint32()
					}
				}
				if err := n.Err(); err != nil {
					return err
				}
				f.Groups = append(f.Groups, g)
			}
			if err := groups.Err(); err != nil {
				return err
			}
		}
	}
	return d.Err()
}

// flatPolicy is what a client makes of a policy message: numbers, and a set
// that tells which are there.
type flatPolicy struct {
	Family   uint16            `nl:"1"`
	Policies [][]flatAttribute `nl:"8,array,keyed"`
	Commands []flatCommand     `nl:"9,keyed"`
}

type flatCommand struct {
	Command uint32   `nl:"index"`
	Do      uint32   `nl:"1"`
	Dump    uint32   `nl:"2"`
	Has     attr.Set `nl:"given"`
}

type flatAttribute struct {
	Attribute uint16   `nl:"index"`
	Has       attr.Set `nl:"given"`
	Type      uint32   `nl:"1"`
	MinS      int64    `nl:"2"`
	MaxS      int64    `nl:"3"`
	MinU      uint64   `nl:"4"`
	MaxU      uint64   `nl:"5"`
	MinLength uint32   `nl:"6"`
	MaxLength uint32   `nl:"7"`
	PolicyID  uint32   `nl:"8"`
	MaxType   uint32   `nl:"9"`
	Bits      uint32   `nl:"10"`
	Mask      uint64   `nl:"12"`
}

// BenchmarkDecodePolicy decodes the policy messages of ethtool, 250 of them.
func BenchmarkDecodePolicy(b *testing.B) {
	littleEndianOnly(b)
	var r recording
	load(b, "linux-6.18/ethtool", &r)
	list := messages(b, r.PolicyWire)
	codec := codecOf[flatPolicy](b)
	b.ReportAllocs()
	v := new(flatPolicy)
	for b.Loop() {
		for i := range list {
			if err := codec.Unmarshal(list[i].attrs, v); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(list)), "ns/message")
}

// newDest is an IPVS request to add a destination: 14 attributes in two nests.
type newDest struct {
	Service struct {
		Family   uint16   `nl:"1"`
		Protocol uint16   `nl:"2"`
		Addr     [16]byte `nl:"3"`
		Port     uint16   `nl:"4,be"`
	} `nl:"1"`
	Dest struct {
		Family  uint16   `nl:"11"`
		Addr    [16]byte `nl:"1"`
		Port    uint16   `nl:"2,be"`
		Forward uint32   `nl:"3"`
		Weight  uint32   `nl:"4"`
		Upper   uint32   `nl:"5"`
		Lower   uint32   `nl:"6"`
		TunType uint8    `nl:"13"`
	} `nl:"2"`
}

// BenchmarkEncodeDest encodes such a request into a buffer that is large enough.
func BenchmarkEncodeDest(b *testing.B) {
	var v newDest
	v.Service.Family, v.Service.Protocol, v.Service.Port = 2, 6, 80
	v.Dest.Family, v.Dest.Port, v.Dest.Forward, v.Dest.Weight, v.Dest.TunType = 2, 80, 2, 1, 1
	codec := codecOf[newDest](b)
	buf := make([]byte, 0, 256)
	b.Run("codec", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := codec.Append(buf, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := attr.Append(buf, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}
