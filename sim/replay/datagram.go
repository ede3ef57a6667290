package replay

import (
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
)

// Datagrams sends one or two datagrams of one socket at one moment, walks the answer of each back, and says what each came to. Two
// are taken up by two processors at once: see datapath.Node.ReceiveTogether.
func (w *World) Datagrams(now time.Duration, f Flow, n int) []Outcome {
	in := f.In
	if in == "" {
		in = w.Host.Ingress(f.Src.Addr())
	}
	sent := make([]packet.Packet, n)
	fates := make([]datapath.Disposition, n)
	for i := range sent {
		sent[i] = FirstPacket(packet.UDP, f.Src, f.Dst)
	}
	if n == 2 {
		w.Node.Advance(now)
		fates[0], fates[1] = w.Node.ReceiveTogether(now, in, &sent[0], &sent[1])
	} else {
		for i := range sent {
			fates[i] = w.send(now, in, &sent[i])
		}
	}
	out := make([]Outcome, n)
	for i := range sent {
		out[i] = w.datagram(now, f, in, &sent[i], fates[i])
	}
	return out
}

// datagram follows a datagram that has walked the node.
func (w *World) datagram(now time.Duration, f Flow, in string, p *packet.Packet, d datapath.Disposition) Outcome {
	o := Outcome{First: d}
	switch d.Fate {
	case datapath.Dropped:
		if o.Reason = d.Reason; o.Reason == "" {
			o.Reason = "dropped by a rule"
		}
		return o
	case datapath.Rejected:
		o.Result, o.Reason = resultOf(d.With.With), "rejected with "+d.With.With
		return o
	}
	o.Endpoint, o.Seen, o.Translated = p.Dst, p.Src, p.Dst != f.Dst
	switch w.Presence(p.Dst, packet.UDP) {
	case Absent:
		o.Reason = "nothing is at " + p.Dst.String()
		return o
	case Closed:
		o.Result, o.Reason = Refused, "nothing listens at "+p.Dst.String()
		return o
	}
	c := &Conn{Flow: f, Endpoint: p.Dst, Seen: p.Src, in: in, back: w.Host.Ingress(p.Dst.Addr())}
	if d.Fate == datapath.Delivered {
		c.back = ""
	}
	if o.Reason = w.reply(now, c, packet.Packet{}, 8+16); o.Reason == "" {
		o.Result = Answered
	}
	return o
}
