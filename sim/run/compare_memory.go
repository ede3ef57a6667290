package run

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/packet"
)

// memory finds what makes one connection depend on those before it, and the shortest time after which it does no more; 0 without.
func memory(rs *iptables.Ruleset) (serial bool, window time.Duration) {
	for _, t := range rs.Tables() {
		for _, chain := range t.Chains() {
			for _, r := range chain.Rules {
				for _, m := range r.Matches {
					switch m := m.(type) {
					case *iptables.Recent:
						serial = true
						if d := time.Duration(m.Seconds) * time.Second; d > 0 && (window == 0 || d < window) {
							window = d
						}
					case *iptables.Nth:
						serial = true
					}
				}
			}
		}
	}
	return serial, window
}

// closedEntry is how long IPVS keeps the entry of a connection that was reset (net/netfilter/ipvs/ip_vs_proto_tcp.c, tcp_timeouts).
const closedEntry = 10 * time.Second

// entryTimes are the times for which IPVS keeps entries that later connections depend on, rising; none where they depend on none.
func entryTimes(t *ipvs.Table) (out []time.Duration) {
	note := func(d time.Duration) {
		if !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	for _, s := range t.Services() {
		switch s.Scheduler {
		case "rr", "wrr", "sh", "dh", "mh", "fo":
		default: // they count connections
			if s.Key.Proto != packet.UDP {
				note(closedEntry)
			}
			if s.Key.Proto != packet.TCP {
				note(t.Timeouts().UDP)
			}
		}
		if s.Persistence > 0 {
			note(s.Persistence)
		}
	}
	slices.Sort(out)
	return out
}

// ageing keeps the entries of model and kernel alike. They end by timers of the kernel that come late by up to an eighth of their time
// (kernel/time/timer.c, its levels), so that connections must not be opened while some end: from time to time there is a pause after
// which all have ended on both sides. A jump of the model's clock costs one, too, unless it is too short for any to end.
type ageing struct {
	times []time.Duration
	rest  time.Time                       // the last pause
	ahead map[time.Duration]time.Duration // how far the model's clock has jumped since entries of such a time ended
	spent time.Duration                   // in pauses
}

// pause is how long it takes until no entry of such a time is left.
func pause(d time.Duration) time.Duration { return d + d/8 + time.Second }

// due is the time for which a pause is due before the model's clock jumps; 0 when none is.
func (a *ageing) due(jump time.Duration) (longest time.Duration) {
	for _, d := range a.times {
		if a.ahead[d]+jump+time.Since(a.rest) > d/2 {
			longest = d
		}
	}
	return longest
}

// jumped notes that the model's clock has jumped.
func (a *ageing) jumped(by time.Duration) {
	for _, d := range a.times {
		a.ahead[d] += by
	}
}

// age pauses where that is due before the model's clock jumps. Where there is no patience for it, differences say nothing from here on.
func (c *comparison) age(ctx context.Context, jump time.Duration) error {
	a := &c.ageing
	a.times = entryTimes(c.subject.Node.IPVS)
	d := a.due(jump)
	if d == 0 {
		return nil
	}
	if a.spent += pause(d); a.spent > cmp.Or(c.opt.Patience, DefaultPatience) {
		a.spent -= pause(d)
		c.aged, c.inexact = true, tooOld
		return nil
	}
	if err := sleep(ctx, pause(d)); err != nil {
		return err
	}
	for _, t := range a.times {
		if t <= d {
			a.ahead[t] = 0
		}
	}
	a.rest = time.Now()
	return nil
}
