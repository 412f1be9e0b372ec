//go:build !linux

// Package netns runs a function in another network namespace.
package netns

import "errors"

// Do returns errors.ErrUnsupported: network namespaces are Linux's.
func Do(int, func() error) error { return errors.ErrUnsupported }
