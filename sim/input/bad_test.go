package input

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

const svcHead = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n"

func badService(spec string) string { return svcHead + spec }

func badConfig(body string) string {
	return "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n" + body
}

var badInputs = []struct{ name, in, want string }{
	{"port too large", badService("  clusterIP: 10.96.0.1\n  ports:\n  - port: 99999\n"), `f:7:11: Service default/web: spec.ports[0].port: port 99999 is not between 1 and 65535`},
	{"port zero", badService("  clusterIP: 10.96.0.1\n  ports:\n  - port: 0\n"), `f:7:11: Service default/web: spec.ports[0].port: port 0 is not between 1 and 65535`},
	{"octet", badService("  clusterIP: 10.0.0.999\n  ports: [{port: 80}]\n"), `f:5:14: Service default/web: spec.clusterIP: "10.0.0.999" is not an IP address: 999 is larger than 255`},
	{"source range", badService("  clusterIP: 10.0.0.9\n  type: LoadBalancer\n  loadBalancerSourceRanges: [10.0.0.0/33]\n  ports: [{port: 80}]\n"), `f:7:30: Service default/web: spec.loadBalancerSourceRanges[0]: "10.0.0.0/33" is not a CIDR such as 10.0.0.0/16 or fd00::/48: a prefix has at most 32 bits`},
	{"protocol", badService("  clusterIP: 10.0.0.9\n  ports: [{port: 80, protocol: ICMP}]\n"), `f:6:32: Service default/web: spec.ports[0].protocol: protocol "ICMP" is not one of TCP, UDP, SCTP`},
	{"protocol in small letters", badService("  clusterIP: 10.0.0.9\n  ports: [{port: 80, protocol: tcp}]\n"), `f:6:32: Service default/web: spec.ports[0].protocol: protocol "tcp" is not one of TCP, UDP, SCTP: write it in capitals`},
	{"word for a port", badService("  ports: [{port: http}]\n"), `f:5:18: spec.ports[0].port must be a whole number, not a string "http"`},
	{"quoted port", badService("  ports: [{port: \"80\"}]\n"), `f:5:18: spec.ports[0].port must be a whole number, not a string "80": it stands in quotes`},
	{"the Norway trap", "apiVersion: v1\nkind: Node\nmetadata: {name: no}\n", `f:3:18: metadata.name must be a string, not a boolean "no": YAML reads the unquoted no as the boolean false; put it in quotes`},
	{"the octal trap", badService("  ports: [{port: 0777}]\n"), `f:5:18: spec.ports[0].port: YAML reads 0777 as the octal number 511: write the decimal number`},
	{"octal in targetPort", badService("  ports: [{port: 80, targetPort: 0777}]\n"), `f:5:34: spec.ports[0].targetPort: YAML reads 0777 as the octal number 511: write the decimal number`},
	{"octal label", "apiVersion: v1\nkind: Node\nmetadata: {name: a, labels: {rack: 0777}}\n", `f:3:36: metadata.labels.rack must be a string, not a number "0777": YAML reads 0777 as the octal number 511; put it in quotes`},
	{"numeric label", "apiVersion: v1\nkind: Node\nmetadata: {name: a, labels: {rack: 12}}\n", `f:3:36: metadata.labels.rack must be a string, not a number "12"; put it in quotes`},
	{"duplicate key", badService("  clusterIP: 10.0.0.9\n  ports: [{port: 80}]\n  clusterIP: 10.0.0.8\n"), `f:7:3: key "clusterIP" stands twice in spec (first in line 5)`},
	{"list for a mapping", "apiVersion: v1\nkind: Service\nmetadata: [name]\n", `f:3:11: metadata must be a mapping, not a list`},
	{"no name", "apiVersion: v1\nkind: Service\nmetadata: {}\n", `f:3:11: Service without metadata.name`},
	{"no kind", "apiVersion: v1\nmetadata: {}\n", `f:1:1: an object without a kind: it begins with "apiVersion"`},
	{"old API", "apiVersion: discovery.k8s.io/v1beta1\nkind: EndpointSlice\nmetadata: {name: x}\n", `f:1:13: EndpointSlice of apiVersion "discovery.k8s.io/v1beta1" is not read, only discovery.k8s.io/v1`},
	{"typographic quotes as a value", badConfig("mode: ipvs\nipvs:\n  scheduler: “rr“\n"), `f:5:14: KubeProxyConfiguration: ipvs.scheduler: "“rr“" is not one of rr, wrr, lc, wlc, fo, ovf, lblc, lblcr, dh, sh, mh, sed, nq, twos: typographic quotes are part of the value; write " or ' or none`},
	{"one typographic quote", badConfig("mode: ipvs\nipvs:\n  scheduler: \"rr“\n"), `f:5:14: not YAML: a quoted value begins here and does not end: "scheduler: \"rr“" (it holds typographic quotes: write " or ')`},
	{"mode", badConfig("mode: iptable\n"), `f:3:7: KubeProxyConfiguration: mode: "iptable" is not one of iptables, ipvs, nftables; did you mean "iptables"?`},
	{"windows mode", badConfig("mode: kernelspace\n"), `f:3:7: KubeProxyConfiguration: mode: kernelspace is a mode of Windows nodes`},
	{"masquerade bit", badConfig("iptables: {masqueradeBit: 32}\n"), `f:3:27: KubeProxyConfiguration: iptables.masqueradeBit: 32 is not between 0 and 31`},
	{"duration", badConfig("iptables: {syncPeriod: 30}\n"), `f:3:24: iptables.syncPeriod: "30" is not valid: `},
	{"cluster CIDRs of one family", badConfig("clusterCIDR: 10.0.0.0/16,10.1.0.0/16\n"), `f:3:14: KubeProxyConfiguration: clusterCIDR: "10.0.0.0/16,10.1.0.0/16" names two ranges of one family`},
	{"tabs", "apiVersion: v1\nkind: Service\nmetadata:\n\tname: web\n", `f:4:1: not YAML: `},
	{"NUL", "apiVersion: v1\nkind: \x00\n", `f:2:7: control character "\x00": not a text file`},
	{"invalid UTF-8", "apiVersion: v1\nkind: S\xffervice\n", `f:2:8: byte 0xff is not valid UTF-8`},
	{"a text", "Dear all,\nplease find the rules below\n", `f:1: neither YAML nor a dump: it begins with "Dear all,"`},
	{"a dump", "# Generated by iptables-save\n*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n", `f:1: this is a dump (iptables-save), where manifests are wanted`},
	{"endpoint of another family", "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: x, labels: {kubernetes.io/service-name: x}}\naddressType: IPv4\nendpoints:\n- addresses: ['fd00::1']\n", `f:6:15: EndpointSlice default/x: endpoints[0].addresses[0]: "fd00::1" is not of addressType IPv4`},
	{"broken item", "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Node\n  metadata: {name: a}\n- apiVersion: v1\n  kind: Service\n  metadata: {name: b}\n  spec: {clusterIP: 10.0.0.1, ports: [{port: -1}]}\n- apiVersion: v1\n  kind: Node\n  metadata: {name: c}\n", `f:10:46: Service default/b: spec.ports[0].port: port -1 is not between 1 and 65535`},
	{"broken item in JSON", "{\"kind\": \"List\", \"apiVersion\": \"v1\", \"items\": [\n  {\"kind\": \"Node\", \"apiVersion\": \"v1\", \"metadata\": {\"name\": \"a\"}},\n  {\"kind\": \"Service\", \"apiVersion\": \"v1\", \"metadata\": {\"name\": \"b\"},\n   \"spec\": {\"clusterIP\": \"10.0.0.999\", \"ports\": [{\"port\": 80}]}}\n]}\n", `f:4:26: Service default/b: spec.clusterIP: "10.0.0.999" is not an IP address: 999 is larger than 255`},
	{"an item that is a word", "apiVersion: v1\nkind: List\nitems: [a]\n", `f:3:9: items[0] must be an object, not a string "a"`},
	{"JSON cut off", `{"kind": "List", "apiVersion": "v1", "items": [{"kind": "Node"`, `f:1:63: JSON ends where "," or "}" should stand`},
	{"cluster IP twice", badService("  clusterIP: 10.0.0.9\n  ports: [{port: 80}]\n") + "---\n" + strings.Replace(badService("  clusterIP: 10.0.0.9\n  ports: [{port: 81}]\n"), "web", "web2", 1), `f:12:14: Service default/web2: clusterIP 10.0.0.9 is already taken by Service default/web (f:5:14): the API server allocates it once`},
	{"node port twice", badService("  clusterIP: 10.0.0.8\n  type: NodePort\n  ports: [{port: 80, nodePort: 30080}]\n") + "---\n" + strings.Replace(badService("  clusterIP: 10.0.0.9\n  type: NodePort\n  ports: [{port: 81, nodePort: 30080}]\n"), "web", "web2", 1), `f:15:32: Service default/web2: nodePort 30080/TCP is already taken by Service default/web (f:7:32): the API server allocates it once`},
	{"old Macintosh line ends", "kind: Node\r---\rkind: Node\r", `f:1: more than one document between two markers`},
	{"undefined alias", "apiVersion: v1\nkind: *x\n", `f:2:`},
	{"alias of itself", "apiVersion: v1\nkind: List\nitems: &a [*a]\n", `f:3:`},
}

