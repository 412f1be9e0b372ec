package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/gnlgo/gnl/ipvs"
	"github.com/gnlgo/gnl/ipvs/poolfile"
	"github.com/spf13/cobra"
)

func (a *app) exportCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "export [SERVICE]...",
		Short: "Write pools as a file to apply",
		Long: `Write all services with their destinations, or the services given, as a file
that gnl ipvs apply reads: applied at once, it changes nothing.

With --format ipvsadm it is what ipvsadm -R reads. What that has no words for,
such as the method local, is an error then, and nothing is written.`,
		Example: `  gnl ipvs export > pools.yaml
  gnl ipvs export tcp:10.0.0.1:80 --format json
  gnl ipvs export --format ipvsadm > ipvsadm.rules`,
		Args:              takes(0, -1, "services"),
		ValidArgsFunction: a.completeServices,
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.json && cmd.Flags().Changed("format") && format != "json" {
				return wrong("--json and --format %s exclude one another", format)
			}
			if a.json {
				format = "json"
			}
			return a.export(cmd.Context(), args, format)
		},
	}
	cmd.Flags().StringVar(&format, "format", "yaml", "the `FORMAT`: yaml, json, ipvsadm")
	cmd.RegisterFlagCompletionFunc("format", completeFormats)
	return cmd
}

// nameServices names the services in errors, which have but their positions in a
// file that nobody has.
func nameServices(err error, pools []ipvs.Pool) error {
	var all *poolfile.Errors
	if !errors.As(err, &all) {
		return err
	}
	for _, e := range all.Errors {
		var i int
		if n, _ := fmt.Sscanf(e.Path, "pools[%d]", &i); n == 1 && i < len(pools) {
			e.File = pools[i].Service.ServiceID.String()
		}
	}
	return all
}

func (a *app) export(ctx context.Context, args []string, format string) error {
	f, err := poolfile.ParseFormat(format)
	if err != nil || f == poolfile.Auto {
		return wrong("no format %q: the formats are yaml, json and ipvsadm", format)
	}
	ids, err := parseServices(args)
	if err != nil {
		return err
	}
	return a.withIPVS(ctx, func(ctx context.Context, c *ipvs.Client) error {
		statuses, missing, err := a.pools(ctx, c, ids)
		if err != nil || missing != nil {
			return cmp.Or(err, missing)
		}
		pools := make([]ipvs.Pool, len(statuses))
		for i := range statuses {
			pools[i] = statuses[i].Pool()
		}
		return a.reportFile(nameServices(poolfile.Write(a.out, f, pools), pools))
	})
}
