package ipvs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// Expectation: testdata/sctp-states.txt, recorded from a kernel.
func TestSCTPStatesAreThoseOfTheKernel(t *testing.T) {
	n := 0
	for line := range strings.Lines(read(t, "testdata/sctp-states.txt")) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		n++
		sent, want, _ := strings.Cut(strings.TrimSpace(line), " -> ")
		var state string
		var seconds, active, inactive int
		if _, err := fmt.Sscan(want, &state, &seconds, &active, &inactive); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		l := newLab(t, packet.SCTP, false, "rr")
		words := strings.Fields(sent)
		if words[0] == "masq" {
			l.add(1, 1)
		} else {
			l.check(l.tab.AddDestination(l.key, DestinationConfig{Addr: withPort(l.server(1), 80), Weight: 1, Forward: DirectRoute}))
		}
		f := &labFlow{src: l.client(1), dst: l.virtual()}
		for _, w := range words[1:] {
			var c packet.SCTPChunk
			if _, err := fmt.Sscan(w[1:], &c); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if w[0] == 'C' {
				l.send(f, 0, c)
				continue
			}
			p := packet.Packet{Src: l.server(1), Dst: f.src, Proto: packet.SCTP, SCTPChunk: c}
			l.w.Hook = netfilter.Output
			l.tab.Reply(l.w, &p)
		}
		all := l.tab.Conns()
		c := all[len(all)-1]
		left := int(c.Left(l.w.Now) / time.Second)
		d := c.Dest
		if c.StateName() != state || left < seconds-1 || left > seconds+1 || d.Active != active ||
			d.Inactive != inactive && d.Inactive-(len(all)-1) != inactive {
			t.Errorf("%s: %s %d %d %d, the kernel had %s", sent, c.StateName(), left, d.Active, d.Inactive, want)
		}
	}
	if n < 100 {
		t.Fatalf("%d lines", n)
	}
}
