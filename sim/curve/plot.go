package curve

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// look is how a series is drawn: its colour is dark enough on white, and without colour its points and the dashes of its line tell
// it from others.
type look struct {
	colour color.Color
	glyph  draw.GlyphDrawer
	dashes []vg.Length
}

var looks = []look{
	{color.RGBA{0x1d, 0x4e, 0xd8, 0xff}, draw.CircleGlyph{}, []vg.Length{vg.Points(6), vg.Points(3)}},
	{color.RGBA{0xb4, 0x53, 0x09, 0xff}, draw.BoxGlyph{}, []vg.Length{vg.Points(2), vg.Points(2)}},
	{color.RGBA{0x04, 0x78, 0x57, 0xff}, draw.PyramidGlyph{}, []vg.Length{vg.Points(10), vg.Points(3), vg.Points(2), vg.Points(3)}},
	{color.RGBA{0x9d, 0x17, 0x4d, 0xff}, draw.RingGlyph{}, []vg.Length{vg.Points(14), vg.Points(4)}},
}

// SVG draws, for every series, what the kernel took for the last Service, as points with their intervals, and the model's rules at
// the series' price, as a dashed line. Points are the first Service's time and the extra time that the slope is fitted to.
func (r *Result) SVG(w io.Writer) error {
	p := plot.New()
	p.Title.Text = "Connecting to the last of many Services"
	p.Title.TextStyle.Font.Size = vg.Points(15)
	p.Title.Padding = vg.Points(8)
	p.X.Label.Text = "Services   (points: kernel, with 95 % intervals; lines: the rules that the model tries, at the fitted price)"
	p.Y.Label.Text = "µs to connect to the last Service (fastest blocks)"
	p.X.Min, p.Y.Min = 0, 0
	p.X.Tick.Marker, p.Y.Tick.Marker = ticks{}, ticks{}
	for _, s := range []*draw.TextStyle{&p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		s.Font.Size = vg.Points(11)
	}
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.XOffs, p.Legend.YOffs, p.Legend.Padding, p.Legend.ThumbnailWidth = vg.Points(12), vg.Points(-8), vg.Points(2), vg.Points(42)
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = nil, color.RGBA{0xe5, 0xe7, 0xeb, 0xff}
	p.Add(grid)
	for i := range r.Lines {
		if l := &r.Lines[i]; len(l.Points) > 0 {
			if err := l.draw(p, looks[i%len(looks)]); err != nil {
				return err
			}
		}
	}
	p.X.Max, p.Y.Max = 1.02*p.X.Max, 1.05*p.Y.Max
	c := vgsvg.New(vg.Points(680), vg.Points(460))
	p.Draw(draw.Crop(draw.New(c), vg.Points(6), vg.Points(-14), vg.Points(6), vg.Points(-6)))
	_, err := c.WriteTo(w)
	return err
}

// measured are points with their intervals.
type measured struct {
	plotter.XYs
	plotter.YErrors
}

// draw adds a line's points, and the model's rules: those it tries beyond the first Service's, at the fitted price, on top of what
// the first Service takes.
func (l *Line) draw(p *plot.Plot, as look) error {
	var kernel measured
	var model plotter.XYs
	for i := range l.Points {
		q := &l.Points[i]
		x, y := float64(q.Services), (q.Base+q.Extra.Value)/1e3
		kernel.XYs = append(kernel.XYs, plotter.XY{X: x, Y: y})
		var bar struct{ Low, High float64 }
		if !math.IsInf(q.Extra.Low, 0) {
			bar.Low, bar.High = (q.Extra.Low-q.Extra.Value)/1e3, (q.Extra.High-q.Extra.Value)/1e3
		}
		kernel.YErrors = append(kernel.YErrors, bar)
		model = append(model, plotter.XY{X: x, Y: (l.Fit.Base + l.Fit.PerRule.Value*float64(q.LastRules-q.FirstRules)) / 1e3})
	}
	dots, err := plotter.NewScatter(kernel.XYs)
	if err != nil {
		return err
	}
	dots.GlyphStyle = draw.GlyphStyle{Color: as.colour, Radius: vg.Points(4), Shape: as.glyph}
	bars, err := plotter.NewYErrorBars(kernel)
	if err != nil {
		return err
	}
	bars.Color, bars.Width, bars.CapWidth = as.colour, vg.Points(1), vg.Points(7)
	line, err := plotter.NewLine(model)
	if err != nil {
		return err
	}
	line.Color, line.Width, line.Dashes = as.colour, vg.Points(1.3), as.dashes
	p.Add(line, bars, dots)
	p.Legend.Add(fmt.Sprintf("%s, kernel: %s", l.Series.Name, l.says()), dots)
	p.Legend.Add(l.Series.Name+", model", line)
	return nil
}

// says is the shape with its slope.
func (l *Line) says() string {
	if l.Shape != Linear {
		return string(l.Shape)
	}
	return fmt.Sprintf("%s, %.3g ns a Service", l.Shape, l.Fit.PerService.Value)
}

// ticks are four to eight numbers at round steps, as people read them: 10,000.
type ticks struct{}

// Ticks is plot.Ticker.
func (ticks) Ticks(low, high float64) []plot.Tick {
	var list []plot.Tick
	if !(high > low) || math.IsInf(high-low, 0) {
		return list
	}
	step := math.Pow(10, math.Floor(math.Log10((high-low)/4)))
	for _, m := range []float64{5, 2} {
		if (high-low)/(m*step) >= 4 {
			step *= m
			break
		}
	}
	for i := math.Ceil(low / step); i*step <= high; i++ {
		label := strconv.FormatFloat(i*step, 'g', 3, 64)
		if step >= 1 {
			label = thousands(int(i * step))
		}
		list = append(list, plot.Tick{Value: i * step, Label: label})
	}
	return list
}

// thousands spells a number with its thousands set apart.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
