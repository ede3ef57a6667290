package kubeproxy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// fullSyncPeriod is the time after which a sync is full whatever changed (pkg/proxy/util/utils.go, FullSyncPeriod).
const fullSyncPeriod = time.Hour

// defaultSyncPeriod is iptables.syncPeriod where the configuration gives none.
const defaultSyncPeriod = 30 * time.Second

// iptablesProxier is the proxier of the iptables mode (pkg/proxy/iptables/proxier.go, v1.37).
type iptablesProxier struct {
	family  packet.Family
	config  service.ProxyConfig
	node    service.Node // as at the start
	profile datapath.Profile
	tracker tracker

	needFull    bool
	lastFull    time.Duration
	everFull    bool
	large       bool // the last sync wrote the form of large clusters
	lastCleanup time.Duration
	everCleaned bool
}

func newIPTables(f packet.Family, s service.State, profile datapath.Profile) *iptablesProxier {
	return &iptablesProxier{family: f, config: s.Config, node: s.Node, profile: profile, needFull: true,
		tracker: tracker{family: f, node: s.Node.Name}}
}

func (p *iptablesProxier) syncPeriod() time.Duration {
	if p.config.SyncPeriod > 0 {
		return p.config.SyncPeriod
	}
	return defaultSyncPeriod
}

// localhost reports whether node ports answer on 127.0.0.0/8.
func (p *iptablesProxier) localhost(n nodePortAddresses) bool {
	return p.config.LocalhostNodePorts && n.loopback(p.family)
}

func (p *iptablesProxier) start() *service.State {
	return &service.State{Config: p.config, Node: p.node}
}

// Start sets what the proxier needs of the kernel.
func (p *iptablesProxier) Start(h Host) Result {
	r := run{host: h, Result: Result{Dumps: -1}}
	if p.localhost(newNodePortAddresses(p.start(), p.config.NodePortAddresses, p.family)) {
		r.do(datapath.Sysctl{Key: "net.ipv4.conf.all.route_localnet", Value: "1"})
	}
	r.logf("Not syncing iptables until Services and Endpoints have been received from master")
	return r.Result
}

// jump is a rule in a built-in chain that leads to one of kube-proxy's.
type jump struct{ table, to, from, match, comment string }

const newOnly = "-m conntrack --ctstate NEW "

// jumps are in the order in which kube-proxy ensures them; each is prepended, so the last ends up first.
var jumps = []jump{
	{"filter", chainExternalServices, "INPUT", newOnly, "kubernetes externally-visible service portals"},
	{"filter", chainExternalServices, "FORWARD", newOnly, "kubernetes externally-visible service portals"},
	{"filter", chainNodePorts, "INPUT", "", "kubernetes health check service ports"},
	{"filter", chainServices, "FORWARD", newOnly, "kubernetes service portals"},
	{"filter", chainServices, "OUTPUT", newOnly, "kubernetes service portals"},
	{"filter", chainForward, "FORWARD", "", "kubernetes forwarding rules"},
	{"filter", chainProxyFirewall, "INPUT", newOnly, "kubernetes load balancer firewall"},
	{"filter", chainProxyFirewall, "OUTPUT", newOnly, "kubernetes load balancer firewall"},
	{"filter", chainProxyFirewall, "FORWARD", newOnly, "kubernetes load balancer firewall"},
	{"nat", chainServices, "OUTPUT", "", "kubernetes service portals"},
	{"nat", chainServices, "PREROUTING", "", "kubernetes service portals"},
	{"nat", chainPostrouting, "POSTROUTING", "", "kubernetes postrouting rules"},
}

// kubeletJumps are made at a start and never taken away: the kubelet makes them too.
var kubeletJumps = []jump{
	{"filter", chainFirewall, "INPUT", "", ""},
	{"filter", chainFirewall, "OUTPUT", "", ""},
}

// rule spells the jump as arguments after the command letter: `INPUT -m … -j CHAIN`.
func (j jump) rule() string {
	s := j.from + " " + j.match
	if j.comment != "" {
		s += comment(j.comment) + " "
	}
	return s + "-j " + j.to
}

// ensureJumps makes the chains and the jumps to them where they are missing.
func (r *run) ensureJumps(f packet.Family) error {
	for _, j := range append(slices.Clone(jumps), kubeletJumps...) {
		r.count("EnsureChain")
		r.try(datapath.IPTablesExec{Family: f, Args: "-t " + j.table + " -N " + j.to}) // fails where the chain exists
		r.count("EnsureRule")
		if r.host.Run(datapath.IPTablesExec{Family: f, Args: "-t " + j.table + " -C " + j.rule()}) == nil {
			continue
		}
		if err := r.do(datapath.IPTablesExec{Family: f, Args: "-t " + j.table + " -I " + j.rule()}); err != nil {
			r.logf("ERROR Failed to ensure chain jumps table=", j.table, " srcChain=", j.from, " dstChain=", j.to, " err=", err.Error())
			return err
		}
	}
	return nil
}

