package iptables

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// genAddr draws an address, often one of few, so that rules and packets meet.
func genAddr(f packet.Family) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string { return addr(f, rapid.IntRange(1, 6).Draw(t, "host")) })
}

// genRule draws a rule of the filter table's chain INPUT, as an operator could write it.
func genRule(f packet.Family) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		var b strings.Builder
		pick := func(label string, options ...string) string { return rapid.SampledFrom(options).Draw(t, label) }
		not := func() string { return pick("not", "", "", "! ") }
		number := func(lo, hi int) int { return rapid.IntRange(lo, hi).Draw(t, "number") }
		if rapid.Bool().Draw(t, "source") {
			fmt.Fprintf(&b, " %s-s %s/%d", not(), genAddr(f).Draw(t, "src"), number(1, addrBits(f)))
		}
		if rapid.Bool().Draw(t, "destination") {
			fmt.Fprintf(&b, " %s-d %s", not(), genAddr(f).Draw(t, "dst"))
		}
		b.WriteString(pick("interface", "", "", " -i eth0", " ! -i eth+", " -i wg+"))
		proto := pick("protocol", "", "tcp", "udp", "sctp", "47")
		if proto != "" {
			fmt.Fprintf(&b, " -p %s", proto)
		}
		if proto != "" && proto != "47" && rapid.Bool().Draw(t, "ports") {
			lo := number(0, 6)
			fmt.Fprintf(&b, " -m %s %s--dport %d:%d", proto, not(), lo, lo+number(0, 3))
		}
		for range number(0, 2) {
			b.WriteString(pick("match",
				` -m comment --comment "a \"b\" c"`, " -m comment --comment plain", " -m mark "+not()+"--mark 0x4000/0x4000",
				" -m conntrack "+not()+"--ctstate NEW,ESTABLISHED", " -m addrtype --dst-type LOCAL",
				fmt.Sprintf(" -m statistic --mode random --probability %g", rapid.Float64Range(0, 1).Draw(t, "p")),
				fmt.Sprintf(" -m statistic --mode nth --every %d --packet 0", number(1, 5)), " -m recent --set --name L",
				fmt.Sprintf(" -m recent %s--rcheck --seconds %d --reap --name L", not(), number(1, 9)),
				fmt.Sprintf(" -m limit --limit %d/%s", number(1, 20), pick("unit", "sec", "min", "hour")),
				fmt.Sprintf(" -m length --length %d:%d", number(0, 60), number(60, 900)), " -m pkttype --pkt-type unicast"))
		}
		b.WriteString(pick("target", "", " -j ACCEPT", " -j DROP", " -j RETURN", " -j A", " -g A", " -j MARK --or-mark 0x4000", " -j REJECT", " -j LOG"))
		return b.String()
	})
}

func genRuleset(f packet.Family) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		var b strings.Builder
		b.WriteString("*filter\n:A - [0:0]\n")
		for _, r := range rapid.SliceOfN(genRule(f), 0, 6).Draw(t, "rules") {
			b.WriteString("-A INPUT" + r + "\n")
		}
		for _, r := range rapid.SliceOfN(genRule(f), 0, 3).Draw(t, "chain A") {
			if !strings.HasSuffix(r, " A") {
				b.WriteString("-A A" + r + "\n")
			}
		}
		return b.String() + "COMMIT\n"
	})
}

// TestRoundTrip: a printed ruleset parses to the same values and prints the same.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom(families).Draw(t, "family")
		in := genRuleset(f).Draw(t, "ruleset")
		a, b := NewRuleset(f), NewRuleset(f)
		if err := a.Restore("", in, RestoreOptions{}); err != nil {
			t.Fatalf("%v\n%s", err, in)
		}
		out := a.Print(Save, true)
		if err := b.Restore("", out, RestoreOptions{Counters: true}); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if got := b.Print(Save, true); got != out {
			t.Fatalf("first\n%s\nthen\n%s", out, got)
		}
		for i, c := range a.Table(Filter).Chains() {
			for k, r := range c.Rules {
				x, y := *r, *b.Table(Filter).Chains()[i].Rules[k]
				x.Text, x.Pos, y.Text, y.Pos = "", Position{}, "", Position{}
				if !reflect.DeepEqual(x, y) {
					t.Fatalf("%s\n%#v\n%#v", r, x, y)
				}
			}
		}
	})
}

