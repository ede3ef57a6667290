package kubeproxy_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// However a cluster came to be what it is, by partial and full syncs and failed ones, the tables are those of a node that
// sees it for the first time; every chain of kube-proxy is reached from a built-in one, and none is left over.
func TestSyncsConverge(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 40
	}
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		for seed := range rounds {
			r := rand.New(rand.NewPCG(uint64(seed), uint64(f)))
			base := node()
			randomConfig(r, &base.Config)
			w := world{map[int]service.Service{}, map[int][]service.EndpointSlice{}}
			for i := range 1 + r.IntN(8) {
				w.put(r, i)
			}
			x := start(f, base)
			for step := range 6 {
				for range r.IntN(3) {
					if i := r.IntN(10); r.IntN(3) == 0 {
						delete(w.services, i)
						if r.IntN(2) == 0 {
							delete(w.slices, i)
						}
					} else {
						w.put(r, i)
					}
				}
				x.h.fail = r.IntN(8) == 0 && step < 5
				res := x.sync(w.state(base), kubeproxy.Options{ForceFull: r.IntN(10) == 0})
				if res.Err != nil {
					if res = x.sync(w.state(base), kubeproxy.Options{}); res.Kind != kubeproxy.Full {
						t.Fatalf("seed %d: sync after a failure is %s", seed, res.Kind)
					}
				}
				if res.Err != nil {
					t.Fatalf("seed %d: %v", seed, res.Err)
				}
				fresh := start(f, base)
				fresh.sync(w.state(base), kubeproxy.Options{})
				if got, want := x.h.text(), fresh.h.text(); got != want {
					t.Fatalf("%s seed %d step %d: tables differ from those of a fresh node at\n%s", f, seed, step, firstDifference(got, want))
				}
				if lost := unreached(x.h); len(lost) > 0 {
					t.Fatalf("%s seed %d step %d: nothing leads to %v", f, seed, step, lost)
				}
			}
			if res := x.sync(w.state(base), kubeproxy.Options{}); res.Asked || res.Kind != kubeproxy.Partial {
				t.Fatalf("seed %d: nothing changed, yet asked=%v kind=%s", seed, res.Asked, res.Kind)
			}
		}
	}
}

func randomConfig(r *rand.Rand, c *service.ProxyConfig) {
	c.MasqueradeAll = r.IntN(4) == 0
	c.LocalhostNodePorts = r.IntN(4) != 0
	c.ConntrackTCPBeLiberal = r.IntN(4) == 0
	c.NFAcct = r.IntN(3) == 0
	c.DetectLocalMode = []service.LocalMode{"", service.LocalClusterCIDR, service.LocalNodeCIDR, service.LocalBridgeInterface, service.LocalInterfaceNamePrefix}[r.IntN(5)]
	c.BridgeInterface, c.InterfacePrefix = "cni0", "veth"
	c.NodePortAddresses = [][]string{nil, {"192.168.0.0/16"}, {"primary"}, {"127.0.0.0/8", "fd00::/8"}, {"0.0.0.0/0", "::/0"}}[r.IntN(5)]
}

// unreached lists chains that no chain leads to from a built-in one.
func unreached(h *textHost) []string {
	var lost []string
	for table, chains := range h.tables {
		seen := map[string]bool{}
		var visit func(string)
		visit = func(c string) {
			if seen[c] {
				return
			}
			seen[c] = true
			for _, r := range chains[c] {
				if i := strings.LastIndex(r, "-j KUBE-"); i >= 0 {
					visit(r[i+3:])
				}
			}
		}
		for _, c := range builtin[table] {
			visit(c)
		}
		visit("KUBE-NODEPORTS") // led to by nothing where no address of the node serves node ports
		for c := range chains {
			if !seen[c] && c != "KUBE-MARK-MASQ" {
				lost = append(lost, table+" "+c)
			}
		}
	}
	slices.Sort(lost)
	return lost
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return "got  " + x[i] + "\nwant " + y[i]
		}
	}
	return "the end"
}

// Issue arithmetic: 8 rules that do not depend on Services; for each, one in KUBE-SERVICES, one that marks traffic from
// outside, and for each endpoint one that picks it and two in its chain.
func TestRuleCount(t *testing.T) {
	for _, c := range []struct{ s, e int }{{1, 1}, {1, 3}, {10, 3}, {7, 20}, {250, 4}, {300, 5}} {
		x := start(packet.IPv4, simple(c.s, c.e))
		x.sync(simple(c.s, c.e), kubeproxy.Options{})
		n := 0
		for _, rules := range x.h.tables["nat"] {
			n += len(rules)
		}
		if want := 8 + c.s*(2+3*c.e); n != want {
			t.Errorf("%d Services × %d endpoints: %d nat rules, want %d", c.s, c.e, n, want)
		}
	}
}

