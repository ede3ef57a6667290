package kernel_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/datapath/share"
	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/input"
	"github.com/svclab/svclab/sim/kernel"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/seed"
)

// recorder is a model node that kube-proxy works on, and the operations that changed it.
type recorder struct {
	kubeproxy.NodeHost
	ops []datapath.Op
}

func (r *recorder) Run(op datapath.Op) error {
	err := r.NodeHost.Run(op)
	if err == nil {
		r.ops = append(r.ops, op)
	}
	return err
}

// subject is a model node synced by kube-proxy in iptables mode, and how it came about.
type subject struct {
	state service.State
	host  replay.Host
	node  *datapath.Node
	ops   []datapath.Op
}

func load(t *testing.T, file string) subject {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := input.Read([]input.Source{{Name: file, Data: data}})
	if err != nil {
		t.Fatal(err)
	}
	s := subject{}
	if s.state, _, err = objects.State(input.NodeOptions{Mode: service.ModeIPTables}); err != nil {
		t.Fatal(err)
	}
	s.host = replay.NewHost(&s.state)
	s.node = datapath.NewNode(datapath.DefaultProfile(), s.host.Routes())
	s.node.SetSource(seed.Root(1).Stream("agreement"))
	r := &recorder{NodeHost: kubeproxy.NodeHost{Node: s.node}}
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		p, err := kubeproxy.New(service.ModeIPTables, f, s.state, datapath.DefaultProfile())
		if err != nil {
			t.Fatal(err)
		}
		p.Start(r)
		if res, err := p.Sync(0, s.state, r, kubeproxy.Options{}); err != nil || res.Err != nil {
			t.Fatal(err, res.Err)
		}
	}
	s.ops = r.ops
	return s
}

// asked is one packet, and everything that the model says can become of it.
type asked struct {
	flow kernel.Flow
	want []share.Outcome
}

// questions asks every front end of every Service, from every class of source.
func (s *subject) questions(t *testing.T) []asked {
	t.Helper()
	var out []asked
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		var sources []netip.Addr
		for _, a := range s.host.NodeIPs {
			if packet.FamilyOf(a) == f {
				sources = append(sources, a)
				break
			}
		}
		for _, p := range s.host.PodCIDRs {
			if packet.FamilyOf(p.Addr()) == f {
				sources = append(sources, p.Masked().Addr().Next().Next().Next())
			}
		}
		if f == packet.IPv4 {
			sources = append(sources, netip.MustParseAddr("203.0.113.99"))
		} else {
			sources = append(sources, netip.MustParseAddr("2001:db8:99::99"))
		}
		for _, p := range s.state.Ports(f) {
			if p.Protocol != packet.TCP && p.Protocol != packet.UDP {
				continue
			}
			fronts := []netip.AddrPort{netip.AddrPortFrom(p.ClusterIP, p.Port)}
			if p.NodePort != 0 {
				for _, a := range s.host.NodeIPs {
					fronts = append(fronts, netip.AddrPortFrom(a, p.NodePort))
				}
			}
			for _, a := range append(append([]netip.Addr(nil), p.ExternalIPs...), p.LoadBalancerIPs...) {
				fronts = append(fronts, netip.AddrPortFrom(a, p.Port))
			}
			for _, dst := range fronts {
				if packet.FamilyOf(dst.Addr()) != f {
					continue
				}
				for _, src := range sources {
					want, err := share.Of(s.node, 0, s.host.Ingress(src), replay.FirstPacket(p.Protocol, netip.AddrPortFrom(src, 40000), dst))
					if err != nil {
						t.Fatal(err)
					}
					q := asked{flow: kernel.Flow{ID: uint64(len(out)), Proto: p.Protocol, Src: port0(src), Dst: dst}, want: want}
					out = append(out, q)
				}
			}
		}
	}
	return out
}

// quiet reports whether the model says that nothing comes back.
func (q *asked) quiet() bool {
	for _, w := range q.want {
		if w.Fate == datapath.Dropped || w.Fate == datapath.Forwarded && !w.Endpoint.IsValid() {
			return true
		}
	}
	return false
}

