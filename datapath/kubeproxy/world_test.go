package kubeproxy_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// node is worker-1 in zone-a, with the defaults of a KubeProxyConfiguration.
func node() service.State {
	return service.State{
		Config: service.ProxyConfig{MasqueradeBit: 14, LocalhostNodePorts: true,
			ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:244::/48")}},
		Node: service.Node{Name: "worker-1", Labels: map[string]string{service.LabelZone: "zone-a"},
			InternalIPs: []netip.Addr{addr("192.168.10.11"), addr("fd00:10::11")}},
	}
}

// simple is a state of n ClusterIP Services with one TCP port and e endpoints each.
func simple(n, e int) service.State {
	s := node()
	for i := range n {
		name := service.Name{Namespace: "default", Name: fmt.Sprintf("svc-%04d", i)}
		s.Services = append(s.Services, service.Service{Name: name, Type: service.ClusterIP,
			ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)})},
			Ports:      []service.ServicePort{{Protocol: packet.TCP, Port: 80}}})
		slice := service.EndpointSlice{Name: name, Service: name, Family: packet.IPv4, Ports: []service.EndpointPort{{Protocol: packet.TCP, Port: 8080}}}
		for j := range e {
			k := i*e + j
			slice.Endpoints = append(slice.Endpoints, service.Endpoint{Ready: true, Serving: true, NodeName: "worker-2",
				Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 244 + byte(k>>16), byte(k >> 8), byte(k)})}})
		}
		s.Slices = append(s.Slices, slice)
	}
	return s
}

// proxier is a proxier with its host and clock.
type proxier struct {
	p   kubeproxy.Proxier
	h   *textHost
	now time.Duration
}

func start(f packet.Family, s service.State) *proxier {
	p, err := kubeproxy.New(service.ModeIPTables, f, s, datapath.DefaultProfile())
	if err != nil {
		panic(err)
	}
	x := &proxier{p: p, h: newTextHost()}
	x.p.Start(x.h)
	return x
}

func (x *proxier) sync(s service.State, o kubeproxy.Options) kubeproxy.Result {
	x.now += 10 * time.Second
	r, err := x.p.Sync(x.now, s, x.h, o)
	if err != nil {
		panic(err)
	}
	return r
}

// randomService is a Service of any kind, with any combination of what decides about rules.
func randomService(r *rand.Rand, i int) (service.Service, []service.EndpointSlice) {
	one := func(n int) bool { return r.IntN(n) == 0 }
	name := service.Name{Namespace: "default", Name: fmt.Sprintf("s%d", i)}
	if one(3) {
		name.Namespace = "other"
	}
	policy := func() service.TrafficPolicy {
		if one(2) {
			return service.PolicyLocal
		}
		return service.PolicyCluster
	}
	s := service.Service{Name: name, ExternalPolicy: policy(), InternalPolicy: policy(),
		Type:       []service.Type{service.ClusterIP, service.NodePort, service.LoadBalancer}[r.IntN(3)],
		ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, 1, byte(i)}), addr(fmt.Sprintf("fd00:96::%x", i+1))}}
	if one(12) {
		s.Headless, s.ClusterIPs = true, nil
	}
	if one(3) {
		s.AffinityTimeout = time.Duration(1+r.IntN(3)) * time.Minute
	}
	if one(3) {
		s.ExternalIPs = []netip.Addr{netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), addr(fmt.Sprintf("2001:db8::%x", i+1))}
	}
	if s.Type == service.LoadBalancer && !one(4) {
		s.LoadBalancerIngress = []service.Ingress{{IP: netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), Proxy: one(4)}, {IP: addr(fmt.Sprintf("2001:db8:1::%x", i+1))}}
		if one(2) {
			s.LoadBalancerSourceRanges = []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("2001:db8:9::/48")}
		}
		s.HealthCheckNodePort = uint16(32000 + i)
	}
	nports := 1 + r.IntN(2)
	slices := make([]service.EndpointSlice, 1+r.IntN(2))
	for j := range slices {
		slices[j] = service.EndpointSlice{Name: service.Name{Namespace: name.Namespace, Name: fmt.Sprintf("%s-%d", name.Name, j)}, Service: name,
			Family: []packet.Family{packet.IPv4, packet.IPv6}[r.IntN(2)]}
	}
	for k := range nports {
		p := service.ServicePort{Name: fmt.Sprintf("p%d", k), Protocol: []packet.Protocol{packet.TCP, packet.UDP, packet.SCTP}[r.IntN(3)], Port: uint16(80 + k)}
		if s.Type != service.ClusterIP && !one(4) {
			p.NodePort = uint16(30000 + 10*i + k)
		}
		s.Ports = append(s.Ports, p)
		for j := range slices {
			if !one(6) {
				slices[j].Ports = append(slices[j].Ports, service.EndpointPort{Name: p.Name, Protocol: p.Protocol, Port: uint16(8080 + k)})
			}
		}
	}
	for j := range slices {
		for range r.IntN(4) {
			n := r.IntN(5)
			e := service.Endpoint{Ready: !one(3), Serving: !one(3), Terminating: one(4), NodeName: []string{"worker-1", "worker-2", ""}[r.IntN(3)],
				Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 244, byte(i), byte(n)})}}
			if slices[j].Family == packet.IPv6 {
				e.Addresses[0] = addr(fmt.Sprintf("fd00:244:0:%x::%x", i, n))
			}
			if one(2) {
				e.ZoneHints = []string{[]string{"zone-a", "zone-b"}[r.IntN(2)]}
			}
			if one(3) {
				e.NodeHints = []string{[]string{"worker-1", "worker-2"}[r.IntN(2)]}
			}
			slices[j].Endpoints = append(slices[j].Endpoints, e)
		}
	}
	return s, slices
}

// world is a set of random Services.
type world struct {
	services map[int]service.Service
	slices   map[int][]service.EndpointSlice
}

func (w *world) put(r *rand.Rand, i int) { w.services[i], w.slices[i] = randomService(r, i) }

func (w *world) state(base service.State) service.State {
	for i := range 256 {
		if s, ok := w.services[i]; ok {
			base.Services = append(base.Services, s)
			base.Slices = append(base.Slices, w.slices[i]...)
		}
	}
	return base
}
