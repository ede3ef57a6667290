package check

// MeasuredFinding is the evidence of a threshold.
type MeasuredFinding struct {
	Metric string
	Want   string // the threshold as written
	Got    string // the statistic with its unit
}
