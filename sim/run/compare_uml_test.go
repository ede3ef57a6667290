package run

import (
	"fmt"
	"testing"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/sim/kernel"
	"github.com/svclab/svclab/sim/report"
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
