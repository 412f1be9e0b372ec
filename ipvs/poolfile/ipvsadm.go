package poolfile

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gnlgo/gnl/ipvs"
)

const programName = "ipvsadm"

// What ipvsadm makes of options that are left out.
const (
	defaultScheduler = "wlc"
	defaultTimeout   = 360 * time.Second // its manual says 300
	defaultMethod    = ipvs.Route
)

// maxTimeout is the longest persistence that ipvsadm takes.
const maxTimeout = 31 * 24 * time.Hour

// option is an option of ipvsadm, by its long name.
type option string

const (
	optAddService option = "add-service"
	optAddServer  option = "add-server"
	optClear      option = "clear"

	optTCP  option = "tcp-service"
	optUDP  option = "udp-service"
	optSCTP option = "sctp-service"
	optMark option = "fwmark-service"
	optIPv6 option = "ipv6"

	optScheduler  option = "scheduler"
	optPersistent option = "persistent"
	optNetmask    option = "netmask"
	optFlags      option = "sched-flags"
	optEngine     option = "pe"
	optOnePacket  option = "ops"

	optServer     option = "real-server"
	optRoute      option = "gatewaying"
	optTunnel     option = "ipip"
	optMasquerade option = "masquerading"
	optWeight     option = "weight"
	optUpper      option = "u-threshold"
	optLower      option = "l-threshold"
	optTunType    option = "tun-type"
	optTunPort    option = "tun-port"
	optTunNoCsum  option = "tun-nocsum"
	optTunCsum    option = "tun-csum"
	optTunRemCsum option = "tun-remcsum"
)

// argument is whether an option is followed by a value.
type argument uint8

const (
	without argument = iota
	optional
	required
)

// command is which of the commands an option is for.
type command uint8

const (
	addService command = 1 << iota
	addServer
)

type optionKind struct {
	short    byte // 0 for none
	argument argument
	commands command // 0 for a command itself
}

var options = map[option]optionKind{
	optAddService: {'A', without, 0},
	optAddServer:  {'a', without, 0},
	optClear:      {'C', without, 0},

	optTCP:  {'t', required, addService | addServer},
	optUDP:  {'u', required, addService | addServer},
	optSCTP: {0, required, addService | addServer},
	optMark: {'f', required, addService | addServer},
	optIPv6: {'6', without, addService | addServer},

	optScheduler:  {'s', required, addService},
	optPersistent: {'p', optional, addService},
	optNetmask:    {'M', required, addService},
	optFlags:      {'b', required, addService},
	optEngine:     {0, required, addService},
	optOnePacket:  {'o', without, addService},

	optServer:     {'r', required, addServer},
	optRoute:      {'g', without, addServer},
	optTunnel:     {'i', without, addServer},
	optMasquerade: {'m', without, addServer},
	optWeight:     {'w', required, addServer},
	optUpper:      {'x', required, addServer},
	optLower:      {'y', required, addServer},
	optTunType:    {0, required, addServer},
	optTunPort:    {0, required, addServer},
	optTunNoCsum:  {0, without, addServer},
	optTunCsum:    {0, without, addServer},
	optTunRemCsum: {0, without, addServer},
}

// String gives the option as it is mostly written: "-w", "--tun-type".
func (o option) String() string {
	if short := options[o].short; short != 0 {
		return "-" + string(short)
	}
	return "--" + string(o)
}

// longOptions are the options by their names.
var longOptions = func() []string {
	var names []string
	for o := range options {
		names = append(names, string(o))
	}
	slices.Sort(names)
	return names
}()

// shortOptions are the options by their letters.
var shortOptions = func() map[byte]option {
	m := map[byte]option{}
	for o, kind := range options {
		if kind.short != 0 {
			m[kind.short] = o
		}
	}
	return m
}()

