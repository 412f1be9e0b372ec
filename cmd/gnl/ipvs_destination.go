package main

import (
	"context"
	"net/netip"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/ipvs"
	"github.com/spf13/cobra"
)

// destinationFlags are the flags that name a destination.
type destinationFlags struct {
	serviceFlags
	server string
}

func (f *destinationFlags) addTo(a *app, cmd *cobra.Command, completeServer bool) {
	f.serviceFlags.addTo(a, cmd)
	cmd.Flags().StringVarP(&f.server, "real-server", "r", "", "the destination's `ADDRESS[:PORT]`")
	complete := cobra.CompletionFunc(cobra.NoFileCompletions)
	if completeServer {
		complete = func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return a.completeDestinations(cmd, f, args)
		}
	}
	cmd.RegisterFlagCompletionFunc("real-server", complete)
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, given string) ([]cobra.Completion, cobra.ShellCompDirective) {
		id, rest, err := f.service(cmd, args)
		switch {
		case err != nil:
			return a.completeService(cmd, args, given)
		case len(rest) > 0 || f.server != "" || !completeServer || id == ipvs.ServiceID{}:
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.completeDestinations(cmd, f, args)
	}
}

func (a *app) completeDestinations(cmd *cobra.Command, f *destinationFlags, args []string) ([]cobra.Completion, cobra.ShellCompDirective) {
	id, _, err := f.service(cmd, args)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var all []cobra.Completion
	err = a.withIPVS(cmd.Context(), func(ctx context.Context, c *ipvs.Client) error {
		pool, err := c.Pool(ctx, id)
		for i := range pool.Destinations {
			d := &pool.Destinations[i]
			all = append(all, cobra.CompletionWithDesc(addressText(id, d.Address), d.Method.String()))
		}
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return all, cobra.ShellCompDirectiveNoFileComp
}

// parse finds the service and the destination. A port that is not given is the
// service's.
func (f *destinationFlags) parse(cmd *cobra.Command, args []string) (id ipvs.ServiceID, address netip.AddrPort, err error) {
	if id, args, err = f.service(cmd, args); err != nil {
		return id, address, err
	}
	server := f.server
	switch byFlag := cmd.Flags().Changed("real-server"); {
	case byFlag && len(args) > 0:
		return id, address, wrong("%s takes one destination: %q is too many", nameOf(cmd), args[0])
	case !byFlag && len(args) == 0:
		return id, address, wrong("%s needs a destination, such as 10.1.0.5:8080, behind the service: %s", nameOf(cmd), seeHelp(cmd))
	case !byFlag:
		server = args[0]
		if err := nothingMore(cmd, "a service and one destination", args[1:]); err != nil {
			return id, address, err
		}
	}
	address, hasPort, err := parseAddress(server)
	if err == nil && !hasPort && id.Mark == 0 {
		address = netip.AddrPortFrom(address.Addr(), id.Address.Port())
	}
	return id, address, err
}

// destinationOptions are the flags for the properties of a destination.
type destinationOptions struct {
	destinationFlags
	method                               string
	gatewaying, ipip, masquerading       bool
	weight, upper, lower                 uint32
	tunnelType                           string
	tunnelPort                           uint16
	noChecksum, checksum, remoteChecksum bool
}

func (o *destinationOptions) addTo(a *app, cmd *cobra.Command, completeServer bool) {
	o.destinationFlags.addTo(a, cmd, completeServer)
	flags := cmd.Flags()
	flags.BoolVarP(&o.gatewaying, "gatewaying", "g", false, "method route: to the server's link-layer address")
	flags.BoolVarP(&o.ipip, "ipip", "i", false, "method tunnel: encapsulated (--tun-type)")
	flags.BoolVarP(&o.masquerading, "masquerading", "m", false, "method masquerade: by network address translation")
	flags.StringVar(&o.method, "method", "", "the method by `NAME`: route, tunnel, masquerade, local, bypass")
	flags.Uint32VarP(&o.weight, "weight", "w", 1, "share of the connections `N`; 0 keeps connections and gets no new ones")
	flags.Uint32VarP(&o.upper, "u-threshold", "x", 0, "no new connections from `N` on; 0 is no threshold")
	flags.Uint32VarP(&o.lower, "l-threshold", "y", 0, "new ones again below `N`; 0 is no threshold")
	flags.StringVar(&o.tunnelType, "tun-type", "", "`TYPE` of the tunnel: ipip, gue or gre")
	flags.Uint16Var(&o.tunnelPort, "tun-port", 0, "UDP `PORT` of a tunnel of type gue")
	flags.BoolVar(&o.noChecksum, "tun-nocsum", false, "the tunnel has no checksums")
	flags.BoolVar(&o.checksum, "tun-csum", false, "the tunnel has checksums (gue and gre)")
	flags.BoolVar(&o.remoteChecksum, "tun-remcsum", false, "the tunnel has remote checksums (gue)")
	cmd.RegisterFlagCompletionFunc("method", cobra.FixedCompletions([]cobra.Completion{"route", "tunnel", "masquerade", "local", "bypass"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RegisterFlagCompletionFunc("tun-type", cobra.FixedCompletions([]cobra.Completion{"ipip", "gue", "gre"}, cobra.ShellCompDirectiveNoFileComp))
	for _, name := range []string{"weight", "u-threshold", "l-threshold", "tun-port"} {
		cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
}

// set makes d what the flags given say, and reports whether there were any.
func (o *destinationOptions) set(cmd *cobra.Command, d *ipvs.Destination) (changed bool, err error) {
	given := func(name string) bool {
		is := cmd.Flags().Changed(name)
		changed = changed || is
		return is
	}
	methods := 0
	for _, m := range []struct {
		flag   string
		on     bool
		method ipvs.Method
	}{{"gatewaying", o.gatewaying, ipvs.Route}, {"ipip", o.ipip, ipvs.Tunnel}, {"masquerading", o.masquerading, ipvs.Masquerade}} {
		if given(m.flag) && m.on {
			d.Method = m.method
			methods++
		}
	}
	if given("method") {
		methods++
		if err := d.Method.UnmarshalText([]byte(o.method)); err != nil || d.Method > ipvs.Bypass {
			return changed, wrong("no method %q: %s", o.method, didYouMean(o.method, []string{"route", "tunnel", "masquerade", "local", "bypass"}, "the methods are route, tunnel, masquerade, local and bypass"))
		}
	}
	if methods > 1 {
		return changed, wrong("--gatewaying, --ipip, --masquerading and --method exclude one another")
	}
	if methods > 0 && d.Method != ipvs.Tunnel {
		d.Tunnel = ipvs.Encapsulation{}
	}
	if given("weight") {
		d.Weight = o.weight
	}
	if given("u-threshold") {
		d.UpperThreshold = o.upper
	}
	if given("l-threshold") {
		d.LowerThreshold = o.lower
	}
	return changed, o.setTunnel(given, d)
}

func (o *destinationOptions) setTunnel(given func(string) bool, d *ipvs.Destination) error {
	any := false
	if given("tun-type") {
		any = true
		if err := d.Tunnel.Type.UnmarshalText([]byte(o.tunnelType)); err != nil || d.Tunnel.Type > ipvs.GRE {
			return wrong("no type of tunnel %q: the types are ipip, gue and gre", o.tunnelType)
		}
		if d.Tunnel.Type != ipvs.GUE {
			d.Tunnel.Port = 0
		}
	}
	if given("tun-port") {
		any = true
		d.Tunnel.Port = o.tunnelPort
	}
	if given("tun-nocsum") && o.noChecksum {
		any = true
		if o.checksum || o.remoteChecksum {
			return wrong("--tun-nocsum excludes --tun-csum and --tun-remcsum")
		}
		d.Tunnel.Flags = 0
	}
	for _, f := range []struct {
		flag string
		on   bool
		bit  ipvs.TunnelFlags
	}{{"tun-csum", o.checksum, ipvs.Checksum}, {"tun-remcsum", o.remoteChecksum, ipvs.RemoteChecksum}} {
		if given(f.flag) {
			any = true
			d.Tunnel.Flags &^= f.bit
			if f.on {
				d.Tunnel.Flags |= f.bit
			}
		}
	}
	switch {
	case any && d.Method != ipvs.Tunnel:
		return wrong("--tun-type, --tun-port and --tun-*csum are for the method tunnel: give --ipip (-i) too")
	case d.Tunnel.Type == ipvs.GUE && d.Tunnel.Port == 0:
		return wrong("a tunnel of type gue needs its UDP port: --tun-port")
	case d.Tunnel.Type != ipvs.GUE && d.Tunnel.Port != 0:
		return wrong("--tun-port is for tunnels of type gue, not %s: --tun-type", d.Tunnel.Type)
	}
	return nil
}

// check says in the words of the command line what ipvs.Destination.Validate
// would in its own.
func (o *destinationOptions) check(id ipvs.ServiceID, d *ipvs.Destination) error {
	destination := addressText(id, d.Address)
	v6 := d.Address.Addr().Is6() && !d.Address.Addr().Is4In6()
	switch {
	case d.LowerThreshold > d.UpperThreshold:
		return wrong("--l-threshold %d is above --u-threshold %d", d.LowerThreshold, d.UpperThreshold)
	case v6 != (id.IPFamily() == ipvs.IPv6) && d.Method != ipvs.Tunnel:
		return wrong("%s is of another family than %s, which takes the method tunnel (--ipip), not %s", destination, id.String(), d.Method)
	}
	return nil
}

func (a *app) addDestinationCommand() *cobra.Command {
	var o destinationOptions
	cmd := &cobra.Command{
		Use:     "destination SERVICE ADDRESS[:PORT]",
		Aliases: []string{"dest"},
		Short:   "Add a destination to a service",
		Long: `Add a destination, a server to which connections go, to a service. Without a
port it has the service's.

The method says how packets get there. As with ipvsadm it is route (-g) unless
another one is given. Only masquerade (-m) can change the port; so a destination
with another port than the service's needs a method to be given.

` + servicesAre + `
The flags of ipvsadm name service and destination as well.`,
		Example: `  gnl ipvs add destination tcp:10.0.0.1:80 10.1.0.5
  gnl ipvs add destination tcp:10.0.0.1:80 10.1.0.5:8080 --masquerading -w 3
  gnl ipvs add destination -t 10.0.0.1:80 -r 10.1.0.6:80 -i --tun-type gre
  gnl ipvs add destination fwmark:10 10.1.0.7 -m -x 1000 -y 800`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.addDestination(cmd, args, &o)
		},
	}
	o.addTo(a, cmd, false)
	return cmd
}

func (a *app) addDestination(cmd *cobra.Command, args []string, o *destinationOptions) error {
	id, address, err := o.parse(cmd, args)
	if err != nil {
		return err
	}
	const none = ipvs.Bypass + 1
	d := ipvs.Destination{Address: address, Method: none, Weight: 1}
	if _, err := o.set(cmd, &d); err != nil {
		return err
	}
	otherPort := id.Mark == 0 && address.Port() != id.Address.Port() && id.Address.Port() != 0 && address.Port() != 0
	switch {
	case d.Method == none && otherPort:
		return wrong("%s has another port than %s, to which only --masquerading (-m) can translate: give a method", address, id)
	case d.Method == none:
		d.Method = ipvs.Route
	}
	if err := o.check(id, &d); err != nil {
		return err
	}
	if otherPort && (d.Method == ipvs.Route || d.Method == ipvs.Tunnel) {
		a.say("note: with the method %s, packets keep port %d of the service: port %d of the destination is not used", d.Method, id.Address.Port(), address.Port())
	}
	return a.withIPVS(cmd.Context(), func(ctx context.Context, c *ipvs.Client) error { return c.AddDestination(ctx, id, d) })
}

func (a *app) editDestinationCommand() *cobra.Command {
	var o destinationOptions
	cmd := &cobra.Command{
		Use:     "destination SERVICE ADDRESS[:PORT]",
		Aliases: []string{"dest"},
		Short:   "Change what is given of a destination",
		Long: `Change what is given of a destination of a service; all else stays as it is, its
connections too. (ipvsadm -e sets what is not given to its defaults.)

With --weight 0 it keeps its connections, and gets no new ones.`,
		Example: `  gnl ipvs edit destination tcp:10.0.0.1:80 10.1.0.5:8080 --weight 0
  gnl ipvs edit destination -t 10.0.0.1:80 -r 10.1.0.5:8080 -x 1000 -y 800`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.editDestination(cmd, args, &o)
		},
	}
	o.addTo(a, cmd, true)
	cmd.Flags().Lookup("weight").DefValue = "0" // so that the help names no default
	return cmd
}

func (a *app) editDestination(cmd *cobra.Command, args []string, o *destinationOptions) error {
	id, address, err := o.parse(cmd, args)
	if err != nil {
		return err
	}
	any := false
	for _, name := range []string{"gatewaying", "ipip", "masquerading", "method", "weight", "u-threshold", "l-threshold",
		"tun-type", "tun-port", "tun-nocsum", "tun-csum", "tun-remcsum"} {
		any = any || cmd.Flags().Changed(name)
	}
	if !any {
		return wrong("nothing to change: give --weight, a method, thresholds, or --tun-*: %s", seeHelp(cmd))
	}
	return a.withIPVS(cmd.Context(), func(ctx context.Context, c *ipvs.Client) error {
		old, err := c.Destination(ctx, id, address)
		if err != nil {
			return err
		}
		d := old.Destination
		if _, err := o.set(cmd, &d); err != nil {
			return err
		}
		if err := o.check(id, &d); err != nil {
			return err
		}
		return c.UpdateDestination(ctx, id, address, ipvs.DestinationUpdate{
			Method: changed(old.Method, d.Method), Weight: changed(old.Weight, d.Weight), Tunnel: changed(old.Tunnel, d.Tunnel),
			UpperThreshold: changed(old.UpperThreshold, d.UpperThreshold), LowerThreshold: changed(old.LowerThreshold, d.LowerThreshold),
		})
	})
}

// changed is the new value, unless it is the old one.
func changed[T comparable](old, new T) gnl.Optional[T] {
	if old == new {
		return gnl.Optional[T]{}
	}
	return gnl.Some(new)
}

func (a *app) removeDestinationCommand() *cobra.Command {
	var f destinationFlags
	cmd := &cobra.Command{
		Use:     "destination SERVICE ADDRESS[:PORT]",
		Aliases: []string{"dest"},
		Short:   "Remove a destination from a service",
		Long: `Remove a destination from a service, at once. What connections it has are cut
off, or go on until they end, as the sysctl net.ipv4.vs.expire_nodest_conn says.
(With edit destination --weight 0 first, or apply --drain, they end before.)`,
		Example: `  gnl ipvs remove destination tcp:10.0.0.1:80 10.1.0.5:8080
  gnl ipvs remove destination -t 10.0.0.1:80 -r 10.1.0.5:8080`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, address, err := f.parse(cmd, args)
			if err != nil {
				return err
			}
			return a.withIPVS(cmd.Context(), func(ctx context.Context, c *ipvs.Client) error {
				return c.RemoveDestination(ctx, id, address)
			})
		},
	}
	f.addTo(a, cmd, true)
	return cmd
}
