package kubeproxy_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// web is a node with one Service of one port, reached by cluster IP and node port 30080, with one endpoint in each family.
func web() service.State {
	s := node()
	name := service.Name{Namespace: "default", Name: "web"}
	s.Node.PodCIDRs = []netip.Prefix{netip.MustParsePrefix("10.244.1.0/24"), netip.MustParsePrefix("fd00:244:1::/64")}
	s.Services = []service.Service{{Name: name, Type: service.NodePort, ClusterIPs: []netip.Addr{addr("10.96.0.50"), addr("fd00:96::50")},
		Ports: []service.ServicePort{{Protocol: packet.TCP, Port: 80, NodePort: 30080}}}}
	for f, a := range map[packet.Family]string{packet.IPv4: "10.244.2.7", packet.IPv6: "fd00:244:2::7"} {
		s.Slices = append(s.Slices, service.EndpointSlice{Name: service.Name{Namespace: "default", Name: "web-" + f.String()}, Service: name, Family: f,
			Ports:     []service.EndpointPort{{Protocol: packet.TCP, Port: 8080}},
			Endpoints: []service.Endpoint{{Addresses: []netip.Addr{addr(a)}, Ready: true, Serving: true}}})
	}
	return s
}

// rules lists the rules of a chain after one sync.
func rules(f packet.Family, s service.State, table, chain string) []string {
	x := start(f, s)
	x.sync(s, kubeproxy.Options{})
	return x.h.tables[table][chain]
}

// which picks the rules that hold a text, and strips comments.
func which(list []string, text string) string {
	var out []string
	for _, r := range list {
		if !strings.Contains(r, text) {
			continue
		}
		if i := strings.Index(r, `-m comment --comment "`); i >= 0 {
			j := i + len(`-m comment --comment "`)
			r = r[:i] + strings.TrimPrefix(r[j+strings.IndexByte(r[j:], '"')+1:], " ")
		}
		out = append(out, r)
	}
	return strings.Join(out, "; ")
}

// What node ports answer on. Expectations: the documentation of nodePortAddresses and localhostNodePorts
// (k8s.io/kube-proxy/config/v1alpha1) and kube-proxy's own rules for the cases that were recorded.
func TestNodePortAddresses(t *testing.T) {
	const all4, all6 = "-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS", "-m addrtype --dst-type LOCAL ! -d ::1/128 -j KUBE-NODEPORTS"
	const not127 = "-m addrtype --dst-type LOCAL ! -d 127.0.0.0/8 -j KUBE-NODEPORTS"
	for _, c := range []struct {
		what      string
		addresses []string
		localhost bool
		v4, v6    string
		guard     bool // the rule that keeps neighbours off 127.0.0.0/8
	}{
		{"default", nil, true, all4, all6, true},
		{"not on localhost", nil, false, not127, all6, false},
		{"IPv4 range only: IPv6 serves all", []string{"192.168.10.0/24"}, true, "-d 192.168.10.11 -j KUBE-NODEPORTS", all6, false},
		{"IPv6 range only: IPv4 serves all", []string{"fd00:10::/64"}, true, all4, "-d fd00:10::11 -j KUBE-NODEPORTS", true},
		{"zero prefix", []string{"10.0.0.0/8", "0.0.0.0/0"}, true, all4, all6, true},
		{"loopback too", []string{"127.0.0.0/8", "192.168.0.0/16"}, true, "-d 127.0.0.1 -j KUBE-NODEPORTS; -d 192.168.10.11 -j KUBE-NODEPORTS", all6, true},
		{"loopback, but not on localhost", []string{"127.0.0.0/8", "192.168.0.0/16"}, false, "-d 192.168.10.11 -j KUBE-NODEPORTS", all6, false},
		{"IPv6 loopback is never served", []string{"::1/128"}, true, all4, "", true},
		{"no address in range", []string{"172.16.0.0/12"}, true, "", all6, false},
		{"primary", []string{"primary"}, true, "-d 192.168.10.11 -j KUBE-NODEPORTS", "-d fd00:10::11 -j KUBE-NODEPORTS", false},
		{"words among ranges", []string{"primary", "localhost"}, true, "-d 127.0.0.1 -j KUBE-NODEPORTS; -d 192.168.10.11 -j KUBE-NODEPORTS", "-d fd00:10::11 -j KUBE-NODEPORTS", true},
		{"all, whatever else", []string{"10.0.0.0/8", "all"}, true, all4, all6, true},
		{"overlapping ranges", []string{"192.168.0.0/16", "192.168.10.0/24"}, true, "-d 192.168.10.11 -j KUBE-NODEPORTS", all6, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := web()
			s.Config.NodePortAddresses, s.Config.LocalhostNodePorts = c.addresses, c.localhost
			if got := which(rules(packet.IPv4, s, "nat", "KUBE-SERVICES"), "-j KUBE-NODEPORTS"); got != c.v4 {
				t.Errorf("IPv4: %s\nwant  %s", got, c.v4)
			}
			if got := which(rules(packet.IPv6, s, "nat", "KUBE-SERVICES"), "-j KUBE-NODEPORTS"); got != c.v6 {
				t.Errorf("IPv6: %s\nwant  %s", got, c.v6)
			}
			if got := len(rules(packet.IPv4, s, "filter", "KUBE-FIREWALL")) == 1; got != c.guard {
				t.Errorf("guard of 127.0.0.0/8: %v, want %v", got, c.guard)
			}
			if n := len(rules(packet.IPv6, s, "filter", "KUBE-FIREWALL")); n != 0 {
				t.Errorf("IPv6: %d rules in KUBE-FIREWALL", n)
			}
			x := start(packet.IPv4, s)
			if got := x.h.sysctls["net.ipv4.conf.all.route_localnet"] == "1"; got != c.guard {
				t.Errorf("route_localnet set: %v, want %v", got, c.guard)
			}
		})
	}
}

