package iptables

import (
	"slices"
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// Set matches packets whose parts are in an ipset, as -m set does (net/netfilter/xt_set.c, set_match_v4).
type Set struct {
	Set    string
	Dims   []netfilter.Dimension
	Invert bool
	rest   [5]string // further options as printed, in the order of the print: see setOptions
	what   string    // the first of them that changes the result
}

var _ = registerMatch(&extension{
	name: "set",
	options: []optionSpec{
		{name: "match-set", args: 2}, {name: "set", as: "match-set", args: 2}, {name: "return-nomatch", noInvert: true},
		{name: "update-counters"}, {name: "update-subcounters"}, {name: "packets-eq", args: 1},
		{name: "packets-lt", args: 1, noInvert: true}, {name: "packets-gt", args: 1, noInvert: true},
		{name: "bytes-eq", args: 1}, {name: "bytes-lt", args: 1, noInvert: true}, {name: "bytes-gt", args: 1, noInvert: true},
	},
	newMatch: func() parsedMatch { return new(Set) },
})

// Name is the name after -m.
func (m *Set) Name() string { return "set" }

func (m *Set) set(o *option) (err error) {
	if o.name == "match-set" {
		m.Set, m.Dims, err = parseSetRef(o)
		m.Invert = o.invert
		return err
	}
	text := " --" + o.name
	if o.invert {
		text = " !" + text
	}
	place, _, _ := strings.Cut(o.name, "-") // packets, bytes
	switch o.name {
	case "return-nomatch":
		m.what = "set --" + o.name
	case "update-counters", "update-subcounters":
		if !o.invert {
			return nil // as they are without it
		}
	default:
		n, ok := parseUint(o.arg, 1<<64-1)
		if !ok {
			return o.badValue()
		}
		text += " " + strconv.FormatUint(n, 10)
		m.what = "set --" + o.name
		o.name = place
	}
	at := slices.Index(setOptions[:], o.name)
	if m.rest[at] != "" {
		return refuse("set", "only one of --"+place+"-eq, -lt, -gt is allowed", "")
	}
	m.rest[at] = text
	return nil
}

// setOptions are the options of -m set beside the set itself, in the order of the print (libxt_set.c, set_save_v4).
var setOptions = [...]string{"return-nomatch", "update-counters", "update-subcounters", "packets", "bytes"}

// parseSetRef reads a set's name and its directions.
func parseSetRef(o *option) (string, []netfilter.Dimension, error) {
	const mostName, mostDims = 31, 6
	if o.arg == "" || len(o.arg) > mostName {
		return "", nil, refuse("--"+o.name, "set names have 1 to 31 characters", o.arg)
	}
	var dims []netfilter.Dimension
	for d := range strings.SplitSeq(o.arg2, ",") {
		switch {
		case len(dims) == mostDims:
			return "", nil, refuse("--"+o.name, "too many directions", o.arg2)
		case strings.HasPrefix(d, "src"):
			dims = append(dims, netfilter.Dimension{Source: true})
		case strings.HasPrefix(d, "dst"):
			dims = append(dims, netfilter.Dimension{})
		default:
			return "", nil, refuse("--"+o.name, "directions are src and dst, comma-separated", o.arg2)
		}
	}
	return o.arg, dims, nil
}

func appendSetRef(b []byte, set string, dims []netfilter.Dimension) []byte {
	b = append(b, set...)
	for i, d := range dims {
		b = append(b, " ,"[min(i, 1)])
		if d.Source {
			b = append(b, "src"...)
		} else {
			b = append(b, "dst"...)
		}
	}
	return b
}

func (m *Set) finish(*ruleParser) error {
	if m.Set == "" {
		return refuse("set", "you must specify --match-set with proper arguments", "")
	}
	return nil
}

// Append appends the options.
func (m *Set) Append(b []byte) []byte {
	if m.Invert {
		b = append(b, " !"...)
	}
	b = appendSetRef(append(b, " --match-set "...), m.Set, m.Dims)
	for _, s := range m.rest {
		b = append(b, s...)
	}
	return b
}

func (m *Set) unmodelled() string { return m.what }

func (m *Set) setNames() []string { return []string{m.Set} }

func (m *Set) match(x *walker, p *packet.Packet) bool {
	x.w.Work.Lookups++
	return x.w.Sets != nil && x.w.Sets.Contains(x.w, m.Set, m.Dims, p) != m.Invert
}
