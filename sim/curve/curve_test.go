package curve

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/kernel"
)

func TestMain(m *testing.M) {
	box.Init()
	os.Exit(m.Run())
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
			if len(l.changes) != changes {
				t.Errorf("%s, %d Services: %d changes", mode, n, len(l.changes))
			}
			for i, ops := range l.changes {
				if len(ops) == 0 || len(ops) >= len(l.full) {
					t.Errorf("%s, %d Services: %d operations at first, %d for change %d", mode, n, len(l.full), len(ops), i)
				}
			}
		}
	}
}

// TestTurns: neighbours take turns, so that each target is first in a pair as often as second, and a slope in time meets both alike.
func TestTurns(t *testing.T) {
	began := map[int]bool{}
	rng := generator("turns")
	for range 20 {
		order := turns(rng, 6)
		began[order[0]] = true
		when := [2]int{}
		for i, target := range order {
			when[target] += i
		}
		if len(order) != 12 || when[toFirst] != when[toLast] {
			t.Errorf("%v", order)
		}
	}
	if len(began) != 2 {
		t.Errorf("always %v begins", began)
	}
}

// made is a result of two series in one vehicle and one that is missing.
func made() *Result {
	r := &Result{Seed: 1, Rounds: 20, Blocks: 10, Connects: 5}
	for i, s := range AllSeries()[2:] {
		l := world{perService: 5.4 * float64(1-i), noise: quiet}.line(generator(s.Name), 20, 10)
		l.Series, l.Release = s, "6.1"
		r.Lines = append(r.Lines, *l)
	}
	r.Lines = append(r.Lines, Line{Series: Series{Name: "absent"}, Missing: &box.MissingError{What: "uml", Reason: box.NoTool}})
	r.judge()
	return r
}

// TestPrint: a result is a table, a JSON document and a plot, and each says what shape every series has.
func TestPrint(t *testing.T) {
	r := made()
	var table, doc, svg bytes.Buffer
	for _, err := range []error{r.Table(&table), r.JSON(&doc), r.SVG(&svg)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		"linear: 5.4 (", "flat: ", "a twentieth of uml-iptables", "NOT-COMPARED: uml: a program is not installed", "times as steep as uml-iptables", "first / last",
	} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, table.String())
		}
	}
	var d document
	if err := json.Unmarshal(doc.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if d.Kind != "Curve" || len(d.Series) != 3 || d.Series[0].Shape != Linear || d.Series[1].Shape != Flat || d.Series[2].Shape != NoLine || len(d.Series[0].Points) != 5 {
		t.Errorf("%s", doc.String())
	}
	if s := d.Series[1]; s.Bound.Against != "uml-iptables" || s.Fit.First.Low == nil || s.Fit.PerService.Low == nil || s.Missing != "" || len(d.Ratios) != 1 {
		t.Errorf("%+v %+v", s, d.Ratios)
	}
	for _, want := range []string{"uml-iptables, kernel: linear", "uml-iptables, model", "uml-ipvs, kernel: flat"} {
		if !strings.Contains(svg.String(), want) {
			t.Errorf("the plot says nothing of %q", want)
		}
	}
	for dec := xml.NewDecoder(&svg); ; {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// TestFew: of too little nothing is said, and it prints.
func TestFew(t *testing.T) {
	for _, rounds := range []int{0, 1, 5} {
		l := world{perService: 5, noise: quiet}.line(generator("few"), rounds, 4)
		r := &Result{Lines: []Line{*l}}
		if r.judge(); r.Lines[0].Shape != TooNoisy {
			t.Errorf("%d rounds: %s", rounds, r.Lines[0].Shape)
		}
		var b bytes.Buffer
		if err := errors.Join(r.Table(&b), r.JSON(&b), r.SVG(&b)); err != nil || strings.Contains(b.String(), "Inf") || strings.Contains(b.String(), "NaN") {
			t.Errorf("%d rounds: %v %s", rounds, err, b.String())
		}
	}
	two := world{perService: 5, noise: quiet}.line(generator("few"), 20, 4)
	two.Points = two.Points[:2]
	r := &Result{Lines: []Line{*two}}
	if r.judge(); r.Lines[0].Shape != TooNoisy || !strings.Contains(r.Lines[0].Why, "2 sizes") {
		t.Errorf("two sizes make %s: %s", r.Lines[0].Shape, r.Lines[0].Why)
	}
	var b bytes.Buffer
	if err := errors.Join((&Result{}).Table(&b), (&Result{}).JSON(&b), (&Result{}).SVG(&b)); err != nil {
		t.Error(err)
	}
}

// TestUnknownVehicle: what cannot be measured is an error or a series without points, and never a shape.
func TestUnknownVehicle(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r, err := Measure(ctx, Options{Series: AllSeries()[:1], Sizes: []int{1}, Rounds: 1, Blocks: 2, Connects: 1})
	if err == nil || len(r.Lines) != 1 || r.Lines[0].Shape != NoLine {
		t.Errorf("a context that has ended: %v %+v", err, r)
	}
	s := Series{Name: "nft in uml", Vehicle: kernel.VehicleUML, Variant: datapath.NFT, Mode: service.ModeIPTables}
	r, err = Measure(context.Background(), Options{Series: []Series{s}, Sizes: []int{1}, Rounds: 1, Blocks: 2, Connects: 1})
	if err != nil || r.Lines[0].Missing == nil || r.Lines[0].Shape != NoLine {
		t.Errorf("%v %+v", err, r.Lines[0])
	}
}

// TestKernelCurve measures small sizes for real: what comes out is a verdict about shape and nothing else.
func TestKernelCurve(t *testing.T) {
	if os.Getenv("SVCLAB_KERNEL_TESTS") != "1" {
		t.Skip("not asked for: kernel tests run under `make kernel-test` (SVCLAB_KERNEL_TESTS=1)")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var told []string
	r, err := Measure(ctx, Options{
		Series: AllSeries()[:1], Sizes: []int{300, 1, 100, 100}, Rounds: 8, Blocks: 10, Connects: 5, Seed: 1,
		Progress: func(s string) { told = append(told, s) },
	})
	if err != nil {
		t.Fatal(err)
	}
	l := r.Lines[0]
	if l.Missing != nil {
		t.Skip(l.Missing)
	}
	if len(l.Points) != 3 || l.Points[0].Services != 1 || l.Points[2].Services != 300 || len(told) == 0 || l.Fit.Rounds != 8 {
		t.Fatalf("%+v %q", l.Points, told)
	}
	for _, p := range l.Points {
		if p.First.P10 <= 0 || p.Last.P10 <= 0 || p.First.P50 < p.First.P10 || p.FullUpdate <= 0 || p.OneUpdate <= 0 || p.Failed > 0 {
			t.Errorf("%+v", p)
		}
	}
}
