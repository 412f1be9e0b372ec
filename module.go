package gnl

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
)

// loadModule runs modprobe.
func loadModule(ctx context.Context, module string) error {
	out, err := exec.CommandContext(ctx, "modprobe", "--", module).CombinedOutput()
	if err != nil {
		return fmt.Errorf("load module %s: %w: %s", module, err, bytes.TrimSpace(out))
	}
	return nil
}
