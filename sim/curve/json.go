package curve

import (
	"encoding/json"
	"io"
	"math"
	"time"

	"github.com/svclab/svclab/sim/report"
)

// document is the JSON form: fields in this order.
type document struct {
	SchemaVersion string      `json:"schemaVersion"`
	Kind          string      `json:"kind"`
	Seed          uint64      `json:"seed"`
	Rounds        int         `json:"rounds"`
	Blocks        int         `json:"blocksPerVisit"`
	Connects      int         `json:"connectsPerBlock"`
	Rule          string      `json:"rule"`
	Series        []lineJSON  `json:"series"`
	Ratios        []ratioJSON `json:"ratios,omitempty"`
}

type lineJSON struct {
	Name    string      `json:"name"`
	Vehicle string      `json:"vehicle"`
	Variant string      `json:"variant"`
	Mode    string      `json:"mode"`
	Release string      `json:"release,omitempty"`
	Shape   Shape       `json:"verdict"`
	Why     string      `json:"reason,omitempty"`
	Missing string      `json:"missing,omitempty"`
	Bound   *boundJSON  `json:"bound,omitempty"`
	Fit     *fitJSON    `json:"fit,omitempty"`
	Points  []pointJSON `json:"points"`
}

type boundJSON struct {
	PerService report.Number `json:"nsPerService"`
	Against    string        `json:"against,omitempty"`
}

type fitJSON struct {
	PerService estimateJSON  `json:"nsPerService"`
	PerRule    *estimateJSON `json:"nsPerRule,omitempty"`
	R2         report.Number `json:"r2"`
	R2From     int           `json:"r2FromServices"`
	First      estimateJSON  `json:"firstNsPerService"`
	Base       report.Number `json:"baseUs"`
	Rounds     int           `json:"rounds"`
}

// estimateJSON has no ends where too little was measured for an interval.
type estimateJSON struct {
	Value report.Number  `json:"value"`
	Low   *report.Number `json:"low,omitempty"`
	High  *report.Number `json:"high,omitempty"`
}

type pointJSON struct {
	Services int          `json:"services"`
	First    spreadJSON   `json:"first"`
	Last     spreadJSON   `json:"last"`
	Extra    estimateJSON `json:"extraUs"`
	Failed   int          `json:"failedBlocks,omitempty"`
	Update   updateJSON   `json:"updateMs"`
}

type spreadJSON struct {
	Rules int           `json:"modelRules"`
	P10   report.Number `json:"p10Us"`
	P50   report.Number `json:"p50Us"`
}

type updateJSON struct {
	Full report.Number  `json:"full"`
	One  *report.Number `json:"one,omitempty"`
}

type ratioJSON struct {
	Series string       `json:"series"`
	To     string       `json:"to"`
	Slopes estimateJSON `json:"slopes"`
}

func micros(d time.Duration) report.Number { return report.Number(float64(d) / 1e3) }
func millis(d time.Duration) report.Number { return report.Number(float64(d) / 1e6) }

// JSON writes the result as one document.
func (r *Result) JSON(w io.Writer) error {
	d := document{
		SchemaVersion: report.SchemaVersion, Kind: "Curve", Seed: r.Seed, Rounds: r.Rounds, Blocks: r.Blocks, Connects: r.Connects,
		Rule: Rule, Series: []lineJSON{},
	}
	for i := range r.Lines {
		d.Series = append(d.Series, r.Lines[i].json())
	}
	for _, q := range r.Ratios() {
		d.Ratios = append(d.Ratios, ratioJSON{q.Series, q.To, q.json(1)})
	}
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// json divides by a unit.
func (e Estimate) json(unit float64) estimateJSON {
	j := estimateJSON{Value: report.Number(e.Value / unit)}
	if !math.IsInf(e.Low, 0) && !math.IsInf(e.High, 0) {
		low, high := report.Number(e.Low/unit), report.Number(e.High/unit)
		j.Low, j.High = &low, &high
	}
	return j
}

func (l *Line) json() lineJSON {
	j := lineJSON{
		Name: l.Series.Name, Vehicle: string(l.Series.Vehicle), Variant: string(l.Series.Variant), Mode: string(l.Series.Mode),
		Release: l.Release, Shape: l.Shape, Why: l.Why, Points: []pointJSON{},
	}
	if l.Missing != nil {
		j.Missing = l.Missing.Error()
	}
	if len(l.Points) > 0 {
		f := &l.Fit
		j.Bound = &boundJSON{report.Number(l.Bound), l.Against}
		j.Fit = &fitJSON{
			PerService: f.PerService.json(1), R2: report.Number(f.R2), R2From: f.R2From, First: f.First.json(1),
			Base: report.Number(f.Base / 1e3), Rounds: f.Rounds,
		}
		if f.PerRule.Value != 0 {
			e := f.PerRule.json(1)
			j.Fit.PerRule = &e
		}
	}
	for _, p := range l.Points {
		q := pointJSON{
			Services: p.Services, First: spreadJSON{p.FirstRules, micros(p.First.P10), micros(p.First.P50)},
			Last: spreadJSON{p.LastRules, micros(p.Last.P10), micros(p.Last.P50)}, Extra: p.Extra.json(1e3), Failed: p.Failed,
			Update: updateJSON{Full: millis(p.FullUpdate)},
		}
		if p.OneUpdate > 0 {
			one := millis(p.OneUpdate)
			q.Update.One = &one
		}
		j.Points = append(j.Points, q)
	}
	return j
}
