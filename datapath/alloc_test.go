package datapath_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/route"
	"github.com/svclab/svclab/sim/seed"
)

// TestWalkAllocatesNothing: a later packet of a translated connection costs no memory.
func TestWalkAllocatesNothing(t *testing.T) {
	r := route.New()
	r.AddInterface(route.Interface{Name: "eth0"})
	r.AddRoute(route.Route{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Interface: "eth0"})
	n := datapath.NewNode(datapath.DefaultProfile(), r)
	n.SetSource(seed.Root(1).Stream("chance"))
	if err := n.Apply(datapath.IPTablesRestore{Family: packet.IPv4, Text: "*nat\n-A PREROUTING -d 10.96.0.1/32 -p udp -j DNAT --to-destination 10.244.0.2:8080\nCOMMIT\n"}); err != nil {
		t.Fatal(err)
	}
	p := packet.Packet{Src: netip.MustParseAddrPort("10.244.0.9:4000"), Proto: packet.UDP, LengthBytes: 60}
	walk := func() {
		p.Dst = netip.MustParseAddrPort("10.96.0.1:80")
		p.TTL = 64
		if d := n.Receive(time.Second, "eth0", &p); d.Fate != datapath.Forwarded || p.Dst.Port() != 8080 {
			t.Fatal(d, p)
		}
	}
	walk()
	if got := testing.AllocsPerRun(1000, walk); got != 0 {
		t.Errorf("%v allocations", got)
	}
}
