package scenario

import (
	"strings"
	"testing"
	"time"
)

const head = `apiVersion: svclab/v1alpha1
kind: Scenario
metadata: {name: s}
spec:
  manifests: [a.yaml]
`

// Each scenario has one fault; the expectation is written by hand from the text: its place, and what the message must hold.
func TestFaults(t *testing.T) {
	traffic := head + "  traffic:\n  - {name: t, from: {pods: 1}, to: {service: a/b}, connections: 10}\n"
	for name, c := range map[string]struct{ text, place, holds string }{
		"unknown field":       {head + "  trafic: []\n", "s.yaml:6:3", `did you mean "traffic"?`},
		"unknown far field":   {head + "  zzzzzzzzzzzz: 1\n", "s.yaml:6:3", `no field "zzzzzzzzzzzz"`},
		"field twice":         {traffic + "  seed: 1\n  seed: 2\n", "s.yaml:9:3", "first on line 8"},
		"no unit":             {traffic + "  events:\n  - {at: 30, endpoint: {address: 10.0.0.1}}\n", "s.yaml:9:10", `write 30s`},
		"not a duration":      {traffic + "  events:\n  - {at: soon, endpoint: {address: 10.0.0.1}}\n", "s.yaml:9:10", `30s, 1m30s`},
		"rate without unit":   {strings.Replace(traffic, "connections: 10", "connections: 10, rate: 1000", 1), "s.yaml:7:75", "write 1000/s"},
		"truth as name":       {strings.Replace(traffic, "name: t", "name: no", 1), "s.yaml:7:12", `truth value false to YAML 1.1: put it in quotes: "no"`},
		"octal number":        {strings.Replace(traffic, "connections: 10", "connections: 0777", 1), "s.yaml:7:65", "octal, 511: write 777"},
		"octal text":          {strings.Replace(traffic, "name: t", "name: 0777", 1), "s.yaml:7:12", "octal"},
		"other truth":         {strings.Replace(traffic, "{pods: 1}", "{node: yes}", 1), "s.yaml:7:28", "write true"},
		"not an address":      {strings.Replace(traffic, "{pods: 1}", "{addresses: [10.0.0.999]}", 1), "s.yaml:7:34", `"10.0.0.999" is not an IP address`},
		"port too large":      {strings.Replace(traffic, "a/b}", "a/b, port: 99999}", 1), "s.yaml:7:57", "99999 is not between 1 and 65535"},
		"two sources":         {strings.Replace(traffic, "{pods: 1}", "{pods: 1, node: true}", 1), "s.yaml:7:21", "exactly one of pods"},
		"no destination":      {strings.Replace(traffic, "{service: a/b}", "{port: 80}", 1), "s.yaml:7:36", "exactly one of service, address"},
		"enum":                {strings.Replace(traffic, "connections: 10", "connections: 10, protocol: tpc", 1), "s.yaml:7:79", `did you mean "tcp"?`},
		"missing field":       {strings.Replace(traffic, "to: {service: a/b}, ", "", 1), "s.yaml:7:5", `lacks the field "to"`},
		"two bodies":          {traffic + "  checks:\n  - {name: c, threshold: {metric: x, expect: rate < 1}, reachable: {traffic: t, expect: answered}}\n", "s.yaml:9:5", "exactly one of shares"},
		"bad threshold":       {traffic + "  checks:\n  - {name: c, threshold: {metric: x, expect: p(99) < 3 parsecs}}\n", "s.yaml:9:46", "parsecs"},
		"empty event":         {traffic + "  events:\n  - {at: 3s}\n", "s.yaml:9:5", "exactly one of endpoint, add, scale"},
		"idle update":         {traffic + "  events:\n  - {at: 3s, rollingUpdate: {service: a/b}}\n", "s.yaml:9:29", "needs maxSurge or maxUnavailable"},
		"burst of nothing":    {strings.Replace(traffic, "connections: 10", "connections: 10, arrivals: bursts", 1), "s.yaml:7:5", "write burst: 10"},
		"unknown step":        {traffic + "  proxy: {without: [udpClean]}\n", "s.yaml:8:21", `did you mean "udpCleanup"?`},
		"no such cluster":     {traffic + "  cluster: {nodes: 251, services: []}\n", "s.yaml:8:12", "1 to 250 nodes"},
		"check of no traffic": {traffic + "  checks:\n  - {name: c, shares: {traffic: u, expect: uniform}}\n", "s.yaml:9:33", `there is no traffic "u"`},
		"bad expectation":     {traffic + "  checks:\n  - {name: c, shares: {traffic: t, expect: unifrom}}\n", "s.yaml:9:44", `did you mean "uniform"?`},
		"bad share":           {traffic + "  checks:\n  - {name: c, shares: {traffic: t, expect: {\"10.0.0.1:80\": 1/0}}}\n", "s.yaml:9:60", "divides by zero"},
		"empty":               {"", "s.yaml", "empty"},
		"two documents":       {traffic + "---\n" + traffic, "s.yaml:9:1", "a second begins here"},
		"no mapping":          {"[]", "s.yaml:1:1", "must be a mapping"},
		"null":                {head + "  traffic:\n", "s.yaml:6:11", "has no value"},
		"other kind":          {strings.Replace(traffic, "kind: Scenario", "kind: Service", 1), "s.yaml:1:1", `kind "Service" is unknown`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read("s.yaml", []byte(c.text))
			if err == nil {
				t.Fatal("no error")
			}
			if got := err.Error(); !strings.HasPrefix(got, c.place+": ") || !strings.Contains(got, c.holds) {
				t.Errorf("want %s … %s\ngot\n%s", c.place, c.holds, got)
			}
		})
	}
}

