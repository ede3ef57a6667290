package netstack

import (
	"net/netip"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/replay"
)

// TestPortUnreachableThroughNAT: nothing listens at the endpoints any more, whose stacks say so. What they quote is what reached
// them; the client must hear of what it sent, or its socket would not know that it is meant: from a Pod (translated destination) and
// from outside (source too).
func TestPortUnreachableThroughNAT(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		u := build(t, shape{v6: v6, Options: Options{Checksums: true}})
		for i, b := range u.backends {
			b.Unlisten(packet.UDP, netip.AddrPortFrom(u.back(i), 5353))
			b.Unlisten(packet.TCP, netip.AddrPortFrom(u.back(i), 8080))
		}
		for name, from := range map[string]*Host{"pod": u.pod, "outside": u.outer, "node": u.node.Host()} {
			tcp, udp := u.web(), u.dns()
			if name != "pod" {
				tcp, udp = netip.AddrPortFrom(u.nodeIP(), 30080), netip.AddrPortFrom(u.nodeIP(), 30053)
			}
			var heard []packet.Packet
			from.tap = func(it *item) bool {
				var p packet.Packet
				var l layout
				b := bytesOf(nil, it.pkt)
				if read(flat(b), len(b), &p, &l) == sound && p.IsICMPError() {
					heard = append(heard, p)
					if err := soundSums(b); err != nil {
						t.Error(err)
					}
				}
				return true
			}
			if r := u.try(t, from, Open{Proto: packet.UDP, Dst: udp}); r.result != replay.Refused {
				t.Errorf("v6 %v UDP from %s: %v", v6, name, r.result)
			}
			if len(heard) != 1 || heard[0].Quoted.Dst != udp {
				t.Errorf("v6 %v from %s: told %v, want an error about %s", v6, name, heard, udp)
			}
			if r := u.try(t, from, Open{Proto: packet.TCP, Dst: tcp}); r.result != replay.Refused {
				t.Errorf("v6 %v TCP from %s: %v", v6, name, r.result)
			}
			from.tap = nil
		}
	}
}

// TestTimeExceeded sends datagrams through the Service: one with two hops to live reaches the endpoint. About one of the same flow
// with a single hop the node tells the sender, as it was sent, and in the name of the address it was sent to: an ICMP error in
// answer's direction is translated as answers are (net/netfilter/nf_nat_proto.c, nf_nat_icmp_reply_translation).
func TestTimeExceeded(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		u := build(t, shape{v6: v6})
		raw := u.pick("10.244.0.200", "fd00:244::200")
		p := u.f.AddPort(u.node, raw)
		for i, x := range fragmentsOf(v6, netip.AddrPortFrom(raw, 4000), u.dns(), 16, 1500) {
			for _, ttl := range []byte{2, 1} {
				want := packet.UDP
				if ttl == 1 {
					want = map[bool]packet.Protocol{false: packet.ICMP, true: packet.ICMPv6}[v6]
				}
				b := append([]byte(nil), x...)
				if v6 {
					b = craft(newRand(), true, packet.UDP, netip.AddrPortFrom(raw, 4000), u.dns(), make([]byte, 16))
					b[7] = ttl
				} else {
					b[8] = ttl
					b[10], b[11] = 0, 0
					s := ^uint16(checksum(b[:20], 0))
					b[10], b[11] = byte(s>>8), byte(s)
				}
				_, _ = p.Write(b)
				u.f.Advance(u.f.Now() + time.Second)
				got, ok := p.Poll()
				if !ok {
					t.Fatalf("v6 %v ttl %d: no answer to %d", v6, ttl, i)
				}
				var q packet.Packet
				var l layout
				if f := read(flat(got), len(got), &q, &l); f != sound || q.Proto != want || soundSums(got) != nil {
					t.Errorf("v6 %v ttl %d: %+v", v6, ttl, q)
				}
				if ttl == 1 && (q.Src.Addr() != u.vip() || q.Quoted.Dst != u.dns() || q.ICMPType != map[bool]uint8{false: 11, true: 3}[v6]) {
					t.Errorf("v6 %v: %+v", v6, q)
				}
			}
		}
	}
}

