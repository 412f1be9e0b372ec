package gnl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	case err != nil && !errors.Is(err, exec.ErrWaitDelay): // then modprobe has done it
		return fmt.Errorf("load module %s: %w: %s", module, err, bytes.TrimSpace(out))
	}
	return nil
}

// moduleError says why the module of a family that does not exist could not be
// loaded. It is fs.ErrNotExist still.
type moduleError struct{ err error }

func (e *moduleError) Error() string   { return e.err.Error() }
func (e *moduleError) Unwrap() []error { return []error{e.err, fs.ErrNotExist} }
