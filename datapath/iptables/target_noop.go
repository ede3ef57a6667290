package iptables

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// NoEffect is a target that changes nothing a rule, a route or a translation looks at: the packet is counted and goes on
// with the next rule. Its options are checked, kept and printed. Where the two back ends differ in what they refuse (TRACE outside raw,
// TCPMSS without a SYN condition: legacy refuses, nft does not), it is accepted.
type NoEffect struct {
	name   string
	spec   *noEffect
	values map[string]string // options given, by name
}

// noEffect says how a target without effect is read and printed.
type noEffect struct {
	options []noEffectOption // in the order iptables-save prints them
	require requirement
	must    bool // one option at least
}

type noEffectOption struct {
	name  string
	arg   byte   // 0 none, 'n' number, 's' text that is quoted where needed, 'w' a word
	most  uint64 // of a number; longest text
	omit  string // the value that is not printed, being the default
	zero  bool   // nor is 0
	cut   bool   // longer texts are cut
	parse func(*option) (string, error)
}

// noEffects are those targets.
var noEffects = map[string]*noEffect{
	"LOG": {options: []noEffectOption{
		{name: "log-prefix", arg: 's', most: 29, cut: true}, {name: "log-level", omit: "4", parse: parseLogLevel, arg: 'w'},
		{name: "log-tcp-sequence"}, {name: "log-tcp-options"}, {name: "log-ip-options"}, {name: "log-uid"},
		{name: "log-macdecode"},
	}},
	"NFLOG": {options: []noEffectOption{
		{name: "nflog-prefix", arg: 's', most: 63, cut: true}, {name: "nflog-group", arg: 'n', most: 65535, omit: "0"},
		{name: "nflog-range", arg: 'n', most: 1<<32 - 1, omit: "0"}, {name: "nflog-size", arg: 'n', most: 1<<32 - 1},
		{name: "nflog-threshold", arg: 'n', most: 65535, omit: "1", zero: true},
	}},
	"TCPMSS": {options: []noEffectOption{
		{name: "set-mss", arg: 'n', most: 65535}, {name: "clamp-mss-to-pmtu"},
	}, require: requirement{proto: packet.TCP, hooks: allHooks}, must: true},
	"CHECKSUM": {options: []noEffectOption{{name: "checksum-fill"}}, require: requirement{tables: inTable(Mangle)}, must: true},
	"TRACE":    {},
	"IDLETIMER": {options: []noEffectOption{
		{name: "timeout", arg: 'n', most: 1<<32 - 1}, {name: "label", arg: 's', most: 27}, {name: "alarm"},
	}, must: true},
	"AUDIT": {options: []noEffectOption{{name: "type", arg: 'w'}}, must: true},
	"CLASSIFY": {options: []noEffectOption{{name: "set-class", arg: 'w', parse: parseClass}},
		require: requirement{hooks: hooks(netfilter.Forward, netfilter.Output, netfilter.PostRouting)}, must: true},
	"TOS": {options: []noEffectOption{{name: "set-tos", arg: 'w', parse: printTOS}}, require: requirement{tables: inTable(Mangle)}, must: true},
	"DSCP": {options: []noEffectOption{{name: "set-dscp", arg: 'w', parse: printDSCP}, {name: "set-dscp-class", arg: 'w', parse: printDSCP}},
		require: requirement{tables: inTable(Mangle)}, must: true},
	"TEE":     {options: []noEffectOption{{name: "gateway", arg: 'w', parse: parseGateway}, {name: "oif", arg: 'w'}}, must: true},
	"SECMARK": {options: []noEffectOption{{name: "selctx", arg: 'w'}}, require: requirement{tables: inTable(Mangle, Security)}, must: true},
	"CONNSECMARK": {options: []noEffectOption{{name: "save"}, {name: "restore"}},
		require: requirement{tables: inTable(Mangle, Security)}, must: true},
}

func init() {
	for name, spec := range noEffects {
		e := &extension{name: name}
		for _, o := range spec.options {
			s := optionSpec{name: o.name, noInvert: true}
			if o.arg != 0 {
				s.args = 1
			}
			e.options = append(e.options, s)
		}
		e.newGoal = func() parsedTarget { return &NoEffect{name: name, spec: spec} }
		registerTarget(e)
	}
}

