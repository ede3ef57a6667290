package check

import (
	"fmt"
	"math/big"
	"strings"

	"github.com/svclab/svclab/sim/measure"
	"github.com/svclab/svclab/sim/spelling"
)

// Threshold is a bound on a statistic of a metric, in k6's spelling.
type Threshold struct {
	Metric string
	Stat   measure.Stat
	Op     string   // one of thresholdOps
	Value  *big.Rat // as written, before Unit
	Unit   string   // "", "%", or a unit of time
}

// thresholdOps, longest first: the order in which they are tried.
var thresholdOps = []string{"===", "<=", ">=", "==", "!=", "<", ">"}

// timeUnits in nanoseconds.
var timeUnits = map[string]int64{"ns": 1, "us": 1e3, "µs": 1e3, "μs": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9}

// ParseThreshold reads "p(99) < 3ms", "rate < 0.01", "rate<=1%", "count >= 100".
// The error is an *InputError.
func ParseThreshold(metric, text string) (Threshold, error) {
	bad := func(reason string) (Threshold, error) { return Threshold{}, &InputError{"threshold", text, reason} }
	at, op := -1, ""
	for _, o := range thresholdOps {
		if i := strings.Index(text, o); i >= 0 && (at < 0 || i < at) {
			at, op = i, o
		}
	}
	if at < 0 {
		return bad("want a statistic, a comparison and a value, such as p(99) < 3ms")
	}
	stat, err := measure.ParseStat(strings.TrimSpace(text[:at]))
	if err != nil {
		return bad(err.Error())
	}
	value := strings.TrimSpace(text[at+len(op):])
	number := strings.TrimRight(value, "abcdefghijklmnopqrstuvwxyzµμ% ")
	unit := strings.TrimSpace(value[len(number):])
	if _, ok := timeUnits[unit]; !ok && unit != "" && unit != "%" {
		return bad(fmt.Sprintf("unknown unit %q; want ns, us, ms, s, m, h or %%", unit))
	}
	v, err := parseDecimal(number)
	if err != nil {
		return bad(err.Error())
	}
	return Threshold{metric, stat, op, v, unit}, nil
}

// String writes what ParseThreshold reads.
func (t Threshold) String() string {
	return fmt.Sprintf("%s %s %s%s", t.Stat, t.Op, decimal(t.Value), t.Unit)
}

// limit is the value in the metric's unit. As in k6, a plain number beside a
// duration is in milliseconds.
func (t Threshold) limit(m measure.Metric) (*big.Rat, error) {
	unit := m.Unit()
	if t.Stat.Name == "count" {
		unit = measure.UnitCount
	}
	factor := big.NewRat(1, 1)
	ns, isTime := timeUnits[t.Unit]
	switch {
	case unit == measure.UnitNanoseconds && isTime:
		factor.SetInt64(ns)
	case unit == measure.UnitNanoseconds && t.Unit == "":
		factor.SetInt64(1e6)
	case unit == measure.UnitShare && t.Unit == "%":
		factor.SetFrac64(1, 100)
	case t.Unit != "":
		return nil, &InputError{"threshold", t.String(), fmt.Sprintf("metric %q is not measured in %s", t.Metric, t.Unit)}
	}
	return factor.Mul(factor, t.Value), nil
}

// Check decides the threshold on fractions. An unknown metric is an
// *UnknownMetricError with the nearest names, a statistic or unit that the metric
// does not have an *InputError or *measure.StatError; no samples is INCONCLUSIVE.
func (t Threshold) Check(name string, metrics *measure.Metrics) (Result, error) {
	m := metrics.Get(t.Metric)
	if m == nil {
		return Result{}, &UnknownMetricError{t.Metric, spelling.Nearest(t.Metric, metrics.Names())}
	}
	limit, err := t.limit(m)
	if err != nil {
		return Result{}, err
	}
	r := Result{Name: name, N: m.N(), Measured: &MeasuredFinding{Metric: t.Metric, Want: t.String()}}
	got, err := m.Stat(t.Stat)
	switch {
	case err != nil && m.N() == 0:
		r.Verdict, r.Reason = Inconclusive, fmt.Sprintf("%s has no samples", t.Metric)
		return r, nil
	case err != nil:
		return Result{}, err
	}
	unit := m.Unit()
	if t.Stat.Name == "count" {
		unit = measure.UnitCount
	}
	r.Measured.Got = formatStat(got, unit)
	r.Verdict = Fail
	if holds(got.Cmp(limit), t.Op) {
		r.Verdict = Pass
	}
	r.Reason = fmt.Sprintf("%s %s is %s, wanted %s %s%s", t.Metric, t.Stat, r.Measured.Got, t.Op, decimal(t.Value), t.Unit)
	return r, nil
}

func holds(cmp int, op string) bool {
	switch op {
	case "<":
		return cmp < 0
	case "<=":
		return cmp <= 0
	case ">":
		return cmp > 0
	case ">=":
		return cmp >= 0
	case "!=":
		return cmp != 0
	default: // "==", "==="
		return cmp == 0
	}
}

// formatStat prints a fraction with at most six significant digits and its unit.
func formatStat(v *big.Rat, unit measure.Unit) string {
	suffix := unit.String()
	if unit == measure.UnitNanoseconds {
		for _, u := range []string{"s", "ms", "us"} {
			if size := big.NewRat(timeUnits[u], 1); v.Cmp(size) >= 0 {
				v, suffix = new(big.Rat).Quo(v, size), u
				break
			}
		}
	}
	f, _ := v.Float64()
	return fmt.Sprintf("%.6g%s", f, suffix)
}

// MeasuredFinding is the evidence of a threshold.
type MeasuredFinding struct {
	Metric string
	Want   string // the threshold as written
	Got    string // the statistic with its unit
}