// Sync writes what changed, or everything.
func (p *iptablesProxier) Sync(now time.Duration, s service.State, h Host, o Options) (Result, error) {
	r := run{host: h, Result: Result{Kind: Partial, Dumps: -1}}
	changed := p.tracker.update(&s)
	r.Asked = changed.any()
	p.needFull = p.needFull || o.ForceFull || changed.topology
	// kube-proxy asks for more than the period, but some time passes between any two readings of its clock.
	// A large cluster does without full syncs that only time asks for.
	full := p.needFull || now-p.lastFull >= fullSyncPeriod && !p.large || !p.everFull
	if full {
		r.Kind = Full
	}
	r.logf("Syncing iptables rules fullSync=", full)

	if err := p.sync(&r, now, &s, changed, full); err != nil {
		// What had changed is known no longer, so that the next sync cannot be partial.
		r.logf("Sync failed retryingTime=", duration(p.syncPeriod()))
		r.Err = err
		p.needFull = true
		return r.Result, nil
	}
	p.needFull = false
	if full {
		p.lastFull, p.everFull = now, true
	}
	if changed.udp {
		r.Dumps = 0
		r.cleanUDP(&p.tracker)
	}
	return r.Result, nil
}

// sync does the part of a sync that can fail.
func (p *iptablesProxier) sync(r *run, now time.Duration, s *service.State, changed changes, full bool) error {
	if full {
		if err := r.ensureJumps(p.family); err != nil {
			return err
		}
	}
	t := &p.tracker
	w := p.writer(service.Topology{Node: p.node.Name, Zone: t.zone})
	total := 0
	for i := range t.ports {
		total += len(t.backends[t.ports[i].PortName])
	}
	w.large = total > largeClusterEndpoints
	p.large = w.large

	w.begin()
	for i := range t.ports {
		port := &t.ports[i]
		w.port(port, t.backends[port.PortName], full || changed.services[port.Name])
	}
	if !w.large || !p.everCleaned || now-p.lastCleanup >= p.syncPeriod() {
		r.count("iptables-save -t nat")
		w.deleteStale(r.host.Chains(p.family, "nat"))
		p.lastCleanup, p.everCleaned = now, true
	}
	r.Log = append(r.Log, w.finish()...)

	r.logf("Reloading service iptables data numServices=", len(t.ports), " numEndpoints=", total,
		" numFilterChains=", w.filterChains.n, " numFilterRules=", w.filterRules.n,
		" numNATChains=", w.natChains.n, " numNATRules=", w.natRules.n)
	r.count("iptables-restore")
	err := r.do(datapath.IPTablesRestore{Family: p.family, NoFlush: true, Counters: true, Text: w.text()})
	if err != nil {
		r.logf("ERROR Failed to execute iptables-restore err=", err.Error())
	}
	return err
}

// deleteStale has chains of Services and endpoints deleted that nothing needs any more: a chain line flushes, -X deletes.
func (w *iptablesWriter) deleteStale(existing []string) {
	existing = slices.Clone(existing)
	slices.Sort(existing)
	for _, c := range existing {
		if isServiceChain(c) && !w.active[c] {
			w.natChains.chain(c)
			w.natRules.add("-X", c)
		}
	}
}

func (p *iptablesProxier) writer(at service.Topology) *iptablesWriter {
	start := p.start()
	w := &iptablesWriter{
		family: p.family, masqAll: p.config.MasqueradeAll, liberal: p.config.ConntrackTCPBeLiberal,
		nfacct: p.config.NFAcct || p.profile.NFAcct, randomFully: true,
		detect: newLocalDetector(start, p.family), nodePorts: newNodePortAddresses(start, p.config.NodePortAddresses, p.family),
		local: localAddresses(&p.node, p.family), nodeIP: NodeIP(start, p.family), topology: at,
		mark: fmt.Sprintf("%#08x", uint32(1)<<uint(p.config.MasqueradeBit)),
	}
	w.localhost = p.localhost(w.nodePorts)
	return w
}

// NormaliseRestore puts the input of an iptables-restore into a fixed order, since kube-proxy's depends on the order in which
// it visits Services: tables as they stand, chain lines by name, rules grouped by chain with chains by name, -X last.
func NormaliseRestore(text string) string {
	var out strings.Builder
	out.Grow(len(text))
	var chains, deletes []string
	rules := map[string][]string{}
	flush := func() {
		slices.Sort(chains)
		slices.Sort(deletes)
		for _, c := range chains {
			out.WriteString(c + "\n")
		}
		for _, name := range sortedKeys(rules) {
			for _, l := range rules[name] {
				out.WriteString(l + "\n")
			}
		}
		for _, d := range deletes {
			out.WriteString(d + "\n")
		}
		chains, deletes = nil, nil
		clear(rules)
	}
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		switch {
		case strings.HasPrefix(l, ":"):
			chains = append(chains, l)
		case strings.HasPrefix(l, "-A "):
			name, _, _ := strings.Cut(l[len("-A "):], " ")
			rules[name] = append(rules[name], l)
		case strings.HasPrefix(l, "-X "):
			deletes = append(deletes, l)
		default:
			if l == "COMMIT" {
				flush()
			}
			out.WriteString(l + "\n")
		}
	}
	return out.String()
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
