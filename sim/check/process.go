package check

import (
	"math"

	"github.com/svclab/svclab/sim/measure"
)

// Process is the e-process of one check, draw by draw. Draws of several epochs
// may be interleaved: each draw moves the factor of its own epoch only, so the
// product stays a martingale. Make one with NewProcess.
type Process struct {
	epochs    []*epochProcess
	threshold float64 // ln(m/α)

	current int     // epoch that limit and rest are for
	limit   float64 // log of the current epoch's factor at which the product reaches m/α
	bound   float64 // exp(limit), less what rounding could do: no need to look closely below

	n          int64
	refutedAt  int64 // draw at which the threshold was first reached; 0 for never
	impossible bool
}

// NewProcess starts at 1 with the plan's threshold.
func NewProcess(plan Plan, epochs []measure.Epoch) *Process {
	p := &Process{threshold: plan.LogThreshold(), current: -1}
	for _, e := range epochs {
		p.epochs = append(p.epochs, newEpochProcess(newNull(e)))
	}
	return p
}

// Add takes one draw of an epoch that ended in a cell of it, looks, and says
// whether the null is refuted, now or at an earlier draw.
func (p *Process) Add(epoch, cell int) bool {
	if epoch != p.current {
		p.enter(epoch)
	}
	p.n++
	e := p.epochs[epoch]
	if e.null.p[cell] == 0 {
		p.impossible = true
		if p.refutedAt == 0 {
			p.refutedAt = p.n
		}
		return true
	}
	if e.add(cell); p.refutedAt == 0 && e.reaches(p.limit, p.bound) {
		p.refutedAt = p.n
	}
	return p.refutedAt > 0
}

// AddImpossible takes a draw that ended outside every cell.
func (p *Process) AddImpossible() bool {
	p.n++
	p.impossible = true
	if p.refutedAt == 0 {
		p.refutedAt = p.n
	}
	return true
}

// enter computes what the epoch's own factor must reach, the others standing still.
func (p *Process) enter(epoch int) {
	rest := 0.0
	for i, e := range p.epochs {
		if i != epoch {
			rest += e.logE()
		}
	}
	p.current, p.limit = epoch, p.threshold-rest
	p.bound = math.Exp(p.limit) * (1 - 1e-9)
}

// LogE is the present log e-value; +Inf once the impossible was seen.
func (p *Process) LogE() float64 {
	if p.impossible {
		return math.Inf(1)
	}
	var sum float64
	for _, e := range p.epochs {
		sum += e.logE()
	}
	return sum
}

// N is the number of draws taken.
func (p *Process) N() int64 { return p.n }

// RefutedAt is the number of the draw, from 1, at which the e-value first
// reached m/α, or 0.
func (p *Process) RefutedAt() int64 { return p.refutedAt }

// epochProcess holds the wagers of one epoch as running products.
type epochProcess struct {
	*null
	counts []int64
	n      int64
	full   [len(concentrations)]scaled
	single []scaled // k > 20: cell × concentration
}

func newEpochProcess(h *null) *epochProcess {
	e := &epochProcess{null: h, counts: make([]int64, len(h.p))}
	for i := range e.full {
		e.full[i].v = 1
	}
	if h.k > manyCells {
		e.single = make([]scaled, len(h.p)*len(concentrations))
		for i := range e.single {
			e.single[i].v = 1
		}
	}
	return e
}

// add multiplies each wager by its predictive share over the null's share.
func (e *epochProcess) add(cell int) {
	if e.k < 2 {
		return
	}
	p, x, n := e.p[cell], float64(e.counts[cell]), float64(e.n)
	for i, m := range concentrations {
		c := m * float64(e.k)
		e.full[i].mul((c*p + x) / ((c + n) * p))
	}
	if e.single != nil {
		e.addSingle(cell)
	}
	e.counts[cell]++
	e.n++
}

func (e *epochProcess) addSingle(cell int) {
	n := float64(e.n)
	for j, q := range e.q {
		if e.p[j] == 0 {
			continue
		}
		share, hits := q, n-float64(e.counts[j])
		if j == cell {
			share, hits = e.p[j], float64(e.counts[j])
		}
		for i, m := range concentrations {
			c := m * float64(e.k)
			e.single[j*len(concentrations)+i].mul((c*share + hits) / ((c + n) * share))
		}
	}
}

// reaches says whether the factor is at least exp(limit). Nearly always a sum
// without a logarithm shows that it is not: a wager rescaled downwards counts
// for more than it is worth there, which errs on the side of looking closely.
func (e *epochProcess) reaches(limit, bound float64) bool {
	sum, plain := sumBound(e.full[:])
	mean := sum / float64(len(e.full))
	if e.single != nil {
		one, ok := sumBound(e.single)
		plain = plain && ok
		// cells of probability zero keep their wager at 1 and only add to the bound
		mean = mean/2 + one/float64(2*len(concentrations)*e.k)
	}
	if plain && mean < bound {
		return false
	}
	return e.logE() >= limit
}

// sumBound is at least the sum of the wagers, if none was rescaled upwards.
func sumBound(list []scaled) (sum float64, plain bool) {
	for i := range list {
		if list[i].log > 0 {
			return 0, false
		}
		sum += list[i].v
	}
	return sum, true
}

func (e *epochProcess) logE() float64 {
	if e.k < 2 {
		return 0
	}
	var full [len(concentrations)]float64
	for i := range e.full {
		full[i] = e.full[i].ln()
	}
	all := logMean(full[:])
	if e.single == nil {
		return all
	}
	single := make([]float64, 0, len(e.single))
	for j := range e.p {
		if e.p[j] == 0 {
			continue
		}
		for i := range concentrations {
			single = append(single, e.single[j*len(concentrations)+i].ln())
		}
	}
	return logMean([]float64{all, logMean(single)})
}

// scaled is v·exp(log): a product that can neither overflow nor vanish.
type scaled struct{ v, log float64 }

func (s *scaled) mul(f float64) {
	s.v *= f
	if s.v > 1e150 || s.v < 1e-150 {
		s.log += math.Log(s.v)
		s.v = 1
	}
}

func (s *scaled) ln() float64 { return math.Log(s.v) + s.log }
