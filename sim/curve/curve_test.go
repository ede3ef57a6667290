package curve

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/box"
)

func TestMain(m *testing.M) {
	box.Init()
	os.Exit(m.Run())
}

// line makes a line whose last Service costs perService ns for each Service, with block i of 40 moved by noise(i).
func line(perService float64, noise func(i int) time.Duration) *Line {
	l := &Line{Series: Series{Name: "made"}}
	for _, n := range []int{1, 1000, 3000, 10000} {
		p := Point{Services: n, FirstRules: 10, LastRules: 10 + n}
		for i := range 40 {
			p.first = append(p.first, 20*time.Microsecond+noise(i+n))
			p.last = append(p.last, 20*time.Microsecond+time.Duration(perService*float64(n))+noise(i+2*n))
		}
		p.First, p.Last = spread(p.first), spread(p.last)
		l.Points = append(l.Points, p)
	}
	l.judge(1)
	return l
}

// TestShape: made lines have the slope they were made with, and the shape that follows from it.
func TestShape(t *testing.T) {
	quiet := func(i int) time.Duration { return time.Duration(i*37%100) * time.Nanosecond }
	loud := func(i int) time.Duration { return time.Duration(i*7919%97) * time.Microsecond }
	for _, c := range []struct {
		per   float64
		noise func(int) time.Duration
		want  Shape
	}{{5, quiet, Linear}, {0, quiet, Flat}, {0.02, quiet, Flat}, {1, loud, TooNoisy}} {
		l := line(c.per, c.noise)
		if l.Shape != c.want {
			t.Errorf("%g ns a Service: %s, want %s: %+v", c.per, l.Shape, c.want, l.Fit)
		}
		if c.want == TooNoisy {
			continue
		}
		if math.Abs(l.Fit.PerService-c.per) > 0.1 || l.Fit.Low > c.per+0.01 || l.Fit.High < c.per-0.01 {
			t.Errorf("%g ns a Service: %+v", c.per, l.Fit)
		}
	}
	few := line(5, quiet)
	few.Points = few.Points[:2]
	if few.judge(1); few.Shape != TooNoisy {
		t.Errorf("two sizes make %s", few.Shape)
	}
}

// TestModelRules: in iptables mode the last of n Services stands n-1 rules behind the first; in ipvs mode no rule is about a Service.
func TestModelRules(t *testing.T) {
	for _, n := range []int{1, 50} {
		for mode, further := range map[service.Mode]int{service.ModeIPTables: n - 1, service.ModeIPVS: 0} {
			l, err := compile(n, mode, datapath.Legacy, "6.1")
			if err != nil {
				t.Fatal(err)
			}
			if got := l.lastRules - l.firstRules; got != further || l.firstRules == 0 {
				t.Errorf("%s, %d Services: %d rules, %d further for the last, want %d", mode, n, l.firstRules, got, further)
			}
			if len(l.one) == 0 || len(l.one) >= len(l.full) && mode == service.ModeIPVS {
				t.Errorf("%s, %d Services: %d operations at first, %d for one Service", mode, n, len(l.full), len(l.one))
			}
		}
	}
}

// TestPrint: a result is a table, a JSON document and a plot with a dot and a line for each series.
func TestPrint(t *testing.T) {
	l := line(5, func(int) time.Duration { return 0 })
	r := &Result{Seed: 1, Lines: []Line{*l, {Series: Series{Name: "absent"}, Shape: NoLine, Missing: &box.MissingError{What: "uml", Reason: box.NoTool}}}}
	var table, doc, svg bytes.Buffer
	for _, err := range []error{r.Table(&table), r.JSON(&doc), r.SVG(&svg)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if s := table.String(); !strings.Contains(s, "linear: 5 ns a Service") || !strings.Contains(s, "not measured further: uml: a program is not installed") {
		t.Error(s)
	}
	var d document
	if err := json.Unmarshal(doc.Bytes(), &d); err != nil || d.Kind != "Curve" || d.Series[0].Shape != Linear || d.Series[1].Shape != NoLine || len(d.Series[0].Points) != 4 {
		t.Errorf("%v %s", err, doc.String())
	}
	if s := svg.String(); !strings.Contains(s, "made, kernel: linear") || !strings.Contains(s, "made, model") {
		t.Error("the plot names no series")
	}
}

// TestKernelCurve measures small sizes for real: what comes out is a verdict about shape and nothing else.
func TestKernelCurve(t *testing.T) {
	if os.Getenv("SVCLAB_KERNEL_TESTS") != "1" {
		t.Skip("not asked for: kernel tests run under `make kernel-test` (SVCLAB_KERNEL_TESTS=1)")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	r, err := Measure(ctx, Options{Series: AllSeries()[:1], Sizes: []int{300, 1, 100}, Blocks: 30, Connects: 20, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	l := r.Lines[0]
	if l.Missing != nil {
		t.Skip(l.Missing)
	}
	if len(l.Points) != 3 || l.Points[0].Services != 1 || l.Points[2].Services != 300 || l.Points[2].Last.P10 <= 0 || l.Points[2].FullUpdate <= 0 {
		t.Errorf("%+v", l.Points)
	}
}
