package measure

import "fmt"

// EpochError says why a list of cells is no distribution.
type EpochError struct {
	Epoch  string // name of the epoch
	Reason string
}

func (e *EpochError) Error() string {
	return fmt.Sprintf("epoch %q: %s", e.Epoch, e.Reason)
}

// StatError says that a metric has no such statistic.
type StatError struct {
	Metric string // name of the metric
	Stat   string // as asked for
	Reason string
}

func (e *StatError) Error() string {
	if e.Metric == "" {
		return fmt.Sprintf("%q %s", e.Stat, e.Reason)
	}
	return fmt.Sprintf("metric %q: %q %s", e.Metric, e.Stat, e.Reason)
}

// MergeError says why two observations do not belong together.
type MergeError struct {
	What   string // the name of the observation
	Reason string
}

func (e *MergeError) Error() string {
	return fmt.Sprintf("merge %q: %s", e.What, e.Reason)
}