func TestLargeCluster(t *testing.T) {
	small := simple(100, 10) // 1000 endpoints
	x := start(packet.IPv4, small)
	x.sync(small, kubeproxy.Options{})
	if !strings.Contains(x.h.text(), "svc-0000 -> ") {
		t.Error("no comments on endpoint rules at 1000 endpoints")
	}
	large := simple(100, 11)
	x = start(packet.IPv4, large)
	if r := x.sync(large, kubeproxy.Options{}); r.Commands["iptables-save -t nat"] != 1 {
		t.Errorf("first sync: %v", r.Commands)
	}
	if strings.Contains(x.h.text(), "svc-0000 -> ") {
		t.Error("comments on endpoint rules above 1000 endpoints")
	}
	fewer := simple(100, 11)
	fewer.Slices[3].Endpoints = fewer.Slices[3].Endpoints[:5]
	chains := func() (n int) {
		for c := range x.h.tables["nat"] {
			if strings.HasPrefix(c, "KUBE-SEP-") {
				n++
			}
		}
		return n
	}
	x.sync(fewer, kubeproxy.Options{})
	if n := chains(); n != 1100 {
		t.Errorf("%d endpoint chains, want 1100: none is deleted within a sync period", n)
	}
	x.now += 20 * time.Second // the next sync is 40 s after the clean-up
	x.sync(fewer, kubeproxy.Options{})
	if n := chains(); n != 1094 {
		t.Errorf("%d endpoint chains, want 1094", n)
	}
	// Time alone brings no full sync while the cluster is large; once it is no more, the sync after the one that finds out does.
	x.now += 3 * time.Hour
	if r := x.sync(fewer, kubeproxy.Options{}); r.Kind != kubeproxy.Partial {
		t.Errorf("hours later in a large cluster: %s sync", r.Kind)
	}
	for _, want := range []kubeproxy.Kind{kubeproxy.Partial, kubeproxy.Full} {
		if r := x.sync(small, kubeproxy.Options{}); r.Kind != want {
			t.Errorf("the cluster has shrunk: %s sync, want %s", r.Kind, want)
		}
	}
}