// otherCommands do something else than to describe a pool.
var otherCommands = map[string]string{
	"-E": "edits a service", "--edit-service": "edits a service",
	"-D": "removes a service", "--delete-service": "removes a service",
	"-e": "edits a server", "--edit-server": "edits a server",
	"-d": "removes a server", "--delete-server": "removes a server",
	"--set": "sets timeouts", "--start-daemon": "starts a daemon", "--stop-daemon": "stops a daemon",
	"-S": "saves", "-R": "restores", "-L": "lists", "-l": "lists", "-Z": "zeroes counters",
}

// word is a word of a line with its column.
type word struct {
	text   string
	column int
}

// words splits a line up to a comment. ipvsadm knows no quotes, and no comments
// either.
func words(line string) []word {
	var all []word
	column, counted := 1, 0
	for text := range strings.FieldsSeq(line) {
		start := counted + strings.Index(line[counted:], text)
		column += utf8.RuneCountInString(line[counted:start])
		counted = start
		if text[0] == '#' {
			break
		}
		all = append(all, word{text, column})
		column += utf8.RuneCountInString(text)
		counted += len(text)
	}
	return all
}

// line reads one line.
type line struct {
	*report
	number   int
	before   int // how many errors there were before it
	settings map[option]word
}

// ok reports whether nothing is wrong with the line so far.
func (l *line) ok() bool { return l.count() == l.before }

// fail reports what is wrong with an option.
func (l *line) fail(o option, format string, args ...any) {
	l.add(l.number, max(1, l.settings[o].column), o.String(), fmt.Errorf(format, args...))
}

// wrong reports what is wrong with a word that is no option, or with the line.
func (l *line) wrong(column int, format string, args ...any) {
	l.add(l.number, column, "", fmt.Errorf(format, args...))
}

// parse reads the options of a line, and reports whether it is about a pool.
func (l *line) parse(all []word) bool {
	for len(all) > 0 {
		w := all[0]
		all = all[1:]
		switch {
		case otherCommands[w.text] != "":
			l.wrong(w.column, "%s %s; a file of pools has -A and -a alone, as ipvsadm -S -n prints them", w.text, otherCommands[w.text])
			return false
		case strings.HasPrefix(w.text, "--") && len(w.text) > 2:
			all = l.long(w, all)
		case strings.HasPrefix(w.text, "-") && len(w.text) > 1:
			all = l.short(w, all)
		case w.text == "(null)":
			l.wrong(w.column, "ipvsadm says (null) for the method bypass, and cannot read it either; it has no option for that")
		default:
			l.wrong(w.column, "%q is no option, nor the value of one", w.text)
		}
	}
	return true
}

// long reads "--weight 5" or "--weight=5" and returns the words after it.
func (l *line) long(w word, rest []word) []word {
	name, value, hasValue := strings.Cut(w.text[2:], "=")
	if _, ok := options[option(name)]; ok {
		return l.set(option(name), w.column, value, hasValue, rest)
	}
	if near := nearest(name, longOptions); near != "" {
		l.wrong(w.column, "--%s is no option; did you mean --%s?", name, near)
	} else {
		l.wrong(w.column, "--%s is no option of a service or server", name)
	}
	return rest
}

// short reads "-w 5", "-w5", or several as in "-mw5", and returns the words
// after it.
func (l *line) short(w word, rest []word) []word {
	for i := 1; i < len(w.text); i++ {
		o, ok := shortOptions[w.text[i]]
		if !ok {
			l.wrong(w.column, "-%s is no option of a service or server", w.text[i:])
			return rest
		}
		if options[o].argument != without {
			value, hasEqual := strings.CutPrefix(w.text[i+1:], "=")
			return l.set(o, w.column, value, hasEqual || value != "", rest)
		}
		l.set(o, w.column, "", false, nil)
	}
	return rest
}

