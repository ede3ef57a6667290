package run

import (
	"fmt"
	"strings"
	"testing"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/input"
)

// services writes s Services with e endpoints each.
func services(s, e int) input.Source {
	var b strings.Builder
	b.WriteString(cluster)
	for i := range s {
		fmt.Fprintf(&b, `---
apiVersion: v1
kind: Service
metadata: {name: web-%d, namespace: default}
spec: {clusterIP: 10.96.%d.%d, clusterIPs: [10.96.%d.%d], ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-%d-x, namespace: default, labels: {kubernetes.io/service-name: web-%d}}
addressType: IPv4
ports: [{name: "", port: 8080}]
endpoints:
`, i, i/250, i%250+1, i/250, i%250+1, i, i)
		for k := range e {
			fmt.Fprintf(&b, "- addresses: [10.244.%d.%d]\n", i, k+1)
		}
	}
	return input.Source{Name: "services.yaml", Data: []byte(b.String())}
}

// Counted from kube-proxy's rules by hand: eight that stand without any Service; a Service has its jump from KUBE-SERVICES and
// its mark for sources outside the cluster, an endpoint its jump, its hairpin mark and its DNAT.
func TestNumberOfRules(t *testing.T) {
	for _, c := range []struct{ s, e int }{{1, 1}, {1, 5}, {7, 1}, {20, 3}, {100, 2}} {
		text, _, err := Rules([]input.Source{services(c.s, c.e)}, Options{}, packet.IPv4, true)
		if err != nil {
			t.Fatal(err)
		}
		nat, _, _ := strings.Cut(text, "*filter")
		if got, want := strings.Count(nat, "\n-A "), 8+c.s*(2+3*c.e); got != want {
			t.Errorf("%d Services of %d endpoints: %d nat rules, want %d", c.s, c.e, got, want)
		}
	}
}

// Manifests and dumps are told apart, and never mixed.
func TestInputsAreToldApart(t *testing.T) {
	dump := input.Source{Name: "a.save", Data: []byte("*nat\nCOMMIT\n")}
	if _, err := Load([]input.Source{services(1, 1), dump}, Options{}); err == nil || !strings.Contains(err.Error(), "mixed") {
		t.Errorf("mixed: %v", err)
	}
	if _, _, err := Rules([]input.Source{dump}, Options{}, packet.IPv4, true); err == nil || !strings.HasPrefix(err.Error(), "a.save:1: ") {
		t.Errorf("rules of a dump: %v", err)
	}
	if _, err := Load([]input.Source{{Name: "x", Data: []byte("hello there\n")}}, Options{}); err == nil || !strings.HasPrefix(err.Error(), "x:1: ") {
		t.Errorf("neither: %v", err)
	}
}

// What formats a section formats it within the file of all: each section comes back, and an error names the file's own line.
func TestSections(t *testing.T) {
	text := "# ipvsadm -Sn\n-A -t 10.96.0.10:80 -s rr\n-a -t 10.96.0.10:80 -r 10.244.1.5:8080 -m -w 1\n" +
		"# ipset save\n# addresses on kube-ipvs0\n10.96.0.10\n" +
		"# iptables-save\n*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n"
	got, err := FormatDump(input.Source{Name: "n", Data: []byte(text)})
	if err != nil || got != text {
		t.Errorf("%v\n%s", err, got)
	}
	for bad, place := range map[string]string{"10.96.0.10\n": "n:6:", ":OUTPUT ACCEPT [0:0]\n": "n:11:"} {
		_, err := FormatDump(input.Source{Name: "n", Data: []byte(strings.Replace(text, bad, "-A nonsense\n", 1))})
		if err == nil || !strings.HasPrefix(err.Error(), place) {
			t.Errorf("want an error at %s, got %v", place, err)
		}
	}
}
