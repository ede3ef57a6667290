package service_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/svclab/svclab/datapath/service"
)

// plain is Select said once more, list by list, without regard for cost.
func plain(p service.Port, all []service.Backend, at service.Topology) (cluster, local, reachable string, any bool) {
	pick := func(list []service.Backend, pass func(service.Backend) bool) (out []service.Backend) {
		for _, b := range list {
			if pass(b) {
				out = append(out, b)
			}
		}
		return out
	}
	ready := func(b service.Backend) bool { return b.Ready }
	draining := func(b service.Backend) bool { return b.Serving && b.Terminating }
	first := func(a, b []service.Backend) []service.Backend {
		if len(a) > 0 {
			return a
		}
		return b
	}
	has := func(hints []string, x string) bool {
		for _, h := range hints {
			if h == x {
				return true
			}
		}
		return false
	}
	external := p.NodePort != 0 || len(p.ExternalIPs) > 0 || len(p.LoadBalancerIPs) > 0
	var c, l []service.Backend
	if !p.InternalLocal || external {
		c = pick(all, ready)
		onNode := pick(c, func(b service.Backend) bool { return has(b.NodeHints, at.Node) })
		inZone := pick(c, func(b service.Backend) bool { return has(b.ZoneHints, at.Zone) })
		switch {
		case len(pick(c, func(b service.Backend) bool { return len(b.NodeHints) > 0 })) == len(c) && len(onNode) > 0:
			c = onNode
		case len(pick(c, func(b service.Backend) bool { return len(b.ZoneHints) > 0 })) == len(c) && len(inZone) > 0:
			c = inZone
		}
		c = first(c, pick(all, draining))
	}
	if p.InternalLocal || p.ExternalLocal && external {
		here := pick(all, func(b service.Backend) bool { return b.Local })
		l = first(pick(here, ready), pick(here, draining))
	}
	both := pick(all, func(b service.Backend) bool {
		for _, x := range append(append([]service.Backend{}, c...), l...) {
			if x.Addr == b.Addr {
				return true
			}
		}
		return false
	})
	return letters(c), letters(l), letters(both), len(pick(all, func(b service.Backend) bool { return ready(b) || draining(b) })) > 0
}

func TestSelectAgainstPlainVersion(t *testing.T) {
	rounds := 100_000
	if testing.Short() {
		rounds = 10_000
	}
	r := rand.New(rand.NewPCG(7, 7))
	one := func(n int) bool { return r.IntN(n) == 0 }
	for round := range rounds {
		var all []service.Backend
		for i := range r.IntN(6) {
			b := service.Backend{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 80), Ready: !one(3), Serving: !one(3), Terminating: one(3), Local: one(2)}
			if !one(4) {
				b.ZoneHints = []string{[]string{"z1", "z2"}[r.IntN(2)]}
			}
			if !one(3) {
				b.NodeHints = []string{[]string{"n1", "n2"}[r.IntN(2)]}
			}
			all = append(all, b)
		}
		p := service.Port{InternalLocal: one(2), ExternalLocal: one(2)}
		if one(2) {
			p.NodePort = 30000
		}
		at := service.Topology{Node: "n1", Zone: []string{"z1", ""}[r.IntN(2)]}
		u := service.Select(&p, all, at)
		c, l, both, any := plain(p, all, at)
		if letters(u.Cluster) != c || letters(u.Local) != l || letters(u.Reachable) != both || u.Any != any {
			t.Fatalf("round %d: %+v %+v\n got %s|%s|%s|%v\nwant %s|%s|%s|%v", round, p, all, letters(u.Cluster), letters(u.Local), letters(u.Reachable), u.Any, c, l, both, any)
		}
	}
}
