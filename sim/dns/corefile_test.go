package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/svclab/svclab/sim/input"
)

// web is a namespace with one Service and one endpoint.
const web = `
apiVersion: v1
kind: Namespace
metadata: {name: default}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.0.50, ports: [{port: 80, name: http}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-x, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.244.1.11]}]
ports: [{port: 8080, name: http}]
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {containers: [{name: c, image: busybox}]}
`

func objects(t testing.TB, manifests string) *input.Objects {
	t.Helper()
	o, err := input.Read([]input.Source{{Name: "m.yaml", Data: []byte(manifests)}})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func load(t testing.TB, corefile, manifests string) *Cluster {
	t.Helper()
	c, err := ParseCorefile("Corefile", corefile)
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := Load(objects(t, manifests), c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return cluster
}

// answer asks for a name and a type and shows the code and the data that came.
func answer(c *Cluster, name, qtype string) string {
	m := new(dns.Msg)
	m.SetQuestion(name, dns.StringToType[qtype])
	r := c.Answer(m)
	if r == nil {
		return "silence"
	}
	out := Rcode(r.Rcode)
	for _, rr := range r.Answer {
		out += fmt.Sprintf(" %s@%d", Data(rr), rr.Header().Ttl)
	}
	return out
}

// TestCorefiles: expectations from the documentation of CoreDNS and its plugins.
func TestCorefiles(t *testing.T) {
	for _, c := range []struct{ about, corefile, name, qtype, want string }{
		{"kubeadm's", DefaultCorefile, "web.default.svc.cluster.local.", "A", "NOERROR 10.96.0.50@30"},
		{"a bare kubernetes block", "kubernetes cluster.local {\n ttl 7\n}\n", "web.default.svc.cluster.local.", "A", "NOERROR 10.96.0.50@7"},
		{"no braces", ".\nkubernetes cluster.local\n", "web.default.svc.cluster.local.", "A", "NOERROR 10.96.0.50@5"},
		{"keys with commas, comments, quotes", "# c\ncluster.local,\n example.org { # k\n \"kubernetes\" # no zone\n}\n", "web.default.svc.cluster.local.", "A", "NOERROR 10.96.0.50@5"},
		{"zones of the block", "k8s.test {\n kubernetes\n}\n", "web.default.svc.k8s.test.", "A", "NOERROR 10.96.0.50@5"},
		{"no block for the name", "k8s.test {\n kubernetes\n}\n", "web.default.svc.cluster.local.", "A", "REFUSED"},
		{"another port", ".:1053 {\n kubernetes cluster.local\n}\n", "web.default.svc.cluster.local.", "A", "NOERROR 10.96.0.50@5"},
		{"port 53 first", ".:1053 {\n hosts {\n 192.0.2.1 x\n }\n}\n.:53 {\n kubernetes cluster.local\n}\n", "web.default.svc.cluster.local.", "A", "NOERROR 10.96.0.50@5"},
		{"the longest zone", ".:53 {\n kubernetes cluster.local\n}\ndefault.svc.cluster.local {\n hosts {\n 192.0.2.9 web.default.svc.cluster.local\n }\n}\n",
			"web.default.svc.cluster.local.", "A", "NOERROR 192.0.2.9@3600"},
		{"the end of the chain", ".:53 {\n kubernetes cluster.local\n}\n", "example.com.", "A", "SERVFAIL"},
		{"a block without handlers", ".:53 {\n health\n ready\n}\n", "example.com.", "A", "REFUSED"},
		{"cache caps a TTL", ".:53 {\n cache 10\n kubernetes cluster.local {\n ttl 30\n }\n}\n", "web.default.svc.cluster.local.", "A", "NOERROR 10.96.0.50@10"},
		{"cache lifts a TTL of 0 to 5", ".:53 {\n cache\n kubernetes cluster.local {\n ttl 0\n }\n}\n", "web.default.svc.cluster.local.", "A", "NOERROR 10.96.0.50@5"},
		{"forward except", ".:53 {\n forward . 192.0.2.53 {\n except example.com\n }\n}\n", "www.example.com.", "A", "SERVFAIL"},
		{"an IPv4 prefix between octets: its last zone", "cluster.local 10.96.0.0/12 {\n kubernetes\n}\n", "9.0.111.10.in-addr.arpa.", "PTR", "NXDOMAIN"},
		{"and past it", "cluster.local 10.96.0.0/12 {\n kubernetes\n}\n", "9.0.112.10.in-addr.arpa.", "PTR", "REFUSED"},
		{"an IPv6 prefix", "cluster.local fd00:10::/29 {\n kubernetes\n}\n", "1." + strings.Repeat("0.", 23) + "7.1.0.0.0.0.d.f.ip6.arpa.", "PTR", "NXDOMAIN"},
		{"and past it", "cluster.local fd00:10::/29 {\n kubernetes\n}\n", "1." + strings.Repeat("0.", 23) + "8.1.0.0.0.0.d.f.ip6.arpa.", "PTR", "REFUSED"},
	} {
		if got := answer(load(t, c.corefile, web), c.name, c.qtype); got != c.want {
			t.Errorf("%s: %s %s: got %s, want %s", c.about, c.name, c.qtype, got, c.want)
		}
	}
}

// TestReverseZones: an octet or nibble that a prefix cuts in two makes as many zones as it leaves values (RFC 2317).
func TestReverseZones(t *testing.T) {
	for prefix, want := range map[string]string{
		"10.0.0.0/8":      "10.in-addr.arpa.",
		"10.96.0.0/16":    "96.10.in-addr.arpa.",
		"10.96.0.0/14":    "96.10.in-addr.arpa. 97.10.in-addr.arpa. 98.10.in-addr.arpa. 99.10.in-addr.arpa.",
		"10.96.1.7/32":    "7.1.96.10.in-addr.arpa.",
		"0.0.0.0/0":       "in-addr.arpa.",
		"2001:db8::/32":   "8.b.d.0.1.0.0.2.ip6.arpa.",
		"2001:db8::/31":   "8.b.d.0.1.0.0.2.ip6.arpa. 9.b.d.0.1.0.0.2.ip6.arpa.",
		"fd00:10:96::/44": "9.0.0.0.1.0.0.0.0.d.f.ip6.arpa.",
	} {
		if got := strings.Join(reverseZones(netip.MustParsePrefix(prefix)), " "); got != want {
			t.Errorf("%s: got %s, want %s", prefix, got, want)
		}
	}
}

// TestBadCorefiles: what CoreDNS refuses is refused, what is not modelled is named, both with their line.
func TestBadCorefiles(t *testing.T) {
	for _, c := range []struct {
		corefile    string
		line        int
		unsupported bool
		words       string
	}{
		{"", 1, false, "no server block"},
		{".:53 {\n kubernetes cluster.local\n", 2, false, "ends inside a block"},
		{"}\n", 1, false, "closes no block"},
		{".:53 {\n}\n}\n", 3, false, "closes no block"},
		{"{\n}\n", 1, false, "without an address"},
		{"a.org,", 1, false, "ends where the address"},
		{".:53 { kubernetes }\n", 1, false, "words follow"},
		{".:53 {\n kubernetes cluster.local { pods insecure }\n}\n", 2, false, "words follow"},
		{".:53 {\n kubernets cluster.local\n}\n", 2, false, `"kubernets"`},
		{".:53 {\n kubernetes in-addr.arpa. 10.0.0.0/8 {\n bad\n }\n}\n", 3, false, `"bad"`},
		{".:53 {\n kubernetes 10.0.0.0/8\n}\n", 2, false, "not a reverse zone"},
		{".:53 {\n kubernetes a.b\n kubernetes c.d\n}\n", 3, false, "twice"},
		{".:53 {\n kubernetes a.b {\n pods often\n }\n}\n", 3, false, `"often"`},
		{".:53 {\n kubernetes a.b {\n ttl 3601\n }\n}\n", 3, false, `"3601"`},
		{".:53 {\n kubernetes a.b {\n labels a in (\n }\n}\n", 3, false, "labels"},
		{".:53 {\n kubernetes a.b {\n namespaces x\n namespace_labels a=b\n }\n}\n", 2, false, "cannot both"},
		{".:53 {\n kubernetes a.b {\n zonal\n noendpoints\n }\n}\n", 2, false, "zonal"},
		{".:53 {\n kubernetes a.b {\n ignore everything\n }\n}\n", 3, false, `"everything"`},
		{".:53 {\n}\n.:53 {\n}\n", 3, false, "served twice"},
		{".:x:y {\n}\n", 1, false, "not a domain name"},
		{"a.b: {\n}\n", 1, false, "colon"},
		{".:53 {\n hosts {\n fallthrough\n 192.0.2.1 late\n }\n}\n", 4, false, "after fallthrough"},
		{".:53 {\n forward .\n}\n", 2, false, "a server"},
		{strings.Repeat("a {\n", 40), 18, false, "nest"},
		{".:53 {\n kubernetes a.b {\n multicluster a.b\n }\n}\n", 3, true, "multicluster"},
		{".:53 {\n rewrite name a b\n}\n", 2, true, "rewrite"},
		{".:53 {\n template IN A {\n }\n}\n", 2, true, "template"},
		{".:53 {\n hosts /etc/other\n}\n", 2, true, "/etc/other"},
		{".:53 {\n import common\n}\n", 2, true, "import"},
		{"import /etc/*.server\n", 1, true, "import"},
		{"(snip) {\n}\n", 1, true, "(snip)"},
		{".:{$PORT} {\n}\n", 1, true, "{$PORT}"},
		{".:53 {\n forward . {%UP%}\n}\n", 2, true, "{%UP%}"},
	} {
		f, err := ParseCorefile("Corefile", c.corefile)
		if err == nil {
			_, err = New(f, objects(t, web), Options{})
		}
		var bad *CorefileError
		var not *UnsupportedError
		switch {
		case c.unsupported && errors.As(err, &not) && not.Line == c.line:
		case !c.unsupported && errors.As(err, &bad) && bad.Line == c.line:
		default:
			t.Errorf("%q: %v; want line %d, unsupported %v", c.corefile, err, c.line, c.unsupported)
			continue
		}
		if !strings.Contains(err.Error(), c.words) || !strings.HasPrefix(err.Error(), fmt.Sprintf("Corefile:%d: ", c.line)) {
			t.Errorf("%q: %v; want the words %q", c.corefile, err, c.words)
		}
	}
}

func TestIsCorefile(t *testing.T) {
	for text, want := range map[string]bool{
		"# c\n\n.:53 {\n": true, "kubernetes cluster.local {\n": true, "cluster.local:53 10.0.0.0/8:53 {\r\n": true, DefaultCorefile: true,
		"{\n": false, "[{\n": false, "apiVersion: v1\n": false, "metadata: {\n": false, "*nat\n": false, "": false,
	} {
		if IsCorefile([]byte(text)) != want {
			t.Errorf("%q: not %v", text, want)
		}
	}
}
