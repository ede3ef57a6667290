package iptables

import (
	"strconv"
	"strings"
)

// NFQueue hands packets to a program (net/netfilter/xt_NFQUEUE.c). It is read and printed; a walk that reaches it stops, as nobody
// knows what the program says.
type NFQueue struct {
	First, Last uint16
	Bypass, Fan bool
}

var _ = registerTarget(&extension{
	name: "NFQUEUE",
	options: []optionSpec{
		{name: "queue-num", args: 1, noInvert: true}, {name: "queue-balance", args: 1, noInvert: true},
		{name: "queue-bypass", noInvert: true}, {name: "queue-cpu-fanout", noInvert: true},
	},
	newGoal: func() parsedTarget { return new(NFQueue) },
})

// Name is the name after -j.
func (t *NFQueue) Name() string { return "NFQUEUE" }

func (t *NFQueue) set(o *option) error {
	switch o.name {
	case "queue-bypass":
		t.Bypass = true
	case "queue-cpu-fanout":
		t.Fan = true
	default:
		lo, hi, err := parseOrdered(o, ":", 65535)
		if err != nil || (o.name == "queue-balance") != (lo != hi) {
			return o.badValue()
		}
		t.First, t.Last = uint16(lo), uint16(hi)
	}
	return nil
}

func (t *NFQueue) finish(*ruleParser) error {
	if t.Fan && t.First == t.Last {
		return refuse("NFQUEUE", "--queue-cpu-fanout also requires --queue-balance", "")
	}
	return nil
}

func (t *NFQueue) unmodelled() string { return "NFQUEUE" }

// Append appends the options.
func (t *NFQueue) Append(b []byte) []byte {
	if t.First != t.Last {
		b = appendRange(append(b, " --queue-balance "...), uint64(t.First), uint64(t.Last))
	} else {
		b = strconv.AppendUint(append(b, " --queue-num "...), uint64(t.First), 10)
	}
	if t.Bypass {
		b = append(b, " --queue-bypass"...)
	}
	if t.Fan {
		b = append(b, " --queue-cpu-fanout"...)
	}
	return b
}

// ChangeSet adds packets' parts to ipsets or deletes them, as -j SET does (net/netfilter/xt_set.c, set_target_v3). It is read and
// printed; a walk that reaches it stops.
type ChangeSet struct {
	names   []string
	add     string
	del     string
	mapSet  string
	exist   bool
	timeout string
	more    string
}

var _ = registerTarget(&extension{
	name: "SET",
	options: []optionSpec{
		{name: "add-set", args: 2, noInvert: true}, {name: "del-set", args: 2, noInvert: true},
		{name: "map-set", args: 2, noInvert: true}, {name: "exist", noInvert: true}, {name: "timeout", args: 1, noInvert: true},
		{name: "map-mark", noInvert: true}, {name: "map-prio", noInvert: true}, {name: "map-queue", noInvert: true},
	},
	newGoal: func() parsedTarget { return new(ChangeSet) },
})

// Name is the name after -j.
func (t *ChangeSet) Name() string { return "SET" }

func (t *ChangeSet) set(o *option) error {
	switch o.name {
	case "exist":
		t.exist = true
	case "timeout":
		n, ok := parseUint(o.arg, 1<<32-1)
		if !ok {
			return o.badValue()
		}
		t.timeout = strconv.FormatUint(n, 10)
	case "map-mark", "map-prio", "map-queue":
		t.more += " --" + o.name
	default:
		name, dims, err := parseSetRef(o)
		if err != nil {
			return err
		}
		ref := " --" + o.name + " " + string(appendSetRef(nil, name, dims))
		t.names = append(t.names, name)
		switch o.name {
		case "add-set":
			t.add = ref
		case "del-set":
			t.del = ref
		default:
			t.mapSet = ref
		}
	}
	return nil
}

func (t *ChangeSet) finish(*ruleParser) error {
	if t.timeout != "" && t.add == "" {
		return refuse("SET", "--timeout can be used with --add-set only", "")
	}
	if len(t.names) == 0 {
		return refuse("SET", "you must specify --add-set, --del-set or --map-set", "")
	}
	return nil
}

func (t *ChangeSet) setNames() []string { return t.names }

func (t *ChangeSet) unmodelled() string { return "SET" }

// Append appends the options.
func (t *ChangeSet) Append(b []byte) []byte {
	var s strings.Builder
	s.WriteString(t.add)
	if t.exist {
		s.WriteString(" --exist")
	}
	if t.timeout != "" {
		s.WriteString(" --timeout " + t.timeout)
	}
	s.WriteString(t.del + t.mapSet + t.more)
	return append(b, s.String()...)
}
