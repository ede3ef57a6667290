package run

import (
	"bytes"
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

// TestKernelCompareIPVS: kube-proxy's ipvs mode in a kernel of its own, end to end: sets, masquerade, node ports, hairpin, clients of
// every kind, in both families and with affinity; every connection goes where the model says, and every rule counts the same.
func TestKernelCompareIPVS(t *testing.T) {
	needKernel(t)
	for _, v6 := range []bool{false, true} {
		for _, proto := range []string{"TCP", "UDP"} {
			t.Run(fmt.Sprintf("v6 %v %s", v6, proto), func(t *testing.T) {
				l := layout{v6: v6, services: []svc{
					{name: "even", endpoints: 4, proto: proto},
					{name: "sticky", endpoints: 3, proto: proto, extra: "      sessionAffinity: ClientIP"},
				}}
				sc := l.story(t,
					`{name: pods, from: {pods: 3}, to: {service: default/even}, connections: 20}`,
					`{name: outside, from: {external: 3}, to: {service: default/even, via: nodePort}, connections: 20}`,
					`{name: node, from: {node: true}, to: {service: default/even}, connections: 20}`,
					`{name: hairpin, from: {addresses: ["`+l.addr("10.244.36.100", "fd00:244:36::1000")+`"]}, to: {service: default/even}, connections: 12}`,
					`{name: sticky, from: {pods: 4}, to: {service: default/sticky}, connections: 24}`,
				)
				sc.Spec.Mode = "ipvs"
				r := compare(t, sc, CompareOptions{Vehicle: kernel.VehicleAuto})
				agreed(t, r)
				if r.Kernel != nil && r.Kernel.Vehicle != "uml" && r.Kernel.Vehicle != "netns" {
					t.Errorf("vehicle %q brought IPVS", r.Kernel.Vehicle)
				}
				for _, x := range r.Traffic {
					t.Logf("%s: %d connections, %d answered", x.Name, x.Connections, x.Answered)
					if x.Connections == 0 {
						t.Errorf("%s: nothing was sent", x.Name)
					}
				}
			})
		}
	}
}

// TestKernelCompareIPVSFault: a server that the kernel is given a weight of 0 is found.
func TestKernelCompareIPVSFault(t *testing.T) {
	needKernel(t)
	l := layout{services: []svc{{name: "even", endpoints: 4}}}
	sc := l.story(t, `{name: pods, from: {pods: 3}, to: {service: default/even}, connections: 20}`)
	sc.Spec.Mode = "ipvs"
	planted := false
	r := compare(t, sc, CompareOptions{Vehicle: kernel.VehicleUML, blind: true, plant: func(op datapath.Op) datapath.Op {
		if o, ok := op.(datapath.IPVSDestinationAdd); ok && !planted {
			planted = true
			o.Destination.Weight = 0
			return o
		}
		return op
	}})
	if r.Verdict != report.Fail || !planted {
		t.Errorf("verdict %s, planted %v", r.Verdict, planted)
	}
}

// kernelForMany brings one kernel for many comparisons.
type kernelForMany struct {
	ctx context.Context
	k   *kernel.Kernel
}

func (m *kernelForMany) start(ctx context.Context, c kernel.Config) (k *kernel.Kernel, err error) {
	if m.k != nil {
		return m.k, m.k.Reset(ctx, c.Topology)
	}
	m.k, err = kernel.Start(m.ctx, c)
	return m.k, err
}

// umlForMany is a User Mode Linux that lasts as long as a test.
func umlForMany(t *testing.T) *kernelForMany {
	needKernel(t)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	m := &kernelForMany{ctx: ctx}
	t.Cleanup(func() {
		if m.k != nil {
			m.k.Close()
		}
	})
	return m
}

// TestKernelCompareIPVSGallery: every scenario of the gallery with IPVS in it agrees with the kernel, at some of its connections, in one
// boot; what has several nodes with rules, which a kernel world has not, says so.
func TestKernelCompareIPVSGallery(t *testing.T) {
	m := umlForMany(t)
	files, err := scenarios.Files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	compared, patience := 0, DefaultPatience
	if os.Getenv("SVCLAB_FIGURES") == "1" {
		patience = 5 * time.Minute
	}
	for _, f := range files {
		text, err := scenarios.Files.ReadFile(f.Name())
		if err != nil || !strings.HasSuffix(f.Name(), ".yaml") || !strings.Contains(string(text), "kind: Scenario") || !strings.Contains(string(text), "ipvs") {
			continue
		}
		t.Run(strings.TrimSuffix(f.Name(), ".yaml"), func(t *testing.T) {
			sc, err := scenario.Read(f.Name(), text)
			if err != nil {
				t.Fatal(err)
			}
			if os.Getenv("SVCLAB_FIGURES") != "1" {
				for i := range sc.Spec.Traffic {
					sc.Spec.Traffic[i].Connections = min(sc.Spec.Traffic[i].Connections, shippedConnections)
				}
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience+2*time.Minute)
			defer cancel()
			begin := time.Now()
			r, err := Compare(ctx, sc, scenarios.Files, CompareOptions{Vehicle: kernel.VehicleUML, Patience: patience, start: m.start})
			var missing *box.MissingError
			if errors.As(err, &missing) {
				if r.Verdict != report.NotCompared {
					t.Errorf("verdict %s", r.Verdict)
				}
				if missing.Reason != severalNodes && missing.Reason != notModelled {
					t.Skipf("%s: %s; to mend it: %s", missing.What, missing.Reason, missing.Mend)
				}
				t.Logf("not compared: %v", missing)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			agreed(t, r)
			compared++
			for _, x := range r.Traffic {
				t.Logf("%s: %d connections, %d answered, %d refused, %d dropped", x.Name, x.Connections, x.Answered, x.Rejected, x.Dropped)
			}
			for _, k := range r.Checks {
				if strings.Contains(k.Name, "ipvs") {
					t.Logf("%s %s: %s", k.Verdict, k.Name, k.Reason)
				}
			}
			t.Logf("%s after %s", r.Verdict, time.Since(begin).Round(time.Millisecond))
		})
	}
	t.Logf("%d scenarios compared", compared)
	if m.k != nil && compared < 12 {
		t.Errorf("only %d scenarios were compared", compared)
	}
}

// TestKernelCompareIPVSMissing: where the host's kernel is asked for and has no IPVS, nothing is compared, the reason is typed and a
// command mends it; where it has, the two agree.
func TestKernelCompareIPVSMissing(t *testing.T) {
	needKernel(t)
	l := layout{services: []svc{{name: "even", endpoints: 4}}}
	sc := l.story(t, `{name: pods, from: {pods: 3}, to: {service: default/even}, connections: 20}`)
	sc.Spec.Mode = "ipvs"
	for _, v := range []kernel.Vehicle{kernel.VehicleNetns, kernel.VehicleRootless} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		r, err := Compare(ctx, sc, scenarios.Files, CompareOptions{Vehicle: v})
		var missing *box.MissingError
		switch {
		case err == nil:
			agreed(t, r)
		case errors.As(err, &missing):
			t.Logf("%s: %v", v, missing)
			if r.Verdict != report.NotCompared || missing.Reason == "" || missing.Mend == "" {
				t.Errorf("%s: verdict %s, %+v", v, r.Verdict, missing)
			}
			if missing.What == "IPVS" && !strings.Contains(missing.Mend, "--kernel uml") {
				t.Errorf("%s is not mended by a kernel of its own: %q", v, missing.Mend)
			}
		default:
			t.Errorf("%s: %v", v, err)
		}
	}
}

// TestKernelRecordIPVS: what a kernel's IPVS did is recorded with its sets, servers and addresses, and played back without a
// difference; with two servers exchanged, one is found.
func TestKernelRecordIPVS(t *testing.T) {
	m := umlForMany(t)
	l := layout{services: []svc{{name: "even", endpoints: 4}, {name: "dns", endpoints: 2, proto: "UDP"}}}
	sc := l.story(t,
		`{name: pods, from: {pods: 3}, to: {service: default/even}, connections: 40}`,
		`{name: outside, from: {external: 3}, to: {service: default/even, via: nodePort}, connections: 40}`,
		`{name: dns, from: {pods: 3}, to: {service: default/dns}, connections: 20}`,
	)
	sc.Spec.Mode = "ipvs"
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	rec, rep, err := Record(ctx, sc, scenarios.Files, CompareOptions{Vehicle: kernel.VehicleUML, start: m.start})
	if missing, ok := box.Missing(err); ok {
		t.Skipf("%s: %s; to mend it: %s", missing.What, missing.Reason, missing.Mend)
	}
	if err != nil {
		t.Fatal(err)
	}
	agreed(t, rep)
	var b bytes.Buffer
	if err := rec.Write(&b); err != nil {
		t.Fatal(err)
	}
	r, err := Replay("recording", b.Bytes())
	if err != nil || r.Difference != nil || r.Events < 100 {
		t.Fatalf("%v %+v\n%s", err, r, b.Bytes())
	}
	lines := strings.Split(rec.Servers.Commands, "\n")
	for i := range lines {
		if strings.HasPrefix(lines[i], "-a -t") && strings.HasPrefix(lines[i+1], "-a -t") {
			lines[i], lines[i+1] = lines[i+1], lines[i]
			break
		}
	}
	rec.Servers.Commands = strings.Join(lines, "\n")
	b.Reset()
	if err := rec.Write(&b); err != nil {
		t.Fatal(err)
	}
	if r, err = Replay("recording", b.Bytes()); err != nil || r.Difference == nil {
		t.Errorf("servers in another order: %v %+v", err, r)
	}
}
