package iptables

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// Opaque is a match that is read and printed but cannot be decided from a packet view: it looks at payloads, clocks, sockets,
// transforms or classes. A walk that needs one stops.
type Opaque struct {
	name   string
	spec   *opaque
	values map[string]opaqueValue
	family packet.Family
}

type opaqueValue struct {
	text   string
	invert bool
}

// opaque says how such a match is read and printed.
type opaque struct {
	family  packet.Family
	options []opaqueOption // in the order iptables-save prints them
	require requirement
	must    bool                                     // one option at least
	all     []string                                 // these options must be given
	entry   func(*Opaque, packet.Family) requirement // what the kernel wants, beside require
}

// opaqueOption is one option. Kinds of arguments: 0 none, 'n' number, 'r' range of numbers, 'x' number printed in hexadecimal, 'w'
// word, 's' text quoted where needed, 'q' text always quoted.
type opaqueOption struct {
	name  string
	kind  byte
	most  uint64
	as    string // printed under this name
	words string // the only values there are, blank-separated
	omit  string // the value that is not printed, being the default
	parse func(*option) (string, error)
}

const u32 = 1<<32 - 1

// opaques are those matches.
var opaques = map[string]*opaque{
	"string": {options: []opaqueOption{
		{name: "string", kind: 'q', parse: parseString}, {name: "hex-string", kind: 'q', as: "string", parse: parseHexString}, {name: "algo", kind: 'w', words: "bm kmp"},
		{name: "from", kind: 'n', most: 65535, omit: "0"}, {name: "to", kind: 'n', most: 65535, omit: "65535"}, {name: "icase"},
	}, all: []string{"algo", "string"}},
	"time": {options: []opaqueOption{
		{name: "timestart", kind: 'w', parse: parseClock}, {name: "timestop", kind: 'w', parse: parseClock},
		{name: "monthdays", kind: 'w', parse: parseMonthDays}, {name: "weekdays", kind: 'w', parse: parseWeekDays},
		{name: "datestart", kind: 'w', parse: parseDate}, {name: "datestop", kind: 'w', parse: parseDate},
		{name: "kerneltz"}, {name: "contiguous"}, {name: "utc", as: "-"}, {name: "localtz", as: "kerneltz"},
	}},
	"helper": {options: []opaqueOption{{name: "helper", kind: 's'}}, must: true},
	"socket": {options: []opaqueOption{{name: "transparent"}, {name: "nowildcard"}, {name: "restore-skmark"}},
		require: requirement{hooks: 1 | 2}},
	"esp": {options: []opaqueOption{{name: "espspi", kind: 'r', most: u32, omit: "0:4294967295"}}, require: requirement{proto: 50}},
	"ah": {options: []opaqueOption{{name: "ahspi", kind: 'r', most: u32, omit: "0:4294967295"}, {name: "ahlen", kind: 'n', most: u32}, {name: "ahres"}},
		entry: func(_ *Opaque, f packet.Family) requirement { // IPv6 looks for the extension header instead
			if f == packet.IPv6 {
				return requirement{}
			}
			return requirement{proto: 51}
		}},
	"policy": {options: []opaqueOption{
		{name: "dir", kind: 'w', words: "in out"}, {name: "pol", kind: 'w', words: "none ipsec"}, {name: "strict"}, {name: "reqid", kind: 'n', most: u32}, {name: "spi", kind: 'x', most: u32},
		{name: "proto", kind: 'w', parse: parseTransform}, {name: "mode", kind: 'w', words: "tunnel transport"}, {name: "tunnel-src", kind: 'w'}, {name: "tunnel-dst", kind: 'w'}, {name: "next"},
	}, all: []string{"dir"}, entry: policyHooks},
	"realm":  {family: packet.IPv4, options: []opaqueOption{{name: "realm", kind: 'w', parse: func(o *option) (string, error) { return parseGroup(o, "cosmos") }}}, must: true},
	"bpf":    {options: []opaqueOption{{name: "bytecode", kind: 'q'}, {name: "object-pinned", kind: 'w'}}, must: true},
	"cgroup": {options: []opaqueOption{{name: "cgroup", kind: 'n', most: u32}, {name: "path", kind: 's'}}, must: true},
	"cpu":    {options: []opaqueOption{{name: "cpu", kind: 'n', most: u32}}, must: true},
	"quota":  {options: []opaqueOption{{name: "quota", kind: 'n', most: 1<<64 - 1}}, must: true},
	"connbytes": {options: []opaqueOption{
		{name: "connbytes", kind: 'r', most: 1<<64 - 1}, {name: "connbytes-mode", kind: 'w', words: "packets bytes avgpkt"}, {name: "connbytes-dir", kind: 'w', words: "original reply both"},
	}, all: []string{"connbytes", "connbytes-dir", "connbytes-mode"}},
	"connlabel": {options: []opaqueOption{{name: "label", kind: 'w'}, {name: "set"}}, must: true},
	"dccp": {options: []opaqueOption{
		{name: "sport", kind: 'r', most: 65535}, {name: "source-port", kind: 'r', most: 65535, as: "sport"},
		{name: "dport", kind: 'r', most: 65535}, {name: "destination-port", kind: 'r', most: 65535, as: "dport"},
		{name: "dccp-types", kind: 'w'}, {name: "dccp-option", kind: 'n', most: 255},
	}, require: requirement{proto: 33}},
	"ecn": {options: []opaqueOption{{name: "ecn-tcp-cwr"}, {name: "ecn-tcp-ece"}, {name: "ecn-ip-ect", kind: 'n', most: 3}}, must: true,
		entry: func(m *Opaque, _ packet.Family) requirement {
			if m.has("ecn-tcp-cwr") || m.has("ecn-tcp-ece") {
				return requirement{proto: packet.TCP}
			}
			return requirement{}
		}},
	"u32": {options: []opaqueOption{{name: "u32", kind: 'q'}}, must: true},
	"devgroup": {options: []opaqueOption{{name: "src-group", kind: 'w', parse: parseDevGroup}, {name: "dst-group", kind: 'w', parse: parseDevGroup}}, must: true,
		entry: func(m *Opaque, _ packet.Family) requirement {
			h := allHooks
			if m.has("src-group") {
				h &= hooks(netfilter.PreRouting, netfilter.Input, netfilter.Forward)
			}
			if m.has("dst-group") {
				h &= hooks(netfilter.Forward, netfilter.Output, netfilter.PostRouting)
			}
			return requirement{hooks: h}
		}},
	"rateest":    {options: []opaqueOption{{name: "rateest", kind: 'w'}, {name: "rateest-bps1", kind: 'w'}, {name: "rateest-gt"}, {name: "rateest-lt"}}, must: true},
	"osf":        {options: []opaqueOption{{name: "genre", kind: 'w'}, {name: "ttl", kind: 'n', most: 2}, {name: "log", kind: 'n', most: 2}}, must: true, require: requirement{proto: packet.TCP}},
	"rt":         {family: packet.IPv6, options: []opaqueOption{{name: "rt-type", kind: 'n', most: u32}, {name: "rt-segsleft", kind: 'r', most: u32}, {name: "rt-len", kind: 'n', most: u32}}},
	"frag":       {family: packet.IPv6, options: []opaqueOption{{name: "fragid", kind: 'r', most: u32}, {name: "fraglen", kind: 'n', most: u32}, {name: "fragres"}, {name: "fragfirst"}, {name: "fragmore"}, {name: "fraglast"}}},
	"ipv6header": {family: packet.IPv6, options: []opaqueOption{{name: "header", kind: 'w', parse: parseHeaders}, {name: "soft"}}, must: true},
	"eui64":      {family: packet.IPv6},
	"hbh":        {family: packet.IPv6, options: []opaqueOption{{name: "hbh-len", kind: 'n', most: u32}, {name: "hbh-opts", kind: 'w'}}},
	"dst":        {family: packet.IPv6, options: []opaqueOption{{name: "dst-len", kind: 'n', most: u32}, {name: "dst-opts", kind: 'w'}}},
	"mh":         {family: packet.IPv6, options: []opaqueOption{{name: "mh-type", kind: 'r', most: 255}}, require: requirement{proto: 135}},
}

