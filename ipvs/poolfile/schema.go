package poolfile

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gnlgo/gnl/ipvs"
)

// The keys, in the order in which they are written.
var (
	poolKeys    = []string{"service", "destinations"}
	serviceKeys = []string{"protocol", "address", "mark", "family",
		"scheduler", "flags", "timeout", "netmask", "engine"}
	destinationKeys = []string{"address", "method", "weight", "upper_threshold", "lower_threshold", "tunnel"}
	tunnelKeys      = []string{"type", "port", "flags"}
)

// place is what an error is about: a pool, its service, or one of its
// destinations.
type place struct {
	pool        int  // -1 for the file
	destination int  // -1 for the service
	whole       bool // the pool itself
	gnlpy       bool // in gnlpy's schema
}

// field is the path of a field of it; "" is it itself.
func (p place) field(name string) string {
	if p.pool < 0 {
		return name
	}
	s := fmt.Sprintf("pools[%d]", p.pool)
	switch {
	case p.whole:
	case p.destination < 0:
		s += ".service"
	case p.gnlpy:
		s += fmt.Sprintf(".dests[%d]", p.destination)
	default:
		s += fmt.Sprintf(".destinations[%d]", p.destination)
	}
	if name == "" {
		return s
	}
	return s + "." + name
}

// fieldOf is what an *ipvs.FieldError is about.
func fieldOf(err error) string {
	var field *ipvs.FieldError
	if !errors.As(err, &field) {
		return ""
	}
	return field.Field
}

// keyOf is the key that has it: the port is part of the address.
func keyOf(err error) string {
	if field := fieldOf(err); field != "port" {
		return field
	}
	return "address"
}

// object reads one object of a file. What is wrong with it goes to the report;
// the values that are then given mean nothing.
type object struct {
	*report
	node   *node
	place  place
	prefix string // of keys in paths: "tunnel."
	unsure bool   // it has keys that are not known: what seems missing may be one of them
}

// fail reports what is wrong with the value of a key, at the object itself if
// there is no such key.
func (o *object) fail(key string, err error) {
	at := o.node
	if value := o.node.get(key); value != nil {
		at = value
	}
	name := o.prefix + key
	if key == "" {
		name = strings.TrimSuffix(o.prefix, ".")
	}
	o.add(at.line, at.column, o.place.field(name), err)
}

// missing reports a key that must be there.
func (o *object) missing(key, why string) {
	if !o.unsure {
		o.fail(key, errors.New("missing"+why))
	}
}

// refuse reports what Validate said.
func (o *object) refuse(err error) {
	key := keyOf(err)
	if o.place.gnlpy {
		key = gnlpyKey(fieldOf(err), o.place)
	}
	at := o.node
	for part := range strings.SplitSeq(key, ".") {
		if value := at.get(part); value != nil {
			at = value
		}
	}
	o.add(at.line, at.column, o.place.field(key), err)
}

// open checks that a node is an object, and that its keys are known, none of
// them twice or without a value.
func (o *object) open(known []string) bool {
	if o.node.kind != kindObject {
		o.fail("", fmt.Errorf("is %s, and should be an object with the keys %s", o.node.kind, strings.Join(known, ", ")))
		return false
	}
	good := *o.node
	good.entries = nil
	for _, e := range o.node.entries {
		var err error
		name := o.prefix + e.key
		switch first := good.find(e.key); {
		case first != nil:
			err = fmt.Errorf("stands here twice, first in line %d", first.line)
		case !slices.Contains(known, e.key):
			name, err = strings.TrimSuffix(o.prefix, "."), unknownKey(e.key, known)
		case e.value.kind == kindNull:
			err = errors.New("has no value; leave it out or give it one")
			if slices.Contains([]string{"pools", "destinations", "dests", "flags"}, e.key) {
				err = errors.New("has no value; an empty list is []")
			}
		default:
			good.entries = append(good.entries, e)
			continue
		}
		o.unsure = true
		o.add(e.line, e.column, o.place.field(name), err)
	}
	o.node = &good
	return true
}

func unknownKey(key string, known []string) error {
	if near := nearest(key, known); near != "" {
		return fmt.Errorf("unknown key %q; did you mean %q?", key, near)
	}
	return fmt.Errorf("unknown key %q; known are %s", key, strings.Join(known, ", "))
}

