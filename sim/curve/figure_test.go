package curve

import (
	"context"
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

// TestKernelCurveFigures measures all series at all sizes, twice, and looks at the figures that the curve is held to: legacy
// iptables linear with R² from 1,000 to 10,000 Services of 0.99 at least, the nft variant steeper, IPVS flat beside iptables in the
// same vehicle, and slopes that come again within 15 %.
func TestKernelCurveFigures(t *testing.T) {
	if os.Getenv("SVCLAB_KERNEL_TESTS") != "1" || os.Getenv("SVCLAB_FIGURES") != "1" {
		t.Skip("not asked for: takes minutes of a quiet machine; SVCLAB_KERNEL_TESTS=1 SVCLAB_FIGURES=1 runs it")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Minute)
	defer cancel()
	var results []*Result
	for seed := range uint64(2) {
		r, err := Measure(ctx, Options{
			Series: AllSeries(), Sizes: []int{1, 100, 1000, 3000, 10000}, UMLMax: DefaultUMLMax,
			Rounds: DefaultRounds, Blocks: DefaultBlocks, Connects: DefaultConnects, Seed: seed,
		})
		if err != nil {
			t.Fatal(err)
		}
		var table strings.Builder
		if err := r.Table(&table); err != nil {
			t.Fatal(err)
		}
		t.Log("\n" + table.String())
		results = append(results, r)
		figures(t, r)
	}
	for i := range results[0].Lines {
		a, b := &results[0].Lines[i], &results[1].Lines[i]
		if a.Shape != Linear || b.Shape != Linear {
			continue
		}
		if q := b.Fit.PerService.Value / a.Fit.PerService.Value; math.Abs(q-1) > 0.15 {
			t.Errorf("%s: %s ns a Service, and then %s", a.Series.Name, a.Fit.PerService, b.Fit.PerService)
		}
	}
}

func figures(t *testing.T, r *Result) {
	t.Helper()
	slope := map[string]float64{}
	for _, l := range r.Lines {
		if l.Missing != nil {
			t.Logf("%s is not judged: %v", l.Series.Name, l.Missing)
			continue
		}
		want := Linear
		if l.Series.Name == "uml-ipvs" {
			want = Flat
		}
		if l.Shape != want {
			t.Errorf("%s: %s, want %s: %s", l.Series.Name, l.Shape, want, l.Why)
		}
		slope[l.Series.Name] = l.Fit.PerService.Value
	}
	if nft, legacy := slope["rootless-nft"], slope["rootless-legacy"]; nft != 0 && legacy != 0 && nft <= legacy {
		t.Errorf("nft %g ns a Service, legacy %g", nft, legacy)
	}
}
