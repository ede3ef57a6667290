package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/scenarios"
	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/kernel"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/scenario"
)

func TestMain(m *testing.M) {
	box.Init()
	os.Exit(m.Run())
}

// needKernel skips a test that wants a real kernel unless it was asked for.
func needKernel(t *testing.T) {
	t.Helper()
	if os.Getenv("SVCLAB_KERNEL_TESTS") != "1" {
		t.Skip("not asked for: kernel tests run under `make kernel-test` (SVCLAB_KERNEL_TESTS=1)")
	}
}

// needFigures skips what takes minutes unless it was asked for.
func needFigures(t *testing.T) {
	t.Helper()
	needKernel(t)
	if os.Getenv("SVCLAB_FIGURES") != "1" {
		t.Skip("not asked for: takes minutes; SVCLAB_FIGURES=1 runs it")
	}
}

var variants = []datapath.Variant{datapath.Legacy, datapath.NFT}

// layout writes objects of a node with Services of so many endpoints each, in one family. Every second endpoint is local.
type layout struct {
	v6       bool
	services []svc
}

type svc struct {
	name      string
	endpoints int
	extra     string // of the Service's spec, two blanks deep
	proto     string
}

func (c layout) addr(v4, v6 string) string {
	if c.v6 {
		return v6
	}
	return v4
}

func (c layout) yaml() string {
	var b strings.Builder
	kind := c.addr("IPv4", "IPv6")
	fmt.Fprintf(&b, `
  - apiVersion: v1
    kind: Node
    metadata: {name: worker-1}
    spec: {podCIDRs: ["%s"]}
    status: {addresses: [{type: InternalIP, address: "%s"}]}
  - apiVersion: kubeproxy.config.k8s.io/v1alpha1
    kind: KubeProxyConfiguration
    hostnameOverride: worker-1
    clusterCIDR: "%s"
`, c.addr("10.244.36.0/24", "fd00:244:36::/64"), c.addr("192.168.10.11", "fd00:168::11"), c.addr("10.244.0.0/16", "fd00:244::/32"))
	for i, s := range c.services {
		proto := s.proto
		if proto == "" {
			proto = "TCP"
		}
		fmt.Fprintf(&b, `  - apiVersion: v1
    kind: Service
    metadata: {name: %s, namespace: default}
    spec:
      type: NodePort
      ipFamilies: [%s]
      clusterIP: "%s"
      clusterIPs: ["%[3]s"]
      selector: {app: x}
      ports: [{port: 80, protocol: %s, targetPort: 80, nodePort: %d}]
%s
  - apiVersion: discovery.k8s.io/v1
    kind: EndpointSlice
    metadata: {name: %[1]s-a, namespace: default, labels: {kubernetes.io/service-name: %[1]s}}
    addressType: %[2]s
    ports: [{name: "", port: 80, protocol: %[4]s}]
    endpoints:
`, s.name, kind, c.addr(fmt.Sprintf("10.96.0.%d", i+10), fmt.Sprintf("fd00:96::%d", i+10)), proto, 30000+i, s.extra)
		for e := range s.endpoints {
			side := 36 + e%2
			fmt.Fprintf(&b, "    - {addresses: [\"%s\"], nodeName: worker-%d, conditions: {ready: true}}\n",
				c.addr(fmt.Sprintf("10.244.%d.%d", side, 100+e), fmt.Sprintf("fd00:244:%d::%d", side, 1000+100*i+e)), 1+e%2)
		}
	}
	return b.String()
}

