package replay

import (
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
)

// World is one node with its neighbours: clients that send first packets, and endpoints that answer what reaches them.
type World struct {
	Host     Host
	Node     *datapath.Node
	Presence func(at netip.AddrPort, proto packet.Protocol) Presence
}

// Presence is what stands at an address and port.
type Presence uint8

// What can stand at an address and port. The zero value is Absent.
const (
	Absent    Presence = iota // no such host: packets vanish
	Closed                    // a host, but nothing listens: RST or ICMP port unreachable
	Listening                 // answers
)

// Everywhere is a Presence under which every address answers.
func Everywhere(netip.AddrPort, packet.Protocol) Presence { return Listening }

// Flow is one connection or datagram exchange, as its client sees it.
type Flow struct {
	Proto    packet.Protocol
	Src, Dst netip.AddrPort
	In       string // interface it arrives by; "" for where its source belongs
	NoReply  bool   // the endpoint takes what comes and answers nothing; UDP alone
}

// Result is how opening a flow ended, as the client's socket is told.
type Result uint8

// The results. The zero value is TimedOut.
const (
	TimedOut    Result = iota // silence
	Answered                  // the endpoint's answer arrived from the address that was asked
	Refused                   // ECONNREFUSED: RST, or ICMP port unreachable
	Unreachable               // another ICMP error: EHOSTUNREACH, ENETUNREACH, ENOPROTOOPT
)

func (r Result) String() string {
	return [...]string{"timeout", "answered", "refused", "unreachable"}[r]
}

// Outcome is what opening a flow came to.
type Outcome struct {
	Result     Result
	Endpoint   netip.AddrPort // where the first packet ended up; invalid if it was dropped, rejected, or taken by no Service
	Seen       netip.AddrPort // the source that the endpoint saw
	Translated bool           // a rule sent it somewhere else than it was addressed to
	Reason     string         // for anything but Answered
	First      datapath.Disposition
}

// Conn is an open flow. Its packets go through the node in both directions.
type Conn struct {
	Flow     Flow
	Endpoint netip.AddrPort
	Seen     netip.AddrPort
	in       string
	back     string // interface by which the endpoint's packets arrive; "" when it is the node itself
}

// Open sends a flow's first packet and, for TCP and SCTP, completes the handshake. The Conn is nil unless the result is Answered.
func (w *World) Open(now time.Duration, f Flow) (Outcome, *Conn) {
	in := f.In
	if in == "" {
		in = w.Host.Ingress(f.Src.Addr())
	}
	p := FirstPacket(f.Proto, f.Src, f.Dst)
	d := w.send(now, in, &p)
	o := Outcome{First: d}
	switch d.Fate {
	case datapath.Dropped:
		o.Reason = d.Reason
		if o.Reason == "" {
			o.Reason = "dropped by a rule"
		}
		return o, nil
	case datapath.Rejected:
		o.Reason = "rejected with " + d.With.With
		o.Result = resultOf(d.With.With)
		return o, nil
	}
	o.Endpoint, o.Seen, o.Translated = p.Dst, p.Src, p.Dst != f.Dst
	if p.Src.Addr() == p.Dst.Addr() && p.Dst.Addr() != f.Dst.Addr() && d.Fate == datapath.Forwarded {
		o.Reason = "the endpoint's own packet came back to it with its own address as source"
		return o, nil
	}
	switch w.Presence(p.Dst, f.Proto) {
	case Absent:
		o.Reason = "nothing is at " + p.Dst.String()
		return o, nil
	case Closed:
		o.Result, o.Reason = Refused, "nothing listens at "+p.Dst.String()
		return o, nil
	}
	c := &Conn{Flow: f, Endpoint: p.Dst, Seen: p.Src, in: in, back: w.Host.Ingress(p.Dst.Addr())}
	if d.Fate == datapath.Delivered { // by whatever address of the node
		c.back = ""
	}
	if reason := w.handshake(now, c); reason != "" {
		o.Reason = reason
		return o, nil
	}
	o.Result = Answered
	return o, c
}

func resultOf(with string) Result {
	switch with {
	case "icmp-port-unreachable", "icmp6-port-unreachable", "tcp-reset":
		return Refused
	}
	return Unreachable
}

func (w *World) send(now time.Duration, in string, p *packet.Packet) datapath.Disposition {
	w.Node.Advance(now)
	if in == "" {
		return w.Node.Send(now, p)
	}
	return w.Node.Receive(now, in, p)
}

