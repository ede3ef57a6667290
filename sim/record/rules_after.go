package record

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/check"
)

// judge refutes the model when the kernel's picks would be too unlikely under it.
func (p *rulesPlayer) judge() {
	if p.diff == nil && check.LogE(p.draws.Tallies) >= -math.Log(risk) {
		p.differ(fmt.Sprintf("picks as recorded, e-value %.3g", math.Exp(check.LogE(p.draws.Tallies))), "shares of the rules")
	}
}

// after compares counters of nat and recent lists with what the recording found at its end. Bytes are compared for TCP, whose first
// packets have one length.
func (p *rulesPlayer) after() {
	if p.diff != nil {
		return
	}
	if p.trace.ListAfter != nil {
		lists := p.world.Node.Recent().Lists()
		if len(lists) != 1 {
			p.differ("one list", fmt.Sprint(lists))
			return
		}
		p.list(lists[0], p.trace.ListAfter)
	}
	p.counted("nat", packet.IPv4)
	p.counted("nat6", packet.IPv6)
}

// counted compares the counters of nat in one family.
func (p *rulesPlayer) counted(key string, f packet.Family) {
	if want := p.trace.After[key]; want != nil && p.diff == nil {
		got := natLines(p.world.Node.Linked(f).Print(true))
		for _, l := range want {
			if l == "COMMIT" {
				continue
			}
			if i := slices.IndexFunc(got, func(g string) bool { return p.sameLine(l, g) }); i < 0 {
				p.differ(l, closest(l, got))
				return
			}
		}
	}
}

func natLines(save string) []string {
	_, s, _ := strings.Cut(save, "*nat\n")
	s, _, _ = strings.Cut(s, "COMMIT")
	return append([]string{"*nat"}, strings.Split(strings.TrimSpace(s), "\n")...)
}

func (p *rulesPlayer) sameLine(want, got string) bool {
	if p.proto == packet.TCP && !p.mixed {
		return want == got
	}
	return withoutBytes(want) == withoutBytes(got)
}

// withoutBytes cuts the second number of a counter.
func withoutBytes(l string) string {
	open := strings.IndexByte(l, '[')
	if open < 0 {
		return l
	}
	colon, end := strings.IndexByte(l[open:], ':'), strings.IndexByte(l[open:], ']')
	if colon < 0 || end < colon {
		return l
	}
	return l[:open+colon] + l[open+end:]
}

// closest is the line that is the same but for its counters.
func closest(want string, got []string) string {
	bare := func(s string) string {
		if strings.HasPrefix(s, ":") {
			s, _, _ = strings.Cut(s, " [")
			return s
		}
		_, s, _ = strings.Cut(s, "] ")
		return s
	}
	for _, g := range got {
		if bare(g) == bare(want) {
			return g
		}
	}
	return "no such line"
}

// list compares a list of -m recent as a set.
func (p *rulesPlayer) list(list string, want []string) {
	var got []string
	for _, e := range p.world.Node.Linked(packet.IPv4).Recent(list) {
		got = append(got, e.Addr.String())
	}
	want = slices.Clone(want)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		p.differ(list+" "+strings.Join(want, ","), list+" "+strings.Join(got, ","))
	}
}

func (p *rulesPlayer) differ(expected, got string) {
	if p.diff == nil {
		p.diff = &Diff{Event: p.index, Kind: p.kind, Expected: expected, Got: got, State: p.world.Node.Linked(packet.IPv4).Print(true)}
	}
}
