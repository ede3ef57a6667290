package check

import "fmt"

// Verdict is the answer of a check. The zero value is NotCompared: a check that
// nobody ran never passes.
type Verdict uint8

const (
	// NotCompared: nothing could be compared (no kernel ran), with a typed reason.
	NotCompared Verdict = iota
	// Pass: equal, or equivalent within the margin.
	Pass
	// Inconclusive: neither refuted nor shown equivalent.
	Inconclusive
	// Fail: refuted.
	Fail
)

var verdictNames = [...]string{NotCompared: "NOT-COMPARED", Pass: "PASS", Inconclusive: "INCONCLUSIVE", Fail: "FAIL"}

// String returns the word of the report.
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return fmt.Sprintf("Verdict(%d)", uint8(v))
}

// MarshalText writes the word of the report.
func (v Verdict) MarshalText() ([]byte, error) {
	if int(v) >= len(verdictNames) {
		return nil, &InputError{"verdict", v.String(), "no such verdict"}
	}
	return []byte(verdictNames[v]), nil
}

// UnmarshalText reads the word of the report.
func (v *Verdict) UnmarshalText(text []byte) error {
	for i, name := range verdictNames {
		if name == string(text) {
			*v = Verdict(i)
			return nil
		}
	}
	return &InputError{"verdict", string(text), "want PASS, FAIL, INCONCLUSIVE or NOT-COMPARED"}
}

// gravity orders verdicts for Overall: one FAIL fails a run; what was not
// compared keeps a run from passing.
var gravity = [...]int{Pass: 0, Inconclusive: 1, NotCompared: 2, Fail: 3}

// Overall is the verdict of a run: the gravest one, FAIL over NOT-COMPARED over
// INCONCLUSIVE over PASS. A run without a check is INCONCLUSIVE.
func Overall(results []Result) Verdict {
	if len(results) == 0 {
		return Inconclusive
	}
	worst := Pass
	for _, r := range results {
		if gravity[r.Verdict] > gravity[worst] {
			worst = r.Verdict
		}
	}
	return worst
}
