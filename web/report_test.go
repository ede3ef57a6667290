package web

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"encoding/xml"

	"github.com/svclab/svclab/sim/report"
)

func sample(endpoints int) *report.Report {
	c := report.Check{Name: "t shares", Service: "default/x", Verdict: report.Fail, Reason: "off <by> much", N: int64(endpoints) * 1000, EValue: report.Num(1e9), Reproduce: "svclab compare x.yaml --only t"}
	for i := range endpoints {
		share := 1 / float64(endpoints)
		c.Backends = append(c.Backends, report.Backend{
			Endpoint: fmt.Sprintf("10.0.0.%d:80", i), Expected: fmt.Sprintf("1/%d", endpoints), Observed: 1000, Low: report.Num(share * 0.9), High: report.Num(share * 1.1),
		})
	}
	c.Power = &report.Power{Powers: []report.Number{0.5}, Rows: []report.PowerRow{{Effect: 0.05, Connections: []int64{1234567}}}, Margin: []int64{0}}
	return &report.Report{
		Scenario: "<script>alert(1)</script>", Verdict: report.Fail, World: "kernel", Seed: 7, Kernel: &report.Kernel{Vehicle: "rootless", Release: "6.18", Variant: "nft"},
		Services: []report.Service{{Service: "default/x", Verdict: report.Fail}}, Traffic: []report.Traffic{{Name: "t", Connections: 1000000}},
		Checks: []report.Check{c, {Name: "rules", Verdict: report.NotCompared, Reason: "no kernel", Differences: []string{"-A <X>"}}},
		Known:  []report.Known{{ID: "k", What: "ports", Reason: "drawn"}}, Warnings: []string{"careful"},
		Timeline: []report.Moment{{At: "1m30s", What: "endpoint <x> dies", Node: "node-1", Log: []string{"a line"}}},
	}
}

func pageOf(t *testing.T, r *report.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteReport(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A page holds what the report holds, escaped, with its style and plots inside and nothing to fetch.
func TestReport(t *testing.T) {
	p := pageOf(t, sample(3))
	for _, want := range []string{
		"&lt;script&gt;alert(1)&lt;/script&gt;", "✗ FAIL", "? NOT-COMPARED", "off &lt;by&gt; much", "10.0.0.2:80", "33.33 %", "30.00 to 36.67 %", "1\u202f000\u202f000",
		"svclab compare x.yaml --only t", "1\u202f234\u202f567", "never", "-A &lt;X&gt;", "Kernel 6.18, rootless, iptables nft", "careful", "drawn", "1m30s", "endpoint &lt;x&gt; dies", "a line", "<svg role=\"img\"", "<style>:root",
	} {
		if !strings.Contains(p, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	if m := regexp.MustCompile(`(?i)(src|href)\s*=|url\(|@import|<script`).FindString(p); m != "" {
		t.Errorf("the page is not complete in itself: %q", m)
	}
	if p != pageOf(t, sample(3)) {
		t.Error("one report, two pages")
	}
}

// Plots are well-formed from two endpoints to the most that are plotted; beyond, and below, the table stands alone.
func TestPlot(t *testing.T) {
	for n, plotted := range map[int]bool{1: false, 2: true, 10: true, 100: true, maxPlotted: true, maxPlotted + 1: false} {
		p := pageOf(t, sample(n))
		_, svg, ok := strings.Cut(p, "<svg")
		if ok != plotted {
			t.Errorf("%d endpoints: plotted %v", n, ok)
			continue
		}
		if !ok {
			continue
		}
		svg, _, _ = strings.Cut(svg, "</svg>")
		d := xml.NewDecoder(strings.NewReader("<svg" + svg + "</svg>"))
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%d endpoints: %v", n, err)
			}
		}
		if got := strings.Count(svg, "10.0.0."); got == 0 || got > 40 {
			t.Errorf("%d endpoints: %d names", n, got)
		}
	}
	odd := sample(2)
	odd.Checks[0].N = 0
	odd.Checks[0].Backends[0].Low = nil
	pageOf(t, odd)
	odd.Checks[0].N, odd.Checks[0].Backends[0].Expected = 10, "no share"
	pageOf(t, odd)
}