// nearest is the known word that a mistyped one most likely stands for.
func nearest(word string, known []string) string {
	best, least := "", len(word)/2+1
	for _, k := range known {
		d := distance(strings.ToLower(word), k)
		if strings.HasPrefix(k, word) && word != "" {
			d = 1
		}
		if d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is how many letters must be put in, left out or changed to make a
// word of another (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// text is the text of a key, "" if it is not there.
func (o *object) text(key, example string) string {
	value := o.node.get(key)
	switch {
	case value == nil:
		return ""
	case value.kind != kindText:
		o.fail(key, fmt.Errorf("is %s, and should be text in quotes, such as %q", value.kind, example))
		return ""
	case value.text == "":
		o.fail(key, errors.New("is empty; leave the key out"))
	}
	return value.text
}

// number is the number of a key, absent if it is not there.
func (o *object) number(key string, largest, absent uint64) uint64 {
	value := o.node.get(key)
	if value == nil {
		return absent
	}
	n, err := number(value, largest)
	if err != nil {
		o.fail(key, err)
	}
	return n
}

func number(n *node, largest uint64) (uint64, error) {
	if n.kind != kindNumber {
		return 0, fmt.Errorf("is %s, and should be a number from 0 to %d, without quotes", n.kind, largest)
	}
	digits, base := n.text, 10
	if hex, ok := strings.CutPrefix(digits, "0x"); ok {
		digits, base = hex, 16
	} else if len(digits) > 1 && digits[0] == '0' && strings.Trim(digits, "0123456789") == "" {
		return 0, fmt.Errorf("%s begins with 0, which is octal to some; write %s", digits, strings.TrimLeft(digits[:len(digits)-1], "0")+digits[len(digits)-1:])
	}
	v, err := strconv.ParseUint(digits, base, 64)
	if err != nil || v > largest {
		return 0, fmt.Errorf("%s is no whole number from 0 to %d", n.text, largest)
	}
	return v, nil
}

// names are the words of a list, each as parse reads it.
func (o *object) names(key, example string, parse func(string) error) {
	value := o.node.get(key)
	if value == nil {
		return
	}
	if value.kind != kindList {
		o.fail(key, fmt.Errorf("is %s, and should be a list of names, such as [%s]", value.kind, example))
		return
	}
	for i, item := range value.items {
		err := error(nil)
		if item.kind != kindText {
			err = fmt.Errorf("is %s, and should be a name, such as %s", item.kind, example)
		} else {
			err = parse(item.text)
		}
		if err != nil {
			o.add(item.line, item.column, o.place.field(fmt.Sprintf("%s%s[%d]", o.prefix, key, i)), err)
		}
	}
}

// unmarshal reads the text of a key.
func (o *object) unmarshal(key, example string, into interface{ UnmarshalText([]byte) error }) {
	if text := o.text(key, example); text != "" {
		if err := into.UnmarshalText([]byte(text)); err != nil {
			o.fail(key, err)
		}
	}
}

// decode reads the pools in a tree.
func decode(root *node, rep *report) []ipvs.Pool {
	if root == nil {
		return nil
	}
	list := root
	if root.kind == kindObject {
		o := object{report: rep, node: root, place: place{pool: -1}}
		o.open([]string{"pools"})
		if list = o.node.get("pools"); list == nil {
			o.missing("pools", "; for no pools at all write: pools: []")
			return nil
		}
	}
	if list.kind != kindList {
		rep.add(list.line, list.column, "pools", fmt.Errorf("is %s, and should be a list", list.kind))
		return nil
	}

	pools := make([]ipvs.Pool, len(list.items))
	services := map[ipvs.ServiceID]int{}
	for i, item := range list.items {
		o := object{report: rep, node: item, place: place{pool: i, destination: -1, whole: true, gnlpy: isGnlpy(item)}}
		if first := list.items[0]; o.place.gnlpy != isGnlpy(first) {
			o.fail("", fmt.Errorf("is in another schema than the pool in line %d: one of them is gnlpy's (service with vip or fwmark, dests)", first.line))
			continue
		}
		read := o.pool
		if o.place.gnlpy {
			read = o.gnlpyPool
		}
		if !read(&pools[i]) {
			continue
		}
		id := key(pools[i].Service.ServiceID)
		if first, twice := services[id]; twice {
			at := item.get("service")
			rep.add(at.line, at.column, place{pool: i, destination: -1}.field(""),
				fmt.Errorf("%s is in pools[%d] already, in line %d", id, first, list.items[first].line))
			continue
		}
		services[id] = i
	}
	return pools
}

// pool reads a pool, and reports whether its service is known.
func (o *object) pool(pool *ipvs.Pool) bool {
	if !o.open(poolKeys) {
		return false
	}
	service := o.node.get("service")
	if service == nil {
		o.missing("service", "")
		return false
	}
	at := object{report: o.report, node: service, place: o.place}
	at.place.whole = false
	ok := at.service(&pool.Service)
	o.destinations(pool, "destinations", ok, (*object).destination)
	return ok
}

// destinations reads a list of destinations with a function that reads one.
func (o *object) destinations(pool *ipvs.Pool, key string, serviceKnown bool, read func(*object, *ipvs.Destination, ipvs.ServiceID) bool) {
	list := o.node.get(key)
	if list == nil {
		return
	}
	if list.kind != kindList {
		o.fail(key, fmt.Errorf("is %s, and should be a list", list.kind))
		return
	}
	pool.Destinations = make([]ipvs.Destination, len(list.items))
	first := make(map[netip.AddrPort]int, len(list.items))
	for i, item := range list.items {
		at := object{report: o.report, node: item, place: o.place}
		at.place.whole, at.place.destination = false, i
		d := &pool.Destinations[i]
		if !read(&at, d, pool.Service.ServiceID) || !serviceKnown {
			continue // behind an unknown service nothing more can be said of it
		}
		if err := d.Validate(pool.Service.ServiceID); err != nil {
			at.refuse(err)
		} else if j, twice := first[d.Address]; twice {
			at.fail("", fmt.Errorf("%s is there already, in line %d", d.Address, list.items[j].line))
		} else {
			first[d.Address] = i
		}
	}
}

// service reads a service, and reports whether it is valid.
func (o *object) service(s *ipvs.Service) bool {
	before := o.count()
	if !o.open(serviceKeys) {
		return false
	}
	o.unmarshal("protocol", "tcp", &s.Protocol)
	if text := o.text("address", "10.0.0.1:80"); text != "" {
		address, port, hasPort, err := parseAddress(text)
		if err == nil && !hasPort {
			err = fmt.Errorf("%q lacks the port; port 0 is all ports of a persistent service", text)
		}
		if err != nil {
			o.fail("address", err)
		}
		s.Address = netip.AddrPortFrom(address, port)
	}
	s.Mark = uint32(o.number("mark", 1<<32-1, 0))
	switch {
	case !o.node.has("address", "mark"):
		o.missing("address", "; a service has a protocol and an address, or a mark")
	case o.node.has("address") && !o.node.has("mark", "protocol"):
		o.missing("protocol", ": tcp, udp or sctp")
	case o.node.has("mark"):
		s.Family = ipvs.IPv4
	}
	o.unmarshal("family", "ipv6", &s.Family)

	if s.Scheduler = o.text("scheduler", "wrr"); !o.node.has("scheduler") {
		o.missing("scheduler", "; rr and wlc are the usual ones")
	}
	o.names("flags", "persistent", func(name string) error {
		flag, err := parseServiceFlag(name, s.Scheduler)
		s.Flags |= flag
		return err
	})
	s.Engine = o.text("engine", "sip")
	o.timeout(s)
	o.netmask(s)
	if o.count() == before {
		if err := s.Validate(); err != nil {
			o.refuse(err)
		}
	}
	return o.count() == before
}

// parseServiceFlag does not take a name that another scheduler's flag has.
func parseServiceFlag(name, scheduler string) (ipvs.ServiceFlags, error) {
	flag, err := ipvs.ParseServiceFlag(name)
	if err != nil {
		return 0, err
	}
	if owner, _, ok := strings.Cut(name, "-"); ok && owner != "flag" && owner != scheduler {
		return 0, fmt.Errorf("flag %q is one of the scheduler %s, not of %s", name, owner, scheduler)
	}
	return flag, nil
}

func (o *object) timeout(s *ipvs.Service) {
	switch value := o.node.get("timeout"); {
	case value == nil && s.Flags&ipvs.Persistent != 0:
		o.missing("timeout", "; a persistent service needs one, such as 5m")
	case value == nil:
	case value.kind == kindNumber:
		s.Timeout = time.Duration(o.number("timeout", 1<<31-1, 0)) * time.Second
	default:
		timeout, err := time.ParseDuration(o.text("timeout", "5m"))
		if err != nil && value.kind == kindText {
			o.fail("timeout", fmt.Errorf("%q is no duration, such as 90s, 5m or 1h30m, nor a number of seconds", value.text))
		}
		s.Timeout = timeout
	}
}

func (o *object) netmask(s *ipvs.Service) {
	value := o.node.get("netmask")
	if value == nil {
		return
	}
	family := s.IPFamily()
	if family == 0 {
		return // the address is wrong, and said to be
	}
	text := value.text
	if length, ok := strings.CutPrefix(text, "/"); value.kind == kindNumber || value.kind == kindText && ok {
		n, err := number(&node{kind: kindNumber, text: length}, 128)
		s.Netmask = ipvs.PrefixMask(family, int(n))
		if err != nil || !s.Netmask.IsValid() {
			o.fail("netmask", fmt.Errorf("%s is no length of a prefix of %s", text, family))
		}
		return
	}
	if text = o.text("netmask", "255.255.255.0"); text == "" {
		return
	}
	mask, err := netip.ParseAddr(text)
	if err != nil {
		o.fail("netmask", fmt.Errorf("%q is neither a netmask such as 255.255.255.0 nor the length of a prefix such as 24", text))
	}
	s.Netmask = mask
}

// destination reads a destination, and reports whether all of it could be read.
func (o *object) destination(d *ipvs.Destination, service ipvs.ServiceID) bool {
	before := o.count()
	if !o.open(destinationKeys) {
		return false
	}
	switch text := o.text("address", "10.1.0.5:8080"); {
	case text != "":
		address, port, hasPort, err := parseAddress(text)
		if err != nil {
			o.fail("address", err)
		}
		if !hasPort {
			port = service.Address.Port()
		}
		d.Address = netip.AddrPortFrom(address, port)
	case !o.node.has("address"):
		o.missing("address", "")
	}
	if !o.node.has("method") {
		o.missing("method", ": masquerade, route, tunnel, local or bypass")
	}
	o.unmarshal("method", "masquerade", &d.Method)
	d.Weight = uint32(o.number("weight", 1<<31-1, 1))
	d.UpperThreshold = uint32(o.number("upper_threshold", 1<<32-1, 0))
	d.LowerThreshold = uint32(o.number("lower_threshold", 1<<32-1, 0))
	if value := o.node.get("tunnel"); value != nil {
		t := object{report: o.report, node: value, place: o.place, prefix: "tunnel."}
		t.tunnel(&d.Tunnel)
	}
	return o.count() == before
}

func (o *object) tunnel(t *ipvs.Encapsulation) {
	if !o.open(tunnelKeys) {
		return
	}
	if !o.node.has("type") {
		o.missing("type", ": ipip, gue or gre")
	}
	o.unmarshal("type", "gue", &t.Type)
	t.Port = uint16(o.number("port", 1<<16-1, 0))
	o.names("flags", "csum", func(name string) error {
		flag, err := ipvs.ParseTunnelFlag(name)
		t.Flags |= flag
		return err
	})
}

// parseAddress reads an address with or without a port. One of IPv6 with a port
// stands in brackets.
func parseAddress(s string) (address netip.Addr, port uint16, hasPort bool, err error) {
	if both, err := netip.ParseAddrPort(s); err == nil {
		return both.Addr(), both.Port(), true, nil
	}
	bare := s
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		bare = s[1 : len(s)-1]
	}
	if address, err := netip.ParseAddr(bare); err == nil {
		return address, 0, false, nil
	}
	host, portText, ok := cutPort(s)
	if _, err := netip.ParseAddr(host); err == nil && ok {
		return address, 0, false, fmt.Errorf("%q in %q is no port number from 0 to 65535", portText, s)
	}
	return address, 0, false, fmt.Errorf("%q is no IP address with a port, such as 10.0.0.1:80 or [2001:db8::1]:80 (names are not looked up)", s)
}

func cutPort(s string) (host, port string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, "", false
	}
	return strings.TrimSuffix(strings.TrimPrefix(s[:i], "["), "]"), s[i+1:], true
}

