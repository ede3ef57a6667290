package kernel_test

import (
	"os"
	"testing"

	"github.com/svclab/svclab/sim/box"
)

func TestMain(m *testing.M) {
	box.Init()
	os.Exit(m.Run())
}
