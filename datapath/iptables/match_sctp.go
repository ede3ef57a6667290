package iptables

import (
	"strings"
	"unicode"

	"github.com/svclab/svclab/datapath/packet"
)

// SCTP matches SCTP headers, as -m sctp does (net/netfilter/xt_sctp.c, sctp_mt). Of the chunk list the packet view holds the
// first chunk, so --chunk-types is not modelled.
type SCTP struct {
	Sport, Dport Ports
	chunks       string // --chunk-types as printed
	notChunks    bool
}

var _ = registerMatch(&extension{
	name: "sctp", options: append([]optionSpec{{name: "chunk-types", args: 2}}, portOptions...),
	newMatch: func() parsedMatch { return new(SCTP) },
})

// sctpChunks are the chunk types by number, as iptables lists and prints them.
var sctpChunks = [...]struct {
	name string
	flag string // letters of its flag bits
}{
	{"DATA", "IUBE"}, {"INIT", ""}, {"INIT_ACK", ""}, {"SACK", ""}, {"HEARTBEAT", ""}, {"HEARTBEAT_ACK", ""},
	{"ABORT", "T"}, {"SHUTDOWN", ""}, {"SHUTDOWN_ACK", ""}, {"ERROR", ""}, {"COOKIE_ECHO", ""}, {"COOKIE_ACK", ""},
	{"ECN_ECNE", ""}, {"ECN_CWR", ""}, {"SHUTDOWN_COMPLETE", "T"}, {"I_DATA", ""}, {"ASCONF_ACK", ""}, {"RE_CONFIG", ""},
	{"PAD", ""}, {"FORWARD_TSN", ""}, {"ASCONF", ""}, {"I_FORWARD_TSN", ""},
}

// Name is the name after -m.
func (m *SCTP) Name() string { return "sctp" }

func (m *SCTP) set(o *option) (err error) {
	switch o.name {
	case "sport":
		m.Sport, err = parseSCTPPorts("--sport", o.arg, o.invert)
	case "dport":
		m.Dport, err = parseSCTPPorts("--dport", o.arg, o.invert)
	default:
		m.notChunks = o.invert
		m.chunks, err = parseChunks(o)
	}
	return err
}

// parseSCTPPorts is parsePorts without names: systems' lists of services know hardly any for SCTP.
func parseSCTPPorts(opt, s string, invert bool) (Ports, error) {
	if s != "" && strings.Trim(strings.ToLower(s), "+:0123456789abcdefx ") != "" && s != "amqp" {
		return Ports{}, refuse(opt, "invalid port/service", s)
	}
	return parsePorts(opt, s, invert)
}

func parseChunks(o *option) (string, error) {
	how := strings.ToLower(o.arg)
	if how != "all" && how != "any" && how != "only" {
		return "", refuse("--chunk-types", "the first argument is all, any or only", o.arg)
	}
	if strings.EqualFold(o.arg2, "ALL") || strings.EqualFold(o.arg2, "NONE") {
		return how + " " + strings.ToUpper(o.arg2), nil
	}
	seen := map[string]string{}
	for s := range strings.SplitSeq(o.arg2, ",") {
		name, flags, _ := strings.Cut(s, ":")
		known := false
		for _, c := range sctpChunks {
			if strings.EqualFold(c.name, name) {
				known = true
				if strings.Trim(strings.ToUpper(flags), c.flag) != "" {
					return "", refuse("--chunk-types", "bad chunk flags", s)
				}
				seen[c.name] = chunkFlags(flags, c.flag)
			}
		}
		if !known {
			return "", refuse("--chunk-types", "unknown sctp chunk", s)
		}
	}
	var out []string
	for _, c := range sctpChunks {
		if f, ok := seen[c.name]; ok {
			out = append(out, c.name+f)
		}
	}
	return how + " " + strings.Join(out, ","), nil
}

// chunkFlags spells a chunk's flags, upper case for set and lower for clear, in the order of their bits.
func chunkFlags(given, order string) string {
	out := ""
	for _, c := range order {
		for _, g := range given {
			if unicode.ToUpper(g) == c {
				out += string(g)
				break
			}
		}
	}
	if out == "" {
		return ""
	}
	return ":" + out
}

func (m *SCTP) finish(*ruleParser) error { return nil }

func (m *SCTP) require() requirement { return requirement{proto: packet.SCTP} }

func (m *SCTP) unmodelled() string {
	if m.chunks != "" {
		return "sctp --chunk-types"
	}
	return ""
}

// Append appends the options.
func (m *SCTP) Append(b []byte) []byte {
	b = m.Dport.appendFull(m.Sport.appendFull(b, " --sport "), " --dport ")
	if m.chunks != "" {
		if m.notChunks {
			b = append(b, " !"...)
		}
		b = append(append(b, " --chunk-types "...), m.chunks...)
	}
	return b
}

func (m *SCTP) match(_ *walker, p *packet.Packet) bool {
	return p.FragmentOffset == 0 && m.Sport.contains(p.Src.Port()) && m.Dport.contains(p.Dst.Port())
}
