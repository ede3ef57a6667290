package datapath_test

import (
	"net/netip"
	"testing"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/route"
)

// twoServers sends datagrams to 10.96.0.10:53 to two servers, as one draw or another has it.
const twoServers = `*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -d 10.96.0.10/32 -p udp --dport 53 -m statistic --mode random --probability 0.5 -j DNAT --to-destination 10.244.0.2:53
-A PREROUTING -d 10.96.0.10/32 -p udp --dport 53 -j DNAT --to-destination 10.244.0.3:53
COMMIT
`

// picks are draws given by hand.
type picks []bool

func (p *picks) Chance(uint32) bool {
	x := (*p)[0]
	*p = (*p)[1:]
	return x
}
func (*picks) Intn(int) int { return 0 }
func (*picks) Port(int) int { return 0 }

// Two datagrams of one socket that two processors take up at once draw twice. To one server the second joins the first; to two the
// later to be confirmed is dropped before Linux 5.6, and since then both arrive. One after the other they draw once.
func TestReceiveTogether(t *testing.T) {
	client, vip := netip.MustParseAddrPort("10.244.0.9:40000"), netip.MustParseAddrPort("10.96.0.10:53")
	for _, c := range []struct {
		name     string
		drops    bool
		draws    picks
		one, two datapath.Fate
		entries  int
	}{
		{"same server, 5.4", true, picks{true, true}, datapath.Forwarded, datapath.Forwarded, 1},
		{"two servers, 5.4", true, picks{true, false}, datapath.Dropped, datapath.Forwarded, 1},
		{"two servers, 6.1", false, picks{true, false}, datapath.Forwarded, datapath.Forwarded, 2},
	} {
		p := datapath.DefaultProfile()
		p.ClashDrops = c.drops
		r := route.New()
		r.AddInterface(route.Interface{Name: "eth0"})
		r.AddRoute(route.Route{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Interface: "eth0"})
		n := datapath.NewNode(p, r)
		if err := n.Apply(datapath.IPTablesRestore{Family: packet.IPv4, Text: twoServers}); err != nil {
			t.Fatal(err)
		}
		n.SetSource(&c.draws)
		a := packet.Packet{Src: client, Dst: vip, Proto: packet.UDP, TTL: 64, LengthBytes: 60}
		b := a
		one, two := n.ReceiveTogether(0, "eth0", &a, &b)
		if one.Fate != c.one || two.Fate != c.two || n.Conns.Len() != c.entries || len(c.draws) != 0 {
			t.Errorf("%s: %s and %s, %d entries, %d draws left", c.name, one.Fate, two.Fate, n.Conns.Len(), len(c.draws))
		}
		later := packet.Packet{Src: client, Dst: vip, Proto: packet.UDP, TTL: 64, LengthBytes: 60}
		if d := n.Receive(0, "eth0", &later); d.Fate != datapath.Forwarded || later.Dst != b.Dst {
			t.Errorf("%s: a later datagram goes to %s, not to %s", c.name, later.Dst, b.Dst)
		}
	}
}
