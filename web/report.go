// Package web holds what is looked at in a browser. So far that is the HTML report of a scenario: one file with its style and
// its plots inside, which needs no network and can be attached to anything.
//
// It computes no result: a report.Report goes in. Plots are drawn by gonum/plot as SVG, with the page's own text around them.
package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"math/big"
	"strconv"

	"github.com/svclab/svclab/sim/report"
)

//go:embed template
var files embed.FS

var page = template.Must(template.New("report.html").Funcs(template.FuncMap{
	"percent":  percent,
	"interval": interval,
	"observed": observed,
	"sign":     sign,
	"number":   func(n *report.Number) string { return n.String() },
	"group":    group,
	"effect":   func(n report.Number) string { return strconv.FormatFloat(float64(n)*100, 'g', 3, 64) + " %" },
}).ParseFS(files, "template/report.html"))

// view is what the template sees.
type view struct {
	*report.Report
	Style  template.CSS
	Checks []checkView
}

type checkView struct {
	report.Check
	Plot template.HTML // SVG, or empty
}

// WriteReport writes a report as one self-contained HTML file.
func WriteReport(w io.Writer, r *report.Report) error {
	style, err := files.ReadFile("template/report.css")
	if err != nil {
		return err
	}
	v := view{Report: r, Style: template.CSS(style)}
	for _, c := range r.Checks {
		p, err := distribution(&c)
		if err != nil {
			return fmt.Errorf("plot of %s: %w", c.Name, err)
		}
		v.Checks = append(v.Checks, checkView{c, template.HTML(p)})
	}
	var b bytes.Buffer
	if err := page.Execute(&b, v); err != nil {
		return err
	}
	_, err = w.Write(b.Bytes())
	return err
}

// share reads an expected share: a fraction, or a decimal where the fraction is too long.
func share(s string) (float64, bool) {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return 0, false
	}
	x, _ := r.Float64()
	return x, true
}

func percent(s string) string {
	x, ok := share(s)
	if !ok {
		return s
	}
	return strconv.FormatFloat(x*100, 'f', 2, 64) + " %"
}

func observed(n, of int64) string {
	if of == 0 {
		return ""
	}
	return strconv.FormatFloat(100*float64(n)/float64(of), 'f', 2, 64) + " %"
}

func interval(b report.Backend) string {
	if b.Low == nil || b.High == nil {
		return ""
	}
	return fmt.Sprintf("%.2f to %.2f %%", 100*float64(*b.Low), 100*float64(*b.High))
}

func sign(verdict string) string {
	switch verdict {
	case report.Pass:
		return "✓"
	case report.Fail:
		return "✗"
	}
	return "?"
}

// group writes a number with thin spaces between thousands.
func group(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}
