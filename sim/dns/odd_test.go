package dns

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestOddities: what the recordings do not hold. Each expectation is from the source of CoreDNS, named beside it.
func TestOddities(t *testing.T) {
	const two = ".:53 {\n kubernetes cluster.local in-addr.arpa ip6.arpa {\n pods verified\n ttl 3600\n }\n}\n"
	pod := func(name, ip, more string) string {
		return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + more + "}\nspec: {containers: [{name: c, image: busybox}]}\nstatus: {podIP: " + ip + "}\n"
	}
	six := "---\napiVersion: v1\nkind: Service\nmetadata: {name: six}\nspec: {clusterIP: 'fd00:10:96::50', ports: [{port: 80}]}\n"
	turned := strings.TrimSuffix(reverseOf("fd00:10:96::50"), "ip6.arpa.")
	manifests := web + six + pod("old", "10.244.7.1", ", deletionTimestamp: '2026-01-01T00:00:00Z'") + pod("new", "10.244.7.2", "") +
		pod("lost", "10.244.7.3", "") + "  \n"
	manifests = strings.Replace(manifests, "status: {podIP: 10.244.7.3}", "status: {podIP: 10.244.7.3, phase: Unknown}", 1)
	for _, x := range []struct{ about, corefile, name, qtype, want string }{
		{"controller.go podListFunc: a Pod that is there", two, "10-244-7-2.default.pod.cluster.local.", "A", "NOERROR 10.244.7.2@3600"},
		{"object/pod.go ToPod: a Pod that is going", two, "10-244-7-1.default.pod.cluster.local.", "A", "NXDOMAIN"},
		{"controller.go podListFunc: a Pod whose node is lost", two, "10-244-7-3.default.pod.cluster.local.", "A", "NXDOMAIN"},
		{"backend_lookup.go SOA: at most 300 seconds", two, "cluster.local.", "SOA",
			"NOERROR ns.dns.cluster.local. hostmaster.cluster.local. 1 7200 1800 86400 3600@300"},
		{"dnsutil/reverse.go: an address", two, turned + "ip6.arpa.", "PTR", "NOERROR six.default.svc.cluster.local.@3600"},
		{"dnsutil/reverse.go: labels past the last four are dropped", two, "9." + turned + "ip6.arpa.", "PTR", "NOERROR six.default.svc.cluster.local.@3600"},
		{"server.go ServeDNS: a block without handlers", "a.test {\n health\n}\n. {\n hosts {\n 192.0.2.1 x.a.test\n }\n}\n", "x.a.test.", "A", "REFUSED"},
		{"server.go ServeDNS: DS is asked of the parent", "a.test {\n hosts {\n 192.0.2.1 x.a.test\n }\n}\ntest {\n kubernetes test\n}\n", "x.a.test.", "DS", "NXDOMAIN"},
		{"normalize.go Matches: the longest zone", ".:53 {\n kubernetes cluster.local local\n}\n", "web.default.svc.cluster.local.", "A", "NOERROR 10.96.0.50@5"},
		{"setup.go: in-addr.arpa. itself is no reverse zone", ".:53 {\n kubernetes in-addr.arpa cluster.local\n}\n", "50.0.96.10.in-addr.arpa.", "PTR",
			"NOERROR web.default.svc.in-addr.arpa.@5"},
		{"hosts/hostsfile.go: wildcards stand for one label", ".:53 {\n hosts {\n 192.0.2.1 *.wild.test\n 192.0.2.2 a.wild.test\n }\n}\n", "b.wild.test.", "A", "NOERROR 192.0.2.1@3600"},
		{"hosts/hostsfile.go: a name before a wildcard", ".:53 {\n hosts {\n 192.0.2.1 *.wild.test\n 192.0.2.2 a.wild.test\n }\n}\n", "a.wild.test.", "A", "NOERROR 192.0.2.2@3600"},
		{"hosts/hosts.go: no SOA to deny with", ".:53 {\n hosts {\n 192.0.2.1 a.test\n }\n}\n", "b.test.", "A", "SERVFAIL"},
		{"hosts/hosts.go: PTR, unless no_reverse", ".:53 {\n hosts {\n 192.0.2.1 a.test\n no_reverse\n }\n}\n", "1.2.0.192.in-addr.arpa.", "PTR", "SERVFAIL"},
	} {
		if got := answer(load(t, x.corefile, manifests), x.name, x.qtype); got != x.want {
			t.Errorf("%s: %s %s: got %s, want %s", x.about, x.name, x.qtype, got, x.want)
		}
	}
}

func reverseOf(a string) string {
	s, err := dns.ReverseAddr(a)
	if err != nil {
		panic(err)
	}
	return s
}

// TestHeadlessNameServers: where CoreDNS is behind a headless Service, NS names its endpoints (ns.go, nsAddrs).
func TestHeadlessNameServers(t *testing.T) {
	o := objects(t, web+`---
apiVersion: v1
kind: Service
metadata: {name: coredns, namespace: kube-system}
spec: {clusterIP: None, ports: [{port: 53, protocol: UDP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: coredns, namespace: kube-system, labels: {kubernetes.io/service-name: coredns}}
addressType: IPv4
ports: [{port: 53, protocol: UDP}]
endpoints: [{addresses: [10.244.0.2]}, {addresses: [10.244.0.3], hostname: second}]
`)
	c, err := ParseCorefile("Corefile", DefaultCorefile)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(c, o, Options{Self: []netip.Addr{netip.MustParseAddr("10.244.0.3")}})
	if err != nil {
		t.Fatal(err)
	}
	cluster := &Cluster{Server: s}
	if got, want := answer(cluster, "cluster.local.", "NS"),
		"NOERROR 10-244-0-2.coredns.kube-system.svc.cluster.local.@30 second.coredns.kube-system.svc.cluster.local.@30"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// big is a headless Service of that name with n endpoints.
func big(n int) string {
	var m strings.Builder
	m.WriteString("---\napiVersion: v1\nkind: Service\nmetadata: {name: big}\nspec: {clusterIP: None, ports: [{port: 80}]}\n" +
		"---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: big, labels: {kubernetes.io/service-name: big}}\naddressType: IPv4\nports: [{port: 80}]\nendpoints:\n")
	a := netip.MustParseAddr("10.244.3.1")
	for range n {
		m.WriteString("- {addresses: [" + a.String() + "]}\n")
		a = a.Next()
	}
	return m.String()
}

// TestSmallBuffers: a client that offers less than 512 bytes gets 512 (RFC 6891 section 6.2.3).
func TestSmallBuffers(t *testing.T) {
	c := load(t, DefaultCorefile, web+big(60))
	for size, want := range map[uint16]struct {
		records   int
		truncated bool
	}{
		// 512 bytes, less 12 of header, 35 of question and 11 of OPT, hold 28 records of 16 bytes, their names compressed.
		100: {28, true}, 512: {28, true},
		// 12+35+11+60*16 = 1018 bytes
		1017: {59, true}, 1018: {60, false},
	} {
		q := new(dns.Msg)
		q.SetQuestion("big.default.svc.cluster.local.", dns.TypeA)
		q.SetEdns0(size, false)
		r := c.Answer(q)
		if n := len(r.Answer); r.Truncated != want.truncated || n != want.records {
			t.Errorf("%d bytes: %d records, truncated %v; want %+v", size, n, r.Truncated, want)
		}
		if b, err := r.Pack(); err != nil || len(b) > int(max(size, 512)) {
			t.Errorf("%d bytes: %d were sent, %v", size, len(b), err)
		}
	}
}
