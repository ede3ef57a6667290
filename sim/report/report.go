// Package report holds what svclab says, as values, and writes them: as text for people, JSON for programs, JUnit for
// continuous integration. CLI and web print the same values; nothing here computes a result.
//
// JSON has its fields in one order, and holds no time of day, host name or path, so that one seed gives one text.
package report

import "fmt"

// SchemaVersion heads every JSON document.
const SchemaVersion = "svclab/v1alpha1"

// Report is the outcome of a scenario.
type Report struct {
	SchemaVersion string    `json:"schemaVersion"`
	Kind          string    `json:"kind"` // "Report"
	Scenario      string    `json:"scenario"`
	Seed          uint64    `json:"seed"`
	World         string    `json:"world"`
	Kernel        *Kernel   `json:"kernel,omitempty"`
	Verdict       string    `json:"verdict"`
	Risk          Number    `json:"risk"`              // of failing by chance alone, all checks together
	RiskSum       *Number   `json:"riskSum,omitempty"` // of a rerun: with the runs before it
	Checks        []Check   `json:"checks"`
	Services      []Service `json:"services,omitempty"` // of a comparison
	Traffic       []Traffic `json:"traffic"`
	Known         []Known   `json:"known,omitempty"`    // differences between model and kernel that are no fault of either
	Timeline      []Moment  `json:"timeline,omitempty"` // what happened, in virtual time
	Paths         []Path    `json:"paths,omitempty"`    // of the first connection of each traffic that goes to a name
	Warnings      []string  `json:"warnings,omitempty"`
}

// Moment is something that happened at a time of the run.
type Moment struct {
	At   string   `json:"at"` // since the run began: 1m30s
	What string   `json:"what"`
	Node string   `json:"node,omitempty"`
	Log  []string `json:"log,omitempty"` // lines of kube-proxy's log
}

// Kernel is the real kernel that was compared.
type Kernel struct {
	Vehicle string `json:"vehicle"`
	Release string `json:"release"`
	Variant string `json:"variant"`
}

// The verdicts of a check and of a report.
const (
	Pass         = "PASS"
	Fail         = "FAIL"
	Inconclusive = "INCONCLUSIVE"
	NotCompared  = "NOT-COMPARED"
)

// Check is the outcome of one check.
type Check struct {
	Name      string    `json:"name"`
	Verdict   string    `json:"verdict"`
	Reason    string    `json:"reason"`
	N         int64     `json:"n"` // observations judged
	EValue    *Number   `json:"eValue,omitempty"`
	ChiSquare *Number   `json:"chiSquare,omitempty"`
	PValue    *Number   `json:"pValue,omitempty"`
	Backends  []Backend `json:"backends,omitempty"`
	Power     *Power    `json:"power,omitempty"`
	Measured  *Measured `json:"measured,omitempty"` // of a threshold
	Service   string    `json:"service,omitempty"`  // of a comparison: whose connections were judged
	// Differences are the first places at which model and kernel differ.
	Differences []string `json:"differences,omitempty"`
	Reproduce   string   `json:"reproduce"` // a command that shows the same again
	Line        int      `json:"-"`         // of the check in its scenario, for annotations
}

// Measured is a statistic of a metric, with its unit, and the bound that it was held against.
type Measured struct {
	Metric string `json:"metric"`
	Want   string `json:"want"`
	Got    string `json:"got"`
}

// Power is what a shares check can see, known before the run: the connections it takes to refute the shares when one endpoint
// is off by an effect relative to its share, and to show that all are within the margin, each for several chances of success.
type Power struct {
	Powers []Number   `json:"powers"`
	Rows   []PowerRow `json:"rows"`
	Margin []int64    `json:"margin"`
}

// PowerRow is one effect.
type PowerRow struct {
	Effect      Number  `json:"effect"` // 0.05 is five percent of the share
	Endpoint    string  `json:"endpoint"`
	Connections []int64 `json:"connections"` // for each of the powers; 0 when no number is enough
}

// Service is the verdict of everything that was said of one Service.
type Service struct {
	Service string `json:"service"`
	Verdict string `json:"verdict"`
}

// Known is a known difference between model and kernel.
type Known struct {
	ID     string `json:"id"`
	What   string `json:"what"`
	Reason string `json:"reason"`
}

// Backend is one endpoint's part in a check.
type Backend struct {
	Endpoint string  `json:"endpoint"`
	Expected string  `json:"expected"` // exact fraction
	Observed int64   `json:"observed"`
	Low      *Number `json:"low,omitempty"` // interval of the share
	High     *Number `json:"high,omitempty"`
}

// Traffic counts how the connections of one traffic ended.
type Traffic struct {
	Name        string `json:"name"`
	Connections int64  `json:"connections"`
	Answered    int64  `json:"answered"`
	Rejected    int64  `json:"rejected"`
	Dropped     int64  `json:"dropped"`
	Requests    int64  `json:"requests,omitempty"`
	Failed      int64  `json:"failedRequests,omitempty"`
	// How long answers took, in a world in which that takes time.
	ConnectTime *Percentiles `json:"connectTime,omitempty"` // of connections, from when they were meant to be opened, lookup included
	RequestTime *Percentiles `json:"requestTime,omitempty"` // of requests, from when they were meant to be sent
	LookupTime  *Percentiles `json:"lookupTime,omitempty"`
}

// Percentiles are lengths of time that parts of the samples did not exceed: 1.25ms.
type Percentiles struct {
	N    int64  `json:"n"`
	P50  string `json:"p50"`
	P90  string `json:"p90"`
	P99  string `json:"p99"`
	P999 string `json:"p999"`
	Max  string `json:"max"`
}

// String is one line of a report.
func (p *Percentiles) String() string {
	return fmt.Sprintf("p50 %s, p90 %s, p99 %s, p99.9 %s, max %s", p.P50, p.P90, p.P99, p.P999, p.Max)
}

// timed is a distribution of lengths of time, and of what.
type timed struct {
	what string
	p    *Percentiles
}

// times are the distributions that were measured.
func (t *Traffic) times() (out []timed) {
	for _, x := range []timed{{"connections", t.ConnectTime}, {"requests", t.RequestTime}, {"lookups", t.LookupTime}} {
		if x.p != nil {
			out = append(out, x)
		}
	}
	return out
}

// ExitCode is 0 when all is well, 1 when a check failed, and with strict 4 when something stayed open.
func (r *Report) ExitCode(strict bool) int {
	switch r.Verdict {
	case Fail:
		return 1
	case Inconclusive, NotCompared:
		if strict {
			return 4
		}
	}
	return 0
}
