package kubeproxy

import (
	"strings"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/ipset"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/nftables"
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

// RulesHost is a host without packets: rule sets, a list of flows, and what the ipvs mode makes.
type RulesHost struct {
	Rules   map[packet.Family]*iptables.Ruleset
	Flows   []Flow
	NFT     nftables.Ruleset
	Sets    *ipset.Store
	IPVS    *ipvs.Table
	Routes  *route.Table // interfaces and their addresses
	Sysctls map[string]string
}

// NewRulesHost returns a host with empty tables.
func NewRulesHost() *RulesHost {
	h := &RulesHost{
		Rules: map[packet.Family]*iptables.Ruleset{
			packet.IPv4: iptables.NewRuleset(packet.IPv4), packet.IPv6: iptables.NewRuleset(packet.IPv6),
		},
		Sets: ipset.NewStore(), IPVS: ipvs.NewTable(ipvs.DefaultSysctls()), Routes: route.New(), Sysctls: map[string]string{},
	}
	h.Sets.InUse = func(name string) bool {
		return h.Rules[packet.IPv4].UsesSet(name) || h.Rules[packet.IPv6].UsesSet(name)
	}
	return h
}

// Run applies operations on tables and flows; sysctls are kept and have no effect.
func (h *RulesHost) Run(op datapath.Op) error {
	switch op := op.(type) {
	case datapath.IPTablesExec:
		return h.change(op.Family, func(rs *iptables.Ruleset) error { return rs.Exec(op.Args) })
	case datapath.IPTablesRestore:
		return h.change(op.Family, func(rs *iptables.Ruleset) error {
			return rs.Restore("<stdin>", op.Text, iptables.RestoreOptions{NoFlush: op.NoFlush, Counters: op.Counters, Table: op.Table})
		})
	case datapath.ConntrackDelete:
		kept := h.Flows[:0:0]
		for _, f := range h.Flows {
			if !f.selected(op) {
				kept = append(kept, f)
			}
		}
		h.Flows = kept
	case datapath.NFTRun:
		return h.NFT.Run("<stdin>", op.Text)
	case datapath.Sysctl:
		h.Sysctls[op.Key] = op.Value
	default:
		return h.runIPVS(op)
	}
	return nil
}

func (h *RulesHost) change(f packet.Family, do func(*iptables.Ruleset) error) error {
	next := h.Rules[f].Clone()
	if err := do(next); err != nil {
		return err
	}
	h.Rules[f] = next
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
	return chainsOf(h.Rules[f], table)
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
