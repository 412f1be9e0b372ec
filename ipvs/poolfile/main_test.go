//go:build linux

package poolfile_test

import (
	"testing"

	"github.com/gnlgo/gnl/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }
