package run

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/svclab/svclab/scenarios"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/scenario"
)

var bothWorlds = []string{WorldReplay, WorldNetstack}

func runIn(t *testing.T, sc *scenario.Scenario, world string) *report.Report {
	t.Helper()
	r, err := Scenario(context.Background(), sc, scenarios.Files, ScenarioOptions{World: world})
	if err != nil {
		t.Fatalf("%s: %v", world, err)
	}
	return r
}

// Claim 7 of the article, in one trace: my-svc.my-namespace.svc.cluster.local, its cluster IP, a Pod. What each step must hold is the
// DNS specification's and the rules': the Service is the first of the cluster and has 10.96.0.1; CoreDNS is behind 10.96.0.10.
func TestNameToPod(t *testing.T) {
	for _, world := range bothWorlds {
		sc := shipped(t, "dns-to-pod")
		cut(sc, 50)
		r := runIn(t, sc, world)
		if len(r.Paths) != 1 {
			t.Fatalf("%s: %d paths", world, len(r.Paths))
		}
		p := r.Paths[0]
		last := len(p.Queries) - 2
		if p.Name != "my-svc.my-namespace.svc.cluster.local" || len(p.Queries) != 8 || p.Queries[0].Rcode != "NXDOMAIN" ||
			p.Queries[last].Name != "my-svc.my-namespace.svc.cluster.local." || p.Queries[last].Type != "A" || fmt.Sprint(p.Queries[last].Answers) != "[10.96.0.1]" {
			t.Errorf("%s: %+v", world, p.Queries)
		}
		var asked, connected, said []string
		for _, s := range p.Steps {
			rules := strings.Join(s.Rules, "\n")
			switch {
			case strings.Contains(s.What, "asks 10.96.0.10:53 over udp"):
				asked = append(asked, rules)
			case strings.Contains(s.What, "connects to 10.96.0.1:80"):
				connected = append(connected, rules)
			default:
				said = append(said, s.What)
			}
		}
		if len(asked) < 4 || len(connected) != 1 {
			t.Fatalf("%s: %+v", world, p.Steps)
		}
		for _, want := range []string{"kube-system/kube-dns:dns cluster IP", "KUBE-SVC-", "KUBE-SEP-", ":53"} {
			if !strings.Contains(asked[0], want) {
				t.Errorf("%s: a query met\n%s\nwithout %s", world, asked[0], want)
			}
		}
		for _, want := range []string{"my-namespace/my-svc cluster IP", "KUBE-SVC-", "-j DNAT --to-destination " + p.Endpoint, "destination to " + p.Endpoint} {
			if !strings.Contains(connected[0], want) {
				t.Errorf("%s: the connection met\n%s\nwithout %s", world, connected[0], want)
			}
		}
		if !strings.HasSuffix(p.Endpoint, ":8080") || len(said) != 2 || said[0] != "the name is found: 10.96.0.1" || said[1] != p.Endpoint+" answers for 10.96.0.1:80" {
			t.Errorf("%s: %q, endpoint %s", world, said, p.Endpoint)
		}
	}
}

// A headless Service of sixty Pods does not fit into 512 bytes: each resolver but old musl asks again over TCP, through the same
// Service, and gets all; old musl takes what the truncated answer holds (README of the recorded resolvers).
func TestNameTooLong(t *testing.T) {
	for _, world := range bothWorlds {
		for libc, tcp := range map[string]bool{"glibc": true, "musl": true, "musl-1.2.3": false, "go": false} { // Go announces 1232 bytes
			sc := story(t, fmt.Sprintf(`
  cluster: {nodes: 2, dns: 2, services: [{name: web, headless: true, port: 8080, endpoints: 60}]}
  traffic:
  - {name: t, from: {pods: 4}, to: {name: web, port: 8080}, connections: 20, rate: 10/s, resolver: {libc: %s}}
`, libc))
			r := runIn(t, sc, world)
			over := false
			for _, q := range r.Paths[0].Queries {
				over = over || q.Transport == "tcp"
			}
			if x := r.Traffic[0]; x.Answered != 20 || over != tcp {
				t.Errorf("%s, %s: %+v, over TCP: %v", world, libc, x, over)
			}
		}
	}
}

