package main

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the rows decode into where a package brings no types of its own.

type family struct {
	id                        uint16
	name                      string
	version, hdrsize, maxattr uint32
	ops                       []op
	groups                    []group
}

type op struct{ id, flags uint32 }

type group struct {
	id   uint32
	name string
}

// noPolicy is the index of a policy that a command has not.
const noPolicy = ^uint32(0)

type policy struct {
	ops   []opPolicy
	attrs []attrPolicy
}

type opPolicy struct{ op, do, dump uint32 }

// attrPolicy's limits count only where their bit, 1 << NL_POLICY_TYPE_ATTR_…, is set in present.
type attrPolicy struct {
	policy, attr                uint32
	present, typ                uint32
	min, max, mask              uint64
	minLength, maxLength        uint32
	nestedPolicy, nestedMaxattr uint32
	bitfield32Mask              uint32
}

// features are the offloads of a device.
type features struct {
	ifindex                      uint32
	name                         string
	hw, wanted, active, nochange bitset
}

type bitset struct {
	nomask      bool
	size        uint32
	value, mask []uint32
}

// Attributes and commands that x/sys does not name, or not for every version.
const (
	ctrlCmdGetPolicy = 10

	ctrlAttrPolicy     = 8
	ctrlAttrOpPolicy   = 9
	ctrlAttrPolicyDo   = 1
	ctrlAttrPolicyDump = 2

	policyType           = 1
	policyMinS           = 2
	policyMaxS           = 3
	policyMinU           = 4
	policyMaxU           = 5
	policyMinLength      = 6
	policyMaxLength      = 7
	policyIndex          = 8
	policyMaxattr        = 9
	policyBitfield32Mask = 10
	policyMask           = 12

	featuresGet = 11
	featuresSet = 12
	featuresNtf = 13

	featuresHeader   = 1
	featuresHW       = 2
	featuresWanted   = 3
	featuresActive   = 4
	featuresNochange = 5

	headerDevIndex = 1
	headerDevName  = 2
	headerFlags    = 3

	flagCompactBitsets = 1
	flagOmitReply      = 2

	bitsetNomask = 1
	bitsetSize   = 2
	bitsetBits   = 3
	bitsetValue  = 4
	bitsetMask   = 5

	mptcpCmdSetLimits    = 5
	mptcpAttrRcvAddAddrs = 2
	mptcpAttrSubflows    = 3

	ipvsCmdAttrService = 1
	ipvsCmdAttrDest    = 2

	ipvsSvcAttrAF       = 1
	ipvsSvcAttrProtocol = 2
	ipvsSvcAttrAddr     = 3
	ipvsSvcAttrPort     = 4

	ipvsDestAttrAddr    = 1
	ipvsDestAttrPort    = 2
	ipvsDestAttrFwd     = 3
	ipvsDestAttrWeight  = 4
	ipvsDestAttrUpper   = 5
	ipvsDestAttrLower   = 6
	ipvsDestAttrAF      = 11
	ipvsDestAttrTunType = 13
)

// newDest is an IPVS destination and the service it belongs to, as NEW_DEST takes them.
type newDest struct {
	serviceAF, protocol, servicePort uint16
	serviceAddr                      [16]byte
	af, port                         uint16
	addr                             [16]byte
	fwd, weight, upper, lower        uint32
	tunType                          uint8
}

// destination is what testdata/newdest.bin holds encoded.
var destination = newDest{
	serviceAF: 2, protocol: 6, servicePort: 80, serviceAddr: [16]byte{1, 1, 1, 1},
	af: 2, port: 80, addr: [16]byte{2, 2, 2, 36},
	fwd: 2, weight: 1, tunType: 1,
}

// decodeTaskstats takes the struct in one copy, as C does. Kernels append to it, so either side may be the longer.
func decodeTaskstats(b []byte) (ts unix.Taskstats) {
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&ts)), unsafe.Sizeof(ts)), b)
	return ts
}

// The checks see whether the last operation of a burst had the right result.

func checkFamily(f *family) error {
	if f.id < 16 || f.name != "ethtool" || f.version != 1 || len(f.ops) < 30 || f.ops[0].id != 1 || f.ops[0].flags == 0 ||
		len(f.groups) < 1 || f.groups[0].name != "monitor" {
		return fmt.Errorf("wrong family: %d %q, %d commands, %d groups", f.id, f.name, len(f.ops), len(f.groups))
	}
	return nil
}

func checkFamilies(fs []family) error {
	for i := range fs {
		if fs[i].name == "ethtool" {
			return checkFamily(&fs[i])
		}
	}
	return fmt.Errorf("no ethtool among %d families", len(fs))
}

// checkPolicy looks at ETHTOOL_MSG_STRSET_GET, its do and dump policy; then the header's nest of that policy.
func checkPolicy(p *policy) error {
	if len(p.ops) < 30 || len(p.attrs) < 100 || p.ops[0] != (opPolicy{1, 0, 0}) ||
		p.attrs[0].attr != 1 || p.attrs[0].typ != 13 || p.attrs[0].nestedPolicy != 1 {
		return fmt.Errorf("wrong policy: %d commands, %d attributes", len(p.ops), len(p.attrs))
	}
	return nil
}

func checkDevices(fs []features, bitsets bool) error {
	if len(fs) != devices {
		return fmt.Errorf("%d devices, not %d", len(fs), devices)
	}
	lo := &fs[0]
	words := lo.active.value
	if lo.ifindex != 1 || lo.name != "lo" ||
		bitsets && (lo.active.size < 32 || len(words) != int(lo.active.size+31)/32 || words[0] == 0) {
		return fmt.Errorf("wrong device: %+v", lo)
	}
	return nil
}

func checkTaskstats(ts *unix.Taskstats, pid uint32) error {
	if ts.Ac_pid != pid {
		return fmt.Errorf("statistics of %d, not %d", ts.Ac_pid, pid)
	}
	return nil
}

// checkNewDest compares attributes to the recorded ones. Those have plain nests; today they are flagged, in the second byte
// of the nest's type.
func checkNewDest(got []byte) error {
	want := recorded("newdest.bin")[0]
	if len(got) != len(want) {
		return fmt.Errorf("destination of %d bytes, not %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] && got[i]&0x7f != want[i] {
			return fmt.Errorf("byte %d of the destination is %#x, not %#x", i, got[i], want[i])
		}
	}
	return nil
}

// words decodes the words of a compact bitset.
func words(to *[]uint32) func([]byte) error {
	return func(b []byte) error {
		w := make([]uint32, len(b)/4)
		for i := range w {
			w[i] = binary.NativeEndian.Uint32(b[4*i:])
		}
		*to = w
		return nil
	}
}

// bigEndian is the form of a port in IPVS.
func bigEndian(v uint16) []byte {
	return binary.BigEndian.AppendUint16(nil, v)
}
