package dns

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
)

// Carry is an Exchange over a network that carries bytes: send gives one query, without the length that TCP puts before it, to port
// 53 of a server, and returns the answer, or nil when none came in the resolver's time. An answer to another query is none.
func Carry(send func(server netip.Addr, t Transport, query []byte) []byte) Exchange {
	return func(server netip.Addr, t Transport, m *dns.Msg) *dns.Msg {
		q, err := m.Pack()
		if err != nil {
			return nil
		}
		a := new(dns.Msg)
		if err := a.Unpack(send(server, t, q)); err != nil || a.Id != m.Id || !a.Response {
			return nil
		}
		return a
	}
}

// LookupAddresses asks for the addresses of a name: those of IPv4 first, as they came. The error is that of Lookup.
func (r *Resolver) LookupAddresses(name string) ([]netip.Addr, error) {
	_, rrs, err := r.Lookup(name)
	var four, six []netip.Addr
	for _, rr := range rrs {
		switch rr := rr.(type) {
		case *dns.A:
			if a, ok := netip.AddrFromSlice(rr.A.To4()); ok {
				four = append(four, a)
			}
		case *dns.AAAA:
			if a, ok := netip.AddrFromSlice(rr.AAAA); ok {
				six = append(six, a)
			}
		}
	}
	return append(four, six...), err
}

// StandIn is a Pod of which only the name is known, with dnsPolicy ClusterFirst.
func StandIn(namespace, name string) *corev1.Pod {
	p := &corev1.Pod{}
	p.Namespace, p.Name = namespace, name
	return p
}

// Domain is the cluster domain as kubelet has it: CoreDNS's first zone, without the dot at its end.
func (c *Cluster) Domain() string {
	if c.Primary == "" {
		return "cluster.local"
	}
	return strings.TrimSuffix(c.Primary, ".")
}