// encode makes the tree of pools.
func encode(pools []ipvs.Pool) *node {
	list := &node{kind: kindList}
	for i := range pools {
		list.items = append(list.items, encodePool(&pools[i]))
	}
	root := &node{kind: kindObject}
	root.put("pools", list)
	return root
}

func encodePool(p *ipvs.Pool) *node {
	destinations := &node{kind: kindList}
	for i := range p.Destinations {
		destinations.items = append(destinations.items, encodeDestination(&p.Destinations[i], &p.Service))
	}
	pool := &node{kind: kindObject}
	pool.put("service", encodeService(&p.Service))
	pool.put("destinations", destinations)
	return pool
}

func encodeService(s *ipvs.Service) *node {
	n := &node{kind: kindObject}
	if s.Mark != 0 {
		n.put("mark", uintNode(uint64(s.Mark)))
		n.put("family", textNode(s.Family.String()))
	} else {
		n.put("protocol", textNode(s.Protocol.String()))
		n.put("address", textNode(s.Address.String()))
	}
	n.put("scheduler", textNode(s.Scheduler))
	if flags := s.Flags &^ ipvs.Hashed; flags != 0 {
		n.put("flags", nameList(flags.Names(s.Scheduler)))
	}
	if s.Timeout != 0 || s.Flags&ipvs.Persistent != 0 {
		n.put("timeout", textNode(durationText(s.Timeout)))
	}
	if mask := netmaskNode(s); mask != nil {
		n.put("netmask", mask)
	}
	if s.Engine != "" {
		n.put("engine", textNode(s.Engine))
	}
	return n
}

