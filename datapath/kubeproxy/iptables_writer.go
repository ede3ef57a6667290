package kubeproxy

import (
	"bytes"
	"net/netip"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// largeClusterEndpoints is the number of endpoints above which endpoint rules go without comments and stale chains are
// deleted once per sync period only.
const largeClusterEndpoints = 1000

// Names of the nfacct counters (pkg/proxy/metrics/metrics.go).
const (
	nfacctInvalid   = "ct_state_invalid_dropped_pkts"
	nfacctLocalhost = "localhost_nps_accepted_pkts"
)

// lines collects text and counts its lines; with drop set it only counts.
type lines struct {
	buf  bytes.Buffer
	n    int
	drop bool
}

// add joins its arguments with spaces into one line; empty ones leave no trace.
func (l *lines) add(words ...string) {
	l.n++
	if l.drop {
		return
	}
	sep := false
	for _, w := range words {
		if w == "" {
			continue
		}
		if sep {
			l.buf.WriteByte(' ')
		}
		l.buf.WriteString(w)
		sep = true
	}
	l.buf.WriteByte('\n')
}

func (l *lines) chain(name string) { l.add(":"+name, "- [0:0]") }

// iptablesWriter makes the input of one iptables-restore.
type iptablesWriter struct {
	family       packet.Family
	mark         string // of masquerading, as iptables takes it
	masqAll      bool
	localhost    bool // node ports answer on 127.0.0.0/8
	nfacct       bool
	liberal      bool // nf_conntrack_tcp_be_liberal: INVALID packets may pass
	randomFully  bool
	detect       localDetector
	nodePorts    nodePortAddresses
	local        []netip.Addr
	nodeIP       netip.Addr
	topology     service.Topology
	large        bool
	filterChains lines
	filterRules  lines
	natChains    lines
	natRules     lines
	skipped      lines           // counts what a partial sync leaves out
	active       map[string]bool // nat chains that Services need, written or not
}

func comment(text string) string { return `-m comment --comment "` + text + `"` }

// begin writes the shared chains and the rules that come before those of Services.
func (w *iptablesWriter) begin() {
	w.active = map[string]bool{}
	w.skipped.drop = true
	for _, c := range [...]string{chainServices, chainExternalServices, chainForward, chainNodePorts, chainProxyFirewall} {
		w.filterChains.chain(c)
	}
	for _, c := range [...]string{chainServices, chainNodePorts, chainPostrouting, chainMarkMasq} {
		w.natChains.chain(c)
	}
	w.natRules.add("-A", chainPostrouting, "-m mark ! --mark", w.mark+"/"+w.mark, "-j RETURN")
	// The mark is taken off again, lest the packet be masqueraded once more when it passes the stack a second time.
	w.natRules.add("-A", chainPostrouting, "-j MARK --xor-mark", w.mark)
	fully := ""
	if w.randomFully {
		fully = "--random-fully"
	}
	w.natRules.add("-A", chainPostrouting, comment("kubernetes service traffic requiring SNAT"), "-j MASQUERADE", fully)
	w.natRules.add("-A", chainMarkMasq, "-j MARK --or-mark", w.mark)
	if w.localhost {
		// route_localnet, which node ports on 127.0.0.1 need, would let neighbours reach the node's loopback services.
		w.filterChains.chain(chainFirewall)
		w.filterRules.add("-A", chainFirewall, comment("block incoming localnet connections"),
			"-d 127.0.0.0/8 ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP")
	}
}

// finish writes the rules that come after those of Services.
func (w *iptablesWriter) finish() (log []string) {
	note := comment("kubernetes service nodeports; NOTE: this must be the last rule in this chain")
	if w.nodePorts.all {
		except := ""
		switch {
		case w.family == packet.IPv6: // never served on ::1
			except = "! -d " + loopbackNet[packet.IPv6].String()
		case !w.localhost:
			except = "! -d " + loopbackNet[packet.IPv4].String()
		}
		w.natRules.add("-A", chainServices, note, "-m addrtype --dst-type LOCAL", except, "-j", chainNodePorts)
	} else {
		for _, a := range w.nodePorts.match(w.local) {
			if a.IsLoopback() && !w.localhost {
				why := "--nodeport-addresses includes localhost but --iptables-localhost-nodeports=false was passed"
				if w.family == packet.IPv6 {
					why = "--nodeport-addresses includes localhost but localhost NodePorts are not supported on IPv6"
				}
				log = append(log, "ERROR "+why+" address="+a.String())
				continue
			}
			w.natRules.add("-A", chainServices, note, "-d", a.String(), "-j", chainNodePorts)
		}
	}
	if !w.liberal {
		counter := ""
		if w.nfacct {
			counter = "-m nfacct --nfacct-name " + nfacctInvalid
		}
		w.filterRules.add("-A", chainForward, "-m conntrack --ctstate INVALID", counter, "-j DROP")
	}
	w.filterRules.add("-A", chainForward, comment("kubernetes forwarding rules"), "-m mark --mark", w.mark+"/"+w.mark, "-j ACCEPT")
	w.filterRules.add("-A", chainForward, comment("kubernetes forwarding conntrack rule"), "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
	return log
}

// text is the input of iptables-restore.
func (w *iptablesWriter) text() string {
	var b strings.Builder
	b.Grow(w.filterChains.buf.Len() + w.filterRules.buf.Len() + w.natChains.buf.Len() + w.natRules.buf.Len() + 64)
	b.WriteString("*filter\n")
	b.Write(w.filterChains.buf.Bytes())
	b.Write(w.filterRules.buf.Bytes())
	b.WriteString("COMMIT\n*nat\n")
	b.Write(w.natChains.buf.Bytes())
	b.Write(w.natRules.buf.Bytes())
	b.WriteString("COMMIT\n")
	return b.String()
}
