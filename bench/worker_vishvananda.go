package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// vishvananda does the rows with netlink, and with its package nl where it has no function of its own. All but events ask
// through a handle or socket that stays open: the package's functions without one open a socket for each request.
var vishvananda = works{
	"getfamily":       vishvanandaGetFamily,
	"families":        vishvanandaFamilies,
	"taskstats":       vishvanandaTaskstats,
	"policy":          vishvanandaPolicy,
	"devices":         func() (*work, error) { return vishvanandaDevices(false) },
	"devices-bitsets": func() (*work, error) { return vishvanandaDevices(true) },
	"parallel64":      vishvanandaParallel,
	"events":          vishvanandaEvents,
	"batch-taskstats": unsupported("one message a request"),
	"batch-setlimits": unsupported("one message a request"),
	"decode-families": vishvanandaDecodeFamilies,
	"decode-policy":   vishvanandaDecodePolicy,
	"encode-newdest":  vishvanandaEncodeNewDest,
}

// fromGenlFamily is for the checks only.
func fromGenlFamily(f *netlink.GenlFamily) family {
	out := family{id: f.ID, name: f.Name, version: f.Version, hdrsize: f.HdrSize, maxattr: f.MaxAttr}
	for _, o := range f.Ops {
		out.ops = append(out.ops, op{o.ID, o.Flags})
	}
	for _, g := range f.Groups {
		out.groups = append(out.groups, group{g.ID, g.Name})
	}
	return out
}

func vishvanandaGetFamily() (*work, error) {
	h, err := netlink.NewHandle(unix.NETLINK_GENERIC)
	if err != nil {
		return nil, err
	}
	var f *netlink.GenlFamily
	op := func() (err error) {
		f, err = h.GenlFamilyGet(ethtool)
		return err
	}
	return simply(op, func() error {
		f := fromGenlFamily(f)
		return checkFamily(&f)
	}), nil
}

func vishvanandaFamilies() (*work, error) {
	h, err := netlink.NewHandle(unix.NETLINK_GENERIC)
	if err != nil {
		return nil, err
	}
	var fs []*netlink.GenlFamily
	op := func() (err error) {
		fs, err = h.GenlFamilyList()
		return err
	}
	return simply(op, func() error {
		var out []family
		for _, f := range fs {
			out = append(out, fromGenlFamily(f))
		}
		return checkFamilies(out)
	}), nil
}

func vishvanandaParallel() (*work, error) {
	var ops []func() error
	for range goroutines {
		h, err := netlink.NewHandle(unix.NETLINK_GENERIC)
		if err != nil {
			return nil, err
		}
		ops = append(ops, func() error {
			_, err := h.GenlFamilyGet(ethtool)
			return err
		})
	}
	return parallel(ops), nil
}

// vishvanandaConn is a socket for requests of one family.
type vishvanandaConn struct {
	sockets map[int]*nl.SocketHandle
	family  uint16
}

func vishvanandaDial(name string) (*vishvanandaConn, error) {
	f, err := resolve(name)
	if err != nil {
		return nil, err
	}
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_GENERIC)
	if err != nil {
		return nil, err
	}
	return &vishvanandaConn{map[int]*nl.SocketHandle{unix.NETLINK_GENERIC: {Socket: s}}, f.ID}, nil
}

func (c *vishvanandaConn) execute(family uint16, flags int, command uint8, attr *nl.RtAttr) ([][]byte, error) {
	req := nl.NewNetlinkRequest(int(family), flags)
	req.Sockets = c.sockets
	req.AddData(&nl.Genlmsg{Command: command, Version: 1})
	req.AddData(attr)
	return req.Execute(unix.NETLINK_GENERIC, 0)
}

