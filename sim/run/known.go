package run

import (
	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/sim/report"
)

// knownDifference is something in which model and kernel need not agree. The list is reviewed: each entry says what is not
// compared and why that is no fault of either.
type knownDifference struct {
	id, what, reason string
	met              func(c *comparison) bool
}

// knownDifferences is the whole list: what is not in it is compared.
var knownDifferences = []knownDifference{
	{
		id: "policy-counters-nft", what: "packet counters of chain policies",
		reason: "base chains of nf_tables count nothing for their policy, and iptables-nft-save prints zeros",
		met:    func(c *comparison) bool { return c.variant == datapath.NFT },
	},
	{
		id: "masquerade-port", what: "the source port that masquerading chooses",
		reason: "--random-fully has both draw it; the address that the endpoint sees is compared, the port decides nothing",
		met: func(c *comparison) bool {
			for _, w := range c.watchers {
				if w.masked > 0 {
					return true
				}
			}
			return false
		},
	},
	{
		id: "sysctl-in-namespace", what: "kernel parameters that kube-proxy sets",
		reason: "a network namespace may not set what belongs to the whole machine; none of them chooses an endpoint",
		met:    func(c *comparison) bool { return len(c.kernel.Notes()) > 0 },
	},
	{
		id: "byte-counters", what: "byte counters",
		reason: "TCP options differ between kernels, so equal packets have unequal lengths; packets are compared",
		met:    func(*comparison) bool { return true },
	},
	{
		id: "as-fast-as-it-goes", what: "when connections start",
		reason: "no rule of this scenario looks at the time within its span, so connections follow one another at once",
		met:    func(c *comparison) bool { return !c.paced && !c.hurried && !c.aged },
	},
	{
		id: "no-time-for-timeouts", what: "what rules do when their timeouts have passed",
		reason: "the scenario lasts longer than --patience, so connections follow one another at once, and the model is walked at the kernel's times",
		met:    func(c *comparison) bool { return c.hurried },
	},
	{
		id: "entries-that-stay", what: "which server is picked by what is left of connections long gone",
		reason: "the scenario lasts longer than --patience, so time passed for the model alone: its entries ended, and the kernel's are still there",
		met:    func(c *comparison) bool { return c.aged },
	},
	{
		id: "plain-connections", what: "what happens on a connection after its first answer",
		reason: "requests, pools, kept sockets and silent endpoints say nothing of the rules: each is sent as a connection of its own, from a port of its own, that is answered and closed, and the model is walked with the same packets",
		met: func(c *comparison) bool {
			for _, t := range c.scenario.Spec.Traffic {
				if t.Pool != nil || t.Requests != nil || t.Ports > 0 || t.NoReply || t.KeepOpen || t.Duration.Duration > 0 {
					return true
				}
			}
			return false
		},
	},
}

// known lists the known differences that this run met.
func (c *comparison) known() []report.Known {
	var out []report.Known
	for _, k := range knownDifferences {
		if k.met(c) {
			out = append(out, report.Known{ID: k.id, What: k.what, Reason: k.reason})
		}
	}
	return out
}
