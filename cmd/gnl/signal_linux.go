package main

import (
	"fmt"
	"syscall"

	"github.com/gnlgo/gnl/internal/unix"
)

// signalName is the name of a signal: "SIGSEGV".
func signalName(n int) string {
	if name := unix.SignalName(syscall.Signal(n)); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", n) // a real-time signal
}
