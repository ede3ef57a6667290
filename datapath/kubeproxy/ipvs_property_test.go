package kubeproxy_test

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// ipvsPair is a host with the proxiers of both families.
type ipvsPair struct {
	t    *testing.T
	h    *kubeproxy.RulesHost
	list []kubeproxy.Graceful
	now  time.Duration
}

func startPair(t *testing.T, s service.State) *ipvsPair {
	x := &ipvsPair{t: t, h: kubeproxy.NewRulesHost()}
	for _, f := range families {
		p, err := kubeproxy.New(service.ModeIPVS, f, s, datapath.DefaultProfile())
		if err != nil {
			t.Fatal(err)
		}
		if r := p.Start(x.h); r.Err != nil {
			t.Fatal(r.Err)
		}
		x.list = append(x.list, p.(kubeproxy.Graceful))
	}
	return x
}

var families = [...]packet.Family{packet.IPv4, packet.IPv6}

func (x *ipvsPair) sync(s service.State) (ops []datapath.Op, asked bool) {
	x.t.Helper()
	x.now += 10 * time.Second
	for _, p := range x.list {
		r, err := p.Sync(x.now, s, x.h, kubeproxy.Options{})
		if err != nil || r.Err != nil || r.Kind != kubeproxy.Compare {
			x.t.Fatal(err, r.Err, r.Kind)
		}
		for i, failed := range r.Failed {
			if failed {
				x.t.Errorf("failed: %s", r.Ops[i].Command())
			}
		}
		ops, asked = append(ops, r.Ops...), asked || r.Asked
	}
	return ops, asked
}

func (x *ipvsPair) text() string {
	return x.h.IPVSText(packet.IPv4, iptables.Native) + x.h.IPVSText(packet.IPv6, iptables.Native)
}

// Whatever happened before, a sync leaves what a fresh node would have; a sync without changes writes the rules again and
// nothing else; the families leave each other alone. A clean-up leaves nothing but the sets of IPv6.
func TestIPVSSyncsConverge(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 6
	}
	for seed := range rounds {
		r := rand.New(rand.NewPCG(uint64(seed), 7))
		base := node()
		randomConfig(r, &base.Config)
		base.Config.IPVS.Scheduler = []string{"", "rr", "lc", "mh", "sh"}[r.IntN(5)]
		w := world{map[int]service.Service{}, map[int][]service.EndpointSlice{}}
		for i := range 1 + r.IntN(8) {
			w.put(r, i)
		}
		x := startPair(t, base)
		for step := range 5 {
			for range r.IntN(3) {
				if i := r.IntN(10); r.IntN(3) == 0 {
					delete(w.services, i)
				} else {
					w.put(r, i)
				}
			}
			x.sync(w.state(base))
			fresh := startPair(t, base)
			fresh.sync(w.state(base))
			if got, want := x.text(), fresh.text(); got != want {
				t.Fatalf("seed %d step %d: differs from a fresh node at\n%s", seed, step, firstDifference(got, want))
			}
		}
		ops, asked := x.sync(w.state(base))
		for _, op := range ops {
			if _, ok := op.(datapath.IPTablesRestore); !ok {
				t.Errorf("seed %d: nothing changed, yet %s", seed, op.Command())
			}
		}
		if asked {
			t.Errorf("seed %d: nothing changed, yet asked", seed)
		}
		cleaned, err := kubeproxy.Cleanup(service.ModeIPVS, families[:], x.h)
		if err != nil || cleaned.Err != nil {
			t.Fatal(err, cleaned.Err)
		}
		if left := x.text(); strings.Contains(left, "KUBE-SERVICES") || strings.Contains(left, "-A -") || !strings.Contains(left, "(no interface)") {
			t.Fatalf("seed %d: left\n%s", seed, left)
		}
		for l := range strings.Lines(x.h.Sets.PrintNormalised(0)) {
			if !strings.HasPrefix(l, "create KUBE-6-") && !strings.HasPrefix(l, "add KUBE-6-") {
				t.Errorf("left: %s", l)
			}
		}
	}
}

func ipvsState(s service.IPVSConfig, kernel string) (service.State, datapath.Profile) {
	base := simple(1, 2)
	base.Config.IPVS = s
	p := datapath.DefaultProfile()
	p.Kernel = kernel
	return base, p
}

// Kernel parameters and timeouts at a start. Expectations: kube-proxy's NewProxier; conn_reuse_mode is set to 0 from Linux 4.1
// to before 5.9.
func TestIPVSStart(t *testing.T) {
	for kernel, reuse := range map[string]string{"4.0": "", "4.1": "0", "5.8.18-300.fc33": "0", "5.9": "", "6.1": "", "unknown": ""} {
		for _, strict := range []bool{false, true} {
			s, profile := ipvsState(service.IPVSConfig{StrictARP: strict, TCPTimeout: 900 * time.Second}, kernel)
			p, err := kubeproxy.New(service.ModeIPVS, packet.IPv4, s, profile)
			if err != nil {
				t.Fatal(err)
			}
			h := kubeproxy.NewRulesHost()
			r := p.Start(h)
			want := map[string]string{"net.ipv4.vs.conntrack": "1", "net.ipv4.vs.expire_nodest_conn": "1",
				"net.ipv4.vs.expire_quiescent_template": "1", "net.ipv4.ip_forward": "1"}
			if reuse != "" {
				want["net.ipv4.vs.conn_reuse_mode"] = reuse
			}
			if strict {
				want["net.ipv4.conf.all.arp_ignore"], want["net.ipv4.conf.all.arp_announce"] = "1", "2"
			}
			if len(h.Sysctls()) != len(want) {
				t.Errorf("kernel %s: %v", kernel, h.Sysctls())
			}
			for k, v := range want {
				if h.Sysctl(k) != v {
					t.Errorf("kernel %s: %s=%q, want %q", kernel, k, h.Sysctl(k), v)
				}
			}
			if got := r.Ops[len(r.Ops)-1].Command(); got != "ipvsadm --set 900 0 0" {
				t.Error(got)
			}
			if h.IPVS.Timeouts().TCP != 900*time.Second || h.IPVS.Timeouts().UDP != 300*time.Second {
				t.Error(h.IPVS.Timeouts())
			}
		}
	}
}

