package kubeproxy_test

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// nftHost is a host where nft can be made to fail.
type nftHost struct {
	*kubeproxy.RulesHost
	fail bool
}

var errNFT = errors.New("nft: out of order")

func (h *nftHost) Run(op datapath.Op) error {
	if h.fail {
		return errNFT
	}
	return h.RulesHost.Run(op)
}

// nftProxier is a proxier of the nftables mode with its host and clock.
type nftProxier struct {
	p   kubeproxy.Proxier
	h   *nftHost
	now time.Duration
	f   packet.Family
}

func startNFT(f packet.Family, s service.State, h *nftHost) *nftProxier {
	p, err := kubeproxy.New(service.ModeNFTables, f, s, datapath.DefaultProfile())
	if err != nil {
		panic(err)
	}
	if h == nil {
		h = &nftHost{RulesHost: kubeproxy.NewRulesHost()}
	}
	p.Start(h)
	return &nftProxier{p: p, h: h, f: f}
}

func (x *nftProxier) sync(after time.Duration, s service.State, o kubeproxy.Options) kubeproxy.Result {
	x.now += after
	r, err := x.p.Sync(x.now, s, x.h, o)
	if err != nil {
		panic(err)
	}
	return r
}

func (x *nftProxier) text() string { return x.h.NFTText(x.f, iptables.Native) }

// transactions are the texts that a sync gave to nft.
func transactions(r kubeproxy.Result) []string {
	var out []string
	for _, op := range r.Ops {
		if n, ok := op.(datapath.NFTRun); ok {
			out = append(out, n.Text)
		}
	}
	return out
}

// An element whose Service was replaced by one of another name keeps its comment, as long as it leads to the same chain.
var elementComment = regexp.MustCompile(`(add element .*) comment "[^"]*"`)

// However a cluster came to be what it is, by partial and full syncs, failed ones and restarts, the table is that of a node that
// sees it for the first time, once chains out of use have been deleted; and nft takes every transaction.
func TestNFTSyncsConverge(t *testing.T) {
	rounds := 150
	if testing.Short() {
		rounds = 25
	}
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		for seed := range rounds {
			r := rand.New(rand.NewPCG(uint64(seed), uint64(f)))
			base := node()
			randomConfig(r, &base.Config)
			base.Config.NFTLocalhostNodePorts = r.IntN(3) == 0
			if r.IntN(4) == 0 {
				base.Config.NodePortAddresses = []string{"primary", "localhost"}
			}
			if r.IntN(3) == 0 {
				base.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("10.112.0.0/20"), netip.MustParsePrefix("fd00:96::/112")}
			}
			w := world{map[int]service.Service{}, map[int][]service.EndpointSlice{}}
			for i := range 1 + r.IntN(8) {
				w.put(r, i)
			}
			x := startNFT(f, base, nil)
			for step := range 6 {
				for range r.IntN(3) {
					if i := r.IntN(10); r.IntN(3) == 0 {
						delete(w.services, i)
					} else {
						w.put(r, i)
					}
				}
				if r.IntN(6) == 0 {
					now := x.now
					x = startNFT(f, base, x.h)
					x.now = now
				}
				x.h.fail = r.IntN(8) == 0 && step < 5
				s := w.state(base)
				res := x.sync(10*time.Second, s, kubeproxy.Options{ForceFull: r.IntN(10) == 0})
				if res.Err != nil && !x.h.fail {
					t.Fatalf("%s seed %d step %d: %v", f, seed, step, res.Err)
				}
				if x.h.fail {
					x.h.fail = false
					if res = x.sync(10*time.Second, s, kubeproxy.Options{}); res.Err != nil || res.Kind != kubeproxy.Full {
						t.Fatalf("%s seed %d: sync after a failure is %s: %v", f, seed, res.Kind, res.Err)
					}
				}
				if res = x.sync(10*time.Second, s, kubeproxy.Options{}); res.Err != nil || res.Asked || res.Kind != kubeproxy.Partial {
					t.Fatalf("%s seed %d: nothing changed, yet asked=%v kind=%s: %v", f, seed, res.Asked, res.Kind, res.Err)
				}
				if list := transactions(res); list[len(list)-1] != "" {
					t.Fatalf("%s seed %d: nothing changed, yet nft is told\n%s", f, seed, list[len(list)-1])
				}
				fresh := startNFT(f, base, nil)
				fresh.sync(0, s, kubeproxy.Options{})
				got, want := elementComment.ReplaceAllString(x.text(), "$1"), elementComment.ReplaceAllString(fresh.text(), "$1")
				if got != want {
					t.Fatalf("%s seed %d step %d: the table differs from that of a fresh node at\n%s", f, seed, step, firstDifference(got, want))
				}
			}
		}
	}
}