// The caret stands below the place, whatever white space leads to it.
func TestCaret(t *testing.T) {
	_, err := Read("s.yaml", []byte(head+"  trafic: []\n  traffic: []\n"))
	want := "s.yaml:6:3: spec has no field \"trafic\": did you mean \"traffic\"?\n    trafic: []\n    ^"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// Hostile texts end in an error, soon.
func TestHostile(t *testing.T) {
	bomb := head + "  description: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for i := range 9 {
		_ = i
		bomb += "  k" + strings.Repeat("x", i) + ": &b" + strings.Repeat("b", i) + " [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
	}
	for name, text := range map[string]string{
		"nesting": strings.Repeat("[", 100000), "bomb": bomb, "nul": "a\x00b", "utf-8": "a: \xff\xfe", "tab": "a:\n\tb: 1",
		"self": "a: &a [*a]", "long": strings.Repeat("x", 1<<20),
	} {
		begun := time.Now()
		if _, err := Read("s.yaml", []byte(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
		if d := time.Since(begun); d > 5*time.Second {
			t.Errorf("%s: took %v", name, d)
		}
	}
}

// A whole scenario, every kind of value in it.
func TestRead(t *testing.T) {
	s, err := Read("s.yaml", []byte(head+`  seed: 7
  traffic:
  - {name: t, from: {pods: 3}, to: {service: default/web, port: http, via: nodePort}, connections: 100, rate: 60/m, arrivals: poisson, start: 1m}
  - name: u
    from: {addresses: [10.0.0.1, "fd00::1"]}
    to: {address: "10.96.0.1:80"}
    connections: 1
  events:
  - {at: 30s, endpoint: {address: 10.244.1.5, ready: false}}
  checks:
  - {name: c, shares: {of: connections, traffic: t, expect: {"10.0.0.1:80": 1/3, "10.0.0.2:80": 2/3}, margin: 5%}}
  - {name: d, reachable: {traffic: u, expect: answered}}
`))
	if err != nil {
		t.Fatal(err)
	}
	tr := s.Spec.Traffic[0]
	if s.Spec.Seed != 7 || tr.Rate.Gap() != time.Second || tr.To.Port.Name != "http" || tr.Start.Duration != time.Minute {
		t.Errorf("got %+v", s.Spec)
	}
	if e := s.Spec.Events[0]; e.At.Duration != 30*time.Second || e.Endpoint.Ready == nil || *e.Endpoint.Ready {
		t.Errorf("event %+v", e)
	}
	c := s.Spec.Checks[0].Shares
	if c.Expect.Kind != "each" || c.Expect.Each[1].Share.RatString() != "2/3" || c.Margin.String() != "5%" {
		t.Errorf("check %+v", c)
	}
}

// FuzzRead: whatever the text, reading ends in a scenario or an error with a place.
func FuzzRead(f *testing.F) {
	f.Add(head)                                    // required fields missing
	f.Add(head + "  traffic: &a\n  - *a\n")        // an alias to itself
	f.Add("{a: [")                                 // flow never closed
	f.Add(head + "  traffic: [{from: {pods: 1}}]") // fields in flow style
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Read("s.yaml", []byte(text))
		if err == nil && s == nil {
			t.Error("neither scenario nor error")
		}
		if err != nil && !strings.HasPrefix(err.Error(), "s.yaml") {
			t.Errorf("an error without its file: %v", err)
		}
	})
}
