package kubeproxy_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/conntrack"
	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/route"
	"github.com/svclab/svclab/datapath/service"
)

// ipvsLab is a model node on which kube-proxy runs in ipvs mode.
type ipvsLab struct {
	t     *testing.T
	n     *datapath.Node
	p     kubeproxy.Graceful
	s     service.State
	f     packet.Family
	proto packet.Protocol
	now   time.Duration
}

// inFamily turns the IPv4 address of these tests into its IPv6 counterpart: 10.244.1.5 is fd00:a:f4:1::5.
func (l *ipvsLab) inFamily(v4 string) netip.Addr {
	a := netip.MustParseAddr(v4)
	if l.f == packet.IPv4 {
		return a
	}
	b := a.As4()
	return netip.MustParseAddr(fmt.Sprintf("fd00:%x:%x:%x::%x", b[0], b[1], b[2], b[3]))
}

func (l *ipvsLab) at(v4 string, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(l.inFamily(v4), port)
}

func (l *ipvsLab) net(v4 string, bits, bits6 int) netip.Prefix {
	if l.f == packet.IPv6 {
		bits = bits6
	}
	p, _ := l.inFamily(v4).Prefix(bits)
	return p
}

// ipvsMatrix runs a test on a node for v4 and v6 × TCP, UDP and SCTP. Its Service has the cluster IP 10.96.0.50 port 80, node
// port 30080, external IP 198.51.100.9, load-balancer address 203.0.113.30, and two endpoints: 10.244.1.5 on this node and
// 10.244.2.7 elsewhere, both port 8080.
func ipvsMatrix(t *testing.T, change func(*ipvsLab, *service.Service), test func(*ipvsLab)) {
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		for _, proto := range []packet.Protocol{packet.TCP, packet.UDP, packet.SCTP} {
			t.Run(fmt.Sprint(f, "/", proto), func(t *testing.T) {
				l := &ipvsLab{t: t, f: f, proto: proto}
				l.start(change)
				test(l)
			})
		}
	}
}

func (l *ipvsLab) start(change func(*ipvsLab, *service.Service)) {
	web := service.Name{Namespace: "default", Name: "web"}
	l.s = node()
	l.s.Config.ClusterCIDRs = []netip.Prefix{l.net("10.244.0.0", 16, 48)}
	l.s.Node.InternalIPs = []netip.Addr{l.inFamily("192.168.10.11")}
	l.s.Services = []service.Service{{Name: web, Type: service.LoadBalancer, ClusterIPs: []netip.Addr{l.inFamily("10.96.0.50")},
		ExternalIPs:         []netip.Addr{l.inFamily("198.51.100.9")},
		LoadBalancerIngress: []service.Ingress{{IP: l.inFamily("203.0.113.30")}},
		Ports:               []service.ServicePort{{Protocol: l.proto, Port: 80, NodePort: 30080}}}}
	l.s.Slices = []service.EndpointSlice{{Name: web, Service: web, Family: l.f, Ports: []service.EndpointPort{{Protocol: l.proto, Port: 8080}},
		Endpoints: []service.Endpoint{l.endpoint("10.244.1.5", "worker-1"), l.endpoint("10.244.2.7", "worker-2")}}}
	if change != nil {
		change(l, &l.s.Services[0])
	}
	r := route.New()
	r.AddInterface(route.Interface{Name: "eth0"})
	own := l.inFamily("192.168.10.11")
	r.AddAddress("eth0", netip.PrefixFrom(own, own.BitLen()))
	r.AddInterface(route.Interface{Name: "pod0"})
	r.AddRoute(route.Route{Prefix: l.net("10.244.1.0", 24, 64), Interface: "pod0"})
	r.AddRoute(route.Route{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Interface: "eth0"})
	r.AddRoute(route.Route{Prefix: netip.MustParsePrefix("::/0"), Interface: "eth0"})
	l.n = datapath.NewNode(datapath.DefaultProfile(), r)
	l.n.SetSource(netfilter.Words(func() uint32 { return 0 }))
	p, err := kubeproxy.New(service.ModeIPVS, l.f, l.s, l.n.Profile)
	if err != nil {
		l.t.Fatal(err)
	}
	l.p = p.(kubeproxy.Graceful)
	if r := l.p.Start(kubeproxy.NodeHost{Node: l.n}); r.Err != nil {
		l.t.Fatal(r.Err)
	}
	l.sync()
}

