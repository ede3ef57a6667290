package netstack

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/replay"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// universe is one modelled node with a client Pod, a client outside, and a Service nginx (TCP 80 and UDP 53 to 8080 and 5353)
// with backends on the node; a second Service, empty, that has no endpoints.
type universe struct {
	f          *Fabric
	node       *Node
	dp         *datapath.Node
	pod, outer *Host
	backends   []*Host
	server     *Server
	v6         bool
}

type shape struct {
	Options
	backends    int
	v6          bool
	passThrough bool
	mode        service.Mode
	server      *Server
}

func (u *universe) pick(v4, v6 string) netip.Addr {
	if u.v6 {
		return addr(v6)
	}
	return addr(v4)
}

func (u *universe) vip() netip.Addr     { return u.pick("10.96.0.80", "fd00:96::80") }
func (u *universe) empty() netip.Addr   { return u.pick("10.96.0.81", "fd00:96::81") }
func (u *universe) nodeIP() netip.Addr  { return u.pick("192.168.1.1", "fd00:1::1") }
func (u *universe) podIP() netip.Addr   { return u.pick("10.244.0.100", "fd00:244::100") }
func (u *universe) outerIP() netip.Addr { return u.pick("203.0.113.9", "2001:db8::9") }
func (u *universe) web() netip.AddrPort { return netip.AddrPortFrom(u.vip(), 80) }
func (u *universe) dns() netip.AddrPort { return netip.AddrPortFrom(u.vip(), 53) }
func (u *universe) back(i int) netip.Addr {
	return u.pick(fmt.Sprintf("10.244.0.%d", i+1), fmt.Sprintf("fd00:244::%x", i+1))
}

func build(t testing.TB, s shape) *universe {
	t.Helper()
	if s.backends == 0 {
		s.backends = 3
	}
	u := &universe{f: New(s.Options), server: s.server, v6: s.v6}
	t.Cleanup(u.f.Close)
	if u.server == nil {
		u.server = &Server{}
	}
	fam := packet.IPv4
	if s.v6 {
		fam = packet.IPv6
	}
	pods := netip.PrefixFrom(u.pick("10.244.0.0", "fd00:244::"), u.podIP().BitLen()-16)
	web := service.Name{Namespace: "default", Name: "nginx"}
	none := service.Name{Namespace: "default", Name: "none"}
	slice := service.EndpointSlice{Name: web, Service: web, Family: fam, Ports: []service.EndpointPort{
		{Name: "http", Protocol: packet.TCP, Port: 8080}, {Name: "dns", Protocol: packet.UDP, Port: 5353}}}
	for i := range s.backends {
		slice.Endpoints = append(slice.Endpoints, service.Endpoint{Addresses: []netip.Addr{u.back(i)}, Ready: true, Serving: true, NodeName: "node-a"})
	}
	ports := []service.ServicePort{{Name: "http", Protocol: packet.TCP, Port: 80, NodePort: 30080}, {Name: "dns", Protocol: packet.UDP, Port: 53, NodePort: 30053}}
	state := service.State{
		Config: service.ProxyConfig{MasqueradeBit: 14, LocalhostNodePorts: true, ClusterCIDRs: []netip.Prefix{pods}},
		Node:   service.Node{Name: "node-a", InternalIPs: []netip.Addr{u.nodeIP()}, PodCIDRs: []netip.Prefix{pods}},
		Services: []service.Service{
			{Name: web, Type: service.NodePort, ClusterIPs: []netip.Addr{u.vip()}, Ports: ports, IPFamilies: []packet.Family{fam},
				ExternalPolicy: service.PolicyCluster, InternalPolicy: service.PolicyCluster},
			{Name: none, Type: service.ClusterIP, ClusterIPs: []netip.Addr{u.empty()}, IPFamilies: []packet.Family{fam},
				Ports:          []service.ServicePort{{Name: "http", Protocol: packet.TCP, Port: 80}, {Name: "dns", Protocol: packet.UDP, Port: 53}},
				ExternalPolicy: service.PolicyCluster, InternalPolicy: service.PolicyCluster},
		},
		Slices: []service.EndpointSlice{slice},
	}
	host := replay.NewHost(&state)
	if !s.passThrough {
		profile := datapath.DefaultProfile()
		u.dp = datapath.NewNode(profile, host.Routes())
		u.dp.SetSource(s.Root.Stream("chance"))
		c, err := kubeproxy.Compile(state, s.mode, fam, profile)
		if err != nil {
			t.Fatal(err)
		}
		if err := u.dp.Apply(c.Ops...); err != nil {
			t.Fatal(err)
		}
	}
	u.node = u.f.AddNode(host, u.dp)
	u.pod = u.f.AddHost(u.node, nil, u.podIP())
	u.outer = u.f.AddHost(nil, nil, u.outerIP())
	for i := range s.backends {
		b := u.f.AddHost(u.node, nil, u.back(i))
		u.backends = append(u.backends, b)
		must2(t, b.Listen(packet.TCP, netip.AddrPortFrom(u.back(i), 8080), u.server))
		must2(t, b.Listen(packet.UDP, netip.AddrPortFrom(u.back(i), 5353), u.server))
	}
	return u
}

func must2(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newRand() *rand.Rand { return rand.New(rand.NewPCG(1, 1)) }
