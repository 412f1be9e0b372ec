package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// mdlayher does the rows with genetlink and netlink. GetFamily and ListFamilies are the package's own, which leave a
// family's commands out.
var mdlayher = works{
	"getfamily":       mdlayherGetFamily,
	"families":        mdlayherFamilies,
	"taskstats":       mdlayherTaskstats,
	"policy":          mdlayherPolicy,
	"devices":         func() (*work, error) { return mdlayherDevices(false) },
	"devices-bitsets": func() (*work, error) { return mdlayherDevices(true) },
	"parallel64":      mdlayherParallel,
	"events":          mdlayherEvents,
	"batch-taskstats": mdlayherBatchTaskstats,
	"batch-setlimits": mdlayherBatchSetLimits,
	"decode-families": mdlayherDecodeFamilies,
	"decode-policy":   mdlayherDecodePolicy,
	"encode-newdest":  mdlayherEncodeNewDest,
}

// mdlayherConfig makes the package receive into a buffer that it keeps. By default it asks for each datagram's size first,
// which costs a system call more.
var mdlayherConfig = &netlink.Config{MessageBufferSize: datagram}

func mdlayherGetFamily() (*work, error) {
	c, err := genetlink.Dial(mdlayherConfig)
	if err != nil {
		return nil, err
	}
	var f genetlink.Family
	op := func() (err error) {
		f, err = c.GetFamily(ethtool)
		return err
	}
	return simply(op, func() error {
		if f.Name != ethtool || len(f.Groups) < 1 {
			return fmt.Errorf("wrong family: %+v", f)
		}
		return nil
	}), nil
}

func mdlayherFamilies() (*work, error) {
	c, err := genetlink.Dial(mdlayherConfig)
	if err != nil {
		return nil, err
	}
	var fs []genetlink.Family
	op := func() (err error) {
		fs, err = c.ListFamilies()
		return err
	}
	return simply(op, func() error {
		for _, f := range fs {
			if f.Name == ethtool && len(f.Groups) > 0 {
				return nil
			}
		}
		return fmt.Errorf("no ethtool among %d families", len(fs))
	}), nil
}

func mdlayherParallel() (*work, error) {
	var ops []func() error
	for range goroutines {
		c, err := genetlink.Dial(mdlayherConfig)
		if err != nil {
			return nil, err
		}
		ops = append(ops, func() error {
			_, err := c.GetFamily(ethtool)
			return err
		})
	}
	return parallel(ops), nil
}

// mdlayherDial dials and resolves a family.
func mdlayherDial(name string) (*genetlink.Conn, uint16, error) {
	c, err := genetlink.Dial(mdlayherConfig)
	if err != nil {
		return nil, 0, err
	}
	f, err := c.GetFamily(name)
	return c, f.ID, err
}

func mdlayherAskTaskstats(pid uint32) (genetlink.Message, error) {
	ae := netlink.NewAttributeEncoder()
	ae.Uint32(unix.TASKSTATS_CMD_ATTR_PID, pid)
	attrs, err := ae.Encode()
	return genetlink.Message{Header: genetlink.Header{Command: unix.TASKSTATS_CMD_GET, Version: 1}, Data: attrs}, err
}

func mdlayherParseTaskstats(b []byte) (ts unix.Taskstats, err error) {
	ad, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return ts, err
	}
	for ad.Next() {
		if ad.Type() != unix.TASKSTATS_TYPE_AGGR_PID {
			continue
		}
		ad.Nested(func(ad *netlink.AttributeDecoder) error {
			for ad.Next() {
				if ad.Type() == unix.TASKSTATS_TYPE_STATS {
					ad.Do(func(b []byte) error {
						ts = decodeTaskstats(b)
						return nil
					})
				}
			}
			return nil
		})
	}
	return ts, ad.Err()
}

func mdlayherTaskstats() (*work, error) {
	c, family, err := mdlayherDial("TASKSTATS")
	if err != nil {
		return nil, err
	}
	pid := uint32(os.Getpid())
	var ts unix.Taskstats
	op := func() error {
		req, err := mdlayherAskTaskstats(pid)
		if err != nil {
			return err
		}
		msgs, err := c.Execute(req, family, netlink.Request)
		if err != nil {
			return err
		}
		if len(msgs) != 1 {
			return fmt.Errorf("%d messages", len(msgs))
		}
		ts, err = mdlayherParseTaskstats(msgs[0].Data)
		return err
	}
	return simply(op, func() error { return checkTaskstats(&ts, pid) }), nil
}

