package check

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/sim/measure"
)

func someMetrics() *measure.Metrics {
	var m measure.Metrics
	d := measure.NewDurations("connect_duration")
	for i := 1; i <= 100; i++ {
		d.AddDuration(time.Duration(i) * 10 * time.Microsecond) // 10 µs … 1 ms
	}
	m.Add(d)
	r := measure.NewRate("connect_failed")
	for i := range 200 {
		r.Add(i < 2)
	}
	m.Add(r)
	c := measure.NewCounter("connections")
	c.Add(200)
	m.Add(c)
	n := measure.NewNumbers("rules_passed", measure.UnitCount)
	n.Add(8)
	n.Add(9)
	m.Add(n)
	m.Add(measure.NewDurations("idle"))
	return &m
}

// Expectations: arithmetic on the samples above, on both sides of equality.
func TestThresholds(t *testing.T) {
	for _, c := range []struct {
		metric, text string
		want         Verdict
	}{
		{"connect_duration", "p(99) < 3ms", Pass},
		{"connect_duration", "p(99)<0.99ms", Fail},
		{"connect_duration", "p(99) <= 990us", Pass},
		{"connect_duration", "p(99) <= 0.99", Pass}, // milliseconds, as in k6
		{"connect_duration", "max >= 1ms", Pass},
		{"connect_duration", "max > 1ms", Fail},
		{"connect_duration", "avg == 505us", Pass},
		{"connect_duration", "avg != 505us", Fail},
		{"connect_duration", "med <= 500us", Pass},
		{"connect_duration", "min === 10µs", Pass},
		{"connect_duration", "count == 100", Pass},
		{"connect_failed", "rate < 0.01", Fail},
		{"connect_failed", "rate <= 0.01", Pass},
		{"connect_failed", "rate <= 1%", Pass},
		{"connections", "count >= 200", Pass},
		{"rules_passed", "avg <= 8.5", Pass},
		{"rules_passed", "avg < 8.5", Fail},
		{"idle", "avg < 1ms", Inconclusive},
	} {
		th, err := ParseThreshold(c.metric, c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if again, err := ParseThreshold(c.metric, th.String()); err != nil || again.String() != th.String() {
			t.Errorf("%s prints as %s, which does not read back: %v", c.text, th, err)
		}
		r, err := th.Check(c.text, someMetrics())
		if err != nil || r.Verdict != c.want {
			t.Errorf("%s %s: %v (%s) %v, want %v", c.metric, c.text, r.Verdict, r.Reason, err, c.want)
		}
	}
}

func TestThresholdRefuses(t *testing.T) {
	var ie *InputError
	for _, text := range []string{"", "p(99)", "p(99) < ", "< 3ms", "p(200) < 3ms", "p99 < 3ms", "avg < 3 parsecs", "avg < 3fs", "avg < -1", "avg < 1e9", "avg ~ 3"} {
		if th, err := ParseThreshold("m", text); !errors.As(err, &ie) {
			t.Errorf("%q read as %v (%v)", text, th, err)
		}
	}
	for _, c := range []struct{ metric, text string }{{"connections", "count < 3ms"}, {"connect_duration", "avg < 3%"}, {"connections", "avg < 3"}} {
		th, err := ParseThreshold(c.metric, c.text)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := th.Check("c", someMetrics()); err == nil {
			t.Errorf("%s over %s: %v", c.text, c.metric, r)
		}
	}
}

func TestUnknownMetricNamesTheNearest(t *testing.T) {
	th, err := ParseThreshold("conect_duration", "avg < 3ms")
	if err != nil {
		t.Fatal(err)
	}
	_, err = th.Check("c", someMetrics())
	var ue *UnknownMetricError
	if !errors.As(err, &ue) || ue.Nearest[0] != "connect_duration" || !strings.Contains(err.Error(), "did you mean connect_duration") {
		t.Errorf("got %v", err)
	}
}
