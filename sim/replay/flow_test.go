package replay_test

import (
	"fmt"
	"net/netip"
	"sort"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/seed"
)

// cluster is S ClusterIP Services of one port with E endpoints each, on a node of a cluster 10.244.0.0/16 or fd00:244::/32.
func cluster(f packet.Family, proto packet.Protocol, services, endpoints int) service.State {
	s := service.State{Node: service.Node{Name: "worker-1", InternalIPs: []netip.Addr{netip.MustParseAddr("192.168.10.11"), netip.MustParseAddr("fd00:10::11")}}}
	s.Config = service.ProxyConfig{MasqueradeBit: 14, LocalhostNodePorts: true, ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:244::/32")}}
	vip, pod := netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("10.244.2.1")
	if f == packet.IPv6 {
		vip, pod = netip.MustParseAddr("fd00:96::1"), netip.MustParseAddr("fd00:244:2::1")
	}
	for i := range services {
		n := service.Name{Namespace: "default", Name: fmt.Sprintf("svc-%05d", i)}
		s.Services = append(s.Services, service.Service{
			Name: n, Type: service.ClusterIP, ClusterIPs: []netip.Addr{vip}, IPFamilies: []packet.Family{f},
			Ports:          []service.ServicePort{{Protocol: proto, Port: 80}},
			ExternalPolicy: service.PolicyCluster, InternalPolicy: service.PolicyCluster,
		})
		slice := service.EndpointSlice{Name: n, Service: n, Family: f, Ports: []service.EndpointPort{{Protocol: proto, Port: 8080}}}
		for range endpoints {
			slice.Endpoints = append(slice.Endpoints, service.Endpoint{Addresses: []netip.Addr{pod}, Ready: true, Serving: true})
			pod = pod.Next()
		}
		s.Slices = append(s.Slices, slice)
		vip = vip.Next()
	}
	return s
}

func world(t testing.TB, s service.State, p datapath.Profile) replay.World {
	t.Helper()
	h := replay.NewHost(&s)
	n := datapath.NewNode(p, h.Routes())
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		k, err := kubeproxy.New(service.ModeIPTables, f, s, p)
		if err != nil {
			t.Fatal(err)
		}
		host := kubeproxy.NodeHost{Node: n}
		k.Start(host)
		if r, err := k.Sync(0, s, host, kubeproxy.Options{}); err != nil || r.Err != nil {
			t.Fatal(err, r.Err)
		}
	}
	return replay.World{Host: h, Node: n, Presence: replay.Everywhere}
}

// Every Service of a small cluster answers over every protocol and family, from another node and from this one.
func TestServicesAnswer(t *testing.T) {
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		for _, proto := range []packet.Protocol{packet.TCP, packet.UDP, packet.SCTP} {
			t.Run(fmt.Sprint(f, "/", proto), func(t *testing.T) {
				s := cluster(f, proto, 3, 3)
				w := world(t, s, datapath.DefaultProfile())
				w.Node.SetSource(seed.Root(1).Stream("picks"))
				sources := []netip.Addr{netip.MustParseAddr("10.244.9.9"), netip.MustParseAddr("192.168.10.11"), netip.MustParseAddr("203.0.113.9")}
				if f == packet.IPv6 {
					sources = []netip.Addr{netip.MustParseAddr("fd00:244:9::9"), netip.MustParseAddr("fd00:10::11"), netip.MustParseAddr("2001:db8::9")}
				}
				for i, svc := range s.Services {
					for _, src := range sources {
						o, c := w.Open(time.Second, replay.Flow{Proto: proto, Src: netip.AddrPortFrom(src, uint16(40000+i)), Dst: netip.AddrPortFrom(svc.ClusterIPs[0], 80)})
						if o.Result != replay.Answered || !o.Translated {
							t.Errorf("%s from %s: %s %s", svc.Name, src, o.Result, o.Reason)
							continue
						}
						// kube-proxy masquerades what comes from outside the cluster CIDR.
						if inside := src == sources[0]; inside != (o.Seen.Addr() == src) && src != sources[1] {
							t.Errorf("%s from %s: the endpoint saw %s", svc.Name, src, o.Seen)
						}
						if why := w.Exchange(time.Second, c, 16, 16); why != "" {
							t.Errorf("%s from %s: %s", svc.Name, src, why)
						}
						if why := w.Close(time.Second, c); why != "" {
							t.Errorf("%s from %s: %s", svc.Name, src, why)
						}
					}
				}
			})
		}
	}
}

// BenchmarkNewFlow is one new TCP flow: header in, rules of nat and filter walked, DNATed header out, connection inserted with its
// binding, counters grown, and an old connection expired. 10 Services with 3 endpoints each. The number in a name is how many
// connections stand in the table at any time; beyond the processor's caches their memory is the price.
func BenchmarkNewFlow(b *testing.B) {
	for _, standing := range []int{1000, 10000, 100000} {
		b.Run(fmt.Sprint(standing), func(b *testing.B) { newFlows(b, standing) })
	}
}

func newFlows(b *testing.B, standing int) {
	p := datapath.DefaultProfile()
	p.ConntrackMax = 1 << 20
	w := world(b, cluster(packet.IPv4, packet.TCP, 10, 3), p)
	w.Node.SetSource(seed.Root(1).Keyed("picks"))
	vip := netip.MustParseAddr("10.96.0.1").As4()
	pace := 120 * time.Second / time.Duration(standing) // SYN_SENT lives 120 s
	b.ReportAllocs()
	i := 0
	var pk packet.Packet
	one := func() {
		i++
		now := time.Duration(i) * pace
		w.Node.Advance(now)
		v := vip
		v[3] += byte(i % 10)
		pk = replay.FirstPacket(packet.TCP,
			netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 244, byte(i >> 8), byte(i)}), uint16(1024+i>>16)),
			netip.AddrPortFrom(netip.AddrFrom4(v), 80))
		if d := w.Node.Receive(now, "eth0", &pk); d.Fate != datapath.Forwarded || pk.Dst.Port() != 8080 {
			b.Fatalf("flow %d: %s %s to %s", i, d.Fate, d.Reason, pk.Dst)
		}
	}
	for range standing + standing/10 {
		one()
	}
	const slice = 250 // flows, some tenths of a millisecond
	slices := make([]time.Duration, 0, 1<<16)
	b.ResetTimer()
	from, begun := i, time.Now()
	for b.Loop() {
		one()
		if (i-from)%slice == 0 && len(slices) < cap(slices) {
			now := time.Now()
			slices = append(slices, now.Sub(begun))
			begun = now
		}
	}
	b.ReportMetric(float64(i-from)/b.Elapsed().Seconds(), "flows/s")
	if len(slices) >= 100 { // what the machine does else meanwhile meets some slices and not others
		sort.Slice(slices, func(i, j int) bool { return slices[i] < slices[j] })
		b.ReportMetric(slice/slices[len(slices)/10].Seconds(), "flows/s-fastest-tenth")
	}
}
