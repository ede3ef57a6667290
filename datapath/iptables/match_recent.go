package iptables

import (
	"math/bits"
	"net/netip"
	"strconv"

	"github.com/svclab/svclab/datapath/packet"
)

// RecentCheck is what a -m recent rule does with its list.
type RecentCheck uint8

// The four, of which a rule has exactly one.
const (
	RecentSet    RecentCheck = iota + 1 // --set: add or stamp
	RecentRcheck                        // --rcheck: look
	RecentUpdate                        // --update: look, and stamp if it matched
	RecentRemove                        // --remove
)

var recentNames = [...]string{"", " --set", " --rcheck", " --update", " --remove"}

// Recent matches and keeps lists of addresses, as -m recent does (net/netfilter/xt_recent.c, recent_mt).
type Recent struct {
	List     string
	Check    RecentCheck
	Invert   bool
	Seconds  uint32 // 0: any age
	HitCount uint32 // 0: one is enough
	Reap     bool   // drop the list's oldest address when it is stale
	TTL      bool   // the packet's TTL must be that of the listed one
	Dest     bool   // look at the destination
	Mask     netip.Addr
}

var _ = registerMatch(&extension{
	name: "recent",
	options: []optionSpec{
		{name: "set"}, {name: "rcheck"}, {name: "update"}, {name: "remove"},
		{name: "seconds", args: 1, noInvert: true}, {name: "reap", noInvert: true},
		{name: "hitcount", args: 1, noInvert: true}, {name: "rttl", noInvert: true},
		{name: "name", args: 1, noInvert: true}, {name: "rsource", noInvert: true}, {name: "rdest", noInvert: true},
		{name: "mask", args: 1, noInvert: true},
	},
	newMatch: func() parsedMatch { return &Recent{List: "DEFAULT"} },
})

// Name is the name after -m.
func (m *Recent) Name() string { return "recent" }

func (m *Recent) set(o *option) error {
	switch o.name {
	case "set":
		return m.setCheck(RecentSet, o)
	case "rcheck":
		return m.setCheck(RecentRcheck, o)
	case "update":
		return m.setCheck(RecentUpdate, o)
	case "remove":
		return m.setCheck(RecentRemove, o)
	case "seconds", "hitcount":
		most := uint64(1<<32 - 1)
		if o.name == "hitcount" {
			most = 65535
		}
		n, ok := parseUint(o.arg, most)
		if !ok || n == 0 && o.name == "seconds" {
			return o.badValue()
		}
		if o.name == "seconds" {
			m.Seconds = uint32(n)
		} else {
			m.HitCount = uint32(n)
		}
	case "reap":
		m.Reap = true
	case "rttl":
		m.TTL = true
	case "name":
		const most = 199 // XT_RECENT_NAME_LEN less its end
		if o.arg == "" {
			return o.badValue()
		}
		m.List = o.arg[:min(len(o.arg), most)]
	case "rdest":
		m.Dest = true
	case "mask":
		a, ok := parseHost(o.arg, o.rule.family, false)
		if !ok {
			return o.badValue()
		}
		m.Mask = a
	}
	return nil
}

func (m *Recent) setCheck(c RecentCheck, o *option) error {
	if m.Check != 0 {
		return refuse("--"+o.name, "cannot be used together with"+recentNames[m.Check], "")
	}
	m.Check, m.Invert = c, o.invert
	return nil
}

func (m *Recent) finish(r *ruleParser) error {
	switch {
	case m.Check == 0:
		return refuse("recent", "you must specify one of --set, --rcheck, --update or --remove", "")
	case m.Reap && m.Seconds == 0:
		return refuse("recent", "--reap also requires --seconds", "")
	case m.Dest && r.has(m, "rsource"):
		return refuse("recent", "--rsource and --rdest cannot be combined", "")
	}
	if !m.Mask.IsValid() {
		m.Mask = fullMask(r.family)
	}
	return nil
}

func (m *Recent) checkEntry(*Rule) error {
	if (m.Check == RecentSet || m.Check == RecentRemove) && (m.Seconds != 0 || m.HitCount != 0) {
		return refuse("recent", "--seconds and --hitcount need --rcheck or --update", m.List)
	}
	return nil
}

// Append appends the options.
func (m *Recent) Append(b []byte) []byte {
	if m.Invert {
		b = append(b, " !"...)
	}
	b = append(b, recentNames[m.Check]...)
	if m.Seconds != 0 {
		b = strconv.AppendUint(append(b, " --seconds "...), uint64(m.Seconds), 10)
	}
	if m.Reap {
		b = append(b, " --reap"...)
	}
	if m.HitCount != 0 {
		b = strconv.AppendUint(append(b, " --hitcount "...), uint64(m.HitCount), 10)
	}
	if m.TTL {
		b = append(b, " --rttl"...)
	}
	b = append(append(b, " --name "...), m.List...)
	b = appendAddr(append(b, " --mask "...), m.Mask)
	if m.Dest {
		return append(b, " --rdest"...)
	}
	return append(b, " --rsource"...)
}

// stampsHeld is how many stamps an address of the list keeps on behalf of this rule, a power of two.
func (m *Recent) stampsHeld() uint32 {
	if m.HitCount == 0 {
		return defaultStamps
	}
	return 1 << bits.Len32(m.HitCount-1)
}

// boundRecent is a Recent with its list.
type boundRecent struct {
	*Recent
	list *recentList
	hz   uint64
}

func (m *boundRecent) match(x *walker, p *packet.Packet) bool {
	a := p.Src.Addr()
	if m.Dest {
		a = p.Dst.Addr()
	}
	a = maskAddr(a, m.list.mask)
	ttl := p.TTL
	if x.w.Out != "" && x.w.In != "" {
		ttl++ // as it was before this host forwarded it
	}
	want := uint8(0)
	if m.TTL {
		want = ttl
	}
	now := jiffies(x.w.Now, m.hz)
	x.w.Work.Lookups++
	l := m.list
	e := l.lookup(a, want)
	if e == nil && m.Check != RecentSet {
		return m.Invert
	}
	if x.w.Journal.On() {
		x.w.Journal.Add(l.snapshot())
	}
	if e == nil {
		l.insert(a, ttl, now)
		return !m.Invert
	}
	hit := m.Invert
	switch m.Check {
	case RecentSet:
		hit = !hit
	case RecentRemove:
		l.remove(e)
		hit = !hit
	default:
		oldest := now - int64(uint64(m.Seconds)*m.hz)
		hits := uint32(0)
		for _, s := range e.stamps {
			if m.Seconds != 0 && oldest > s {
				continue
			}
			if hits++; m.HitCount == 0 || hits >= m.HitCount {
				hit = !hit
				break
			}
		}
		if m.Reap {
			l.reap(oldest)
		}
	}
	if m.Check == RecentSet || m.Check == RecentUpdate && hit {
		l.stamp(e, ttl, now)
	}
	return hit
}
