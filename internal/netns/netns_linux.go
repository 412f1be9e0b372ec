// Package netns runs a function in another network namespace.
package netns

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Do runs f on a thread that has entered the network namespace behind fd, and
// waits for it. Entering needs CAP_SYS_ADMIN. The thread ends with the call,
// so that no goroutine can later find itself in the wrong namespace.
func Do(fd int, f func() error) error {
	done := make(chan error)
	go func() {
		// Never unlocked: the runtime ends the thread together with this goroutine.
		runtime.LockOSThread()
		if unix.Gettid() != os.Getpid() {
			done <- enter(fd, f)
			return
		}
		// This is the process's first thread, which cannot end, and which
		// /proc/self speaks of. While it is held here, another one must do it.
		defer runtime.UnlockOSThread()
		done <- Do(fd, f)
	}()
	return <-done
}

func enter(fd int, f func() error) error {
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering the network namespace: %w", err)
	}
	return f()
}
