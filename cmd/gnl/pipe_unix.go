//go:build unix

package main

import (
	"errors"
	"os/signal"
	"syscall"
)

// ignoreClosedPipes makes writing to a pipe that nobody reads an error like
// others. Otherwise it kills the process.
func ignoreClosedPipes() { signal.Ignore(syscall.SIGPIPE) }

// isClosedPipe reports whether whoever read the output has gone: "gnl exits | head -1".
func isClosedPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
