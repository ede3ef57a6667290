package service_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// backends reads "a=ready,local b=ready,zone:z1 c=serving,terminating": the letter becomes the address 10.0.0.<n>.
func backends(text string) []service.Backend {
	var out []service.Backend
	for i, w := range strings.Fields(text) {
		_, flags, _ := strings.Cut(w, "=")
		b := service.Backend{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 80)}
		for f := range strings.SplitSeq(flags, ",") {
			key, value, _ := strings.Cut(f, ":")
			switch key {
			case "ready":
				b.Ready, b.Serving = true, true
			case "serving":
				b.Serving = true
			case "terminating":
				b.Terminating = true
			case "local":
				b.Local = true
			case "zone":
				b.ZoneHints = append(b.ZoneHints, value)
			case "node":
				b.NodeHints = append(b.NodeHints, value)
			}
		}
		out = append(out, b)
	}
	return out
}

// letters names backends by position: a, b, c.
func letters(list []service.Backend) string {
	s := ""
	for _, b := range list {
		s += string(rune('a' + b.Addr.Addr().As4()[3] - 1))
	}
	return s
}

// The node is n1 in zone z1. Expectations: the rules stated in the Kubernetes documentation of traffic policies, of
// terminating endpoints (KEP-1669) and of topology hints (KEP-2433, KEP-3015).
func TestSelect(t *testing.T) {
	const (
		cluster  = "cluster"  // cluster IP only, policies Cluster
		itp      = "itp"      // cluster IP only, internal policy Local
		etp      = "etp"      // node port, external policy Local
		both     = "both"     // node port, both policies Local
		itpNodes = "itpNodes" // node port, internal policy Local, external Cluster
	)
	ports := map[string]service.Port{
		cluster:  {},
		itp:      {InternalLocal: true},
		etp:      {NodePort: 30000, ExternalLocal: true},
		both:     {NodePort: 30000, ExternalLocal: true, InternalLocal: true},
		itpNodes: {NodePort: 30000, InternalLocal: true},
	}
	for _, c := range []struct{ what, port, eps, cluster, local, reachable, any string }{
		{"no endpoints", etp, "", "", "", "", "no"},
		{"ready ones only", cluster, "a=ready b=", "a", "", "a", "yes"},
		{"terminating ones where none is ready", cluster, "a=serving,terminating b=terminating c=", "a", "", "a", "yes"},
		{"none usable", cluster, "a=terminating b=", "", "", "", "no"},
		{"serving but neither ready nor terminating is of no use", cluster, "a=serving", "", "", "", "no"},
		{"internal policy Local", itp, "a=ready,local b=ready", "", "a", "a", "yes"},
		{"internal policy Local without local ones", itp, "a=ready", "", "", "", "yes"},
		{"external policy Local keeps Cluster for the node's own traffic", etp, "a=ready,local b=ready", "ab", "a", "ab", "yes"},
		{"both policies Local, node port", both, "a=ready,local b=ready", "ab", "a", "ab", "yes"},
		{"internal Local, external Cluster", itpNodes, "a=ready,local b=ready", "ab", "a", "ab", "yes"},
		{"fall-back is decided for each policy", etp, "a=serving,terminating,local b=ready", "b", "a", "ab", "yes"},
		{"both fall back", etp, "a=serving,terminating,local b=serving,terminating", "ab", "a", "ab", "yes"},
		{"a ready local one keeps local terminating ones out", etp, "a=ready,local b=serving,terminating,local", "a", "a", "a", "yes"},
		{"zone hints", cluster, "a=ready,zone:z1 b=ready,zone:z2", "a", "", "a", "yes"},
		{"zone hints to several zones", cluster, "a=ready,zone:z2,zone:z1 b=ready,zone:z2", "a", "", "a", "yes"},
		{"zone hints, none for this zone", cluster, "a=ready,zone:z2 b=ready,zone:z3", "ab", "", "ab", "yes"},
		{"zone hints, one missing", cluster, "a=ready,zone:z1 b=ready", "ab", "", "ab", "yes"},
		{"a hint missing on an unready one does not count", cluster, "a=ready,zone:z1 b= c=ready,zone:z2", "a", "", "a", "yes"},
		{"node hints", cluster, "a=ready,node:n1,zone:z1 b=ready,node:n2,zone:z1", "a", "", "a", "yes"},
		{"node hints for others fall back to zone hints", cluster, "a=ready,node:n2,zone:z1 b=ready,node:n3,zone:z2", "a", "", "a", "yes"},
		{"node hints missing fall back to zone hints", cluster, "a=ready,node:n1,zone:z1 b=ready,zone:z1 c=ready,zone:z2", "ab", "", "ab", "yes"},
		{"hints and fall-back: no ready one, hints are not looked at", cluster, "a=serving,terminating,zone:z2", "a", "", "a", "yes"},
		{"hints narrow Cluster, not Local", etp, "a=ready,local,zone:z2 b=ready,zone:z1", "b", "a", "ab", "yes"},
	} {
		t.Run(c.what, func(t *testing.T) {
			p := ports[c.port]
			u := service.Select(&p, backends(c.eps), service.Topology{Node: "n1", Zone: "z1"})
			got := fmt.Sprintf("cluster=%s local=%s reachable=%s any=%v", letters(u.Cluster), letters(u.Local), letters(u.Reachable), u.Any)
			want := fmt.Sprintf("cluster=%s local=%s reachable=%s any=%v", c.cluster, c.local, c.reachable, c.any == "yes")
			if got != want {
				t.Errorf("%s\n got %s\nwant %s", c.eps, got, want)
			}
		})
	}
}

