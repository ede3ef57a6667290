package kubeproxy

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

var loopback = map[packet.Family]netip.Addr{
	packet.IPv4: netip.AddrFrom4([4]byte{127, 0, 0, 1}),
	packet.IPv6: netip.IPv6Loopback(),
}

var loopbackNet = map[packet.Family]netip.Prefix{
	packet.IPv4: netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8),
	packet.IPv6: netip.PrefixFrom(netip.IPv6Loopback(), 128),
}

// NodeIP is the address kube-proxy takes for the node's own in a family: bindAddress if that is a particular address of
// the family, else the first InternalIP, else the first ExternalIP, else the loopback address
// (cmd/kube-proxy/app/server.go, detectNodeIPs).
func NodeIP(s *service.State, f packet.Family) netip.Addr {
	if a := s.Config.BindAddress; a.IsValid() && !a.IsUnspecified() && packet.FamilyOf(a) == f {
		return a
	}
	for _, list := range [][]netip.Addr{s.Node.InternalIPs, s.Node.ExternalIPs} {
		for _, a := range list {
			if packet.FamilyOf(a) == f {
				return a
			}
		}
	}
	return loopback[f]
}

// localAddresses are the addresses on the node's interfaces: lo, and one more that holds the InternalIPs.
func localAddresses(n *service.Node, f packet.Family) []netip.Addr {
	out := []netip.Addr{loopback[f]}
	for _, a := range n.InternalIPs {
		if packet.FamilyOf(a) == f {
			out = append(out, a)
		}
	}
	return out
}

// nodePortAddresses is the configuration of that name, read for one family.
type nodePortAddresses struct {
	prefixes []netip.Prefix
	all      bool // every address of the node: nothing configured for the family, or a zero-length prefix
	named    bool // a prefix of loopback addresses is among what is configured
}

// newNodePortAddresses reads nodePortAddresses (pkg/proxy/util/nodeport_addresses.go): entries of the other family do not
// count, and a family that no entry is left for serves every address. Words may stand among the prefixes: "primary" for the
// node IPs, "localhost" for the loopback addresses, "all" for every address (cmd/kube-proxy/app/server.go,
// expandNodePortAddressKeywords).
func newNodePortAddresses(s *service.State, list []string, f packet.Family) nodePortAddresses {
	var n nodePortAddresses
	for _, text := range list {
		var p netip.Prefix
		switch text {
		case "primary":
			a := NodeIP(s, f)
			if a.IsLoopback() { // the node's address is not known
				continue
			}
			p = netip.PrefixFrom(a, a.BitLen())
		case "localhost":
			p = loopbackNet[f]
		case "all":
			p = netip.PrefixFrom(loopback[f], 0)
		default:
			var err error
			if p, err = netip.ParsePrefix(strings.TrimSpace(text)); err != nil || packet.FamilyOf(p.Addr()) != f {
				continue
			}
		}
		n.named = n.named || p.Addr().IsLoopback() && p.Bits() > 0
		if !n.all { // what stands behind a zero-length prefix does not count
			n.prefixes = append(n.prefixes, p.Masked())
		}
		n.all = n.all || p.Bits() == 0
	}
	n.all = n.all || len(n.prefixes) == 0
	return n
}

// loopback reports whether node ports are served on IPv4 loopback addresses.
func (n nodePortAddresses) loopback(f packet.Family) bool {
	if f != packet.IPv4 {
		return false
	}
	return n.all || slices.ContainsFunc(n.prefixes, func(p netip.Prefix) bool {
		return p.Addr().IsLoopback() || p.Contains(loopbackNet[f].Addr())
	})
}

// match returns the node's addresses that node ports are served on, sorted as text (kube-proxy's order is random).
func (n nodePortAddresses) match(local []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range local {
		if !slices.Contains(out, a) && slices.ContainsFunc(n.prefixes, func(p netip.Prefix) bool { return p.Contains(a) }) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b netip.Addr) int { return strings.Compare(a.String(), b.String()) })
	return out
}