// TestEcho pings an endpoint through the node from a raw port, and the node itself.
func TestEcho(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		u := build(t, shape{v6: v6})
		raw := u.pick("10.244.0.200", "fd00:244::200")
		p := u.f.AddPort(u.node, raw)
		icmp, reply := packet.ICMP, uint8(0)
		if v6 {
			icmp, reply = packet.ICMPv6, 129
		}
		for _, to := range []netip.Addr{u.back(0), u.nodeIP()} {
			_, _ = p.Write(craft(newRand(), v6, icmp, netip.AddrPortFrom(raw, 77), netip.AddrPortFrom(to, 0), []byte("payload")))
			u.f.Advance(u.f.Now() + time.Second)
			b, ok := p.Poll()
			if !ok {
				t.Fatalf("v6 %v: %s does not answer", v6, to)
			}
			var q packet.Packet
			var l layout
			if f := read(flat(b), len(b), &q, &l); f != sound || q.ICMPType != reply || q.Src.Addr() != to || soundSums(b) != nil {
				t.Errorf("v6 %v: %v %+v %v", v6, f, q, soundSums(b))
			}
		}
	}
}

// TestRejects lets a rule of the node refuse what is forwarded to the endpoints, in each way that REJECT has. What sockets are told is
// in net/ipv4/icmp.c (icmp_err_convert) and net/ipv6/icmp.c (tab_unreach): TCP hears of all while it connects, UDP of those that
// are fatal.
func TestRejects(t *testing.T) {
	const refused, unreachable, silence = replay.Refused, replay.Unreachable, replay.TimedOut
	for _, x := range []struct {
		v6       bool
		with     string
		tcp, udp replay.Result
	}{
		{false, "icmp-port-unreachable", refused, refused},
		{false, "icmp-net-unreachable", unreachable, silence},
		{false, "icmp-host-unreachable", unreachable, silence},
		{false, "icmp-proto-unreachable", unreachable, unreachable},
		{false, "icmp-net-prohibited", unreachable, unreachable},
		{false, "icmp-host-prohibited", unreachable, unreachable},
		{false, "icmp-admin-prohibited", unreachable, unreachable},
		{true, "icmp6-port-unreachable", refused, refused},
		{true, "icmp6-no-route", unreachable, silence},
		{true, "icmp6-adm-prohibited", unreachable, unreachable},
		{true, "icmp6-addr-unreachable", unreachable, silence},
		{false, "tcp-reset", refused, silence},
		{true, "tcp-reset", refused, silence},
	} {
		u := build(t, shape{v6: x.v6, Options: Options{Checksums: true}})
		fam := packet.IPv4
		if x.v6 {
			fam = packet.IPv6
		}
		rules := "*filter\n-I FORWARD 1 -p tcp -m tcp --dport 8080 -j REJECT --reject-with " + x.with + "\n"
		if x.with != "tcp-reset" {
			rules += "-I FORWARD 1 -p udp -m udp --dport 5353 -j REJECT --reject-with " + x.with + "\n"
		} else {
			rules += "-I FORWARD 1 -p udp -m udp --dport 5353 -j DROP\n"
		}
		must2(t, u.dp.Apply(datapath.IPTablesRestore{Family: fam, NoFlush: true, Text: rules + "COMMIT\n"}))
		if r := u.try(t, u.pod, Open{Proto: packet.TCP, Dst: u.web(), Timeout: 2 * time.Second}); r.result != x.tcp {
			t.Errorf("%s, TCP: %v, want %v", x.with, r.result, x.tcp)
		}
		if r := u.try(t, u.pod, Open{Proto: packet.UDP, Dst: u.dns(), Timeout: 2 * time.Second}); r.result != x.udp {
			t.Errorf("%s, UDP: %v, want %v", x.with, r.result, x.udp)
		}
		if s := u.f.Stats(); s.BadChecksum+s.Stacks.ChecksumErrors+s.Stacks.Malformed != 0 {
			t.Errorf("%s: %+v", x.with, s)
		}
	}
}
