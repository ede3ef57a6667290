package run

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/scenarios"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/scenario"
)

// stackStory runs a story in the netstack world and returns its report and the engine for its observations.
func stackStory(t *testing.T, text string) *report.Report {
	t.Helper()
	r, err := Scenario(context.Background(), story(t, text), fstest.MapFS{}, ScenarioOptions{World: WorldNetstack})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// near compares a length of time with what arithmetic says, to within what a histogram's bucket is wide.
func near(t *testing.T, what, got string, want time.Duration) {
	t.Helper()
	d, err := time.ParseDuration(got)
	if err != nil || d < want-want/1000 || d > want+want/1000 {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

// How long things take, by arithmetic on the figures of links and servers. A Pod's packet passes two links to an endpoint and two
// back; a handshake is one such round, a request another.
func TestTimes(t *testing.T) {
	for name, c := range map[string]struct {
		text             string
		connect, request time.Duration // the longest
	}{
		"delay": {`
  links: {pods: {delay: 1ms}}
  cluster: {nodes: 1, services: [{name: web, endpoints: 2}]}
  traffic: [{name: t, from: {pods: 2}, to: {service: default/web}, connections: 20, rate: 10/s, requests: {count: 1}}]
`, 4 * time.Millisecond, 4 * time.Millisecond},
		"from outside": {`
  links: {outside: {delay: 20ms}, endpoints: {delay: 1ms}}
  cluster: {nodes: 2, services: [{name: web, type: NodePort, nodePort: 30080, endpoints: 2}]}
  traffic: [{name: t, from: {external: 2}, to: {service: default/web, via: nodePort}, connections: 20, rate: 10/s, requests: {count: 1}}]
`, 42 * time.Millisecond, 42 * time.Millisecond},
		// From a Pod of node-1 to the only endpoint, on node-2: the way between the nodes is both their wires.
		"between nodes": {`
  links: {pods: {delay: 1ms}, nodes: {delay: 5ms}}
  cluster: {nodes: 2, services: [{name: web, endpoints: 1, on: [node-2]}]}
  traffic: [{name: t, from: {pods: 1, on: [node-1]}, to: {service: default/web}, connections: 5, rate: 1/s, requests: {count: 1}}]
`, 24 * time.Millisecond, 24 * time.Millisecond},
		"one host is far": {`
  links: {pods: {delay: 1ms}, hosts: [{address: 10.244.1.10, link: {delay: 50ms}}]}
  cluster: {nodes: 1, services: [{name: web, endpoints: 1}]}
  traffic: [{name: t, from: {pods: 2}, to: {service: default/web}, connections: 20, rate: 5/s, requests: {count: 1}}]
`, 102 * time.Millisecond, 102 * time.Millisecond},
		// A request of 960 bytes is 1,012 with its headers (20 of IP, 32 of TCP), at 1 Mbit/s 8.096 ms on each of two links, and so is
		// the answer, behind an acknowledgement of 52 bytes.
		"bandwidth": {`
  links: {pods: {delay: 1ms, bandwidth: 1Mbit}}
  cluster: {nodes: 1, services: [{name: web, endpoints: 1}]}
  traffic: [{name: t, from: {pods: 1}, to: {service: default/web}, connections: 5, rate: 1/s, requests: {count: 1}, requestBytes: 960, replyBytes: 960}]
`, 4*time.Millisecond + 4*60*8*time.Microsecond, 4*time.Millisecond + 4*8096*time.Microsecond + 2*416*time.Microsecond},
		// Five requests at once for one worker: the fifth waits for four.
		"one worker": {`
  links: {pods: {delay: 1ms}}
  servers: [{service: default/web, time: 10ms, workers: 1}]
  cluster: {nodes: 1, services: [{name: web, endpoints: 1}]}
  traffic: [{name: t, from: {pods: 5}, to: {service: default/web}, connections: 5, rate: 1/s, arrivals: bursts, burst: 5, requests: {count: 1}}]
`, 4 * time.Millisecond, 54 * time.Millisecond},
		// Requests are meant to be sent every 50 ms on one connection and take 100: the n-th is late by 50 ms more than the one before.
		"late requests": {`
  links: {pods: {delay: 1ms}}
  servers: [{service: default/web, time: 96ms}]
  cluster: {nodes: 1, services: [{name: web, endpoints: 1}]}
  traffic: [{name: t, from: {pods: 1}, to: {service: default/web}, connections: 1, requests: {count: 10, every: 50ms}}]
`, 4 * time.Millisecond, 550 * time.Millisecond},
		"a pool that is late": {`
  links: {pods: {delay: 1ms}}
  servers: [{service: default/web, time: 96ms}]
  cluster: {nodes: 1, services: [{name: web, endpoints: 1}]}
  traffic: [{name: t, from: {pods: 1}, to: {service: default/web}, connections: 10, rate: 20/s, pool: {size: 1}}]
`, 4 * time.Millisecond, 554 * time.Millisecond},
		"UDP": {`
  links: {pods: {delay: 1ms}}
  servers: [{service: default/log, time: 7ms}]
  cluster: {nodes: 1, services: [{name: log, protocol: udp, port: 514, targetPort: 514, endpoints: 1}]}
  traffic: [{name: t, from: {pods: 1}, to: {service: default/log}, connections: 10, rate: 10/s, requests: {count: 1}}]
`, 11 * time.Millisecond, 11 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			x := stackStory(t, c.text).Traffic[0]
			if x.Answered != x.Connections || x.Failed > 0 || x.ConnectTime == nil || x.RequestTime == nil {
				t.Fatalf("%+v", x)
			}
			near(t, "connect", x.ConnectTime.Max, c.connect)
			near(t, "request", x.RequestTime.Max, c.request)
		})
	}
}

// Links that lose a tenth of all packets lose no connection of clients that try again, but time: a SYN is sent again after 1 s.
func TestLoss(t *testing.T) {
	text := `
  links: {pods: {delay: 1ms, loss: 10%}}
  cluster: {nodes: 1, services: [{name: web, endpoints: 2}]}
  traffic: [{name: t, from: {pods: 5}, to: {service: default/web}, connections: 200, rate: 20/s, connectTimeout: 60s, requestTimeout: 10m, requests: {count: 2}}]
`
	x := stackStory(t, text).Traffic[0]
	slow, err := time.ParseDuration(x.ConnectTime.P90)
	if x.Answered != 200 || x.Failed > 0 || err != nil || slow < time.Second {
		t.Errorf("%+v, %+v", x, x.ConnectTime)
	}
	if y := stackStory(t, text).Traffic[0]; *y.ConnectTime != *x.ConnectTime || *y.RequestTime != *x.RequestTime {
		t.Errorf("the same seed loses other packets: %+v, %+v", x.ConnectTime, y.ConnectTime)
	}
	if z := stackStory(t, "\n  seed: 2"+text).Traffic[0]; *z.RequestTime == *x.RequestTime {
		t.Error("another seed loses the same packets")
	}
}

// A queue that is full turns requests away; one that a client waits for too long is given up.
func TestOverload(t *testing.T) {
	head := "\n  cluster: {nodes: 1, services: [{name: web, endpoints: 1}]}\n"
	// One worker, one place to wait, five at once: two are served.
	x := stackStory(t, head+`  servers: [{service: default/web, time: 10ms, workers: 1, queue: 1}]
  traffic: [{name: t, from: {pods: 5}, to: {service: default/web}, connections: 5, rate: 1/s, arrivals: bursts, burst: 5, requests: {count: 1}}]
`).Traffic[0]
	if x.Requests != 5 || x.Failed != 3 {
		t.Errorf("full queue: %+v", x)
	}
	// Four that take 10 ms each, one after the other, for clients that wait for 25.
	x = stackStory(t, head+`  servers: [{service: default/web, time: 10ms, workers: 1}]
  traffic: [{name: t, from: {pods: 4}, to: {service: default/web}, connections: 4, rate: 1/s, arrivals: bursts, burst: 4, requests: {count: 1}, requestTimeout: 25ms}]
`).Traffic[0]
	if x.Requests != 4 || x.Failed != 2 {
		t.Errorf("impatient: %+v", x)
	}
}

// What a world does not have is refused or told, never passed over.
func TestWorldsSayWhatTheyLack(t *testing.T) {
	sctp := story(t, `
  cluster: {nodes: 1, services: [{name: web, protocol: sctp, endpoints: 1}]}
  traffic: [{name: t, from: {pods: 1}, to: {service: default/web}, connections: 1}]
`)
	var world *WorldError
	var place *scenario.Error
	if _, err := Scenario(context.Background(), sctp, fstest.MapFS{}, ScenarioOptions{World: WorldNetstack}); !errors.As(err, &world) || world.What != "SCTP" || !errors.As(err, &place) {
		t.Errorf("SCTP: %v", err)
	}
	if r, err := Scenario(context.Background(), sctp, fstest.MapFS{}, ScenarioOptions{}); err != nil || r.Traffic[0].Answered != 1 {
		t.Errorf("SCTP in replay: %v", err)
	}
	r := tell(t, `
  links: {pods: {delay: 1ms}}
  servers: [{service: default/web, time: 1ms}]
  cluster: {nodes: 1, services: [{name: web, endpoints: 1}]}
  traffic: [{name: t, from: {pods: 1}, to: {service: default/web}, connections: 1, requestTimeout: 1s}]
`)
	said := strings.Join(r.Warnings, "\n")
	for _, what := range []string{"links", "servers", "requestTimeout"} {
		if !strings.Contains(said, "the replay world has no "+what) {
			t.Errorf("nothing is said of %s: %s", what, said)
		}
	}
	var unknown *UnknownError
	if _, err := Scenario(context.Background(), sctp, fstest.MapFS{}, ScenarioOptions{World: "netsack"}); !errors.As(err, &unknown) {
		t.Errorf("unknown world: %v", err)
	}
}

// A run that is stopped leaves stacks and lookups behind it.
func TestStoppedStack(t *testing.T) {
	sc := story(t, `
  cluster: {nodes: 1, dns: 1, services: [{name: web, endpoints: 2}]}
  traffic: [{name: t, from: {pods: 2}, to: {name: web, port: 80}, connections: 1000000}]
`)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	r, err := Scenario(ctx, sc, fstest.MapFS{}, ScenarioOptions{World: WorldNetstack})
	if err == nil || r == nil || len(r.Warnings) == 0 {
		t.Fatalf("report %v, error %v", r, err)
	}
}

// Masquerading with four ports only: four connections to one Pod fit at a time, from whatever client, and the fifth is dropped
// (recorded: masquerade-range).
func TestMasqueradeRange(t *testing.T) {
	rules := `*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -d 192.168.10.11/32 -p tcp -m tcp --dport 30080 -j DNAT --to-destination 10.244.36.70:8080
-A POSTROUTING -d 10.244.36.70/32 -p tcp -j MASQUERADE --to-ports 40000-40003
COMMIT
`
	for _, world := range bothWorlds {
		sc := story(t, `
  nodes: [{name: worker-1, rules: node.save, nodeIPs: [192.168.10.11], podCIDRs: [10.244.36.64/26]}]
  traffic: [{name: t, from: {external: 10}, to: {address: "192.168.10.11:30080"}, connections: 10, rate: 10/s, keepOpen: true}]
`)
		r, err := Scenario(context.Background(), sc, fstest.MapFS{"node.save": &fstest.MapFile{Data: []byte(rules)}}, ScenarioOptions{World: world})
		if err != nil {
			t.Fatal(err)
		}
		if x := r.Traffic[0]; x.Answered != 4 || x.Dropped != 6 {
			t.Errorf("%s: %+v", world, x)
		}
	}
}

// Every way into a Service, in both families and over TCP and UDP: the worlds meet the same, connection by connection.
func TestWorldsAgreeMatrix(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		c := layout{v6: v6, services: []svc{
			{name: "three", endpoints: 3}, {name: "dns", endpoints: 2, proto: "UDP"}, {name: "one", endpoints: 1}, {name: "none"},
			{name: "local", endpoints: 4, extra: "      externalTrafficPolicy: Local"}, {name: "nothing", proto: "UDP"},
			{name: "sticky", endpoints: 3, extra: "      sessionAffinity: ClientIP"},
		}}
		for _, mode := range []string{"iptables", "ipvs"} {
			t.Run(c.addr("IPv4", "IPv6")+"/"+mode, func(t *testing.T) {
				text := []string{
					"{name: pods, from: {pods: 5}, to: {service: default/three}, connections: 60}",
					"{name: others, from: {otherPods: 5}, to: {service: default/three}, connections: 30}",
					"{name: node, from: {node: true}, to: {service: default/three}, connections: 30}",
					"{name: loopback, from: {loopback: true}, to: {service: default/one, via: nodePort}, connections: 10}",
					"{name: outside, from: {external: 5}, to: {service: default/three, via: nodePort}, connections: 30}",
					"{name: own, from: {endpoint: \"" + c.addr("10.244.36.100", "fd00:244:36::1000") + "\"}, to: {service: default/three}, connections: 20}",
					"{name: dns, from: {pods: 5}, to: {service: default/dns}, connections: 60}",
					"{name: dns-outside, from: {external: 5}, to: {service: default/dns, via: nodePort}, connections: 20}",
					"{name: one, from: {external: 5}, to: {service: default/one, via: nodePort}, connections: 10}",
					"{name: refused, from: {pods: 5}, to: {service: default/none}, connections: 5}",
					"{name: refused-udp, from: {pods: 5}, to: {service: default/nothing}, connections: 5}",
					"{name: local, from: {external: 5}, to: {service: default/local, via: nodePort}, connections: 20}",
					"{name: sticky, from: {pods: 20}, to: {service: default/sticky}, connections: 40}",
				}
				if mode == "ipvs" && v6 {
					text = append(text[:3], text[4:]...) // ::1 does not leave the host
				}
				for i := range text { // no two at once: what takes a link to a node comes later than what begins there
					text[i] = strings.TrimSuffix(text[i], "}") + fmt.Sprintf(", rate: 100/s, start: %dus}", 500*i)
				}
				sc := c.story(t, text...)
				sc.Spec.Mode = mode
				a, _ := meetings(t, sc, WorldReplay)
				b, _ := meetings(t, sc, WorldNetstack)
				if n, lines := apart(a, b); n > 0 || len(a) < 300 {
					t.Errorf("%d of %d connections differ:\n    %s", n, len(a), strings.Join(lines, "\n    "))
				}
			})
		}
	}
}

// Endpoints on their nodes' own addresses.
func TestHostNetwork(t *testing.T) {
	for _, mode := range []string{"iptables", "ipvs"} {
		sc := story(t, fmt.Sprintf(`
  mode: %s
  hostPorts: [22]
  cluster: {nodes: 3, services: [{name: web, type: NodePort, nodePort: 30080, endpoints: 3, hostNetwork: true}]}
  traffic:
  - {name: pods, from: {pods: 9}, to: {service: default/web}, connections: 90, rate: 100/s}
  - {name: outside, from: {external: 5}, to: {service: default/web, via: nodePort}, connections: 60, rate: 100/s, start: 1ms}
  - {name: nodes, from: {node: true}, to: {service: default/web}, connections: 30, rate: 100/s, start: 2ms}
  - {name: ssh, from: {external: 2}, to: {address: "192.168.0.2:22"}, connections: 10}
  - {name: nothing, from: {external: 2}, to: {address: "192.168.0.2:23"}, connections: 10}
`, mode))
		a, want := meetings(t, sc, WorldReplay)
		b, _ := meetings(t, sc, WorldNetstack)
		if n, lines := apart(a, b); n > 0 || want.Traffic[0].Answered != 90 || want.Traffic[3].Answered != 10 || want.Traffic[4].Rejected != 10 {
			t.Errorf("%s: %d of %d connections differ: %+v\n    %s", mode, n, len(a), want.Traffic, strings.Join(lines, "\n    "))
		}
	}
}

// How a reset comes about (kubernetes/kubernetes#74839): a segment out of the window leaves the node as it came, from the Pod's own
// address; the client knows no such connection and says so to the Pod; the Pod's connection is over, and the client's next request
// is answered by a RST in the Service's name. With the rule that drops what is INVALID none of it happens.
func TestInvalidReset(t *testing.T) {
	for name, resets := range map[string]bool{"invalid-reset": true, "invalid-reset-mended": false, "invalid-reset-liberal": false} {
		sc := shipped(t, name)
		sc.Spec.Traffic[0].Connections = 500
		e, err := prepare(sc, scenarios.Files, ScenarioOptions{World: WorldNetstack})
		if err != nil {
			t.Fatal(err)
		}
		vip := e.groups[0].To
		var strays, bare, toPod, fromService int
		for _, st := range e.sites {
			st.Node.SetTap(&datapath.Tap{Wants: func() bool { return false }, Walked: func(_ time.Duration, _ *netfilter.Trace, p *packet.Packet, d *datapath.Disposition) {
				rst := p.TCPFlags.Has(packet.RST)
				switch {
				case p.OutOfWindow:
					strays++
					if d.Fate == datapath.Forwarded && p.Src.Port() == 8080 && st.Host.IsLocalPod(p.Dst.Addr()) { // the client's own node
						bare++
					}
				case rst && p.Dst.Port() == 8080:
					toPod++
				case rst && p.Src == vip:
					fromService++
				}
			}})
		}
		if err := e.run(context.Background()); err != nil {
			t.Fatal(err)
		}
		e.world.end()
		failed := int(e.watch[0].unanswered)
		if strays == 0 || (bare > 0) != resets || (toPod > 0) != resets || fromService != failed || (failed > 0) != resets {
			t.Errorf("%s: %d strays, %d with the Pod's address, %d RSTs to a Pod, %d from the Service, %d failed requests", name, strays, bare, toPod, fromService, failed)
		}
	}
}
