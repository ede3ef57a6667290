package dns

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/datapath/service"
)

// Client is the resolver of a Pod that stands in no object: dnsPolicy ClusterFirst, with options of its dnsConfig spelled as in
// resolv.conf ("ndots:2").
func (c *Cluster) Client(namespace string, libc Libc, options []string) *Resolver {
	p := &corev1.Pod{Spec: corev1.PodSpec{DNSConfig: &corev1.PodDNSConfig{}}}
	p.Namespace = namespace
	for _, o := range options {
		name, value, ok := strings.Cut(o, ":")
		x := corev1.PodDNSConfigOption{Name: name}
		if ok {
			x.Value = &value
		}
		p.Spec.DNSConfig.Options = append(p.Spec.DNSConfig.Options, x)
	}
	domain := strings.TrimSuffix(c.Primary, ".")
	if domain == "" {
		domain = "cluster.local"
	}
	return &Resolver{Conf: c.ResolvConf(p, domain, ResolvConf{}), Libc: libc, Exchange: c.exchange}
}

// Outside is an Upstream that knows some names, and no other.
func Outside(names map[string][]netip.Addr) Upstream {
	known := map[string][]netip.Addr{}
	for n, a := range names {
		known[strings.ToLower(dns.Fqdn(n))] = a
	}
	return func(t Transport, m *dns.Msg) *dns.Msg {
		if len(m.Question) != 1 {
			return NoNames(t, m)
		}
		q := m.Question[0]
		list, ok := known[strings.ToLower(q.Name)]
		if !ok {
			return NoNames(t, m)
		}
		r := new(dns.Msg)
		r.SetReply(m)
		r.RecursionAvailable = true
		for _, a := range list {
			h := dns.RR_Header{Name: q.Name, Class: dns.ClassINET, Ttl: 300}
			switch {
			case a.Is4() && q.Qtype == dns.TypeA:
				h.Rrtype = dns.TypeA
				r.Answer = append(r.Answer, &dns.A{Hdr: h, A: a.AsSlice()})
			case a.Is6() && q.Qtype == dns.TypeAAAA:
				h.Rrtype = dns.TypeAAAA
				r.Answer = append(r.Answer, &dns.AAAA{Hdr: h, AAAA: a.AsSlice()})
			}
		}
		return r
	}
}

// WithEndpoints are objects whose EndpointSlices stand as they do by now: an endpoint keeps what else its object says.
func WithEndpoints(o Objects, now []service.EndpointSlice) Objects {
	given := map[string]*discoveryv1.EndpointSlice{}
	for _, s := range o.EndpointSlices() {
		given[orDefault(s.Namespace)+"/"+s.Name] = s
	}
	w := onlySlices{Objects: o}
	for i := range now {
		s := &now[i]
		old := given[s.Name.String()]
		if old == nil {
			continue // mirrored from Endpoints, which are read for themselves
		}
		c := *old
		c.Endpoints = nil
		for k := range s.Endpoints {
			c.Endpoints = append(c.Endpoints, endpointOf(old, &s.Endpoints[k]))
		}
		w.slices = append(w.slices, &c)
	}
	return w
}

// onlySlices are objects with other EndpointSlices.
type onlySlices struct {
	Objects
	slices []*discoveryv1.EndpointSlice
}

func (w onlySlices) EndpointSlices() []*discoveryv1.EndpointSlice { return w.slices }

func endpointOf(old *discoveryv1.EndpointSlice, x *service.Endpoint) discoveryv1.Endpoint {
	var e discoveryv1.Endpoint
	first := x.Addresses[0].String()
	for _, was := range old.Endpoints {
		if len(was.Addresses) > 0 && was.Addresses[0] == first {
			e = was
		}
	}
	if e.Addresses == nil {
		for _, a := range x.Addresses {
			e.Addresses = append(e.Addresses, a.String())
		}
		if x.NodeName != "" {
			e.NodeName = &x.NodeName
		}
	}
	ready, serving, terminating := x.Ready, x.Serving, x.Terminating
	e.Conditions = discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating}
	return e
}
