package kernel

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/share"
	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/replay"
)

// Mismatch is a connection that a kernel treated as the model says it never would.
type Mismatch struct {
	Outcome Outcome
	Model   []share.Outcome // everything that the model says could have become of its first packet
	Why     string
}

func (m Mismatch) String() string {
	o := &m.Outcome
	got := string(o.Failure)
	if o.Failure == box.None {
		got = fmt.Sprintf("%s, which saw %s", o.Backend, o.Peer)
	}
	return fmt.Sprintf("flow %d, %s %s to %s: kernel: %s; model: %s", o.ID, o.Proto, o.Src, o.Dst, got, m.Why)
}

// Forced walks the connections of a kernel's run on a model node, in the order of the log, each sent to the endpoint that the
// kernel picked, with as many packets as its client's socket counted. Afterwards the node's rule and policy counters are what
// the kernel's must be: compare them by Differences with Packets set. The node must hold what the kernel held when the run
// began. Its source of chance is replaced.
//
// The counters say nothing exact where segments were sent again (Log.Retransmits), and for flows that close by FIN, whose
// acknowledgements nobody counts: exact is false then.
func Forced(n *datapath.Node, h replay.Host, log *Log) (wrong []Mismatch, exact bool, err error) {
	exact = log.Retransmits == 0 && !log.Partial
	f := Forcer{Node: n, Host: h}
	for i := range log.Outcomes {
		o := &log.Outcomes[i]
		_, m, err := f.Play(o)
		if err != nil {
			return wrong, exact, err
		}
		if m != nil {
			wrong = append(wrong, *m)
		}
		exact = exact && !o.FIN
	}
	return wrong, exact, nil
}

// Forcer does what Forced does, one connection at a time.
type Forcer struct {
	Node *datapath.Node
	Host replay.Host
	// Listens says where somebody answers; nil when that is unknown, and silence is then taken for nobody's answer.
	Listens func(at netip.AddrPort, proto packet.Protocol) bool

	// known are the decisions that led to a pick before: they are tried before all others.
	known map[pick][]int
}

type pick struct {
	in            string
	proto         packet.Protocol
	dst, endpoint netip.AddrPort
}

// Play walks one connection as the kernel did. It reports whether the model had a choice to make for it, and what the model
// could not follow, if anything.
func (f *Forcer) Play(o *Outcome) (drew bool, wrong *Mismatch, err error) {
	g := forced{Forcer: f, node: f.Node, host: f.Host, o: o, now: o.Start, in: f.Host.Ingress(o.Src.Addr())}
	wrong, err = g.play()
	return g.drew, wrong, err
}

// force finds the decisions that send a first packet to an endpoint.
func (f *Forcer) force(now time.Duration, in string, p packet.Packet, endpoint netip.AddrPort) ([]int, bool, error) {
	k := pick{in, p.Proto, p.Dst, endpoint}
	if d, ok := f.known[k]; ok && f.leads(now, in, p, d, endpoint) {
		return d, true, nil
	}
	all, err := share.ForceAll(f.Node, now, in, p)
	if err != nil {
		return nil, false, err
	}
	if f.known == nil {
		f.known = map[pick][]int{}
	}
	for e, d := range all {
		k.endpoint = e
		f.known[k] = d
	}
	d, found := all[endpoint]
	return d, found, nil
}

// leads reports whether decisions send the packet to the endpoint.
func (f *Forcer) leads(now time.Duration, in string, p packet.Packet, decisions []int, endpoint netip.AddrPort) bool {
	old := f.Node.SetSource(&share.Script{Decisions: decisions})
	defer f.Node.SetSource(old)
	dst := p.Dst
	var fate datapath.Fate
	f.Node.Undo(func() {
		if in == "" {
			fate = f.Node.Send(now, &p).Fate
		} else {
			fate = f.Node.Receive(now, in, &p).Fate
		}
	})
	if fate != datapath.Forwarded && fate != datapath.Delivered || p.Dst == dst {
		return !endpoint.IsValid()
	}
	return p.Dst == endpoint
}

// forced is one connection on its way.
type forced struct {
	*Forcer
	node *datapath.Node
	host replay.Host
	o    *Outcome
	now  time.Duration
	in   string
	drew bool
	// endpoint and seen are the addresses at the far side of the node; local says that the far side is the node itself.
	endpoint, seen netip.AddrPort
	local          bool
}

func (f *forced) play() (*Mismatch, error) {
	o := f.o
	f.node.Advance(f.now)
	p := replay.FirstPacket(o.Proto, o.Src, o.Dst)
	if o.Proto == packet.UDP {
		p.LengthBytes = f.header() + 8 + uint32(len(question))
	}
	f.node.SetSource(&share.Script{})
	var picked netip.AddrPort // as share spells it: invalid when nothing is translated
	if o.Backend != o.Dst {
		picked = o.Backend
	}
	decisions, found, err := f.force(f.now, f.in, p, picked)
	if err == nil && !found && o.Failure != box.None {
		decisions, found, err = f.mute(p)
	}
	if err != nil {
		return nil, err
	}
	if !found {
		return f.mismatch("it is never sent there")
	}
	script := &share.Script{Decisions: decisions}
	f.node.SetSource(script)
	d := f.send(f.in, &p)
	f.drew = script.Asked() > 0
	f.endpoint, f.seen, f.local = p.Dst, p.Src, d.Fate == datapath.Delivered
	switch d.Fate {
	case datapath.Dropped:
		if !o.Failure.Dropped() {
			return f.mismatch("dropped")
		}
		return nil, nil
	case datapath.Rejected:
		if o.Failure != box.Refused && o.Failure != box.HostUnreachable && o.Failure != box.NetworkUnreachable && o.Failure != box.NotPermitted {
			return f.mismatch("rejected with " + d.With.With)
		}
		return nil, nil
	}
	if o.Failure != box.None && f.Listens != nil && f.Listens(f.endpoint, o.Proto) && f.seen.Addr() != f.endpoint.Addr() {
		return f.mismatch("answered by " + f.endpoint.String())
	}
	if o.Failure == box.Refused { // by what stands there
		f.closed()
		return nil, nil
	}
	if o.Failure != box.None {
		return nil, nil // silence: nobody is there
	}
	if f.seen.Addr() != o.Peer.Addr() {
		return f.mismatch("the endpoint sees " + f.seen.Addr().String())
	}
	f.answered()
	return nil, nil
}

