package netstack

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/vtime"
)

// told is what a client's socket was told, and where its flow went.
type told struct {
	result         replay.Result
	at             time.Duration
	why            string
	endpoint, seen netip.AddrPort
}

// try opens a flow, makes an exchange on it, and lets time pass until all is said.
func (u *universe) try(t *testing.T, from *Host, o Open) told {
	t.Helper()
	r := told{result: 99}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	start := u.f.Now()
	must2(t, from.Open(o, func(now time.Duration, got replay.Result, c *Conn) {
		r.result, r.at = got, now-start
		if c == nil {
			return
		}
		r.endpoint, r.seen = c.Endpoint()
		c.Exchange(16, 16, func(now time.Duration, why string) {
			r.why = why
			c.Close()
		})
	}))
	u.f.Advance(u.f.Now() + 10*time.Second)
	return r
}

// TestPlaces opens flows to the Service from every place a client can be, in both families, protocols and modes. What is expected is what
// Kubernetes promises: an endpoint, the client's address kept where nothing must be masqueraded, and "refused" where there is no
// endpoint (kubernetes.io, Virtual IPs and Service Proxies; pkg/proxy/iptables/proxier.go for what is masqueraded).
func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		v6    bool
		proto packet.Protocol
		mode  service.Mode
	}{
		{false, packet.TCP, service.ModeIPTables}, {false, packet.UDP, service.ModeIPTables}, {true, packet.TCP, service.ModeIPTables}, {true, packet.UDP, service.ModeIPTables},
		{false, packet.TCP, service.ModeIPVS}, {false, packet.UDP, service.ModeIPVS}, {true, packet.TCP, service.ModeIPVS}, {true, packet.UDP, service.ModeIPVS},
	} {
		t.Run(fmt.Sprintf("%s %s v6=%v", c.mode, c.proto, c.v6), func(t *testing.T) {
			v6, proto := c.v6, c.proto
			u := build(t, shape{v6: v6, mode: c.mode})
			port := map[packet.Protocol][3]uint16{packet.TCP: {80, 30080, 8080}, packet.UDP: {53, 30053, 5353}}[proto]
			cluster, nodePort := netip.AddrPortFrom(u.vip(), port[0]), netip.AddrPortFrom(u.nodeIP(), port[1])
			loopback := netip.AddrPortFrom(u.pick("127.0.0.1", "::1"), port[1])
			for _, x := range []struct {
				name string
				from *Host
				to   netip.AddrPort
				want replay.Result
				seen netip.Addr // source at the endpoint
			}{
				{"Pod to cluster address", u.pod, cluster, replay.Answered, u.podIP()},
				{"outside to node port", u.outer, nodePort, replay.Answered, u.nodeIP()},
				{"outside to cluster address", u.outer, cluster, replay.Answered, u.nodeIP()},
				{"Pod to node port", u.pod, nodePort, replay.Answered, u.nodeIP()},
				{"node to cluster address", u.node.Host(), cluster, replay.Answered, u.nodeIP()},
				{"node to its node port", u.node.Host(), nodePort, replay.Answered, u.nodeIP()},
				{"no endpoints", u.pod, netip.AddrPortFrom(u.empty(), port[0]), replay.Refused, netip.Addr{}},
				{"no endpoints, from the node", u.node.Host(), netip.AddrPortFrom(u.empty(), port[0]), replay.Refused, netip.Addr{}},
				{"endpoint itself", u.pod, netip.AddrPortFrom(u.back(1), port[2]), replay.Answered, u.podIP()},
				{"closed port of an endpoint", u.pod, netip.AddrPortFrom(u.back(1), 1), replay.Refused, netip.Addr{}},
				{"closed port of the node", u.pod, netip.AddrPortFrom(u.nodeIP(), 1), replay.Refused, netip.Addr{}},
				{"no host", u.pod, netip.AddrPortFrom(u.pick("10.244.0.99", "fd00:244::99"), 80), replay.TimedOut, netip.Addr{}},
				{"loopback node port", u.node.Host(), loopback, map[bool]replay.Result{true: replay.Answered, false: replay.Refused}[!v6 && c.mode == service.ModeIPTables], u.nodeIP()},
			} {
				for i := range 4 {
					r := u.try(t, x.from, Open{Flow: int64(i), Proto: proto, Dst: x.to})
					if r.result != x.want || r.why != "" {
						t.Errorf("v6 %v %s, %s: %v %q, want %v", v6, proto, x.name, r.result, r.why, x.want)
						break
					}
					if x.want == replay.Answered && r.seen.Addr() != x.seen {
						t.Errorf("v6 %v %s, %s: seen as %s, want %s", v6, proto, x.name, r.seen, x.seen)
					}
				}
			}
			// A Pod that reaches itself through its Service must not see its own address as source (-m KUBE-MARK-MASQ in KUBE-SEP).
			self := 0
			for i := range 20 {
				r := u.try(t, u.backends[0], Open{Flow: int64(i), Proto: proto, Dst: cluster})
				if r.result != replay.Answered || r.why != "" {
					t.Fatalf("v6 %v %s: hairpin %v %q", v6, proto, r.result, r.why)
				}
				if r.endpoint.Addr() == u.back(0) {
					if self++; r.seen.Addr() != u.nodeIP() {
						t.Errorf("hairpin seen as %s", r.seen)
					}
				}
			}
			if self == 0 {
				t.Error("no flow came back to its own Pod")
			}
		})
	}
}