func mdlayherPolicy() (*work, error) {
	c, family, err := mdlayherDial(ethtool)
	if err != nil {
		return nil, err
	}
	var p policy
	op := func() error {
		ae := netlink.NewAttributeEncoder()
		ae.Uint16(unix.CTRL_ATTR_FAMILY_ID, family)
		attrs, err := ae.Encode()
		if err != nil {
			return err
		}
		req := genetlink.Message{Header: genetlink.Header{Command: ctrlCmdGetPolicy, Version: 1}, Data: attrs}
		msgs, err := c.Execute(req, unix.GENL_ID_CTRL, netlink.Request|netlink.Dump)
		if err != nil {
			return err
		}
		p = policy{}
		for _, m := range msgs {
			if err := mdlayherParsePolicy(m.Data, &p); err != nil {
				return err
			}
		}
		return nil
	}
	return simply(op, func() error { return checkPolicy(&p) }), nil
}

func mdlayherParsePolicy(b []byte, p *policy) error {
	ad, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return err
	}
	for ad.Next() {
		switch ad.Type() {
		case ctrlAttrPolicy:
			ad.Nested(func(ad *netlink.AttributeDecoder) error {
				for ad.Next() {
					index := uint32(ad.Type())
					ad.Nested(func(ad *netlink.AttributeDecoder) error {
						for ad.Next() {
							a := attrPolicy{policy: index, attr: uint32(ad.Type())}
							ad.Nested(a.mdlayherParse)
							p.attrs = append(p.attrs, a)
						}
						return nil
					})
				}
				return nil
			})
		case ctrlAttrOpPolicy:
			ad.Nested(func(ad *netlink.AttributeDecoder) error {
				for ad.Next() {
					o := opPolicy{uint32(ad.Type()), noPolicy, noPolicy}
					ad.Nested(func(ad *netlink.AttributeDecoder) error {
						for ad.Next() {
							switch ad.Type() {
							case ctrlAttrPolicyDo:
								o.do = ad.Uint32()
							case ctrlAttrPolicyDump:
								o.dump = ad.Uint32()
							}
						}
						return nil
					})
					p.ops = append(p.ops, o)
				}
				return nil
			})
		}
	}
	return ad.Err()
}

func (a *attrPolicy) mdlayherParse(ad *netlink.AttributeDecoder) error {
	for ad.Next() {
		switch ad.Type() {
		case policyType:
			a.typ = ad.Uint32()
		case policyMinS, policyMinU:
			a.min = ad.Uint64()
		case policyMaxS, policyMaxU:
			a.max = ad.Uint64()
		case policyMinLength:
			a.minLength = ad.Uint32()
		case policyMaxLength:
			a.maxLength = ad.Uint32()
		case policyIndex:
			a.nestedPolicy = ad.Uint32()
		case policyMaxattr:
			a.nestedMaxattr = ad.Uint32()
		case policyBitfield32Mask:
			a.bitfield32Mask = ad.Uint32()
		case policyMask:
			a.mask = ad.Uint64()
		default:
			continue
		}
		a.present |= 1 << ad.Type()
	}
	return nil
}

func mdlayherDevices(bitsets bool) (*work, error) {
	c, family, err := mdlayherDial(ethtool)
	if err != nil {
		return nil, err
	}
	var fs []features
	op := func() error {
		ae := netlink.NewAttributeEncoder()
		ae.Nested(featuresHeader, func(ae *netlink.AttributeEncoder) error {
			ae.Uint32(headerFlags, flagCompactBitsets)
			return nil
		})
		attrs, err := ae.Encode()
		if err != nil {
			return err
		}
		req := genetlink.Message{Header: genetlink.Header{Command: featuresGet, Version: 1}, Data: attrs}
		msgs, err := c.Execute(req, family, netlink.Request|netlink.Dump)
		if err != nil {
			return err
		}
		fs = make([]features, len(msgs))
		for i, m := range msgs {
			if err := fs[i].mdlayherParse(m.Data, bitsets); err != nil {
				return err
			}
		}
		return nil
	}
	return simply(op, func() error { return checkDevices(fs, bitsets) }), nil
}

