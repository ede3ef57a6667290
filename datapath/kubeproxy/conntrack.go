package kubeproxy

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
)

// cleanUDP deletes the conntrack entries of UDP flows to a Service's addresses that answer from anything but one of its
// serving endpoints: packets of a UDP flow keep such an entry alive although its endpoint has gone, or although none was
// there when the flow began (pkg/proxy/conntrack/cleanup.go, CleanStaleEntries, v1.37). Traffic policies and topology do
// not count: a change of the Service leaves flows alone, as it does those of TCP. Flows to a node port are told by the port's
// number alone, so they are left alone where no endpoint serves.
func (r *run) cleanUDP(t *tracker) {
	type set = map[netip.AddrPort]bool
	byAddr, byNodePort := map[netip.AddrPort]set{}, map[uint16]set{}
	for i := range t.ports {
		p := &t.ports[i]
		if p.Protocol != packet.UDP {
			continue
		}
		serving := set{}
		for _, b := range t.backends[p.PortName] {
			if b.Serving {
				serving[b.Addr] = true
			}
		}
		for _, list := range [][]netip.Addr{{p.ClusterIP}, p.LoadBalancerIPs, p.ExternalIPs} {
			for _, a := range list {
				byAddr[netip.AddrPortFrom(a, p.Port)] = serving
			}
		}
		if p.NodePort != 0 && len(serving) > 0 {
			byNodePort[p.NodePort] = serving
		}
	}

	r.Dumps++
	var stale []datapath.ConntrackDelete
	for _, f := range r.host.UDPFlows(t.family) {
		if f.Original.Proto != packet.UDP {
			continue
		}
		dst, from := f.Original.Dst, f.Reply.Src
		d := datapath.ConntrackDelete{Family: t.family, Proto: packet.UDP, OrigDst: dst, ReplySrc: from}
		if serving, ok := byAddr[dst]; ok && !serving[from] {
			stale = append(stale, d)
			continue
		}
		if serving, ok := byNodePort[dst.Port()]; ok && !serving[from] {
			d.OrigDst = netip.AddrPortFrom(netip.Addr{}, dst.Port())
			stale = append(stale, d)
		}
	}
	slices.SortFunc(stale, func(a, b datapath.ConntrackDelete) int { return strings.Compare(a.Command(), b.Command()) })
	for _, d := range slices.Compact(stale) {
		r.do(d) // kube-proxy logs an error and goes on
	}
}
