//go:build !linux

package unix

import "errors"

// ECONNREFUSED as on most Linux architectures.
const ECONNREFUSED = Errno(111)

func ServerSocket(int) (int, uint32, error) { return -1, 0, errors.ErrUnsupported }
func ReceiveWhole(int) ([]byte, uint32, uint32, error) {
	return nil, 0, 0, errors.ErrUnsupported
}
func SendTo(int, []byte, uint32, uint32) error { return errors.ErrUnsupported }
func Own(int, uint32) (int, error)             { return -1, errors.ErrUnsupported }
func Drops(int) (uint32, error)                { return 0, errors.ErrUnsupported }
