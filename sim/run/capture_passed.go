package run

import (
	"fmt"
	"slices"
	"strings"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/wire"
)

// arrivals are the fingerprints of the last packets that arrived: one that leaves masqueraded, from an address of the node, is known by
// its own.
type arrivals struct {
	last [256]uint64
	next int
}

func (a *arrivals) add(ip []byte) {
	if f, ok := wire.Fingerprint(ip); ok {
		a.last[a.next%len(a.last)] = f
		a.next++
	}
}

func (a *arrivals) has(ip []byte) bool {
	f, ok := wire.Fingerprint(ip)
	return ok && slices.Contains(a.last[:min(a.next, len(a.last))], f)
}

// state is what connection tracking called a packet when it first saw it; "" where it did not.
func state(t *netfilter.Trace) string {
	for i := range t.Steps {
		if t.Steps[i].Kind == netfilter.StepConntrack {
			return t.Steps[i].Result
		}
	}
	return ""
}

// what names the kind of a packet within its protocol.
func what(p *packet.Packet) string {
	switch {
	case p.IsLaterFragment():
		return "fragment"
	case p.Proto == packet.TCP:
		return p.TCPFlags.String()
	case p.Proto == packet.SCTP:
		return fmt.Sprintf("chunk %d", p.SCTPChunk)
	case p.IsICMPError() && p.Quoted.IsValid():
		return fmt.Sprintf("type %d code %d about %s", p.ICMPType, p.ICMPCode, p.Quoted)
	case p.Proto == packet.ICMP || p.Proto == packet.ICMPv6:
		return fmt.Sprintf("type %d code %d", p.ICMPType, p.ICMPCode)
	}
	return ""
}

// deciding is the rule that decided where a packet went: the last that stopped it or translated its destination, else the one that
// translated its source, or the choice of IPVS; "" for none.
func deciding(t *netfilter.Trace) string {
	out, source := "", ""
	for i := range t.Steps {
		s := &t.Steps[i]
		word, _, _ := strings.Cut(s.Result, " ")
		switch {
		case s.Kind == netfilter.StepIPVS && s.Matched:
			out = "IPVS " + s.Result
		case s.Kind == netfilter.StepPolicy && s.Result != "accept":
			out = fmt.Sprintf("%s %s policy %s", s.Table, s.Chain, s.Result)
		case s.Kind != netfilter.StepRule || !s.Matched:
		case word == "dnat" || word == "reject" || strings.TrimSuffix(word, ":") == "drop":
			out = fmt.Sprintf("%s %s %d: %s", s.Table, s.Chain, s.Rule, s.Result)
		case word == "snat":
			source = fmt.Sprintf("%s %s %d: %s", s.Table, s.Chain, s.Rule, s.Result)
		}
	}
	if out == "" {
		return source
	}
	return out
}
