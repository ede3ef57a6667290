package topology

import (
	"net/netip"
	"testing"

	"github.com/svclab/svclab/datapath/packet"
)

func flow(port uint16) packet.Tuple {
	return packet.Tuple{Proto: packet.TCP, Src: netip.AddrPortFrom(netip.MustParseAddr("198.51.100.7"), port), Dst: netip.MustParseAddrPort("203.0.113.1:80")}
}

// What each balancer promises: turns are even, a hash keeps a connection on its node, one announcer has all.
func TestBalancers(t *testing.T) {
	const nodes, n = 3, 3000
	for name, b := range map[string]Balancer{"round robin": &RoundRobin{}, "ecmp": ECMP{}, "l2": L2{}} {
		var got [nodes]int
		for i := range n {
			got[b.Pick(int64(i), flow(uint16(1024+i)), nodes)]++
		}
		for i, c := range got {
			num, den := b.Share(i, nodes)
			want := n * int(num) / int(den)
			slack := 0
			if name == "ecmp" {
				slack = 6 * 26 // six standard deviations of a binomial with n = 3000, p = 1/3
			}
			if c < want-slack || c > want+slack {
				t.Errorf("%s: node %d got %d connections, want %d within %d", name, i, c, want, slack)
			}
		}
	}
	e := ECMP{}
	for i := range 100 {
		if f := flow(uint16(i + 1)); e.Pick(0, f, 5) != e.Pick(99, f, 5) {
			t.Fatal("the hash of one five-tuple changed")
		}
	}
}
