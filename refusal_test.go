//go:build linux

package gnl_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/attr"
	"github.com/gnlgo/gnl/netlink"
)

// Commands of netdev and ethtool, which check their requests strictly and say
// what they do not like.
type (
	deviceRequest struct {
		IfIndex *uint32 `nl:"1,name=ifindex"`
	}
	device struct {
		IfIndex uint32 `nl:"1"`
	}
	queueStatsRequest struct {
		IfIndex uint32 `nl:"1,name=ifindex"`
	}
	queueStats struct {
		IfIndex uint32 `nl:"1"`
	}

	ethtoolHeader struct {
		DevIndex uint32 `nl:"1,omitzero"`
		DevName  string `nl:"2,omitzero"`
		Flags    uint32 `nl:"3,omitzero"`
	}
	ethtoolRequest struct {
		Header *ethtoolHeader `nl:"1"`
	}
	linkState struct {
		Header ethtoolHeader `nl:"1"`
		Link   uint8         `nl:"2"`
	}
	linkInfo struct {
		Header ethtoolHeader `nl:"1"`
	}
)

var (
	deviceGet     = gnl.Command[deviceRequest, device]{Family: "netdev", ID: 1, Name: "dev-get"}
	queueStatsGet = gnl.Command[queueStatsRequest, queueStats]{Family: "netdev", ID: 12, Name: "qstats-get"}
	linkStateGet  = gnl.Command[ethtoolRequest, linkState]{Family: "ethtool", ID: 6, Name: "linkstate-get", Version: 1}
	linkInfoGet   = gnl.Command[ethtoolRequest, linkInfo]{Family: "ethtool", ID: 2, Name: "linkinfo-get", Version: 1}
)

func TestARefusalNamesTheAttributeAndWhatIsAccepted(t *testing.T) {
	c, ctx := open(t, nil), timeout(t)
	needs(t, c, "netdev")
	needs(t, c, "ethtool")
	zero := uint32(0)

	_, outOfRange := deviceGet.Do(ctx, c, deviceRequest{IfIndex: &zero})
	_, missing := deviceGet.Do(ctx, c, deviceRequest{})
	_, noHeader := linkStateGet.Do(ctx, c, ethtoolRequest{})
	_, emptyHeader := linkStateGet.Do(ctx, c, ethtoolRequest{Header: &ethtoolHeader{}})
	_, noDevice := linkStateGet.Do(ctx, c, ethtoolRequest{Header: &ethtoolHeader{DevName: "nosuch0"}})
	_, flags := linkStateGet.Do(ctx, c, ethtoolRequest{Header: &ethtoolHeader{DevName: "lo", Flags: 1 << 30}})
	_, unsupported := linkInfoGet.Do(ctx, c, ethtoolRequest{Header: &ethtoolHeader{DevName: "lo"}})
	_, inDump := gnl.Collect(queueStatsGet.Dump(ctx, c, queueStatsRequest{IfIndex: 999999}))

	for _, tt := range []struct {
		err   error
		errno syscall.Errno
		text  string
	}{
		{outOfRange, syscall.ERANGE, "gnl: netdev dev-get: ifindex: integer out of range (0, kernel accepts 1..4294967295): numerical result out of range"},
		{missing, syscall.EINVAL, "gnl: netdev dev-get: ifindex: attribute is missing: invalid argument"},
		{noHeader, syscall.EINVAL, "gnl: ethtool linkstate-get: header: attribute is missing: invalid argument"},
		{emptyHeader, syscall.EINVAL, "gnl: ethtool linkstate-get: header: neither ifindex nor name specified: invalid argument"},
		{noDevice, syscall.ENODEV, "gnl: ethtool linkstate-get: header.dev-name: no device matches name: no such device"},
		{flags, syscall.EINVAL, "gnl: ethtool linkstate-get: header.flags: reserved bit set: invalid argument"},
		{unsupported, syscall.EOPNOTSUPP, "gnl: ethtool linkinfo-get: failed to retrieve link settings: operation not supported"},
		{inDump, syscall.ENODEV, "gnl: netdev qstats-get dump: ifindex: no such device"},
	} {
		if !errors.Is(tt.err, tt.errno) {
			t.Errorf("%v is not %v", tt.err, tt.errno)
		}
		var kernel *netlink.Error
		if !errors.As(tt.err, &kernel) {
			t.Errorf("%v has no *netlink.Error", tt.err)
		}
		if tt.err == nil || tt.err.Error() != tt.text {
			t.Errorf("got  %v\nwant %s", tt.err, tt.text)
		}
	}
	if !errors.Is(unsupported, errors.ErrUnsupported) {
		t.Errorf("%v is not errors.ErrUnsupported", unsupported)
	}
}

