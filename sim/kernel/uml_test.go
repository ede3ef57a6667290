package kernel_test

import (
	"context"
	"testing"
	"time"

	"github.com/svclab/svclab/sim/kernel"
)

func TestKernelUML(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	begin := time.Now()
	k, err := kernel.Start(ctx, kernel.Config{Vehicle: kernel.VehicleUML})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s in %s", k.Version().Release, time.Since(begin))
	k.Close()
}
