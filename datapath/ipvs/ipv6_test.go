package ipvs

import (
	"testing"

	"net/netip"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// Expectation: the picks of a Linux 6.1.176 kernel (User Mode Linux), as its /proc/net/ip_vs and ip_vs_conn showed them in
// testdata/ipv6-*: 30 clients, one datagram each to seven services. Flags, which /proc does not show, are by the service's
// last number; fd00:2::5 of the fallback services was set from weight 5 to 0 after the others were added.
func TestHashesOfIPv6AreThoseOfTheKernel(t *testing.T) {
	flags := map[byte]SchedulerFlags{0x12: SHPort, 0x13: SHFallback, 0x15: MHPort, 0x16: MHFallback, 0x17: MHFallback | MHPort}
	d, err := ParseProcServices("ip_vs", read(t, "testdata/ipv6-proc-ip_vs.txt"), 100)
	if err != nil {
		t.Fatal(err)
	}
	for i := range d.Services {
		s := &d.Services[i]
		s.Flags = flags[s.Key.Addr.Addr().As16()[15]]
		for k := range s.Servers {
			if s.Servers[k].Weight == 0 {
				s.Servers[k].Weight = 5
			}
		}
	}
	tab, err := Load(DefaultSysctls(), d.Commands())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range d.Services {
		if s.Flags&MHFallback != 0 {
			c := DestinationConfig{Addr: netip.MustParseAddrPort("[fd00:2::5]:5353")}
			if err := tab.EditDestination(s.Key, c); err != nil {
				t.Fatal(err)
			}
		}
	}
	want, err := ParseProcConns("ip_vs_conn", read(t, "testdata/ipv6-proc-ip_vs_conn.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if len(want.Conns) != 210 {
		t.Fatalf("%d entries", len(want.Conns))
	}
	w := clientWalk()
	for _, c := range want.Conns {
		p := packet.Packet{Src: c.Client, Dst: c.Virtual, Proto: packet.UDP}
		if r := tab.Request(w, &p); r.Verdict != netfilter.Stolen || p.Dst != c.Server {
			t.Errorf("%s > %s: %s, the kernel picked %s", c.Client, c.Virtual, p.Dst, c.Server)
		}
	}
}
