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

// TestResetOfTranslated: the RST for a connection whose destination is translated comes from the address and port that the client
// asked for, or its socket would not know it (nf_reject_ipv4.c, nf_send_reset; nf_nat_core.c, nf_nat_inet_fn: it is attached to the
// connection as RELATED, and only ICMP is translated as an error).
func TestResetOfTranslated(t *testing.T) {
	r := route.New()
	r.AddInterface(route.Interface{Name: "eth0"})
	r.AddAddress("eth0", netip.MustParsePrefix("192.168.1.1/32"))
	r.AddRoute(route.Route{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Interface: "eth0"})
	n := datapath.NewNode(datapath.DefaultProfile(), r)
	n.SetSource(seed.Root(1).Stream("chance"))
	if err := n.Apply(datapath.IPTablesRestore{Family: packet.IPv4, Text: "*nat\n-A PREROUTING -d 10.96.0.1/32 -p tcp -j DNAT --to-destination 10.244.0.2:8080\nCOMMIT\n" +
		"*filter\n-A FORWARD -p tcp -j REJECT --reject-with tcp-reset\nCOMMIT\n"}); err != nil {
		t.Fatal(err)
	}
	client, asked := netip.MustParseAddrPort("10.244.0.9:4000"), netip.MustParseAddrPort("10.96.0.1:80")
	p := packet.Packet{Src: client, Dst: asked, Proto: packet.TCP, TCPFlags: packet.SYN, LengthBytes: 60, TTL: 64}
	d := n.Receive(time.Second, "eth0", &p)
	if d.Fate != datapath.Rejected || d.Answer == nil {
		t.Fatal(d)
	}
	if a := d.Answer; a.Src != asked || a.Dst != client || a.TCPFlags != packet.RST|packet.ACK || a.Quoted.IsValid() {
		t.Errorf("the answer is %+v, want a RST from %s to %s", *a, asked, client)
	}
}