func vishvanandaTaskstats() (*work, error) {
	c, err := vishvanandaDial("TASKSTATS")
	if err != nil {
		return nil, err
	}
	pid := uint32(os.Getpid())
	var ts unix.Taskstats
	op := func() error {
		attr := nl.NewRtAttr(unix.TASKSTATS_CMD_ATTR_PID, nl.Uint32Attr(pid))
		msgs, err := c.execute(c.family, 0, unix.TASKSTATS_CMD_GET, attr)
		if err != nil {
			return err
		}
		if len(msgs) != 1 {
			return fmt.Errorf("%d messages", len(msgs))
		}
		attrs, err := nl.ParseRouteAttr(msgs[0][nl.SizeofGenlmsg:])
		if err != nil {
			return err
		}
		for _, a := range attrs {
			if a.Attr.Type&nl.NLA_TYPE_MASK != unix.TASKSTATS_TYPE_AGGR_PID {
				continue
			}
			aggr, err := nl.ParseRouteAttr(a.Value)
			if err != nil {
				return err
			}
			for _, a := range aggr {
				if a.Attr.Type == unix.TASKSTATS_TYPE_STATS {
					ts = decodeTaskstats(a.Value)
				}
			}
		}
		return nil
	}
	return simply(op, func() error { return checkTaskstats(&ts, pid) }), nil
}

func vishvanandaPolicy() (*work, error) {
	c, err := vishvanandaDial(ethtool)
	if err != nil {
		return nil, err
	}
	var p policy
	op := func() error {
		attr := nl.NewRtAttr(unix.CTRL_ATTR_FAMILY_ID, nl.Uint16Attr(c.family))
		msgs, err := c.execute(unix.GENL_ID_CTRL, unix.NLM_F_DUMP, ctrlCmdGetPolicy, attr)
		if err != nil {
			return err
		}
		p = policy{}
		for _, m := range msgs {
			if err := vishvanandaParsePolicy(m[nl.SizeofGenlmsg:], &p); err != nil {
				return err
			}
		}
		return nil
	}
	return simply(op, func() error { return checkPolicy(&p) }), nil
}

func vishvanandaParsePolicy(b []byte, p *policy) error {
	attrs, err := nl.ParseRouteAttr(b)
	if err != nil {
		return err
	}
	for _, a := range attrs {
		typ := a.Attr.Type & nl.NLA_TYPE_MASK
		if typ != ctrlAttrPolicy && typ != ctrlAttrOpPolicy {
			continue
		}
		outer, err := nl.ParseRouteAttr(a.Value)
		if err != nil {
			return err
		}
		for _, o := range outer {
			index := uint32(o.Attr.Type & nl.NLA_TYPE_MASK)
			inner, err := nl.ParseRouteAttr(o.Value)
			if err != nil {
				return err
			}
			if typ == ctrlAttrOpPolicy {
				op := opPolicy{index, noPolicy, noPolicy}
				for _, i := range inner {
					switch i.Attr.Type {
					case ctrlAttrPolicyDo:
						op.do = binary.NativeEndian.Uint32(i.Value)
					case ctrlAttrPolicyDump:
						op.dump = binary.NativeEndian.Uint32(i.Value)
					}
				}
				p.ops = append(p.ops, op)
				continue
			}
			for _, i := range inner {
				ap := attrPolicy{policy: index, attr: uint32(i.Attr.Type & nl.NLA_TYPE_MASK)}
				if err := ap.vishvanandaParse(i.Value); err != nil {
					return err
				}
				p.attrs = append(p.attrs, ap)
			}
		}
	}
	return nil
}

func (a *attrPolicy) vishvanandaParse(b []byte) error {
	limits, err := nl.ParseRouteAttr(b)
	if err != nil {
		return err
	}
	for _, l := range limits {
		switch l.Attr.Type {
		case policyType:
			a.typ = binary.NativeEndian.Uint32(l.Value)
		case policyMinS, policyMinU:
			a.min = binary.NativeEndian.Uint64(l.Value)
		case policyMaxS, policyMaxU:
			a.max = binary.NativeEndian.Uint64(l.Value)
		case policyMinLength:
			a.minLength = binary.NativeEndian.Uint32(l.Value)
		case policyMaxLength:
			a.maxLength = binary.NativeEndian.Uint32(l.Value)
		case policyIndex:
			a.nestedPolicy = binary.NativeEndian.Uint32(l.Value)
		case policyMaxattr:
			a.nestedMaxattr = binary.NativeEndian.Uint32(l.Value)
		case policyBitfield32Mask:
			a.bitfield32Mask = binary.NativeEndian.Uint32(l.Value)
		case policyMask:
			a.mask = binary.NativeEndian.Uint64(l.Value)
		default:
			continue
		}
		a.present |= 1 << l.Attr.Type
	}
	return nil
}

