package netstack

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/replay"
)

func TestSpike(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, proto := range []packet.Protocol{packet.TCP, packet.UDP} {
			u := build(t, shape{v6: v6})
			var got []string
			open := func(i int, h *Host, dst netip.AddrPort) {
				err := h.Open(Open{Flow: int64(i), Proto: proto, Dst: dst, Timeout: 3 * time.Second}, func(now time.Duration, r replay.Result, c *Conn) {
					got = append(got, fmt.Sprint(i, now, r))
					if c == nil {
						return
					}
					c.Exchange(16, 16, func(now time.Duration, why string) {
						ep, seen := c.Endpoint()
						got = append(got, fmt.Sprint(i, now, why, ep, seen))
						c.Close()
					})
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			port := map[packet.Protocol]uint16{packet.TCP: 80, packet.UDP: 53}[proto]
			np := map[packet.Protocol]uint16{packet.TCP: 30080, packet.UDP: 30053}[proto]
			for i := range 5 {
				open(i, u.pod, netip.AddrPortFrom(u.vip(), port))
			}
			open(10, u.outer, netip.AddrPortFrom(u.nodeIP(), np))
			open(11, u.node.Host(), netip.AddrPortFrom(u.vip(), port))
			open(12, u.node.Host(), netip.AddrPortFrom(u.nodeIP(), np))
			open(13, u.backends[0], netip.AddrPortFrom(u.vip(), port))
			open(14, u.pod, netip.AddrPortFrom(u.empty(), port))
			open(15, u.node.Host(), netip.AddrPortFrom(u.empty(), port))
			open(16, u.pod, netip.AddrPortFrom(u.back(0), 99))
			open(17, u.pod, netip.AddrPortFrom(u.pick("10.244.0.77", "fd00:244::77"), 99))
			u.f.Advance(10 * time.Second)
			t.Log(v6, proto, "\n"+strings.Join(got, "\n"))
			t.Logf("%+v", u.f.Stats())
		}
	}
}
