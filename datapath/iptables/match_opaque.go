package iptables

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// Opaque is a match that is read and printed but cannot be decided from a packet view: it looks at payloads, clocks, sockets,
// transforms or classes. A walk that needs one stops.
type Opaque struct {
	name   string
	spec   *opaque
	values map[string]opaqueValue
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
	must    bool // one option at least
	tail    string
}

// opaqueOption is one option. Kinds of arguments: 0 none, 'n' number, 'r' range of numbers, 'x' number printed in hexadecimal, 'w'
// word, 's' text quoted where needed, 'q' text always quoted.
type opaqueOption struct {
	name  string
	kind  byte
	most  uint64
	as    string // printed under this name
	parse func(*option) (string, error)
}

const u32 = 1<<32 - 1

// opaques are those matches.
var opaques = map[string]*opaque{
	"string": {options: []opaqueOption{
		{name: "string", kind: 'q'}, {name: "hex-string", kind: 'w', parse: parseHexString}, {name: "algo", kind: 'w'},
		{name: "from", kind: 'n', most: 65535}, {name: "to", kind: 'n', most: 65535}, {name: "icase"},
	}, must: true},
	"time": {options: []opaqueOption{
		{name: "timestart", kind: 'w', parse: parseClock}, {name: "timestop", kind: 'w', parse: parseClock},
		{name: "monthdays", kind: 'w', parse: parseMonthDays}, {name: "weekdays", kind: 'w', parse: parseWeekDays},
		{name: "datestart", kind: 'w', parse: parseDate}, {name: "datestop", kind: 'w', parse: parseDate},
		{name: "kerneltz"}, {name: "contiguous"}, {name: "utc", as: "-"}, {name: "localtz", as: "kerneltz"},
	}, tail: " --datestop 2038-01-19T03:14:07"},
	"helper": {options: []opaqueOption{{name: "helper", kind: 's'}}, must: true},
	"socket": {options: []opaqueOption{{name: "transparent"}, {name: "nowildcard"}, {name: "restore-skmark"}},
		require: requirement{hooks: 1 | 2}},
	"esp": {options: []opaqueOption{{name: "espspi", kind: 'r', most: u32}}, require: requirement{proto: 50}},
	"ah":  {options: []opaqueOption{{name: "ahspi", kind: 'r', most: u32}, {name: "ahlen", kind: 'n', most: u32}, {name: "ahres"}}, require: requirement{proto: 51}},
	"policy": {options: []opaqueOption{
		{name: "dir", kind: 'w'}, {name: "pol", kind: 'w'}, {name: "strict"}, {name: "reqid", kind: 'n', most: u32}, {name: "spi", kind: 'x', most: u32},
		{name: "proto", kind: 'w'}, {name: "mode", kind: 'w'}, {name: "tunnel-src", kind: 'w'}, {name: "tunnel-dst", kind: 'w'}, {name: "next"},
	}, must: true},
	"realm":  {options: []opaqueOption{{name: "realm", kind: 'x', most: u32}}, must: true},
	"bpf":    {options: []opaqueOption{{name: "bytecode", kind: 'q'}, {name: "object-pinned", kind: 'w'}}, must: true},
	"cgroup": {options: []opaqueOption{{name: "cgroup", kind: 'n', most: u32}, {name: "path", kind: 's'}}, must: true},
	"cpu":    {options: []opaqueOption{{name: "cpu", kind: 'n', most: u32}}, must: true},
	"quota":  {options: []opaqueOption{{name: "quota", kind: 'n', most: 1<<64 - 1}}, must: true},
	"connbytes": {options: []opaqueOption{
		{name: "connbytes", kind: 'r', most: 1<<64 - 1}, {name: "connbytes-mode", kind: 'w'}, {name: "connbytes-dir", kind: 'w'},
	}, must: true},
	"connlabel": {options: []opaqueOption{{name: "label", kind: 'w'}, {name: "set"}}, must: true},
	"dccp": {options: []opaqueOption{
		{name: "sport", kind: 'r', most: 65535}, {name: "source-port", kind: 'r', most: 65535, as: "sport"},
		{name: "dport", kind: 'r', most: 65535}, {name: "destination-port", kind: 'r', most: 65535, as: "dport"},
		{name: "dccp-types", kind: 'w'}, {name: "dccp-option", kind: 'n', most: 255},
	}, require: requirement{proto: 33}},
	"ecn":        {options: []opaqueOption{{name: "ecn-tcp-cwr"}, {name: "ecn-tcp-ece"}, {name: "ecn-ip-ect", kind: 'n', most: 3}}, must: true},
	"u32":        {options: []opaqueOption{{name: "u32", kind: 'q'}}, must: true},
	"devgroup":   {options: []opaqueOption{{name: "src-group", kind: 'x', most: u32}, {name: "dst-group", kind: 'x', most: u32}}, must: true},
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
		if err == nil && strings.HasSuffix(o.arg, ":") {
			return strconv.FormatUint(lo, 10) + ":", nil
		}
		return string(appendRange(nil, lo, hi)), err
	case 'w':
		if o.arg == "" || strings.ContainsAny(o.arg, " \t\"'\\") {
			return "", o.badValue()
		}
	}
	return o.arg, nil
}

