package curve

import (
	"fmt"
	"image/color"
	"io"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The colours and shapes of the series: dark enough on white, told apart without colour by their shapes.
var (
	colours = []color.Color{
		color.RGBA{0x1d, 0x4e, 0xd8, 0xff}, color.RGBA{0xb4, 0x53, 0x09, 0xff}, color.RGBA{0x04, 0x78, 0x57, 0xff}, color.RGBA{0x9d, 0x17, 0x4d, 0xff},
	}
	glyphs = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.CrossGlyph{}}
)

// SVG draws, for every series, what the kernel took for the last Service (dots, p10) and the model's rules at the series' price
// (dashed lines).
func (r *Result) SVG(w io.Writer) error {
	p := plot.New()
	p.Title.Text = "Connecting to the last of many Services"
	p.X.Label.Text, p.Y.Label.Text = "Services", "µs to connect, p10"
	p.X.Min, p.Y.Min = 0, 0
	p.Legend.Top, p.Legend.Left = true, true
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = nil, color.RGBA{0xe5, 0xe7, 0xeb, 0xff}
	p.Add(grid)
	for i := range r.Lines {
		l := &r.Lines[i]
		if len(l.Points) == 0 {
			continue
		}
		kernel, model := l.curves()
		dots, err := plotter.NewScatter(kernel)
		if err != nil {
			return err
		}
		dots.GlyphStyle = draw.GlyphStyle{Color: colours[i%len(colours)], Radius: vg.Points(3.5), Shape: glyphs[i%len(glyphs)]}
		line, err := plotter.NewLine(model)
		if err != nil {
			return err
		}
		line.Color, line.Width, line.Dashes = colours[i%len(colours)], vg.Points(1.2), []vg.Length{vg.Points(5), vg.Points(3)}
		p.Add(line, dots)
		p.Legend.Add(fmt.Sprintf("%s, kernel: %s", l.Series.Name, l.Shape), dots)
		p.Legend.Add(l.Series.Name+", model", line)
	}
	c := vgsvg.New(720, 480)
	p.Draw(draw.New(c))
	_, err := c.WriteTo(w)
	return err
}

// curves are the points measured, and the model's: the rules it tries beyond the first Service's, at the fitted price, on top of
// what the first Service takes.
func (l *Line) curves() (kernel, model plotter.XYs) {
	for i := range l.Points {
		p := &l.Points[i]
		x := float64(p.Services)
		kernel = append(kernel, plotter.XY{X: x, Y: (p.Base + p.Extra.Value) / 1e3})
		model = append(model, plotter.XY{X: x, Y: (l.Fit.Base + l.Fit.PerRule.Value*float64(p.LastRules-p.FirstRules)) / 1e3})
	}
	return kernel, model
}
