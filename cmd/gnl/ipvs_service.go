package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/ipvs"
	"github.com/spf13/cobra"
)

// serviceFlags are the flags that name a service, as ipvsadm's do.
type serviceFlags struct {
	tcp, udp, sctp string
	mark           uint32
	ipv6           bool
}

func (f *serviceFlags) addTo(a *app, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&f.tcp, "tcp-service", "t", "", "the service tcp:`ADDRESS:PORT`")
	flags.StringVarP(&f.udp, "udp-service", "u", "", "the service udp:`ADDRESS:PORT`")
	flags.StringVar(&f.sctp, "sctp-service", "", "the service sctp:`ADDRESS:PORT`")
	flags.Uint32VarP(&f.mark, "fwmark-service", "f", 0, "the service of a firewall `MARK`")
	flags.BoolVarP(&f.ipv6, "ipv6", "6", false, "with -f: of IPv6")
	for _, kind := range []string{"tcp", "udp", "sctp", "fwmark"} {
		cmd.RegisterFlagCompletionFunc(kind+"-service", func(cmd *cobra.Command, args []string, given string) ([]cobra.Completion, cobra.ShellCompDirective) {
			services, directive := a.completeServices(cmd, nil, given)
			var addresses []cobra.Completion
			for _, s := range services {
				if address, ok := strings.CutPrefix(s, kind+":"); ok {
					addresses = append(addresses, address)
				}
			}
			return addresses, directive
		})
	}
}

// given reports whether a flag names a service.
func (f *serviceFlags) given(cmd *cobra.Command) bool {
	changed := cmd.Flags().Changed
	return changed("tcp-service") || changed("udp-service") || changed("sctp-service") || changed("fwmark-service") || f.ipv6
}

// service is the service that is given by a flag, or else by the first argument.
// It returns the arguments that are left.
func (f *serviceFlags) service(cmd *cobra.Command, args []string) (id ipvs.ServiceID, rest []string, err error) {
	var given []string
	for _, kind := range []string{"tcp", "udp", "sctp", "fwmark"} {
		if cmd.Flags().Changed(kind + "-service") {
			given = append(given, kind)
		}
	}
	switch {
	case len(given) > 1:
		return id, nil, wrong("--%s-service and --%s-service exclude one another", given[0], given[1])
	case f.ipv6 && !cmd.Flags().Changed("fwmark-service"):
		return id, nil, wrong("--ipv6 is for --fwmark-service: other services have it in their addresses")
	case len(given) == 0 && len(args) == 0:
		return id, nil, wrong("%s needs a service, such as tcp:10.0.0.1:80: %s", nameOf(cmd), seeHelp(cmd))
	case len(given) == 0:
		id, err = parseService(args[0])
		return id, args[1:], err
	case given[0] == "fwmark":
		family := ipvs.IPv4
		if f.ipv6 {
			family = ipvs.IPv6
		}
		if f.mark == 0 {
			return id, nil, errMark
		}
		return ipvs.Marked(f.mark, family), args, nil
	}
	id, err = parseService(given[0] + ":" + map[string]string{"tcp": f.tcp, "udp": f.udp, "sctp": f.sctp}[given[0]])
	return id, args, err
}

// nothingMore refuses arguments beyond those that a command takes.
func nothingMore(cmd *cobra.Command, what string, rest []string) error {
	if len(rest) > 0 {
		return wrong("%s takes %s and nothing more: %q is too many", nameOf(cmd), what, rest[0])
	}
	return nil
}

// serviceOptions are the flags for the properties of a service.
type serviceOptions struct {
	serviceFlags
	scheduler, netmask, engine, flags string
	persistent                        persistence
	onePacket                         bool
}

// Defaults of ipvsadm 1.31.
const (
	defaultScheduler   = "wlc"
	defaultPersistence = 6 * time.Minute
)

