package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gnlgo/gnl/ipvs"
	"github.com/spf13/cobra"
)

// listFlags are the flags of gnl ipvs list.
type listFlags struct {
	service             serviceFlags
	stats, rates, exact bool
	watch               bool
	interval            time.Duration
	until               limits
}

func (a *app) ipvsListCommand() *cobra.Command {
	var flags listFlags
	cmd := &cobra.Command{
		Use:   "list [SERVICE]...",
		Short: "List services and their destinations, or watch them",
		Long: `List all services, or those given, and below each its destinations in the order
in which they were added.

  ACTIVE     connections that are established
  INACTIVE   connections in any other state: beginning, closing, closed
  CONN/S     new connections a second; IN/S and OUT/S are bytes a second, from
             and to the clients, averaged over some seconds by the kernel

What goes back to the clients is seen with the method masquerade alone. In the
line of a service, ACTIVE and INACTIVE are the sums over its destinations.

--stats shows the totals since a service or destination was added or zeroed, and
--rates all rates, instead. --watch shows it again and again, until interrupted;
with --json every time as one object on a line, which has its time.

In JSON the keys are those of the files of pools (gnl ipvs export), times are in
seconds, and what the kernel counts stands beside. Rates are per second.`,
		Example: `  gnl ipvs list
  gnl ipvs list tcp:10.0.0.1:80 --stats --exact
  gnl ipvs list --watch --interval 2s
  gnl ipvs list --json | jq -r '.pools[].destinations[] | .address'`,
		Args:              takes(0, -1, "services"),
		ValidArgsFunction: a.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ipvsList(cmd, args, flags)
		},
	}
	flags.service.addTo(a, cmd)
	cmd.Flags().BoolVar(&flags.stats, "stats", false, "totals: connections, packets, bytes")
	cmd.Flags().BoolVar(&flags.rates, "rates", false, "rates: connections, packets and bytes a second")
	cmd.Flags().BoolVar(&flags.exact, "exact", false, "numbers with all their digits")
	cmd.Flags().BoolVar(&flags.watch, "watch", false, "show it again and again")
	flags.interval = time.Second
	cmd.Flags().Var((*duration)(&flags.interval), "interval", "with --watch: how often")
	cmd.Flags().UintVar(&flags.until.count, "count", 0, "with --watch: end after `N` listings")
	cmd.Flags().Var((*duration)(&flags.until.after), "for", "with --watch: end after that long")
	// Of ipvsadm's users -n has become a habit. Here no address is ever a name.
	cmd.Flags().BoolP("numeric", "n", false, "")
	cmd.Flags().MarkHidden("numeric")
	cmd.RegisterFlagCompletionFunc("count", cobra.NoFileCompletions)
	cmd.RegisterFlagCompletionFunc("for", cobra.NoFileCompletions)
	cmd.RegisterFlagCompletionFunc("interval", cobra.NoFileCompletions)
	return cmd
}

func (a *app) ipvsList(cmd *cobra.Command, args []string, flags listFlags) error {
	for _, name := range []string{"interval", "count", "for"} {
		if cmd.Flags().Changed(name) && !flags.watch {
			return wrong("--%s is for --watch", name)
		}
	}
	if flags.watch && flags.interval <= 0 {
		return wrong("--interval %v is not above 0", flags.interval)
	}
	if err := flags.until.check(); err != nil {
		return err
	}
	ids, err := parseServices(args)
	if err != nil {
		return err
	}
	if flags.service.given(cmd) {
		id, _, err := flags.service.service(cmd, nil)
		if err != nil {
			return err
		}
		if !slices.Contains(ids, id) {
			ids = append([]ipvs.ServiceID{id}, ids...)
		}
	}
	if flags.watch {
		return a.watchPools(cmd.Context(), ids, flags)
	}
	return a.withIPVS(cmd.Context(), func(ctx context.Context, c *ipvs.Client) error {
		pools, missing, err := a.pools(ctx, c, ids)
		if err != nil {
			return err
		}
		if a.json {
			err = a.writeDocument(newPoolsRecord(pools))
		} else if len(pools) > 0 || len(ids) == 0 {
			err = a.writePools(pools, flags)
		}
		return cmp.Or(err, missing)
	})
}

