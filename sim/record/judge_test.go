package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// twosTrace makes a recording of a kernel of which draw picks the server (0, 1, 2 of a list 3, 2, 1 of the given weights) for
// connections that stay nowhere: every overhead is 0 at every pick.
func twosTrace(weights [3]int, n int, draw func() int) []byte {
	events := []any{}
	for i, w := range weights {
		events = append(events, []any{"add", fmt.Sprintf("10.2.0.%d:5353", i+1), w})
	}
	for i := range n {
		events = append(events, []any{"udp", i, "10.1.0.7", 4000, "10.9.3.10", fmt.Sprintf("10.2.0.%d:5353", 3-draw())})
	}
	b, err := json.Marshal(map[string]any{
		"name": "made-up", "kernel": "none", "scheduler": "twos", "protocol": "udp", "service": "10.9.3.10:53", "one_packet": true,
		"forward": "masq", "events": events,
	})
	if err != nil {
		panic(err)
	}
	return b
}

// Expectation: arithmetic. A kernel that draws as described passes every time; at risk 1e-6 none of 200 fails.
func TestTheJudgePassesARightKernel(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		// With no load the first of two draws from 0..3 wins: 0 and 1 are the newest server.
		data := twosTrace([3]int{1, 1, 1}, 300, func() int { return max(0, r.IntN(4)-1) })
		if _, d, err := Play(data); err != nil || d != nil {
			t.Fatalf("seed %d: %v, %v", seed, d, err)
		}
	}
}

// A kernel without the favour for the newest server, and one that goes by other weights, are found out.
func TestTheJudgeFindsABiasedKernel(t *testing.T) {
	for _, c := range []struct {
		name string
		draw func(r *rand.Rand) int
	}{
		{"equal", func(r *rand.Rand) int { return r.IntN(3) }},
		{"the newest too often", func(r *rand.Rand) int { return max(0, r.IntN(6)-3) }},
	} {
		for seed := range uint64(20) {
			r := rand.New(rand.NewPCG(seed, 2))
			_, d, err := Play(twosTrace([3]int{1, 1, 1}, 2000, func() int { return c.draw(r) }))
			if err != nil || d == nil || !strings.Contains(d.Got, "e-value") {
				t.Fatalf("%s, seed %d: %v, %v", c.name, seed, d, err)
			}
		}
	}
}

