package conntrack

import (
	"time"

	"github.com/svclab/svclab/datapath/journal"
	"github.com/svclab/svclab/datapath/packet"
)

// streamAfter is how long a UDP flow must have lived to count as a stream (nf_conntrack_proto_udp.c, stream_ts).
const streamAfter = 2 * time.Second

// udpPacket is the machine of UDP (nf_conntrack_proto_udp.c, nf_conntrack_udp_packet, v6.1): once a reply was seen, a
// packet later than two seconds after the first one makes the flow a stream, which lives longer and is assured.
func (t *Table) udpPacket(now time.Duration, c *Conn, j *journal.Journal) answer {
	if !c.Status.Has(Confirmed) {
		c.proto.streamAt = now + streamAfter
	}
	to := &t.cfg.Timeouts
	if !c.Status.Has(SeenReply) || now <= c.proto.streamAt {
		t.refresh(now, c, to.UDP, j)
		return packetValid
	}
	t.refresh(now, c, to.UDPStream, j)
	if !c.Status.Has(Clash) {
		c.Status |= Assured
	}
	return packetValid
}

// icmpPacket is the machine of ICMP and ICMPv6 queries (nf_conntrack_proto_icmp.c, nf_conntrack_icmp_packet): only a
// request makes an entry.
func (t *Table) icmpPacket(now time.Duration, c *Conn, timeout time.Duration, j *journal.Journal) answer {
	if !icmpRequest(c.Original.Proto, uint8(c.Original.Dst.Port()>>8)) {
		return packetInvalid
	}
	t.refresh(now, c, timeout, j)
	return packetValid
}

// icmpRequest reports whether a type asks a question.
func icmpRequest(p packet.Protocol, typ uint8) bool {
	if p == packet.ICMPv6 {
		return typ == 128
	}
	switch typ {
	case 8, 13, 15, 17: // echo, timestamp, information, address mask
		return true
	}
	return false
}

// icmpInvertible reports whether a type has an opposite.
func icmpInvertible(p packet.Protocol, typ uint8) bool {
	if p == packet.ICMPv6 {
		return typ == 128 || typ == 129
	}
	switch typ {
	case 0, 8, 13, 14, 15, 16, 17, 18:
		return true
	}
	return false
}

// icmpError relates an ICMP error to the connection of the packet it quotes (nf_conntrack_proto_icmp.c,
// nf_conntrack_inet_error). done is false for queries, which are tracked as flows of their own.
func (t *Table) icmpError(now time.Duration, p *packet.Packet, j *journal.Journal) (c *Conn, info Info, done bool) {
	if p.Proto == packet.ICMPv6 {
		switch p.ICMPType {
		case 130, 131, 132, 133, 134, 135, 136, 143: // group membership and neighbour discovery are never tracked
			return nil, Untracked, true
		}
	}
	if !p.IsICMPError() {
		return nil, 0, false
	}
	if p.Quoted.IsValid() {
		inner := reverse(&p.Quoted)
		c, reply := t.find(hashTuple(t.cfg.Seed, &inner), &inner, now)
		// The error must travel to where the answers of the quoted packet would.
		if c != nil && inner.Dst.Addr() == p.Dst.Addr() {
			if reply {
				return c, RelatedReply, true
			}
			return c, Related, true
		}
	}
	_, info, _ = t.invalid(j)
	return nil, info, true
}
