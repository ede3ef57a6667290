package netstack

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/replay"
)

// TestMessages sends messages through the Service, as datagrams and over TCP, to a server that turns them to upper case.
func TestMessages(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		u := build(t, shape{v6: v6, Options: Options{Link: Link{Delay: ms}}})
		upper := &MessageServer{Service: Service{Mean: ms}, Answer: func(_ packet.Protocol, m []byte) []byte {
			return []byte(strings.ToUpper(string(m)))
		}}
		for i, b := range u.backends {
			for at, proto := range map[uint16]packet.Protocol{8080: packet.TCP, 5353: packet.UDP} {
				if !b.Unlisten(proto, netip.AddrPortFrom(u.back(i), at)) {
					t.Fatal("nothing listened")
				}
				must2(t, b.ListenMessages(proto, netip.AddrPortFrom(u.back(i), at), upper))
			}
		}
		for proto, x := range map[packet.Protocol]struct {
			to, none netip.AddrPort
			want     string
		}{
			// 2 ms from Pod to Pod by way of the node, and 1 ms of work; TCP shakes hands first, 4 ms.
			packet.UDP: {u.dns(), netip.AddrPortFrom(u.empty(), 53), "5ms ONE 5ms TWO "},
			packet.TCP: {u.web(), netip.AddrPortFrom(u.empty(), 80), "9ms ONE 9ms TWO "},
		} {
			var got string
			start := u.f.Now()
			m, err := u.pod.OpenMessages(1, proto, netip.AddrPortFrom(u.podIP(), 5000), x.to, func(now time.Duration, b []byte) {
				got += (now - start).String() + " " + string(b) + " "
			}, nil)
			must2(t, err)
			m.Send(1, []byte("one"))
			m.Send(2, []byte("two"))
			u.f.Advance(u.f.Now() + time.Second)
			m.Close()
			if got != x.want {
				t.Errorf("%s: %q, want %q", proto, got, x.want)
			}
			var told []replay.Result
			m, err = u.pod.OpenMessages(1, proto, netip.AddrPortFrom(u.podIP(), 5001), x.none, func(time.Duration, []byte) { t.Error("an answer") },
				func(_ time.Duration, r replay.Result) { told = append(told, r) })
			must2(t, err)
			m.Send(1, []byte("x"))
			u.f.Advance(u.f.Now() + time.Second)
			m.Close()
			if len(told) != 1 || told[0] != replay.Refused {
				t.Errorf("%s to a Service without endpoints: %v", proto, told)
			}
		}
	}
}
