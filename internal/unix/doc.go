// Package unix is the only door to golang.org/x/sys/unix: what gnl uses of the
// system, and nothing else. Off Linux every call answers errors.ErrUnsupported,
// so that the packages above compile everywhere.
package unix
