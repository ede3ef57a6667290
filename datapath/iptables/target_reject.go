package iptables

import (
	"strings"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// RejectWith ends the packet and tells its sender (net/ipv4/netfilter/ipt_REJECT.c, net/ipv6/netfilter/ip6t_REJECT.c).
type RejectWith struct{ With string }

// rejectNames list the answers of each family and their short forms, in the order in which a beginning is looked for.
var rejectNames = map[packet.Family][][2]string{
	packet.IPv4: {
		{"icmp-net-unreachable", "net-unreach"}, {"icmp-host-unreachable", "host-unreach"},
		{"icmp-proto-unreachable", "proto-unreach"}, {"icmp-port-unreachable", "port-unreach"},
		{"icmp-net-prohibited", "net-prohib"}, {"icmp-host-prohibited", "host-prohib"}, {"tcp-reset", "tcp-rst"},
		{"icmp-admin-prohibited", "admin-prohib"},
	},
	packet.IPv6: {
		{"icmp6-no-route", "no-route"}, {"icmp6-adm-prohibited", "adm-prohibited"},
		{"icmp6-addr-unreachable", "addr-unreach"}, {"icmp6-port-unreachable", "port-unreach"}, {"tcp-reset", "tcp-rst"},
		{"icmp6-policy-fail", "policy-fail"}, {"icmp6-reject-route", "reject-route"},
	},
}

var _ = registerTarget(&extension{
	name: "REJECT", options: []optionSpec{{name: "reject-with", args: 1, noInvert: true}},
	newGoal: func() parsedTarget { return new(RejectWith) },
})

// Name is the name after -j.
func (t *RejectWith) Name() string { return "REJECT" }

func (t *RejectWith) set(o *option) error {
	// A beginning of a name is enough (libipt_REJECT.c, REJECT_parse).
	for _, n := range rejectNames[o.rule.family] {
		if s := strings.ToLower(o.arg); strings.HasPrefix(n[0], s) || strings.HasPrefix(n[1], s) {
			t.With = n[0]
			return nil
		}
	}
	return refuse("--reject-with", "unknown reject type", o.arg)
}

func (t *RejectWith) finish(r *ruleParser) error {
	if t.With == "" {
		t.With = "icmp-port-unreachable"
		if r.family == packet.IPv6 {
			t.With = "icmp6-port-unreachable"
		}
	}
	return nil
}

func (t *RejectWith) require() requirement {
	q := requirement{tables: inTable(Filter), hooks: hooks(netfilter.Input, netfilter.Forward, netfilter.Output)}
	if t.With == "tcp-reset" {
		q.proto = packet.TCP
	}
	return q
}

// Append appends the option.
func (t *RejectWith) Append(b []byte) []byte {
	return append(append(b, " --reject-with "...), t.With...)
}

func (t *RejectWith) act(x *walker, p *packet.Packet) netfilter.Verdict {
	// Nothing answers a later fragment, an ICMP error, a RST by a RST, or what was sent to everybody.
	if p.FragmentOffset != 0 || p.IsICMPError() || p.Type != packet.ToHost ||
		t.With == "tcp-reset" && p.TCPFlags.Has(packet.RST) {
		if x.w.Trace != nil {
			x.note = "drop (nothing answers this packet)"
		}
		return netfilter.Drop
	}
	x.w.Rejection = netfilter.Rejection{With: t.With}
	if x.w.Trace != nil {
		x.note = "reject " + t.With
	}
	return netfilter.Reject
}
