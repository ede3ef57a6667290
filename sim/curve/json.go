package curve

import (
	"encoding/json"
	"io"
	"time"

	"github.com/svclab/svclab/sim/report"
)

// document is the JSON form: fields in this order.
type document struct {
	SchemaVersion string     `json:"schemaVersion"`
	Kind          string     `json:"kind"`
	Seed          uint64     `json:"seed"`
	Blocks        int        `json:"blocks"`
	Connects      int        `json:"connectsPerBlock"`
	Series        []lineJSON `json:"series"`
}

type lineJSON struct {
	Name    string      `json:"name"`
	Vehicle string      `json:"vehicle"`
	Variant string      `json:"variant"`
	Mode    string      `json:"mode"`
	Release string      `json:"release,omitempty"`
	Shape   Shape       `json:"verdict"`
	Missing string      `json:"missing,omitempty"`
	Fit     *fitJSON    `json:"fit,omitempty"`
	Points  []pointJSON `json:"points"`
}

type fitJSON struct {
	PerService slopeJSON     `json:"nsPerService"`
	PerRule    *slopeJSON    `json:"nsPerRule,omitempty"`
	R2         report.Number `json:"r2"`
	Base       report.Number `json:"baseNs"`
}

type slopeJSON struct {
	Slope report.Number `json:"slope"`
	Low   report.Number `json:"low"`
	High  report.Number `json:"high"`
}

type pointJSON struct {
	Services int        `json:"services"`
	First    spreadJSON `json:"first"`
	Last     spreadJSON `json:"last"`
	Update   updateJSON `json:"updateMs"`
}

type spreadJSON struct {
	Rules int           `json:"modelRules"`
	P10   report.Number `json:"p10Us"`
	P50   report.Number `json:"p50Us"`
}

type updateJSON struct {
	Full report.Number `json:"full"`
	One  report.Number `json:"oneService"`
}

func micros(d time.Duration) report.Number { return report.Number(float64(d) / 1e3) }
func millis(d time.Duration) report.Number { return report.Number(float64(d) / 1e6) }

// JSON writes the result as one document.
func (r *Result) JSON(w io.Writer) error {
	d := document{
		SchemaVersion: report.SchemaVersion, Kind: "Curve", Seed: r.Seed, Blocks: r.Blocks, Connects: r.Connects, Series: []lineJSON{},
	}
	for i := range r.Lines {
		d.Series = append(d.Series, r.Lines[i].json())
	}
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

func (l *Line) json() lineJSON {
	j := lineJSON{
		Name: l.Series.Name, Vehicle: string(l.Series.Vehicle), Variant: string(l.Series.Variant), Mode: string(l.Series.Mode),
		Release: l.Release, Shape: l.Shape, Points: []pointJSON{},
	}
	if l.Missing != nil {
		j.Missing = l.Missing.Error()
	}
	if len(l.Points) > 0 {
		f := &l.Fit
		j.Fit = &fitJSON{PerService: slopeJSON{report.Number(f.PerService), report.Number(f.Low), report.Number(f.High)}, R2: report.Number(f.R2), Base: report.Number(f.Base)}
		if f.PerRule != 0 {
			j.Fit.PerRule = &slopeJSON{report.Number(f.PerRule), report.Number(f.RuleLow), report.Number(f.RuleHigh)}
		}
	}
	for _, p := range l.Points {
		j.Points = append(j.Points, pointJSON{
			Services: p.Services, First: spreadJSON{p.FirstRules, micros(p.First.P10), micros(p.First.P50)},
			Last:   spreadJSON{p.LastRules, micros(p.Last.P10), micros(p.Last.P50)},
			Update: updateJSON{millis(p.FullUpdate), millis(p.OneUpdate)},
		})
	}
	return j
}
