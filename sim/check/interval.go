package check

import (
	"math"
	"math/big"

	"github.com/svclab/svclab/sim/measure"
)

// equivalenceConcentration, times k, is the weight of the Beta prior of a
// confidence sequence. The prior is centred at the expected share, so the
// interval is tightest where the model is right, and valid everywhere.
const equivalenceConcentration = 30

// arm is what one epoch says about one outcome: s of n draws at expected share p.
type arm struct {
	p, q float64
	c    float64 // concentration of the prior
	s, n int64
}

// relativeInterval is the prior-posterior-ratio confidence sequence for r, where
// the true share is p(1+r) in every epoch: all r whose ratio of prior to
// posterior density stays below 1/level (Waudby-Smith and Ramdas 2020). With one
// epoch that is their interval for a share, divided by p. It holds at all looks
// at once.
func relativeInterval(arms []arm, level float64) (low, high float64) {
	low, high = -1, math.Inf(1)
	logRatio := 0.0 // ln of marginal likelihood over likelihood at r = 0
	for _, a := range arms {
		high = min(high, a.q/a.p)
		logRatio += logBetaRatio(a)
	}
	need := logRatio + math.Log(level) // r belongs when gain(r) > need
	top := peak(arms, low, high)
	return edge(arms, need, top, low), edge(arms, need, top, high)
}

// logBetaRatio is ln of beta-binomial (centred at p) over binomial at p.
func logBetaRatio(a arm) float64 {
	f := a.n - a.s
	return logRising(a.c*a.p, a.s) + logRising(a.c*a.q, f) - logRising(a.c, a.n) -
		float64(a.s)*math.Log(a.p) - float64(f)*math.Log(a.q)
}

// gain is the log-likelihood at r minus that at 0; concave in r.
func gain(arms []arm, r float64) float64 {
	var sum float64
	for _, a := range arms {
		if a.s > 0 {
			sum += float64(a.s) * math.Log1p(r)
		}
		if f := a.n - a.s; f > 0 {
			sum += float64(f) * math.Log1p(-r*a.p/a.q)
		}
	}
	return sum
}

// peak finds where gain is greatest, by halving on its slope.
func peak(arms []arm, low, high float64) float64 {
	slope := func(r float64) float64 {
		var d float64
		for _, a := range arms {
			if a.s > 0 {
				d += float64(a.s) / (1 + r)
			}
			if f := a.n - a.s; f > 0 {
				d -= float64(f) * a.p / (a.q - r*a.p)
			}
		}
		return d
	}
	for range 200 {
		mid := low + (high-low)/2
		if mid == low || mid == high {
			break
		}
		if slope(mid) > 0 {
			low = mid
		} else {
			high = mid
		}
	}
	return low + (high-low)/2
}

// edge finds the end of {gain > need} between the peak and a bound, by halving.
func edge(arms []arm, need, top, bound float64) float64 {
	if gain(arms, bound) > need {
		return bound
	}
	in, out := top, bound
	for range 200 {
		mid := in + (out-in)/2
		if mid == in || mid == out {
			break
		}
		if gain(arms, mid) > need {
			in = mid
		} else {
			out = mid
		}
	}
	return out
}

// row gathers one outcome over all epochs.
type row struct {
	outcome    measure.Outcome
	arms       []arm
	observed   int64
	fixed      int64    // draws of epochs in which this outcome was certain
	expected   *big.Rat // Σ n_e·p_e
	impossible bool
}

// rows lines the epochs up by outcome, in the order of first appearance.
func rows(tallies []*measure.Tally) []*row {
	var list []*row
	at := map[measure.Outcome]*row{}
	get := func(o measure.Outcome) *row {
		r := at[o]
		if r == nil {
			r = &row{outcome: o, expected: new(big.Rat)}
			at[o] = r
			list = append(list, r)
		}
		return r
	}
	for _, t := range tallies {
		h, n := newNull(t.Epoch), t.N()
		for i, c := range t.Epoch.Cells {
			r := get(c.Outcome)
			r.observed += t.Counts[i]
			r.expected.Add(r.expected, new(big.Rat).Mul(c.Share, new(big.Rat).SetInt64(n)))
			switch {
			case h.p[i] == 0:
				r.impossible = r.impossible || t.Counts[i] > 0
			case h.k == 1:
				r.fixed += n
			default:
				c := equivalenceConcentration * float64(h.k)
				r.arms = append(r.arms, arm{p: h.p[i], q: h.q[i], c: c, s: t.Counts[i], n: n})
			}
		}
		for _, o := range t.OtherOutcomes() {
			r := get(o)
			r.observed += t.Other[o]
			r.impossible = true
		}
	}
	return list
}

// Interval is the confidence sequence for one share, seen s times in n draws,
// expected p with k possible outcomes, at the given risk.
func Interval(p *big.Rat, k int, s, n int64, level float64) (low, high float64) {
	pf, _ := p.Float64()
	qf, _ := new(big.Rat).Sub(big.NewRat(1, 1), p).Float64()
	if pf == 0 || qf == 0 {
		return pf, pf
	}
	l, h := relativeInterval([]arm{{p: pf, q: qf, c: equivalenceConcentration * float64(k), s: s, n: n}}, level)
	return max(0, pf*(1+l)), min(1, pf*(1+h))
}
