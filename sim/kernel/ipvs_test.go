package kernel_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/share"
	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/kernel"
	"github.com/svclab/svclab/sim/replay"
)

// debianSchedulers are what Debian builds for User Mode Linux.
var debianSchedulers = []string{"rr", "wrr", "lc", "wlc", "fo", "ovf", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq"}

// director is a node with IPVS, on the model and on a kernel.
type director struct {
	t    *testing.T
	ctx  context.Context
	host replay.Host
	node *datapath.Node
	k    *kernel.Kernel
	next uint64
	// sentAgain says that packets count more than connections.
	sentAgain bool
	fin       bool // connections are closed by FIN: their entries stay for two minutes, after a reset for ten seconds
	begun     time.Time
}

// place46 are the addresses of one family.
type place46 struct {
	node    netip.Addr
	virtual func(i int) netip.Addr
	server  func(i int) netip.Addr
	client  func(i int) netip.Addr
}

func places(f packet.Family) place46 {
	if f == packet.IPv6 {
		at := func(p string) func(int) netip.Addr {
			return func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("%s:%x", p, i+1)) }
		}
		return place46{netip.MustParseAddr("fd00:a::1"), at("fd00:96:"), at("fd00:244:"), at("fd00:c:")}
	}
	at := func(p string) func(int) netip.Addr {
		return func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("%s.%d.%d", p, i/200, i%200+1)) }
	}
	return place46{netip.MustParseAddr("192.168.7.1"), at("10.96"), at("10.244"), at("172.20")}
}

var bothFamilies = []packet.Family{packet.IPv4, packet.IPv6}

// serverCount servers stand behind every service of these tests.
const serverCount = 5

