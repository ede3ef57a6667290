package kubeproxy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/nftables"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// staleAge is how long a chain without use stays, flushed: kernels before 6.2 notice only after a while that no map element
// leads to it any more.
const staleAge = time.Second

// nftablesProxier is the proxier of the nftables mode (pkg/proxy/nftables/proxier.go, v1.37).
type nftablesProxier struct {
	family  packet.Family
	config  service.ProxyConfig
	node    service.Node // as at the start
	tracker tracker

	needFull bool
	lastFull time.Duration
	flushed  bool // base chains have been made anew
	stale    map[string]time.Duration
	nftContainers
}

func newNFTables(f packet.Family, s service.State) *nftablesProxier {
	p := &nftablesProxier{family: f, config: s.Config, node: s.Node, needFull: true, tracker: tracker{family: f, node: s.Node.Name},
		stale: map[string]time.Duration{}, nftContainers: newContainers()}
	if len(p.config.NodePortAddresses) == 0 {
		p.config.NodePortAddresses = []string{"primary"}
	}
	return p
}

func (p *nftablesProxier) syncPeriod() time.Duration {
	if p.config.SyncPeriod > 0 {
		return p.config.SyncPeriod
	}
	return defaultSyncPeriod
}

// Start does nothing to the kernel.
func (p *nftablesProxier) Start(h Host) Result {
	r := run{host: h, Result: Result{Dumps: -1}}
	r.logf("Not syncing nftables until Services and Endpoints have been received from master")
	return r.Result
}

// Sync writes what changed, or everything. The kind of the Result is what the sync set out to do.
func (p *nftablesProxier) Sync(now time.Duration, s service.State, h Host, o Options) (Result, error) {
	r := run{host: h, Result: Result{Kind: Partial, Dumps: -1}}
	changed := p.tracker.update(&s)
	r.Asked = changed.any()
	p.needFull = p.needFull || o.ForceFull || changed.topology
	// kube-proxy asks for more than the period, but some time passes between any two readings of its clock.
	full := p.needFull || now-p.lastFull >= fullSyncPeriod
	if full {
		r.Kind = Full
	}
	r.logf("Syncing nftables rules fullSync=", full)
	if !p.deleteStale(&r, now) {
		full = true
	}
	if err := p.sync(&r, now, &s, changed, full); err != nil {
		// What had changed is known no longer, so that the next sync cannot be partial; and no chain was flushed.
		r.logf("ERROR nftables sync failed err=", err.Error())
		clear(p.stale)
		r.logf("Sync failed retryingTime=", duration(p.syncPeriod()))
		r.Err = err
		p.needFull = true
		return r.Result, nil
	}
	p.needFull = false
	if full {
		p.lastFull = now
	}
	if changed.udp {
		r.Dumps = 0
		r.cleanUDP(&p.tracker)
	}
	return r.Result, nil
}

// deleteStale deletes chains that have been out of use for long enough. It reports whether that went well: chains that are
// still there are found again.
func (p *nftablesProxier) deleteStale(r *run, now time.Duration) bool {
	w := p.newWriter()
	n := 0
	for _, c := range sortedKeys(p.stale) {
		if now-p.stale[c] > staleAge {
			w.op("delete", "chain", c)
			delete(p.stale, c)
			n++
		}
	}
	if n == 0 {
		return true
	}
	r.logf("Deleting stale nftables chains numChains=", n)
	if err := r.do(datapath.NFTRun{Family: p.family, Text: w.b.String()}); err != nil {
		r.logf("ERROR Unable to delete stale chains; will retry later err=", err.Error())
		return false
	}
	return true
}

