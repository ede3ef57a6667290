package kernel_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/kernel"
)

// TestKernelRefusals: what a client sees of REJECT, of DROP, of a Service without rules and of a closed port. A REJECT of
// UDP and of TCP is ICMP port unreachable, which a socket reports as ECONNREFUSED; 200 in a row must all be seen.
func TestKernelRefusals(t *testing.T) {
	needKernel(t)
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		for _, proto := range []packet.Protocol{packet.TCP, packet.UDP} {
			t.Run(fmt.Sprintf("%s/%s", f, proto), func(t *testing.T) {
				p := placeOf(f)
				k, ctx := start(t, kernel.Config{Topology: p.topology(proto)})
				at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(p.cluster, port) }
				text := fmt.Sprintf("*filter\n:X - [0:0]\n-A FORWARD -j X\n-A OUTPUT -j X\n"+
					"-A X -d %[1]s -p %[2]s --dport 81 -j REJECT\n-A X -d %[1]s -p %[2]s --dport 82 -j DROP\nCOMMIT\n", p.cluster, proto)
				if err := k.Apply(ctx, []datapath.Op{datapath.IPTablesRestore{Family: f, Text: text}}); err != nil {
					t.Fatal(err)
				}
				// A datagram that the sender's own rules drop fails at once with EPERM; TCP says nothing to its socket of that.
				output := box.Timeout
				if proto == packet.UDP {
					output = box.NotPermitted
				}
				type want struct {
					src     netip.Addr
					dst     netip.AddrPort
					n       int
					failure box.Failure
				}
				cases := []want{
					{p.outside, at(81), 200, box.Refused},
					{p.pod, at(81), 200, box.Refused},
					{p.node, at(81), 200, box.Refused},
					{p.outside, at(82), 2, box.Timeout},
					{p.node, at(82), 2, output},
					{p.outside, at(83), 2, box.Timeout}, // no rule: it leaves by the default route, and nobody has the address
					{p.pod, netip.AddrPortFrom(p.pods[1], 9999), 2, box.Refused},
				}
				var flows []kernel.Flow
				for i, c := range cases {
					for range c.n {
						flows = append(flows, kernel.Flow{ID: uint64(i), Proto: proto, Src: port0(c.src), Dst: c.dst})
					}
				}
				log, err := k.Run(ctx, flows, kernel.RunOptions{Timeout: 300 * time.Millisecond})
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range log.Outcomes {
					if c := cases[o.ID]; o.Failure != c.failure {
						t.Errorf("%s to %s: %q (%s), want %q", c.src, c.dst, o.Failure, o.Errno, c.failure)
					}
				}
				if log.Retransmits != 0 {
					t.Errorf("%d retransmissions", log.Retransmits)
				}
			})
		}
	}
}

