package check

import "fmt"

// EqualFinding is the evidence of an exact comparison.
type EqualFinding struct {
	Differences int    // places that differ, a difference in length included once for each extra entry
	First       string // the first difference in words; empty when equal
}

// Equal holds two lists side by side, entry by entry: for whatever draws nothing
// (nth, affinity, one endpoint, reachability, counters under forced picks) there
// is no chance, and every entry must be equal. Two empty lists are INCONCLUSIVE.
func Equal[T comparable](name string, want, got []T) Result {
	f := &EqualFinding{}
	note := func(format string, args ...any) {
		if f.Differences++; f.Differences == 1 {
			f.First = fmt.Sprintf(format, args...)
		}
	}
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			note("entry %d: expected %v, got nothing", i, want[i])
		case i >= len(want):
			note("entry %d: expected nothing, got %v", i, got[i])
		case want[i] != got[i]:
			note("entry %d: expected %v, got %v", i, want[i], got[i])
		}
	}
	r := Result{Name: name, N: int64(max(len(want), len(got))), Equal: f}
	switch {
	case r.N == 0:
		r.Verdict, r.Reason = Inconclusive, "there was nothing to compare"
	case f.Differences > 0:
		r.Verdict, r.Reason = Fail, fmt.Sprintf("%d of %d differ; %s", f.Differences, r.N, f.First)
	default:
		r.Verdict, r.Reason = Pass, fmt.Sprintf("all %d equal", r.N)
	}
	return r
}
