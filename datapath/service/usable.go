package service

import "slices"

// Usable is the answer to "which endpoints may this node send the port's traffic to", before any proxy mode.
type Usable struct {
	Cluster   []Backend // for policy Cluster, topology applied; nil if the port never uses that policy
	Local     []Backend // for policy Local; nil if the port never uses it
	Reachable []Backend // both together: what rules are made for
	Any       bool      // whether the Service has a usable endpoint anywhere in the cluster
}

// Topology is where the node is, as hints see it.
type Topology struct{ Node, Zone string }

// TopologyOf reads the node's place from its name and labels.
func TopologyOf(n Node) Topology { return Topology{n.Name, n.Labels[LabelZone]} }

// Select decides which endpoints of the port are usable from the node (pkg/proxy/topology.go, CategorizeEndpoints, v1.37).
//
//   - Ready endpoints are used. Where there is none, those that still serve while terminating; decided for
//     policy Cluster and for policy Local each on its own.
//   - Hints narrow policy Cluster only, and never to nothing: see hintedTo.
func Select(p *Port, all []Backend, at Topology) Usable {
	var u Usable
	if len(all) == 0 {
		return u
	}
	hint := noHint
	if p.UsesClusterEndpoints() {
		hint = hintedTo(all, at)
		u.Cluster = filter(all, func(b *Backend) bool { return b.Ready && hint.admits(b, at) })
		if len(u.Cluster) == 0 {
			u.Cluster = filter(all, (*Backend).lastResort)
		}
		u.Any = len(u.Cluster) > 0
	}
	if !p.UsesLocalEndpoints() {
		u.Reachable = u.Cluster
		return u
	}

	u.Local = filter(all, func(b *Backend) bool { return b.Local && b.Ready })
	fellBack := false
	if len(u.Local) == 0 {
		u.Local = filter(all, func(b *Backend) bool { return b.Local && !b.Ready && b.lastResort() })
		fellBack = len(u.Local) > 0
	}
	u.Any = u.Any || slices.ContainsFunc(all, func(b Backend) bool { return b.Ready || b.lastResort() })
	switch {
	case !p.UsesClusterEndpoints():
		u.Reachable = u.Local
	case hint == noHint && !fellBack:
		u.Reachable = u.Cluster // every ready endpoint, so the local ones too
	default:
		u.Reachable = union(u.Cluster, u.Local)
	}
	return u
}

// lastResort reports whether the endpoint serves although it is terminating.
func (b *Backend) lastResort() bool { return b.Serving && b.Terminating }

// hint is what topology hints narrow traffic to.
type hint uint8

const (
	noHint hint = iota
	sameNode
	sameZone
)

// hintedTo reads the hints of the ready endpoints: to this node if every one carries node hints and one of them is for this
// node, else to this zone by the same rule, else no narrowing.
func hintedTo(all []Backend, at Topology) hint {
	ready, nodes, zones, node, zone := false, true, true, false, false
	for i := range all {
		b := &all[i]
		if !b.Ready {
			continue
		}
		ready = true
		nodes = nodes && len(b.NodeHints) > 0
		zones = zones && len(b.ZoneHints) > 0
		node = node || slices.Contains(b.NodeHints, at.Node)
		zone = zone || slices.Contains(b.ZoneHints, at.Zone)
	}
	switch {
	case !ready:
		return noHint
	case nodes && node:
		return sameNode
	case zones && zone:
		return sameZone
	}
	return noHint
}

func (h hint) admits(b *Backend, at Topology) bool {
	switch h {
	case sameNode:
		return slices.Contains(b.NodeHints, at.Node)
	case sameZone:
		return slices.Contains(b.ZoneHints, at.Zone)
	}
	return true
}

// filter returns the backends that pass; all of them without a copy.
func filter(all []Backend, pass func(*Backend) bool) []Backend {
	n := 0
	for i := range all {
		if pass(&all[i]) {
			n++
		}
	}
	if n == len(all) {
		return all
	}
	if n == 0 {
		return nil
	}
	out := make([]Backend, 0, n)
	for i := range all {
		if pass(&all[i]) {
			out = append(out, all[i])
		}
	}
	return out
}

// union merges two lists of one order.
func union(a, b []Backend) []Backend {
	out := slices.Clone(a)
	for _, x := range b {
		if !slices.ContainsFunc(a, func(y Backend) bool { return x.Addr == y.Addr }) {
			out = append(out, x)
		}
	}
	return sortBackends(out)
}