// What traffic to the cluster IP is masqueraded, and how traffic of this node's Pods is told from other traffic.
func TestDetectLocal(t *testing.T) {
	const here4, here6 = "-m tcp -p tcp -d 10.96.0.50 --dport 80", "-m tcp -p tcp -d fd00:96::50 --dport 80"
	for _, c := range []struct {
		what       string
		mode       service.LocalMode
		edit       func(*service.State)
		not4, not6 string // the match of other traffic; "-": nothing is masqueraded, "": everything is
	}{
		{"cluster CIDR", "", nil, "! -s 10.244.0.0/16", "! -s fd00:244::/48"},
		{"cluster CIDR, named", service.LocalClusterCIDR, nil, "! -s 10.244.0.0/16", "! -s fd00:244::/48"},
		{"cluster CIDR with host bits", "", func(s *service.State) { s.Config.ClusterCIDRs[0] = netip.MustParsePrefix("10.244.7.9/16") }, "! -s 10.244.0.0/16", "! -s fd00:244::/48"},
		{"cluster CIDR of one family", "", func(s *service.State) { s.Config.ClusterCIDRs = s.Config.ClusterCIDRs[:1] }, "! -s 10.244.0.0/16", "-"},
		{"no cluster CIDR", "", func(s *service.State) { s.Config.ClusterCIDRs = nil }, "-", "-"},
		{"node CIDR", service.LocalNodeCIDR, nil, "! -s 10.244.1.0/24", "! -s fd00:244:1::/64"},
		{"node without CIDR", service.LocalNodeCIDR, func(s *service.State) { s.Node.PodCIDRs = nil }, "-", "-"},
		{"bridge", service.LocalBridgeInterface, func(s *service.State) { s.Config.BridgeInterface = "cni0" }, "! -i cni0", "! -i cni0"},
		{"interface prefix", service.LocalInterfaceNamePrefix, func(s *service.State) { s.Config.InterfacePrefix = "veth" }, "! -i veth+", "! -i veth+"},
		{"masqueradeAll", "", func(s *service.State) { s.Config.MasqueradeAll = true }, "", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := web()
			s.Config.DetectLocalMode = c.mode
			if c.edit != nil {
				c.edit(&s)
			}
			svc := kubeproxy.NamesOf(service.PortName{Name: s.Services[0].Name, Protocol: packet.TCP}).Cluster
			for f, want := range map[packet.Family][2]string{packet.IPv4: {here4, c.not4}, packet.IPv6: {here6, c.not6}} {
				line := want[0]
				switch want[1] {
				case "-":
					line = ""
				case "":
					line += " -j KUBE-MARK-MASQ"
				default:
					line += " " + want[1] + " -j KUBE-MARK-MASQ"
				}
				if got := which(rules(f, s, "nat", svc), "KUBE-MARK-MASQ"); got != line {
					t.Errorf("%s: %q, want %q", f, got, line)
				}
			}
		})
	}
}

// The mark is a bit of the packet's mark, given as iptables takes it.
func TestMasqueradeBit(t *testing.T) {
	for bit, mark := range map[int]string{0: "0x00000001", 14: "0x00004000", 20: "0x00100000", 31: "0x80000000"} {
		s := web()
		s.Config.MasqueradeBit = bit
		if got, want := which(rules(packet.IPv4, s, "nat", "KUBE-MARK-MASQ"), ""), "-j MARK --or-mark "+mark; got != want {
			t.Errorf("bit %d: %s, want %s", bit, got, want)
		}
	}
}