// A UDP flow is cut off when what answers it is no serving endpoint of the Service it is addressed to; flows of other protocols and
// to other addresses stay.
func TestStaleUDPFlows(t *testing.T) {
	s := node()
	dns := service.Name{Namespace: "kube-system", Name: "dns"}
	s.Services = []service.Service{{Name: dns, Type: service.NodePort, ClusterIPs: []netip.Addr{addr("10.96.0.10")}, ExternalIPs: []netip.Addr{addr("198.51.100.9")},
		Ports: []service.ServicePort{{Name: "dns", Protocol: packet.UDP, Port: 53, NodePort: 30053}, {Name: "tcp", Protocol: packet.TCP, Port: 53}}}}
	ep := func(a string, serving bool) service.Endpoint {
		return service.Endpoint{Addresses: []netip.Addr{addr(a)}, Ready: serving, Serving: serving, Terminating: !serving}
	}
	s.Slices = []service.EndpointSlice{{Name: dns, Service: dns, Family: packet.IPv4,
		Ports:     []service.EndpointPort{{Name: "dns", Protocol: packet.UDP, Port: 53}, {Name: "tcp", Protocol: packet.TCP, Port: 53}},
		Endpoints: []service.Endpoint{ep("10.244.1.5", true), ep("10.244.2.7", true)}}}
	x := start(packet.IPv4, s)
	flow := func(p packet.Protocol, to, answered string) kubeproxy.Flow {
		src := netip.MustParseAddrPort("10.244.1.20:40000")
		return kubeproxy.Flow{Original: packet.Tuple{Src: src, Dst: netip.MustParseAddrPort(to), Proto: p}, Reply: packet.Tuple{Src: netip.MustParseAddrPort(answered), Dst: src, Proto: p}}
	}
	keep := []kubeproxy.Flow{
		flow(packet.UDP, "10.96.0.10:53", "10.244.1.5:53"),
		flow(packet.TCP, "10.96.0.10:53", "10.244.2.7:53"),
		flow(packet.UDP, "10.96.0.11:53", "10.244.2.7:53"),
		flow(packet.UDP, "10.96.0.10:54", "10.244.2.7:53"),
		flow(packet.UDP, "192.168.10.11:30053", "10.244.1.5:53"),
	}
	cut := []kubeproxy.Flow{
		flow(packet.UDP, "10.96.0.10:53", "10.244.2.7:53"),
		flow(packet.UDP, "198.51.100.9:53", "10.244.2.7:53"),
		flow(packet.UDP, "192.168.10.11:30053", "10.244.2.7:53"),
		flow(packet.UDP, "10.96.0.10:53", "10.96.0.10:53"), // began when no endpoint was there
	}
	if r := x.sync(s, kubeproxy.Options{}); r.Dumps != 1 {
		t.Errorf("first sync read the table %d times, want once", r.Dumps)
	}
	x.h.flows = append(slices.Clone(cut), keep...)
	if r := x.sync(s, kubeproxy.Options{}); r.Dumps != -1 || len(x.h.flows) != len(cut)+len(keep) {
		t.Error("a sync without changes of UDP endpoints looked at the flows")
	}
	s.Slices = slices.Clone(s.Slices)
	s.Slices[0].Endpoints = []service.Endpoint{ep("10.244.1.5", true), ep("10.244.2.7", false)}
	r := x.sync(s, kubeproxy.Options{})
	if !slices.Equal(x.h.flows, keep) {
		t.Errorf("left %v\nwant %v", x.h.flows, keep)
	}
	want := []string{
		"conntrack -D -p udp --orig-dst 10.96.0.10 --orig-port-dst 53 --reply-src 10.244.2.7 --reply-port-src 53",
		"conntrack -D -p udp --orig-dst 10.96.0.10 --orig-port-dst 53 --reply-src 10.96.0.10 --reply-port-src 53",
		"conntrack -D -p udp --orig-dst 198.51.100.9 --orig-port-dst 53 --reply-src 10.244.2.7 --reply-port-src 53",
		"conntrack -D -p udp --orig-port-dst 30053 --reply-src 10.244.2.7 --reply-port-src 53",
	}
	var got []string
	for _, op := range r.Ops {
		if d, ok := op.(datapath.ConntrackDelete); ok {
			got = append(got, d.Command())
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("deletions\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// After --cleanup nothing of kube-proxy's is left but what the kubelet owns too.
func TestCleanup(t *testing.T) {
	for seed := range 20 {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		base := node()
		w := world{map[int]service.Service{}, map[int][]service.EndpointSlice{}}
		for i := range 8 {
			w.put(r, i)
		}
		x := start(packet.IPv4, base)
		x.sync(w.state(base), kubeproxy.Options{})
		res, err := kubeproxy.Cleanup(service.ModeIPTables, []packet.Family{packet.IPv4}, x.h)
		if err != nil || res.Err != nil {
			t.Fatal(err, res.Err)
		}
		want := newTextHost()
		want.tables["filter"]["KUBE-FIREWALL"] = x.h.tables["filter"]["KUBE-FIREWALL"]
		want.tables["filter"]["INPUT"] = []string{"-j KUBE-FIREWALL"}
		want.tables["filter"]["OUTPUT"] = []string{"-j KUBE-FIREWALL"}
		if got, want := x.h.text(), want.text(); got != want {
			t.Fatalf("seed %d: left over: %s", seed, firstDifference(got, want))
		}
		if res, _ := kubeproxy.Cleanup(service.ModeIPTables, []packet.Family{packet.IPv4}, x.h); res.Err != nil || len(res.Ops) != 2 {
			t.Errorf("a second clean-up runs %d operations, want two empty restores (%v)", len(res.Ops), res.Err)
		}
	}
}

func BenchmarkCompileText(b *testing.B) {
	s := simple(5000, 3)
	b.ReportAllocs()
	for b.Loop() {
		x := start(packet.IPv4, s)
		x.sync(s, kubeproxy.Options{})
	}
}

func sortLines(text string) string {
	l := strings.Split(text, "\n")
	slices.Sort(l)
	return strings.Join(l, "\n")
}

// A slice whose label names another Service from now on: its endpoints stay with the old one too, and its deletion takes them
// from the new one only.
func TestSliceMovesToAnotherService(t *testing.T) {
	two := simple(2, 1)
	x := start(packet.IPv4, two)
	x.sync(two, kubeproxy.Options{})
	count := func(service string) int { return strings.Count(x.h.text(), "default/"+service+" -> ") }

	moved := simple(2, 1)
	moved.Slices[0].Service = moved.Slices[1].Service
	x.sync(moved, kubeproxy.Options{})
	if a, b := count("svc-0000"), count("svc-0001"); a != 1 || b != 2 {
		t.Errorf("after the move %d and %d endpoints, want 1 and 2", a, b)
	}
	deleted := simple(2, 1)
	deleted.Slices = deleted.Slices[1:]
	x.sync(deleted, kubeproxy.Options{})
	if a, b := count("svc-0000"), count("svc-0001"); a != 1 || b != 1 {
		t.Errorf("after the deletion %d and %d endpoints, want 1 and 1", a, b)
	}
}