func (o *serviceOptions) addTo(a *app, cmd *cobra.Command, scheduler string) {
	o.serviceFlags.addTo(a, cmd)
	flags := cmd.Flags()
	flags.StringVarP(&o.scheduler, "scheduler", "s", scheduler, "`NAME` of how destinations are chosen: rr, wrr, lc, wlc, sh, mh, …")
	flags.VarP(&o.persistent, "persistent", "p", "keep a client at its destination for this `TIMEOUT` after its last connection, in seconds or as 5m")
	flags.Lookup("persistent").NoOptDefVal = shortDuration(defaultPersistence)
	flags.StringVarP(&o.netmask, "netmask", "M", "", "clients whose addresses agree in this `MASK` count as one: 255.255.255.0, or a prefix's length")
	flags.StringVar(&o.engine, "pe", "", "persistence `ENGINE`: sip")
	flags.StringVarP(&o.flags, "sched-flags", "b", "", "`FLAGS` of the scheduler, with commas: sh-port, sh-fallback, mh-port, mh-fallback, flag-1 to flag-3")
	flags.BoolVarP(&o.onePacket, "ops", "o", false, "schedule every packet by itself (UDP)")
	cmd.RegisterFlagCompletionFunc("scheduler", completeSchedulers)
	cmd.RegisterFlagCompletionFunc("persistent", cobra.NoFileCompletions)
	cmd.RegisterFlagCompletionFunc("netmask", cobra.NoFileCompletions)
	cmd.RegisterFlagCompletionFunc("pe", cobra.FixedCompletions([]cobra.Completion{"sip"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RegisterFlagCompletionFunc("sched-flags", cobra.FixedCompletions(
		[]cobra.Completion{"sh-port", "sh-fallback", "mh-port", "mh-fallback", "flag-1", "flag-2", "flag-3"}, cobra.ShellCompDirectiveNoFileComp))
}

// spellOut writes -p600, a habit of ipvsadm's users, as --persistent=600. Since the
// timeout may be left out, -p6 would otherwise be -p -6.
func spellOut(args []string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		digits, ok := strings.CutPrefix(arg, "-p")
		if ok && digits != "" && strings.Trim(digits, "0123456789") == "" && slices.Contains(args[:i], "ipvs") {
			args[i] = "--persistent=" + digits
		}
	}
	return args
}

// parse finds the service. As ipvsadm has it, the timeout may stand behind -p as
// a word of its own: it looks like no service.
func (o *serviceOptions) parse(cmd *cobra.Command, args []string) (ipvs.ServiceID, error) {
	if cmd.Flags().Changed("persistent") && o.persistent.text == shortDuration(defaultPersistence) {
		for i, arg := range args {
			var p persistence
			if p.Set(arg) == nil {
				o.persistent = p
				args = append(append([]string(nil), args[:i]...), args[i+1:]...)
				break
			}
		}
	}
	id, rest, err := o.service(cmd, args)
	if err != nil {
		return id, err
	}
	if len(rest) > 0 && cmd.Flags().Changed("persistent") && o.persistent.text == shortDuration(defaultPersistence) {
		return id, wrong("%q is neither a service nor a timeout for --persistent: that is a number of seconds, or a duration such as 90s or 5m", rest[0])
	}
	if err := nothingMore(cmd, "one service", rest); err != nil {
		return id, err
	}
	if o.onePacket && id.Mark == 0 && id.Protocol != ipvs.UDP {
		return id, wrong("--ops is for UDP, and the service is one of %s", id.Protocol)
	}
	return id, nil
}

// update is what the flags given are to change in a service that has a scheduler.
func (o *serviceOptions) update(cmd *cobra.Command, id ipvs.ServiceID, scheduler string) (u ipvs.ServiceUpdate, err error) {
	changed := cmd.Flags().Changed
	if changed("scheduler") {
		if o.scheduler == "" {
			return u, wrong("--scheduler is empty: rr and wlc are the usual ones")
		}
		scheduler, u.Scheduler = o.scheduler, gnl.Some(o.scheduler)
	}
	if changed("persistent") {
		u.Timeout = gnl.Some(o.persistent.timeout)
		if o.persistent.timeout > 0 {
			u.SetFlags |= ipvs.Persistent
		} else {
			u.ClearFlags |= ipvs.Persistent
		}
	}
	if changed("netmask") {
		mask, err := parseNetmask(o.netmask, id.IPFamily())
		if err != nil {
			return u, err
		}
		u.Netmask = gnl.Some(mask)
	}
	if changed("pe") {
		if o.engine == "none" {
			o.engine = ""
		}
		u.Engine = gnl.Some(o.engine)
	}
	if changed("ops") && o.onePacket {
		u.SetFlags |= ipvs.OnePacket
	} else if changed("ops") {
		u.ClearFlags |= ipvs.OnePacket
	}
	if changed("sched-flags") {
		set, err := parseSchedulerFlags(o.flags, scheduler)
		if err != nil {
			return u, err
		}
		u.SetFlags |= set
		u.ClearFlags |= schedulerFlags &^ set
	}
	return u, nil
}

const schedulerFlags = ipvs.SchedulerFlag1 | ipvs.SchedulerFlag2 | ipvs.SchedulerFlag3

func parseSchedulerFlags(list, scheduler string) (ipvs.ServiceFlags, error) {
	var set ipvs.ServiceFlags
	if list == "none" {
		return 0, nil
	}
	for _, name := range strings.Split(list, ",") {
		flag, err := ipvs.ParseServiceFlag(name)
		if err != nil || flag&^schedulerFlags != 0 {
			return 0, wrong("--sched-flags %q: the flags are sh-port, sh-fallback, mh-port, mh-fallback, flag-1, flag-2, flag-3, and none", name)
		}
		if owner, _, _ := strings.Cut(name, "-"); (owner == "sh" || owner == "mh") && owner != scheduler {
			return 0, wrong("--sched-flags %s is of the scheduler %s, and the service's is %s", name, owner, scheduler)
		}
		set |= flag
	}
	return set, nil
}

// parseNetmask reads a netmask, or the length of a prefix.
func parseNetmask(s string, family ipvs.Family) (netip.Addr, error) {
	if s == "none" {
		return netip.Addr{}, nil
	}
	if bits, err := strconv.ParseUint(strings.TrimPrefix(s, "/"), 10, 8); err == nil {
		if mask := ipvs.PrefixMask(family, int(bits)); mask.IsValid() {
			return mask, nil
		}
		return netip.Addr{}, wrong("--netmask %s: a prefix of %s has %s bits", s, family, map[bool]string{true: "1 to 128", false: "0 to 32"}[family == ipvs.IPv6])
	}
	mask, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, wrong("--netmask %q is neither a netmask, such as 255.255.255.0, nor the length of a prefix, such as 24", s)
	}
	return mask, nil
}

func (a *app) addServiceCommand() *cobra.Command {
	var o serviceOptions
	cmd := &cobra.Command{
		Use:   "service SERVICE",
		Short: "Add a service",
		Long: `Add a service, without destinations.

` + servicesAre + `
The flags of ipvsadm name it as well.

Port 0 is all ports, for which a service must be persistent. The scheduler is
wlc unless another one is given, and the time of --persistent 6 minutes: both as
with ipvsadm.`,
		Example: `  gnl ipvs add service tcp:10.0.0.1:80
  gnl ipvs add service udp:[2001:db8::1]:53 --scheduler rr --ops
  gnl ipvs add service tcp:10.0.0.1:0 --persistent=10m --netmask 24
  gnl ipvs add service -f 10 -s sh -b sh-port,sh-fallback
  gnl ipvs add service -t 10.0.0.1:443 -s wrr -p 600`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.addService(cmd, args, &o)
		},
	}
	o.addTo(a, cmd, defaultScheduler)
	return cmd
}

