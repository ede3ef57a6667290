package web

import (
	"bytes"
	"image/color"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/svclab/svclab/sim/report"
)

// maxPlotted bounds the endpoints of one plot.
const maxPlotted = 200

// The colours of a plot: dark enough on white, told apart without colour by their shapes.
var (
	ink      = color.RGBA{0x1f, 0x29, 0x37, 0xff}
	muted    = color.RGBA{0x6b, 0x72, 0x80, 0xff}
	expected = color.RGBA{0xb4, 0x53, 0x09, 0xff}
	measured = color.RGBA{0x1d, 0x4e, 0xd8, 0xff}
)

// distribution plots each endpoint's share: the expected one as a line across, the measured one as a dot in its interval. It
// returns "" for a check without shares.
func distribution(c *report.Check) (string, error) {
	n := len(c.Backends)
	if n < 2 || n > maxPlotted || c.N == 0 {
		return "", nil
	}
	var want, got plotter.XYs
	high := 0.0
	var bars plotter.YErrors
	for i, b := range c.Backends {
		x, y := float64(i), 100*float64(b.Observed)/float64(c.N)
		e, ok := share(b.Expected)
		if !ok {
			return "", nil
		}
		want = append(want, plotter.XY{X: x, Y: 100 * e})
		got = append(got, plotter.XY{X: x, Y: y})
		down, up := y, y
		if b.Low != nil && b.High != nil {
			down, up = 100*float64(*b.Low), 100*float64(*b.High)
		}
		bars = append(bars, struct{ Low, High float64 }{max(y-down, 0), max(up-y, 0)})
		high = max(high, up, 100*e, y)
	}
	p := plot.New()
	p.BackgroundColor = color.Transparent
	p.Y.Label.Text = "share of connections, %"
	p.X.Min, p.X.Max = -0.6, float64(n)-0.4
	p.Y.Min, p.Y.Max = 0, high*1.1 // from zero: a share is a part of the whole
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Color, a.Label.TextStyle.Color, a.Tick.Color, a.Tick.Label.Color = muted, ink, muted, ink
	}
	p.X.Tick.Marker = names(c.Backends)
	if n > 6 {
		p.X.Tick.Label.Rotation, p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = 0.6, draw.XRight, draw.YCenter
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = nil, color.RGBA{0xe5, 0xe7, 0xeb, 0xff}
	p.Add(grid)
	for _, w := range want {
		l, err := plotter.NewLine(plotter.XYs{{X: w.X - 0.3, Y: w.Y}, {X: w.X + 0.3, Y: w.Y}})
		if err != nil {
			return "", err
		}
		l.Color, l.Width = expected, vg.Points(2.5)
		p.Add(l)
	}
	e, err := plotter.NewYErrorBars(struct {
		plotter.XYer
		plotter.YErrorer
	}{got, bars})
	if err != nil {
		return "", err
	}
	e.Color, e.Width, e.CapWidth = measured, vg.Points(1.2), vg.Points(8)
	dots, err := plotter.NewScatter(got)
	if err != nil {
		return "", err
	}
	dots.GlyphStyle = draw.GlyphStyle{Color: measured, Radius: vg.Points(3), Shape: draw.CircleGlyph{}}
	p.Add(e, dots)
	return svg(p, vg.Length(max(440, min(24*n+120, 1400))), 240)
}

// names marks every endpoint, or as many as have room.
func names(list []report.Backend) plot.ConstantTicks {
	var out plot.ConstantTicks
	step := (len(list) + 39) / 40
	for i, b := range list {
		t := plot.Tick{Value: float64(i)}
		if i%step == 0 {
			t.Label = b.Endpoint
		}
		out = append(out, t)
	}
	return out
}

// svg draws the plot; the XML header is left out, since it stands inside a page.
func svg(p *plot.Plot, width, height vg.Length) (string, error) {
	c := vgsvg.New(width, height)
	p.Draw(draw.New(c))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return "", err
	}
	_, s, ok := strings.Cut(b.String(), "<svg")
	if !ok {
		return "", nil
	}
	return "<svg role=\"img\" aria-label=\"share of connections by endpoint; the table beside it has the numbers\"" + s, nil
}
