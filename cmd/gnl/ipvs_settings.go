package main

import (
	"context"
	"fmt"
	"time"

	"github.com/gnlgo/gnl/ipvs"
	"github.com/spf13/cobra"
)

// timeoutsRecord is the timeouts in seconds, for JSON.
type timeoutsRecord struct {
	TCP    int64 `json:"tcp"`
	TCPFin int64 `json:"tcp_fin"`
	UDP    int64 `json:"udp"`
}

func (a *app) timeoutsCommand() *cobra.Command {
	var tcp, tcpFin, udp timeout
	cmd := &cobra.Command{
		Use:   "timeouts",
		Short: "Show or set how long idle connections are kept",
		Long: `Show how long connections are kept on which nothing comes: established ones of
TCP, those of which one side has sent its FIN, and those of UDP. With flags, set
those that are given first. In JSON they are in seconds.`,
		Example:           "  gnl ipvs timeouts\n  gnl ipvs timeouts --tcp 15m --udp 300",
		Args:              takes(0, 0, ""),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			set := false
			for name, t := range map[string]timeout{"tcp": tcp, "tcp-fin": tcpFin, "udp": udp} {
				if cmd.Flags().Changed(name) {
					set = true
					if t.Duration == 0 {
						return wrong("--%s is 0: the least is 1 second", name)
					}
				}
			}
			return a.timeouts(cmd.Context(), set, ipvs.Config{TCP: tcp.Duration, TCPFin: tcpFin.Duration, UDP: udp.Duration})
		},
	}
	cmd.Flags().Var(&tcp, "tcp", "of established connections, in seconds or as 15m")
	cmd.Flags().Var(&tcpFin, "tcp-fin", "of TCP connections after a FIN")
	cmd.Flags().Var(&udp, "udp", "of UDP")
	for _, name := range []string{"tcp", "tcp-fin", "udp"} {
		cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	return cmd
}

func (a *app) timeouts(ctx context.Context, set bool, config ipvs.Config) error {
	return a.withIPVS(ctx, func(ctx context.Context, c *ipvs.Client) error {
		if set {
			if err := c.SetConfig(ctx, config); err != nil {
				return err
			}
		}
		now, err := c.Config(ctx)
		if err != nil {
			return err
		}
		if a.json {
			return a.writeDocument(timeoutsRecord{int64(now.TCP / time.Second), int64(now.TCPFin / time.Second), int64(now.UDP / time.Second)})
		}
		_, err = fmt.Fprintf(a.out, "tcp      %s\ntcp-fin  %s\nudp      %s\n", shortDuration(now.TCP), shortDuration(now.TCPFin), shortDuration(now.UDP))
		return err
	})
}

// ipvsInfoRecord is what the kernel says of its IPVS, for JSON.
type ipvsInfoRecord struct {
	Version             string `json:"version"`
	ConnectionTableSize uint32 `json:"connection_table_size"`
}

func (a *app) ipvsInfoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "info",
		Short: "Show the version of the kernel's IPVS, and the size of its table",
		Long: `Show the version of the kernel's IPVS, and how many places its hash table of
connections has. There can be more connections than places; the module's
parameter conn_tab_bits sets it.`,
		Example:           "  gnl ipvs info",
		Args:              takes(0, 0, ""),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withIPVS(cmd.Context(), func(ctx context.Context, c *ipvs.Client) error {
				info, err := c.Info(ctx)
				if err != nil {
					return err
				}
				if a.json {
					return a.writeDocument(ipvsInfoRecord{info.Version.String(), info.ConnectionTableSize})
				}
				_, err = fmt.Fprintf(a.out, "version                %s\nconnection table size  %d\n", info.Version, info.ConnectionTableSize)
				return err
			})
		},
	}
}
