package iptables

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
)

// HashLimit limits packets by groups of flows, as -m hashlimit does (net/netfilter/xt_hashlimit.c). Byte rates are not modelled.
type HashLimit struct {
	Above     bool // match above the rate; else up to it
	Rate      Rate
	Bytes     string // a byte rate, as given; "" for packets
	Burst     uint32
	BurstText string
	Mode      uint8 // bit set of hashLimitModes
	Table     string
	SrcBits   int
	DstBits   int
	rest      [4]string // size, max, gcinterval, expire, as given
	RateMatch bool
}

var hashLimitModes = [...]string{"dstip", "dstport", "srcip", "srcport"}

const (
	modeDstIP = 1 << iota
	modeDstPort
	modeSrcIP
	modeSrcPort
)

var hashLimitRest = [...]string{"hashlimit-htable-size", "hashlimit-htable-max", "hashlimit-htable-gcinterval",
	"hashlimit-htable-expire"}

var _ = registerMatch(&extension{
	name: "hashlimit",
	options: []optionSpec{
		{name: "hashlimit-upto", args: 1}, {name: "hashlimit", as: "hashlimit-upto", args: 1},
		{name: "hashlimit-above", args: 1}, {name: "hashlimit-burst", args: 1, noInvert: true},
		{name: "hashlimit-mode", args: 1, noInvert: true}, {name: "hashlimit-name", args: 1, noInvert: true},
		{name: "hashlimit-srcmask", args: 1, noInvert: true}, {name: "hashlimit-dstmask", args: 1, noInvert: true},
		{name: "hashlimit-htable-size", args: 1, noInvert: true}, {name: "hashlimit-htable-max", args: 1, noInvert: true},
		{name: "hashlimit-htable-gcinterval", args: 1, noInvert: true},
		{name: "hashlimit-htable-expire", args: 1, noInvert: true},
	},
	newMatch: func() parsedMatch { return &HashLimit{SrcBits: -1, DstBits: -1, Burst: 5} },
})

// Name is the name after -m.
func (m *HashLimit) Name() string { return "hashlimit" }

func (m *HashLimit) set(o *option) error {
	for i, n := range hashLimitRest {
		if o.name == n {
			if _, ok := parseUint(o.arg, 1<<32-1); !ok {
				return o.badValue()
			}
			m.rest[i] = o.arg
			return nil
		}
	}
	switch o.name {
	case "hashlimit-upto", "hashlimit-above":
		m.Above = (o.name == "hashlimit-above") != o.invert
		if strings.Contains(o.arg, "b/s") && isByteRate(o.arg) {
			m.Bytes = o.arg
			return nil
		}
		var err error
		m.Rate, err = parseRate("--"+o.name, o.arg, 1000000)
		return err
	case "hashlimit-burst":
		n, ok := parseUint(o.arg, 1000000)
		if !ok && isByteSize(o.arg) {
			m.BurstText = o.arg
			return nil
		}
		if !ok || n == 0 {
			return o.badValue()
		}
		m.Burst = uint32(n)
	case "hashlimit-mode":
		for s := range strings.SplitSeq(o.arg, ",") {
			found := false
			for i, n := range hashLimitModes {
				if s == n {
					m.Mode |= 1 << i
					found = true
				}
			}
			if !found {
				return refuse("--hashlimit-mode", "bad mode", s)
			}
		}
	case "hashlimit-name":
		if o.arg == "" || len(o.arg) > 254 {
			return o.badValue()
		}
		m.Table = o.arg
	case "hashlimit-srcmask", "hashlimit-dstmask":
		n, ok := parseUint(o.arg, uint64(addrBits(o.rule.family)))
		if !ok {
			return o.badValue()
		}
		if o.name == "hashlimit-srcmask" {
			m.SrcBits = int(n)
		} else {
			m.DstBits = int(n)
		}
	}
	return nil
}

func isByteRate(s string) bool {
	n, unit, _ := strings.Cut(s, "/")
	return isByteSize(n) && (unit == "" || unit == "s" || unit == "sec" || unit == "second")
}

func isByteSize(s string) bool {
	d := strings.TrimRight(s, "kmgb")
	_, ok := parseUint(d, 1<<32-1)
	return ok && strings.HasSuffix(s, "b")
}

func (m *HashLimit) finish(r *ruleParser) error {
	if m.Table == "" {
		return refuse("hashlimit", "option --hashlimit-name must be specified", "")
	}
	if m.Rate.Per == 0 && m.Bytes == "" {
		return refuse("hashlimit", "you have to specify --hashlimit-upto or --hashlimit-above", "")
	}
	if m.SrcBits == addrBits(r.family) {
		m.SrcBits = -1
	}
	if m.DstBits == addrBits(r.family) {
		m.DstBits = -1
	}
	return nil
}