// newDirector starts a kernel with a node that sends kube-ipvs0's addresses to its IPVS.
func newDirector(t *testing.T) *director {
	needKernel(t)
	top := kernel.Topology{LocalPods: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:244::/64")}}
	for _, f := range bothFamilies {
		top.NodeAddrs = append(top.NodeAddrs, places(f).node)
		for i := range serverCount {
			for _, proto := range []packet.Protocol{packet.TCP, packet.UDP} {
				top.Backends = append(top.Backends, kernel.Backend{Proto: proto, Addr: netip.AddrPortFrom(places(f).server(i), 8080)})
			}
		}
	}
	k, ctx := start(t, kernel.Config{Vehicle: kernel.VehicleUML, Topology: top})
	d := &director{t: t, ctx: ctx, k: k, host: replay.Host{NodeIPs: top.NodeAddrs, PodCIDRs: top.LocalPods, PodInterface: "pod0"}}
	p := datapath.DefaultProfile()
	p.HZ = 100
	d.node = datapath.NewNode(p, d.host.Routes())
	d.begun = time.Now()
	d.apply(
		datapath.LinkAdd{Interface: "kube-ipvs0"},
		datapath.Sysctl{Key: "net.ipv4.vs.conntrack", Value: "1"},
		datapath.Sysctl{Key: "net.ipv4.vs.conn_reuse_mode", Value: "0"},
	)
	return d
}

// apply changes model and kernel alike.
func (d *director) apply(ops ...datapath.Op) {
	d.t.Helper()
	d.node.Advance(time.Since(d.begun))
	if err := d.node.Apply(ops...); err != nil {
		d.t.Fatalf("model: %v", err)
	}
	if err := d.k.Apply(d.ctx, ops); err != nil {
		d.t.Fatalf("kernel: %v", err)
	}
}

// virtualService are the operations that make a virtual service with its servers, in the order of weights.
func virtualService(f packet.Family, proto packet.Protocol, i int, c ipvs.ServiceConfig, weights []int) (netip.AddrPort, []datapath.Op) {
	at := netip.AddrPortFrom(places(f).virtual(i), 80)
	c.Key = ipvs.AddressService(proto, at)
	ops := []datapath.Op{
		datapath.AddressAdd{Interface: "kube-ipvs0", Prefix: netip.PrefixFrom(at.Addr(), at.Addr().BitLen())},
		datapath.IPVSServiceAdd{Service: c},
	}
	for j, w := range weights {
		ops = append(ops, datapath.IPVSDestinationAdd{Key: c.Key, Destination: ipvs.DestinationConfig{
			Addr: netip.AddrPortFrom(places(f).server(j), 8080), Weight: w,
		}})
	}
	return at, ops
}

// flows are n connections to a service from clients in turn.
func (d *director) flows(f packet.Family, proto packet.Protocol, to netip.AddrPort, n, clients int) []kernel.Flow {
	var out []kernel.Flow
	for i := range n {
		d.next++
		out = append(out, kernel.Flow{ID: d.next, FIN: d.fin, Proto: proto, Src: netip.AddrPortFrom(places(f).client(i%clients), 0), Dst: to})
	}
	return out
}

// run opens connections one at a time and returns where the model disagrees with the kernel.
func (d *director) run(flows []kernel.Flow) ([]kernel.Mismatch, *kernel.Log) {
	d.t.Helper()
	log, err := d.k.Run(d.ctx, flows, kernel.RunOptions{Workers: 1, Timeout: 5 * time.Second})
	if err != nil {
		d.t.Fatal(err)
	}
	wrong, _, err := kernel.Forced(d.node, d.host, d.shifted(log))
	if err != nil {
		d.t.Fatal(err)
	}
	if log.Retransmits > 0 {
		d.t.Logf("%d segments were sent again: packet counters say nothing", log.Retransmits)
	}
	return wrong, log
}

// shifted makes the times of a log those of the model: a run that has just ended began its length ago.
func (d *director) shifted(log *kernel.Log) *kernel.Log {
	offset := time.Since(d.begun) - log.Elapsed
	for i := range log.Outcomes {
		log.Outcomes[i].Start += offset
	}
	return log
}

// agree fails the test where the kernel's IPVS is another than the model's. Up to Linux 6.1 what the kernel tells of its counters
// is as of the last look of the estimator, which comes every two seconds (net/netfilter/ipvs/ip_vs_est.c, estimation_timer).
func (d *director) agree(o kernel.IPVSOptions) {
	d.t.Helper()
	var wrong []kernel.Difference
	for range 10 {
		d.node.Advance(time.Since(d.begun))
		dump, err := d.k.DumpIPVS(d.ctx)
		if err != nil {
			d.t.Fatal(err)
		}
		if wrong = kernel.IPVSDifferences(d.node.IPVS, dump, o); len(wrong) == 0 || !o.Counters {
			break
		}
		time.Sleep(1500 * time.Millisecond)
	}
	for i, x := range wrong {
		if i < 10 {
			d.t.Error(x)
		}
	}
}

// TestKernelSchedulers opens connections one at a time to every scheduler, in every family, protocol and kind of weights, in one
// boot: each must go where the model says, and every counter be the model's.
func TestKernelSchedulers(t *testing.T) {
	begin := time.Now()
	d := newDirector(t)
	t.Logf("up after %s", time.Since(begin))
	var flows []kernel.Flow
	var ops []datapath.Op
	cells := 0
	for _, f := range bothFamilies {
		i := 0
		for _, s := range debianSchedulers {
			for _, weights := range [][]int{{1, 1, 1, 1, 1}, {3, 1, 0, 5, 2}} {
				for _, proto := range []packet.Protocol{packet.TCP, packet.UDP} {
					at, made := virtualService(f, proto, i, ipvs.ServiceConfig{Scheduler: s}, weights)
					ops = append(ops, made...)
					flows = append(flows, d.flows(f, proto, at, 40, 7)...)
					i++
					cells++
				}
			}
		}
	}
	d.apply(ops...)
	loaded := time.Since(begin)
	d.agree(kernel.IPVSOptions{})
	wrong, log := d.run(flows)
	for i, m := range wrong {
		if i < 10 {
			t.Error(m)
		}
	}
	d.agree(kernel.IPVSOptions{Connections: true, Counters: log.Retransmits == 0})
	t.Logf("%d cells: loaded after %s, %d connections in %s, %d disagree; all in %s", cells, loaded, len(log.Outcomes), log.Elapsed, len(wrong), time.Since(begin))
}

// expect runs flows and fails the test where the model disagrees.
func (d *director) expect(what string, flows []kernel.Flow) {
	d.t.Helper()
	wrong, log := d.run(flows)
	for i, m := range wrong {
		if i < 5 {
			d.t.Errorf("%s: %s", what, m)
		}
	}
	d.sentAgain = d.sentAgain || log.Retransmits > 0
	d.agree(kernel.IPVSOptions{Connections: true})
}

// TestKernelIPVSChanges takes services through what happens to them: persistence with and without a netmask, weights that become
// 0 and come back, servers that come and go amid connections, one-packet scheduling, scheduler flags, a new scheduler.
func TestKernelIPVSChanges(t *testing.T) {
	d := newDirector(t)
	d.fin = true
	for _, proto := range []packet.Protocol{packet.UDP, packet.TCP} {
		for _, f := range bothFamilies {
			base := 100
			if proto == packet.UDP {
				base = 140
			}
			name := func(s string) string { return fmt.Sprintf("%s %s %s", f, proto, s) }
			even := []int{1, 1, 1}

			mask := 24
			if f == packet.IPv6 {
				mask = 112
			}
			for i, c := range []ipvs.ServiceConfig{
				{Scheduler: "rr", Persistence: 3 * time.Hour},
				{Scheduler: "wrr", Persistence: 3 * time.Hour, MaskBits: mask},
			} {
				at, ops := virtualService(f, proto, base+i, c, []int{1, 2, 1})
				d.apply(ops...)
				d.expect(name("persistence"), d.flows(f, proto, at, 24, 5))
			}

			at, ops := virtualService(f, proto, base+2, ipvs.ServiceConfig{Scheduler: "rr"}, even)
			key := ipvs.AddressService(proto, at)
			server := func(i, weight int) ipvs.DestinationConfig {
				return ipvs.DestinationConfig{Addr: netip.AddrPortFrom(places(f).server(i), 8080), Weight: weight}
			}
			d.apply(ops...)
			d.expect(name("three servers"), d.flows(f, proto, at, 10, 3))
			d.apply(datapath.IPVSDestinationEdit{Key: key, Destination: server(1, 0)})
			d.expect(name("a server of weight 0"), d.flows(f, proto, at, 9, 3))
			d.apply(datapath.IPVSDestinationAdd{Key: key, Destination: server(3, 1)})
			d.expect(name("a server more"), d.flows(f, proto, at, 10, 3))
			d.apply(datapath.IPVSDestinationDelete{Key: key, Server: server(0, 0).Addr})
			d.expect(name("a server less"), d.flows(f, proto, at, 10, 3))
			d.apply(datapath.IPVSDestinationAdd{Key: key, Destination: server(0, 1)}, datapath.IPVSDestinationEdit{Key: key, Destination: server(1, 1)})
			d.expect(name("both back"), d.flows(f, proto, at, 10, 3))
			d.apply(datapath.IPVSServiceEdit{Service: ipvs.ServiceConfig{Key: key, Scheduler: "wlc"}})
			d.expect(name("another scheduler"), d.flows(f, proto, at, 12, 3))

			flags := []ipvs.ServiceConfig{
				{Scheduler: "sh", Flags: ipvs.SHPort}, {Scheduler: "sh", Flags: ipvs.SHFallback | ipvs.SHPort},
				{Scheduler: "mh", Flags: ipvs.MHPort}, {Scheduler: "mh", Flags: ipvs.MHFallback},
			}
			for i, c := range flags {
				at, ops := virtualService(f, proto, base+3+i, c, []int{1, 0, 2, 1})
				d.apply(ops...)
				d.expect(name("flags of "+c.Scheduler), d.flows(f, proto, at, 24, 4))
			}
			if proto == packet.UDP {
				at, ops := virtualService(f, proto, base+10, ipvs.ServiceConfig{Scheduler: "rr", OnePacket: true}, even)
				d.apply(ops...)
				d.onePacket(d.flows(f, proto, at, 12, 2))
			}
			d.agree(kernel.IPVSOptions{Connections: true, Counters: !d.sentAgain && proto == packet.UDP})
		}
	}
}

// onePacket sends datagrams of which each is scheduled by itself. What servers answer leaves the node under their own addresses, so
// that clients take none of it: the servers' counters tell where each went.
func (d *director) onePacket(flows []kernel.Flow) {
	d.t.Helper()
	log, err := d.k.Run(d.ctx, flows, kernel.RunOptions{Workers: 1, Timeout: 30 * time.Millisecond})
	if err != nil {
		d.t.Fatal(err)
	}
	for i := range log.Outcomes {
		o := &log.Outcomes[i]
		if o.Failure != box.Timeout {
			d.t.Errorf("%s to %s was answered: %v %s", o.Src, o.Dst, o.Backend, o.Failure)
		}
		p := replay.FirstPacket(o.Proto, o.Src, o.Dst)
		p.LengthBytes -= 16 - 4 // the question
		d.node.SetSource(&share.Script{})
		d.node.Receive(time.Since(d.begun), d.host.Ingress(o.Src.Addr()), &p)
	}
}

// TestKernelConnReuse opens connections again from the same ports right after they were reset: whether the old entry's server is
// kept or another picked is the mode's.
func TestKernelConnReuse(t *testing.T) {
	d := newDirector(t)
	for i, mode := range []string{"0", "1"} {
		d.apply(datapath.Sysctl{Key: "net.ipv4.vs.conn_reuse_mode", Value: mode})
		for _, f := range bothFamilies {
			at, ops := virtualService(f, packet.TCP, 300+i, ipvs.ServiceConfig{Scheduler: "rr"}, []int{1, 1, 1})
			d.apply(ops...)
			var flows []kernel.Flow
			for j := range 20 {
				d.next++
				flows = append(flows, kernel.Flow{ID: d.next, Proto: packet.TCP, Src: netip.AddrPortFrom(places(f).client(0), uint16(30000+j%4)), Dst: at})
			}
			log, err := d.k.Run(d.ctx, flows, kernel.RunOptions{Workers: 1, Timeout: 5 * time.Second, Reuse: true})
			if err != nil {
				t.Fatal(err)
			}
			wrong, _, err := kernel.Forced(d.node, d.host, d.shifted(log))
			if err != nil {
				t.Fatal(err)
			}
			kept := 0
			for j := 4; j < len(log.Outcomes); j++ {
				if log.Outcomes[j].Backend == log.Outcomes[j-4].Backend {
					kept++
				}
			}
			for j, m := range wrong {
				if j < 5 {
					t.Errorf("mode %s: %s", mode, m)
				}
			}
			t.Logf("mode %s, %s: %d of %d connections went where the one before them from their port went", mode, f, kept, len(log.Outcomes)-4)
			d.agree(kernel.IPVSOptions{Connections: true})
		}
	}
}

// TestKernelIPVSFaults loads the kernel with something else than the model: traffic alone must find it.
func TestKernelIPVSFaults(t *testing.T) {
	d := newDirector(t)
	faults := []struct {
		name   string
		config ipvs.ServiceConfig
		plant  func([]datapath.Op) []datapath.Op
	}{
		{"servers in another order", ipvs.ServiceConfig{Scheduler: "rr"}, func(ops []datapath.Op) []datapath.Op {
			n := len(ops)
			ops[n-1], ops[n-2] = ops[n-2], ops[n-1]
			return ops
		}},
		{"a weight off by one", ipvs.ServiceConfig{Scheduler: "wrr"}, func(ops []datapath.Op) []datapath.Op {
			o := ops[len(ops)-1].(datapath.IPVSDestinationAdd)
			o.Destination.Weight++
			ops[len(ops)-1] = o
			return ops
		}},
		{"a scheduler's flag missing", ipvs.ServiceConfig{Scheduler: "sh", Flags: ipvs.SHPort}, func(ops []datapath.Op) []datapath.Op {
			o := ops[1].(datapath.IPVSServiceAdd)
			o.Service.Flags = 0
			ops[1] = o
			return ops
		}},
	}
	for i, x := range faults {
		for j, proto := range []packet.Protocol{packet.TCP, packet.UDP} {
			at, ops := virtualService(packet.IPv4, proto, 200+2*i+j, x.config, []int{1, 2, 3})
			if err := d.node.Apply(ops...); err != nil {
				t.Fatal(err)
			}
			if err := d.k.Apply(d.ctx, x.plant(append([]datapath.Op(nil), ops...))); err != nil {
				t.Fatal(err)
			}
			wrong, log := d.run(d.flows(packet.IPv4, proto, at, 30, 3))
			if len(wrong) == 0 {
				t.Errorf("%s, %s: %d connections agree with the model", x.name, proto, len(log.Outcomes))
				continue
			}
			t.Logf("%s, %s: %d of %d connections disagree: %s", x.name, proto, len(wrong), len(log.Outcomes), wrong[0])
		}
	}
}
