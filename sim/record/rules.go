package record

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/share"
	"github.com/svclab/svclab/sim/measure"
	"github.com/svclab/svclab/sim/replay"
)

// PlayRules plays a recording of iptables rules: each connection's backend must be one that the model could have picked, given
// all that went before; what draws nothing has one such backend, what draws is judged by an e-process at a risk of 1e-6. The
// model is then forced to the kernel's pick and goes on. At the end the counters of table nat and the lists of -m recent are
// compared where the recording has them.
func PlayRules(data []byte) (events int, diff *Diff, err error) {
	t, err := Read(data)
	if err != nil {
		return 0, nil, err
	}
	p, err := newRulesPlayer(t)
	if err != nil {
		return 0, nil, err
	}
	for i := range t.Events {
		if err := p.event(i); err != nil {
			return i, nil, &EventError{t.Name, i, quote(t.Events[i]), err}
		}
		if p.diff != nil {
			return len(t.Events), p.diff, nil
		}
	}
	p.index, p.kind = len(t.Events), "after"
	events = len(t.Events)
	if t.Connections > 0 {
		events = t.Connections
		if err := p.frequencies(); err != nil {
			return 0, nil, &EventError{t.Name, -1, "counts", err}
		}
	}
	p.judge()
	p.after()
	return events, p.diff, nil
}

// director is the recorded network's middle: clients on one link, servers 10.2/16 on the other.
var director = replay.Host{
	NodeIPs:      []netip.Addr{netip.MustParseAddr("10.0.1.1")},
	PodCIDRs:     []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")},
	PodInterface: "servers",
}

// rulesPlayer is the network around a node with rules.
type rulesPlayer struct {
	trace   *Trace
	world   replay.World
	proto   packet.Protocol
	virtual netip.AddrPort
	ports   uint32 // of the clients of frequencies, and of NAT: a counter, since no recorded fact depends on them
	mixed   bool   // not all is TCP, whose first packets have one length
	draws   measure.Draws
	now     time.Duration

	index int
	kind  string
	diff  *Diff
}

func newRulesPlayer(t *Trace) (*rulesPlayer, error) {
	bad := func(err error) (*rulesPlayer, error) { return nil, &EventError{t.Name, -1, "rules", err} }
	text, err := t.rules()
	if err != nil {
		return bad(err)
	}
	profile := datapath.DefaultProfile()
	if strings.Contains(t.Kernel, "nf_tables") {
		profile.IPTables = datapath.NFT
	}
	if _, hz, ok := strings.Cut(t.Kernel, "HZ="); ok {
		if _, err := fmt.Sscanf(hz, "%d", &profile.HZ); err != nil || profile.HZ < 1 || profile.HZ > 1000 {
			return bad(fmt.Errorf("kernel %q: no tick rate: %w", t.Kernel, ErrOtherFormat))
		}
	}
	host := director
	if t.Network != nil {
		host = t.Network.host()
	}
	p := &rulesPlayer{trace: t}
	p.world = replay.World{Host: host, Node: datapath.NewNode(profile, host.Routes()), Presence: replay.Everywhere}
	if err := t.load(p.world.Node); err != nil {
		return bad(err)
	}
	for f, text := range map[packet.Family]string{packet.IPv4: text, packet.IPv6: t.Rules6} {
		if text == "" {
			continue
		}
		if err := p.world.Node.Apply(datapath.IPTablesRestore{Family: f, Text: text}); err != nil {
			return bad(err)
		}
	}
	if t.Network != nil {
		return p, nil // the events say where clients connect to
	}
	p.virtual, p.proto, err = front(p.world.Node.Rules(packet.IPv4))
	if err != nil {
		return bad(err)
	}
	return p, nil
}

// front finds what clients connect to: the destination that the first rule of nat PREROUTING asks for, port 80 where it names none.
func front(rs *iptables.Ruleset) (netip.AddrPort, packet.Protocol, error) {
	if c := rs.Chain(iptables.NAT, "PREROUTING"); c != nil {
		for _, r := range c.Rules {
			dst, ok := r.Dst.Prefix()
			if !ok || !dst.IsSingleIP() {
				continue
			}
			proto, port := packet.TCP, uint16(80)
			if r.Proto != 0 {
				proto = r.Proto
			}
			for _, m := range r.Matches {
				switch m := m.(type) {
				case *iptables.TCP:
					port = single(m.Dport, port)
				case *iptables.UDP:
					port = single(m.Dport, port)
				}
			}
			return netip.AddrPortFrom(dst.Addr(), port), proto, nil
		}
	}
	return netip.AddrPort{}, 0, errors.New("no rule of nat PREROUTING names one destination")
}

// single is the one port that a condition allows, or else the port given.
func single(c iptables.Ports, otherwise uint16) uint16 {
	if c.Set && !c.Invert && c.Lo == c.Hi {
		return c.Lo
	}
	return otherwise
}

func (p *rulesPlayer) event(i int) error {
	kind, a, err := decodeEvent(p.trace.Events[i])
	if err != nil {
		return err
	}
	p.index, p.kind = i, kind
	p.now += pace
	switch kind {
	case "conn":
		return p.conn(a)
	case "to":
		return p.to(a)
	case "recent":
		var want map[string][]string
		a.next(&want, "lists")
		if a.err == nil {
			for _, name := range sorted(want) {
				p.list(name, want[name])
			}
		}
	case "sleep":
		p.now += time.Duration(a.number("seconds") * float64(time.Second))
	case "time":
		p.at(a)
	default:
		return fmt.Errorf("%w: %q", ErrBadEvent, kind)
	}
	return a.err
}

