package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/gnlgo/gnl/ipvs"
	"github.com/spf13/cobra"
)

func (a *app) flushCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "flush",
		Short: "Remove all services and destinations",
		Long: `Remove all services and destinations. On a terminal it asks first; where nobody
can be asked, it does it only with --yes.`,
		Example:           "  gnl ipvs flush\n  gnl ipvs flush --yes",
		Args:              takes(0, 0, ""),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes && !a.asks {
				return wrong("flush removes all services, and there is no terminal to ask whether that is meant: --yes says so")
			}
			if err := a.confirm(cmd.Context(), yes, "Remove"); err != nil {
				return err
			}
			return a.withIPVS(cmd.Context(), func(ctx context.Context, c *ipvs.Client) error { return c.Flush(ctx) })
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func (a *app) zeroCommand() *cobra.Command {
	var f serviceFlags
	var yes bool
	cmd := &cobra.Command{
		Use:   "zero [SERVICE]",
		Short: "Set the counters of a service, or of all, to zero",
		Long: `Set the counters of a service and its destinations to zero, or of all services.
For all it asks first on a terminal, unless --yes is given.`,
		Example:           "  gnl ipvs zero tcp:10.0.0.1:80\n  gnl ipvs zero --yes",
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeService,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 || f.given(cmd) {
				id, rest, err := f.service(cmd, args)
				if err == nil {
					err = nothingMore(cmd, "one service", rest)
				}
				if err != nil {
					return err
				}
				return a.withIPVS(cmd.Context(), func(ctx context.Context, c *ipvs.Client) error { return c.Zero(ctx, id) })
			}
			if err := a.confirm(cmd.Context(), yes || !a.asks, "Zero the counters of"); err != nil {
				return err
			}
			return a.withIPVS(cmd.Context(), func(ctx context.Context, c *ipvs.Client) error { return c.ZeroAll(ctx) })
		},
	}
	f.addTo(a, cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// confirm asks whether something is to be done to all services, unless it is
// clear already.
func (a *app) confirm(ctx context.Context, clear bool, verb string) error {
	if clear {
		return nil
	}
	services, destinations := 0, 0
	err := a.withIPVS(ctx, func(ctx context.Context, c *ipvs.Client) error {
		for p, err := range c.Pools(ctx) {
			if err != nil {
				return err
			}
			services++
			destinations += len(p.Destinations)
		}
		return nil
	})
	if err != nil || services == 0 {
		return err
	}
	where := ""
	if a.netns != "" {
		where = " in network namespace " + a.netns
	}
	fmt.Fprintf(a.errOut, "%s all %s and %s%s? [y/N] ", verb, number(services, "service"), number(destinations, "destination"), printable(where))
	answer, err := await(ctx, func() (string, error) { return bufio.NewReader(a.in).ReadString('\n') })
	if err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintln(a.errOut)
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	if !strings.HasSuffix(answer, "\n") {
		fmt.Fprintln(a.errOut)
	}
	return errors.New("nothing was changed")
}