// A lookup that nobody answers ends when the resolver gives up: glibc asks twice, for 5 s each time, for each suffix that it gets to.
// Without CoreDNS Pods the Service rejects at once, and that is no answer either.
func TestNameServersGone(t *testing.T) {
	for _, world := range bothWorlds {
		sc := story(t, `
  cluster: {nodes: 1, dns: 1, services: [{name: web, endpoints: 1}]}
  traffic: [{name: t, from: {pods: 1}, to: {name: web.default.svc.cluster.local., port: 80}, connections: 40, rate: 1/s}]
  events: [{at: 9500ms, endpoint: {address: 10.244.1.10, dies: true}}]
  checks: [{name: slow, threshold: {metric: lookup_time, expect: max >= 10s}}]
`)
		r := runIn(t, sc, world)
		if x := r.Traffic[0]; x.Answered != 10 || x.Dropped != 30 || r.Verdict != report.Pass {
			t.Errorf("%s: %+v %+v", world, x, r.Checks)
		}
	}
}

// What a name stands for changes with the API: a Service that comes later is found then.
func TestNameAppears(t *testing.T) {
	for _, world := range bothWorlds {
		sc := story(t, `
  cluster: {nodes: 1, dns: 1, services: [{name: web, endpoints: 1}]}
  traffic: [{name: t, from: {pods: 1}, to: {name: late, port: 81}, connections: 100, rate: 10/s}]
  events:
  - at: 4999ms
    apply:
    - {apiVersion: v1, kind: Service, metadata: {name: late, namespace: default}, spec: {clusterIP: 10.96.0.77, clusterIPs: [10.96.0.77], ports: [{port: 81, targetPort: 8080, protocol: TCP}]}}
    - {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: late-1, namespace: default, labels: {kubernetes.io/service-name: late}}, addressType: IPv4, ports: [{name: "", protocol: TCP, port: 8080}], endpoints: [{addresses: [10.244.1.77], conditions: {ready: true}}]}
`)
		if x := runIn(t, sc, world).Traffic[0]; x.Answered != 50 || x.Rejected != 50 {
			t.Errorf("%s: %+v", world, x)
		}
	}
}

// Traffic to names that cannot be: each is refused with its place.
func TestNameFaults(t *testing.T) {
	head := "\n  cluster: {nodes: 1, services: [{name: web, endpoints: 1}]}\n  traffic: [{name: t, from: {pods: 1}, to: {name: web, port: 80}}]\n"
	for name, c := range map[string]struct{ text, holds string }{
		"no DNS":       {head, "there is no Service kube-system/kube-dns"},
		"not a name":   {strings.ReplaceAll(strings.Replace(head, "nodes: 1,", "nodes: 1, dns: 1,", 1), "name: web, port", "name: a..b, port"), "is not a domain name"},
		"no port":      {strings.Replace(head, ", port: 80", "", 1), "needs the number of a port"},
		"via":          {strings.Replace(head, "port: 80}", "port: 80, via: nodePort}", 1), "leave via"},
		"no resolver":  {strings.Replace(head, "to: {name: web, port: 80}", "to: {service: default/web}, resolver: {libc: musl}", 1), "a resolver is for traffic to a name"},
		"bad libc":     {strings.Replace(head, "port: 80}", "port: 80}, resolver: {libc: bionic}", 1), "libc cannot be"},
		"both":         {strings.Replace(head, "to: {name: web", "to: {service: default/web, name: web", 1), "exactly one of service, address, name"},
		"queue alone":  {head + "  servers: [{service: default/web, queue: 3}]\n", "write workers: 1"},
		"bad loss":     {head + "  links: {pods: {loss: 120%}}\n", "no part of the packets"},
		"bandwidth":    {head + "  links: {pods: {bandwidth: 10}}\n", "is not a bandwidth"},
		"tiny mtu":     {head + "  links: {pods: {mtu: 100}}\n", "576 to 65535"},
		"all together": {head + "  kernel: {together: 2}\n", "no part of the datagrams"},
	} {
		t.Run(name, func(t *testing.T) {
			sc, err := scenario.Read("s.yaml", []byte(storyHead+c.text))
			if err == nil {
				err = Validate(sc, fstest.MapFS{})
			}
			if err == nil || !strings.Contains(err.Error(), c.holds) || !strings.HasPrefix(err.Error(), "s.yaml:") {
				t.Errorf("want s.yaml:… %s\ngot  %v", c.holds, err)
			}
		})
	}
}