// Append appends the options.
func (m *HashLimit) Append(b []byte) []byte {
	if m.Above {
		b = append(b, " --hashlimit-above "...)
	} else {
		b = append(b, " --hashlimit-upto "...)
	}
	if m.Bytes != "" {
		b = append(b, m.Bytes...)
		if m.BurstText != "" {
			b = append(append(b, " --hashlimit-burst "...), m.BurstText...)
		}
	} else {
		b = strconv.AppendUint(append(m.Rate.append(b), " --hashlimit-burst "...), uint64(m.Burst), 10)
	}
	if m.Mode != 0 {
		b = append(b, " --hashlimit-mode "...)
		names := [...]string{"srcip", "srcport", "dstip", "dstport"}
		var set uint
		for i, bit := range [...]uint8{modeSrcIP, modeSrcPort, modeDstIP, modeDstPort} {
			if m.Mode&bit != 0 {
				set |= 1 << i
			}
		}
		b = appendBits(b, set, names[:])
	}
	b = append(append(b, " --hashlimit-name "...), m.Table...)
	for i, v := range m.rest {
		if v != "" {
			b = append(append(append(append(b, " --"...), hashLimitRest[i]...), ' '), v...)
		}
	}
	if m.SrcBits >= 0 {
		b = strconv.AppendInt(append(b, " --hashlimit-srcmask "...), int64(m.SrcBits), 10)
	}
	if m.DstBits >= 0 {
		b = strconv.AppendInt(append(b, " --hashlimit-dstmask "...), int64(m.DstBits), 10)
	}
	return b
}

func (m *HashLimit) unmodelled() string {
	if m.Bytes != "" {
		return "hashlimit with a byte rate"
	}
	return ""
}

// HashLimitStore holds the tables of -m hashlimit. A node has one.
type HashLimitStore struct{ tables map[hashTableKey]*hashTable }

// NewHashLimitStore returns a store without tables.
func NewHashLimitStore() *HashLimitStore {
	return &HashLimitStore{tables: map[hashTableKey]*hashTable{}}
}

type hashTableKey struct {
	name   string
	family packet.Family
}

type hashTable struct {
	key    hashTableKey
	refs   int
	expire int64 // ms an unused group is remembered
	groups map[hashGroup]bucket
}

type hashGroup struct {
	src, dst     netip.Addr
	sport, dport uint16
}

func (s *HashLimitStore) acquire(m *HashLimit, f packet.Family) *hashTable {
	k := hashTableKey{m.Table, f}
	h := s.tables[k]
	if h == nil {
		h = &hashTable{key: k, expire: 10000, groups: map[hashGroup]bucket{}}
		if n, ok := parseUint(m.rest[3], 1<<32-1); ok {
			h.expire = int64(n)
		}
		s.tables[k] = h
	}
	h.refs++
	return h
}

func (s *HashLimitStore) release(h *hashTable) {
	if h.refs--; h.refs == 0 && s.tables[h.key] == h {
		delete(s.tables, h.key)
	}
}

// boundHashLimit is a HashLimit with its table.
type boundHashLimit struct {
	*HashLimit
	table *hashTable
	hz    uint64
}

func (m *boundHashLimit) group(p *packet.Packet) hashGroup {
	var g hashGroup
	f := p.Family()
	if m.Mode&modeSrcIP != 0 {
		g.src = p.Src.Addr()
		if m.SrcBits >= 0 {
			g.src = maskAddr(g.src, prefixMask(m.SrcBits, f))
		}
	}
	if m.Mode&modeDstIP != 0 {
		g.dst = p.Dst.Addr()
		if m.DstBits >= 0 {
			g.dst = maskAddr(g.dst, prefixMask(m.DstBits, f))
		}
	}
	if m.Mode&modeSrcPort != 0 {
		g.sport = p.Src.Port()
	}
	if m.Mode&modeDstPort != 0 {
		g.dport = p.Dst.Port()
	}
	return g
}

func (m *boundHashLimit) match(x *walker, p *packet.Packet) bool {
	g := m.group(p)
	now := jiffies(x.w.Now, m.hz)
	old, known := m.table.groups[g]
	x.w.Work.Lookups++
	b := old
	if !known || (now-old.stamp)*1000 > m.table.expire*int64(m.hz) {
		b = newBucket(m.Rate, m.Burst, m.hz, now)
	}
	ok := b.take(m.Rate, m.Burst, m.hz, now)
	m.table.groups[g] = b
	if x.w.Journal.On() {
		t := m.table
		x.w.Journal.Add(func() {
			if known {
				t.groups[g] = old
			} else {
				delete(t.groups, g)
			}
		})
	}
	return ok != m.Above
}