func (l *ipvsLab) endpoint(v4, node string) service.Endpoint {
	return service.Endpoint{Addresses: []netip.Addr{l.inFamily(v4)}, Ready: true, Serving: true, NodeName: node}
}

// endpoints replaces the Service's endpoints.
func (l *ipvsLab) endpoints(list ...service.Endpoint) {
	sl := l.s.Slices[0]
	sl.Endpoints = list
	l.s.Slices = []service.EndpointSlice{sl}
	l.sync()
}

func (l *ipvsLab) sync() {
	l.t.Helper()
	l.n.Advance(l.now)
	r, err := l.p.Sync(l.now, l.s, kubeproxy.NodeHost{Node: l.n}, kubeproxy.Options{})
	if err != nil || r.Err != nil {
		l.t.Fatal(err, r.Err)
	}
	for i, failed := range r.Failed {
		if failed {
			l.t.Errorf("failed: %s", r.Ops[i].Command())
		}
	}
}

// packet makes the first packet of a flow, or an answer.
func (l *ipvsLab) packet(src, dst netip.AddrPort, answer bool) packet.Packet {
	p := packet.Packet{Src: src, Dst: dst, Proto: l.proto, TTL: 64, LengthBytes: 60}
	switch {
	case l.proto == packet.TCP && answer:
		p.TCPFlags = packet.SYN | packet.ACK
	case l.proto == packet.TCP:
		p.TCPFlags = packet.SYN
	case l.proto == packet.SCTP && answer:
		p.SCTPChunk = packet.SCTPInitAck
	case l.proto == packet.SCTP:
		p.SCTPChunk = packet.SCTPInit
	}
	return p
}

func (l *ipvsLab) iface(a netip.Addr) string {
	switch {
	case a.IsLoopback() || a == l.inFamily("192.168.10.11"):
		return ""
	case l.net("10.244.1.0", 24, 64).Contains(a):
		return "pod0"
	}
	return "eth0"
}

func (l *ipvsLab) walk(p *packet.Packet) datapath.Disposition {
	l.now += time.Millisecond
	l.n.Advance(l.now)
	if in := l.iface(p.Src.Addr()); in != "" {
		return l.n.Receive(l.now, in, p)
	}
	return l.n.Send(l.now, p)
}

// Front ends and sources: where a flow goes, whether its source is translated, and that answers undo what requests had done.
// Expectations: what Kubernetes' documentation says of the front ends, and kube-proxy's rule comments of what is masqueraded.
// rr takes the server that was added last: of the endpoints in order of their texts, 10.244.2.7, then 10.244.1.5.
func TestIPVSFlows(t *testing.T) {
	for _, c := range []struct {
		name, from, to string
		port           uint16
		flows          int // walked before the one looked at
		server         string
		masquerade     bool
	}{
		{"a local Pod to the cluster IP", "10.244.1.20", "10.96.0.50", 80, 0, "10.244.2.7", false},
		{"a local Pod, next pick", "10.244.1.20", "10.96.0.50", 80, 1, "10.244.1.5", false},
		{"a Pod to itself", "10.244.1.5", "10.96.0.50", 80, 1, "10.244.1.5", true},
		{"the node to the cluster IP", "192.168.10.11", "10.96.0.50", 80, 0, "10.244.2.7", true},
		{"from outside to the cluster IP", "172.16.9.9", "10.96.0.50", 80, 0, "10.244.2.7", true},
		{"from outside to the node port", "172.16.9.9", "192.168.10.11", 30080, 0, "10.244.2.7", true},
		{"from outside to the external IP", "172.16.9.9", "198.51.100.9", 80, 0, "10.244.2.7", true},
		{"from outside to the load balancer", "172.16.9.9", "203.0.113.30", 80, 0, "10.244.2.7", true},
		{"a local Pod to the node port", "10.244.1.20", "192.168.10.11", 30080, 0, "10.244.2.7", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			ipvsMatrix(t, nil, func(l *ipvsLab) {
				vip := l.at(c.to, c.port)
				for i := range c.flows {
					p := l.packet(l.at(c.from, uint16(30000+i)), vip, false)
					l.walk(&p)
				}
				client := l.at(c.from, 40000)
				p := l.packet(client, vip, false)
				d := l.walk(&p)
				to := l.at(c.server, 8080)
				if d.Fate != datapath.Forwarded || p.Dst != to || d.Problem != nil {
					t.Fatalf("%s: became %s > %s, %s (%v)", d.Reason, p.Src, p.Dst, d.Fate, d.Problem)
				}
				want := c.from
				if c.masquerade {
					want = "192.168.10.11"
				}
				if p.Src.Addr() != l.inFamily(want) || d.Masqueraded != c.masquerade {
					t.Errorf("source %s, masqueraded %v", p.Src, d.Masqueraded)
				}
				if out := l.iface(to.Addr()); d.Out != out {
					t.Errorf("leaves by %q, want %q", d.Out, out)
				}

				a := l.packet(to, p.Src, true)
				d = l.walk(&a)
				if a.Src != vip || a.Dst != client {
					t.Errorf("the answer became %s > %s", a.Src, a.Dst)
				}
				wantFate := datapath.Forwarded
				if l.iface(client.Addr()) == "" {
					wantFate = datapath.Delivered
				}
				if d.Fate != wantFate {
					t.Errorf("the answer: %s %s", d.Fate, d.Reason)
				}
				second := l.packet(client, vip, false)
				second.TCPFlags &^= packet.SYN
				if l.proto == packet.TCP {
					second.TCPFlags = packet.ACK
				}
				if l.proto == packet.SCTP {
					second.SCTPChunk = packet.SCTPCookieEcho
				}
				if l.walk(&second); second.Dst != to || second.Src != p.Src {
					t.Errorf("the second packet became %s > %s", second.Src, second.Dst)
				}
			})
		})
	}
}

