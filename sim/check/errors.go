package check

import (
	"fmt"
	"strings"
)

// InputError says what in a check's own text cannot be used.
type InputError struct {
	What   string // "margin", "threshold", "expectation", "plan"
	Input  string // as written
	Reason string
}

func (e *InputError) Error() string { return fmt.Sprintf("%s %q: %s", e.What, e.Input, e.Reason) }

// UnknownMetricError names a metric that the run does not have.
type UnknownMetricError struct {
	Name    string
	Nearest []string // the nearest names that exist, best first
}

func (e *UnknownMetricError) Error() string {
	if len(e.Nearest) == 0 {
		return fmt.Sprintf("unknown metric %q", e.Name)
	}
	return fmt.Sprintf("unknown metric %q; did you mean %s?", e.Name, strings.Join(e.Nearest, ", "))
}