func recording(t testing.TB, name string) string {
	b, err := os.ReadFile("testdata/ipvs-" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A recording with one thing changed differs at that event, and says both sides.
func TestADifferenceHasItsPlace(t *testing.T) {
	for _, c := range []struct {
		file, old, new string
		event          int
		expected, got  string
	}{
		{"rr-basic", `"10.1.62.21",30004,"10.9.2.10","10.2.0.3:8080"`, `"10.1.62.21",30004,"10.9.2.10","10.2.0.1:8080"`, 7, "10.2.0.1:8080", "10.2.0.3:8080"},
		{"rr-basic", `[["10.2.0.3:8080",1,0,0],["10.2.0.2:8080"`, `[["10.2.0.3:8080",1,0,1],["10.2.0.2:8080"`, 3, `[["10.2.0.3:8080",1,0,1]`, `[["10.2.0.3:8080",1,0,0]`},
		{"source-port-20", `null,"ECONNREFUSED"`, `null,"TIMEOUT"`, 3, "null TIMEOUT", "null ECONNREFUSED"},
		{"source-port-20", `20,"10.9.9.10",null,"ECONNREFUSED"`, `20,"10.9.9.10","10.2.0.1:8080"`, 3, "10.2.0.1:8080", "null ECONNREFUSED"},
		{"timeouts", `"CLOSE_WAIT",60]]]`, `"CLOSE_WAIT",30]]]`, 5, "CLOSE_WAIT 30", "CLOSE_WAIT 59"},
		{"timeouts", `"TIME_WAIT",108]]]`, `"FIN_WAIT",108]]]`, 13, "FIN_WAIT 108", "no such entry"},
		{"quiesce-existing-1", `["data",1,"hi"]`, `["data",1,null]`, 4, "null", "arrived at 10.2.0.2:8080"},
		{"masquerade-vs-conntrack-1", `["peer",1,"10.0.2.1:30000"]`, `["peer",1,"10.1.3.2:30000"]`, 4, "10.1.3.2:30000", "10.0.2.1:30000"},
		{"masquerade-vs-conntrack-0", `[4:224] -A OUTPUT`, `[0:0] -A OUTPUT`, 7, "[0:0] -A OUTPUT", "[4:224] -A OUTPUT"},
		{"masquerade-vs-conntrack-1", `src=10.2.0.3 dst=10.0.2.1`, `src=10.2.0.3 dst=10.1.3.2`, 8, "dst=10.1.3.2", "dst=10.0.2.1"},
		{"udp-one-packet-lc", `["table",[]]`, `["table",[["UDP","10.1.0.7:4000","10.9.13.10:53","10.2.0.3:5353","UDP",299]]]`, 16, "UDP 299", "no such entry"},
		{"twos-equal-udp-one-packet", `"10.2.0.1:5353":5009,"10.2.0.2:5353":5018`, `"10.2.0.1:5353":4650,"10.2.0.2:5353":5377`, 4, "as distributed", "e-value"},
	} {
		text := recording(t, c.file)
		changed := strings.Replace(text, c.old, c.new, 1)
		if changed == text {
			t.Fatalf("%s has no %s", c.file, c.old)
		}
		_, d, err := Play([]byte(changed))
		if err != nil {
			t.Errorf("%s, %s: %v", c.file, c.new, err)
			continue
		}
		if d == nil || d.Event != c.event || !strings.Contains(d.Expected, c.expected) || !strings.Contains(d.Got, c.got) {
			t.Errorf("%s, %s: %v, want event %d, %s and %s", c.file, c.new, d, c.event, c.expected, c.got)
		}
	}
}

func TestBadRecordingsAreRefused(t *testing.T) {
	rr := recording(t, "rr-basic")
	for _, c := range []struct {
		old, new string
		index    int
		want     error
	}{
		{`"name"`, `"version": 2, "name"`, -1, ErrOtherFormat},
		{`{`, `[`, -1, ErrNotRecording},
		{`"kernel"`, `"kernels"`, -1, ErrNotRecording},
		{`"tcp"`, `"icmp"`, -1, nil},
		{`"rr"`, `"fair"`, -1, nil},
		{`"masq"`, `"nat"`, -1, ErrBadEvent},
		{`"10.9.2.10:80"`, `"fwmark:0"`, -1, ErrBadEvent},
		{`["conn",1,`, `["connect",1,`, 4, ErrBadEvent},
		{`["conn",1,`, `["conn","1",`, 4, ErrBadEvent},
		{`["add","10.2.0.1:8080",1]`, `["add","10.2.0.1:8080"]`, 0, ErrBadEvent},
		{`["add","10.2.0.1:8080",1]`, `["add","10.2.0.1:8080",-1]`, 0, nil},
		{`["add","10.2.0.1:8080",1]`, `["add","10.2.0.1:8080",1,{"upper":1,"lower":2}]`, 0, nil},
		{`["add","10.2.0.2:8080",1]`, `["add","10.2.0.1:8080",1]`, 1, nil},
		{`["add","10.2.0.1:8080",1]`, `["add","10.2.0.1:8080",1,{},1]`, 0, ErrBadEvent},
		{`["add","10.2.0.1:8080",1]`, `["sleep",1e300]`, 0, ErrBadEvent},
		{`["add","10.2.0.1:8080",1]`, `["close",7,"client"]`, 0, ErrBadEvent},
		{`["add","10.2.0.1:8080",1]`, `[]`, 0, ErrBadEvent},
		{`["add","10.2.0.1:8080",1]`, `["counts",5,{}]`, 0, ErrBadEvent},
	} {
		changed := strings.Replace(rr, c.old, c.new, 1)
		_, d, err := Play([]byte(changed))
		var e *EventError
		if !errors.As(err, &e) || e.Index != c.index || d != nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want an error of event %d", c.new, err, c.index)
		}
	}
}

func TestPlayingTwiceIsTheSame(t *testing.T) {
	data := []byte(strings.Replace(recording(t, "twos-equal-closed"), `"10.1.99.8",26499,"10.9.2.10","10.2.0.3:8080"`, `"10.1.99.8",26499,"10.9.2.10",null`, 1))
	_, a, err1 := Play(data)
	_, b, err2 := Play(data)
	if err1 != nil || err2 != nil || a == nil || b == nil || *a != *b {
		t.Fatalf("%v %v %v %v", a, b, err1, err2)
	}
}

func FuzzPlay(f *testing.F) {
	seed := func(header, events string) {
		f.Add([]byte(`{"name":"x","kernel":"x","forward":"masq",` + header + `,"events":[` + events + `]}`))
	}
	// A server that comes and goes, a closed connection, counters.
	seed(`"service":"10.9.2.10:80","protocol":"tcp","scheduler":"wrr"`,
		`["add","10.2.0.1:8080",1],["conn",1,"10.1.0.1",1,"10.9.2.10","10.2.0.1:8080"],["close",1,"client"],["del","10.2.0.1:8080"],["counters",[]],["sleep",11],["scheduler","mh"]`)
	// A mark, persistence, thresholds, entries.
	seed(`"service":"fwmark:6","protocol":"tcp","scheduler":"sh","scheduler_flags":["sh-port"],"persistent_timeout":60,"netmask":"255.255.255.0"`,
		`["add","10.2.0.1:0",1,{"upper":2,"lower":1}],["conn",1,"10.1.0.1",1,"10.9.2.10","10.2.0.1:8080"],["data",1,"x"],["table",[["IP","10.1.0.0:0","0.0.0.6:0","10.2.0.1:0","ASSURED",60]]]`)
	// Datagrams by chance, counts.
	seed(`"service":"10.9.2.10:53","protocol":"udp","scheduler":"twos","one_packet":true`,
		`["add","10.2.0.1:53",1],["udp",1,"10.1.0.1",1,"10.9.2.10","10.2.0.1:53"],["counts",3,{"10.2.0.1:53":3}],["time",1]`)
	// Rules, connection tracking, the peer's address.
	seed(`"service":"10.9.2.10:80","protocol":"tcp","scheduler":"rr","sysctl":{"conntrack":1}`,
		`["conn",1,"10.1.0.1",1,"10.9.2.10",null,"ECONNREFUSED"],["peer",1,"10.0.2.1:1"],["rules",[":INPUT ACCEPT [1:60]",":PREROUTING ACCEPT [0:0]"]],["conntrack",["ipv4 2 tcp 6 1 CLOSE src=10.1.0.1"]]`)
	// IPv6.
	seed(`"service":"[fd00::1]:80","protocol":"tcp","scheduler":"rr"`, `["conn",1,"fd00::2",1,"fd00::1",null]`)
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, d, err := Play(data); err == nil && n < 0 && d == nil {
			t.Fatal("no events and no error")
		}
	})
}
