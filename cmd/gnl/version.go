package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// versions is what gnl version tells.
type versions struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	Kernel  string `json:"kernel,omitempty"` // its release; absent where there is no Linux
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "version",
		Short:             "Show the versions of gnl, of Go, and of the kernel",
		Example:           "  gnl version --json",
		Args:              takes(0, 0, ""),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			v := versions{Version: moduleVersion(), Go: runtime.Version(), Kernel: kernelRelease()}
			if a.json {
				return a.writeDocument(v)
			}
			kernel := "not Linux"
			if v.Kernel != "" {
				kernel = "Linux " + v.Kernel
			}
			_, err := fmt.Fprintf(a.out, "gnl %s, %s, %s\n", v.Version, v.Go, kernel)
			return err
		},
	}
}

// moduleVersion is the version that the go command has put into the program.
func moduleVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func kernelRelease() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