// TestKernelCounters: one connection is six packets of a known kind, and the rules count them all and nothing else: SYN,
// SYN-ACK, ACK, data, ACK, RST through FORWARD, and one SYN through the rules of table nat.
func TestKernelCounters(t *testing.T) {
	needKernel(t)
	for _, variant := range []datapath.Variant{datapath.Legacy, datapath.NFT} {
		for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
			t.Run(fmt.Sprintf("%s/%s", variant, f), func(t *testing.T) {
				p := placeOf(f)
				k, ctx := start(t, kernel.Config{Variant: variant, Topology: p.topology(packet.TCP)})
				text := fmt.Sprintf("*nat\n-A PREROUTING -d %s -p tcp --dport 80 -j DNAT --to-destination %s\nCOMMIT\n*filter\n-A FORWARD -p tcp\nCOMMIT\n",
					p.cluster, netip.AddrPortFrom(p.pods[0], 80))
				if err := k.Apply(ctx, []datapath.Op{datapath.IPTablesRestore{Family: f, Text: text}}); err != nil {
					t.Fatal(err)
				}
				flow := kernel.Flow{Proto: packet.TCP, Src: port0(p.pod), Dst: netip.AddrPortFrom(p.cluster, 80)}
				const n = 100
				log, err := k.Run(ctx, repeat(flow, n), kernel.RunOptions{Workers: 1})
				if err != nil {
					t.Fatal(err)
				}
				var out, in uint32
				for i, o := range log.Outcomes {
					if o.Failure != box.None || o.Sequence != i || o.ID != uint64(i) {
						t.Fatalf("outcome %d: %+v", i, o)
					}
					out, in = out+o.SegmentsOut+1, in+o.SegmentsIn
				}
				nat, err := k.Counters(ctx, f, "nat", "PREROUTING")
				if err != nil {
					t.Fatal(err)
				}
				if len(nat) != 2 || nat[1].Packets != n {
					t.Errorf("table nat counted %v, want %d at its rule", nat, n)
				}
				policy := uint64(out + in)
				if variant == datapath.NFT {
					policy = 0 // a base chain of nf_tables has no counter for its policy
				}
				filter, err := k.Counters(ctx, f, "filter", "FORWARD")
				if err != nil {
					t.Fatal(err)
				}
				if len(filter) != 2 || filter[1].Packets != uint64(out+in) || filter[0].Packets != policy || out+in != 6*n {
					t.Errorf("FORWARD counted %v; the clients sent %d and got %d segments, want %d of both", filter, out, in, 6*n)
				}
				for _, chain := range []string{"INPUT", "OUTPUT"} {
					c, err := k.Counters(ctx, f, "filter", chain)
					if err != nil {
						t.Fatal(err)
					}
					if c[0].Packets != 0 {
						t.Errorf("%s counted %d packets that belong to no flow", chain, c[0].Packets)
					}
				}
			})
		}
	}
}

func repeat(f kernel.Flow, n int) []kernel.Flow {
	out := make([]kernel.Flow, n)
	for i := range out {
		out[i] = f
		out[i].ID = uint64(i)
	}
	return out
}

// TestKernelChunks loads more rules than fit one transaction of the nft variant without privilege, and finds each again.
func TestKernelChunks(t *testing.T) {
	needKernel(t)
	const services = 1000
	var b strings.Builder
	b.WriteString("*nat\n")
	for i := range services {
		fmt.Fprintf(&b, ":KUBE-SVC-%04d - [0:0]\n", i)
	}
	for i := range services {
		fmt.Fprintf(&b, "-A PREROUTING -d 10.%d.%d.1/32 -p tcp -m comment --comment \"default/s%d: a comment\" -m tcp --dport 80 -j KUBE-SVC-%04d\n", 96+i/250, i%250, i, i)
		fmt.Fprintf(&b, "-A KUBE-SVC-%04d -p tcp -j DNAT --to-destination 10.244.36.124:80\n", i)
	}
	b.WriteString("COMMIT\n")
	for _, variant := range []datapath.Variant{datapath.Legacy, datapath.NFT} {
		k, ctx := start(t, kernel.Config{Vehicle: kernel.VehicleRootless, Variant: variant, Topology: placeOf(packet.IPv4).topology(packet.TCP)})
		begin := time.Now()
		if err := k.Apply(ctx, []datapath.Op{datapath.IPTablesRestore{Family: packet.IPv4, Text: b.String()}}); err != nil {
			t.Fatal(err)
		}
		took := time.Since(begin)
		dump, err := k.Dump(ctx, packet.IPv4)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(dump, "] -A "); got != 2*services {
			t.Errorf("%s: %d rules are there, want %d", variant, got, 2*services)
		}
		t.Logf("%s: %d rules in %s", variant, 2*services, took)
	}
}