// TestSCTP: gVisor has none, and says so.
func TestSCTP(t *testing.T) {
	u := build(t, shape{})
	err := u.pod.Open(Open{Proto: packet.SCTP, Dst: u.web()}, func(time.Duration, replay.Result, *Conn) { t.Error("done") })
	if e, ok := err.(*UnsupportedError); !ok || e.What != "sctp" {
		t.Error(err)
	}
	if err := u.pod.Listen(packet.SCTP, u.web(), &Server{}); err == nil {
		t.Error("a listener")
	}
}

// TestIPVS runs the same Service in IPVS mode, whose virtual addresses are the node's own: flows from a Pod, the node and outside.
func TestIPVS(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		u := build(t, shape{v6: v6, mode: service.ModeIPVS})
		ends := map[netip.Addr]int{}
		for i, from := range []*Host{u.pod, u.pod, u.pod, u.node.Host(), u.outer} {
			r := u.try(t, from, Open{Flow: int64(i), Proto: packet.TCP, Dst: u.web()})
			if r.result != replay.Answered || r.why != "" {
				t.Errorf("v6 %v from %s: %v %q", v6, from.Addresses()[0], r.result, r.why)
			}
			if i < 3 {
				ends[r.endpoint.Addr()]++
			}
		}
		if len(ends) != 3 { // rr: each in turn
			t.Errorf("three flows to %v", ends)
		}
	}
}

// TestTwoNodes: the client's node translates, the endpoint's node walks the packet too, and so do the answers on their way back.
func TestTwoNodes(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		var walks []string
		var u *universe
		u = build(t, shape{v6: v6, backends: 1, Options: Options{After: func(n *Node, in string, was, is *packet.Packet, d *datapath.Disposition) {
			if was.TCPFlags&packet.SYN != 0 {
				walks = append(walks, fmt.Sprintf("%s %s %s>%s to %s>%s", n.Name(), in, was.Src.Addr(), was.Dst.Addr(), is.Src.Addr(), is.Dst.Addr()))
			}
		}}})
		u.backends[0].Remove()
		far := replay.Host{Name: "node-b", NodeIPs: []netip.Addr{u.pick("192.168.1.2", "fd00:1::2")}, PodInterface: "pod0",
			PodCIDRs: []netip.Prefix{netip.PrefixFrom(u.back(0), u.back(0).BitLen())}}
		dp := datapath.NewNode(datapath.DefaultProfile(), far.Routes())
		dp.SetSource(u.f.o.Root.Stream("b"))
		b := u.f.AddNode(far, dp)
		b.SetLink(Link{Delay: ms})
		must2(t, u.f.AddHost(b, nil, u.back(0)).Listen(packet.TCP, netip.AddrPortFrom(u.back(0), 8080), u.server))
		r := u.try(t, u.pod, Open{Proto: packet.TCP, Dst: u.web()})
		if r.result != replay.Answered || r.at != 2*ms {
			t.Fatal(r)
		}
		pod, vip, end := u.podIP(), u.vip(), u.back(0)
		want := []string{
			fmt.Sprintf("node-a pod0 %s>%s to %s>%s", pod, vip, pod, end), fmt.Sprintf("node-b eth0 %s>%s to %s>%s", pod, end, pod, end),
			fmt.Sprintf("node-b pod0 %s>%s to %s>%s", end, pod, end, pod), fmt.Sprintf("node-a eth0 %s>%s to %s>%s", end, pod, vip, pod),
		}
		if !slices.Equal(walks, want) {
			t.Errorf("%q\nwant %q", walks, want)
		}
	}
}

// TestRulesGo empties the nat table while a connection is open: it goes on by its entry, a new one finds nobody.
func TestRulesGo(t *testing.T) {
	u := build(t, shape{backends: 2, Options: Options{Link: Link{Delay: ms}}})
	var first netip.AddrPort
	why := "nothing"
	must2(t, u.pod.Open(Open{Proto: packet.TCP, Dst: u.web()}, func(_ time.Duration, _ replay.Result, c *Conn) {
		first, _ = c.Endpoint()
		u.f.At(vtime.Key{At: time.Second, Flow: 1}, func() { c.Exchange(16, 16, func(_ time.Duration, w string) { why = w }) })
	}))
	u.f.At(vtime.Key{At: 500 * ms, Flow: -1}, func() {
		must2(t, u.dp.Apply(datapath.IPTablesRestore{Family: packet.IPv4, Text: "*nat\nCOMMIT\n"}))
	})
	u.f.Advance(3 * time.Second)
	if why != "" {
		t.Errorf("the open connection to %s: %q", first, why)
	}
	if r := u.try(t, u.pod, Open{Proto: packet.TCP, Dst: u.web()}); r.result != replay.TimedOut {
		t.Errorf("a new connection without rules: %v", r.result)
	}
}
