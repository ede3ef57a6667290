package run

import (
	"net/netip"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/share"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/seed"
)

// TraceRequest names one packet.
type TraceRequest struct {
	From, To netip.AddrPort // a source port of 0 becomes 40000
	Proto    packet.Protocol
	Seed     uint64
	Which    Which
	Frame    *Frame   // the packet itself, in place of From, To, Proto and Which
	Capture  *Capture // is given the packet at every hook; nil for none
}

// Which packet of a connection is traced. The zero value is First.
type Which string

// The packets of a connection.
const (
	First Which = "first" // opens it
	Reply Which = "reply" // the endpoint's first answer
	Later Which = "later" // another packet of the client, after the handshake
)

// Whiches lists the packets that can be traced.
func Whiches() []string { return []string{string(First), string(Reply), string(Later)} }

// clientPort is the source port of packets that name none.
const clientPort = 40000

// Trace walks one packet of a connection and says every step and what else could have become of it. The node is left as it was.
func (s *Subject) Trace(q TraceRequest) (*report.Trace, error) {
	if q.Frame != nil {
		q.From, q.To, q.Proto = q.Frame.View.Src, q.Frame.View.Dst, q.Frame.View.Proto
		q.Which = First
	} else if q.From.Port() == 0 {
		q.From = netip.AddrPortFrom(q.From.Addr(), clientPort)
	}
	if packet.FamilyOf(q.From.Addr()) != packet.FamilyOf(q.To.Addr()) {
		return nil, &InputError{What: "--from", Text: q.From.Addr().String(), Why: "is not of the family of " + q.To.Addr().String()}
	}
	s.Node.SetSource(seed.Root(q.Seed).Stream("trace"))
	var t *report.Trace
	var err error
	s.Node.Undo(func() {
		var p packet.Packet
		var in string
		if p, in, err = s.packetOf(q); err == nil {
			t, err = s.tracePacket(q, p, in)
		}
	})
	return t, err
}

// packetOf returns the packet to trace and the interface it arrives by, after those of its connection that go before it.
func (s *Subject) packetOf(q TraceRequest) (packet.Packet, string, error) {
	in := s.ingress(q.From.Addr())
	if q.Frame != nil {
		return q.Frame.View, in, nil
	}
	if q.Which == First || q.Which == "" {
		return replay.FirstPacket(q.Proto, q.From, q.To), in, nil
	}
	if q.Which == Later {
		w := replay.World{Host: s.Host, Node: s.Node, Presence: replay.Everywhere}
		o, _ := w.Open(0, replay.Flow{Proto: q.Proto, Src: q.From, Dst: q.To, In: s.options.In})
		if o.Result != replay.Answered {
			return packet.Packet{}, "", s.noConnection(q, o.First, o.Reason)
		}
		return replay.LaterPacket(q.Proto, q.From, q.To), in, nil
	}
	first := replay.FirstPacket(q.Proto, q.From, q.To)
	d := s.send(in, &first)
	if d.Fate != datapath.Forwarded && d.Fate != datapath.Delivered {
		return packet.Packet{}, "", s.noConnection(q, d, d.Reason)
	}
	return replay.AnswerPacket(q.Proto, first.Dst, first.Src), s.Host.Ingress(first.Dst.Addr()), nil
}

func (s *Subject) noConnection(q TraceRequest, first datapath.Disposition, reason string) error {
	if first.Problem != nil {
		return s.problem(first.Problem)
	}
	why := "the first packet ends as " + first.Fate.String()
	if reason != "" {
		why += ": " + reason
	}
	return &InputError{What: "--which", Text: string(q.Which), Why: "there is no such packet, " + why}
}

// tracePacket walks a packet as the node stands.
func (s *Subject) tracePacket(q TraceRequest, p packet.Packet, in string) (*report.Trace, error) {
	before := p
	t := &report.Trace{
		SchemaVersion: report.SchemaVersion, Kind: "Trace", Proto: q.Proto.String(), In: in, Seed: q.Seed,
		Packet: report.Addresses{Src: p.Src.String(), Dst: p.Dst.String()}, Outcomes: []report.Outcome{}, Steps: []report.Step{},
	}
	outcomes, err := share.Of(s.Node, 0, in, p)
	if err != nil {
		return nil, err
	}
	for _, o := range outcomes {
		if o.Endpoint.IsValid() && q.Which != Reply {
			t.Outcomes = append(t.Outcomes, report.Outcome{
				Endpoint: o.Endpoint.String(), Probability: o.Probability.String(), Masquerade: o.Masquerade, Exact: inexact(o.Probability),
			})
		}
	}
	var steps netfilter.Trace
	s.Node.SetTrace(&steps)
	d := s.send(in, &p)
	s.Node.SetTrace(nil)
	if c := q.Capture; c != nil {
		if q.Frame != nil {
			c.frame(q.Frame.Bytes)
		}
		c.names(s.addressNames())
		c.walked(s.Host.Name, 0, &steps, &p, &d)
	}

	t.Verdict, t.RejectWith, t.Reason = verdict(d.Fate, p.Dst != before.Dst || q.Which == Reply && p.Src != before.Src), d.With.With, d.Reason
	if d.Problem != nil {
		return nil, s.problem(d.Problem)
	}
	if d.Fate == datapath.Dropped && t.Reason == "" {
		t.Reason = "by a rule"
	}
	t.Rewritten = report.Addresses{Src: p.Src.String(), Dst: p.Dst.String()}
	t.Masquerade = d.Masqueraded && q.Which != Reply
	t.Out, t.Rules, t.Draws = d.Out, d.Work.Rules, d.Work.Draws
	for _, st := range steps.Steps {
		t.Steps = append(t.Steps, step(st))
	}
	return t, nil
}

func (s *Subject) ingress(src netip.Addr) string {
	if s.options.In != "" {
		return s.options.In
	}
	return s.Host.Ingress(src)
}

func (s *Subject) send(in string, p *packet.Packet) datapath.Disposition {
	if in == "" {
		return s.Node.Send(0, p)
	}
	return s.Node.Receive(0, in, p)
}

// verdict is the word for a fate. A packet that no rule sent elsewhere was taken by no Service.
func verdict(f datapath.Fate, translated bool) string {
	if (f == datapath.Forwarded || f == datapath.Delivered) && !translated {
		return "accept"
	}
	return f.String()
}

func inexact(f share.Fraction) *bool {
	if f.IsExact() {
		return nil
	}
	exact := false
	return &exact
}

func step(s netfilter.Step) report.Step {
	out := report.Step{Hook: s.Hook.String(), Table: s.Table, Chain: s.Chain, Rule: s.Rule, Text: s.Text, Result: s.Result}
	if r, ok := s.Ref.(*iptables.Rule); ok && out.Text == "" {
		out.Text = r.Save(s.Chain)
	}
	switch s.Kind {
	case netfilter.StepConntrack:
		out.What = "connection"
	case netfilter.StepRoute:
		out.What = "route"
	case netfilter.StepNAT:
		out.What = "translation"
	case netfilter.StepIPVS:
		out.What = "IPVS"
	case netfilter.StepPolicy:
		out.What = "policy"
	}
	out.Missed = s.Kind == netfilter.StepRule && !s.Matched
	return out
}