// A chain that no Service needs any more is flushed at once and deleted by the first sync more than a second later.
func TestNFTStaleChains(t *testing.T) {
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		one := service.Name{Namespace: "default", Name: "web"}
		s := node()
		s.Services = []service.Service{{Name: one, Type: service.ClusterIP, ClusterIPs: []netip.Addr{addr("10.96.0.50"), addr("fd00:96::50")},
			Ports: []service.ServicePort{{Protocol: packet.TCP, Port: 80}}}}
		for i, a := range []string{"10.244.2.7", "fd00:244:2::7"} {
			s.Slices = append(s.Slices, service.EndpointSlice{Name: service.Name{Namespace: "default", Name: a}, Service: one,
				Family: []packet.Family{packet.IPv4, packet.IPv6}[i], Ports: []service.EndpointPort{{Protocol: packet.TCP, Port: 8080}},
				Endpoints: []service.Endpoint{{Ready: true, Serving: true, Addresses: []netip.Addr{addr(a)}}}})
		}
		chain := kubeproxy.NFTNamesOf(service.PortName{Name: one, Protocol: packet.TCP}).Cluster
		gone := s
		gone.Services = nil

		x := startNFT(f, s, nil)
		x.sync(0, s, kubeproxy.Options{})
		r := x.sync(10*time.Second, gone, kubeproxy.Options{})
		at := "ip kube-proxy "
		if f == packet.IPv6 {
			at = "ip6 kube-proxy "
		}
		if got := transactions(r); len(got) != 1 || !strings.Contains(got[0], "flush chain "+at+chain+"\n") || strings.Contains(got[0], "delete chain") {
			t.Errorf("%s: the Service has gone, and nft is told\n%s", f, strings.Join(got, "---\n"))
		}
		r = x.sync(time.Second, gone, kubeproxy.Options{})
		if got := transactions(r); len(got) != 1 || !strings.Contains(x.text(), "add chain "+at+chain+"\n") {
			t.Errorf("%s: deleted after one second", f)
		}
		// The flush above made the chain stale anew: its age counts from the last sync that saw it.
		r = x.sync(1001*time.Millisecond, gone, kubeproxy.Options{})
		if got := transactions(r); len(got) != 2 || got[0] != "delete chain "+at+chain+"\n" {
			t.Errorf("%s: not deleted: %q", f, got)
		}
		if !slices.Contains(r.Log, "Deleting stale nftables chains numChains=1") {
			t.Errorf("%s: log %q", f, r.Log)
		}
		// A Service that comes back in time keeps its chain.
		x.sync(10*time.Second, s, kubeproxy.Options{})
		x.sync(10*time.Second, gone, kubeproxy.Options{})
		x.sync(500*time.Millisecond, s, kubeproxy.Options{})
		if got := transactions(x.sync(10*time.Second, s, kubeproxy.Options{})); len(got) != 1 || got[0] != "" {
			t.Errorf("%s: a chain in use is deleted: %q", f, got)
		}
	}
}

// A deletion of stale chains that fails makes the sync full; what it announced was less.
func TestNFTStaleDeletionFails(t *testing.T) {
	s := simple(2, 2)
	x := startNFT(packet.IPv4, s, nil)
	x.sync(0, s, kubeproxy.Options{})
	less := simple(1, 2)
	x.sync(10*time.Second, less, kubeproxy.Options{})
	x.h.fail = true
	r := x.sync(10*time.Second, less, kubeproxy.Options{})
	want := []string{"Syncing nftables rules fullSync=false", "Deleting stale nftables chains numChains=1",
		"ERROR Unable to delete stale chains; will retry later err=" + errNFT.Error(),
		"Reloading service nftables data numServices=1 numEndpoints=2", "ERROR nftables sync failed err=" + errNFT.Error(), "Sync failed retryingTime=30s"}
	if !slices.Equal(r.Log, want) {
		t.Errorf("log %q", r.Log)
	}
	if got := transactions(r); len(got) != 2 || !strings.HasPrefix(got[1], "add table ip kube-proxy ") {
		t.Errorf("%d transactions, the second is not full", len(got))
	}
}