// A zone that the node does not know is no zone: hints for "" do not exist.
func TestSelectWithoutZoneLabel(t *testing.T) {
	u := service.Select(&service.Port{}, backends("a=ready,zone:z1 b=ready,zone:z2"), service.Topology{Node: "n1"})
	if got := letters(u.Cluster); got != "ab" {
		t.Errorf("cluster endpoints %q, want all", got)
	}
}

func TestBackendsMergeAndOrder(t *testing.T) {
	web := service.Name{Namespace: "default", Name: "web"}
	ep := func(a string, ready, terminating bool) service.Endpoint {
		return service.Endpoint{Addresses: []netip.Addr{netip.MustParseAddr(a)}, Ready: ready, Serving: true, Terminating: terminating, NodeName: "n1"}
	}
	slice := func(name string, port uint16, eps ...service.Endpoint) service.EndpointSlice {
		return service.EndpointSlice{Name: service.Name{Namespace: "default", Name: name}, Service: web, Family: packet.IPv4,
			Ports: []service.EndpointPort{{Name: "http", Protocol: packet.TCP, Port: port}}, Endpoints: eps}
	}
	hidden := slice("web-4", 8080, ep("10.0.0.99", true, false))
	hidden.Labels = map[string]string{service.LabelHeadless: ""}
	// The label that gives a Service to another proxy says nothing on a slice.
	mesh := slice("web-6", 8080, ep("10.0.0.11", true, false))
	mesh.Labels = map[string]string{service.LabelProxyName: "mesh"}
	other := slice("web-5", 8080, ep("fd00::1", true, false))
	other.Family = packet.IPv6
	s := service.State{Node: service.Node{Name: "n1"}, Slices: []service.EndpointSlice{
		// Text order: 10.0.0.10:8080 stands before 10.0.0.9:8080.
		slice("web-1", 8080, ep("10.0.0.9", true, false), ep("10.0.0.10", true, false)),
		// The Pod network gave a dying Pod's address to another: the one that lives counts, whichever slice comes first.
		slice("web-2", 8080, ep("10.0.0.9", false, true)),
		// One port of a Service may have several numbers.
		slice("web-3", 9090, ep("10.0.0.10", true, false)),
		slice("web-0", 0, ep("10.0.0.77", true, false)), // no port number
		hidden, other, mesh,
	}}
	got := fmt.Sprint(texts(s.Backends(packet.IPv4)[service.PortName{Name: web, Port: "http", Protocol: packet.TCP}]))
	if want := "[10.0.0.10:8080+ 10.0.0.10:9090+ 10.0.0.11:8080+ 10.0.0.9:8080+]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := fmt.Sprint(texts(s.Backends(packet.IPv6)[service.PortName{Name: web, Port: "http", Protocol: packet.TCP}])); got != "[[fd00::1]:8080+]" {
		t.Errorf("IPv6: %s", got)
	}
	if n := len(s.Backends(packet.IPv4)); n != 1 {
		t.Errorf("%d ports have endpoints, want 1", n)
	}
}

