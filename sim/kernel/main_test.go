package kernel_test

import (
	"os"
	"testing"

	"github.com/svclab/svclab/sim/box"
)

func TestMain(m *testing.M) {
	box.Init()
	if v := os.Getenv(victimVariable); v != "" {
		victim(v)
	}
	if v := os.Getenv(attemptVariable); v != "" {
		attempt(v)
	}
	os.Exit(m.Run())
}