// Names are those of a real kube-proxy (the IPv4 ones as recorded from 1.37.2; the hash of the IPv6 one computed by sha256sum and
// base32), and long ones are cut to 240 bytes after the prefix.
func TestNFTNames(t *testing.T) {
	web := service.PortName{Name: service.Name{Namespace: "default", Name: "web"}, Protocol: packet.TCP}
	if n := kubeproxy.NFTNamesOf(web); n.Cluster != "service-PFISGYVC-default/web/tcp/" || n.External != "external-PFISGYVC-default/web/tcp/" ||
		n.Local != "local-PFISGYVC-default/web/tcp/" || n.Firewall != "firewall-PFISGYVC-default/web/tcp/" {
		t.Errorf("%+v", n)
	}
	chain, set := kubeproxy.NFTEndpoint(web, &service.Backend{Addr: netip.MustParseAddrPort("10.244.1.5:8080")})
	if chain != "endpoint-T6OEKE6Q-default/web/tcp/__10.244.1.5/8080" || set != "affinity-T6OEKE6Q-default/web/tcp/__10.244.1.5/8080" {
		t.Errorf("%s %s", chain, set)
	}
	if chain, _ = kubeproxy.NFTEndpoint(web, &service.Backend{Addr: netip.MustParseAddrPort("[fd00::5]:80")}); chain != "endpoint-O2HJC5GO-default/web/tcp/__fd00..5/80" {
		t.Errorf("%s", chain)
	}
	long := service.PortName{Name: service.Name{Namespace: strings.Repeat("n", 63), Name: strings.Repeat("s", 63)}, Port: strings.Repeat("p", 63), Protocol: packet.SCTP}
	if n := kubeproxy.NFTNamesOf(long).Cluster; len(n) > 248 || strings.HasSuffix(n, "...") {
		t.Errorf("a name of %d bytes is cut", len(n))
	}
	chain, _ = kubeproxy.NFTEndpoint(long, &service.Backend{Addr: netip.MustParseAddrPort("[2001:db8:1111:2222:3333:4444:5555:6666]:65535")})
	if len(chain) != len("endpoint-")+240 || !strings.HasSuffix(chain, "...") {
		t.Errorf("%d bytes: %s", len(chain), chain)
	}
}

// A comment holds 128 bytes; the name of a Service port may have 191.
func TestNFTComment(t *testing.T) {
	s := simple(1, 0)
	s.Services[0].Name = service.Name{Namespace: strings.Repeat("n", 63), Name: strings.Repeat("s", 63)}
	s.Services[0].Ports[0].Name = strings.Repeat("p", 15)
	x := startNFT(packet.IPv4, s, nil)
	if r := x.sync(0, s, kubeproxy.Options{}); r.Err != nil {
		t.Fatal(r.Err)
	}
	want := `add element ip kube-proxy no-endpoint-services { 10.96.0.0 . tcp . 80 comment "` + strings.Repeat("n", 63) + "/" + strings.Repeat("s", 63) + `:" : goto reject-chain }`
	if !strings.Contains(x.text(), want) {
		t.Errorf("no %s in\n%s", want, x.text())
	}
}