// sync does the transaction.
func (p *nftablesProxier) sync(r *run, now time.Duration, s *service.State, changed changes, full bool) error {
	t := &p.tracker
	table := nftableOf(r.host, p.family)
	w := p.writer(s)
	w.topology = service.Topology{Node: p.node.Name, Zone: t.zone}
	if full {
		w.setup(p.flushed)
		p.flushed = true
		for _, e := range p.all() {
			e.read(table)
		}
	}
	if table == nil {
		r.logf(`ERROR Failed to list existing chains err=no such table "`, nftTable, `"`)
		r.logf(`ERROR Failed to list existing sets err=no such table "`, nftTable, `"`)
	}
	total := 0
	for i := range t.ports {
		port := &t.ports[i]
		total += len(t.backends[port.PortName])
		w.service(&p.nftContainers, port, t.backends[port.PortName], full || changed.services[port.Name])
	}
	p.retire(w, table, now)
	for _, e := range p.all() {
		e.cleanup(w)
	}
	r.logf("Reloading service nftables data numServices=", len(t.ports), " numEndpoints=", total)
	return r.do(datapath.NFTRun{Family: p.family, Text: w.b.String()})
}

// retire flushes chains that nothing needs any more, to be deleted later, and deletes affinity sets at once.
func (p *nftablesProxier) retire(w *nftWriter, t *nftables.Table, now time.Duration) {
	if t == nil {
		return
	}
	for _, c := range t.Chains() {
		switch {
		case !isNFTServiceChain(c.Name):
		case w.active[c.Name]:
			delete(p.stale, c.Name)
		default:
			w.op("flush", "chain", c.Name)
			p.stale[c.Name] = now
		}
	}
	for _, s := range t.Sets() {
		if !s.IsMap() && isAffinitySet(s.Name) && !w.affinity[s.Name] {
			w.op("delete", "set", s.Name)
		}
	}
}

func (p *nftablesProxier) newWriter() *nftWriter {
	w := &nftWriter{at: "ip " + nftTable, ip: "ip", addrType: "ipv4_addr", family: p.family}
	if p.family == packet.IPv6 {
		w.at, w.ip, w.addrType = "ip6 "+nftTable, "ip6", "ipv6_addr"
	}
	return w
}

func (p *nftablesProxier) writer(s *service.State) *nftWriter {
	start := &service.State{Config: p.config, Node: p.node}
	w := p.newWriter()
	w.mark = fmt.Sprintf("%#08x", uint32(1)<<uint(p.config.MasqueradeBit))
	w.masqAll, w.detect = p.config.MasqueradeAll, newLocalDetector(start, p.family)
	w.nodePorts, w.local, w.nodeIP = newNodePortAddresses(start, p.config.NodePortAddresses, p.family), localAddresses(&p.node, p.family), NodeIP(start, p.family)
	w.refused = p.refused(w.nodePorts)
	w.active, w.affinity = map[string]bool{}, map[string]bool{}
	// ServiceCIDR objects are read as they are at a full sync; they cause none. kube-proxy's order is random.
	var cidrs []string
	for _, c := range s.ServiceCIDRs {
		if packet.FamilyOf(c.Addr()) == p.family {
			cidrs = append(cidrs, c.String())
		}
	}
	slices.Sort(cidrs)
	w.cidrs = strings.Join(slices.Compact(cidrs), ",")
	return w
}

// refused are the protocols whose node ports on loopback addresses are refused and counted: with the feature all, but TCP where
// loopback addresses are configured, since kube-proxy then carries TCP itself. That proxy is not modelled, the rules are.
func (p *nftablesProxier) refused(n nodePortAddresses) []packet.Protocol {
	switch {
	case !p.config.NFTLocalhostNodePorts:
		return nil
	case n.named:
		return []packet.Protocol{packet.UDP, packet.SCTP}
	}
	return []packet.Protocol{packet.TCP, packet.UDP, packet.SCTP}
}

// cleanNFTables is CleanupLeftovers of the nftables mode: the table of each family goes; one that is not there is no error.
func (r *run) cleanNFTables(f packet.Family) {
	op := datapath.NFTRun{Family: f, Text: "delete table " + string(nftables.FamilyOf(f)) + " " + nftTable + "\n"}
	if err := r.do(op); err != nil && !nftables.IsNotFound(err) {
		r.fail("ERROR Error cleaning up nftables rules err=", err)
	}
}