// A scheduler that the kernel does not know ends the process at the start.
func TestIPVSUnknownScheduler(t *testing.T) {
	s, profile := ipvsState(service.IPVSConfig{Scheduler: "“rr“"}, "6.1")
	_, err := kubeproxy.New(service.ModeIPVS, packet.IPv4, s, profile)
	if err == nil || !strings.HasPrefix(err.Error(), "can't use the IPVS proxier: ") {
		t.Error(err)
	}
}

// Virtual servers of others: those in excludeCIDRs stay, the rest goes, whoever made it; marks cannot be named by kube-proxy.
func TestIPVSExcludeCIDRs(t *testing.T) {
	s, profile := ipvsState(service.IPVSConfig{ExcludeCIDRs: []netip.Prefix{netip.MustParsePrefix("172.30.0.0/16")}}, "6.1")
	p, err := kubeproxy.New(service.ModeIPVS, packet.IPv4, s, profile)
	if err != nil {
		t.Fatal(err)
	}
	h := kubeproxy.NewRulesHost()
	for _, a := range []string{"172.30.1.1:80", "172.31.1.1:80", "[fd00::1]:80"} {
		if err := h.IPVS.AddService(tcpService(a)); err != nil {
			t.Fatal(err)
		}
	}
	mark := tcpService("10.0.0.1:1")
	mark.Key = markKey(7)
	mark.Scheduler = "rr"
	if err := h.IPVS.AddService(mark); err != nil {
		t.Fatal(err)
	}
	p.Start(h)
	if r, err := p.Sync(0, s, h, kubeproxy.Options{}); err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	var got []string
	for _, v := range h.VirtualServers() {
		got = append(got, v.Key.String())
	}
	if want := "-t 172.30.1.1:80 -t [fd00::1]:80 -f 7 -t 10.96.0.0:80"; strings.Join(got, " ") != want {
		t.Errorf("left %s, want %s", strings.Join(got, " "), want)
	}
}

// A restarted kube-proxy gives wanted servers their weight back, once for each server whose weight is not 1, and has
// forgotten which servers wait.
func TestIPVSRestartResetsWeights(t *testing.T) {
	s, profile := ipvsState(service.IPVSConfig{}, "6.1")
	h := &connectedHost{kubeproxy.NewRulesHost()}
	run := func(s service.State) (kubeproxy.Graceful, []string) {
		p, err := kubeproxy.New(service.ModeIPVS, packet.IPv4, s, profile)
		if err != nil {
			t.Fatal(err)
		}
		p.Start(h)
		r, err := p.Sync(0, s, h, kubeproxy.Options{})
		if err != nil || r.Err != nil {
			t.Fatal(err, r.Err)
		}
		var calls []string
		for _, op := range r.Ops {
			if c := op.Command(); strings.HasPrefix(c, "ipvsadm ") {
				calls = append(calls, c)
			}
		}
		return p.(kubeproxy.Graceful), calls
	}
	run(s)
	one := s
	one.Slices = []service.EndpointSlice{s.Slices[0]}
	one.Slices[0].Endpoints = s.Slices[0].Endpoints[:1]
	p, calls := run(one)
	if len(p.Terminating()) != 1 || len(calls) != 1 || !strings.HasSuffix(calls[0], " -w 0") {
		t.Errorf("taken away: %v %v", p.Terminating(), calls)
	}
	p, calls = run(s)
	if len(p.Terminating()) != 0 || len(calls) != 2 || !strings.HasSuffix(calls[0], "-m -w 1") || !strings.HasSuffix(calls[1], "-m -w 1") {
		t.Errorf("wanted again: %v %v", p.Terminating(), calls)
	}
}

func tcpService(a string) ipvs.ServiceConfig {
	return ipvs.ServiceConfig{Key: ipvs.AddressService(packet.TCP, netip.MustParseAddrPort(a)), Scheduler: "rr"}
}

func markKey(mark uint32) ipvs.ServiceKey { return ipvs.MarkService(packet.IPv4, mark) }

// connectedHost has a connection to every server.
type connectedHost struct{ *kubeproxy.RulesHost }

func (h *connectedHost) RealServers(k ipvs.ServiceKey) ([]kubeproxy.RealServer, bool) {
	list, ok := h.RulesHost.RealServers(k)
	for i := range list {
		list[i].Active = 1
	}
	return list, ok
}

// A first sync of many Services, and one that changes nothing.
func BenchmarkIPVSSync(b *testing.B) {
	s := simple(5000, 10)
	for b.Loop() {
		p, err := kubeproxy.New(service.ModeIPVS, packet.IPv4, s, datapath.DefaultProfile())
		if err != nil {
			b.Fatal(err)
		}
		h := kubeproxy.NewRulesHost()
		p.Start(h)
		for range 2 {
			if _, err := p.Sync(0, s, h, kubeproxy.Options{}); err != nil {
				b.Fatal(err)
			}
		}
	}
}
