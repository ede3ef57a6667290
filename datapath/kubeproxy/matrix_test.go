package kubeproxy_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// full is a load-balancer Service with every front end and every policy that adds rules, in one family and protocol.
func full(f packet.Family, p packet.Protocol) service.State {
	s := node()
	name := service.Name{Namespace: "default", Name: "all"}
	pick := func(v4, v6 string) netip.Addr {
		if f == packet.IPv6 {
			return addr(v6)
		}
		return addr(v4)
	}
	ranges := netip.MustParsePrefix("192.0.2.0/24")
	if f == packet.IPv6 {
		ranges = netip.MustParsePrefix("2001:db8:2::/64")
	}
	s.Services = []service.Service{{Name: name, Type: service.LoadBalancer, ClusterIPs: []netip.Addr{pick("10.96.0.1", "fd00:96::1")},
		Ports:       []service.ServicePort{{Name: "p", Protocol: p, Port: 80, NodePort: 30080}},
		ExternalIPs: []netip.Addr{pick("198.51.100.1", "2001:db8::1")}, LoadBalancerIngress: []service.Ingress{{IP: pick("203.0.113.1", "2001:db8:1::1")}},
		LoadBalancerSourceRanges: []netip.Prefix{ranges}, ExternalPolicy: service.PolicyLocal, InternalPolicy: service.PolicyLocal,
		AffinityTimeout: time.Minute, HealthCheckNodePort: 32000}}
	ep := func(a netip.Addr, node string) service.Endpoint {
		return service.Endpoint{Addresses: []netip.Addr{a}, Ready: true, Serving: true, NodeName: node}
	}
	s.Slices = []service.EndpointSlice{{Name: name, Service: name, Family: f, Ports: []service.EndpointPort{{Name: "p", Protocol: p, Port: 8080}},
		Endpoints: []service.Endpoint{ep(pick("10.244.1.5", "fd00:244:1::5"), "worker-1"), ep(pick("10.244.2.7", "fd00:244:2::7"), "worker-2")}}}
	return s
}

// Both families and all protocols have the same rules but for addresses, protocol and chain names: except for what is
// IPv4's alone, node ports on loopback.
func TestFamiliesAndProtocolsAlike(t *testing.T) {
	var want string
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		for _, p := range []packet.Protocol{packet.TCP, packet.UDP, packet.SCTP} {
			s := full(f, p)
			s.Config.LocalhostNodePorts = false
			x := start(f, s)
			if r := x.sync(s, kubeproxy.Options{}); r.Err != nil {
				t.Fatal(r.Err)
			}
			port := service.PortName{Name: s.Services[0].Name, Port: "p", Protocol: p}
			n := kubeproxy.NamesOf(port)
			text := x.h.text()
			replace := []string{n.Cluster, "SVC", n.Local, "SVL", n.External, "EXT", n.Firewall, "FW",
				"! -d 127.0.0.0/8", "! -d LOOP", "! -d ::1/128", "! -d LOOP", "10.244.0.0/16", "PODS", "fd00:244::/48", "PODS",
				"192.0.2.0/24", "RANGE", "2001:db8:2::/64", "RANGE"}
			for i, e := range s.Slices[0].Endpoints {
				a := netip.AddrPortFrom(e.Addresses[0], 8080)
				id := string(rune('A' + i))
				replace = append(replace, kubeproxy.EndpointChain(port, a.String()), "SEP-"+id, a.String(), id+":8080", e.Addresses[0].String()+" ", id+" ")
			}
			for what, a := range map[string]netip.Addr{"CLUSTER": s.Services[0].ClusterIPs[0], "EXTERNAL": s.Services[0].ExternalIPs[0], "BALANCER": s.Services[0].LoadBalancerIngress[0].IP} {
				replace = append(replace, a.String()+" ", what+" ")
			}
			// The health check is TCP, whatever the Service is.
			text = strings.ReplaceAll(text, "-m tcp -p tcp --dport 32000", "HEALTH")
			text = strings.NewReplacer(append(replace, "-m "+p.String()+" -p "+p.String(), "-m PROTO -p PROTO")...).Replace(text)
			text = sortLines(text) // chains stand by name, and names differ
			if want == "" {
				want = text
				for _, part := range []string{"-j SVL", "-j FW", "-j EXT", "KUBE-PROXY-FIREWALL -m comment", "HEALTH", "--rcheck --seconds 60 --reap", "-d BALANCER", "-d EXTERNAL", "-d CLUSTER", "-s A "} {
					if !strings.Contains(want, part) {
						t.Errorf("no rule has %q", part)
					}
				}
			}
			if text != want {
				t.Errorf("%s %s: %s", f, p, firstDifference(text, want))
			}
		}
	}
}