// Branches that configurations decide. Expectations are the sentences of pkg/proxy/nftables/proxier.go, v1.37.
func TestNFTConfiguration(t *testing.T) {
	v4, v6 := packet.IPv4, packet.IPv6
	for _, c := range []struct {
		name   string
		f      packet.Family
		config func(*service.State)
		have   []string
		not    []string
	}{
		{"primary by default", v4, func(*service.State) {}, []string{"add element ip kube-proxy nodeport-ips { 192.168.10.11 }", "services ip daddr @nodeport-ips meta l4proto"}, []string{"fib daddr"}},
		{"primary by default", v6, func(*service.State) {}, []string{"add element ip6 kube-proxy nodeport-ips { fd00:10::11 }"}, []string{"fib daddr"}},
		{"all addresses", v4, func(s *service.State) { s.Config.NodePortAddresses = []string{"0.0.0.0/0"} },
			[]string{"services fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @service-nodeports", "nodeport-endpoints-check ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @no-endpoint-nodeports"}, []string{"nodeport-ips"}},
		{"all addresses", v6, func(s *service.State) { s.Config.NodePortAddresses = []string{"::/0"} },
			[]string{"services fib daddr type local ip6 daddr != ::1 meta l4proto . th dport vmap @service-nodeports"}, []string{"nodeport-ips"}},
		{"loopback is never served", v4, func(s *service.State) { s.Config.NodePortAddresses = []string{"127.0.0.0/8"} }, []string{"add set ip kube-proxy nodeport-ips"}, []string{"add element"}},
		{"masquerade all", v4, func(s *service.State) { s.Config.MasqueradeAll = true }, []string{`services ip daddr @cluster-ips mark set mark or 0x00004000 comment "masquerade all clusterIP traffic"`}, []string{"outside cluster"}},
		{"no local detection", v6, func(s *service.State) { s.Config.ClusterCIDRs = nil }, nil, []string{"outside cluster"}},
		{"interface prefix", v6, func(s *service.State) {
			s.Config.DetectLocalMode, s.Config.InterfacePrefix = service.LocalInterfaceNamePrefix, "veth"
		}, []string{"services ip6 daddr @cluster-ips iifname != veth* mark set mark or 0x00004000"}, nil},
		{"last bit", v4, func(s *service.State) { s.Config.MasqueradeBit = 31 }, []string{"masquerading mark and 0x80000000 != 0 mark set mark xor 0x80000000"}, nil},
		{"localhost refused", v4, func(s *service.State) { s.Config.NFTLocalhostNodePorts = true },
			[]string{"add counter ip kube-proxy localhost-nodeport-rejected-tcp", `localhost-nodeport-reject-sctp counter name "localhost-nodeport-rejected-sctp" reject`,
				"nodeport-endpoints-check ip daddr 127.0.0.0/8 meta l4proto . th dport vmap @localhost-nodeport-reject-ports"}, nil},
		{"localhost served for TCP", v6, func(s *service.State) {
			s.Config.NFTLocalhostNodePorts, s.Config.NodePortAddresses = true, []string{"primary", "localhost"}
		}, []string{"add counter ip6 kube-proxy localhost-nodeport-rejected-udp", "nodeport-endpoints-check ip6 daddr ::1 meta l4proto . th dport vmap @localhost-nodeport-reject-ports"},
			[]string{"rejected-tcp", "nodeport-ips { ::1 }"}},
		{"all and localhost", v4, func(s *service.State) {
			s.Config.NFTLocalhostNodePorts, s.Config.NodePortAddresses = true, []string{"all", "localhost"}
		}, []string{"fib daddr type local ip daddr != 127.0.0.0/8", "rejected-udp"}, []string{"rejected-tcp"}},
		{"words", v4, func(s *service.State) { s.Config.NodePortAddresses = []string{"primary", "localhost"} }, []string{"nodeport-ips { 192.168.10.11 }"}, []string{"nodeport-ips { 127"}},
		{"ServiceCIDRs", v4, func(s *service.State) {
			s.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("10.112.0.0/20"), netip.MustParsePrefix("fd00:96::/112")}
		}, []string{`cluster-ips-check ip daddr { 10.112.0.0/20,10.96.0.0/16 } drop comment "Drop traffic to unallocated ClusterIPs"`}, nil},
		{"ServiceCIDRs", v6, func(s *service.State) { s.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix("fd00:96::/112")} },
			[]string{"cluster-ips-check ip6 daddr { fd00:96::/112 } drop"}, nil},
	} {
		s := node()
		c.config(&s)
		x := startNFT(c.f, s, nil)
		if r := x.sync(0, s, kubeproxy.Options{}); r.Err != nil {
			t.Errorf("%s %s: %v", c.name, c.f, r.Err)
		}
		for _, want := range c.have {
			if !strings.Contains(x.text(), want) {
				t.Errorf("%s %s: no %q in\n%s", c.name, c.f, want, x.text())
			}
		}
		for _, bad := range c.not {
			if strings.Contains(x.text(), bad) {
				t.Errorf("%s %s: %q in\n%s", c.name, c.f, bad, x.text())
			}
		}
	}
}