// set keeps an option with its value, which may be the next word.
func (l *line) set(o option, column int, value string, hasValue bool, rest []word) []word {
	argument := options[o].argument
	if !hasValue && len(rest) > 0 && (argument == required || argument == optional && !strings.HasPrefix(rest[0].text, "-")) {
		value, hasValue, rest = rest[0].text, true, rest[1:]
	}
	_, twice := l.settings[o]
	l.settings[o] = word{value, column}
	switch {
	case argument == without && hasValue:
		l.fail(o, "takes no value")
	case argument == required && value == "" && (o != optFlags || len(rest) > 0):
		l.fail(o, "lacks its value")
	case twice:
		l.fail(o, "stands twice in one line")
	}
	return rest
}

func (l *line) has(o option) bool { _, ok := l.settings[o]; return ok }

// one is the option of a group that the line has; empty if it has none. More
// than one are an error.
func (l *line) one(group ...option) option {
	var found option
	for _, o := range group {
		switch {
		case !l.has(o):
		case found != "":
			l.fail(o, "%s is there too; only one of them can be", found)
		default:
			found = o
		}
	}
	return found
}

// only reports options that are not for the command.
func (l *line) only(c command, name option) {
	for o := range l.settings {
		if kind := options[o]; kind.commands != 0 && kind.commands&c == 0 {
			l.fail(o, "is not for %s", name)
		}
	}
}

