package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"runtime"
	"slices"
	"strings"

	"github.com/gnlgo/gnl/internal/unix"
	"github.com/gnlgo/gnl/ipvs"
	"github.com/spf13/cobra"
)

const servicesAre = `A service is tcp:ADDRESS:PORT, udp:ADDRESS:PORT, sctp:ADDRESS:PORT (an IPv6
address in brackets), or fwmark:MARK and fwmark:MARK:ipv6 for what a firewall
has marked.`

func (a *app) ipvsCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "ipvs",
		Short: "Show and configure the kernel's load balancer",
		Long: `Show and configure IPVS, the kernel's load balancer: virtual services, and the
destinations behind them that connections are spread over. It needs
CAP_NET_ADMIN, and the kernel's module ip_vs. Every network namespace has a load
balancer of its own (--netns).

Pools, which are services with their destinations, can be kept in files of YAML,
JSON, or what ipvsadm saves. gnl ipvs plan says what a file would change, apply
does it and touches nothing else, and export writes what there is.

` + servicesAre,
		Example: `  gnl ipvs add service tcp:10.0.0.1:80 --scheduler wrr
  gnl ipvs add destination tcp:10.0.0.1:80 10.1.0.5:8080 --masquerading
  gnl ipvs list
  gnl ipvs export > pools.yaml
  gnl ipvs plan pools.yaml
  gnl ipvs apply pools.yaml --drain 30s`,
	},
		a.ipvsListCommand(),
		group(&cobra.Command{
			Use:     "add",
			Short:   "Add a service or a destination",
			Example: "  gnl ipvs add service tcp:10.0.0.1:80\n  gnl ipvs add destination tcp:10.0.0.1:80 10.1.0.5",
		}, a.addServiceCommand(), a.addDestinationCommand()),
		group(&cobra.Command{
			Use:     "edit",
			Short:   "Change a service or a destination",
			Example: "  gnl ipvs edit service tcp:10.0.0.1:80 -s wrr\n  gnl ipvs edit destination tcp:10.0.0.1:80 10.1.0.5 -w 0",
		}, a.editServiceCommand(), a.editDestinationCommand()),
		group(&cobra.Command{
			Use:     "remove",
			Aliases: []string{"delete"},
			Short:   "Remove a service or a destination",
			Example: "  gnl ipvs remove destination tcp:10.0.0.1:80 10.1.0.5\n  gnl ipvs remove service tcp:10.0.0.1:80",
		}, a.removeServiceCommand(), a.removeDestinationCommand()),
		a.planCommand(), a.applyCommand(), a.exportCommand(),
		a.flushCommand(), a.zeroCommand(),
		a.timeoutsCommand(),
		group(&cobra.Command{
			Use:   "daemon",
			Short: "Show, start and stop the daemons that share connections with other machines",
			Long: `Show, start and stop the kernel's sync daemons: a master sends what connections
there are to the machines that stand by, and a backup receives it, so that
connections go on where another machine takes over.`,
			Example: "  gnl ipvs daemon list\n  gnl ipvs daemon start master --mcast-interface eth0\n  gnl ipvs daemon stop master",
		}, a.daemonListCommand(), a.daemonStartCommand(), a.daemonStopCommand()),
		a.ipvsInfoCommand(),
	)
}

// openIPVS opens a client of IPVS as the global flags say. What done returns must
// be called when it is not needed any more.
func (a *app) openIPVS() (c *ipvs.Client, done func(), err error) {
	client, done, err := a.connect()
	if err != nil {
		return nil, nil, err
	}
	return ipvs.New(client), done, nil
}

// withIPVS does something with a client of IPVS, limited by --timeout, and
// explains what goes wrong.
func (a *app) withIPVS(ctx context.Context, do func(context.Context, *ipvs.Client) error) error {
	c, done, err := a.openIPVS()
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := a.limited(ctx)
	defer cancel()
	return a.explain(ctx, c, do(ctx, c))
}

// explain says what an error means to somebody who has typed a command.
func (a *app) explain(ctx context.Context, c *ipvs.Client, err error) error {
	var e *ipvs.Error
	var field *ipvs.FieldError
	switch {
	case !errors.As(err, &e):
		return err
	case errors.Is(err, errors.ErrUnsupported) && runtime.GOOS == "linux":
		return errors.New("the kernel has no IPVS: its module ip_vs is not loaded (modprobe ip_vs), or was not built")
	case errors.As(err, &field):
		return wrong("%s: %s", field.Field, field.Why)
	case errors.Is(err, unix.ESRCH) && e.Service != ipvs.ServiceID{}:
		return a.noService(ctx, c, e.Service)
	case errors.Is(err, unix.ENOENT) && e.Destination.IsValid():
		return a.noDestination(ctx, c, e.Service, e.Destination)
	case errors.Is(err, fs.ErrExist) && e.Destination.IsValid():
		return fmt.Errorf("%s has a destination %s already: gnl ipvs edit destination changes it", e.Service, addressText(e.Service, e.Destination))
	case errors.Is(err, fs.ErrExist) && e.Service != ipvs.ServiceID{}:
		return fmt.Errorf("there is a service %s already: gnl ipvs edit service changes it", e.Service)
	}
	return err
}

