package check

import (
	"errors"
	"testing"
)

// What parses must print as something that parses to the same; what does not
// parse is an *InputError.
func FuzzTexts(f *testing.F) {
	for _, seed := range []string{
		"p(99) < 3ms", "rate<0.01", // thresholds
		"avg<0.0000000000000000000000000000000000001s", // more digits than a report prints
		"10%, at least 0.5 points", "1/3", "0.5points", // margins and shares
		"p(100.000)<=1%", "count!=1µs", "==", "p(", "1/0", // edges of each
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var ie *InputError
		if th, err := ParseThreshold("m", text); err == nil {
			again, err := ParseThreshold("m", th.String())
			if err != nil || again.String() != th.String() || again.Value.Cmp(th.Value) != 0 {
				t.Errorf("threshold %q prints as %q: %v", text, th, err)
			}
		} else if !errors.As(err, &ie) {
			t.Errorf("threshold %q: %T", text, err)
		}
		if m, err := ParseMargin(text); err == nil {
			again, err := ParseMargin(m.String())
			if err != nil || again.String() != m.String() {
				t.Errorf("margin %q prints as %q: %v", text, m, err)
			}
		} else if !errors.As(err, &ie) {
			t.Errorf("margin %q: %T", text, err)
		}
		if _, err := ParseShare(text); err != nil && !errors.As(err, &ie) {
			t.Errorf("share %q: %T", text, err)
		}
	})
}