func init() {
	for name, spec := range opaques {
		e := &extension{name: name, family: spec.family}
		for _, o := range spec.options {
			s := optionSpec{name: o.name}
			if o.kind != 0 {
				s.args = 1
			}
			e.options = append(e.options, s)
		}
		e.newMatch = func() parsedMatch { return &Opaque{name: name, spec: spec} }
		registerMatch(e)
	}
}

// Name is the name after -m.
func (m *Opaque) Name() string { return m.name }

func (m *Opaque) set(o *option) error {
	for i := range m.spec.options {
		s := &m.spec.options[i]
		if s.name != o.name {
			continue
		}
		v, err := s.value(o)
		if err != nil {
			return err
		}
		if m.values == nil {
			m.values = map[string]opaqueValue{}
		}
		name := s.name
		if s.as != "" {
			name = s.as
		}
		m.values[name] = opaqueValue{v, o.invert}
	}
	return nil
}

func (s *opaqueOption) value(o *option) (string, error) {
	if s.parse != nil {
		return s.parse(o)
	}
	if s.words != "" && (o.arg == "" || !strings.Contains(" "+s.words+" ", " "+o.arg+" ")) {
		return "", o.badValue()
	}
	switch s.kind {
	case 'n', 'x':
		n, ok := parseUint(o.arg, s.most)
		if !ok {
			return "", o.badValue()
		}
		if s.kind == 'x' {
			return "0x" + strconv.FormatUint(n, 16), nil
		}
		return strconv.FormatUint(n, 10), nil
	case 'r':
		lo, hi, err := parseRange(o, ":", s.most)
		if err == nil && lo > hi && s.name == "connbytes" {
			err = o.badValue()
		}
		if err == nil && s.name == "connbytes" && hi == s.most {
			return strconv.FormatUint(lo, 10), nil
		}
		return string(appendRange(nil, lo, hi)), err
	case 'w':
		if o.arg == "" || strings.ContainsAny(o.arg, " \t\"'\\") {
			return "", o.badValue()
		}
	}
	return o.arg, nil
}