// Sources that may use a load balancer; the load balancer's own address is among them where the node's is.
func TestSourceRanges(t *testing.T) {
	s := web()
	svc := &s.Services[0]
	svc.Type = service.LoadBalancer
	svc.LoadBalancerIngress = []service.Ingress{{IP: addr("203.0.113.30")}, {IP: addr("203.0.113.31")}}
	names := kubeproxy.NamesOf(service.PortName{Name: svc.Name, Protocol: packet.TCP})
	for _, c := range []struct {
		ranges []string
		want   string
	}{
		{[]string{"198.51.100.7/24"}, "-s 198.51.100.0/24 -j EXT"},
		{[]string{"198.51.100.0/24", "192.168.0.0/16"}, "-s 198.51.100.0/24 -j EXT; -s 192.168.0.0/16 -j EXT; -s 203.0.113.30 -j EXT; -s 203.0.113.31 -j EXT"},
		{[]string{"2001:db8::/32"}, ""}, // no range of this family: no firewall
	} {
		svc.LoadBalancerSourceRanges = nil
		for _, r := range c.ranges {
			svc.LoadBalancerSourceRanges = append(svc.LoadBalancerSourceRanges, netip.MustParsePrefix(r))
		}
		got := strings.ReplaceAll(which(rules(packet.IPv4, s, "nat", names.Firewall), "-j KUBE"), names.External, "EXT")
		if got != c.want {
			t.Errorf("%v:\n got %s\nwant %s", c.ranges, got, c.want)
		}
		drops := len(rules(packet.IPv4, s, "filter", "KUBE-PROXY-FIREWALL"))
		if want := 2; (drops == want) != (c.want != "") {
			t.Errorf("%v: %d rules drop what is left", c.ranges, drops)
		}
	}
}

// The chains of the Service and endpoints that a widely read article shows.
func TestChainNames(t *testing.T) {
	nginx := service.PortName{Name: service.Name{Namespace: "default", Name: "nginx"}, Protocol: packet.TCP}
	if got := kubeproxy.NamesOf(nginx).Cluster; got != "KUBE-SVC-2CMXP7HKUVJN7L6M" {
		t.Error(got)
	}
	for ep, want := range map[string]string{
		"10.244.169.147:80": "KUBE-SEP-LNPQQIWGFNOA5PA2",
		"10.244.36.124:80":  "KUBE-SEP-5YYPNSSTAPIDIORU",
		"10.244.36.125:80":  "KUBE-SEP-245ABZALMPSVYEFI",
	} {
		if got := kubeproxy.EndpointChain(nginx, ep); got != want {
			t.Errorf("%s: %s, want %s", ep, got, want)
		}
	}
}

// Which sync is full: the first, one after a failure, after a change of topology labels, when forced, and an hour after the last.
func TestKindOfSync(t *testing.T) {
	s := web()
	x := start(packet.IPv4, s)
	zone := func(z string) service.State {
		c := s
		c.Node.Labels = map[string]string{service.LabelZone: z, "unrelated": z}
		return c
	}
	fail := func() service.State { x.h.fail = true; return s }
	labelled := s
	labelled.Node.Labels = map[string]string{service.LabelZone: "zone-a", "unrelated": "changed"}
	for _, c := range []struct {
		what  string
		state service.State
		after time.Duration
		opts  kubeproxy.Options
		want  kubeproxy.Kind
		asked bool
	}{
		{"first", s, 0, kubeproxy.Options{}, kubeproxy.Full, true},
		{"nothing changed", s, 10 * time.Second, kubeproxy.Options{}, kubeproxy.Partial, false},
		{"another label of the node", labelled, 10 * time.Second, kubeproxy.Options{}, kubeproxy.Partial, false},
		{"zone changed", zone("zone-b"), 10 * time.Second, kubeproxy.Options{}, kubeproxy.Full, true},
		{"zone changed back", s, 10 * time.Second, kubeproxy.Options{}, kubeproxy.Full, true},
		{"forced", s, 10 * time.Second, kubeproxy.Options{ForceFull: true}, kubeproxy.Full, false},
		{"59 minutes later", s, 59 * time.Minute, kubeproxy.Options{}, kubeproxy.Partial, false},
		{"an hour after the last full one", s, time.Minute, kubeproxy.Options{}, kubeproxy.Full, false},
	} {
		x.now += c.after - 10*time.Second // sync adds ten seconds
		if r := x.sync(c.state, c.opts); r.Kind != c.want || r.Asked != c.asked {
			t.Errorf("%s: %s asked=%v, want %s asked=%v", c.what, r.Kind, r.Asked, c.want, c.asked)
		}
	}
	if r := x.sync(fail(), kubeproxy.Options{}); r.Err == nil || r.Kind != kubeproxy.Partial || !r.Failed[len(r.Failed)-1] {
		t.Errorf("failing restore: %+v", r.Err)
	}
	if r := x.sync(s, kubeproxy.Options{}); r.Kind != kubeproxy.Full {
		t.Errorf("after a failure: %s", r.Kind)
	}
}

func TestUnknownMode(t *testing.T) {
	if _, err := kubeproxy.New("kernelspace", packet.IPv4, web(), datapath.DefaultProfile()); err == nil || !strings.Contains(err.Error(), `"kernelspace"`) {
		t.Errorf("error %v", err)
	}
}
