// Package netns runs a function in another network namespace.
package netns

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/gnlgo/gnl/internal/unix"
)

// Do runs f on a thread that has entered the network namespace behind fd, and
// waits for it. Entering needs CAP_SYS_ADMIN. The thread ends with the call,
// so that no goroutine can later find itself in the wrong namespace.
func Do(fd int, f func() error) error {
	done := make(chan error, 1)
	go func() {
		err := errExited // unless f comes back
		defer func() { done <- err }()
		// Never unlocked: the runtime ends the thread together with this goroutine.
		runtime.LockOSThread()
		if unix.Gettid() != os.Getpid() {
			err = enter(fd, f)
			return
		}
		// This is the process's first thread, which cannot end, and which
		// /proc/self speaks of. While it is held here, another one must do it.
		defer runtime.UnlockOSThread()
		err = Do(fd, f)
	}()
	return <-done
}

var errExited = errors.New("the function ended its goroutine in the network namespace")

func enter(fd int, f func() error) error {
	if err := unix.EnterNetworkNamespace(fd); err != nil {
		return fmt.Errorf("entering the network namespace: %w", err)
	}
	return f()
}
