package conntrack

import (
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath/journal"
	"github.com/svclab/svclab/datapath/packet"
)

// Manip is the side of a tuple that a NAT hook may change (include/uapi/linux/netfilter/nf_nat.h, enum
// nf_nat_manip_type). It follows from the hook alone, for packets of both directions (HOOK2MANIP):
//
//	PREROUTING, OUTPUT     ManipDestination
//	INPUT, POSTROUTING     ManipSource
//
// What a hook does to a packet follows from its direction. A packet in original direction gets its destination
// translated (DNAT) at a ManipDestination hook and its source (SNAT) at a ManipSource hook; a reply gets its destination
// restored at a ManipDestination hook, if the connection has SrcNAT, and its source at a ManipSource hook, if it has
// DstNAT.
type Manip uint8

// The sides.
const (
	ManipSource      Manip = iota // INPUT and POSTROUTING
	ManipDestination              // PREROUTING and OUTPUT
)

var manipNames = [...]string{"source", "destination"}

func (m Manip) String() string { return manipNames[m] }

func (m Manip) nat() Status {
	if m == ManipSource {
		return SrcNAT
	}
	return DstNAT
}

func (m Manip) done() Status {
	if m == ManipSource {
		return SrcNATDone
	}
	return DstNATDone
}

// Range is what a NAT target allows (include/uapi/linux/netfilter/nf_nat.h, struct nf_nat_range2). The zero Range is
// that of a connection which no rule matched: the null binding, which keeps the address and changes a source port only
// if it must.
type Range struct {
	MinAddr, MaxAddr netip.Addr // invalid: the address stays; an invalid MaxAddr means MinAddr
	MinPort, MaxPort uint16     // or ICMP identifiers; a zero MaxPort means MinPort
	HasPorts         bool       // the ports above are given
	Random           bool       // --random: do not try the original port first
	RandomFully      bool       // --random-fully: likewise
	Persistent       bool       // --persistent: choose the address by the source alone
}

// NeedsNAT reports whether the nat chains are to be consulted for this packet at a hook of this side: it is New and its
// connection's binding for the side is not decided (net/netfilter/nf_nat_core.c, nf_nat_inet_fn). ICMP errors, the
// related packets there are, never need it; they are translated with the connection they belong to.
func (c *Conn) NeedsNAT(m Manip, info Info) bool {
	return info == New && !c.Status.Has(m.done())
}

// SetupNAT decides the binding of one side of an unconfirmed connection (net/netfilter/nf_nat_core.c,
// nf_nat_setup_info): it looks for a tuple within the range whose replies nobody else awaits, and changes the reply
// tuple. Randomness is asked for by chance.Intn(PortOffsets) only, and only when a port must be searched for in more than
// one. On a confirmed connection it changes nothing. It
// reports false when the packet must be dropped: the side was decided already.
func (c *Conn) SetupNAT(now time.Duration, m Manip, r Range, chance interface{ Intn(int) int }, j *journal.Journal) bool {
	if c.Status.Has(Confirmed) {
		return true
	}
	if c.Status.Has(m.done()) {
		return false
	}
	if j.On() {
		save(j, c)
	}
	null := !r.MinAddr.IsValid() && !r.HasPorts && !r.Random && !r.RandomFully
	if null && m == ManipSource {
		// By far the commonest binding: the reply tuple as it stands, if nobody else has it.
		h := hashTuple(c.table.cfg.Seed, &c.Reply)
		if other, _ := c.table.find(h, &c.Reply, now); other == nil {
			c.hash[1], c.hashed, c.freeAt = h, true, c.table.inserts
			c.Status |= SrcNATDone
			return true
		}
	}
	if !r.MaxAddr.IsValid() {
		r.MaxAddr = r.MinAddr
	}
	if r.HasPorts && r.MaxPort == 0 {
		r.MaxPort = r.MinPort
	}
	if m == ManipDestination && r.single() && c.Reply.Proto.HasPorts() && !c.table.cfg.TimeWaitReuse {
		c.setDestination(&r)
		return true
	}
	cur := reverse(&c.Reply)
	if null {
		r.MinAddr = cur.Src.Addr()
		if m == ManipDestination {
			r.MinAddr = cur.Dst.Addr()
		}
		r.MaxAddr = r.MinAddr
	}
	s := search{t: c.table, c: c, now: now, m: m, r: r, chance: chance, j: j}
	if tuple := s.unique(&cur); tuple != cur {
		c.Reply = reverse(&tuple)
		c.Status |= m.nat()
		c.hashed, c.freeAt = false, noInsert
	}
	if s.freeKnown && s.free == c.Reply {
		c.hash[1], c.hashed, c.freeAt = s.freeHash, true, c.table.inserts
	}
	if m == ManipSource && c.Status.Has(SrcNAT) {
		c.table.mapSource(c, j)
	}
	c.Status |= m.done()
	return true
}