// TestWalkAgainstPlain compares the linked walk with a second, deliberately plain one over the tree, packet by packet: verdict, mark
// and counters. Both are given the same draws; stateful matches are left out of the plain one's rulesets.
func TestWalkAgainstPlain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom(families).Draw(t, "family")
		in := genRuleset(f).Filter(func(s string) bool {
			return !strings.Contains(s, "nth") && !strings.Contains(s, "recent") && !strings.Contains(s, "limit")
		}).Draw(t, "ruleset")
		rs := NewRuleset(f)
		if err := rs.Restore("", in, RestoreOptions{}); err != nil {
			t.Fatal(err)
		}
		l, err := Link(rs, LinkEnv{})
		if err != nil {
			t.Fatal(err)
		}
		hits := map[*Rule]uint64{}
		for range 8 {
			proto := rapid.SampledFrom(append(protocols, 47)).Draw(t, "protocol")
			p := packet.Packet{Proto: proto, LengthBytes: 60, Mark: rapid.SampledFrom([]uint32{0, 0x4000}).Draw(t, "mark")}
			src, dst := hostPort(f, rapid.IntRange(1, 6).Draw(t, "src"), 1), hostPort(f, rapid.IntRange(1, 6).Draw(t, "dst"), rapid.IntRange(0, 9).Draw(t, "port"))
			one := pkt(proto, src, dst)
			p.Src, p.Dst = one.Src, one.Dst
			q := p
			seed := rapid.Uint32().Draw(t, "seed")
			walk := netfilter.Walk{Source: netfilter.Words(lcg(seed)), Route: routes{}, In: "eth0", Hook: netfilter.Input}
			got := l.Run(&walk, Filter, netfilter.Input, &p)
			plain := plainWalk{x: walker{w: &netfilter.Walk{Source: netfilter.Words(lcg(seed)), Route: routes{}, In: "eth0", Hook: netfilter.Input}}, table: rs.Table(Filter), hits: hits}
			want := plain.chain("INPUT", &q)
			if want == netfilter.Continue {
				want = netfilter.Accept
			}
			if got != want || p.Mark != q.Mark {
				t.Fatalf("%v mark %#x, plainly %v %#x: %v\n%s", got, p.Mark, want, q.Mark, p, in)
			}
		}
		for _, c := range rs.Table(Filter).Chains() {
			k, _ := l.Counters(Filter, c.Name)
			for i, r := range c.Rules {
				if k.Rules[i].Packets != hits[r] {
					t.Fatalf("%s: %d, plainly %d", r, k.Rules[i].Packets, hits[r])
				}
			}
		}
	})
}

func lcg(seed uint32) func() uint32 {
	return func() uint32 {
		seed = seed*1664525 + 1013904223
		return seed
	}
}

// plainWalk walks the tree by names and prefixes, recursively.
type plainWalk struct {
	x     walker
	table *Table
	hits  map[*Rule]uint64
}

func (w *plainWalk) chain(name string, p *packet.Packet) netfilter.Verdict {
	for _, r := range w.table.Chain(name).Rules {
		if !w.applies(r, p) {
			continue
		}
		w.hits[r]++
		switch g := r.Target.(type) {
		case nil:
		case Standard:
			switch g {
			case VerdictAccept:
				return netfilter.Accept
			case VerdictDrop:
				return netfilter.Drop
			}
			return netfilter.Continue
		case *Jump:
			if v := w.chain(g.Chain, p); v != netfilter.Continue || g.Goto {
				return v
			}
		default:
			if v := r.Target.(action).act(&w.x, p); v != netfilter.Continue {
				return v
			}
		}
	}
	return netfilter.Continue
}

func (w *plainWalk) applies(r *Rule, p *packet.Packet) bool {
	for _, c := range []struct {
		cond   Address
		source bool
	}{{r.Src, true}, {r.Dst, false}} {
		if c.cond.any() {
			continue
		}
		plain := c.cond
		plain.Invert = false
		prefix, _ := plain.Prefix()
		a := p.Dst.Addr()
		if c.source {
			a = p.Src.Addr()
		}
		if prefix.Contains(a) == c.cond.Invert {
			return false
		}
	}
	if r.Proto != 0 && r.Proto != p.Proto || !r.In.Match("eth0") {
		return false
	}
	for _, m := range r.Matches {
		if !m.(evaluator).match(&w.x, p) {
			return false
		}
	}
	return true
}