func (f *features) mdlayherParse(b []byte, bitsets bool) error {
	ad, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return err
	}
	for ad.Next() {
		switch typ := ad.Type(); {
		case typ == featuresHeader:
			ad.Nested(func(ad *netlink.AttributeDecoder) error {
				for ad.Next() {
					switch ad.Type() {
					case headerDevIndex:
						f.ifindex = ad.Uint32()
					case headerDevName:
						f.name = ad.String()
					}
				}
				return nil
			})
		case typ == featuresHW && bitsets:
			ad.Nested(f.hw.mdlayherParse)
		case typ == featuresWanted && bitsets:
			ad.Nested(f.wanted.mdlayherParse)
		case typ == featuresActive && bitsets:
			ad.Nested(f.active.mdlayherParse)
		case typ == featuresNochange && bitsets:
			ad.Nested(f.nochange.mdlayherParse)
		}
	}
	return ad.Err()
}

func (s *bitset) mdlayherParse(ad *netlink.AttributeDecoder) error {
	for ad.Next() {
		switch ad.Type() {
		case bitsetNomask:
			s.nomask = ad.Flag()
		case bitsetSize:
			s.size = ad.Uint32()
		case bitsetValue:
			ad.Do(words(&s.value))
		case bitsetMask:
			ad.Do(words(&s.mask))
		}
	}
	return nil
}

func mdlayherEvents() (*work, error) {
	c, _, err := mdlayherDial(ethtool)
	if err != nil {
		return nil, err
	}
	group, err := monitorGroup()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(c.SetReadBuffer(bufferSize), c.JoinGroup(group)); err != nil {
		return nil, err
	}
	return events(func() (int, error) {
		msgs, _, err := c.Receive()
		if err != nil {
			return 0, err
		}
		for _, m := range msgs {
			if m.Header.Command != featuresNtf || len(m.Data) == 0 {
				return 0, fmt.Errorf("not a notification: %+v", m)
			}
		}
		return len(msgs), nil
	}), nil
}

// mdlayherBatch dials for several requests in one send, which only the lower package offers.
func mdlayherBatch(name string) (*netlink.Conn, netlink.HeaderType, error) {
	f, err := resolve(name)
	if err != nil {
		return nil, 0, err
	}
	c, err := netlink.Dial(unix.NETLINK_GENERIC, mdlayherConfig)
	return c, netlink.HeaderType(f.ID), err
}

func mdlayherBatchTaskstats() (*work, error) {
	c, family, err := mdlayherBatch("TASKSTATS")
	if err != nil {
		return nil, err
	}
	pid := uint32(os.Getpid())
	return batches(func() error {
		reqs := make([]netlink.Message, batchSize)
		for i := range reqs {
			m, err := mdlayherAskTaskstats(pid)
			if err != nil {
				return err
			}
			data, err := m.MarshalBinary()
			if err != nil {
				return err
			}
			reqs[i] = netlink.Message{Header: netlink.Header{Type: family, Flags: netlink.Request}, Data: data}
		}
		if _, err := c.SendMessages(reqs); err != nil {
			return err
		}
		for range reqs {
			msgs, err := c.Receive()
			if err != nil {
				return err
			}
			ts, err := mdlayherParseTaskstats(msgs[0].Data[4:])
			if err != nil {
				return err
			}
			if err := checkTaskstats(&ts, pid); err != nil {
				return err
			}
		}
		return nil
	}), nil
}

// mdlayherBatchSetLimits asks the last request alone for an ack: the kernel reports failures unasked.
func mdlayherBatchSetLimits() (*work, error) {
	c, family, err := mdlayherBatch("mptcp_pm")
	if err != nil {
		return nil, err
	}
	return batches(func() error {
		reqs := make([]netlink.Message, batchSize)
		for i := range reqs {
			ae := netlink.NewAttributeEncoder()
			ae.Uint32(mptcpAttrRcvAddAddrs, 2)
			ae.Uint32(mptcpAttrSubflows, 2)
			attrs, err := ae.Encode()
			if err != nil {
				return err
			}
			m := genetlink.Message{Header: genetlink.Header{Command: mptcpCmdSetLimits, Version: 1}, Data: attrs}
			data, err := m.MarshalBinary()
			if err != nil {
				return err
			}
			reqs[i] = netlink.Message{Header: netlink.Header{Type: family, Flags: netlink.Request}, Data: data}
		}
		reqs[batchSize-1].Header.Flags |= netlink.Acknowledge
		if _, err := c.SendMessages(reqs); err != nil {
			return err
		}
		_, err := c.Receive() // turns the kernel's errors into one
		return err
	}), nil
}