func (m *Opaque) finish(r *ruleParser) error {
	m.family = r.family
	for _, need := range m.spec.all {
		if !m.has(need) {
			return refuse(m.name, "option --"+need+" must be specified", "")
		}
	}
	if m.name == "time" {
		m.settleTime()
	}
	if m.name == "policy" && !m.has("pol") {
		m.values["pol"] = opaqueValue{text: "ipsec"}
	}
	if m.spec.must && len(m.values) == 0 {
		return refuse(m.name, "an option must be specified", "")
	}
	return nil
}

func (m *Opaque) has(name string) bool {
	_, ok := m.values[name]
	return ok
}

func (m *Opaque) require() requirement {
	if m.spec.entry != nil {
		return m.spec.entry(m, m.family)
	}
	return m.spec.require
}

// policyHooks: what came in is asked before it leaves, what goes out after it is routed (xt_policy.c, policy_mt_check).
func policyHooks(m *Opaque, _ packet.Family) requirement {
	if m.values["dir"].text == "in" {
		return requirement{hooks: hooks(netfilter.PreRouting, netfilter.Input, netfilter.Forward)}
	}
	return requirement{hooks: hooks(netfilter.Forward, netfilter.Output, netfilter.PostRouting)}
}

func (m *Opaque) unmodelled() string { return m.name }

func (m *Opaque) needsConntrack() bool { return m.name == "helper" || m.name == "connbytes" }

// Append appends the options.
func (m *Opaque) Append(b []byte) []byte {
	for i := range m.spec.options {
		s := &m.spec.options[i]
		v, ok := m.values[s.name]
		if !ok || s.as != "" || s.omit != "" && v.text == s.omit && !v.invert {
			continue
		}
		if v.invert {
			b = append(b, " !"...)
		}
		if s.name == "string" {
			b = appendPattern(b, v.text)
			continue
		}
		b = append(append(b, " --"...), s.name...)
		switch s.kind {
		case 0:
		case 's':
			b = appendString(b, v.text)
		case 'q':
			b = append(b, ' ', '"')
			b = append(append(b, strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(v.text)...), '"')
		default:
			b = append(append(b, ' '), v.text...)
		}
	}
	return b
}

// String names the match, for messages.
func (m *Opaque) String() string { return fmt.Sprintf("-m %s%s", m.name, m.Append(nil)) }