func (a *app) addService(cmd *cobra.Command, args []string, o *serviceOptions) error {
	id, err := o.parse(cmd, args)
	if err != nil {
		return err
	}
	u, err := o.update(cmd, id, o.scheduler)
	if err != nil {
		return err
	}
	s := ipvs.Service{ServiceID: id, Scheduler: o.scheduler, Flags: u.SetFlags, Timeout: u.Timeout.Value, Netmask: u.Netmask.Value, Engine: u.Engine.Value}
	if id.Mark == 0 && id.Address.Port() == 0 && s.Flags&ipvs.Persistent == 0 {
		return wrong("port 0 of %s is all ports, which takes --persistent", id)
	}
	return a.withIPVS(cmd.Context(), func(ctx context.Context, c *ipvs.Client) error {
		return noScheduler(c.AddService(ctx, s), s.Scheduler, s.Engine)
	})
}

// noScheduler explains that the kernel has no module for a scheduler or an
// engine.
func noScheduler(err error, scheduler, engine string) error {
	var e *ipvs.Error
	if !errors.As(err, &e) || !errors.Is(err, fs.ErrNotExist) || e.Why == "no such service" {
		return err
	}
	missing := "its module ip_vs_" + scheduler + " is neither loaded nor found"
	known := slices.ContainsFunc(knownSchedulers, func(s scheduling) bool { return s.name == scheduler })
	if known && engine != "" {
		return fmt.Errorf("the kernel has no persistence engine %q, or no scheduler %q: their modules are ip_vs_pe_%s and ip_vs_%s", engine, scheduler, engine, scheduler)
	}
	if !known {
		var names []string
		for _, s := range schedulers() {
			names = append(names, s.name)
		}
		missing = didYouMean(scheduler, names, missing)
	}
	return fmt.Errorf("the kernel has no scheduler %q: %s", scheduler, missing)
}