// Ports of the host are not reached by the address of a Service, though it is bound to the node: refused (#72236).
func TestIPVSGuardsTheHost(t *testing.T) {
	ipvsMatrix(t, nil, func(l *ipvsLab) {
		p := l.packet(l.at("10.244.1.20", 40000), l.at("10.96.0.50", 22), false)
		if d := l.walk(&p); d.Fate != datapath.Rejected {
			l.t.Errorf("%s %s", d.Fate, d.Reason)
		}
	})
}

// A Service without endpoints refuses: IPVS answers port unreachable whatever the protocol.
func TestIPVSWithoutServers(t *testing.T) {
	ipvsMatrix(t, nil, func(l *ipvsLab) {
		l.endpoints()
		p := l.packet(l.at("10.244.1.20", 40000), l.at("10.96.0.50", 80), false)
		d := l.walk(&p)
		want := "icmp-port-unreachable"
		if l.f == packet.IPv6 {
			want = "icmp6-port-unreachable"
		}
		if d.Fate != datapath.Rejected || d.With.With != want {
			l.t.Errorf("%s with %q", d.Fate, d.With.With)
		}
	})
}

// loadBalancerSourceRanges: other sources are dropped; so is the node itself where no range holds its address.
func TestIPVSSourceRanges(t *testing.T) {
	ranges := func(l *ipvsLab, s *service.Service) {
		s.LoadBalancerSourceRanges = []netip.Prefix{l.net("172.16.0.0", 16, 48)}
	}
	ipvsMatrix(t, ranges, func(l *ipvsLab) {
		for from, want := range map[string]datapath.Fate{"172.16.9.9": datapath.Forwarded, "172.17.9.9": datapath.Dropped} {
			p := l.packet(l.at(from, 40000), l.at("203.0.113.30", 80), false)
			if d := l.walk(&p); d.Fate != want {
				l.t.Errorf("from %s: %s %s", from, d.Fate, d.Reason)
			}
		}
		lb := l.at("203.0.113.30", 80)
		p := l.packet(netip.AddrPortFrom(lb.Addr(), 40000), lb, false) // the address is bound here, so the node sends from it
		l.now += time.Millisecond
		if d := l.n.Send(l.now, &p); d.Fate != datapath.Dropped || d.Problem != nil {
			l.t.Errorf("from the node: %s %s %v", d.Fate, d.Reason, d.Problem)
		}
	})
}

// externalTrafficPolicy Local: the client's address is kept and a local endpoint serves.
func TestIPVSExternalPolicyLocal(t *testing.T) {
	local := func(_ *ipvsLab, s *service.Service) { s.ExternalPolicy = service.PolicyLocal }
	ipvsMatrix(t, local, func(l *ipvsLab) {
		for i, to := range [...]string{"192.168.10.11", "203.0.113.30", "198.51.100.9"} {
			port := [...]uint16{30080, 80, 80}[i]
			client := l.at("172.16.9.9", uint16(40000+i)) // a port of its own: all meet the same server
			p := l.packet(client, l.at(to, port), false)
			if d := l.walk(&p); d.Fate != datapath.Forwarded || p.Dst != l.at("10.244.1.5", 8080) || p.Src != client {
				l.t.Errorf("to %s: %s > %s, %s %s", to, p.Src, p.Dst, d.Fate, d.Reason)
			}
		}
	})
}

