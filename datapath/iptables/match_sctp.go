package iptables

import (
	"strings"

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
	{"DATA", "BEUI"}, {"INIT", ""}, {"INIT_ACK", ""}, {"SACK", ""}, {"HEARTBEAT", ""}, {"HEARTBEAT_ACK", ""},
	{"ABORT", "T"}, {"SHUTDOWN", ""}, {"SHUTDOWN_ACK", ""}, {"ERROR", ""}, {"COOKIE_ECHO", ""}, {"COOKIE_ACK", ""},
	{"ECN_ECNE", ""}, {"ECN_CWR", ""}, {"SHUTDOWN_COMPLETE", "T"}, {"I_DATA", ""}, {"RE_CONFIG", ""}, {"PAD", ""},
	{"ASCONF", ""}, {"ASCONF_ACK", ""}, {"FORWARD_TSN", ""}, {"I_FORWARD_TSN", ""},
}

// Name is the name after -m.
func (m *SCTP) Name() string { return "sctp" }

func (m *SCTP) set(o *option) (err error) {
	switch o.name {
	case "sport":
		m.Sport, err = parsePorts("--sport", o.arg, o.invert)
	case "dport":
		m.Dport, err = parsePorts("--dport", o.arg, o.invert)
	default:
		m.notChunks = o.invert
		m.chunks, err = parseChunks(o)
	}
	return err
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
		name, flags, has := strings.Cut(s, ":")
		known := false
		for _, c := range sctpChunks {
			if strings.EqualFold(c.name, name) {
				known = true
				if strings.Trim(strings.ToUpper(flags), c.flag) != "" {
					return "", refuse("--chunk-types", "bad chunk flags", s)
				}
				seen[c.name] = ""
				if has {
					seen[c.name] = ":" + flags
				}
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
	b = m.Dport.append(m.Sport.append(b, " --sport "), " --dport ")
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