// Of two datagrams that a socket sends at once, one that draws another Pod is lost before Linux 5.6; the two worlds lose the same.
func TestStallIsTheSameInBothWorlds(t *testing.T) {
	var slow [2]int64
	for i, world := range bothWorlds {
		sc := shipped(t, "dns-stall")
		sc.Spec.Traffic[0].Connections = 400
		e, err := prepare(sc, scenarios.Files, ScenarioOptions{World: world})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.run(context.Background()); err != nil {
			t.Fatal(err)
		}
		e.world.end()
		w := e.watch[0]
		for p := 100.0; p > 0 && w.lookups.time.Percentile(p) >= 5*time.Second; p -= 0.25 {
			slow[i]++
		}
	}
	// A tenth of the pairs race, half of those draw two Pods: 20 of 400, give or take three times the square root of 20.
	if slow[0] != slow[1] || slow[0] < 6 || slow[0] > 34 {
		t.Errorf("stalled lookups of 400: %d in replay, %d in netstack", slow[0], slow[1])
	}
}

// IPv6 alone, and both families: a client asks the name servers of its own, and connects to the address of its own family.
func TestNameFamilies(t *testing.T) {
	objects := func(families, dns, web, pods, node string) string {
		slice := func(of, space, address string, port int, proto string) string {
			kind := "IPv4"
			if strings.Contains(address, ":") {
				kind = "IPv6"
			}
			return fmt.Sprintf("  - {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %[1]s-%[2]s, namespace: %[3]s, labels: {kubernetes.io/service-name: %[1]s}}, addressType: %[2]s, ports: [{name: %[4]q, protocol: %[5]s, port: %[6]d}], endpoints: [{addresses: [%[7]q], conditions: {ready: true}}]}\n",
				of, kind, space, map[string]string{"kube-dns": "dns", "web": ""}[of], proto, port, address)
		}
		text := "\n  objects:\n" + fmt.Sprintf("  - {apiVersion: v1, kind: Node, metadata: {name: worker-1}, spec: {podCIDRs: [%s]}, status: {addresses: [%s]}}\n", pods, node) +
			"  - {apiVersion: kubeproxy.config.k8s.io/v1alpha1, kind: KubeProxyConfiguration, clusterCIDR: \"10.244.0.0/16,fd00:244::/32\"}\n"
		first, _, _ := strings.Cut(strings.Trim(dns, "\""), "\",")
		text += fmt.Sprintf("  - {apiVersion: v1, kind: Service, metadata: {name: kube-dns, namespace: kube-system}, spec: {clusterIP: %q, clusterIPs: [%s], ipFamilies: [%s], ipFamilyPolicy: PreferDualStack, ports: [{name: dns, protocol: UDP, port: 53, targetPort: 53}]}}\n", first, dns, families)
		first, _, _ = strings.Cut(strings.Trim(web, "\""), "\",")
		text += fmt.Sprintf("  - {apiVersion: v1, kind: Service, metadata: {name: web, namespace: default}, spec: {clusterIP: %q, clusterIPs: [%s], ipFamilies: [%s], ipFamilyPolicy: PreferDualStack, ports: [{protocol: TCP, port: 80, targetPort: 8080}]}}\n", first, web, families)
		for _, f := range []string{"10.244.1.%d", "fd00:244:1::%d"} {
			if (f[0] == 'f') == strings.Contains(families, "IPv6") || families == "IPv4, IPv6" {
				text += slice("kube-dns", "kube-system", fmt.Sprintf(f, 53), 53, "UDP") + slice("web", "default", fmt.Sprintf(f, 80), 8080, "TCP")
			}
		}
		return text
	}
	for name, c := range map[string]struct{ objects, family, endpoint, asked string }{
		"IPv6":          {objects("IPv6", `"fd00:96::10"`, `"fd00:96::1"`, `"fd00:244:1::/64"`, `{type: InternalIP, address: "fd00:10::11"}`), "ipv6", "[fd00:244:1::80]:8080", "asks [fd00:96::10]:53"},
		"both, as IPv4": {objects("IPv4, IPv6", `"10.96.0.10", "fd00:96::10"`, `"10.96.0.1", "fd00:96::1"`, `10.244.1.0/24, "fd00:244:1::/64"`, `{type: InternalIP, address: 192.168.0.1}, {type: InternalIP, address: "fd00:10::11"}`), "ipv4", "10.244.1.80:8080", "asks 10.96.0.10:53"},
	} {
		for _, world := range bothWorlds {
			sc := story(t, c.objects+fmt.Sprintf("  traffic: [{name: t, from: {pods: 2}, to: {name: web, port: 80, family: %s}, connections: 10, rate: 10/s}]\n", c.family))
			r := runIn(t, sc, world)
			p := r.Paths[0]
			if r.Traffic[0].Answered != 10 || p.Endpoint != c.endpoint || len(p.Steps) == 0 || !strings.Contains(p.Steps[0].What, c.asked) {
				t.Errorf("%s, %s: %+v %+v", name, world, r.Traffic[0], p)
			}
		}
	}
}