// single reports whether the range leaves no choice: at most one address and one port.
func (r *Range) single() bool { return r.MinAddr == r.MaxAddr && r.MinPort == r.MaxPort }

// setDestination binds the destination to a range without choice. A search would come to the same result, since the last
// tuple tried stays even when it is taken.
func (c *Conn) setDestination(r *Range) {
	addr, port := c.Reply.Src.Addr(), c.Reply.Src.Port()
	if r.MinAddr.IsValid() {
		addr = r.MinAddr
	}
	if r.HasPorts {
		port = r.MinPort
	}
	if to := netip.AddrPortFrom(addr, port); to != c.Reply.Src {
		c.Reply.Src = to
		c.Status |= DstNAT
		c.hashed, c.freeAt = false, noInsert
	}
	c.Status |= DstNATDone
}

// IsDNAT reports whether the destination was translated: the virtual state DNAT of -m conntrack, which holds for packets
// of both directions (net/netfilter/xt_conntrack.c, XT_CONNTRACK_STATE_DNAT).
func (c *Conn) IsDNAT() bool { return c.Status.Has(DstNAT) }

// IsSNAT reports whether the source was translated: the virtual state SNAT.
func (c *Conn) IsSNAT() bool { return c.Status.Has(SrcNAT) }

// Translate changes a packet as its connection asks at a hook of side m (net/netfilter/nf_nat_core.c, nf_nat_packet),
// and reports whether anything was to be changed. The packet then looks like the inverse of the other direction's tuple.
// ICMP errors get the quoted packet translated with them (net/netfilter/nf_nat_proto.c, nf_nat_icmp_reply_translation).
// A nil connection changes nothing.
func (c *Conn) Translate(m Manip, info Info, p *packet.Packet) bool {
	if c == nil {
		return false
	}
	side := m
	if info.IsReply() {
		side = 1 - m
	}
	if !c.Status.Has(side.nat()) {
		return false
	}
	other := &c.Reply
	if info.IsReply() {
		other = &c.Original
	}
	query := p.Proto == packet.ICMP || p.Proto == packet.ICMPv6
	if query && (info == Related || info == RelatedReply) {
		c.translateError(m, other, p)
		return true
	}
	target := reverse(other) // of a RST that a rule sends, too: it is attached to the connection as related
	switch {
	case m == ManipSource:
		p.Src = target.Src
	case query:
		p.Dst = netip.AddrPortFrom(target.Dst.Addr(), p.Dst.Port())
		p.Src = netip.AddrPortFrom(p.Src.Addr(), target.Src.Port()) // the identifier
	default:
		p.Dst = target.Dst
	}
	return true
}

// translateError translates an ICMP error about the connection: outside the side of the hook, in the quoted packet,
// which went the other way, the opposite side. other is the tuple of the direction the error does not travel in.
func (c *Conn) translateError(m Manip, other *packet.Tuple, p *packet.Packet) {
	target := reverse(other)
	ports := p.Quoted.Proto.HasPorts()
	q := &p.Quoted
	if m == ManipSource {
		p.Src = netip.AddrPortFrom(target.Src.Addr(), p.Src.Port())
		port := q.Dst.Port()
		if ports {
			port = other.Dst.Port()
		} else {
			q.Src = netip.AddrPortFrom(q.Src.Addr(), other.Src.Port())
		}
		q.Dst = netip.AddrPortFrom(other.Dst.Addr(), port)
		return
	}
	p.Dst = netip.AddrPortFrom(target.Dst.Addr(), p.Dst.Port())
	q.Src = other.Src
}
