package service

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
)

// Backend is one endpoint of one Service port: an address with the port's number, and what decides about its use.
type Backend struct {
	Addr                        netip.AddrPort
	Local                       bool // on this node
	Ready, Serving, Terminating bool
	ZoneHints, NodeHints        []string
}

// Backends maps each Service port to its endpoints, merged over slices, one entry for an address and port, sorted as
// text (so 10.0.0.10:80 comes before 10.0.0.9:80). A port that slices name but fill with no endpoint is absent.
// Where slices disagree about an endpoint the last that is not terminating counts, slices taken by name
// (pkg/proxy/endpointslicecache.go, addEndpoints, v1.37; its own order of slices is random).
func (s *State) Backends(f packet.Family) map[PortName][]Backend {
	return BackendsOf(s.Slices, f, s.Node.Name)
}

// Visible reports whether kube-proxy's informers deliver the slice to the family's proxier.
func (e *EndpointSlice) Visible(f packet.Family) bool {
	return e.Family == f && e.Service.Name != "" && !hasLabel(e.Labels, LabelHeadless)
}

// BackendsOf is State.Backends for some slices, seen from the named node.
func BackendsOf(list []EndpointSlice, f packet.Family, node string) map[PortName][]Backend {
	order := make([]*EndpointSlice, 0, len(list))
	for i := range list {
		if list[i].Visible(f) {
			order = append(order, &list[i])
		}
	}
	slices.SortStableFunc(order, func(a, b *EndpointSlice) int { return a.Name.Compare(b.Name) })

	out := make(map[PortName][]Backend, len(order))
	for _, e := range order {
		for _, p := range e.Ports {
			if p.Port == 0 {
				continue
			}
			name := PortName{e.Service, p.Name, p.Protocol}
			old := out[name]
			old = slices.Grow(old, len(e.Endpoints))
			for i := range e.Endpoints {
				ep := &e.Endpoints[i]
				if len(ep.Addresses) == 0 {
					continue
				}
				old = append(old, Backend{
					Addr:  netip.AddrPortFrom(ep.Addresses[0], p.Port),
					Local: node != "" && ep.NodeName == node,
					Ready: ep.Ready, Serving: ep.Serving, Terminating: ep.Terminating,
					ZoneHints: ep.ZoneHints, NodeHints: ep.NodeHints,
				})
			}
			if len(old) > 0 {
				out[name] = old
			}
		}
	}
	for name, list := range out {
		out[name] = sortBackends(list)
	}
	return out
}

// sortBackends drops duplicates and sorts by text.
func sortBackends(list []Backend) []Backend {
	at := make(map[netip.AddrPort]int, len(list))
	kept := list[:0]
	for _, b := range list {
		i, dup := at[b.Addr]
		switch {
		case !dup:
			at[b.Addr] = len(kept)
			kept = append(kept, b)
		case !b.Terminating:
			kept[i] = b
		}
	}
	text := make(map[netip.AddrPort]string, len(kept))
	for _, b := range kept {
		text[b.Addr] = b.Addr.String()
	}
	slices.SortFunc(kept, func(a, b Backend) int { return strings.Compare(text[a.Addr], text[b.Addr]) })
	return slices.Clip(kept)
}