func (a *app) editServiceCommand() *cobra.Command {
	var o serviceOptions
	cmd := &cobra.Command{
		Use:   "service SERVICE",
		Short: "Change what is given of a service",
		Long: `Change what is given of a service; all else stays as it is, its destinations and
connections too. (ipvsadm -E sets what is not given to its defaults.)

To take something away: --persistent=none, --netmask none, --pe none,
--sched-flags none, --ops=false.`,
		Example: `  gnl ipvs edit service tcp:10.0.0.1:80 --scheduler wrr
  gnl ipvs edit service -t 10.0.0.1:80 --persistent=none`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeService,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.editService(cmd, args, &o)
		},
	}
	o.addTo(a, cmd, "")
	return cmd
}

func (a *app) editService(cmd *cobra.Command, args []string, o *serviceOptions) error {
	id, err := o.parse(cmd, args)
	if err != nil {
		return err
	}
	u, err := o.update(cmd, id, "")
	if err == nil && u == (ipvs.ServiceUpdate{}) {
		return wrong("nothing to change: give --scheduler, --persistent, --netmask, --pe, --sched-flags or --ops")
	}
	return a.withIPVS(cmd.Context(), func(ctx context.Context, c *ipvs.Client) error {
		old, err := c.Service(ctx, id)
		if err != nil {
			return err
		}
		u, err := o.update(cmd, id, old.Scheduler)
		if err != nil {
			return err
		}
		if u.ClearFlags&ipvs.Persistent != 0 && id.Mark == 0 && id.Address.Port() == 0 {
			return wrong("port 0 of %s is all ports, which takes --persistent", id)
		}
		scheduler, engine := old.Scheduler, old.Engine
		if u.Scheduler.Given {
			scheduler = u.Scheduler.Value
		}
		if u.Engine.Given {
			engine = u.Engine.Value
		}
		return noScheduler(c.UpdateService(ctx, id, u), scheduler, engine)
	})
}

func (a *app) removeServiceCommand() *cobra.Command {
	var f serviceFlags
	cmd := &cobra.Command{
		Use:   "service SERVICE",
		Short: "Remove a service and its destinations",
		Long: `Remove a service together with its destinations, at once. What connections there
are is cut off, or goes on until it ends, as the sysctl
net.ipv4.vs.expire_nodest_conn says. (apply --drain lets them end first.)`,
		Example: `  gnl ipvs remove service tcp:10.0.0.1:80
  gnl ipvs remove service -f 10 -6`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeService,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, rest, err := f.service(cmd, args)
			if err == nil {
				err = nothingMore(cmd, "one service", rest)
			}
			if err != nil {
				return err
			}
			return a.withIPVS(cmd.Context(), func(ctx context.Context, c *ipvs.Client) error { return c.RemoveService(ctx, id) })
		},
	}
	f.addTo(a, cmd)
	return cmd
}