// A server that is taken away keeps its TCP connections with weight 0 until they end, and gets no new ones; flows of UDP and
// SCTP lose it at once. Expectations: kube-proxy's graceful termination, checks every minute.
func TestIPVSGracefulTermination(t *testing.T) {
	ipvsMatrix(t, nil, func(l *ipvsLab) {
		vip, client := l.at("10.96.0.50", 80), l.at("10.244.1.20", 40000)
		p := l.packet(client, vip, false)
		l.walk(&p)
		gone := l.at("10.244.2.7", 8080)
		if p.Dst != gone {
			t.Fatalf("server %s", p.Dst)
		}
		a := l.packet(gone, client, true)
		l.walk(&a)

		l.now += 5 * time.Second
		l.endpoints(l.endpoint("10.244.1.5", "worker-1"))
		if waits := len(l.p.Terminating()) == 1; waits != (l.proto == packet.TCP) {
			l.t.Errorf("waiting: %v", l.p.Terminating())
		}
		next := l.packet(l.at("10.244.1.20", 41000), vip, false)
		if l.walk(&next); next.Dst != l.at("10.244.1.5", 8080) {
			l.t.Errorf("a new flow went to %s", next.Dst)
		}
		if l.proto != packet.TCP {
			return
		}
		more := l.packet(client, vip, false)
		more.TCPFlags = packet.ACK
		if l.walk(&more); more.Dst != gone {
			l.t.Errorf("the old flow went to %s", more.Dst)
		}
		l.check(60 * time.Second)
		if len(l.p.Terminating()) != 1 {
			l.t.Error("deleted under a connection")
		}
		rst := l.packet(client, vip, false)
		rst.TCPFlags = packet.RST
		l.walk(&rst) // the entry closes, and ends 10 s later
		l.check(120 * time.Second)
		if len(l.p.Terminating()) != 0 {
			l.t.Errorf("still waiting: %v", l.p.Terminating())
		}
		k := l.n.IPVS.Services()[0].Key
		for _, s := range l.n.IPVS.Services() {
			if s.Key.Addr == vip {
				k = s.Key
			}
		}
		if n := l.n.IPVS.Service(k).Len(); n != 1 {
			l.t.Errorf("%d servers", n)
		}
	})
}

func (l *ipvsLab) check(at time.Duration) {
	l.t.Helper()
	if got := l.p.NextCheck(); got != at {
		l.t.Errorf("next check at %v, want %v", got, at)
	}
	l.now = at
	l.n.Advance(at)
	if r := l.p.Check(at, kubeproxy.NodeHost{Node: l.n}); r.Err != nil {
		l.t.Error(r.Err)
	}
}

// Session affinity: a client keeps its server for the timeout after its last new connection.
func TestIPVSAffinity(t *testing.T) {
	sticky := func(_ *ipvsLab, s *service.Service) { s.AffinityTimeout = 100 * time.Second }
	ipvsMatrix(t, sticky, func(l *ipvsLab) {
		server := func(client string, port uint16) netip.AddrPort {
			p := l.packet(l.at(client, port), l.at("10.96.0.50", 80), false)
			l.walk(&p)
			return p.Dst
		}
		first := server("10.244.1.20", 40000)
		for i := range uint16(4) {
			if got := server("10.244.1.20", 40001+i); got != first {
				l.t.Errorf("flow %d went to %s", i, got)
			}
		}
		if got := server("10.244.1.21", 40000); got == first {
			l.t.Error("another client met the same server under rr")
		}
	})
}

// Conntrack entries tell who answers, so that --ctstate and masquerading work (net.ipv4.vs.conntrack=1).
func TestIPVSKeepsConntrack(t *testing.T) {
	ipvsMatrix(t, nil, func(l *ipvsLab) {
		p := l.packet(l.at("172.16.9.9", 40000), l.at("192.168.10.11", 30080), false)
		d := l.walk(&p)
		if d.Conn == nil || !d.Conn.Status.Has(conntrack.Confirmed) || d.Conn.Reply.Src != p.Dst || d.Conn.Reply.Dst != p.Src {
			l.t.Errorf("entry %+v of %s > %s", d.Conn, p.Src, p.Dst)
		}
	})
}
