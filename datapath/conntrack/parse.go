package conntrack

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// Parse reads a listing of entries as /proc/net/nf_conntrack or conntrack -L print it, pasted with or without
// indentation. Blank lines and the tool's closing line ("conntrack v1.4.7 (conntrack-tools): 3 flow entries …") are
// passed over. The first line that is not understood ends the reading with a *ParseError; file names the text in it.
func Parse(file, text string) ([]Entry, error) {
	var out []Entry
	for n := 1; text != ""; n++ {
		line, rest, _ := strings.Cut(text, "\n")
		text = rest
		words := fields(line)
		if len(words) == 0 || isTrailer(words) {
			continue
		}
		e, word, why := parseEntry(words)
		if why != "" {
			return nil, &ParseError{File: file, Line: n, Text: shorten(word), Err: why}
		}
		out = append(out, e)
	}
	return out, nil
}

func isTrailer(words []string) bool {
	return words[0] == "conntrack" && len(words) > 3 && words[2] == "(conntrack-tools):"
}

func shorten(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// parseEntry reads the words of one line; word and why say what is wrong, why is empty if nothing is.
func parseEntry(words []string) (e Entry, word, why string) {
	family := packet.Family(0)
	switch words[0] {
	case "ipv4", "ipv6":
		want := map[string]string{"ipv4": "2", "ipv6": "10"}[words[0]]
		if len(words) < 2 || words[1] != want {
			return e, strings.Join(words[:min(2, len(words))], " "), "address family and its number do not agree"
		}
		family = packet.IPv4
		if words[0] == "ipv6" {
			family = packet.IPv6
		}
		words = words[2:]
	}
	if len(words) < 3 {
		return e, strings.Join(words, " "), "line is too short for a conntrack entry"
	}
	proto, err := strconv.ParseUint(words[1], 10, 8)
	if err != nil {
		return e, words[1], "protocol number expected"
	}
	p := packet.Protocol(proto)
	if known := protoName(p); known != words[0] && known != "unknown" && words[0] != p.String() {
		return e, words[0] + " " + words[1], "protocol name and number do not agree"
	}
	secs, err := strconv.ParseUint(words[2], 10, 32)
	if err != nil {
		return e, words[2], "seconds to live expected"
	}
	e.Timeout = time.Duration(secs) * time.Second
	e.Status = SeenReply
	words = words[3:]
	if len(words) > 0 && (p == packet.TCP || p == packet.SCTP) && !strings.Contains(words[0], "=") && words[0][0] != '[' {
		s, ok := ParseState(p, words[0])
		if !ok {
			return e, words[0], "unknown state of " + p.String()
		}
		e.State = s
		words = words[1:]
	}
	var dirs [2]direction
	dir := -1
	for _, w := range words {
		if word, why = parseWord(w, &e, &dirs, &dir); why != "" {
			return e, word, why
		}
	}
	for i, t := range []*packet.Tuple{&e.Original, &e.Reply} {
		if *t, why = dirs[i].tuple(p); why != "" {
			return e, []string{"original", "reply"}[i], why
		}
	}
	if f := packet.FamilyOf(e.Original.Src.Addr()); f != packet.FamilyOf(e.Reply.Src.Addr()) || family != 0 && f != family {
		return e, e.Original.Src.Addr().String(), "addresses of two families in one entry"
	}
	return e, "", ""
}

// direction are the words of one tuple.
type direction struct {
	src, dst                    netip.Addr
	sport, dport, typ, code, id uint16
	hasSrc, hasDst, hasS, hasD  bool
	hasType, hasCode, hasID     bool
}

func (d *direction) tuple(p packet.Protocol) (t packet.Tuple, why string) {
	switch {
	case !d.hasSrc || !d.hasDst:
		return t, "direction lacks src= or dst="
	case packet.FamilyOf(d.src) != packet.FamilyOf(d.dst):
		return t, "direction has addresses of two families"
	case p.HasPorts() && !(d.hasS && d.hasD):
		return t, "direction lacks sport= or dport="
	case (p == packet.ICMP || p == packet.ICMPv6) && !(d.hasType && d.hasCode && d.hasID):
		return t, "direction lacks type=, code= or id="
	case p == packet.ICMP || p == packet.ICMPv6:
		d.sport, d.dport = d.id, d.typ<<8|d.code
	}
	return packet.Tuple{Src: netip.AddrPortFrom(d.src, d.sport), Dst: netip.AddrPortFrom(d.dst, d.dport), Proto: p}, ""
}

func parseWord(w string, e *Entry, dirs *[2]direction, dir *int) (word, why string) {
	switch w {
	case "[UNREPLIED]":
		e.Status &^= SeenReply
		return "", ""
	case "[ASSURED]":
		e.Status |= Assured
		return "", ""
	case "[OFFLOAD]", "[HW_OFFLOAD]":
		return w, "offloaded flows are not modelled"
	}
	key, val, ok := strings.Cut(w, "=")
	if !ok {
		return w, "word is not understood"
	}
	if key == "src" {
		if *dir++; *dir > 1 {
			return w, "more than two directions"
		}
	}
	var d *direction
	if *dir >= 0 {
		d = &dirs[*dir]
	}
	number := func(bits int) uint64 {
		n, err := strconv.ParseUint(val, 10, bits)
		if err != nil {
			why = "number of at most " + strconv.Itoa(bits) + " bits expected"
		}
		return n
	}
	port := func(to *uint16, has *bool, bits int) {
		if *has {
			why = "given twice in one direction"
			return
		}
		*to, *has = uint16(number(bits)), true
	}
	addr := func(to *netip.Addr, has *bool) {
		a, err := netip.ParseAddr(val)
		switch {
		case err != nil || a.Zone() != "":
			why = "address expected"
		case *has:
			why = "given twice in one direction"
		}
		*to, *has = a, true
	}
	switch key {
	case "mark":
		e.Mark = uint32(number(32))
		return w, why
	case "zone":
		if val != "0" {
			return w, "zones other than the default are not modelled"
		}
		return "", ""
	case "use", "secmark", "secctx", "packets", "bytes", "delta-time", "timeout":
		return "", ""
	}
	if d == nil {
		return w, "word is not understood"
	}
	switch key {
	case "src":
		addr(&d.src, &d.hasSrc)
	case "dst":
		addr(&d.dst, &d.hasDst)
	case "sport":
		port(&d.sport, &d.hasS, 16)
	case "dport":
		port(&d.dport, &d.hasD, 16)
	case "type":
		port(&d.typ, &d.hasType, 8)
	case "code":
		port(&d.code, &d.hasCode, 8)
	case "id":
		port(&d.id, &d.hasID, 16)
	default:
		return w, "word is not understood"
	}
	return w, why
}