// netmaskNode is a netmask as all formats have it: of IPv6 the length alone, and
// nil for one that sets every client apart.
func netmaskNode(s *ipvs.Service) *node {
	mask := s.Netmask
	switch {
	case !mask.IsValid() || mask == ipvs.PrefixMask(s.IPFamily(), mask.BitLen()):
		return nil
	case mask.Is4():
		return textNode(mask.String())
	}
	return uintNode(uint64(ipvs.PrefixLength(mask)))
}

func encodeDestination(d *ipvs.Destination, s *ipvs.Service) *node {
	n := &node{kind: kindObject, layout: row}
	address := d.Address.String()
	if d.Address.Port() == 0 && s.Address.Port() == 0 {
		address = d.Address.Addr().String() // "0" would look like a mistake
	}
	n.put("address", textNode(address))
	n.put("method", textNode(d.Method.String()))
	n.put("weight", uintNode(uint64(d.Weight)))
	if d.UpperThreshold != 0 {
		n.put("upper_threshold", uintNode(uint64(d.UpperThreshold)))
	}
	if d.LowerThreshold != 0 {
		n.put("lower_threshold", uintNode(uint64(d.LowerThreshold)))
	}
	if t := d.Tunnel; t != (ipvs.Encapsulation{}) {
		tunnel := &node{kind: kindObject, layout: inline}
		tunnel.put("type", textNode(t.Type.String()))
		if t.Port != 0 {
			tunnel.put("port", uintNode(uint64(t.Port)))
		}
		if t.Flags != 0 {
			tunnel.put("flags", nameList(t.Flags.Names()))
		}
		n.put("tunnel", tunnel)
	}
	return n
}

func uintNode(v uint64) *node { return numberNode(strconv.FormatUint(v, 10)) }

func nameList(names []string) *node {
	n := &node{kind: kindList, layout: inline}
	for _, name := range names {
		n.items = append(n.items, textNode(name))
	}
	return n
}

// durationText is a duration without units that are zero: "5m", not "5m0s".
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
