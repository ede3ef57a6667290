package measure

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// Stat names a statistic in k6's spelling: count, rate, avg, min, med, max, or p
// with a percentage.
type Stat struct {
	Name    string
	Percent *big.Rat // of p(N): 0 … 100; nil otherwise
}

// statNames are the statistics without an argument.
var statNames = []string{"count", "rate", "avg", "min", "med", "max"}

// ParseStat reads "avg", "p(99)", "p(99.9)". The error is a *StatError.
func ParseStat(text string) (Stat, error) {
	if slices.Contains(statNames, text) {
		return Stat{Name: text}, nil
	}
	inner, ok := strings.CutPrefix(text, "p(")
	inner, closed := strings.CutSuffix(inner, ")")
	if !ok || !closed {
		return Stat{}, &StatError{"", text, "is no statistic; want p(N), " + strings.Join(statNames, ", ")}
	}
	inner = strings.TrimSpace(inner)
	if inner == "" || len(inner) > 20 || strings.Trim(inner, "0123456789.") != "" {
		return Stat{}, &StatError{"", text, "needs a percentage from 0 to 100"}
	}
	p, ok := new(big.Rat).SetString(inner)
	if !ok || p.Cmp(big.NewRat(100, 1)) > 0 {
		return Stat{}, &StatError{"", text, "needs a percentage from 0 to 100"}
	}
	return Stat{Name: "p", Percent: p}, nil
}

// String writes what ParseStat reads.
func (s Stat) String() string {
	if s.Name != "p" || s.Percent == nil {
		return s.Name
	}
	f := s.Percent.FloatString(20)
	return fmt.Sprintf("p(%s)", strings.TrimRight(strings.TrimRight(f, "0"), "."))
}

// Metrics is a set of metrics by name. The zero value is empty and useful.
type Metrics struct{ byName map[string]Metric }

// Add puts a metric in; one of the same name is replaced.
func (m *Metrics) Add(x Metric) {
	if m.byName == nil {
		m.byName = make(map[string]Metric)
	}
	m.byName[x.Name()] = x
}

// Get returns the metric of this name, or nil.
func (m *Metrics) Get(name string) Metric { return m.byName[name] }

// Names returns all names, sorted.
func (m *Metrics) Names() []string {
	names := make([]string, 0, len(m.byName))
	for name := range m.byName {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
