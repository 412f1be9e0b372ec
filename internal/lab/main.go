//go:build linux && amd64

// Lab runs a program inside a Linux kernel of Debian's, as go test -exec does
// with a test binary. README.md says how.
//
// It is several programs in one: on the host lab, and the keeper of a machine's
// processes; in the guest /init and /sbin/modprobe.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// Exit codes apart from the program's own.
const (
	exitTimeout  = 124
	exitFailed   = 125 // the lab could not run the program, or the guest died
	exitNotFound = 127
	exitSignal   = 128 // and the signal's number
	exitUsage    = 2
)

func main() {
	switch {
	case os.Getpid() == 1:
		guestMain()
	case os.Args[0] == keeperName:
		os.Exit(keeper())
	case filepath.Base(os.Args[0]) == "modprobe":
		os.Exit(modprobe(os.Args[1:]))
	case filepath.Base(os.Args[0]) == "rmmod":
		os.Exit(modprobe(append([]string{"-r"}, os.Args[1:]...)))
	}
	code := 0
	if err := command(&code).Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		code = exitUsage
		if ended := (*exitError)(nil); errors.As(err, &ended) {
			code = ended.code
		}
	}
	os.Exit(code)
}

// An exitError ends the lab with a code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func command(code *int) *cobra.Command {
	root := &cobra.Command{
		Use:           "lab",
		Short:         "Run programs inside Linux kernels of Debian's",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(runCommand(code), fetchCommand(), familiesCommand())
	return root
}

const kernelsHelp = `Kernels:
  uml                      User-Mode Linux, the kernel as a program: 0.3 s a run
  6.1, 6.12                Debian's amd64 kernels in QEMU, with all modules: 2 to 3 s
  6.1-cloud, 6.12-cloud    those with fewer drivers, which are smaller to fetch

The newest of a series is fetched with apt-get once, and kept in the folder
gnl-lab of the user's cache, or in $GNL_LAB_CACHE. Remove it to have a newer one.`

func fetchCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "fetch KERNEL...",
		Short: "Fetch kernels beforehand",
		Long:  "Fetch kernels beforehand, and say which ones they are. run does it as well.\n\n" + kernelsHelp,
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, names []string) error {
			for _, name := range names {
				k, err := openKernel(name)
				if err != nil {
					return &exitError{exitFailed, err}
				}
				fmt.Printf("%s\t%s\t%s\n", name, k.release, k.image)
			}
			return nil
		},
	}
}

func familiesCommand() *cobra.Command {
	var kernel string
	c := &cobra.Command{
		Use:   "families",
		Short: "List a kernel's modules that have generic netlink families",
		Long: `List a kernel's modules that register generic netlink families, and the names
by which the kernel loads them itself (aliases). It reads every module, which
takes a minute where they are compressed.

` + kernelsHelp,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			k, err := openKernel(kernel)
			if err == nil {
				err = listFamilies(os.Stdout, k)
			}
			if err != nil {
				return &exitError{exitFailed, err}
			}
			return nil
		},
	}
	c.Flags().StringVar(&kernel, "kernel", "uml", "the kernel")
	return c
}
