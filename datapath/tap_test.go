package datapath_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/route"
)

// A tap sees each packet at each hook it meets, with the rewrites of the hooks before, and nothing of what is taken back. The
// order of hooks is that of the drawing in package netfilter; the addresses are those of the rules below.
func TestTap(t *testing.T) {
	r := route.New()
	r.AddInterface(route.Interface{Name: "eth0"})
	r.AddAddress("eth0", netip.MustParsePrefix("192.168.10.11/32"))
	r.AddRoute(route.Route{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Interface: "eth0"})
	n := datapath.NewNode(datapath.DefaultProfile(), r)
	if err := n.Apply(datapath.IPTablesRestore{Family: packet.IPv4, Text: `*nat
-A PREROUTING -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.244.1.5:8080
-A POSTROUTING -j MASQUERADE
COMMIT
`}); err != nil {
		t.Fatal(err)
	}
	n.SetSource(netfilter.Words(func() uint32 { return 0 }))
	wanted, told := true, 0
	var hooks []netfilter.Hook
	var dst, src []netip.AddrPort
	n.SetTap(&datapath.Tap{
		Wants: func() bool { return wanted },
		Walked: func(now time.Duration, tr *netfilter.Trace, p *packet.Packet, d *datapath.Disposition) {
			told++
			if (tr != nil) != wanted {
				t.Errorf("trace %v, wanted %v", tr, wanted)
			}
			if tr == nil {
				return
			}
			for i, v := range tr.Visits {
				hooks, dst, src = append(hooks, v.Hook), append(dst, v.Packet.Dst), append(src, v.Packet.Src)
				if len(tr.Of(i)) == 0 && v.Hook != netfilter.Forward {
					t.Errorf("no step at %s", v.Hook)
				}
			}
			if now != time.Second || p.Src.Addr() != netip.MustParseAddr("192.168.10.11") || d.Fate != datapath.Forwarded {
				t.Errorf("at %s: %s %s", now, p.Src, d.Fate)
			}
		},
	})
	send := func(port uint16) {
		p := packet.Packet{
			Src: netip.AddrPortFrom(netip.MustParseAddr("203.0.113.7"), port), Dst: netip.MustParseAddrPort("10.96.0.1:80"),
			Proto: packet.TCP, TCPFlags: packet.SYN, TTL: 64, LengthBytes: 60,
		}
		n.Receive(time.Second, "eth0", &p)
	}
	var beside netfilter.Trace
	beside.Add(netfilter.Step{Result: "of an earlier packet"})
	n.SetTrace(&beside)
	send(1000)
	n.SetTrace(nil)
	if len(beside.Visits) != 3 || beside.Visits[0].Step != 1 || beside.Of(0)[0].Kind != netfilter.StepConntrack {
		t.Errorf("a trace beside the tap: %+v", beside)
	}
	if want := []netfilter.Hook{netfilter.PreRouting, netfilter.Forward, netfilter.PostRouting}; !slices.Equal(hooks, want) {
		t.Fatalf("hooks %v, want %v", hooks, want)
	}
	vip, pod := netip.MustParseAddrPort("10.96.0.1:80"), netip.MustParseAddrPort("10.244.1.5:8080")
	if want := []netip.AddrPort{vip, pod, pod}; !slices.Equal(dst, want) {
		t.Errorf("destinations %v, want %v", dst, want)
	}
	if client := netip.MustParseAddrPort("203.0.113.7:1000"); src[0] != client || src[2] != client {
		t.Errorf("sources %v: masqueraded before POSTROUTING", src)
	}
	var other netfilter.Trace
	other.Add(netfilter.Step{Result: "of an earlier packet"})
	n.SetTrace(&other)
	n.Undo(func() { send(1001) })
	n.SetTrace(nil)
	if len(other.Visits) != 3 || other.Visits[0].Step != 1 {
		t.Errorf("another trace beside the tap: %+v", other.Visits)
	}
	if told != 1 {
		t.Errorf("told of %d packets, one of which was taken back", told)
	}
	wanted = false
	send(1002)
	n.SetTap(nil)
	send(1003)
	if told != 2 {
		t.Errorf("told of %d packets, want 2", told)
	}
}