// story is a scenario around a cluster.
func (c layout) story(t *testing.T, traffic ...string) *scenario.Scenario {
	t.Helper()
	text := "apiVersion: svclab/v1alpha1\nkind: Scenario\nmetadata: {name: story}\nspec:\n  objects:" + c.yaml() + "  traffic:\n"
	for _, l := range traffic {
		text += "  - " + l + "\n"
	}
	sc, err := scenario.Read("story.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return sc
}

// compare runs a comparison, or skips with the typed reason for which this machine cannot.
func compare(t *testing.T, sc *scenario.Scenario, o CompareOptions) *report.Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if o.Vehicle == "" {
		o.Vehicle = kernel.VehicleRootless
	}
	r, err := Compare(ctx, sc, scenarios.Files, o)
	var missing *box.MissingError
	if errors.As(err, &missing) {
		t.Skipf("%s: %s; to mend it: %s", missing.What, missing.Reason, missing.Mend)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// check finds a check by name.
func checkNamed(t *testing.T, r *report.Report, name string) report.Check {
	t.Helper()
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no check %q in %+v", name, r.Checks)
	return report.Check{}
}

// agreed fails unless nothing differs; shares and counters may stay open.
func agreed(t *testing.T, r *report.Report) {
	t.Helper()
	for _, c := range r.Checks {
		open := strings.HasPrefix(c.Name, "counters") || strings.HasSuffix(c.Name, "shares") || strings.HasSuffix(c.Name, "memory")
		if c.Verdict == report.Pass || open && c.Verdict == report.Inconclusive {
			continue
		}
		t.Errorf("%s: %s: %s %q", c.Name, c.Verdict, c.Reason, c.Differences)
	}
	if r.Kernel == nil || r.Kernel.Release == "" || len(r.Known) == 0 {
		t.Errorf("kernel %+v, known differences %+v", r.Kernel, r.Known)
	}
}

// shippedConnections bounds those of one traffic, so that all scenarios in both variants take a minute or two.
const shippedConnections = 200

// TestKernelCompareShipped: every scenario that ships agrees with the kernel, whatever its own verdict, at a few hundred
// connections each. With SVCLAB_FIGURES=1 at all of its connections.
func TestKernelCompareShipped(t *testing.T) {
	needKernel(t)
	files, err := scenarios.Files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".yaml") {
			continue
		}
		text, err := scenarios.Files.ReadFile(f.Name())
		if err != nil || !strings.Contains(string(text), "kind: Scenario") {
			continue
		}
		for _, v := range variants {
			t.Run(fmt.Sprintf("%s/%s", v, strings.TrimSuffix(f.Name(), ".yaml")), func(t *testing.T) {
				sc, err := scenario.Read(f.Name(), text)
				if err != nil {
					t.Fatal(err)
				}
				full := os.Getenv("SVCLAB_FIGURES") == "1"
				if n := manyEndpoints(sc); n > 200 && !full {
					t.Skipf("not asked for: %d endpoints take half a minute; SVCLAB_FIGURES=1 runs it", n)
				}
				for i := range sc.Spec.Traffic {
					if !full {
						sc.Spec.Traffic[i].Connections = min(sc.Spec.Traffic[i].Connections, shippedConnections)
					}
				}
				r := compare(t, sc, CompareOptions{Variant: v, Patience: 5 * time.Second})
				agreed(t, r)
				if full && r.Verdict != report.Pass {
					t.Errorf("verdict %s", r.Verdict)
				}
			})
		}
	}
}

// manyEndpoints is the largest number of endpoints that a made Service has.
func manyEndpoints(sc *scenario.Scenario) (n int) {
	if sc.Spec.Cluster != nil {
		for _, s := range sc.Spec.Cluster.Services {
			n = max(n, s.Endpoints)
		}
	}
	return n
}

// TestKernelCompareMatrix: cluster IP, node port, hairpin, node, reject and drop, in both families, protocols and variants.
func TestKernelCompareMatrix(t *testing.T) {
	needKernel(t)
	for _, v := range variants {
		for _, v6 := range []bool{false, true} {
			c := layout{v6: v6, services: []svc{
				{name: "three", endpoints: 3}, {name: "dns", endpoints: 2, proto: "UDP"}, {name: "one", endpoints: 1}, {name: "none"},
				{name: "local", endpoints: 4, extra: "      externalTrafficPolicy: Local"},
				{name: "sticky", endpoints: 3, extra: "      sessionAffinity: ClientIP"},
			}}
			t.Run(fmt.Sprintf("%s/%s", v, c.addr("IPv4", "IPv6")), func(t *testing.T) {
				r := compare(t, c.story(t,
					"{name: pods, from: {pods: 5}, to: {service: default/three}, connections: 600}",
					"{name: others, from: {otherPods: 5}, to: {service: default/three}, connections: 300}",
					"{name: node, from: {node: true}, to: {service: default/three}, connections: 300}",
					"{name: outside, from: {external: 5}, to: {service: default/three, via: nodePort}, connections: 300}",
					"{name: own, from: {addresses: [\""+c.addr("10.244.36.100", "fd00:244:36::1000")+"\"]}, to: {service: default/three}, connections: 200}",
					"{name: dns, from: {pods: 5}, to: {service: default/dns}, connections: 600}",
					"{name: dns-outside, from: {external: 5}, to: {service: default/dns, via: nodePort}, connections: 200}",
					"{name: one, from: {external: 5}, to: {service: default/one, via: nodePort}, connections: 100}",
					"{name: refused, from: {pods: 5}, to: {service: default/none}, connections: 50}",
					"{name: local, from: {external: 5}, to: {service: default/local, via: nodePort}, connections: 200}",
					"{name: sticky, from: {pods: 20}, to: {service: default/sticky}, connections: 200}",
				), CompareOptions{Variant: v})
				agreed(t, r)
				for _, s := range r.Services {
					if s.Verdict == report.Fail {
						t.Errorf("%+v", s)
					}
				}
				if got := r.Traffic[8]; got.Rejected != got.Connections || got.Connections != 50 {
					t.Errorf("without endpoints: %+v", got)
				}
			})
		}
	}
}
