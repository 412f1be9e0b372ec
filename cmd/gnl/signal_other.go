//go:build !linux

package main

import "fmt"

// signalName gives the number: the names are Linux's.
func signalName(n int) string { return fmt.Sprintf("signal %d", n) }