// Name is the name after -j.
func (t *NoEffect) Name() string { return t.name }

func (t *NoEffect) set(o *option) error {
	for i := range t.spec.options {
		s := &t.spec.options[i]
		if s.name != o.name {
			continue
		}
		v, err := s.value(o)
		if err != nil {
			return err
		}
		if t.values == nil {
			t.values = map[string]string{}
		}
		name := strings.TrimSuffix(o.name, "-class")
		if o.name == "set-class" {
			name = o.name
		}
		t.values[name] = v
	}
	return nil
}

func (s *noEffectOption) value(o *option) (string, error) {
	if s.parse != nil {
		return s.parse(o)
	}
	switch s.arg {
	case 'n':
		n, ok := parseUint(o.arg, s.most)
		if !ok {
			return "", o.badValue()
		}
		return strconv.FormatUint(n, 10), nil
	case 's':
		if o.arg == "" {
			return "", refuse("--"+o.name, "must not be empty", "")
		}
		if strings.IndexByte(o.arg, '\n') >= 0 {
			return "", refuse("--"+o.name, "new line in it", o.arg)
		}
		if s.most > 0 && uint64(len(o.arg)) > s.most {
			return o.arg[:s.most], nil
		}
	case 'w':
		if o.arg == "" || strings.ContainsAny(o.arg, " \t\"'\\") {
			return "", o.badValue()
		}
	}
	return o.arg, nil
}

func (t *NoEffect) finish(*ruleParser) error {
	if t.spec.must && len(t.values) == 0 {
		return refuse(t.name, "an option must be specified", "")
	}
	return nil
}

func (t *NoEffect) require() requirement {
	q := t.spec.require
	if _, ok := t.values["clamp-mss-to-pmtu"]; ok {
		q.hooks = hooks(netfilter.Forward, netfilter.Output, netfilter.PostRouting)
	}
	return q
}

// Append appends the options.
func (t *NoEffect) Append(b []byte) []byte {
	for i := range t.spec.options {
		s := &t.spec.options[i]
		v, ok := t.values[s.name]
		if !ok || s.omit != "" && v == s.omit || s.zero && v == "0" {
			continue
		}
		b = append(append(b, " --"...), s.name...)
		switch s.arg {
		case 's':
			b = appendString(b, v)
		case 'n', 'w':
			b = append(append(b, ' '), v...)
		}
	}
	return b
}

func (t *NoEffect) act(x *walker, _ *packet.Packet) netfilter.Verdict {
	if x.w.Trace != nil {
		x.note = "counted; " + t.name + " does not change the path"
	}
	return netfilter.Continue
}

// parseLogLevel reads a syslog level, by number or name.
func parseLogLevel(o *option) (string, error) {
	if n, ok := parseUint(o.arg, 7); ok {
		return strconv.FormatUint(n, 10), nil
	}
	for i, names := range [...]string{"emerg panic", "alert", "crit", "error", "warning", "notice", "info", "debug"} {
		for n := range strings.FieldsSeq(names) {
			if n == o.arg {
				return strconv.Itoa(i), nil
			}
		}
	}
	return "", refuse("--log-level", "unknown log level", o.arg)
}

func parseClass(o *option) (string, error) {
	a, b, ok := strings.Cut(o.arg, ":")
	x, err1 := strconv.ParseUint(a, 16, 16)
	y, err2 := strconv.ParseUint(b, 16, 16)
	if !ok || err1 != nil || err2 != nil {
		return "", refuse("--set-class", "bad class value", o.arg)
	}
	return fmt.Sprintf("%04x:%04x", x, y), nil
}

func printTOS(o *option) (string, error) {
	v, m, err := parseTOS(o)
	return fmt.Sprintf("0x%02x/0x%02x", v, m), err
}

func printDSCP(o *option) (string, error) {
	v, err := parseDSCP(o)
	return fmt.Sprintf("0x%02x", v), err
}

func parseGateway(o *option) (string, error) {
	a, ok := parseHost(o.arg, o.rule.family, false)
	if !ok {
		return "", o.badValue()
	}
	return a.String(), nil
}