// TestKernelThroughput opens 20,000 TCP connections through the article's rules and prints their rate.
func TestKernelThroughput(t *testing.T) {
	needKernel(t)
	for _, variant := range []datapath.Variant{datapath.Legacy, datapath.NFT} {
		begin := time.Now()
		p := placeOf(packet.IPv4)
		k, ctx := start(t, kernel.Config{Vehicle: kernel.VehicleRootless, Variant: variant, Topology: p.topology(packet.TCP)})
		if err := k.Apply(ctx, []datapath.Op{datapath.IPTablesRestore{Family: packet.IPv4, Text: rules(t, packet.IPv4, packet.TCP)}}); err != nil {
			t.Fatal(err)
		}
		var flows []kernel.Flow
		for i := range 20000 {
			src := netip.AddrFrom4([4]byte{10, 244, 36, byte(1 + i%100)})
			flows = append(flows, kernel.Flow{ID: uint64(i), Proto: packet.TCP, Src: port0(src), Dst: netip.AddrPortFrom(p.cluster, 80)})
		}
		log, err := k.Run(ctx, flows, kernel.RunOptions{})
		if err != nil {
			t.Fatal(err)
		}
		failed := map[string]int{}
		for _, o := range log.Outcomes {
			if o.Failure != box.None {
				failed[string(o.Failure)+" "+o.Errno]++
			}
		}
		if len(failed) > 0 || len(log.Outcomes) != len(flows) {
			t.Errorf("%s: of %d outcomes failed %v", variant, len(log.Outcomes), failed)
		}
		t.Logf("%s: %d connections in %s: %.0f a second; %d retransmissions; %s from start to end",
			variant, len(flows), log.Elapsed, float64(len(flows))/log.Elapsed.Seconds(), log.Retransmits, time.Since(begin))
	}
}

// TestKernelCancel: a run that is cancelled returns within 2 s with what is known, and the box's process is gone.
func TestKernelCancel(t *testing.T) {
	needKernel(t)
	p := placeOf(packet.IPv4)
	k, ctx := start(t, kernel.Config{Topology: p.topology(packet.TCP)})
	flows := repeat(kernel.Flow{Proto: packet.TCP, Src: port0(p.pod), Dst: netip.AddrPortFrom(p.pods[1], 80)}, 40000)
	ctx, cancel := context.WithCancel(ctx)
	var begin time.Time
	log, err := k.Run(ctx, flows, kernel.RunOptions{Progress: func(done int) {
		if begin.IsZero() && done >= 500 {
			begin = time.Now()
			cancel()
		}
	}})
	if err == nil || log == nil {
		t.Fatalf("a cancelled run: log %v, error %v", log != nil, err)
	}
	k.Close()
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
	if !log.Partial || len(log.Outcomes) < 500 || len(log.Outcomes) >= len(flows) {
		t.Errorf("%d outcomes, partial %v", len(log.Outcomes), log.Partial)
	}
}