// ServiceCIDR objects that change ask for no sync; the next full one takes them over.
func TestNFTServiceCIDRsLater(t *testing.T) {
	s := simple(1, 1)
	x := startNFT(packet.IPv4, s, nil)
	x.sync(0, s, kubeproxy.Options{})
	s.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}
	if r := x.sync(10*time.Second, s, kubeproxy.Options{}); r.Asked || strings.Contains(x.text(), "unallocated") {
		t.Error("a partial sync writes the check")
	}
	if x.sync(time.Hour, s, kubeproxy.Options{}); !strings.Contains(x.text(), "ip daddr { 10.96.0.0/16 } drop") {
		t.Error("the full sync an hour later does not")
	}
}

// The clean-up deletes the table of each family; one that is not there is no error.
func TestNFTCleanup(t *testing.T) {
	s := simple(1, 1)
	x := startNFT(packet.IPv4, s, nil)
	x.sync(0, s, kubeproxy.Options{})
	r, err := kubeproxy.Cleanup(service.ModeNFTables, []packet.Family{packet.IPv4, packet.IPv6}, x.h)
	if err != nil || r.Err != nil || len(r.Log) > 0 || x.text() != "" {
		t.Errorf("%v %v %q, left:\n%s", err, r.Err, r.Log, x.text())
	}
	if got := transactions(r); !slices.Equal(got, []string{"delete table ip kube-proxy\n", "delete table ip6 kube-proxy\n"}) {
		t.Errorf("%q", got)
	}
	x.h.fail = true
	if r, _ = kubeproxy.Cleanup(service.ModeNFTables, []packet.Family{packet.IPv4}, x.h); r.Err == nil || len(r.Log) != 1 {
		t.Errorf("a failing nft: %v %q", r.Err, r.Log)
	}
}

// A model node refuses nftables rules, which its walk would pass over, and takes the clean-up of none.
func TestNFTNodeRefuses(t *testing.T) {
	s := simple(1, 1)
	p, _ := kubeproxy.New(service.ModeNFTables, packet.IPv4, s, datapath.DefaultProfile())
	h := kubeproxy.NodeHost{Node: datapath.NewNode(datapath.DefaultProfile(), nil)}
	r, err := p.Sync(0, s, h, kubeproxy.Options{})
	var not *datapath.NotWalkedError
	if err != nil || !errors.As(r.Err, &not) {
		t.Errorf("%v %v", r.Err, err)
	}
	if c, err := kubeproxy.Cleanup(service.ModeNFTables, []packet.Family{packet.IPv4}, h); err != nil || c.Err != nil {
		t.Errorf("%v %v", err, c.Err)
	}
}

// Any order in which Services are visited gives one normal form; a deletion stays before the addition of the same key.
func TestNormaliseNFT(t *testing.T) {
	in := `add table ip kube-proxy { comment "x" ; }
add chain ip kube-proxy services
add chain ip kube-proxy service-B/b
flush chain ip kube-proxy service-B/b
delete element ip kube-proxy service-ips { 10.0.0.2 . tcp . 80 }
add element ip kube-proxy service-ips { 10.0.0.2 . tcp . 80 : goto service-B/b }
add rule ip kube-proxy service-B/b drop
add chain ip kube-proxy service-A/a
flush chain ip kube-proxy service-A/a
add element ip kube-proxy no-endpoint-services { 10.0.0.1 . tcp . 80 comment "a : b" : drop }
add set ip kube-proxy affinity-A/a { type ipv4_addr ; }
delete set ip kube-proxy affinity-C/c
add map ip kube-proxy service-ips { type ipv4_addr . inet_proto . inet_service : verdict ; }
`
	want := `add table ip kube-proxy { comment "x" ; }
add chain ip kube-proxy services
add map ip kube-proxy service-ips { type ipv4_addr . inet_proto . inet_service : verdict ; }
add set ip kube-proxy affinity-A/a { type ipv4_addr ; }
add chain ip kube-proxy service-A/a
flush chain ip kube-proxy service-A/a
add chain ip kube-proxy service-B/b
flush chain ip kube-proxy service-B/b
add rule ip kube-proxy service-B/b drop
add element ip kube-proxy no-endpoint-services { 10.0.0.1 . tcp . 80 comment "a : b" : drop }
delete element ip kube-proxy service-ips { 10.0.0.2 . tcp . 80 }
add element ip kube-proxy service-ips { 10.0.0.2 . tcp . 80 : goto service-B/b }
delete set ip kube-proxy affinity-C/c
`
	if got := kubeproxy.NormaliseNFT(in); got != want {
		t.Errorf("%s", firstDifference(got, want))
	}
	if got := kubeproxy.NormaliseNFT(want); got != want {
		t.Errorf("again: %s", firstDifference(got, want))
	}
}

