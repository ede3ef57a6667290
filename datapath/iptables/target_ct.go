package iptables

import (
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// CT prepares connection tracking in table raw: --notrack keeps the packet out of it (net/netfilter/xt_CT.c). Helpers, events
// and time-out policies change nothing in this model's path; a zone other than 0 would, and is not modelled.
type CT struct {
	Alias   bool // written as -j NOTRACK
	NoTrack bool
	Helper  string
	Timeout string
	events  [2]string // --ctevents, --expevents
	Zone    string    // "mark", or a number; "" for zone 0
	zoneDir string    // "", "-orig", "-reply"
}

var _ = registerTarget(&extension{
	name: "CT",
	options: []optionSpec{
		{name: "notrack", noInvert: true}, {name: "helper", args: 1, noInvert: true}, {name: "timeout", args: 1, noInvert: true},
		{name: "ctevents", args: 1, noInvert: true}, {name: "expevents", args: 1, noInvert: true},
		{name: "zone", args: 1, noInvert: true}, {name: "zone-orig", args: 1, noInvert: true},
		{name: "zone-reply", args: 1, noInvert: true},
	},
	newGoal: func() parsedTarget { return new(CT) },
})

var _ = registerTarget(&extension{
	name: "NOTRACK", newGoal: func() parsedTarget { return &CT{Alias: true, NoTrack: true} },
})

// Name is the name after -j.
func (t *CT) Name() string {
	if t.Alias {
		return "NOTRACK"
	}
	return "CT"
}

func (t *CT) set(o *option) error {
	switch o.name {
	case "notrack":
		t.NoTrack = true
	case "helper":
		if o.arg == "" || len(o.arg) > 15 {
			return o.badValue()
		}
		t.Helper = o.arg
	case "timeout":
		if o.arg == "" || len(o.arg) > 31 {
			return o.badValue()
		}
		t.Timeout = o.arg
	case "ctevents":
		return t.setEvents(o, 0, "new related destroy reply assured protoinfo helper mark natseqinfo secmark")
	case "expevents":
		return t.setEvents(o, 1, "new")
	default:
		t.zoneDir = strings.TrimPrefix(o.name, "zone")
		t.Zone = "mark"
		if o.arg != "mark" {
			n, ok := parseUint(o.arg, 65535)
			if !ok {
				return o.badValue()
			}
			t.Zone = strconv.FormatUint(n, 10)
		}
	}
	return nil
}

func (t *CT) setEvents(o *option, i int, known string) error {
	given := map[string]bool{}
	for s := range strings.SplitSeq(o.arg, ",") {
		given[s] = true
	}
	var out []string
	for n := range strings.FieldsSeq(known) {
		if given[n] {
			out = append(out, n)
			delete(given, n)
		}
	}
	if len(given) > 0 {
		return refuse("--"+o.name, "unknown event", o.arg)
	}
	t.events[i] = strings.Join(out, ",")
	return nil
}

func (t *CT) finish(*ruleParser) error { return nil }

func (t *CT) require() requirement { return requirement{tables: inTable(Raw)} }

func (t *CT) checkEntry(r *Rule) error {
	if t.Helper != "" && (r.Proto == 0 || r.NotProto) {
		return refuse("CT", "--helper needs -p", t.Helper)
	}
	return nil
}

// Append appends the options.
func (t *CT) Append(b []byte) []byte {
	if t.Alias {
		return b
	}
	if t.NoTrack {
		b = append(b, " --notrack"...)
	}
	text := func(opt, v string) {
		if v != "" {
			b = append(append(b, opt...), v...)
		}
	}
	text(" --helper ", t.Helper)
	text(" --timeout ", t.Timeout)
	text(" --ctevents ", t.events[0])
	text(" --expevents ", t.events[1])
	if t.Zone != "" && !(t.Zone == "0" && t.zoneDir == "") {
		b = append(append(append(append(b, " --zone"...), t.zoneDir...), ' '), t.Zone...)
	}
	return b
}

func (t *CT) unmodelled() string {
	if !t.NoTrack && t.Zone != "" && t.Zone != "0" {
		return "CT --zone"
	}
	return ""
}

// needsConntrack: the target itself takes connection tracking into use, except for --notrack (xt_ct_tg_check).
func (t *CT) needsConntrack() bool { return !t.NoTrack }

func (t *CT) act(x *walker, _ *packet.Packet) netfilter.Verdict {
	if t.NoTrack {
		x.w.NoTrack = true
		if x.w.Trace != nil {
			x.note = "untracked"
		}
	}
	return netfilter.Continue
}
