package emulator

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// tap counts what became of connections, and tells packets to followers.
type tap struct {
	packets atomic.Int64
	wanted  atomic.Int64 // followers

	mu        sync.Mutex
	picks     map[place]map[netip.AddrPort]int64 // new connections by endpoint; the invalid one stands for none
	followers map[*Follower]struct{}
	closed    bool
}

func newTap() *tap {
	return &tap{picks: map[place]map[netip.AddrPort]int64{}, followers: map[*Follower]struct{}{}}
}

// of is the tap of a node, which lines name where there are several.
func (t *tap) of(node string, several bool) *datapath.Tap {
	if !several {
		node = ""
	}
	return &datapath.Tap{
		Wants: func() bool { return t.wanted.Load() > 0 },
		Walked: func(now time.Duration, steps *netfilter.Trace, p *packet.Packet, d *datapath.Disposition) {
			t.walked(node, now, steps, p, d)
		},
	}
}

// both tells two taps.
func both(a, b *datapath.Tap) *datapath.Tap {
	return &datapath.Tap{
		Wants: func() bool {
			x, y := a.Wants(), b.Wants()
			return x || y
		},
		Walked: func(now time.Duration, steps *netfilter.Trace, p *packet.Packet, d *datapath.Disposition) {
			a.Walked(now, steps, p, d)
			b.Walked(now, steps, p, d)
		},
	}
}

func (t *tap) walked(node string, now time.Duration, steps *netfilter.Trace, p *packet.Packet, d *datapath.Disposition) {
	t.packets.Add(1)
	switch c := d.Conn; {
	case c != nil && c.Created == now && c.Original.Dst != p.Dst && opens(p):
		t.count(place{c.Original.Dst, c.Original.Proto}, p.Dst)
	case c == nil && d.Fate == datapath.Rejected && opens(p):
		t.count(place{p.Dst, p.Proto}, netip.AddrPort{})
	}
	if steps != nil && t.wanted.Load() > 0 {
		t.tell(node, now, steps, p, d)
	}
}

// opens reports whether a packet can be the first of a connection.
func opens(p *packet.Packet) bool {
	switch p.Proto {
	case packet.TCP:
		return p.TCPFlags&(packet.SYN|packet.ACK) == packet.SYN
	case packet.UDP:
		return true
	}
	return false
}

func (t *tap) count(f place, endpoint netip.AddrPort) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.picks[f]
	if m == nil {
		if len(t.picks) >= maxFronts {
			return
		}
		m = map[netip.AddrPort]int64{}
		t.picks[f] = m
	}
	m[endpoint]++
}

// maxFronts bounds what is counted, lest a scan of ports fill the memory.
const maxFronts = 1 << 16

// Follower receives packets as lines. The queue is bounded: a reader too slow misses packets, and is told how many.
type Follower struct {
	Lines <-chan string // closed when the emulator ends

	t       *tap
	steps   bool
	lines   chan string
	dropped int64 // since the last line; guarded by the tap's mutex
}

// followerQueue is how many packets wait for a follower.
const followerQueue = 1024

// Follow tells every packet from now on; with steps, each rule that took part has a line of its own. Close the follower when done.
func (e *Emulator) Follow(steps bool) *Follower {
	f := &Follower{t: e.tap, steps: steps, lines: make(chan string, followerQueue)}
	f.Lines = f.lines
	t := e.tap
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		close(f.lines)
		return f
	}
	t.followers[f] = struct{}{}
	t.wanted.Add(1)
	return f
}

// Close ends it.
func (f *Follower) Close() {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	if _, ok := f.t.followers[f]; ok {
		delete(f.t.followers, f)
		f.t.wanted.Add(-1)
		close(f.lines)
	}
}

func (t *tap) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for f := range t.followers {
		delete(t.followers, f)
		t.wanted.Add(-1)
		close(f.lines)
	}
}

func (t *tap) tell(node string, now time.Duration, steps *netfilter.Trace, p *packet.Packet, d *datapath.Disposition) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines [2]string // without and with steps, made when first needed
	for f := range t.followers {
		i := 0
		if f.steps {
			i = 1
		}
		if lines[i] == "" {
			lines[i] = lineOf(node, now, steps, p, d, f.steps)
		}
		line := lines[i]
		if f.dropped > 0 {
			line = fmt.Sprintf("… %d packets were not shown: they came faster than they were read\n", f.dropped) + line
		}
		select {
		case f.lines <- line:
			f.dropped = 0
		default:
			f.dropped++
		}
	}
}

// lineOf is a packet's walk in a line: when it came and how, what it was, the rules that took part, what they made of it.
func lineOf(node string, now time.Duration, t *netfilter.Trace, p *packet.Packet, d *datapath.Disposition, steps bool) string {
	was, in := *p, ""
	if len(t.Visits) > 0 {
		was, in = t.Visits[0].Packet, t.Visits[0].In
	}
	if in == "" {
		in = "node"
	}
	if node != "" {
		in = node + ":" + in
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%.6f %s %s %s > %s", now.Seconds(), in, was.Proto, ends(was.Proto, was.Src), ends(was.Proto, was.Dst))
	if was.Proto == packet.TCP {
		fmt.Fprintf(&b, " [%s]", was.TCPFlags)
	}
	fmt.Fprintf(&b, " %dB", was.LengthBytes)
	b.WriteString(":")
	var calls []netfilter.Step // jumps under way that no rule with an effect has been met behind yet
	for _, s := range t.Steps {
		switch {
		case s.Kind == netfilter.StepRule && s.Matched:
			for i := range calls {
				if calls[i].Table == s.Table && calls[i].Chain == s.Chain || calls[i].Hook != s.Hook {
					calls = calls[:i] // it came back from there
					break
				}
			}
			if calls = append(calls, s); strings.HasPrefix(s.Result, "jump ") || strings.HasPrefix(s.Result, "goto ") {
				continue
			}
			if s.Result != "return" {
				for _, c := range calls {
					fmt.Fprintf(&b, " %s/%s#%d", c.Table, c.Chain, c.Rule)
				}
			}
			calls = calls[:0]
		case s.Kind == netfilter.StepIPVS:
			b.WriteString(" IPVS: " + s.Result + ",")
		case s.Kind == netfilter.StepConntrack && s.Hook != netfilter.PostRouting:
			b.WriteString(" " + s.Result)
		}
	}
	if was.Dst != p.Dst {
		b.WriteString(" to " + ends(p.Proto, p.Dst))
	}
	if was.Src != p.Src {
		b.WriteString(" from " + ends(p.Proto, p.Src))
	}
	b.WriteString(" " + fateOf(d) + "\n")
	if !steps {
		return b.String()
	}
	for _, s := range t.Steps {
		if s.Kind == netfilter.StepRule && !s.Matched {
			continue
		}
		fmt.Fprintf(&b, "    %s %s", s.Hook, s.Result)
		if r, ok := s.Ref.(*iptables.Rule); ok && s.Kind == netfilter.StepRule {
			b.WriteString("  " + s.Table + " " + r.Save(s.Chain))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// ends is an address with its port, where the protocol has ports.
func ends(proto packet.Protocol, a netip.AddrPort) string {
	if proto == packet.TCP || proto == packet.UDP || proto == packet.SCTP {
		return a.String()
	}
	return a.Addr().String()
}