// handshake walks the endpoint's answer back and, for TCP and SCTP, the packets that follow it; it says what went wrong.
func (w *World) handshake(now time.Duration, c *Conn) string {
	switch c.Flow.Proto {
	case packet.TCP:
		if why := w.reply(now, c, packet.Packet{TCPFlags: packet.SYN | packet.ACK, TCPMSS: 1460}, 40); why != "" {
			return why
		}
		return w.request(now, c, packet.Packet{TCPFlags: packet.ACK}, 32)
	case packet.SCTP:
		if why := w.reply(now, c, packet.Packet{SCTPChunk: packet.SCTPInitAck}, 32); why != "" {
			return why
		}
		if why := w.request(now, c, packet.Packet{SCTPChunk: packet.SCTPCookieEcho}, 32); why != "" {
			return why
		}
		return w.reply(now, c, packet.Packet{SCTPChunk: packet.SCTPCookieAck}, 16)
	}
	if c.Flow.NoReply {
		return ""
	}
	return w.reply(now, c, packet.Packet{}, 8+16)
}

// request walks one packet from the client to the endpoint; payload is its length without the IP header.
func (w *World) request(now time.Duration, c *Conn, p packet.Packet, payload uint32) string {
	p.Src, p.Dst, p.Proto, p.TTL = c.Flow.Src, c.Flow.Dst, c.Flow.Proto, 64
	p.LengthBytes = header(p.Src) + payload
	d := w.send(now, c.in, &p)
	switch {
	case d.Fate != datapath.Forwarded && d.Fate != datapath.Delivered:
		return "a later packet was stopped: " + d.Fate.String()
	case p.Dst != c.Endpoint:
		return "a later packet went to " + p.Dst.String()
	}
	return ""
}

// reply walks one packet from the endpoint to the client.
func (w *World) reply(now time.Duration, c *Conn, p packet.Packet, payload uint32) string {
	p.Src, p.Dst, p.Proto, p.TTL = c.Endpoint, c.Seen, c.Flow.Proto, 64
	p.LengthBytes = header(p.Src) + payload
	if c.Endpoint.Addr() == c.Seen.Addr() && c.back != "" {
		return "" // answered inside one Pod: the node never sees it
	}
	d := w.send(now, c.back, &p)
	switch {
	case d.Fate != datapath.Forwarded && d.Fate != datapath.Delivered:
		return "the answer was stopped: " + d.Fate.String()
	case p.Src != c.Flow.Dst:
		return "the answer came from " + p.Src.String() + ", not from the address that was asked"
	case p.Dst != c.Flow.Src:
		return "the answer went to " + p.Dst.String()
	}
	return ""
}

func header(a netip.AddrPort) uint32 {
	if a.Addr().Is6() {
		return 40
	}
	return 20
}

// Exchange sends a request of some bytes and its answer on an open flow, and says what went wrong.
func (w *World) Exchange(now time.Duration, c *Conn, requestBytes, replyBytes uint32) string {
	var p packet.Packet
	h := uint32(8)
	if c.Flow.Proto == packet.TCP {
		p.TCPFlags, h = packet.ACK|packet.PSH, 32
	}
	if why := w.request(now, c, p, h+requestBytes); why != "" {
		return why
	}
	if w.Presence(c.Endpoint, c.Flow.Proto) != Listening {
		return "nothing is at " + c.Endpoint.String() + " any more"
	}
	if c.Flow.NoReply {
		return ""
	}
	return w.reply(now, c, p, h+replyBytes)
}

// Close ends a TCP flow by FIN from the client, answered by the endpoint's FIN; other protocols have nothing to close.
func (w *World) Close(now time.Duration, c *Conn) string {
	if c.Flow.Proto != packet.TCP {
		return ""
	}
	fin := packet.Packet{TCPFlags: packet.FIN | packet.ACK}
	if why := w.request(now, c, fin, 32); why != "" {
		return why
	}
	if why := w.reply(now, c, fin, 32); why != "" {
		return why
	}
	return w.request(now, c, packet.Packet{TCPFlags: packet.ACK}, 32)
}

// Reset ends a TCP flow by RST from the client.
func (w *World) Reset(now time.Duration, c *Conn) string {
	if c.Flow.Proto != packet.TCP {
		return ""
	}
	return w.request(now, c, packet.Packet{TCPFlags: packet.RST | packet.ACK}, 20)
}
