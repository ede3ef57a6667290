package kubeproxy

import (
	"slices"
	"strings"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// CleanedAtStart lists the modes whose left-overs kube-proxy removes when it starts in a mode, in order
// (cmd/kube-proxy/app/server_linux.go, platformCleanup, v1.37). Between iptables and ipvs nothing is cleaned.
func CleanedAtStart(mode service.Mode) []service.Mode {
	if mode == service.ModeNFTables {
		return []service.Mode{service.ModeIPTables, service.ModeIPVS}
	}
	return []service.Mode{service.ModeNFTables}
}

// AllModes is what `kube-proxy --cleanup` cleans up, in order.
var AllModes = []service.Mode{service.ModeIPTables, service.ModeIPVS, service.ModeNFTables}

// Cleanup removes what a proxier of the mode leaves behind, family by family. Result.Err says that some command failed;
// kube-proxy logs that and goes on. The other error is for a mode that is not modelled.
func Cleanup(mode service.Mode, families []packet.Family, h Host) (Result, error) {
	r := run{host: h, Result: Result{Dumps: -1}}
	switch mode {
	case service.ModeIPTables:
		for _, f := range families {
			r.cleanIPTables(f)
		}
	case service.ModeNFTables:
		for _, f := range families {
			r.cleanNFTables(f)
		}
	case service.ModeIPVS:
		r.cleanIPVS(families)
	default:
		return Result{}, &UnsupportedModeError{Mode: mode}
	}
	return r.Result, nil
}

// cleanIPTables is CleanupLeftovers of the iptables mode. The kubelet's KUBE-FIREWALL with its jumps stays.
func (r *run) cleanIPTables(f packet.Family) {
	for _, j := range jumps {
		r.deleteRule(f, j.table, j.rule())
	}
	r.deleteChains(f, "nat", []string{chainServices, chainNodePorts, chainPostrouting, chainMarkMasq, chainCanary}, isServiceChain)
	r.deleteChains(f, "filter", []string{chainServices, chainExternalServices, chainForward, chainNodePorts, chainProxyFirewall, chainCanary}, nil)
	r.count("DeleteChain")
	r.try(datapath.IPTablesExec{Family: f, Args: "-t mangle -X " + chainCanary})
}

// deleteRule deletes a rule if it is there.
func (r *run) deleteRule(f packet.Family, table, rule string) {
	r.count("DeleteRule")
	if r.host.Run(datapath.IPTablesExec{Family: f, Args: "-t " + table + " -C " + rule}) != nil {
		return
	}
	if err := r.do(datapath.IPTablesExec{Family: f, Args: "-t " + table + " -D " + rule}); err != nil {
		r.fail("ERROR Error removing pure-iptables proxy rule err=", err)
	}
}

// deleteChains flushes and deletes those of the named chains that exist, and all that also picks, in one restore.
func (r *run) deleteChains(f packet.Family, table string, names []string, also func(string) bool) {
	r.count("iptables-save -t " + table)
	existing := slices.Clone(r.host.Chains(f, table))
	slices.Sort(existing)
	var doomed []string
	for _, c := range names {
		if slices.Contains(existing, c) {
			doomed = append(doomed, c)
		}
	}
	for _, c := range existing {
		if also != nil && also(c) {
			doomed = append(doomed, c)
		}
	}
	var b strings.Builder
	b.WriteString("*" + table + "\n")
	for _, c := range doomed {
		b.WriteString(":" + c + " - [0:0]\n")
	}
	for _, c := range doomed {
		b.WriteString("-X " + c + "\n")
	}
	b.WriteString("COMMIT\n")
	r.count("iptables-restore -T " + table)
	if err := r.do(datapath.IPTablesRestore{Family: f, NoFlush: true, Counters: true, Table: table, Text: b.String()}); err != nil {
		r.fail("ERROR Failed to execute iptables-restore table="+table+" err=", err)
	}
}

// fail logs an error that does not end a clean-up.
func (r *run) fail(line string, err error) {
	r.logf(line, err.Error())
	r.Err = err
}