// mute finds decisions by which a connection that failed was sent to an endpoint that does not answer: nobody is there, or the
// packet came back to its sender with the sender's own address.
func (f *forced) mute(p packet.Packet) ([]int, bool, error) {
	if f.Listens == nil {
		return nil, false, nil
	}
	outcomes, err := share.Of(f.node, f.now, f.in, p)
	if err != nil {
		return nil, false, err
	}
	for _, x := range outcomes {
		if x.Endpoint.IsValid() && (x.Source == x.Endpoint.Addr() || !f.Listens(x.Endpoint, p.Proto)) {
			return f.force(f.now, f.in, p, x.Endpoint)
		}
	}
	return nil, false, nil
}

func (f *forced) mismatch(why string) (*Mismatch, error) {
	f.node.SetSource(&share.Script{})
	p := replay.FirstPacket(f.o.Proto, f.o.Src, f.o.Dst)
	all, err := share.Of(f.node, f.now, f.in, p)
	f.drew = f.drew || len(all) > 1 // where the kernel went the model never goes, but it had a choice
	return &Mismatch{Outcome: *f.o, Model: all, Why: why}, err
}

func (f *forced) send(in string, p *packet.Packet) datapath.Disposition {
	if in == "" {
		return f.node.Send(f.now, p)
	}
	return f.node.Receive(f.now, in, p)
}

// request walks a later packet of the client, reply one of the endpoint.
func (f *forced) request(p packet.Packet) {
	p.Src, p.Dst, p.Proto, p.TTL = f.o.Src, f.o.Dst, f.o.Proto, 64
	f.send(f.in, &p)
}

func (f *forced) reply(p packet.Packet) {
	p.Src, p.Dst, p.Proto, p.TTL = f.endpoint, f.seen, f.o.Proto, 64
	f.send(f.from(), &p)
}

// from is where the endpoint's packets come from: a virtual address of kube-ipvs0 is the node's own.
func (f *forced) from() string {
	if f.local {
		return ""
	}
	return f.host.Ingress(f.endpoint.Addr())
}

// answered plays the rest of a connection that was answered: as many segments as the client's socket counted, and a reset.
func (f *forced) answered() {
	o := f.o
	if o.Proto == packet.UDP {
		f.reply(packet.Packet{LengthBytes: f.header() + 8 + f.line()})
		return
	}
	f.reply(packet.Packet{TCPFlags: packet.SYN | packet.ACK, TCPMSS: 1460, LengthBytes: f.header() + 40})
	f.request(packet.Packet{TCPFlags: packet.ACK, LengthBytes: f.header() + 32})
	for i := range max(int(o.SegmentsIn)-1, 0) {
		p := packet.Packet{TCPFlags: packet.ACK | packet.PSH, LengthBytes: f.header() + 32}
		if i == 0 {
			p.LengthBytes += f.line()
		}
		f.reply(p)
	}
	for range max(int(o.SegmentsOut)-2, 0) {
		f.request(packet.Packet{TCPFlags: packet.ACK, LengthBytes: f.header() + 32})
	}
	if o.FIN {
		f.request(packet.Packet{TCPFlags: packet.FIN | packet.ACK, LengthBytes: f.header() + 32})
		f.reply(packet.Packet{TCPFlags: packet.FIN | packet.ACK, LengthBytes: f.header() + 32})
		f.request(packet.Packet{TCPFlags: packet.ACK, LengthBytes: f.header() + 32})
		return
	}
	// The reset of a socket carries a time stamp, that of a host without one does not.
	f.request(packet.Packet{TCPFlags: packet.RST | packet.ACK, LengthBytes: f.header() + 32})
}

// line is how long the backend's answer is: who it is and whom it saw.
func (f *forced) line() uint32 { return uint32(len(f.o.Backend.String()) + len(f.o.Peer.String()) + 2) }

// closed plays the refusal of a host on which nobody listens.
func (f *forced) closed() {
	if f.o.Proto == packet.TCP {
		f.reply(packet.Packet{TCPFlags: packet.RST | packet.ACK, LengthBytes: f.header() + 20})
		return
	}
	p := packet.Packet{
		Src: netip.AddrPortFrom(f.endpoint.Addr(), 0), Dst: netip.AddrPortFrom(f.seen.Addr(), 0), Proto: packet.ICMP, TTL: 64,
		ICMPType: 3, ICMPCode: 3, LengthBytes: 2*f.header() + 16,
		Quoted: packet.Tuple{Src: f.seen, Dst: f.endpoint, Proto: f.o.Proto},
	}
	if f.endpoint.Addr().Is6() {
		p.Proto, p.ICMPType, p.ICMPCode = packet.ICMPv6, 1, 4
	}
	f.send(f.from(), &p)
}

func (f *forced) header() uint32 {
	if f.o.Src.Addr().Is6() {
		return 40
	}
	return 20
}
