package netstack

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/replay"
)

// TestContent sends text through the Service, as datagrams and as a stream in pieces, to a server that turns it to upper case.
func TestContent(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		upper := func(_ time.Duration, _ packet.Protocol, _ netip.AddrPort, got []byte) ([]byte, int) {
			i := strings.IndexByte(string(got), '\n')
			if i < 0 {
				return nil, 0
			}
			return []byte(strings.ToUpper(string(got[:i+1]))), i + 1
		}
		u := build(t, shape{v6: v6, server: &Server{Answer: upper, Service: Service{Mean: ms}}, Options: Options{Link: Link{Delay: ms}}})
		var got []string
		d, err := u.pod.Datagram(1, netip.AddrPort{}, func(now time.Duration, from netip.AddrPort, b []byte) {
			got = append(got, now.String()+" "+string(b))
			if from != u.dns() {
				t.Errorf("answered by %s", from)
			}
		})
		must2(t, err)
		must2(t, d.Send(u.dns(), []byte("name\n")))
		u.f.Advance(time.Second)
		must2(t, u.pod.Open(Open{Flow: 2, Proto: packet.TCP, Dst: u.web()}, func(_ time.Duration, r replay.Result, c *Conn) {
			if r != replay.Answered {
				t.Fatal(r)
			}
			c.OnBytes(func(_ time.Duration, b []byte) { got = append(got, string(b)); c.Close() })
			c.Write([]byte("over "))
			c.Write([]byte("tcp\n"))
		}))
		u.f.Advance(2 * time.Second)
		// 4 links of 1 ms each way by way of the node, and 1 ms of service: 5 ms.
		if s := strings.Join(got, ""); s != "5ms NAME\nOVER TCP\n" {
			t.Errorf("got %q", s)
		}

		got = nil
		var told []replay.Result
		must2(t, d.Connect(netip.AddrPortFrom(u.empty(), 53), func(_ time.Duration, r replay.Result) { told = append(told, r) }))
		must2(t, d.Send(netip.AddrPortFrom(u.empty(), 53), []byte("x\n")))
		u.f.Advance(3 * time.Second)
		if len(got) > 0 || len(told) != 1 || told[0] != replay.Refused {
			t.Errorf("a Service without endpoints: %q, %v", got, told)
		}
		d.Close()
	}
}
