package kubeproxy

import (
	"errors"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/ipset"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/packet"
)

// cleanIPVS is CleanupLeftovers of the ipvs mode (pkg/proxy/ipvs/cleanup.go, v1.37): every virtual server of the node,
// kube-ipvs0, jumps and chains of each family, and the sets under their IPv4 names; those of IPv6 stay. kube-proxy leaves
// everything where the module ip_vs cannot be loaded.
func (r *run) cleanIPVS(families []packet.Family) {
	if err := r.do(datapath.IPVSFlush{}); err != nil {
		r.fail("ERROR Error flushing ipvs rules err=", err)
	}
	r.try(datapath.LinkDelete{Interface: DummyInterface}) // fails where there is none
	for _, f := range families {
		for _, j := range ipvsJumps {
			r.deleteRule(f, j.table, j.rule())
		}
		for _, command := range [...]struct{ name, option string }{{"FlushChain", " -F "}, {"DeleteChain", " -X "}} {
			for _, c := range ipvsChains {
				r.count(command.name)
				r.removeChain(datapath.IPTablesExec{Family: f, Args: "-t " + c.table + command.option + c.chain})
			}
		}
	}
	for i := range ipvsSets {
		err := r.try(datapath.SetDestroy{Set: ipvsSets[i].set.name(packet.IPv4)})
		if err != nil && !errors.Is(err, ipset.ErrNoSet) {
			r.fail("ERROR Error removing ipset ipset="+string(ipvsSets[i].set)+" err=", err)
		}
	}
}

// removeChain flushes or deletes a chain if it is there.
func (r *run) removeChain(op datapath.IPTablesExec) {
	if err := r.try(op); err != nil && !iptables.IsNoChain(err) {
		r.fail("ERROR Error removing iptables rules in ipvs proxier err=", err)
	}
}
