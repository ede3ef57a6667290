package curve

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/svclab/svclab/sim/seed"
)

// Fit is a straight line through the extra time of the last Service, by size.
type Fit struct {
	// PerService is the slope in ns for each Service, Low and High its interval of 95 %, by resampling blocks.
	PerService, Low, High float64
	// PerRule is the slope in ns for each rule that the model tries, 0 where it tries no more rules.
	PerRule, RuleLow, RuleHigh float64
	R2                         float64 // of the line by Services
	Base                       float64 // what a connection to the first Service takes, ns
}

// judge fits the line and names its shape.
func (l *Line) judge(root uint64) {
	if len(l.Points) == 0 {
		l.Shape = NoLine
		return
	}
	services, rules, extra := l.columns(nil)
	f := &l.Fit
	f.PerService, f.R2 = slope(services, extra)
	f.PerRule, _ = slope(rules, extra)
	var bases []float64
	for i := range l.Points {
		bases = append(bases, float64(l.Points[i].First.P10))
	}
	slices.Sort(bases)
	f.Base = bases[len(bases)/2]
	rng := seed.Root(root).Stream("curve " + l.Series.Name).Rand()
	var byService, byRule []float64
	for range resamples {
		services, rules, extra := l.columns(rng)
		a, _ := slope(services, extra)
		b, _ := slope(rules, extra)
		byService, byRule = append(byService, a), append(byRule, b)
	}
	f.Low, f.High = interval(byService)
	f.RuleLow, f.RuleHigh = interval(byRule)
	l.Shape = l.shape()
}

func (l *Line) shape() Shape {
	n := len(l.Points)
	if n < fewestSizes {
		return TooNoisy
	}
	span := float64(l.Points[n-1].Services - l.Points[0].Services)
	f := &l.Fit
	switch {
	case max(math.Abs(f.Low), math.Abs(f.High))*span < flatRise*f.Base:
		return Flat
	case f.Low*span >= flatRise*f.Base && f.R2 >= linearR2:
		return Linear
	}
	return TooNoisy
}

// columns are the sizes, the further rules tried and the extra times; with a generator, of blocks drawn anew.
func (l *Line) columns(rng *rand.Rand) (services, rules, extra []float64) {
	for i := range l.Points {
		p := &l.Points[i]
		e := p.extra()
		if rng != nil {
			e = spread(redraw(rng, p.last)).P10 - spread(redraw(rng, p.first)).P10
		}
		services = append(services, float64(p.Services))
		rules = append(rules, float64(p.LastRules-p.FirstRules))
		extra = append(extra, float64(e))
	}
	return services, rules, extra
}

func redraw(rng *rand.Rand, d []time.Duration) []time.Duration {
	out := make([]time.Duration, len(d))
	for i := range out {
		out[i] = d[rng.IntN(len(d))]
	}
	return out
}

// slope fits a line by least squares, and says how much of the variance it explains: 0 where nothing varies.
func slope(x, y []float64) (b, r2 float64) {
	mx, my := mean(x), mean(y)
	var sxx, sxy, syy float64
	for i := range x {
		sxx += (x[i] - mx) * (x[i] - mx)
		sxy += (x[i] - mx) * (y[i] - my)
		syy += (y[i] - my) * (y[i] - my)
	}
	if sxx == 0 {
		return 0, 0
	}
	b = sxy / sxx
	if syy > 0 {
		r2 = sxy * sxy / (sxx * syy)
	}
	return b, r2
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

func interval(v []float64) (low, high float64) {
	slices.Sort(v)
	cut := int(float64(len(v)) * (1 - intervalLevel) / 2)
	return v[cut], v[len(v)-1-cut]
}
