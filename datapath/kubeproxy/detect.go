package kubeproxy

import (
	"net/netip"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// localDetector tells traffic of Pods on this node from other traffic, by source range or by incoming interface. The zero
// value cannot tell (detectLocalMode without what it needs).
type localDetector struct {
	source netip.Prefix
	iface  string // as iptables' -i takes it: a name, or a prefix and "+"
}

// newLocalDetector reads detectLocalMode (cmd/kube-proxy/app/server_linux.go, getLocalDetectors). Of several ranges of the
// family the first counts.
func newLocalDetector(s *service.State, f packet.Family) localDetector {
	switch s.Config.DetectLocalMode {
	case service.LocalNodeCIDR:
		return localDetector{source: firstOf(s.Node.PodCIDRs, f)}
	case service.LocalBridgeInterface:
		return localDetector{iface: s.Config.BridgeInterface}
	case service.LocalInterfaceNamePrefix:
		if s.Config.InterfacePrefix != "" {
			return localDetector{iface: s.Config.InterfacePrefix + "+"}
		}
		return localDetector{}
	}
	return localDetector{source: firstOf(s.Config.ClusterCIDRs, f)}
}

func firstOf(list []netip.Prefix, f packet.Family) netip.Prefix {
	for _, p := range list {
		if packet.FamilyOf(p.Addr()) == f {
			return p.Masked()
		}
	}
	return netip.Prefix{}
}

// implemented reports whether the detector can tell.
func (d localDetector) implemented() bool { return d.source.IsValid() || d.iface != "" }

// match spells the iptables match for local traffic.
func (d localDetector) match() string {
	if d.iface != "" {
		return "-i " + d.iface
	}
	return "-s " + d.source.String()
}