// TestKernelBackendsChange: a Pod that goes away stops answering, and one that comes answers.
func TestKernelBackendsChange(t *testing.T) {
	needKernel(t)
	p := placeOf(packet.IPv4)
	top := p.topology(packet.TCP)
	k, ctx := start(t, kernel.Config{Topology: top})
	ask := func(a netip.Addr) box.Failure {
		t.Helper()
		log, err := k.Run(ctx, []kernel.Flow{{Proto: packet.TCP, Src: port0(p.pod), Dst: netip.AddrPortFrom(a, 80)}}, kernel.RunOptions{Timeout: 200 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		return log.Outcomes[0].Failure
	}
	if got := ask(p.pods[0]); got != box.None {
		t.Errorf("first: %s", got)
	}
	if err := k.SetBackends(ctx, top.Backends[1:]); err != nil {
		t.Fatal(err)
	}
	if got := ask(p.pods[0]); got != box.Timeout {
		t.Errorf("gone: %q, want a timeout", got)
	}
	if err := k.SetBackends(ctx, top.Backends); err != nil {
		t.Fatal(err)
	}
	if got := ask(p.pods[0]); got != box.None {
		t.Errorf("back: %s", got)
	}
}

// TestKernelHairpin: a Pod that is sent to itself needs masquerading, since it drops what claims to come from its own address.
// (Linux 6.1 and 6.18, recorded: TIMEOUT without masquerade, CONNECTED from the node's address with it.) Another Pod of the
// node needs none.
func TestKernelHairpin(t *testing.T) {
	needKernel(t)
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		for _, proto := range []packet.Protocol{packet.TCP, packet.UDP} {
			t.Run(fmt.Sprintf("%s/%s", f, proto), func(t *testing.T) {
				p := placeOf(f)
				k, ctx := start(t, kernel.Config{Topology: p.topology(proto)})
				apply := func(rules string) {
					t.Helper()
					if err := k.Apply(ctx, []datapath.Op{datapath.IPTablesRestore{Family: f, Text: rules}}); err != nil {
						t.Fatal(err)
					}
				}
				ask := func(src netip.Addr) kernel.Outcome {
					t.Helper()
					flow := kernel.Flow{Proto: proto, Src: port0(src), Dst: netip.AddrPortFrom(p.cluster, 80)}
					log, err := k.Run(ctx, []kernel.Flow{flow}, kernel.RunOptions{Timeout: 300 * time.Millisecond})
					if err != nil {
						t.Fatal(err)
					}
					return log.Outcomes[0]
				}
				dnat := fmt.Sprintf("*nat\n-A PREROUTING -d %s -p %s --dport 80 -j DNAT --to-destination %s\n", p.cluster, proto, netip.AddrPortFrom(p.pods[1], 80))
				apply(dnat + "COMMIT\n")
				if o := ask(p.pods[1]); o.Failure != box.Timeout {
					t.Errorf("itself, not masqueraded: %+v", o)
				}
				if o := ask(p.pods[2]); o.Failure != box.None || o.Peer != o.Src {
					t.Errorf("another Pod, not masqueraded: %+v", o)
				}
				apply(dnat + fmt.Sprintf("-A POSTROUTING -s %s -d %[1]s -j MASQUERADE\nCOMMIT\n", p.pods[1]))
				if o := ask(p.pods[1]); o.Failure != box.None || o.Peer.Addr() != p.node {
					t.Errorf("itself, masqueraded: %+v", o)
				}
			})
		}
	}
}

// TestKernelHold: a connection that its client holds stays open, at both ends, and closes as asked: tracked as ESTABLISHED
// (nf_conntrack_tcp.h: 3) meanwhile, then as CLOSE (8) after a reset and TIME_WAIT (7) after FINs from both sides. On a machine
// that stalls for longer than a retransmission timeout, data and FIN may be sent again as one, which a client in TIME_WAIT
// resets: three attempts.
func TestKernelHold(t *testing.T) {
	needKernel(t)
	p := placeOf(packet.IPv4)
	k, ctx := start(t, kernel.Config{Topology: p.topology(packet.TCP)})
	track := "*filter\n-A FORWARD -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n"
	if err := k.Apply(ctx, []datapath.Op{datapath.IPTablesRestore{Family: packet.IPv4, Text: track}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		fin  bool
		want uint8
	}{{false, 8}, {true, 7}} {
		var err error
		for range 3 {
			flow := kernel.Flow{Proto: packet.TCP, Src: port0(p.outside), Dst: netip.AddrPortFrom(p.pods[1], 80), Hold: 400 * time.Millisecond, FIN: c.fin}
			if err = hold(ctx, k, flow, c.want); err == nil {
				break
			}
			t.Logf("FIN %v: %v", c.fin, err)
		}
		if err != nil {
			t.Errorf("FIN %v: three times not as wanted", c.fin)
		}
	}
}

// hold sends one flow and watches its state: established while it is held, and then what is wanted.
func hold(ctx context.Context, k *kernel.Kernel, flow kernel.Flow, want uint8) error {
	done := make(chan *kernel.Log, 1)
	go func() {
		log, _ := k.Run(ctx, []kernel.Flow{flow}, kernel.RunOptions{})
		done <- log
	}()
	first := await(ctx, k, 3, 0)
	log := <-done
	if log == nil || len(log.Outcomes) != 1 || log.Outcomes[0].Failure != box.None {
		return fmt.Errorf("log %+v", log)
	}
	if first != nil {
		return fmt.Errorf("while it is held: %w", first)
	}
	if err := await(ctx, k, want, log.Outcomes[0].Src.Port()); err != nil {
		return fmt.Errorf("closed: %w; %d retransmissions", err, log.Retransmits)
	}
	return nil
}

// await waits for a tracked connection in a state, of a client port or any.
func await(ctx context.Context, k *kernel.Kernel, want uint8, port uint16) error {
	var seen []uint8
	for range 100 {
		list, err := k.Conntrack(ctx, packet.IPv4)
		if err != nil {
			return err
		}
		for _, e := range list {
			if port != 0 && e.Orig.Src.Port() != port {
				continue
			}
			if seen = append(seen, e.TCPState); e.TCPState == want {
				return nil
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("states %v, want %d", slices.Compact(seen), want)
}