// Every fault of an input is one line that begins with the place of the fault and quotes it.
func TestBadInput(t *testing.T) {
	for _, c := range badInputs {
		t.Run(c.name, func(t *testing.T) {
			o, err := Read([]Source{{Name: "f", Data: []byte(c.in)}})
			if err == nil {
				_, _, err = o.State(NodeOptions{})
			}
			if err == nil {
				t.Fatalf("accepted; want %s", c.want)
			}
			if got := err.Error(); !strings.HasPrefix(got, c.want) || strings.Contains(got, "\n") {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			var p *ParseError
			if !errors.As(err, &p) || p.Line == 0 {
				t.Errorf("no ParseError with a line: %#v", err)
			}
		})
	}
}

// Snippets show the line and point at the column, also in a line of megabytes.
func TestSnippet(t *testing.T) {
	_, err := Read([]Source{{Name: "f", Data: []byte(badService("  ports: [{port: http}]\n"))}})
	var p *ParseError
	if !errors.As(err, &p) || p.Snippet != "  ports: [{port: http}]\n                 ^" {
		t.Errorf("snippet:\n%s", p.Snippet)
	}
	long := `{"apiVersion":"v1","kind":"Node","metadata":{"name":"a","annotations":{"x":"` + strings.Repeat("y", 3<<20) + `"}},"spec":7}`
	_, err = Read([]Source{{Name: "f", Data: []byte(long)}})
	if !errors.As(err, &p) || !strings.Contains(p.Snippet, `"spec":7`) || len(p.Snippet) > 400 {
		t.Errorf("%v\n%s", err, p.Snippet)
	}
}

// Several Nodes and no name of the local one: the error names them.
func TestNodeChoice(t *testing.T) {
	node := func(name string) string {
		return fmt.Sprintf("---\napiVersion: v1\nkind: Node\nmetadata: {name: %s}\nstatus: {addresses: [{type: InternalIP, address: 10.0.0.1}]}\n", name)
	}
	two, one := node("b")+node("a"), node("a")
	for _, c := range []struct{ in, flag, want, err string }{
		{two, "", "", "2 Nodes and no hostnameOverride: choose the local one with --node: a, b"},
		{two, "a", "a", ""},
		{two, "c", "", `no Node is named "c" (--node); there are: a, b`},
		{two + "---\n" + badConfig("hostnameOverride: B\n"), "", "b", ""},
		{two + "---\n" + badConfig("hostnameOverride: x\n"), "", "", `no Node is named "x" (hostnameOverride); there are: a, b`},
		{two + "---\n" + badConfig("hostnameOverride: a\n"), "b", "b", ""},
		{one, "", "a", ""},
		{one + "---\n" + badConfig("hostnameOverride: x\n"), "", "a", ""},
		{one, "b", "", `no Node is named "b" (--node); there are: a`},
		{badConfig(""), "", "node", ""},
	} {
		o, err := Read([]Source{{Name: "f", Data: []byte(c.in)}})
		if err != nil {
			t.Fatal(err)
		}
		st, rep, err := o.State(NodeOptions{Node: c.flag})
		if c.err != "" {
			var choice *NodeChoiceError
			if !errors.As(err, &choice) || err.Error() != c.err {
				t.Errorf("--node %q: %v, want %s", c.flag, err, c.err)
			}
			continue
		}
		if err != nil || st.Node.Name != c.want || st.Node.StandIn != (c.want == "node") || st.Node.StandIn && len(rep.Warnings) == 0 {
			t.Errorf("--node %q: %+v %v %v", c.flag, st.Node, rep.Warnings, err)
		}
	}
}
