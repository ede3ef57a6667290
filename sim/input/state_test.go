package input

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

func stateOf(t *testing.T, in string, opt NodeOptions) (service.State, Report) {
	t.Helper()
	o, err := Read([]Source{{Name: "f", Data: []byte(in)}})
	if err != nil {
		t.Fatal(err)
	}
	st, rep, err := o.State(opt)
	if err != nil {
		t.Fatal(err)
	}
	return st, rep
}

// What the API server defaults is defaulted: expectations from k8s.io/api's field documentation.
func TestServiceDefaults(t *testing.T) {
	st, _ := stateOf(t, `
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.7
  sessionAffinity: ClientIP
  ports: [{port: 80}, ]
status: {loadBalancer: {ingress: [{ip: 203.0.113.1}, {hostname: lb.example}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv6
ports: [{port: 8080}, {name: any}]
endpoints:
- addresses: ["fd00::1"]
- addresses: ["fd00::2"]
  conditions: {ready: false, terminating: true}
  targetRef: {kind: Pod, name: web-0}
`, NodeOptions{})
	want := service.Service{
		Name: service.Name{Namespace: "default", Name: "web"}, Type: service.LoadBalancer,
		ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.7")}, IPFamilies: []packet.Family{packet.IPv4},
		Ports:               []service.ServicePort{{Protocol: packet.TCP, Port: 80, TargetPort: "80"}},
		LoadBalancerIngress: []service.Ingress{{IP: netip.MustParseAddr("203.0.113.1")}, {Hostname: "lb.example"}},
		ExternalPolicy:      service.PolicyCluster, InternalPolicy: service.PolicyCluster,
		AffinityTimeout: 3 * time.Hour, AllocateNodePorts: true,
	}
	addrs := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	if d := cmp.Diff(want, st.Services[0], addrs, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
	slice := service.EndpointSlice{
		Name: service.Name{Namespace: "default", Name: "web-1"}, Service: service.Name{Namespace: "default", Name: "web"},
		Labels: map[string]string{"kubernetes.io/service-name": "web"}, Family: packet.IPv6,
		Ports: []service.EndpointPort{{Protocol: packet.TCP, Port: 8080}, {Name: "any", Protocol: packet.TCP}},
		Endpoints: []service.Endpoint{
			{Addresses: []netip.Addr{netip.MustParseAddr("fd00::1")}, Ready: true, Serving: true},
			{Addresses: []netip.Addr{netip.MustParseAddr("fd00::2")}, Serving: true, Terminating: true, TargetRef: "Pod/default/web-0"},
		},
	}
	if d := cmp.Diff(slice, st.Slices[0], addrs, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
}

// Configuration: kube-proxy's defaults, and the block that holds in each mode.
func TestConfig(t *testing.T) {
	st, rep := stateOf(t, "# nothing\n", NodeOptions{})
	c := st.Config
	if c.Mode != service.ModeIPTables || rep.ModeFrom != "default" || c.MasqueradeBit != 14 || !c.LocalhostNodePorts || c.MinSyncPeriod != time.Second || c.SyncPeriod != 30*time.Second || c.DetectLocalMode != service.LocalClusterCIDR || c.IPVS.Scheduler != "rr" {
		t.Errorf("defaults: %+v", c)
	}
	in := badConfig(`mode: ipvs
clusterCIDR: 10.244.0.0/16,fd00:244::/48
hostnameOverride: Worker-1
iptables: {masqueradeBit: 20, localhostNodePorts: false, minSyncPeriod: 2s}
nftables: {masqueradeAll: true, syncPeriod: 1m}
ipvs: {scheduler: wrr, excludeCIDRs: [10.1.2.3/16], tcpTimeout: 5m}
nodePortAddresses: [primary]
futureField: 1
`)
	st, rep = stateOf(t, in, NodeOptions{})
	c = st.Config
	if c.Mode != service.ModeIPVS || rep.ModeFrom != "configuration" || c.MasqueradeBit != 20 || c.MasqueradeAll || c.LocalhostNodePorts || c.MinSyncPeriod != 0 ||
		c.IPVS.Scheduler != "wrr" || c.IPVS.ExcludeCIDRs[0].String() != "10.1.0.0/16" || c.IPVS.TCPTimeout != 5*time.Minute || len(c.ClusterCIDRs) != 2 {
		t.Errorf("ipvs: %+v", c)
	}
	if w := rep.Warnings[0].String(); w != `f:10:1: warning: KubeProxyConfiguration: strict decoding failed, unknown field "futureField": kube-proxy decodes leniently and ignores it` {
		t.Error(w)
	}
	st, rep = stateOf(t, in, NodeOptions{Mode: service.ModeNFTables, NFAcct: true})
	c = st.Config
	if c.Mode != service.ModeNFTables || rep.ModeFrom != "flag" || c.MasqueradeBit != 14 || !c.MasqueradeAll || c.SyncPeriod != time.Minute || !c.NFAcct {
		t.Errorf("nftables: %+v", c)
	}
	// A fault in the ipvs block matters in ipvs mode only, as kube-proxy validates it.
	o, err := Read([]Source{{Name: "f", Data: []byte(badConfig("ipvs:\n  scheduler: rrr\n"))}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.State(NodeOptions{Mode: service.ModeIPTables}); err != nil {
		t.Errorf("iptables mode with a bad scheduler: %v", err)
	}
	if _, _, err := o.State(NodeOptions{Mode: service.ModeIPVS}); err == nil || !strings.HasPrefix(err.Error(), "f:4:14: KubeProxyConfiguration: ipvs.scheduler: \"rrr\"") {
		t.Errorf("ipvs mode with a bad scheduler: %v", err)
	}
}

const configMap = `apiVersion: v1
kind: ConfigMap
metadata: {name: kube-proxy, namespace: kube-system}
data:
  config.conf: |-
    apiVersion: kubeproxy.config.k8s.io/v1alpha1
    kind: KubeProxyConfiguration
    mode: "MODE"
    ipvs:
      scheduler: lc
  kubeconfig.conf: |-
    apiVersion: v1
`

// The configuration inside kubeadm's ConfigMap counts, and faults in it are placed in the file.
func TestKubeadmConfigMap(t *testing.T) {
	st, _ := stateOf(t, strings.Replace(configMap, "MODE", "ipvs", 1), NodeOptions{})
	if st.Config.Mode != service.ModeIPVS || st.Config.IPVS.Scheduler != "lc" {
		t.Errorf("%+v", st.Config)
	}
	st, rep := stateOf(t, strings.Replace(configMap, "MODE", "", 1), NodeOptions{})
	if st.Config.Mode != service.ModeIPTables || rep.ModeFrom != "default" {
		t.Errorf("%+v", st.Config)
	}
	for _, c := range []struct{ in, want string }{
		{strings.Replace(configMap, "MODE", "ipsv", 1), `f:8: KubeProxyConfiguration: mode: "ipsv" is not one of iptables, ipvs, nftables; did you mean "ipvs"?`},
		{strings.Replace(configMap, `"MODE"`, "\"ipvs“", 1), `f:8: key "config.conf": not YAML: `},
		{"{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"kube-proxy\", \"namespace\": \"kube-system\"},\n\"data\": {\"config.conf\": \"apiVersion: kubeproxy.config.k8s.io/v1alpha1\\nkind: KubeProxyConfiguration\\nmode: x\\n\"}}", `f:2:25: KubeProxyConfiguration: mode: "x" is not one of`},
	} {
		_, err := Read([]Source{{Name: "f", Data: []byte(c.in)}})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
}

// The same objects in every dress: documents, lists, typed lists, JSON in its forms, with BOM and Windows newlines.
func TestForms(t *testing.T) {
	svc := `{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"clusterIP":"10.0.0.1","ports":[{"port":80}]}}`
	bare := `{"metadata":{"name":"web"},"spec":{"clusterIP":"10.0.0.1","ports":[{"port":80}]}}`
	node := `{"apiVersion":"v1","kind":"Node","metadata":{"name":"node-1"},"status":{"addresses":[{"type":"InternalIP","address":"10.0.0.2"}]}}`
	block := "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  clusterIP: 10.0.0.1\n  ports:\n  - port: 80\n"
	nodeYAML := "apiVersion: v1\nkind: Node\nmetadata:\n  name: node-1\nstatus:\n  addresses:\n  - {type: InternalIP, address: 10.0.0.2}\n"
	typed := `{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[` + bare + `]}`
	for name, in := range map[string]string{
		"documents":           block + "---\n" + nodeYAML,
		"documents, CRLF":     strings.ReplaceAll(block+"---\n"+nodeYAML, "\n", "\r\n"),
		"documents, BOM":      "\ufeff" + block + "---\n" + nodeYAML,
		"leading dots":        "...\n---\n" + block + "...\n---\n" + nodeYAML,
		"empty documents":     "---\n---\n# x\n---\n" + block + "---\n---\n" + nodeYAML + "---\n",
		"a directive":         "%YAML 1.1\n---\n" + block + "---\n" + nodeYAML,
		"flow YAML, one":      "{apiVersion: v1, kind: List, items: [" + svc + "," + node + "]} # x\n",
		"flow YAML":           svc + "\n---\n" + node + "\n",
		"two JSON values":     svc + node,
		"NDJSON":              svc + "\n" + node + "\n",
		"NDJSON, CRLF, BOM":   "\ufeff" + svc + "\r\n" + node + "\r\n",
		"array":               "[" + svc + ",\n" + node + "]",
		"List":                `{"apiVersion":"v1","items":[` + svc + "," + node + `],"kind":"List"}`,
		"List in a List":      `{"apiVersion":"v1","items":[{"apiVersion":"v1","items":[` + svc + `],"kind":"List"},` + node + `],"kind":"List"}`,
		"ServiceList":         typed + node,
		"YAML List":           "apiVersion: v1\nitems:\n- " + strings.TrimSpace(strings.ReplaceAll(block, "\n", "\n  ")) + "\n- " + strings.TrimSpace(strings.ReplaceAll(nodeYAML, "\n", "\n  ")) + "\nkind: List\n",
		"JSON inside YAML":    "apiVersion: v1\nkind: List\nitems:\n- " + svc + "\n- " + node + "\n",
		"anchors and merging": "x-common: &c {apiVersion: v1}\n<<: *c\nkind: List\nitems:\n- <<: *c\n  kind: Service\n  metadata: {name: web}\n  spec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}\n- {<<: *c, kind: Node, metadata: {name: node-1}, status: {addresses: [{type: InternalIP, address: 10.0.0.2}]}}\n",
	} {
		o, err := Read([]Source{{Name: "f", Data: []byte(in)}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		st, rep, err := o.State(NodeOptions{})
		if err != nil || len(st.Services) != 1 || st.Services[0].Ports[0].Port != 80 || st.Node.Name != "node-1" || len(rep.Warnings) > 0 {
			t.Errorf("%s: %+v, %v, %v", name, st.Services, rep.Warnings, err)
		}
	}
}

// Dumps of operators: what is well-formed is read, what the API server refuses is refused, oddities are listed.
func TestDumps(t *testing.T) {
	for name, want := range map[string]string{
		"01-hard-way.yaml":          "iptables 10.200.0.0/16",
		"02-minimal-no-mode.yaml":   "iptables 10.200.0.0/16",
		"03-kubeadm-multi-doc.yaml": "ipvs ",
		"04-xcluster-dual.yaml":     "ipvs 11.0.0.0/16,1100::/48",
		"05-kind-ipvs.yaml":         "ipvs ",
		"01-calico-no-v4.yaml":      "iptables ",
		"02-slice-hints.yaml":       "02-slice-hints.yaml:1:1: EndpointSlice default/example-service-abc123: addressType: missing; it must be IPv4 or IPv6",
		"03-slice-basic.yaml":       "iptables ",
		"04-no-selector.yaml":       "iptables ",
	} {
		o, err := readFiles(t, "testdata/dumps/"+name)
		got := ""
		if err != nil {
			got = err.Error()
		} else if st, _, err := o.State(NodeOptions{}); err != nil {
			got = err.Error()
		} else {
			var cidrs []string
			for _, p := range st.Config.ClusterCIDRs {
				cidrs = append(cidrs, p.String())
			}
			got = string(st.Config.Mode) + " " + strings.Join(cidrs, ",")
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// Warnings: listed with their place, where kube-proxy carries on.
func TestWarnings(t *testing.T) {
	_, rep := stateOf(t, `apiVersion: v1
kind: Service
metadata: {name: web, labls: {}}
spec: {clusterIP: 10.0.0.1, ports: [{port: 80}], sesionAffinity: None}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: lost-1
  labels: {kubernetes.io/service-name: lost}
addressType: IPv4
endpoints: []
---
apiVersion: v1
kind: Endpoints
metadata: {name: web}
subsets: [{addresses: [{ip: 10.1.0.1}], ports: [{port: 8080}]}]
`, NodeOptions{})
	want := []string{
		`f:3:23: warning: Service web: field "metadata.labls" is not known and ignored; did you mean "labels"?`,
		`f:4:50: warning: Service web: field "spec.sesionAffinity" is not known and ignored; did you mean "sessionAffinity"?`,
		`f:6:1: warning: Deployment (apps/v1) is ignored: neither kube-proxy nor cluster DNS reads it`,
		`f: warning: no Node: a stand-in named node, without addresses, Pod CIDR and local endpoints, takes its place`,
		`f:18:1: warning: Endpoints default/web is read as the EndpointSlices that its mirroring controller makes of it`,
		`f:14:40: warning: EndpointSlice default/lost-1 belongs to Service default/lost, which is not given: kube-proxy makes no rules for it`,
	}
	var got []string
	for _, w := range rep.Warnings {
		got = append(got, w.String())
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// Detect tells dumps from manifests by their first telling line.
func TestDetect(t *testing.T) {
	for in, want := range map[string]Kind{
		"apiVersion: v1\n":                                   KindManifests,
		"\ufeff# x\n\n---\na: 1\n":                           KindManifests,
		`{"apiVersion": "v1"}`:                               KindManifests,
		`[{"apiVersion": "v1"}]`:                             KindManifests,
		"- apiVersion: v1\n":                                 KindManifests,
		"# Generated by iptables-save v1.8.9\n*nat\n":        KindIPTables,
		"* nat\n-N X\n":                                      KindIPTables,
		"-P INPUT ACCEPT\n":                                  KindIPTables,
		"[12:720] -A KUBE-SERVICES -j RETURN\n":              KindIPTables,
		":INPUT ACCEPT [0:0]\n":                              KindIPTables,
		"-A KUBE-SERVICES -d 10.0.0.1/32 -j KUBE-SVC-X\n":    KindIPTables,
		"-A -t 10.96.0.1:443 -s rr\n":                        KindIPVSAdm,
		"-a -t 10.96.0.1:443 -r 10.0.0.1:6443 -m -w 1\n":     KindIPVSAdm,
		"IP Virtual Server version 1.2.1 (size=4096)\n":      KindIPVSAdm,
		"create KUBE-CLUSTER-IP hash:ip,port family inet\n":  KindIPSet,
		"add KUBE-CLUSTER-IP 10.96.0.1,tcp:443\n":            KindIPSet,
		"Name: KUBE-CLUSTER-IP\n":                            KindIPSet,
		"table ip kube-proxy {\n":                            KindNFT,
		"add table ip kube-proxy { comment \"x\" ; }\n":      KindNFT,
		"#!/usr/sbin/nft -f\nflush ruleset\n":                KindNFT,
		`{"nftables": [{"metainfo": {}}]}`:                   KindNFTJSON,
		"# ipvsadm -Sn\n-A -t 10.96.0.1:443 -s rr\n":         KindSections,
		"tcp 6 86399 ESTABLISHED src=1.2.3.4 dst=5.6.7.8 \n": KindConntrack,
		"Dear all,\n":                                        KindUnknown,
		"":                                                   KindUnknown,
		"\x7fELF\x02\x01":                                    KindUnknown,
	} {
		if got := Detect([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for pattern, want := range map[string]Kind{"conformance": KindManifests, "flows": KindManifests, "sequences": KindManifests, "dumps": KindManifests} {
		entries, err := os.ReadDir("testdata/" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			b, err := os.ReadFile("testdata/" + pattern + "/" + e.Name())
			if err != nil {
				t.Fatal(err)
			}
			if got := Detect(b); got != want {
				t.Errorf("%s: %q", e.Name(), got)
			}
		}
	}
}
