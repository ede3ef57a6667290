package kernel_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/kernel"
)

// TestKernelFaults loads a kernel with rules that differ from the model's in one place. Traffic alone finds what changes the
// fate of a connection, and names the flow; the comparison of rules finds each, and names the chain.
func TestKernelFaults(t *testing.T) {
	needKernel(t)
	for _, c := range []struct {
		name, old, new string
		traffic        string // part of a mismatch; "" where connections alone show nothing for certain
		chain          string
	}{
		{"masquerade missing", "-j MASQUERADE --random-fully", "-j RETURN", "the endpoint sees", "KUBE-POSTROUTING"},
		{"an endpoint moved", "--to-destination 10.244.36.125:80", "--to-destination 10.244.36.124:80", "", "KUBE-SEP-"},
		{"an endpoint unknown to the model", "--to-destination 10.244.36.125:80", "--to-destination 10.244.36.99:80", "it is never sent there", "KUBE-SEP-"},
		{"a probability off by 5 %", "--probability 0.5000000000", "--probability 0.5250000000", "", "KUBE-SVC-"},
		{"a front end missing", "--dport 30601", "--dport 30602", "refused", "KUBE-NODEPORTS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := load(t, "../input/testdata/conformance/nodeport-nginx-30601.yaml")
			top := kernel.TopologyOf(s.host, &s.state)
			top.Backends = append(top.Backends, kernel.Backend{Proto: packet.TCP, Addr: netip.MustParseAddrPort("10.244.36.99:80")})
			k, ctx := start(t, kernel.Config{Topology: top})
			planted := 0
			for i, op := range s.ops {
				if r, ok := op.(datapath.IPTablesRestore); ok && r.Family == packet.IPv4 {
					planted += strings.Count(r.Text, c.old)
					r.Text = strings.ReplaceAll(r.Text, c.old, c.new)
					s.ops[i] = r
				}
			}
			if planted == 0 {
				t.Fatalf("nothing says %q", c.old)
			}
			if err := k.Apply(ctx, s.ops); err != nil {
				t.Fatal(err)
			}
			var flows []kernel.Flow
			for _, q := range s.questions(t) {
				for range 30 { // one of three endpoints stays unseen with probability (2/3)^30 < 1e-5 on each of six paths
					flows = append(flows, q.flow)
				}
			}
			log, err := k.Run(ctx, flows, kernel.RunOptions{})
			if err != nil {
				t.Fatal(err)
			}
			wrong, _, err := kernel.Forced(s.node, s.host, log)
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, m := range wrong {
				found = found || strings.Contains(m.String(), c.traffic)
			}
			if found != (c.traffic != "") {
				t.Errorf("by traffic: %v", wrong)
			}
			dump, err := k.Dump(ctx, packet.IPv4)
			if err != nil {
				t.Fatal(err)
			}
			diff, err := kernel.Differences(s.node.Linked(packet.IPv4).Print(false), dump, kernel.DifferenceOptions{})
			if err != nil || len(diff) == 0 || len(diff) > planted || !strings.HasPrefix(diff[0].Chain, c.chain) {
				t.Errorf("by the rules: %v, %v", diff, err)
			}
		})
	}
}