func TestNestsAreFlaggedSoThatStrictFamiliesTakeThem(t *testing.T) {
	c, ctx := open(t, nil), timeout(t)
	needs(t, c, "ethtool")
	lo, err := linkStateGet.Do(ctx, c, ethtoolRequest{Header: &ethtoolHeader{DevName: "lo"}})
	if err != nil {
		t.Fatal(err)
	}
	if lo.Header.DevName != "lo" || lo.Header.DevIndex != 1 {
		t.Errorf("%+v", lo)
	}

	// The same without NLA_F_NESTED, by hand.
	var e attr.Encoder
	var inner attr.Encoder
	inner.String(2, "lo")
	payload, _ := inner.Finish()
	e.Bytes(1, payload)
	attributes, _ := e.Finish()
	_, err = c.Do(ctx, gnl.Request{Family: "ethtool", Command: 6, Version: 1, Attributes: attributes})
	if want := "gnl: ethtool command 6: attribute 1: NLA_F_NESTED is missing: invalid argument"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestRawRequestsTakeAndGiveEncodedAttributes(t *testing.T) {
	c, ctx := open(t, nil), timeout(t)
	needs(t, c, "ethtool")
	attributes, err := attr.Marshal(ethtoolRequest{Header: &ethtoolHeader{DevName: "lo"}})
	must(t, err)
	request := gnl.Request{Family: "ethtool", Command: 6, Version: 1, Attributes: attributes}
	replies, err := c.Do(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	if len(replies) != 1 || replies[0].Family != "ethtool" || replies[0].Command != 6 {
		t.Fatalf("%+v", replies)
	}
	var state linkState
	must(t, replies[0].Unmarshal(&state))
	if state.Header.DevName != "lo" {
		t.Errorf("%+v", state)
	}

	request.Attributes, err = attr.Marshal(ethtoolRequest{Header: &ethtoolHeader{}})
	must(t, err)
	found := false
	for m, err := range c.Dump(ctx, request) {
		must(t, err)
		must(t, m.Unmarshal(&state))
		found = found || state.Header.DevName == "lo"
	}
	if !found {
		t.Error("lo is not in the dump")
	}

	request.UserHeader = make([]byte, 4)
	if _, err := c.Do(ctx, request); err == nil {
		t.Error("a header that the family does not have was not refused")
	}
}

func TestACommandThatAFamilyDoesNotHave(t *testing.T) {
	c, ctx := open(t, nil), timeout(t)
	_, err := c.Do(ctx, gnl.Request{Family: "nlctrl", Command: 77})
	if !errors.Is(err, syscall.EOPNOTSUPP) {
		t.Errorf("%v is not EOPNOTSUPP", err)
	}
	if _, err := c.Do(ctx, gnl.Request{Family: "nosuch", Command: 1}); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("%v is not ENOENT", err)
	}
}

func TestABadTagIsAnErrorOfTheFirstUse(t *testing.T) {
	c := open(t, nil)
	bad := gnl.Command[struct {
		N int `nl:"1"`
	}, struct{}]{Family: "nlctrl", ID: 3}
	if err := bad.DoInto(timeout(t), c, new(struct {
		N int `nl:"1"`
	}), new(struct{})); !errors.Is(err, attr.ErrTag) {
		t.Errorf("%v is not attr.ErrTag", err)
	}
}
