package kernel_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/kernel"
)

// needKernel skips a test that wants a real kernel unless it was asked for.
func needKernel(t *testing.T) {
	t.Helper()
	if os.Getenv("SVCLAB_KERNEL_TESTS") != "1" {
		t.Skip("not asked for: kernel tests run under `make kernel-test` (SVCLAB_KERNEL_TESTS=1)")
	}
}

// start brings a kernel up, or skips with the typed reason for which this machine cannot.
func start(t *testing.T, c kernel.Config) (*kernel.Kernel, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	k, err := kernel.Start(ctx, c)
	var missing *box.MissingError
	if errors.As(err, &missing) {
		t.Skipf("%s: %s; to mend it: %s", missing.What, missing.Reason, missing.Mend)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k, ctx
}

// rules reads the rules of the article's Service: cluster IP 10.102.19.139:80, node port 30601, three Pods. The IPv6 form
// replaces each IPv4 address by one of the same place, and the UDP form the protocol.
func rules(t *testing.T, f packet.Family, proto packet.Protocol) string {
	t.Helper()
	b, err := os.ReadFile("testdata/nginx.rules")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if f == packet.IPv6 {
		text = strings.NewReplacer("127.0.0.0/8", "::1/128", "10.102.19.139", "fd00:102::139", "10.244.169.147:80", "[fd00:244:169::147]:80",
			"10.244.36.124:80", "[fd00:244:36::124]:80", "10.244.36.125:80", "[fd00:244:36::125]:80", "10.244.169.147", "fd00:244:169::147",
			"10.244.36.124", "fd00:244:36::124", "10.244.36.125", "fd00:244:36::125", "10.244.0.0/16", "fd00:244::/32").Replace(text)
	}
	if proto == packet.UDP {
		text = strings.NewReplacer("-m tcp -p tcp", "-m udp -p udp").Replace(text)
	}
	return text
}

// place is the article's cluster in one family. The node holds the range of the second and third Pod.
type place struct {
	node, cluster, pod, other, outside netip.Addr
	local                              netip.Prefix
	pods                               []netip.Addr
}

func placeOf(f packet.Family) place {
	a := netip.MustParseAddr
	if f == packet.IPv6 {
		return place{
			node: a("fd00:168::11"), cluster: a("fd00:102::139"), pod: a("fd00:244:36::9"), other: a("fd00:244:7::9"), outside: a("fd00:0::99"),
			local: netip.MustParsePrefix("fd00:244:36::/64"),
			pods:  []netip.Addr{a("fd00:244:169::147"), a("fd00:244:36::124"), a("fd00:244:36::125")},
		}
	}
	return place{
		node: a("192.168.8.11"), cluster: a("10.102.19.139"), pod: a("10.244.36.9"), other: a("10.244.7.9"), outside: a("203.0.113.99"),
		local: netip.MustParsePrefix("10.244.36.0/24"),
		pods:  []netip.Addr{a("10.244.169.147"), a("10.244.36.124"), a("10.244.36.125")},
	}
}

func (p place) topology(proto packet.Protocol) kernel.Topology {
	t := kernel.Topology{NodeAddrs: []netip.Addr{p.node}, LocalPods: []netip.Prefix{p.local}}
	for _, a := range p.pods {
		t.Backends = append(t.Backends, kernel.Backend{Proto: proto, Addr: netip.AddrPortFrom(a, 80)})
	}
	return t
}

func port0(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, 0) }

// TestKernelNginx loads the article's rules and reaches its three Pods by cluster IP and node port, over every path into
// the node. What is masqueraded follows from the rules: everything through the node port, and to the cluster IP what does
// not come from the cluster CIDR, and a Pod that reaches itself.
func TestKernelNginx(t *testing.T) {
	needKernel(t)
	for _, vehicle := range []kernel.Vehicle{kernel.VehicleRootless, kernel.VehicleNetns} {
		for _, variant := range []datapath.Variant{datapath.Legacy, datapath.NFT} {
			for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
				for _, proto := range []packet.Protocol{packet.TCP, packet.UDP} {
					t.Run(fmt.Sprintf("%s/%s/%s/%s", vehicle, variant, f, proto), func(t *testing.T) {
						nginx(t, vehicle, variant, f, proto)
					})
				}
			}
		}
	}
}

func nginx(t *testing.T, vehicle kernel.Vehicle, variant datapath.Variant, f packet.Family, proto packet.Protocol) {
	p := placeOf(f)
	k, ctx := start(t, kernel.Config{Vehicle: vehicle, Variant: variant, Topology: p.topology(proto)})
	if err := k.Apply(ctx, []datapath.Op{datapath.IPTablesRestore{Family: f, Text: rules(t, f, proto)}}); err != nil {
		t.Fatal(err)
	}
	service, nodePort := netip.AddrPortFrom(p.cluster, 80), netip.AddrPortFrom(p.node, 30601)
	paths := []struct {
		name       string
		src        netip.Addr
		dst        netip.AddrPort
		masquerade bool
	}{
		{"pod to cluster IP", p.pod, service, false},
		{"Pod of another node to cluster IP", p.other, service, false},
		{"outside to cluster IP", p.outside, service, true},
		{"outside to node port", p.outside, nodePort, true},
		{"pod to node port", p.pod, nodePort, true},
		{"node to cluster IP", p.node, service, true},
		{"backend to its own Service", p.pods[1], service, false},
	}
	var flows []kernel.Flow
	const each = 60 // one of three Pods stays unseen with probability 3·(2/3)^60 < 1e-10
	for i, path := range paths {
		for range each {
			flows = append(flows, kernel.Flow{ID: uint64(i), Proto: proto, Src: port0(path.src), Dst: path.dst})
		}
	}
	log, err := k.Run(ctx, flows, kernel.RunOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(log.Outcomes) != len(flows) || log.Partial {
		t.Fatalf("%d outcomes of %d flows, partial %v", len(log.Outcomes), len(flows), log.Partial)
	}
	seen := make([]map[netip.Addr]bool, len(paths))
	for _, o := range log.Outcomes {
		path := paths[o.ID]
		if o.Failure != box.None {
			t.Fatalf("%s: %s %s", path.name, o.Failure, o.Errno)
		}
		if seen[o.ID] == nil {
			seen[o.ID] = map[netip.Addr]bool{}
		}
		seen[o.ID][o.Backend.Addr()] = true
		want := o.Src.Addr()
		if path.masquerade || o.Backend.Addr() == o.Src.Addr() {
			want = p.node
		}
		if o.Peer.Addr() != want {
			t.Errorf("%s: backend %s saw %s, want %s", path.name, o.Backend, o.Peer.Addr(), want)
		}
	}
	for i, s := range seen {
		if len(s) != len(p.pods) {
			t.Errorf("%s: reached %v of %v", paths[i].name, s, p.pods)
		}
	}
	t.Logf("%s %s %s, iptables %s: %d flows in %s", k.Vehicle(), k.Version().Release, variant, k.Version().IPTables, len(flows), log.Elapsed)
}
