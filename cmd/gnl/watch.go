package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/gnlgo/gnl"
	"github.com/gnlgo/gnl/netlink"
	"github.com/spf13/cobra"
)

func (a *app) watchCommand() *cobra.Command {
	var until limits
	cmd := &cobra.Command{
		Use:   "watch FAMILY[/GROUP]...",
		Short: "Show the events of multicast groups as they come",
		Long: `Join multicast groups, all of a family or those named, and show what the kernel
tells their members, until interrupted. What the attributes mean is not on the
wire: numbers, texts and nests are guessed from the bytes.

In JSON an attribute has its id, and nested or bytes (in hex); both where it
only looks like a nest. What may be a number or a text has that as well.

Events that come faster than they are read are lost at some point. That is said
on stderr, and the rest goes on.`,
		Example: `  gnl watch netdev
  gnl watch ethtool/monitor nlctrl/notify
  gnl watch netdev/mgmt --json --count 1 --for 30s`,
		Args:              takes(1, -1, "a family, or FAMILY/GROUP"),
		ValidArgsFunction: a.complete(groupWords),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.watch(cmd.Context(), args, until)
		},
	}
	until.addTo(cmd, "events")
	return cmd
}

// limits say when a stream ends by itself.
type limits struct {
	count uint          // so many; 0: never
	after time.Duration // that long; 0: never
}

func (l *limits) addTo(cmd *cobra.Command, what string) {
	cmd.Flags().UintVarP(&l.count, "count", "n", 0, "end after `N` "+what)
	cmd.Flags().Var((*duration)(&l.after), "for", "end after that long")
	cmd.RegisterFlagCompletionFunc("count", cobra.NoFileCompletions)
	cmd.RegisterFlagCompletionFunc("for", cobra.NoFileCompletions)
}

func (l *limits) check() error {
	if l.after < 0 {
		return wrong("--for %v is negative", l.after)
	}
	return nil
}

// stream gives a context that ends with ctx and after the time of the limits.
func (l *limits) stream(ctx context.Context) (context.Context, context.CancelFunc) {
	if l.after == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, l.after)
}

// reached reports whether so many are enough.
func (l *limits) reached(n uint) bool { return l.count > 0 && n >= l.count }

func (a *app) watch(ctx context.Context, args []string, until limits) error {
	if err := until.check(); err != nil {
		return err
	}
	client, done, err := a.connect()
	if err != nil {
		return err
	}
	defer done()
	s, err := a.subscribe(ctx, client, args)
	if err != nil {
		return err
	}
	defer s.Close()

	return follow(ctx, a, s.Messages, until, a.writeEvent)
}

// follow hands every entry of a stream to write, until the limits are reached
// or ctx is done. What was lost is said on stderr.
func follow[T any](ctx context.Context, a *app, stream func(context.Context) iter.Seq2[T, error], until limits, write func(T) error) error {
	ctx, cancel := until.stream(ctx)
	defer cancel()
	n := uint(0)
	for entry, err := range stream(ctx) {
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil
		case goesOn(err):
			a.say("%v", err)
			continue
		default:
			return err
		}
		if err := write(entry); err != nil {
			return err
		}
		if n++; until.reached(n) {
			return nil
		}
	}
	return nil
}

// goesOn reports whether a stream goes on after err.
func goesOn(err error) bool {
	return errors.Is(err, gnl.ErrOverrun) || errors.Is(err, netlink.ErrTruncated) || errors.Is(err, netlink.ErrMalformed)
}

func (a *app) writeEvent(m *gnl.Message) error {
	e := newEvent(m, time.Now())
	if a.json {
		e.Time = e.Time.UTC()
		return a.writeLine(e)
	}
	return a.writeText(e.String())
}

// subscribe joins the groups that the arguments name.
func (a *app) subscribe(ctx context.Context, client *gnl.Client, args []string) (*gnl.Subscription, error) {
	ctx, cancel := a.limited(ctx)
	defer cancel()
	var groups []gnl.GroupName
	for _, arg := range args {
		more, err := a.groupsOf(ctx, client, arg)
		if err != nil {
			return nil, err
		}
		for _, g := range more {
			if !slices.Contains(groups, g) {
				groups = append(groups, g)
			}
		}
	}
	s, err := client.Subscribe(ctx, groups...)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, g := range groups {
		names = append(names, g.String())
	}
	a.say("watching %s", strings.Join(names, ", "))
	return s, nil
}

// groupsOf returns the group that "FAMILY/GROUP" names, or all of "FAMILY".
func (a *app) groupsOf(ctx context.Context, client *gnl.Client, arg string) ([]gnl.GroupName, error) {
	family, group, one := strings.Cut(arg, "/")
	if family == "" || one && group == "" {
		return nil, wrong("%q is neither FAMILY nor FAMILY/GROUP", arg)
	}
	f, err := a.findFamily(ctx, client, family)
	if err != nil {
		return nil, err
	}
	a.traceHeader(f)
	has := groupNames(f)
	switch {
	case len(has) == 0:
		return nil, fmt.Errorf("family %s has no multicast groups, so there is nothing to watch", f.Name)
	case one && !slices.Contains(has, group):
		return nil, fmt.Errorf("family %s has no group %q: it has %s", f.Name, group, strings.Join(has, ", "))
	case one:
		has = []string{group}
	}
	var groups []gnl.GroupName
	for _, g := range has {
		groups = append(groups, gnl.GroupName{Family: f.Name, Group: g})
	}
	return groups, nil
}

// groupWords are the arguments of watch that a family gives.
func groupWords(f gnl.Family) []string {
	if len(f.Groups) == 0 {
		return nil
	}
	words := []string{f.Name}
	for _, g := range f.Groups {
		words = append(words, f.Name+"/"+g.Name)
	}
	return words
}
