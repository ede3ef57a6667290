package iptables

import (
	"strings"

	"github.com/svclab/svclab/datapath/conntrack"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

const (
	manipSource      = conntrack.ManipSource
	manipDestination = conntrack.ManipDestination
)

// walker is the state of one Run. A Linked has one and reuses it.
type walker struct {
	l     *Linked
	w     *netfilter.Walk
	stack []int32 // rules to return to

	note  string         // what the last action did, for the trace
	draw  netfilter.Draw // what the last match drew
	drew  bool
	asked int32 // matches asked of the last rule
}

// Run walks one table at one hook with a packet, as ipt_do_table does (net/ipv4/netfilter/ip_tables.c, v6.1): Accept when
// the table lets it go on, Drop or Reject when it ends here. A hook without a chain accepts. Where a rule needs something that is not modelled
// the walk stops with Walk.Unmodelled set and verdict Drop. With Walk.Trace and Walk.Journal nil it allocates nothing.
func (l *Linked) Run(w *netfilter.Walk, id TableID, h netfilter.Hook, p *packet.Packet) netfilter.Verdict {
	t := l.tables[id]
	if t == nil || t.entry[h] < 0 {
		return netfilter.Accept
	}
	x := &l.x
	x.w = w
	if t.rules[t.entry[h]].kind == kindEnd {
		return x.policy(t, h, p)
	}
	x.stack = x.stack[:0]
	src, dst := halves(p.Src.Addr()), halves(p.Dst.Addr())
	for i := t.entry[h]; ; {
		r := &t.rules[i]
		if r.kind == kindEnd {
			if n := len(x.stack); n > 0 {
				i = x.stack[n-1]
				x.stack = x.stack[:n-1]
				continue
			}
			return x.policy(t, h, p)
		}
		w.Work.Rules++
		if r.flags&(hasDst|notDst) == hasDst && w.Trace == nil && ((dst[1]^r.dst[1])&r.dmask[1]|(dst[0]^r.dst[0])&r.dmask[0]) != 0 {
			i++ // by far the commonest: another destination
			continue
		}
		if !t.applies(x, r, p, &src, &dst) {
			if w.Trace != nil {
				x.traceMiss(t, i, p, &src, &dst)
			}
			i++
			continue
		}
		if r.kind != kindUnmodelled {
			t.add(x, i, p)
		}
		switch r.kind {
		case kindCount:
			x.trace(t, i, "count")
			i++
		case kindJump, kindGoto:
			if w.Trace != nil {
				x.trace(t, i, [...]string{"jump ", "goto "}[r.kind-kindJump]+t.chains[t.rules[r.to].chain].src.Name)
			}
			if r.kind == kindJump {
				x.stack = append(x.stack, i+1)
			}
			i = r.to
		case kindReturn:
			x.trace(t, i, "return")
			n := len(x.stack)
			if n == 0 {
				return x.policy(t, h, p)
			}
			i = x.stack[n-1]
			x.stack = x.stack[:n-1]
		case kindAccept:
			x.trace(t, i, "accept")
			return netfilter.Accept
		case kindDrop:
			x.trace(t, i, "drop")
			return netfilter.Drop
		default:
			x.note = ""
			v := t.actions[r.to].act(x, p)
			if w.Trace != nil {
				x.trace(t, i, x.result(v, t.refs[i]))
			}
			if v != netfilter.Continue {
				return v
			}
			i++
		}
	}
}

// applies decides the conditions of a rule, stopping at the first false one.
func (t *linkedTable) applies(x *walker, r *linkedRule, p *packet.Packet, src, dst *[2]uint64) bool {
	f := r.flags
	if f == 0 {
		return true
	}
	if f&hasDst != 0 && (dst[1]&r.dmask[1] == r.dst[1] && dst[0]&r.dmask[0] == r.dst[0]) == (f&notDst != 0) {
		return false
	}
	if f&hasProto != 0 && (p.Proto == r.proto) == (f&notProto != 0) {
		return false
	}
	if f&hasSrc != 0 && (src[1]&r.smask[1] == r.src[1] && src[0]&r.smask[0] == r.src[0]) == (f&notSrc != 0) {
		return false
	}
	if f&(hasIfaces|wantFrag|wantNoFrag) != 0 {
		if r.in >= 0 && !t.ifaces[r.in].Match(x.w.In) || r.out >= 0 && !t.ifaces[r.out].Match(x.w.Out) {
			return false
		}
		if f&wantFrag != 0 && p.FragmentOffset == 0 || f&wantNoFrag != 0 && p.FragmentOffset != 0 {
			return false
		}
	}
	if f&hasMatches != 0 {
		for i, m := range t.evals[r.evals : r.evals+r.evalsN] {
			if !m.match(x, p) {
				x.asked = int32(i) + 1
				return false
			}
		}
	}
	return true
}

// add counts a packet on a rule.
func (t *linkedTable) add(x *walker, i int32, p *packet.Packet) {
	c := &t.count[i]
	if x.w.Journal.On() {
		old := *c
		x.w.Journal.Add(func() { *c = old })
	}
	c.Packets++
	c.Bytes += uint64(p.LengthBytes)
}

// policy ends a built-in chain by its policy.
func (x *walker) policy(t *linkedTable, h netfilter.Hook, p *packet.Packet) netfilter.Verdict {
	if !x.l.env.NFT { // the policy of an nft base chain has no counter
		c := &t.pcount[h]
		if x.w.Journal.On() {
			old := *c
			x.w.Journal.Add(func() { *c = old })
		}
		c.Packets++
		c.Bytes += uint64(p.LengthBytes)
	}
	v := t.policy[h]
	if x.w.Trace != nil {
		x.w.Trace.Add(netfilter.Step{
			Hook: x.w.Hook, Kind: netfilter.StepPolicy, Table: t.id.String(), Chain: h.String(), Result: v.String(), Matched: true,
		})
	}
	return v
}

// bindNAT decides a side of the connection's binding within a range. The node's NAT hook translates the packet afterwards.
func (x *walker) bindNAT(side conntrack.Manip, to *NATRange) netfilter.Verdict {
	c := x.w.Conn
	if c == nil { // untracked packets do not come here
		return netfilter.Accept
	}
	ok := c.SetupNAT(x.w.Now, side, conntrack.Range{
		MinAddr: to.MinAddr, MaxAddr: to.MaxAddr, MinPort: to.MinPort, MaxPort: to.MaxPort, HasPorts: to.HasPorts,
		Random: to.Random, RandomFully: to.RandomFully, Persistent: to.Persistent,
	}, x.w.Ports(), x.w.Journal)
	if !ok {
		x.note = "drop: no binding"
		return netfilter.Drop
	}
	if x.w.Trace != nil {
		if side == manipDestination {
			x.note = "dnat to " + c.Reply.Src.String()
		} else {
			x.note = "snat to " + c.Reply.Dst.String()
		}
	}
	return netfilter.Accept
}

// trace adds the step of a rule that applied.
func (x *walker) trace(t *linkedTable, i int32, result string) {
	if x.w.Trace != nil {
		x.step(t, i, result, true)
	}
}

func (x *walker) step(t *linkedTable, i int32, result string, matched bool) {
	c := &t.chains[t.rules[i].chain]
	s := netfilter.Step{
		Hook: x.w.Hook, Kind: netfilter.StepRule, Table: t.id.String(), Chain: c.src.Name, Rule: int(i-c.first) + 1,
		Ref: t.refs[i], Result: result, Matched: matched,
	}
	if x.drew {
		d := x.draw
		s.Draw = &d
		x.drew = false
	}
	x.w.Trace.Add(s)
}

// result says what an extension did.
func (x *walker) result(v netfilter.Verdict, r *Rule) string {
	if x.note != "" {
		return x.note
	}
	if v == netfilter.Continue {
		return "continue"
	}
	return strings.ToLower(r.Target.Name())
}

// traceMiss adds the step of a rule that did not apply and says which condition missed: the first, header before matches. Matches are not
// asked twice, since asking can change their state: the last one asked is the one that missed.
func (x *walker) traceMiss(t *linkedTable, i int32, p *packet.Packet, src, dst *[2]uint64) {
	r, rule := &t.rules[i], t.refs[i]
	header := *r
	var b []byte
	miss := func(flags uint16) bool {
		header.flags = r.flags & flags
		return !t.applies(x, &header, p, src, dst)
	}
	switch {
	case miss(hasSrc | notSrc):
		b = rule.Src.append(b, " -s ")
	case miss(hasDst | notDst):
		b = rule.Dst.append(b, " -d ")
	case !rule.In.any() && !rule.In.Match(x.w.In):
		b = rule.In.append(b, " -i ")
	case !rule.Out.any() && !rule.Out.Match(x.w.Out):
		b = rule.Out.append(b, " -o ")
	case miss(hasProto | notProto):
		h := Header{Proto: rule.Proto, NotProto: rule.NotProto}
		b = h.append(b)
	case miss(wantFrag | wantNoFrag):
		h := Header{Fragment: rule.Fragment, NotFrag: rule.NotFrag}
		b = h.append(b)
	default:
		b = x.missedMatch(t, r, rule)
	}
	x.step(t, i, "miss:"+string(b), false)
}

// missedMatch spells the match that missed.
func (x *walker) missedMatch(t *linkedTable, r *linkedRule, rule *Rule) []byte {
	n := x.asked
	for _, m := range rule.Matches {
		if _, ok := m.(*Comment); ok {
			continue
		}
		if n--; n == 0 {
			if b := m.Append(nil); len(b) > 0 {
				return b
			}
			return []byte(" -m " + m.Name())
		}
	}
	return nil
}