func (m *Opaque) finish(*ruleParser) error {
	if m.spec.must && len(m.values) == 0 {
		return refuse(m.name, "an option must be specified", "")
	}
	return nil
}

func (m *Opaque) require() requirement { return m.spec.require }

func (m *Opaque) unmodelled() string { return m.name }

func (m *Opaque) needsConntrack() bool { return m.name == "helper" || m.name == "connbytes" }

// Append appends the options.
func (m *Opaque) Append(b []byte) []byte {
	for i := range m.spec.options {
		s := &m.spec.options[i]
		v, ok := m.values[s.name]
		if !ok || s.as != "" {
			continue
		}
		if v.invert {
			b = append(b, " !"...)
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
	if _, ok := m.values["datestop"]; !ok {
		b = append(b, m.spec.tail...)
	}
	return b
}

// parseHexString reads text with bytes in hexadecimal between bars, and spells it as iptables-save does.
func parseHexString(o *option) (string, error) {
	var b strings.Builder
	hex := false
	for _, c := range []byte(o.arg) {
		switch {
		case c == '|':
			hex = !hex
			b.WriteByte(c)
		case hex && c == ' ':
		case hex && strings.IndexByte("0123456789abcdefABCDEF", c) < 0:
			return "", o.badValue()
		default:
			b.WriteByte(c)
		}
	}
	if hex || b.Len() == 0 {
		return "", o.badValue()
	}
	return `"` + b.String() + `"`, nil
}

func parseClock(o *option) (string, error) {
	for _, layout := range [...]string{"15:4:5", "15:4"} {
		if t, err := time.Parse(layout, o.arg); err == nil {
			return t.Format("15:04:05"), nil
		}
	}
	return "", o.badValue()
}

func parseDate(o *option) (string, error) {
	for _, layout := range [...]string{"2006-1-2T15:4:5", "2006-1-2T15:4", "2006-1-2T15", "2006-1-2", "2006-1", "2006"} {
		if t, err := time.Parse(layout, o.arg); err == nil {
			return t.Format("2006-01-02T15:04:05"), nil
		}
	}
	return "", o.badValue()
}

func parseMonthDays(o *option) (string, error) {
	var out []string
	given := map[int]bool{}
	for s := range strings.SplitSeq(o.arg, ",") {
		n, ok := parseUint(s, 31)
		if !ok || n == 0 {
			return "", o.badValue()
		}
		given[int(n)] = true
	}
	for d := 1; d <= 31; d++ {
		if given[d] {
			out = append(out, strconv.Itoa(d))
		}
	}
	return strings.Join(out, ","), nil
}

func parseWeekDays(o *option) (string, error) {
	names := [...]string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}
	var given [7]bool
next:
	for s := range strings.SplitSeq(o.arg, ",") {
		if n, ok := parseUint(s, 7); ok && n > 0 {
			given[n-1] = true
			continue
		}
		for i, n := range names {
			if len(s) >= 2 && strings.EqualFold(s[:2], n[:2]) && len(s) <= 9 {
				given[i] = true
				continue next
			}
		}
		return "", o.badValue()
	}
	var out []string
	for i, g := range given {
		if g {
			out = append(out, names[i])
		}
	}
	return strings.Join(out, ","), nil
}

// String names the match, for messages.
func (m *Opaque) String() string { return fmt.Sprintf("-m %s%s", m.name, m.Append(nil)) }

// parseHeaders reads a list of IPv6 extension headers, by the names that iptables-save prints or their short forms.
func parseHeaders(o *option) (string, error) {
	names := map[string]string{
		"hop": "hop-by-hop", "dst": "ipv6-opts", "route": "ipv6-route", "frag": "ipv6-frag", "auth": "ah", "esp": "esp",
		"none": "ipv6-nonxt", "prot": "protocol",
	}
	for _, long := range names {
		names[long] = long
	}
	var out []string
	for s := range strings.SplitSeq(o.arg, ",") {
		n, ok := names[s]
		if !ok {
			return "", o.badValue()
		}
		out = append(out, n)
	}
	return strings.Join(out, ","), nil
}
