package main

import (
	"net"
	"slices"

	"github.com/gnlgo/gnl"
	"github.com/spf13/cobra"
)

// complete completes arguments with the words that each family gives, but for
// those that are there already.
func (a *app) complete(words func(gnl.Family) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		client, done, err := a.connect()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		defer done()
		ctx, cancel := a.limited(cmd.Context())
		defer cancel()
		families, err := client.Families(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var all []cobra.Completion
		for _, f := range families {
			for _, w := range words(f) {
				if !slices.Contains(args, w) {
					all = append(all, w)
				}
			}
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFamily completes one argument, the name of a family.
func (a *app) completeFamily() cobra.CompletionFunc {
	names := a.complete(func(f gnl.Family) []string { return []string{f.Name} })
	return func(cmd *cobra.Command, args []string, given string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(cmd, args, given)
	}
}

func completeNamespaces(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return namespaces(), cobra.ShellCompDirectiveDefault
}

// completeInterfaces completes the name of a network interface of this network
// namespace.
func completeInterfaces(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	interfaces, _ := net.Interfaces()
	var names []cobra.Completion
	for _, i := range interfaces {
		names = append(names, i.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
