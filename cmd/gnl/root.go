package main

import (
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// rootCommand builds the tree of commands.
func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "gnl",
		Short: "Discover, watch and query the kernel's generic netlink families",
		Long: `Gnl talks generic netlink to the Linux kernel: it lists the families and what
their requests may hold, watches their events, shows what the kernel's
accounting knows of tasks, of exits and of cgroups, and configures its load
balancer, IPVS.

Tables are for people; --json is for programs: one document, or for streams
(watch, exits) one object a line. The exit code is 0 if all went well, 1 if not,
and 2 for a command line that is wrong.`,
		Example: `  gnl families
  gnl policy ethtool --command 1
  gnl watch netdev/mgmt --json
  gnl tasks --sort cpu --top 10
  gnl ipvs list`,
		Args:          noSuchCommand,
		RunE:          showHelp,
		Version:       moduleVersion(),
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			a.started = true
			return a.checkGlobalFlags(cmd)
		},
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetOut(a.out)
	root.SetErr(a.errOut)
	root.SetFlagErrorFunc(flagError)

	flags := root.PersistentFlags()
	flags.StringVar(&a.netns, "netns", "", "work in another network namespace: a `name` of \"ip netns\", a path, or the pid of a process in it")
	a.timeout = 10 * time.Second
	flags.Var((*duration)(&a.timeout), "timeout", "give up on requests after this long (0: never); streams are not limited")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "show the messages sent and received, decoded, on stderr")
	flags.BoolVar(&a.json, "json", false, "write JSON")
	root.RegisterFlagCompletionFunc("netns", completeNamespaces)
	root.RegisterFlagCompletionFunc("timeout", cobra.NoFileCompletions)

	help := a.helpCommand()
	root.SetHelpCommand(help)
	root.AddCommand(a.familiesCommand(), a.policyCommand(), a.watchCommand(),
		a.tasksCommand(), a.exitsCommand(), a.cgroupCommand(), a.ipvsCommand(),
		a.versionCommand(), a.completionCommand(), help)
	return root
}

func (a *app) checkGlobalFlags(cmd *cobra.Command) error {
	if a.netns == "" && cmd.Flags().Changed("netns") {
		return wrong("--netns is empty: it takes a name of \"ip netns\", a path, or a pid")
	}
	if a.timeout < 0 {
		return wrong("--timeout %v is negative", a.timeout)
	}
	return nil
}

func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// group makes cmd a command that only holds others.
func group(cmd *cobra.Command, commands ...*cobra.Command) *cobra.Command {
	cmd.RunE, cmd.ValidArgsFunction = showHelp, cobra.NoFileCompletions
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 && args[0] == "help" { // where one looks for it
			return nil
		}
		return noSuchCommand(cmd, args)
	}
	cmd.AddCommand(commands...)
	return cmd
}

// noSuchCommand is the check of the arguments of a command that holds others:
// it takes none, so that any is a command that does not exist.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	in := ""
	if cmd.HasParent() {
		in = " in " + cmd.CommandPath()
	}
	return wrong("no command %q%s: %s", args[0], in, didYouMean(args[0], names, "the commands are "+strings.Join(names, ", ")))
}

func (a *app) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]...",
		Short:   "Explain a command",
		Example: "  gnl help watch\n  gnl help ipvs add service",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			of := cmd.Root()
			if len(args) > 0 {
				var rest []string
				if of, rest, _ = cmd.Root().Find(args); of.HasSubCommands() && len(rest) > 0 {
					return noSuchCommand(of, rest)
				}
			}
			of.InitDefaultHelpFlag()
			of.InitDefaultVersionFlag()
			return of.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var names []cobra.Completion
			of, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			for _, c := range of.Commands() {
				if c.IsAvailableCommand() {
					names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

func (a *app) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Write a script that completes gnl's command line in your shell",
		Long: `Write a script that makes the shell complete gnl's commands and flags, and the
names of families, groups and network namespaces that there are.`,
		Example: `  source <(gnl completion bash)                               # this shell
  gnl completion bash > /etc/bash_completion.d/gnl            # all later ones
  gnl completion zsh > "${fpath[1]}/_gnl"
  gnl completion fish > ~/.config/fish/completions/gnl.fish`,
		ValidArgs: []cobra.Completion{"bash", "zsh", "fish"},
		Args:      takes(1, 1, "a shell (bash, zsh or fish)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return cmd.Root().GenBashCompletionV2(a.out, true)
			case "zsh":
				return cmd.Root().GenZshCompletion(a.out)
			case "fish":
				return cmd.Root().GenFishCompletion(a.out, true)
			}
			return wrong("no completion for %q: the shells are bash, zsh and fish", args[0])
		},
	}
}

// takes is the check of the arguments of a command that takes at least and at
// most so many of what; most below 0 is any number.
func takes(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		name := nameOf(cmd)
		switch {
		case len(args) < least:
			return wrong("%s needs %s: %s", name, what, seeHelp(cmd))
		case most == 0 && len(args) > 0:
			return wrong("%s takes no arguments: %q is too many", name, args[0])
		case most > 0 && len(args) > most:
			return wrong("%s takes %s and nothing more: %q is too many", name, what, args[most])
		}
		for _, arg := range args {
			if arg == "" {
				return wrong("%s takes %s, and was given an empty one", name, what)
			}
		}
		return nil
	}
}

// nameOf is what a command is called behind gnl: "tasks", "ipvs add service".
func nameOf(cmd *cobra.Command) string {
	_, name, _ := strings.Cut(cmd.CommandPath(), " ")
	return name
}

// flagError says what is wrong with a flag.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var value *pflag.InvalidValueError
	var missing *pflag.ValueRequiredError
	switch {
	case cmd.HasSubCommands() && cmd.Flags().NArg() > 0: // the flag of a command that does not exist
		return noSuchCommand(cmd, cmd.Flags().Args())
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
		given := "--" + unknown.GetSpecifiedName()
		return wrong("no flag %s: %s", given, didYouMean(given, names, seeHelp(cmd)))
	case errors.As(err, &unknown) && nameOf(cmd) == "ipvs" && ipvsadmWords[unknown.GetSpecifiedName()[:1]] != "":
		name := unknown.GetSpecifiedName()[:1]
		return wrong("no flag -%s: what ipvsadm does with it, gnl does with gnl ipvs %s", name, ipvsadmWords[name])
	case errors.As(err, &unknown):
		return wrong("no flag -%.1s: %s", unknown.GetSpecifiedName(), seeHelp(cmd))
	case errors.As(err, &value):
		return wrong("--%s %q is not %s", value.GetFlag().Name, value.GetValue(), kindOf(value.GetFlag()))
	case errors.As(err, &missing):
		return wrong("--%s needs a value: %s", missing.GetFlag().Name, kindOf(missing.GetFlag()))
	}
	return wrong("%v", err)
}

// seeHelp says where a command is explained.
func seeHelp(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return "see gnl help"
	}
	return "see gnl help " + nameOf(cmd)
}

// kindOf says in words what a flag takes.
func kindOf(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "duration":
		return "a number of seconds, or a duration such as 500ms or 2m"
	case "uint", "uint32":
		return "a number from 0 up"
	case "uint16":
		return "a number from 0 to 65535"
	case "uint8":
		return "a number from 0 to 255"
	case timeoutType:
		return "a number of seconds, or a duration such as 90s or 5m"
	case "bool":
		return "true or false"
	}
	_, usage := pflag.UnquoteUsage(f)
	return usage
}