func vishvanandaDevices(bitsets bool) (*work, error) {
	c, err := vishvanandaDial(ethtool)
	if err != nil {
		return nil, err
	}
	var fs []features
	op := func() error {
		header := nl.NewRtAttr(featuresHeader|int(nl.NLA_F_NESTED), nil)
		header.AddRtAttr(headerFlags, nl.Uint32Attr(flagCompactBitsets))
		msgs, err := c.execute(c.family, unix.NLM_F_DUMP, featuresGet, header)
		if err != nil {
			return err
		}
		fs = make([]features, len(msgs))
		for i, m := range msgs {
			if err := fs[i].vishvanandaParse(m[nl.SizeofGenlmsg:], bitsets); err != nil {
				return err
			}
		}
		return nil
	}
	return simply(op, func() error { return checkDevices(fs, bitsets) }), nil
}

func (f *features) vishvanandaParse(b []byte, bitsets bool) error {
	attrs, err := nl.ParseRouteAttr(b)
	if err != nil {
		return err
	}
	for _, a := range attrs {
		var err error
		switch typ := a.Attr.Type & nl.NLA_TYPE_MASK; {
		case typ == featuresHeader:
			header, herr := nl.ParseRouteAttr(a.Value)
			for _, h := range header {
				switch h.Attr.Type {
				case headerDevIndex:
					f.ifindex = binary.NativeEndian.Uint32(h.Value)
				case headerDevName:
					f.name = nl.BytesToString(h.Value)
				}
			}
			err = herr
		case typ == featuresHW && bitsets:
			err = f.hw.vishvanandaParse(a.Value)
		case typ == featuresWanted && bitsets:
			err = f.wanted.vishvanandaParse(a.Value)
		case typ == featuresActive && bitsets:
			err = f.active.vishvanandaParse(a.Value)
		case typ == featuresNochange && bitsets:
			err = f.nochange.vishvanandaParse(a.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *bitset) vishvanandaParse(b []byte) error {
	attrs, err := nl.ParseRouteAttr(b)
	if err != nil {
		return err
	}
	for _, a := range attrs {
		var err error
		switch a.Attr.Type {
		case bitsetNomask:
			s.nomask = true
		case bitsetSize:
			s.size = binary.NativeEndian.Uint32(a.Value)
		case bitsetValue:
			err = words(&s.value)(a.Value)
		case bitsetMask:
			err = words(&s.mask)(a.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// vishvanandaEvents joins by setsockopt: the package's Subscribe knows only the groups up to 32.
func vishvanandaEvents() (*work, error) {
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_GENERIC)
	if err != nil {
		return nil, err
	}
	group, err := monitorGroup()
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		s.SetReceiveBufferSize(bufferSize, true),
		unix.SetsockoptInt(s.GetFd(), unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(group)),
	)
	if err != nil {
		return nil, err
	}
	return events(func() (int, error) {
		msgs, _, err := s.Receive()
		if err != nil {
			return 0, err
		}
		for _, m := range msgs {
			if nl.DeserializeGenlmsg(m.Data).Command != featuresNtf || len(m.Data) == nl.SizeofGenlmsg {
				return 0, fmt.Errorf("not a notification: %+v", m)
			}
		}
		return len(msgs), nil
	}), nil
}

func vishvanandaDecodeFamilies() (*work, error) {
	msgs := recorded("families.bin")
	var fs []family
	op := func() error {
		fs = make([]family, len(msgs))
		for i, m := range msgs {
			if err := fs[i].vishvanandaParse(m); err != nil {
				return err
			}
		}
		return nil
	}
	return simply(op, func() error { return checkFamilies(fs) }), nil
}

// vishvanandaParse is what the package's unexported parser of families does.
func (f *family) vishvanandaParse(b []byte) error {
	attrs, err := nl.ParseRouteAttr(b)
	if err != nil {
		return err
	}
	for _, a := range attrs {
		switch a.Attr.Type {
		case nl.GENL_CTRL_ATTR_FAMILY_ID:
			f.id = binary.NativeEndian.Uint16(a.Value)
		case nl.GENL_CTRL_ATTR_FAMILY_NAME:
			f.name = nl.BytesToString(a.Value)
		case nl.GENL_CTRL_ATTR_VERSION:
			f.version = binary.NativeEndian.Uint32(a.Value)
		case nl.GENL_CTRL_ATTR_HDRSIZE:
			f.hdrsize = binary.NativeEndian.Uint32(a.Value)
		case nl.GENL_CTRL_ATTR_MAXATTR:
			f.maxattr = binary.NativeEndian.Uint32(a.Value)
		case nl.GENL_CTRL_ATTR_OPS:
			nests, err := nl.ParseRouteAttr(a.Value)
			if err != nil {
				return err
			}
			f.ops = make([]op, 0, len(nests))
			for _, nest := range nests {
				inner, err := nl.ParseRouteAttr(nest.Value)
				if err != nil {
					return err
				}
				var o op
				for _, i := range inner {
					switch i.Attr.Type {
					case nl.GENL_CTRL_ATTR_OP_ID:
						o.id = binary.NativeEndian.Uint32(i.Value)
					case nl.GENL_CTRL_ATTR_OP_FLAGS:
						o.flags = binary.NativeEndian.Uint32(i.Value)
					}
				}
				f.ops = append(f.ops, o)
			}
		case nl.GENL_CTRL_ATTR_MCAST_GROUPS:
			nests, err := nl.ParseRouteAttr(a.Value)
			if err != nil {
				return err
			}
			f.groups = make([]group, 0, len(nests))
			for _, nest := range nests {
				inner, err := nl.ParseRouteAttr(nest.Value)
				if err != nil {
					return err
				}
				var g group
				for _, i := range inner {
					switch i.Attr.Type {
					case nl.GENL_CTRL_ATTR_MCAST_GRP_ID:
						g.id = binary.NativeEndian.Uint32(i.Value)
					case nl.GENL_CTRL_ATTR_MCAST_GRP_NAME:
						g.name = nl.BytesToString(i.Value)
					}
				}
				f.groups = append(f.groups, g)
			}
		}
	}
	return nil
}

func vishvanandaDecodePolicy() (*work, error) {
	msgs := recorded("policy-ethtool.bin")
	var p policy
	op := func() error {
		p = policy{}
		for _, m := range msgs {
			if err := vishvanandaParsePolicy(m, &p); err != nil {
				return err
			}
		}
		return nil
	}
	return simply(op, func() error { return checkPolicy(&p) }), nil
}

func vishvanandaEncodeNewDest() (*work, error) {
	d := &destination
	var b []byte
	op := func() error {
		service := nl.NewRtAttr(ipvsCmdAttrService|int(nl.NLA_F_NESTED), nil)
		service.AddRtAttr(ipvsSvcAttrAF, nl.Uint16Attr(d.serviceAF))
		service.AddRtAttr(ipvsSvcAttrProtocol, nl.Uint16Attr(d.protocol))
		service.AddRtAttr(ipvsSvcAttrAddr, d.serviceAddr[:])
		service.AddRtAttr(ipvsSvcAttrPort, nl.BEUint16Attr(d.servicePort))
		dest := nl.NewRtAttr(ipvsCmdAttrDest|int(nl.NLA_F_NESTED), nil)
		dest.AddRtAttr(ipvsDestAttrAF, nl.Uint16Attr(d.af))
		dest.AddRtAttr(ipvsDestAttrAddr, d.addr[:])
		dest.AddRtAttr(ipvsDestAttrPort, nl.BEUint16Attr(d.port))
		dest.AddRtAttr(ipvsDestAttrFwd, nl.Uint32Attr(d.fwd))
		dest.AddRtAttr(ipvsDestAttrWeight, nl.Uint32Attr(d.weight))
		dest.AddRtAttr(ipvsDestAttrUpper, nl.Uint32Attr(d.upper))
		dest.AddRtAttr(ipvsDestAttrLower, nl.Uint32Attr(d.lower))
		dest.AddRtAttr(ipvsDestAttrTunType, nl.Uint8Attr(d.tunType))
		b = append(service.Serialize(), dest.Serialize()...)
		return nil
	}
	return simply(op, func() error { return checkNewDest(b) }), nil
}