func mdlayherDecodeFamilies() (*work, error) {
	msgs := recorded("families.bin")
	var fs []family
	op := func() error {
		fs = make([]family, len(msgs))
		for i, m := range msgs {
			if err := fs[i].mdlayherParse(m); err != nil {
				return err
			}
		}
		return nil
	}
	return simply(op, func() error { return checkFamilies(fs) }), nil
}

func (f *family) mdlayherParse(b []byte) error {
	ad, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return err
	}
	for ad.Next() {
		switch ad.Type() {
		case unix.CTRL_ATTR_FAMILY_ID:
			f.id = ad.Uint16()
		case unix.CTRL_ATTR_FAMILY_NAME:
			f.name = ad.String()
		case unix.CTRL_ATTR_VERSION:
			f.version = ad.Uint32()
		case unix.CTRL_ATTR_HDRSIZE:
			f.hdrsize = ad.Uint32()
		case unix.CTRL_ATTR_MAXATTR:
			f.maxattr = ad.Uint32()
		case unix.CTRL_ATTR_OPS:
			ad.Nested(func(ad *netlink.AttributeDecoder) error {
				f.ops = make([]op, 0, ad.Len())
				for ad.Next() {
					var o op
					ad.Nested(func(ad *netlink.AttributeDecoder) error {
						for ad.Next() {
							switch ad.Type() {
							case unix.CTRL_ATTR_OP_ID:
								o.id = ad.Uint32()
							case unix.CTRL_ATTR_OP_FLAGS:
								o.flags = ad.Uint32()
							}
						}
						return nil
					})
					f.ops = append(f.ops, o)
				}
				return nil
			})
		case unix.CTRL_ATTR_MCAST_GROUPS:
			ad.Nested(func(ad *netlink.AttributeDecoder) error {
				f.groups = make([]group, 0, ad.Len())
				for ad.Next() {
					var g group
					ad.Nested(func(ad *netlink.AttributeDecoder) error {
						for ad.Next() {
							switch ad.Type() {
							case unix.CTRL_ATTR_MCAST_GRP_ID:
								g.id = ad.Uint32()
							case unix.CTRL_ATTR_MCAST_GRP_NAME:
								g.name = ad.String()
							}
						}
						return nil
					})
					f.groups = append(f.groups, g)
				}
				return nil
			})
		}
	}
	return ad.Err()
}

func mdlayherDecodePolicy() (*work, error) {
	msgs := recorded("policy-ethtool.bin")
	var p policy
	op := func() error {
		p = policy{}
		for _, m := range msgs {
			if err := mdlayherParsePolicy(m, &p); err != nil {
				return err
			}
		}
		return nil
	}
	return simply(op, func() error { return checkPolicy(&p) }), nil
}

func mdlayherEncodeNewDest() (*work, error) {
	d := &destination
	var b []byte
	op := func() (err error) {
		ae := netlink.NewAttributeEncoder()
		ae.Nested(ipvsCmdAttrService, func(ae *netlink.AttributeEncoder) error {
			ae.Uint16(ipvsSvcAttrAF, d.serviceAF)
			ae.Uint16(ipvsSvcAttrProtocol, d.protocol)
			ae.Bytes(ipvsSvcAttrAddr, d.serviceAddr[:])
			ae.Bytes(ipvsSvcAttrPort, bigEndian(d.servicePort))
			return nil
		})
		ae.Nested(ipvsCmdAttrDest, func(ae *netlink.AttributeEncoder) error {
			ae.Uint16(ipvsDestAttrAF, d.af)
			ae.Bytes(ipvsDestAttrAddr, d.addr[:])
			ae.Bytes(ipvsDestAttrPort, bigEndian(d.port))
			ae.Uint32(ipvsDestAttrFwd, d.fwd)
			ae.Uint32(ipvsDestAttrWeight, d.weight)
			ae.Uint32(ipvsDestAttrUpper, d.upper)
			ae.Uint32(ipvsDestAttrLower, d.lower)
			ae.Uint8(ipvsDestAttrTunType, d.tunType)
			return nil
		})
		b, err = ae.Encode()
		return err
	}
	return simply(op, func() error { return checkNewDest(b) }), nil
}
