package kubeproxy

import (
	"strings"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/route"
)

// NodeHost lets a proxier work on a model node.
type NodeHost struct{ Node *datapath.Node }

// Run applies the operation to the node. A check changes nothing and needs no linking.
func (h NodeHost) Run(op datapath.Op) error {
	if x, ok := op.(datapath.IPTablesExec); ok && strings.Contains(x.Args, " -C ") {
		return h.Node.Rules(x.Family).Clone().Exec(x.Args)
	}
	return h.Node.Apply(op)
}

// Chains lists a table's chains.
func (h NodeHost) Chains(f packet.Family, table string) []string {
	return chainsOf(h.Node.Rules(f), table)
}

// UDPFlows lists the node's UDP connections.
func (h NodeHost) UDPFlows(f packet.Family) []Flow {
	var out []Flow
	for c := range h.Node.Conns.All() {
		if c.Original.Proto == packet.UDP && packet.FamilyOf(c.Original.Dst.Addr()) == f {
			out = append(out, Flow{c.Original, c.Reply})
		}
	}
	return out
}

// RulesHost is a host without packets: a program, and a list of flows.
type RulesHost struct {
	*datapath.Program
	Flows []Flow
}

// NewRulesHost returns a host with empty tables.
func NewRulesHost() *RulesHost {
	return &RulesHost{Program: datapath.NewProgram(route.New(), ipvs.DefaultSysctls())}
}

// Run applies an operation to the program or the flows.
func (h *RulesHost) Run(op datapath.Op) error {
	d, ok := op.(datapath.ConntrackDelete)
	if !ok {
		return h.Apply(op)
	}
	kept := h.Flows[:0:0]
	for _, f := range h.Flows {
		if !f.selected(d) {
			kept = append(kept, f)
		}
	}
	h.Flows = kept
	return nil
}

// selected reports whether the deletion is for the flow.
func (f Flow) selected(d datapath.ConntrackDelete) bool {
	dst, from := f.Original.Dst, f.Reply.Src
	return (d.Family == 0 || packet.FamilyOf(dst.Addr()) == d.Family) &&
		(d.Proto == 0 || f.Original.Proto == d.Proto) &&
		(!d.OrigSrc.IsValid() || f.Original.Src.Addr() == d.OrigSrc) &&
		(!d.OrigDst.Addr().IsValid() || dst.Addr() == d.OrigDst.Addr()) &&
		(d.OrigDst.Port() == 0 || dst.Port() == d.OrigDst.Port()) &&
		(!d.ReplySrc.Addr().IsValid() || from.Addr() == d.ReplySrc.Addr()) &&
		(d.ReplySrc.Port() == 0 || from.Port() == d.ReplySrc.Port())
}

// Chains lists a table's chains.
func (h *RulesHost) Chains(f packet.Family, table string) []string {
	return chainsOf(h.Rules(f), table)
}

// UDPFlows lists the flows of a family.
func (h *RulesHost) UDPFlows(f packet.Family) []Flow {
	var out []Flow
	for _, x := range h.Flows {
		if x.Original.Proto == packet.UDP && packet.FamilyOf(x.Original.Dst.Addr()) == f {
			out = append(out, x)
		}
	}
	return out
}

func chainsOf(rs *iptables.Ruleset, table string) []string {
	id, ok := iptables.ParseTable(table)
	if !ok || rs.Table(id) == nil {
		return nil
	}
	var out []string
	for _, c := range rs.Table(id).Chains() {
		out = append(out, c.Name)
	}
	return out
}