// Both families and all protocols have the same table but for addresses, types, protocol and names, with affinity and without.
func TestNFTFamiliesAndProtocolsAlike(t *testing.T) {
	for _, affinity := range []time.Duration{0, time.Minute} {
		var want string
		for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
			for _, p := range []packet.Protocol{packet.TCP, packet.UDP, packet.SCTP} {
				s := full(f, p)
				s.Services[0].AffinityTimeout, s.Services[0].InternalPolicy = affinity, service.PolicyCluster
				x := startNFT(f, s, nil)
				if r := x.sync(0, s, kubeproxy.Options{}); r.Err != nil {
					t.Fatalf("%s %s: %v", f, p, r.Err)
				}
				port := service.PortName{Name: s.Services[0].Name, Port: "p", Protocol: p}
				n := kubeproxy.NFTNamesOf(port)
				replace := []string{n.Cluster, "SVC", n.Local, "LOCAL", n.External, "EXT", n.Firewall, "FW", "ipv6_addr", "ADDR", "ipv4_addr", "ADDR",
					"10.244.0.0/16", "PODS", "fd00:244::/48", "PODS", "192.0.2.0/24", "RANGE", "2001:db8:2::/64", "RANGE", "192.168.10.11", "NODE", "fd00:10::11", "NODE",
					"ip6 ", "ip ", "meta l4proto " + p.String() + " ", "meta l4proto PROTO ", ". " + p.String() + " . ", ". PROTO . ", "{ " + p.String() + " . ", "{ PROTO . "}
				for i, e := range s.Slices[0].Endpoints {
					a := netip.AddrPortFrom(e.Addresses[0], 8080)
					id := string(rune('A' + i))
					chain, set := kubeproxy.NFTEndpoint(port, &service.Backend{Addr: a})
					replace = append(replace, chain, "ENDPOINT-"+id, set, "CLIENTS-"+id, a.String(), id+":8080", e.Addresses[0].String()+" ", id+" ")
				}
				for what, a := range map[string]netip.Addr{"CLUSTER": s.Services[0].ClusterIPs[0], "EXTERNAL": s.Services[0].ExternalIPs[0], "BALANCER": s.Services[0].LoadBalancerIngress[0].IP} {
					replace = append(replace, a.String()+" ", what+" ")
				}
				text := sortLines(strings.NewReplacer(replace...).Replace(x.text()))
				if want == "" {
					want = text
					parts := []string{"goto FW }", "{ CLUSTER . PROTO . 80 : goto SVC }", "{ EXTERNAL . PROTO . 80 : goto EXT }", "{ BALANCER . PROTO . 80 : goto EXT }",
						"{ PROTO . 30080 : goto EXT }", "FW ip saddr != { RANGE } drop", "EXT ip saddr PODS goto SVC", "EXT goto LOCAL", "{ A . A . PROTO . 8080 }"}
					if affinity > 0 {
						parts = append(parts, "CLIENTS-A { type ADDR ; flags dynamic,timeout ; timeout 60s ; }", "ENDPOINT-A update @CLIENTS-A { ip saddr }", "SVC ip saddr @CLIENTS-B goto ENDPOINT-B",
							"SVC numgen random mod 2 vmap { 0 : goto ENDPOINT-A , 1 : goto ENDPOINT-B }", "LOCAL numgen random mod 1 vmap { 0 : goto ENDPOINT-A }", "ENDPOINT-B meta l4proto PROTO dnat to B:8080")
					} else {
						parts = append(parts, "SVC meta l4proto PROTO dnat ip addr . port to numgen random mod 2 map { 0 : A . 8080 , 1 : B . 8080 }", "LOCAL meta l4proto PROTO dnat to A:8080")
					}
					for _, part := range parts {
						if !strings.Contains(want, part) {
							t.Errorf("nothing says %q", part)
						}
					}
				}
				if text != want {
					t.Errorf("%s %s: %s", f, p, firstDifference(text, want))
				}
			}
		}
	}
}
