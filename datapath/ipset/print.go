package ipset

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// Print prints the sets as ipset save does, sets and entries in the order they were made. now is the time timeouts are told at.
func (st *Store) Print(now time.Duration) string {
	var b strings.Builder
	for _, n := range st.order {
		if st.sets[n].Type != ListSet {
			st.sets[n].print(&b, now, false, Save)
		}
	}
	for _, n := range st.order { // lists name other sets, so they come last
		if st.sets[n].Type == ListSet {
			st.sets[n].print(&b, now, false, Save)
		}
	}
	return b.String()
}

// Style says how networks are spelled.
type Style uint8

// The styles.
const (
	Save   Style = iota // as the kernel prints them: one that is a single address goes without its length
	Native              // as kube-proxy passes them: always with their length
)

// PrintNormalised prints the sets by name and their entries by text, without bucketsize and initval.
func (st *Store) PrintNormalised(now time.Duration) string { return st.PrintStyled(now, Save) }

// PrintStyled is PrintNormalised in a style.
func (st *Store) PrintStyled(now time.Duration, style Style) string {
	var b strings.Builder
	for _, n := range slices.Sorted(slices.Values(st.order)) {
		st.sets[n].print(&b, now, true, style)
	}
	return b.String()
}

func (s *Set) print(b *strings.Builder, now time.Duration, normal bool, style Style) {
	fmt.Fprintf(b, "create %s %s", s.Name, s.Type)
	for _, o := range s.header {
		if normal && (o.name == "bucketsize" || o.name == "initval") {
			continue
		}
		b.WriteString(" " + o.name)
		if o.value != "" {
			b.WriteString(" " + o.value)
		}
	}
	b.WriteByte('\n')
	var lines []string
	for _, x := range s.entries {
		if x == nil || x.expires != 0 && x.expires <= now {
			continue
		}
		lines = append(lines, "add "+s.Name+" "+s.text(x, now, style)+"\n")
	}
	if normal {
		slices.Sort(lines)
	}
	for _, l := range lines {
		b.WriteString(l)
	}
}

func (s *Set) text(x *element, now time.Duration, style Style) string {
	t := s.SpellAs(x.Entry, style)
	if s.timed {
		left := int64(0)
		if x.expires > 0 { // what is left of the last second counts as one (ip_set_timeout_get)
			left = max(int64((x.expires-now)/time.Second), 1)
		}
		t += " timeout " + strconv.FormatInt(left, 10)
	}
	for i := 0; i < len(x.extra); i += 2 {
		t += " " + x.extra[i] + " " + x.extra[i+1]
	}
	if x.hasNote {
		t += ` comment "` + x.comment + `"`
	}
	if x.nomatch {
		t += " nomatch"
	}
	return t
}

// Spell prints an entry as ipset does.
func (s *Set) Spell(e Entry) string { return s.SpellAs(e, Save) }

// SpellAs prints an entry in a style.
func (s *Set) SpellAs(e Entry, style Style) string {
	if s.Type == ListSet {
		return e.Member
	}
	var out []string
	for i, p := range typeParts[s.Type] {
		switch p {
		case partIP, partNet:
			a := e.A
			if i > 0 {
				a = e.B
			}
			if p == partNet && style == Native {
				out = append(out, a.String())
			} else {
				out = append(out, spellPrefix(a))
			}
		case partPort:
			out = append(out, s.spellPort(e))
		case partIface:
			if e.Physdev {
				out = append(out, "physdev:"+e.Iface)
			} else {
				out = append(out, e.Iface)
			}
		case partMark:
			out = append(out, fmt.Sprintf("0x%08x", e.Mark))
		case partMAC:
			m := e.MAC
			out = append(out, fmt.Sprintf("%02X:%02X:%02X:%02X:%02X:%02X", m[0], m[1], m[2], m[3], m[4], m[5]))
		}
	}
	return strings.Join(out, ",")
}

func spellPrefix(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

func (s *Set) spellPort(e Entry) string {
	n := strconv.Itoa(int(e.Port))
	switch {
	case s.Type == BitmapPort:
		return n
	case e.Proto == packet.ICMP:
		return fmt.Sprintf("icmp:%d/%d", e.Port>>8, e.Port&255)
	case e.Proto == packet.ICMPv6:
		return fmt.Sprintf("icmpv6:%d/%d", e.Port>>8, e.Port&255)
	case e.Proto == udpLite:
		return "udplite:" + n
	}
	return e.Proto.String() + ":" + n
}
