package gnl

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"time"
)

// loadModule runs modprobe.
func loadModule(ctx context.Context, module string) error {
	cmd := exec.CommandContext(ctx, "modprobe", "--", module)
	cmd.WaitDelay = time.Millisecond // what modprobe has started may outlive it, and hold its output open
	out, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("load module %s: %w", module, ctx.Err())
	case err != nil:
		return fmt.Errorf("load module %s: %w: %s", module, err, bytes.TrimSpace(out))
	}
	return nil
}
