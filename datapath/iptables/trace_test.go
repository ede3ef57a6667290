package iptables

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// TestTraces replays what Linux kernels did with new connections: nth counters, recent lists, and what a table replacement
// resets, with both back ends. testdata/traces holds the recordings; nothing in them is random.
func TestTraces(t *testing.T) {
	files, _ := filepath.Glob("testdata/traces/*.json")
	played := 0
	for _, file := range files {
		var tr struct {
			Kernel string
			Rules  string
			Events [][]any
		}
		if err := json.Unmarshal([]byte(read(t, file)), &tr); err != nil {
			t.Fatal(err)
		}
		if tr.Rules == "" {
			continue
		}
		played++
		t.Run(filepath.Base(file), func(t *testing.T) {
			hz := 250
			if strings.Contains(tr.Kernel, "HZ=100") {
				hz = 100
			}
			n := newNode(t, packet.IPv4, tr.Rules, LinkEnv{HZ: hz, NFT: strings.Contains(tr.Kernel, "nf_tables")})
			vip := regexp.MustCompile(`-d ([0-9.]+)/32`).FindStringSubmatch(tr.Rules)[1]
			for i, e := range tr.Events {
				n.event(t, i, e, vip, tr.Rules)
			}
		})
	}
	if played < 12 {
		t.Fatalf("only %d recordings", played)
	}
}

func (n *node) event(t *testing.T, i int, e []any, vip, rules string) {
	t.Helper()
	switch what := e[0].(string); what {
	case "conn":
		client, port, at := e[2].(string), "20000", 3
		if strings.Contains(client, ":") { // without a client: the backend follows the number
			client, at = "10.1.0.1", 2
		} else if _, ok := e[3].(float64); ok {
			at = 4
		}
		if at+1 < len(e) {
			n.w.Now = max(n.w.Now, time.Duration(e[at+1].(float64)*float64(time.Second)))
		}
		_, got := n.run(NAT, netfilter.PreRouting, pkt(packet.TCP, client+":"+port, vip+":80"))
		if got != e[at].(string) {
			t.Fatalf("event %d %v: got %s", i, e, got)
		}
	case "sleep":
		n.w.Now += time.Duration(e[1].(float64) * float64(time.Second))
	case "recent":
		for list, want := range e[1].(map[string]any) {
			var got []any
			for _, r := range n.l.Recent(list) {
				got = append(got, r.Addr.String())
			}
			byText := func(a, b any) int { return strings.Compare(a.(string), b.(string)) }
			slices.SortFunc(got, byText)
			w := slices.SortedFunc(slices.Values(want.([]any)), byText)
			if !slices.Equal(got, w) {
				t.Fatalf("event %d: list %s is %v, want %v", i, list, got, w)
			}
		}
	case "another chain added to the nat table":
		n.relink(func(rs *Ruleset) error { return rs.Exec("-t nat -N OTHER") })
	case "a rule added to the filter table":
		n.relink(func(rs *Ruleset) error { return rs.Exec("-A FORWARD -s 1.1.1.1 -j ACCEPT") })
	case "iptables-restore --noflush adding a chain to nat":
		n.relink(func(rs *Ruleset) error {
			return rs.Restore("", "*nat\n:OTHER2 - [0:0]\nCOMMIT\n", RestoreOptions{NoFlush: true})
		})
	case "the same nat table restored again":
		n.relink(func(rs *Ruleset) error { return rs.Restore("", rules, RestoreOptions{}) })
	case "nat table emptied, then restored":
		n.relink(func(rs *Ruleset) error { return rs.Restore("", "*nat\nCOMMIT\n", RestoreOptions{}) })
		n.relink(func(rs *Ruleset) error { return rs.Restore("", rules, RestoreOptions{}) })
	default:
		t.Fatalf("event %d: %q is not known", i, what)
	}
}

// TestProbabilityText: 40 texts as typed and as iptables-save printed them (trap 2: the text is not the probability).
func TestProbabilityText(t *testing.T) {
	var tr struct{ Rows [][2]string }
	if err := json.Unmarshal([]byte(read(t, "testdata/traces/iptables-probability-text.json")), &tr); err != nil || len(tr.Rows) < 15 {
		t.Fatal(err, len(tr.Rows))
	}
	for _, row := range tr.Rows {
		for _, text := range row { // what is printed prints again the same
			rs := NewRuleset(packet.IPv4)
			if err := rs.Exec("-A INPUT -m statistic --mode random --probability " + text); err != nil {
				t.Error(err)
				continue
			}
			if got := rs.Chain(Filter, "INPUT").Rules[0].String(); !strings.HasSuffix(got, " "+row[1]) {
				t.Errorf("%s: got %s, want %s", text, got, row[1])
			}
		}
	}
}
