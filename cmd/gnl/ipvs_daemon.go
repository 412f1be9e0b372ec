package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strconv"

	"github.com/gnlgo/gnl/internal/unix"
	"github.com/gnlgo/gnl/ipvs"
	"github.com/spf13/cobra"
)

// daemonRecord is a sync daemon, for JSON.
type daemonRecord struct {
	Role      string `json:"role"`
	Interface string `json:"interface"`
	SyncID    uint32 `json:"sync_id"`
	Group     string `json:"group,omitempty"`
	Port      uint16 `json:"port,omitempty"`
	TTL       uint8  `json:"ttl,omitempty"`
	MaxLen    uint16 `json:"max_len,omitempty"`
}

func (a *app) daemonListCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "list",
		Short:             "List the sync daemons that run",
		Example:           "  gnl ipvs daemon list",
		Args:              takes(0, 0, ""),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withIPVS(cmd.Context(), func(ctx context.Context, c *ipvs.Client) error {
				daemons, err := c.Daemons(ctx)
				if err != nil {
					return err
				}
				return a.writeDaemons(daemons)
			})
		},
	}
}

func (a *app) writeDaemons(daemons []ipvs.Daemon) error {
	records := make([]daemonRecord, len(daemons))
	rows := make([][]string, len(daemons))
	for i, d := range daemons {
		r := daemonRecord{Role: d.Role.String(), Interface: d.Interface, SyncID: d.SyncID, Port: d.Port, TTL: d.TTL, MaxLen: d.MaxLen}
		if d.Group.IsValid() {
			r.Group = d.Group.String()
		}
		known := func(n uint16) string { return orDash(strconv.Itoa(int(n)), n != 0) } // what kernels before 4.3 do not tell
		records[i] = r
		rows[i] = []string{r.Role, printable(r.Interface), strconv.Itoa(int(r.SyncID)), orDash(r.Group, r.Group != ""), known(r.Port), known(uint16(r.TTL)), known(r.MaxLen)}
	}
	if a.json {
		return a.writeDocument(records)
	}
	return a.writeTable([]column{{title: "ROLE"}, {title: "INTERFACE"}, {title: "SYNC-ID", right: true}, {title: "GROUP"},
		{title: "PORT", right: true}, {title: "TTL", right: true}, {title: "MAX-LEN", right: true}}, rows)
}

var roles = []cobra.Completion{
	cobra.CompletionWithDesc("master", "sends what connections there are"),
	cobra.CompletionWithDesc("backup", "receives it"),
}

func completeRole(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return roles, cobra.ShellCompDirectiveNoFileComp
}

func parseRole(s string) (role ipvs.Role, err error) {
	if err := role.UnmarshalText([]byte(s)); err != nil {
		return role, wrong("no role %q: the roles are master and backup", s)
	}
	return role, nil
}

func (a *app) daemonStartCommand() *cobra.Command {
	var d ipvs.Daemon
	var syncID uint8
	var multicast string
	cmd := &cobra.Command{
		Use:   "start master|backup",
		Short: "Start a sync daemon",
		Long: `Start a sync daemon: a master sends what connections there are, a backup
receives it. One of each may run. What is not given is the kernel's choice: the
multicast group 224.0.0.81, port 8848, a TTL of 1, and the length that fits a
packet.`,
		Example: `  gnl ipvs daemon start master --mcast-interface eth0
  gnl ipvs daemon start backup --mcast-interface eth0 --syncid 7`,
		Args:              takes(1, 1, "a role (master or backup)"),
		ValidArgsFunction: completeRole,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if d.Role, err = parseRole(args[0]); err != nil {
				return err
			}
			d.SyncID = uint32(syncID)
			return a.startDaemon(cmd, d, multicast)
		},
	}
	cmd.Flags().StringVar(&d.Interface, "mcast-interface", "", "the `INTERFACE` to send or listen on")
	cmd.Flags().Uint8Var(&syncID, "syncid", 0, "which daemons belong together: those of one number `N`")
	cmd.Flags().StringVar(&multicast, "mcast-group", "", "the multicast group's `ADDRESS`")
	cmd.Flags().Uint16Var(&d.Port, "mcast-port", 0, "the UDP `PORT`")
	cmd.Flags().Uint8Var(&d.TTL, "mcast-ttl", 0, "how far a master's packets go: their TTL `N`")
	cmd.Flags().Uint16Var(&d.MaxLen, "sync-maxlen", 0, "the largest payload of a packet in `BYTES`")
	cmd.RegisterFlagCompletionFunc("mcast-interface", completeInterfaces)
	for _, name := range []string{"syncid", "mcast-group", "mcast-port", "mcast-ttl", "sync-maxlen"} {
		cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	return cmd
}

func (a *app) startDaemon(cmd *cobra.Command, d ipvs.Daemon, multicast string) (err error) {
	if d.Interface == "" {
		return wrong("%s needs an interface: --mcast-interface", nameOf(cmd))
	}
	if multicast != "" {
		if d.Group, err = netip.ParseAddr(multicast); err != nil || !d.Group.IsMulticast() {
			return wrong("--mcast-group %q is no multicast address, such as 224.0.0.81 or ff02::81", multicast)
		}
	}
	return a.withIPVS(cmd.Context(), func(ctx context.Context, c *ipvs.Client) error {
		err := c.StartDaemon(ctx, d)
		switch {
		case errors.Is(err, fs.ErrExist):
			return fmt.Errorf("a %s runs already: gnl ipvs daemon stop %s ends it", d.Role, d.Role)
		case errors.Is(err, unix.ENODEV):
			return fmt.Errorf("no interface %s that can multicast", d.Interface)
		}
		return err
	})
}

func (a *app) daemonStopCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "stop master|backup",
		Short:             "Stop a sync daemon",
		Example:           "  gnl ipvs daemon stop master",
		Args:              takes(1, 1, "a role (master or backup)"),
		ValidArgsFunction: completeRole,
		RunE: func(cmd *cobra.Command, args []string) error {
			role, err := parseRole(args[0])
			if err != nil {
				return err
			}
			return a.withIPVS(cmd.Context(), func(ctx context.Context, c *ipvs.Client) error {
				err := c.StopDaemon(ctx, role)
				if errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("no %s runs", role)
				}
				return err
			})
		},
	}
}