// at moves to a recorded time. Recorded times are rounded to ticks, so they may lie a little behind.
func (p *rulesPlayer) at(a *args) {
	if s := a.number("seconds"); a.err == nil {
		p.now = max(p.now, time.Duration(s*float64(time.Second)))
	}
}

// to names what clients connect to from here on: destination, protocol.
func (p *rulesPlayer) to(a *args) error {
	p.virtual = a.addrPort("destination")
	name := a.str("protocol")
	if a.end(); a.err != nil {
		return a.err
	}
	var err error
	if p.proto, err = packet.ParseTransport(name); err != nil {
		return fmt.Errorf("%w: %v", ErrBadEvent, err)
	}
	p.mixed = p.mixed || p.proto != packet.TCP
	return nil
}

// conn plays one connection: id, client, port, backend or null, and possibly its time or what was exchanged.
func (p *rulesPlayer) conn(a *args) error {
	a.integer("id")
	client := netip.AddrPortFrom(a.addr("client"), a.port("port"))
	backend := a.optional("backend")
	var exchange struct {
		Rounds int    `json:"request_reply_rounds"`
		Close  string `json:"close"`
	}
	if a.more() {
		if a.f[a.i+1][0] == '{' {
			a.next(&exchange, "exchange")
		} else {
			p.at(a)
		}
	}
	if a.end(); a.err != nil {
		return a.err
	}
	if !p.virtual.IsValid() || packet.FamilyOf(client.Addr()) != packet.FamilyOf(p.virtual.Addr()) {
		return fmt.Errorf("%w: no destination for %s", ErrBadEvent, client)
	}
	var want netip.AddrPort
	if backend != nil {
		if want = a.parseAddrPort(*backend, "backend"); a.err != nil {
			return a.err
		}
	}
	if exchange.Rounds < 0 || exchange.Rounds > 1000 {
		return fmt.Errorf("%w: %d rounds", ErrBadEvent, exchange.Rounds)
	}
	c, err := p.open(client, want)
	if err != nil || c == nil || p.diff != nil {
		return err
	}
	for range exchange.Rounds {
		p.world.Exchange(p.now, c, 4, 6)
	}
	switch exchange.Close {
	case "client_rst":
		p.world.Reset(p.now, c)
	case "client":
		p.world.Close(p.now, c)
	}
	return nil
}

// open forces the model to the kernel's pick and opens the connection; an invalid want is a connection that failed.
func (p *rulesPlayer) open(client, want netip.AddrPort) (*replay.Conn, error) {
	n := p.world.Node
	n.Advance(p.now)
	first := replay.FirstPacket(p.proto, client, p.virtual)
	in := p.world.Host.Ingress(client.Addr())
	outs, err := share.Of(n, p.now, in, first)
	if err != nil {
		return nil, err
	}
	if len(outs) > 1 {
		if err := p.tally(outs, want); err != nil {
			return nil, err
		}
	}
	decisions, possible, err := share.Force(n, p.now, in, first, want)
	if err != nil {
		return nil, err
	}
	if !possible {
		p.differ(name(want), possibilities(outs))
		return nil, nil
	}
	n.SetSource(&share.Script{Decisions: decisions, Ports: netfilter.Words(p.word)})
	out, c := p.world.Open(p.now, replay.Flow{Proto: p.proto, Src: client, Dst: p.virtual})
	if want.IsValid() != (out.Result == replay.Answered) {
		p.differ(name(want), fmt.Sprintf("%s at %s: %s", out.Result, name(out.Endpoint), out.Reason))
	}
	return c, nil
}

func (p *rulesPlayer) word() uint32 { p.ports += 0x9e3779b9; return p.ports }

func name(a netip.AddrPort) string {
	if !a.IsValid() {
		return "none"
	}
	return a.String()
}

func possibilities(outs []share.Outcome) string {
	var s []string
	for _, o := range outs {
		s = append(s, name(o.Endpoint))
	}
	return strings.Join(s, " or ")
}

// tally notes a pick beside its exact shares.
func (p *rulesPlayer) tally(outs []share.Outcome, want netip.AddrPort) error {
	t, err := p.begin(outs)
	if err == nil {
		t.AddOutcome(outcome(want))
	}
	return err
}

func (p *rulesPlayer) begin(outs []share.Outcome) (*measure.Tally, error) {
	var cells []measure.Cell
	for _, o := range outs {
		cells = append(cells, measure.Cell{Outcome: outcome(o.Endpoint), Share: o.Probability.Rat()})
	}
	e, err := measure.NewEpoch("", cells)
	if err != nil {
		return nil, err
	}
	return p.draws.Begin(e), nil
}

func outcome(a netip.AddrPort) measure.Outcome {
	if !a.IsValid() {
		return measure.Timeout()
	}
	return measure.Backend(a)
}

// frequencies plays a recording that holds counts alone: as many connections, all of different clients, forced to the kernel's
// picks backend by backend.
func (p *rulesPlayer) frequencies() error {
	total := 0
	for _, b := range sorted(p.trace.Counts) {
		n := p.trace.Counts[b]
		total += n
		want, err := netip.ParseAddrPort(b)
		if err != nil || n < 0 || total > maxEvents {
			return fmt.Errorf("%w: %q: %d", ErrBadEvent, b, n)
		}
		for range n {
			p.now += pace
			i := p.word()
			client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{172, 16 + byte(i>>28), byte(i >> 20), byte(i >> 12)}), 1024+uint16(i>>4)%60000)
			c, err := p.open(client, want)
			if err != nil || p.diff != nil {
				return err
			}
			if c != nil {
				p.world.Reset(p.now, c)
			}
		}
	}
	if total != p.trace.Connections {
		return fmt.Errorf("%w: counts add up to %d, not to %d connections", ErrBadEvent, total, p.trace.Connections)
	}
	return nil
}
