package curve

import (
	"math"
	"slices"
	"time"
)

// Estimate is a figure with its interval of 95 %.
type Estimate struct{ Value, Low, High float64 }

// Fit is a straight line through the extra time of the last Service, by size.
//
// A visit to a size tells how much longer the fastest block to the last Service took than the fastest to the first: what disturbs a
// block makes it slower and never faster. A round of visits, one to each size, is an experiment of its own, with a slope of its own.
// It goes through the origin, since with one Service the last is the first. The line has the median of the rounds' slopes, and the
// interval that order statistics give the median: it holds for any distribution of noise, and a drift of the machine, which meets
// a round as a whole, does not widen it.
type Fit struct {
	// PerService is the slope in ns for each Service.
	PerService Estimate
	// PerRule is the slope in ns for each rule that the model tries, zero where it tries no more rules.
	PerRule Estimate
	// R2 is how much of the variance of the sizes' extra times a straight line by least squares explains, over the sizes from
	// R2From up.
	R2     float64
	R2From int
	// First is the slope of the first Service's own time by size, in ns for each Service: what every Service pays for the others.
	// Each size has a kernel of its own, and kernels differ by some tenths of a µs for no reason of this kind.
	First Estimate
	// Base is what a connection to the first Service takes, ns: the middle one of the sizes.
	Base   float64
	Rounds int // that have something to say of every size
}

// fit fits the line, and finds the extra times of its points.
func (l *Line) fit() {
	rounds := l.complete()
	f := Fit{Rounds: len(rounds)}
	var services, rules []float64
	for i := range l.Points {
		p := &l.Points[i]
		services = append(services, float64(p.Services-1))
		rules = append(rules, float64(p.LastRules-p.FirstRules))
	}
	var byService, byRule, first []float64
	extra, base := make([][]float64, len(l.Points)), make([][]float64, len(l.Points))
	for _, r := range rounds {
		var e, b []float64
		for i := range l.Points {
			v := &l.Points[i].visits[r]
			b = append(b, v.fastest(toFirst))
			e = append(e, v.fastest(toLast)-v.fastest(toFirst))
			base[i], extra[i] = append(base[i], b[i]), append(extra[i], e[i])
		}
		byService, byRule = append(byService, throughOrigin(services, e)), append(byRule, throughOrigin(rules, e))
		slope, _ := leastSquares(services, b)
		first = append(first, slope)
	}
	f.PerService, f.PerRule, f.First = median(byService), median(byRule), median(first)
	var bases []float64
	for i := range l.Points {
		l.Points[i].Extra, l.Points[i].Base = median(extra[i]), median(base[i]).Value
		bases = append(bases, l.Points[i].Base)
	}
	f.Base = median(bases).Value
	f.straightness(l.Points)
	l.Fit = f
}

// straightness finds R²: over the sizes that are large enough for the rules to leave the nearest caches, where there are enough of
// them, and over all otherwise.
func (f *Fit) straightness(points []Point) {
	from := 0
	for i := range points {
		if points[i].Services >= straightFrom {
			if from = i; len(points)-i < fewestSizes {
				from = 0
			}
			break
		}
	}
	var x, y []float64
	for _, p := range points[from:] {
		x, y = append(x, float64(p.Services)), append(y, p.Extra.Value)
	}
	if len(x) > 0 {
		f.R2From = points[from].Services
	}
	_, f.R2 = leastSquares(x, y)
}

// complete are the rounds in which every size was visited and no target's blocks failed altogether.
func (l *Line) complete() []int {
	var out []int
	if len(l.Points) == 0 {
		return nil
	}
	for r := range l.Points[0].visits {
		whole := true
		for i := range l.Points {
			p := &l.Points[i]
			whole = whole && r < len(p.visits) && len(p.visits[r][toFirst]) > 0 && len(p.visits[r][toLast]) > 0
		}
		if whole {
			out = append(out, r)
		}
	}
	return out
}

// fastest is what a connection took in the fastest block to a target, ns.
func (v *visit) fastest(target int) float64 { return float64(slices.Min(v[target])) }

// throughOrigin is the slope of the line through the origin by least squares: 0 where x is.
func throughOrigin(x, y []float64) float64 {
	var xx, xy float64
	for i := range x {
		xx, xy = xx+x[i]*x[i], xy+x[i]*y[i]
	}
	if xx == 0 {
		return 0
	}
	return xy / xx
}

// leastSquares fits a line, and says how much of the variance it explains: 0 where nothing varies.
func leastSquares(x, y []float64) (slope, r2 float64) {
	mx, my := mean(x), mean(y)
	var xx, xy, yy float64
	for i := range x {
		xx += (x[i] - mx) * (x[i] - mx)
		xy += (x[i] - mx) * (y[i] - my)
		yy += (y[i] - my) * (y[i] - my)
	}
	if xx == 0 {
		return 0, 0
	}
	if yy > 0 {
		r2 = xy * xy / (xx * yy)
	}
	return xy / xx, r2
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// median is the median with its interval: the k-th smallest and the k-th largest value, for the largest k with which both together
// miss the median of the distribution in no more than one case of twenty (Binomial(n, 1/2) below k). Fewer than six values have
// no such k: their interval has no ends.
func median(values []float64) Estimate {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	if n == 0 {
		return Estimate{0, math.Inf(-1), math.Inf(1)}
	}
	e := Estimate{(v[(n-1)/2] + v[n/2]) / 2, math.Inf(-1), math.Inf(1)}
	below, term := 0.0, math.Exp2(-float64(n)) // P(Binomial(n, 1/2) < k), and of k
	for k := 1; k <= n/2; k++ {
		below += term
		term *= float64(n-k+1) / float64(k)
		if 2*below > 1-intervalLevel {
			break
		}
		e.Low, e.High = v[k-1], v[n-k]
	}
	return e
}

// summarise finds what blocks took altogether, and says whether there are any.
func (p *Point) summarise() bool {
	var all visit
	for _, v := range p.visits {
		for t := range v {
			all[t] = append(all[t], v[t]...)
		}
	}
	if len(all[toFirst]) == 0 || len(all[toLast]) == 0 {
		return false
	}
	p.First, p.Last = spread(all[toFirst]), spread(all[toLast])
	return true
}

func spread(d []time.Duration) Spread {
	s := slices.Sorted(slices.Values(d))
	return Spread{P10: quantile(s, 0.1), P50: quantile(s, 0.5)}
}

// quantile of a sorted list, without interpolation.
func quantile(s []time.Duration, q float64) time.Duration {
	return s[min(int(q*float64(len(s))), len(s)-1)]
}