// allows reports whether the model says that this can become of the packet.
func (q *asked) allows(o *kernel.Outcome) bool {
	for _, w := range q.want {
		switch w.Fate {
		case datapath.Dropped:
			if o.Failure.Dropped() {
				return true
			}
		case datapath.Rejected, datapath.Delivered:
			if o.Failure == box.Refused {
				return true
			}
		case datapath.Forwarded:
			if !w.Endpoint.IsValid() && o.Failure.Dropped() {
				return true
			}
		}
		if w.Endpoint.IsValid() && o.Failure == box.None && o.Backend == w.Endpoint && o.Peer.Addr() == w.Source {
			return true
		}
	}
	return false
}

// TestKernelAgreement loads the rules that the model's kube-proxy makes of each manifest, by the very operations that loaded the
// model. The kernel must give the same rules back, and do with connections what the model says can become of them: endpoints,
// the source they see, refusals, silence.
func TestKernelAgreement(t *testing.T) {
	needKernel(t)
	files, err := filepath.Glob("../input/testdata/conformance/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no manifests", err)
	}
	for _, variant := range []datapath.Variant{datapath.Legacy, datapath.NFT} {
		for _, file := range files {
			t.Run(fmt.Sprintf("%s/%s", variant, strings.TrimSuffix(filepath.Base(file), ".yaml")), func(t *testing.T) { agree(t, file, variant) })
		}
	}
}

func agree(t *testing.T, file string, variant datapath.Variant) {
	s := load(t, file)
	top := kernel.TopologyOf(s.host, &s.state)
	k, ctx := start(t, kernel.Config{Vehicle: kernel.VehicleRootless, Variant: variant, Topology: top})
	if err := k.Apply(ctx, s.ops); err != nil {
		t.Fatal(err)
	}
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		dump, err := k.Dump(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		diff, err := kernel.Differences(s.node.Linked(f).Print(true), dump, kernel.DifferenceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range diff {
			t.Errorf("%s: %s", f, d)
		}
	}
	list := s.questions(t)
	var loud, quiet []kernel.Flow
	for _, q := range list {
		if q.quiet() {
			quiet = append(quiet, q.flow)
			continue
		}
		for range 4 {
			loud = append(loud, q.flow)
		}
	}
	got := map[box.Failure]int{}
	var logs []*kernel.Log
	for _, run := range []struct {
		flows   []kernel.Flow
		timeout time.Duration
	}{{loud, 0}, {quiet, 200 * time.Millisecond}} {
		workers := 0
		if len(s.node.Recent().Lists()) > 0 {
			workers = 1 // two first connections of one client at once may both find it on no list; the model takes one after the other
		}
		log, err := k.Run(ctx, run.flows, kernel.RunOptions{Workers: workers, Timeout: run.timeout})
		if err != nil {
			t.Fatal(err)
		}
		logs = append(logs, log)
		for _, o := range log.Outcomes {
			got[o.Failure]++
			if q := list[o.ID]; !q.allows(&o) {
				t.Errorf("%s %s to %s: the kernel: backend %v, peer %v, %q %s; the model: %+v", o.Proto, o.Src, o.Dst, o.Backend, o.Peer, o.Failure, o.Errno, q.want)
			}
		}
	}
	counters(ctx, t, k, &s, logs, variant)
	t.Logf("%d operations, %d questions; answered %d, refused %d, dropped %d",
		len(s.ops), len(list), got[box.None], got[box.Refused], got[box.Timeout]+got[box.NotPermitted])
}

// counters forces the model to the kernel's picks; then every rule must have counted the same packets in both, and every policy
// where the variant counts for policies.
func counters(ctx context.Context, t *testing.T, k *kernel.Kernel, s *subject, logs []*kernel.Log, variant datapath.Variant) {
	t.Helper()
	for _, log := range logs {
		wrong, exact, err := kernel.Forced(s.node, s.host, log)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range wrong {
			t.Error(m)
		}
		if !exact {
			t.Logf("counters not compared: %d retransmissions", log.Retransmits)
			return
		}
	}
	for _, f := range []packet.Family{packet.IPv4, packet.IPv6} {
		dump, err := k.Dump(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		diff, err := kernel.Differences(s.node.Linked(f).Print(true), dump, kernel.DifferenceOptions{Packets: true, Policies: variant == datapath.Legacy})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range diff {
			t.Errorf("%s counters: %s", f, d)
		}
	}
}