func parseServices(args []string) ([]ipvs.ServiceID, error) {
	var ids []ipvs.ServiceID
	for _, arg := range args {
		id, err := parseService(arg)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// pools lists the services given, or all, in the order of their addresses. Those
// of the ones given that are not there are reported; missing is then errReported.
func (a *app) pools(ctx context.Context, c *ipvs.Client, ids []ipvs.ServiceID) (pools []ipvs.PoolStatus, missing, err error) {
	if len(ids) == 0 {
		for p, err := range c.Pools(ctx) {
			if err != nil {
				return nil, nil, err
			}
			pools = append(pools, p)
		}
		slices.SortFunc(pools, func(x, y ipvs.PoolStatus) int { return compareServices(x.Service.ServiceID, y.Service.ServiceID) })
		return pools, nil, nil
	}
	for _, id := range ids {
		p, err := c.Pool(ctx, id)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			a.say("%v", a.explain(ctx, c, err))
			missing = errReported
		case err != nil:
			return nil, nil, err
		default:
			pools = append(pools, p)
		}
	}
	return pools, missing, nil
}

// compareServices puts the services of one address next to one another, and
// those with a mark last.
func compareServices(x, y ipvs.ServiceID) int {
	return cmp.Or(cmp.Compare(x.Mark, y.Mark), cmp.Compare(x.Family, y.Family),
		x.Address.Addr().Compare(y.Address.Addr()), cmp.Compare(x.Address.Port(), y.Address.Port()), cmp.Compare(x.Protocol, y.Protocol))
}

func (a *app) writePools(pools []ipvs.PoolStatus, flags listFlags) error {
	columns, rows := poolTable(pools, flags)
	return a.writeTable(columns, rows)
}

// poolTable makes a row a service, and below it one a destination.
func poolTable(pools []ipvs.PoolStatus, flags listFlags) ([]column, [][]string) {
	columns := []column{{title: "SERVICE"}, {title: "SCHEDULER"}}
	numbers := []string{"WEIGHT", "ACTIVE", "INACTIVE", "CONN/S", "IN/S", "OUT/S"}
	if flags.stats || flags.rates {
		columns, numbers = columns[:1], nil
	}
	if flags.stats {
		numbers = append(numbers, "CONNS", "PKTS-IN", "PKTS-OUT", "BYTES-IN", "BYTES-OUT")
	}
	if flags.rates {
		numbers = append(numbers, "CONN/S", "PKTS-IN/S", "PKTS-OUT/S", "IN/S", "OUT/S")
	}
	for _, title := range numbers {
		columns = append(columns, column{title: title, right: true})
	}
	if !flags.stats && !flags.rates {
		columns = append(columns, column{title: "OPTIONS", fit: shortened})
	}

	f := format{exact: flags.exact}
	cells := func(stats, rates ipvs.Counters) (all []string) {
		if flags.stats {
			all = append(all, f.counters(stats)...)
		}
		if flags.rates {
			all = append(all, f.counters(rates)...)
		}
		return all
	}
	var rows [][]string
	for i := range pools {
		s := &pools[i].Service
		name := s.ServiceID.String()
		if flags.stats || flags.rates {
			rows = append(rows, append([]string{name}, cells(s.Stats, s.Rates)...))
		} else {
			var active, inactive uint64
			for j := range pools[i].Destinations {
				active += uint64(pools[i].Destinations[j].Active)
				inactive += uint64(pools[i].Destinations[j].Inactive)
			}
			rows = append(rows, []string{name, printable(s.Scheduler), "", f.count(active), f.count(inactive),
				f.count(s.Rates.Connections), f.bytes(s.Rates.BytesIn), f.bytes(s.Rates.BytesOut), printable(serviceOptionsText(&s.Service))})
		}
		for j := range pools[i].Destinations {
			d := &pools[i].Destinations[j]
			name := "  " + addressText(pools[i].Service.ServiceID, d.Address)
			if flags.stats || flags.rates {
				rows = append(rows, append([]string{name}, cells(d.Stats, d.Rates)...))
				continue
			}
			options := destinationOptionsText(&d.Destination)
			if d.Persistent > 0 {
				options = append(options, number(d.Persistent, "client")+" kept")
			}
			rows = append(rows, []string{name, d.Method.String(), strconv.FormatUint(uint64(d.Weight), 10), f.count(uint64(d.Active)), f.count(uint64(d.Inactive)),
				f.count(d.Rates.Connections), f.bytes(d.Rates.BytesIn), f.bytes(d.Rates.BytesOut), strings.Join(options, ", ")})
		}
	}
	return columns, rows
}

// format is how numbers are written.
type format struct{ exact bool }

func (f format) count(n uint64) string {
	if f.exact {
		return strconv.FormatUint(n, 10)
	}
	return humanCount(n)
}

func (f format) bytes(n uint64) string {
	if f.exact {
		return strconv.FormatUint(n, 10)
	}
	return humanBytes(n)
}

func (f format) counters(c ipvs.Counters) []string {
	return []string{f.count(c.Connections), f.count(c.PacketsIn), f.count(c.PacketsOut), f.bytes(c.BytesIn), f.bytes(c.BytesOut)}
}

// serviceOptionsText is what a service has besides its scheduler.
func serviceOptionsText(s *ipvs.Service) string {
	var all []string
	for _, name := range (s.Flags &^ ipvs.Hashed).Names(s.Scheduler) {
		if name == "persistent" {
			name += " " + shortDuration(s.Timeout)
		}
		all = append(all, name)
	}
	switch {
	case !s.Netmask.IsValid():
	case s.Netmask.Is4():
		all = append(all, "mask "+s.Netmask.String())
	default:
		all = append(all, fmt.Sprintf("mask %d", ipvs.PrefixLength(s.Netmask)))
	}
	if s.Engine != "" {
		all = append(all, "pe "+s.Engine)
	}
	return strings.Join(all, ", ")
}

// destinationOptionsText is what a destination has besides method and weight.
func destinationOptionsText(d *ipvs.Destination) (all []string) {
	if d.Tunnel != (ipvs.Encapsulation{}) {
		all = append(all, d.Tunnel.String())
	}
	if d.UpperThreshold != 0 {
		all = append(all, fmt.Sprintf("upper %d", d.UpperThreshold))
	}
	if d.LowerThreshold != 0 {
		all = append(all, fmt.Sprintf("lower %d", d.LowerThreshold))
	}
	return all
}