// noService says that a service is not there, and which ones are.
func (a *app) noService(ctx context.Context, c *ipvs.Client, id ipvs.ServiceID) error {
	var names []string
	for s, err := range c.Services(ctx) {
		if err != nil {
			return err
		}
		names = append(names, s.ServiceID.String())
	}
	slices.Sort(names)
	where := ""
	if a.netns != "" {
		where = " in that network namespace"
	}
	return fmt.Errorf("no service %s%s: %s", id, where, thoseThereAre(id.String(), names, "there are", "gnl ipvs list"))
}

// noDestination says that a destination is not there, and which ones are.
func (a *app) noDestination(ctx context.Context, c *ipvs.Client, id ipvs.ServiceID, address netip.AddrPort) error {
	pool, err := c.Pool(ctx, id)
	if err != nil {
		return err
	}
	var names []string
	for i := range pool.Destinations {
		names = append(names, addressText(id, pool.Destinations[i].Address))
	}
	given := addressText(id, address)
	return fmt.Errorf("%s has no destination %s: %s", id, given, thoseThereAre(given, names, "it has", "gnl ipvs list "+id.String()))
}

// thoseThereAre names all there are, if they are few, else those most like the
// one given.
func thoseThereAre(given string, names []string, intro, shows string) string {
	const few = 8
	switch {
	case len(names) == 0:
		return intro + " none"
	case len(names) <= few:
		return intro + " " + strings.Join(names, ", ")
	}
	otherwise := fmt.Sprintf("%s %d, which %s shows", intro, len(names), shows)
	if near := didYouMean(given, names, ""); near != "" && strings.Count(near, " or ") < few {
		return near
	}
	return otherwise
}

// addressText is the address of a destination as it is given on the command
// line: without the port, where service and destination have none.
func addressText(service ipvs.ServiceID, a netip.AddrPort) string {
	if a.Port() == 0 && service.Address.Port() == 0 {
		return a.Addr().String()
	}
	return a.String()
}

// parseService reads a service as serviceText writes it, and as ipvsadm's users
// might.
func parseService(s string) (ipvs.ServiceID, error) {
	id, err := ipvs.ParseServiceID(s)
	switch {
	case err == nil && id.Mark == 0 && !id.Address.IsValid():
		return id, errMark
	case err == nil:
		return id, nil
	}
	kind, rest := s, ""
	if i := strings.IndexAny(s, " /:"); i >= 0 {
		kind, rest = s[:i], s[i+1:]
	}
	var protocol ipvs.Protocol
	if kind == "" || rest == "" || protocol.UnmarshalText([]byte(kind)) != nil {
		if strings.EqualFold(kind, "fwmark") && rest != "" {
			return id, wrong("%v", err)
		}
		return id, wrong("%q is no service: give it as tcp:10.0.0.1:80, udp:[2001:db8::1]:53 or fwmark:10", s)
	}
	address, hasPort, err := parseAddress(rest)
	if err != nil {
		return id, err
	}
	if !hasPort {
		return id, wrong("service %q has no port: give %s:%s, or port 0 for all ports of a persistent service",
			s, kind, netip.AddrPortFrom(address.Addr(), 80))
	}
	return ipvs.Virtual(protocol, address), nil
}

var errMark = wrong("firewall marks are 1 to %d", uint32(math.MaxUint32))

// parseAddress reads ADDRESS[:PORT].
func parseAddress(s string) (address netip.AddrPort, hasPort bool, err error) {
	if address, err := netip.ParseAddrPort(s); err == nil {
		return address, true, nil
	}
	if bare, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return netip.AddrPortFrom(bare, 0), false, nil
	}
	if i := strings.LastIndexByte(s, ':'); i > 0 {
		if _, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s[:i], "["), "]")); err == nil {
			return address, false, wrong("%q is no port: ports are 0 to 65535", s[i+1:])
		}
	}
	return address, false, wrong("%q is no address: it takes an IP address, such as 10.0.0.1, 10.0.0.1:80 or [2001:db8::1]:80 (names are not looked up)", s)
}

// completeServices completes any number of services.
func (a *app) completeServices(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var all []cobra.Completion
	err := a.withIPVS(cmd.Context(), func(ctx context.Context, c *ipvs.Client) error {
		for s, err := range c.Services(ctx) {
			if err != nil {
				return err
			}
			if text := s.ServiceID.String(); !slices.Contains(args, text) {
				all = append(all, cobra.CompletionWithDesc(text, s.Scheduler))
			}
		}
		return nil
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	slices.Sort(all)
	return all, cobra.ShellCompDirectiveNoFileComp
}

// completeService completes one service.
func (a *app) completeService(cmd *cobra.Command, args []string, given string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeServices(cmd, args, given)
}

// number is n of something: "1 service", "2 services".
func number[N int | uint32 | uint64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// ipvsadmWords are the commands that ipvsadm has as flags.
var ipvsadmWords = map[string]string{
	"A": "add service", "E": "edit service", "D": "remove service", "C": "flush",
	"a": "add destination", "e": "edit destination", "d": "remove destination",
	"L": "list", "l": "list", "Z": "zero", "S": "export --format ipvsadm", "R": "apply - --format ipvsadm",
}
