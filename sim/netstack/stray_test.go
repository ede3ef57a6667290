package netstack

import (
	"net/netip"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/replay"
)

// A stray segment follows the next segment with data of its flow, once, and is told to the node; two datagrams of one socket are
// walked together when that is asked for, and each comes to its end.
func TestStrayAndTogether(t *testing.T) {
	strays, together := 0, 0
	var pairs int
	u := build(t, shape{Options: Options{
		After: func(_ *Node, _ string, was, _ *packet.Packet, d *datapath.Disposition) {
			if was.OutOfWindow {
				strays++
			}
		},
		Together: func(_ *Node, _ string, p *packet.Packet) bool { together++; return true },
	}})
	var conn *Conn
	var answered int
	if err := u.pod.Open(Open{Flow: 7, Proto: packet.TCP, Dst: u.web()}, func(_ time.Duration, r replay.Result, c *Conn) { conn = c }); err != nil {
		t.Fatal(err)
	}
	u.f.Advance(time.Second)
	if conn == nil {
		t.Fatal("no connection")
	}
	endpoint, _ := conn.Endpoint()
	u.f.HostOf(endpoint.Addr()).Stray(7)
	for range 3 {
		conn.Exchange(100, 100, func(_ time.Duration, why string) {
			if why == "" {
				answered++
			}
		})
	}
	u.f.Advance(2 * time.Second)
	if answered != 3 || strays != 1 {
		t.Errorf("%d of 3 requests were answered, %d strays", answered, strays)
	}
	m, err := u.pod.OpenMessages(9, packet.UDP, netip.AddrPortFrom(u.podIP(), 40000), u.dns(), func(time.Duration, []byte) { pairs++ }, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.Send(9, []byte("one"))
	m.Send(9, []byte("two"))
	u.f.Advance(3 * time.Second)
	if pairs != 2 || together == 0 {
		t.Errorf("%d of 2 datagrams were answered, %d pairs", pairs, together)
	}
}
