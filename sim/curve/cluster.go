package curve

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/replay"
)

// The addresses of a measurement: a Pod of the node connects to Services whose endpoints are Pods of another node.
var (
	nodeIP  = netip.MustParseAddr("192.168.8.11")
	pods    = netip.MustParsePrefix("10.244.0.0/24")
	cluster = netip.MustParsePrefix("10.244.0.0/16")
	client  = netip.MustParseAddr("10.244.0.100")
)

// endpoints of every Service, and one more for the Service that changes.
const endpoints = 3

func endpoint(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 244, 1, byte(i + 1)}), 8080)
}

func clusterIP(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 96 + byte(i>>16), byte(i >> 8), byte(i)}), 80)
}

// state is a cluster of n Services with three endpoints each.
func state(n int, mode service.Mode) service.State {
	s := service.State{
		Node: service.Node{Name: "node", InternalIPs: []netip.Addr{nodeIP}, PodCIDRs: []netip.Prefix{pods}},
		Config: service.ProxyConfig{
			Mode: mode, ClusterCIDRs: []netip.Prefix{cluster}, MasqueradeBit: 14, LocalhostNodePorts: true,
		},
	}
	var list []service.Endpoint
	for i := range endpoints {
		list = append(list, service.Endpoint{Addresses: []netip.Addr{endpoint(i).Addr()}, Ready: true, Serving: true, NodeName: "other"})
	}
	for i := range n {
		name := service.Name{Namespace: "default", Name: fmt.Sprintf("svc-%05d", i+1)}
		s.Services = append(s.Services, service.Service{
			Name: name, Type: service.ClusterIP, ClusterIPs: []netip.Addr{clusterIP(i + 1).Addr()},
			ExternalPolicy: service.PolicyCluster, InternalPolicy: service.PolicyCluster, IPFamilies: []packet.Family{packet.IPv4},
			Ports: []service.ServicePort{{Protocol: packet.TCP, Port: 80, TargetPort: "8080"}},
		})
		s.Slices = append(s.Slices, service.EndpointSlice{
			Name: service.Name{Namespace: "default", Name: name.Name + "-a"}, Service: name, Family: packet.IPv4,
			Labels:    map[string]string{"kubernetes.io/service-name": name.Name},
			Ports:     []service.EndpointPort{{Protocol: packet.TCP, Port: 8080}},
			Endpoints: list,
		})
	}
	return s
}

// changes of one Service that are timed at each size: an odd number, so that there is a middle one.
const changes = 5

// load is what a size of a series puts on a kernel: everything, and then what each change of one Service brings.
type load struct {
	full        []datapath.Op
	changes     [][]datapath.Op
	first, last int // index of the Services that a packet meets first and last, by the model
	// firstRules and lastRules are the rules that the model tries for the first packet to each, in all tables and hooks.
	firstRules, lastRules int
}

// compile lets kube-proxy start on an empty node, sync, and sync again whenever the middle Service has lost an endpoint or got it
// back, and asks the model what packets meet in between.
func compile(n int, mode service.Mode, variant datapath.Variant, release string) (*load, error) {
	profile := datapath.DefaultProfile()
	profile.Kernel, profile.IPTables = release, variant
	s := state(n, mode)
	p, err := kubeproxy.New(mode, packet.IPv4, s, profile)
	if err != nil {
		return nil, err
	}
	h := kubeproxy.NewRulesHost()
	start := p.Start(h)
	r, err := p.Sync(0, s, h, kubeproxy.Options{})
	if err == nil {
		err = r.Err
	}
	if err != nil {
		return nil, err
	}
	l := &load{full: append(start.Ops, r.Ops...), last: n - 1}
	if err := l.walk(&s, profile); err != nil {
		return nil, err
	}
	slice := &s.Slices[n/2]
	all, now := slice.Endpoints, time.Duration(0)
	for i := range changes {
		if slice.Endpoints = all; i%2 == 0 {
			slice.Endpoints = all[:endpoints-1]
		}
		now += s.Config.MinSyncPeriod + time.Second
		again, err := p.Sync(now, s, h, kubeproxy.Options{})
		if err == nil {
			err = again.Err
		}
		if err != nil {
			return nil, err
		}
		l.changes = append(l.changes, again.Ops)
	}
	return l, nil
}

// firstEndpoint is a source of chance that takes the first endpoint of each Service, so that Services differ by their place alone.
type firstEndpoint struct{}

// Chance says yes wherever it can.
func (firstEndpoint) Chance(p31 uint32) bool { return p31 > 0 }

// Intn takes the first.
func (firstEndpoint) Intn(int) int { return 0 }

// Port takes the first.
func (firstEndpoint) Port(int) int { return 0 }

// walk counts the rules that the model tries for the first and the last Service.
func (l *load) walk(s *service.State, profile datapath.Profile) error {
	host := replay.NewHost(s)
	node := datapath.NewNode(profile, host.Routes())
	if err := node.Apply(l.full...); err != nil {
		return err
	}
	node.SetSource(firstEndpoint{})
	tried := func(i int) int {
		p := replay.FirstPacket(packet.TCP, netip.AddrPortFrom(client, 40000), clusterIP(i+1))
		var d datapath.Disposition
		node.Undo(func() { d = node.Receive(0, host.Ingress(client), &p) })
		return d.Work.Rules
	}
	l.firstRules, l.lastRules = tried(l.first), tried(l.last)
	if l.firstRules > l.lastRules { // kube-proxy's order is not that of the names
		l.first, l.last = l.last, l.first
		l.firstRules, l.lastRules = l.lastRules, l.firstRules
	}
	return nil
}