func texts(list []service.Backend) []string {
	var out []string
	for _, b := range list {
		s := b.Addr.String()
		if b.Ready {
			s += "+"
		}
		out = append(out, s)
	}
	return out
}

func TestPortsAndIgnored(t *testing.T) {
	addr := netip.MustParseAddr
	name := func(s string) service.Name { return service.Name{Namespace: "default", Name: s} }
	tcp80 := []service.ServicePort{{Protocol: packet.TCP, Port: 80, NodePort: 30080}}
	s := service.State{Services: []service.Service{
		{Name: name("lb"), Type: service.LoadBalancer, Ports: tcp80, ClusterIPs: []netip.Addr{addr("10.96.0.1"), addr("fd00::1")},
			ExternalPolicy: service.PolicyLocal, HealthCheckNodePort: 32000,
			ExternalIPs:              []netip.Addr{addr("198.51.100.1"), addr("2001:db8::1")},
			LoadBalancerIngress:      []service.Ingress{{IP: addr("203.0.113.1")}, {IP: addr("203.0.113.2"), Proxy: true}, {Hostname: "lb.example"}, {IP: addr("2001:db8::2")}},
			LoadBalancerSourceRanges: []netip.Prefix{netip.MustParsePrefix("192.0.2.77/24"), netip.MustParsePrefix("2001:db8:1::/48")}},
		// externalTrafficPolicy says nothing about a Service that takes no external traffic; no health check without a load balancer.
		{Name: name("plain"), Type: service.ClusterIP, Ports: tcp80[:1], ClusterIPs: []netip.Addr{addr("10.96.0.2")}, ExternalPolicy: service.PolicyLocal},
		{Name: name("np"), Type: service.NodePort, Ports: tcp80, ClusterIPs: []netip.Addr{addr("10.96.0.3")}, ExternalPolicy: service.PolicyLocal, HealthCheckNodePort: 32001},
		{Name: name("headless"), Type: service.ClusterIP, Headless: true, Ports: tcp80},
		{Name: name("alias"), Type: service.ExternalName, ExternalName: "example.org"},
		{Name: name("mesh"), Type: service.ClusterIP, ClusterIPs: []netip.Addr{addr("10.96.0.4")}, Ports: tcp80, Labels: map[string]string{service.LabelProxyName: ""}},
		// The label that hides a slice says nothing on a Service that has a cluster IP.
		{Name: name("labelled"), Type: service.ClusterIP, ClusterIPs: []netip.Addr{addr("10.96.0.5")}, Ports: tcp80, Labels: map[string]string{service.LabelHeadless: ""}},
	}}
	for _, c := range []struct {
		f    packet.Family
		want []string
	}{
		{packet.IPv4, []string{
			"default/labelled 10.96.0.5 ext=[] lb=[] from=[] hc=0 etp=false",
			"default/lb 10.96.0.1 ext=[198.51.100.1] lb=[203.0.113.1] from=[192.0.2.0/24] hc=32000 etp=true",
			"default/np 10.96.0.3 ext=[] lb=[] from=[] hc=0 etp=true",
			"default/plain 10.96.0.2 ext=[] lb=[] from=[] hc=0 etp=false",
		}},
		{packet.IPv6, []string{"default/lb fd00::1 ext=[2001:db8::1] lb=[2001:db8::2] from=[2001:db8:1::/48] hc=32000 etp=true"}},
	} {
		var got []string
		for _, p := range s.Ports(c.f) {
			got = append(got, fmt.Sprintf("%s %s ext=%v lb=%v from=%v hc=%d etp=%v", p.PortName, p.ClusterIP, p.ExternalIPs, p.LoadBalancerIPs, p.SourceRanges, p.HealthCheckNodePort, p.ExternalLocal))
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.f, strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
		}
	}
	var ignored []string
	for _, i := range s.Ignored() {
		ignored = append(ignored, i.Name.Name)
	}
	if got := strings.Join(ignored, " "); got != "alias headless mesh" {
		t.Errorf("ignored %s", got)
	}
}