// value is the number after an option, absent if there is none.
func (l *line) value(o option, largest, absent uint64) uint64 {
	text := l.settings[o].text
	if text == "" {
		return absent
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > largest {
		l.fail(o, "%q is no whole number from 0 to %d", text, largest)
		return absent
	}
	return n
}

// rules are the lines of a file read so far.
type rules struct {
	*report
	pools    []ipvs.Pool
	services map[ipvs.ServiceID]serviceLine
}

type serviceLine struct {
	pool, line   int
	bad          bool                   // something is wrong with it, so that its servers cannot be judged
	destinations map[netip.AddrPort]int // their lines
}

// readIPVSAdm reads ipvsadm's text.
func readIPVSAdm(content []byte, rep *report) []ipvs.Pool {
	r := &rules{report: rep, services: map[ipvs.ServiceID]serviceLine{}}
	number := 0
	for text := range strings.Lines(string(content)) {
		number++
		all := words(text)
		if len(all) > 0 && path.Base(all[0].text) == programName {
			all = all[1:]
		}
		l := &line{report: rep, number: number, before: rep.count(), settings: map[option]word{}}
		if len(all) == 0 || !l.parse(all) {
			continue
		}
		switch l.one(optAddService, optAddServer, optClear) {
		case optAddService:
			r.service(l)
		case optAddServer:
			r.server(l)
		case optClear:
			if len(r.services) > 0 {
				l.fail(optClear, "throws away the lines before it; begin the file with it, or leave them out")
			}
		default:
			l.wrong(all[0].column, "neither -A (a service) nor -a (a server)")
		}
	}
	return r.pools
}

// service reads an -A.
func (r *rules) service(l *line) {
	l.only(addService, optAddService)
	var s ipvs.Service
	if !l.id(&s.ServiceID) {
		return
	}
	s.Scheduler = cmp.Or(l.settings[optScheduler].text, defaultScheduler)
	if l.has(optPersistent) {
		s.Flags |= ipvs.Persistent
		seconds := l.value(optPersistent, uint64(maxTimeout/time.Second), uint64(defaultTimeout/time.Second))
		if seconds == 0 {
			l.fail(optPersistent, "0 is no time to persist")
		}
		s.Timeout = time.Duration(seconds) * time.Second
	}
	if l.has(optOnePacket) {
		s.Flags |= ipvs.OnePacket
	}
	s.Flags |= l.schedulerFlags(s.Scheduler)
	s.Engine = l.settings[optEngine].text
	s.Netmask = l.netmask(s.IPFamily())
	if l.ok() {
		if err := s.Validate(); err != nil {
			l.refuse(err)
		}
	}

	if first, twice := r.services[s.ServiceID]; twice {
		l.fail(l.idOption(), "%s is there already, in line %d", s.ServiceID, first.line)
		return
	}
	r.services[s.ServiceID] = serviceLine{len(r.pools), l.number, !l.ok(), map[netip.AddrPort]int{}}
	r.pools = append(r.pools, ipvs.Pool{Service: s})
}

func (l *line) idOption() option { return l.one(optTCP, optUDP, optSCTP, optMark) }

// id reads which service a line is about, and reports whether that is clear.
func (l *line) id(id *ipvs.ServiceID) bool {
	before := l.count()
	o := l.idOption()
	switch o {
	case "":
		l.wrong(1, "lacks the service: -t, -u, --sctp-service or -f")
		return false
	case optMark:
		*id = ipvs.Marked(l.mark(), ipvs.IPv4)
		if l.has(optIPv6) {
			id.Family = ipvs.IPv6
		}
		return l.count() == before
	case optTCP:
		id.Protocol = ipvs.TCP
	case optUDP:
		id.Protocol = ipvs.UDP
	case optSCTP:
		id.Protocol = ipvs.SCTP
	}
	if l.has(optIPv6) {
		l.fail(optIPv6, "is for -f; with %s the address tells", o)
	}
	address, port, _ := l.address(o)
	id.Address = netip.AddrPortFrom(address, port)
	return l.count() == before && address.IsValid()
}

func (l *line) mark() uint32 {
	text := l.settings[optMark].text
	if text == "" {
		return 0
	}
	mark, err := strconv.ParseInt(text, 10, 64)
	// ipvsadm -S prints marks from 2³¹ on as negative numbers, which ipvsadm -R
	// then does not take.
	if err != nil || mark == 0 || mark < math.MinInt32 || mark > math.MaxUint32 {
		l.fail(optMark, "%q is no firewall mark, a number from 1 to %d", text, uint32(math.MaxUint32))
	}
	return uint32(mark)
}

func (l *line) address(o option) (address netip.Addr, port uint16, hasPort bool) {
	text := l.settings[o].text
	if text == "" {
		return address, 0, false
	}
	address, port, hasPort, err := parseAddress(text)
	if err != nil {
		l.fail(o, "%w", err)
	}
	return address, port, hasPort
}

const anySchedulerFlag = ipvs.SchedulerFlag1 | ipvs.SchedulerFlag2 | ipvs.SchedulerFlag3

func (l *line) schedulerFlags(scheduler string) (flags ipvs.ServiceFlags) {
	text := l.settings[optFlags].text
	switch {
	case !l.has(optFlags):
		return 0
	case text == "" && (scheduler == "sh" || scheduler == "mh"):
		// ipvsadm -S ends a line with -b and nothing behind it if the only flag
		// is the one that it has no name for with these.
		return ipvs.SchedulerFlag3
	}
	for name := range strings.SplitSeq(text, ",") {
		flag, err := parseServiceFlag(name, scheduler)
		switch {
		case flag&anySchedulerFlag == 0 && (err == nil || name == ""):
			l.fail(optFlags, "%q is no flag of a scheduler, such as sh-port or flag-1", name)
		case err != nil:
			l.fail(optFlags, "%w", err)
		}
		flags |= flag
	}
	return flags
}

func (l *line) netmask(family ipvs.Family) netip.Addr {
	text := l.settings[optNetmask].text
	if text == "" {
		return netip.Addr{}
	}
	if family == ipvs.IPv6 {
		bits, err := strconv.ParseUint(text, 10, 8)
		mask := ipvs.PrefixMask(ipvs.IPv6, int(bits))
		if err != nil || !mask.IsValid() {
			l.fail(optNetmask, "%q is no length of an IPv6 prefix, 1 to 128", text)
		}
		return mask
	}
	mask, err := netip.ParseAddr(text)
	if err != nil || !mask.Is4() {
		// ipvsadm would take 24 for 0.0.0.24.
		l.fail(optNetmask, "%q is no IPv4 netmask, such as 255.255.255.0", text)
	}
	return mask
}

// server reads an -a.
func (r *rules) server(l *line) {
	l.only(addServer, optAddServer)
	var id ipvs.ServiceID
	if !l.id(&id) {
		return
	}
	service, ok := r.services[id]
	if !ok {
		l.fail(l.idOption(), "no -A before this line adds %s", id)
		return
	}
	if !l.has(optServer) {
		l.wrong(1, "lacks the server: -r")
		return
	}

	d := ipvs.Destination{Method: defaultMethod}
	switch l.one(optMasquerade, optTunnel, optRoute) {
	case optMasquerade:
		d.Method = ipvs.Masquerade
	case optTunnel:
		d.Method = ipvs.Tunnel
	}
	address, port, hasPort := l.address(optServer)
	if !hasPort {
		port = id.Address.Port()
	}
	d.Address = netip.AddrPortFrom(address, port)
	d.Weight = uint32(l.value(optWeight, math.MaxInt32, 1))
	d.UpperThreshold = uint32(l.value(optUpper, math.MaxInt32, 0))
	d.LowerThreshold = uint32(l.value(optLower, math.MaxInt32, 0))
	d.Tunnel = l.tunnel()
	if !l.ok() || service.bad {
		return
	}
	if err := d.Validate(id); err != nil {
		l.refuse(err)
		return
	}
	if first, twice := service.destinations[d.Address]; twice {
		l.fail(optServer, "%s is behind %s already, in line %d", d.Address, id, first)
		return
	}
	service.destinations[d.Address] = l.number
	pool := &r.pools[service.pool]
	pool.Destinations = append(pool.Destinations, d)
}

func (l *line) tunnel() (t ipvs.Encapsulation) {
	if text := l.settings[optTunType].text; text != "" {
		if err := t.Type.UnmarshalText([]byte(text)); err != nil {
			l.fail(optTunType, "%w", err)
		}
	}
	t.Port = uint16(l.value(optTunPort, math.MaxUint16, 0))
	switch l.one(optTunNoCsum, optTunCsum, optTunRemCsum) {
	case optTunCsum:
		t.Flags = ipvs.Checksum
	case optTunRemCsum:
		t.Flags = ipvs.RemoteChecksum
	}
	return t
}

// fieldOptions are the options that set a field of ipvs.FieldError.
var fieldOptions = map[string][]option{
	"scheduler":       {optScheduler},
	"flags":           {optOnePacket, optFlags},
	"timeout":         {optPersistent},
	"netmask":         {optNetmask},
	"engine":          {optEngine},
	"method":          {optTunnel, optMasquerade, optRoute},
	"weight":          {optWeight},
	"upper_threshold": {optUpper},
	"lower_threshold": {optLower, optUpper},
	"tunnel":          {optTunType},
	"tunnel.type":     {optTunType},
	"tunnel.port":     {optTunPort, optTunType},
	"tunnel.flags":    {optTunCsum, optTunRemCsum},
}

// refuse reports what Validate said, at the option that it is about.
func (l *line) refuse(err error) {
	about := append(slices.Clone(fieldOptions[fieldOf(err)]), optServer, l.idOption())
	for _, o := range about {
		if l.has(o) {
			l.fail(o, "%w", err)
			return
		}
	}
}

// writeIPVSAdm writes pools as ipvsadm -S -n does, with what that leaves out but
// ipvsadm -R takes.
func writeIPVSAdm(b *bytes.Buffer, pools []ipvs.Pool, rep *report) {
	for i := range pools {
		service := &pools[i].Service
		at := place{pool: i, destination: -1}
		refuse := func(field, format string, args ...any) {
			rep.add(0, 0, at.field(field), fmt.Errorf("ipvsadm "+format, args...))
		}
		checkServiceText(service, refuse)
		writeService(b, service)
		for j := range pools[i].Destinations {
			d := &pools[i].Destinations[j]
			at.destination = j
			checkServerText(d, service.ServiceID, refuse)
			writeServer(b, service.ServiceID, d)
		}
	}
}

// checkServiceText refuses what ipvsadm has no words for.
func checkServiceText(s *ipvs.Service, refuse func(field, format string, args ...any)) {
	persistent := s.Flags&ipvs.Persistent != 0
	switch {
	case !persistent && s.Timeout != 0:
		refuse("timeout", "sets one for persistent services alone")
	case persistent && (s.Timeout < time.Second || s.Timeout > maxTimeout):
		refuse("timeout", "takes 1 second to 31 days, not %s", s.Timeout)
	}
	for _, name := range []struct{ field, value string }{{"scheduler", s.Scheduler}, {"engine", s.Engine}} {
		if strings.ContainsFunc(name.value, func(r rune) bool { return unicode.IsSpace(r) || r == '#' }) {
			refuse(name.field, "takes no blanks: %q", name.value)
		}
	}
}

// checkServerText refuses what ipvsadm has no words for.
func checkServerText(d *ipvs.Destination, service ipvs.ServiceID, refuse func(field, format string, args ...any)) {
	switch d.Method {
	case ipvs.Local, ipvs.Bypass:
		refuse("method", "has no option for %s", d.Method)
	case ipvs.Route, ipvs.Tunnel:
		if port := service.Address.Port(); service.Mark == 0 && d.Address.Port() != port {
			refuse("address", "uses the service's port, %d, with the method %s", port, d.Method)
		}
	}
	if d.Tunnel.Flags == ipvs.Checksum|ipvs.RemoteChecksum {
		refuse("tunnel.flags", "takes one of csum and remcsum")
	}
}

// serviceWords names a service.
func serviceWords(id ipvs.ServiceID) string {
	switch {
	case id.Mark != 0 && id.Family == ipvs.IPv6:
		return fmt.Sprintf("-f %d -6", id.Mark)
	case id.Mark != 0:
		return fmt.Sprintf("-f %d", id.Mark)
	case id.Protocol == ipvs.UDP:
		return "-u " + id.Address.String()
	case id.Protocol == ipvs.SCTP:
		return "--sctp-service " + id.Address.String()
	}
	return "-t " + id.Address.String()
}

func writeService(b *bytes.Buffer, s *ipvs.Service) {
	fmt.Fprintf(b, "-A %s -s %s", serviceWords(s.ServiceID), s.Scheduler)
	if s.Flags&ipvs.Persistent != 0 {
		fmt.Fprintf(b, " -p %d", s.Timeout/time.Second)
	}
	if mask := netmaskNode(s); mask != nil {
		b.WriteString(" -M " + mask.text)
	}
	if s.Engine != "" {
		b.WriteString(" --pe " + s.Engine)
	}
	if s.Flags&ipvs.OnePacket != 0 {
		b.WriteString(" -o")
	}
	if flags := s.Flags & anySchedulerFlag; flags != 0 {
		b.WriteString(" -b " + strings.Join(flags.Names(s.Scheduler), ","))
	}
	b.WriteByte('\n')
}

func writeServer(b *bytes.Buffer, service ipvs.ServiceID, d *ipvs.Destination) {
	method := map[ipvs.Method]option{ipvs.Masquerade: optMasquerade, ipvs.Tunnel: optTunnel}[d.Method]
	fmt.Fprintf(b, "-a %s -r %s %s -w %d", serviceWords(service), d.Address, cmp.Or(method, optRoute), d.Weight)
	if d.UpperThreshold != 0 {
		fmt.Fprintf(b, " -x %d", d.UpperThreshold)
	}
	if d.LowerThreshold != 0 {
		fmt.Fprintf(b, " -y %d", d.LowerThreshold)
	}
	if d.Method == ipvs.Tunnel {
		fmt.Fprintf(b, " --tun-type %s", d.Tunnel.Type)
		if d.Tunnel.Type == ipvs.GUE {
			fmt.Fprintf(b, " --tun-port %d", d.Tunnel.Port)
		}
		switch {
		case d.Tunnel.Type == ipvs.IPIP:
		case d.Tunnel.Flags == 0:
			b.WriteString(" --tun-nocsum")
		default:
			b.WriteString(" --tun-" + d.Tunnel.Flags.String())
		}
	}
	b.WriteByte('\n')
}
