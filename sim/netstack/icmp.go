package netstack

import (
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/replay"
)

// fatal4 says which codes of "destination unreachable" a connected UDP socket is told (net/ipv4/icmp.c, icmp_err_convert). All
// others but "fragmentation needed" end a TCP handshake only (net/ipv4/tcp_ipv4.c, tcp_v4_err).
var fatal4 = [16]bool{2: true, 3: true, 6: true, 7: true, 8: true, 9: true, 10: true, 13: true, 14: true, 15: true}

// fatal6 is the same for ICMPv6 (net/ipv6/icmp.c, tab_unreach).
var fatal6 = [7]bool{1: true, 4: true, 5: true, 6: true}

// heed tells a socket about ICMP errors that gVisor passes over and Linux does not: it knows some codes for TCP, and for UDP only
// "port unreachable".
func (f *Fabric) heed(it *item) {
	var p packet.Packet
	var l layout
	if read(buffered(it.pkt), it.pkt.Size(), &p, &l) != sound || !p.Quoted.IsValid() {
		return
	}
	fatal, port := false, false
	switch {
	case p.Proto == packet.ICMP && p.ICMPType == 3 && int(p.ICMPCode) < len(fatal4) && p.ICMPCode != 4:
		fatal, port = fatal4[p.ICMPCode], p.ICMPCode == 3
	case p.Proto == packet.ICMPv6 && p.ICMPType == 1 && int(p.ICMPCode) < len(fatal6):
		fatal, port = fatal6[p.ICMPCode], p.ICMPCode == 4
	case p.Proto == packet.ICMPv6 && p.ICMPType == 2, p.Proto == packet.ICMP && p.ICMPType == 3 && p.ICMPCode == 4:
		if b, ok := buffered(it.pkt).need(l.l4 + icmpHeader); ok {
			it.to.learnPath(&p, &l, b)
		}
		return
	default:
		return
	}
	fl := f.flows.by[keyOf(p.Quoted.Proto, p.Quoted.Src, p.Quoted.Dst)]
	if fl != nil && fl.told != nil && !port && (fatal || p.Quoted.Proto == packet.TCP) {
		fl.told(replay.Unreachable)
	}
}

// unreachable is what an ICMP error says about the connection.
func (c *Conn) unreachable(r replay.Result) {
	switch {
	case c.state == opening:
		c.fail(r)
	case c.state == busy && c.o.Proto == packet.UDP:
		c.finish("destination is unreachable")
	}
}
