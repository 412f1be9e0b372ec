//go:build !linux

package gnl_test

import (
	"errors"
	"testing"

	"github.com/gnlgo/gnl"
)

func TestOffLinuxOpeningIsUnsupported(t *testing.T) {
	if _, err := gnl.Open(nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v is not errors.ErrUnsupported", err)
	}
}
