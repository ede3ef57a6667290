package run

import (
	"strings"
	"testing"

	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/input"
)

const ipvsManifests = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clusterCIDR: 10.244.0.0/16
ipvs: {scheduler: SCHEDULER}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.96.0.50, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: "", port: 8080}]
endpoints: [{addresses: [10.244.1.5]}, {addresses: [10.244.2.7]}, {addresses: [10.244.3.9]}]
`

// The next pick and the long run. Expectations: rr, lc and wlc begin with the server that was added last and share evenly; sh has
// 256 buckets for three servers, one of which gets a bucket more.
func TestExplainIPVS(t *testing.T) {
	for scheduler, want := range map[string]struct {
		next    string
		picks   uint64
		uniform bool
		most    string
	}{
		"rr":  {"10.244.3.9:8080", 3, true, "1/3"},
		"lc":  {"10.244.3.9:8080", 3, true, "1/3"},
		"wlc": {"10.244.3.9:8080", 3, true, "1/3"},
		"sh":  {"", 256, false, "43/128"},
	} {
		m := strings.ReplaceAll(ipvsManifests, "SCHEDULER", scheduler)
		s, err := Load([]input.Source{{Name: "m", Data: []byte(m)}}, Options{Mode: service.ModeIPVS})
		if err != nil {
			t.Fatal(err)
		}
		e, err := s.Explain(ExplainRequest{Service: "default/web"})
		if err != nil {
			t.Fatal(err)
		}
		if e.NextPick == nil || e.LongRun == nil {
			t.Fatalf("%s: %+v", scheduler, e)
		}
		if want.next != "" && e.NextPick.Endpoint != want.next || e.NextPick.Scheduler != scheduler {
			t.Errorf("%s: next %+v", scheduler, e.NextPick)
		}
		if e.LongRun.Picks != want.picks || e.Uniform != want.uniform || e.LongRun.Backends[0].Probability != want.most || len(e.LongRun.Backends) != 3 {
			t.Errorf("%s: %+v, uniform %v", scheduler, e.LongRun, e.Uniform)
		}
		if len(e.Backends) != 1 || e.Backends[0].Endpoint != e.NextPick.Endpoint || e.Backends[0].Probability != "1" {
			t.Errorf("%s: %+v", scheduler, e.Backends)
		}
	}
}
