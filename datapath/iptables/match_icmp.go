package iptables

import (
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
)

// ICMP matches type and code of ICMP or, as ICMP6, of ICMPv6 headers (net/ipv4/netfilter/ip_tables.c, icmp_match).
type ICMP struct {
	V6               bool
	Type             uint8
	MinCode, MaxCode uint8
	Any              bool
	Invert           bool
}

// icmpTypes are the names of types and codes; a code of -1 stands for all.
var icmpTypes = map[string][2]int{
	"echo-reply": {0, -1}, "pong": {0, -1}, "destination-unreachable": {3, -1}, "network-unreachable": {3, 0},
	"host-unreachable": {3, 1}, "protocol-unreachable": {3, 2}, "port-unreachable": {3, 3},
	"fragmentation-needed": {3, 4}, "source-route-failed": {3, 5}, "network-unknown": {3, 6}, "host-unknown": {3, 7},
	"network-prohibited": {3, 9}, "host-prohibited": {3, 10}, "TOS-network-unreachable": {3, 11},
	"TOS-host-unreachable": {3, 12}, "communication-prohibited": {3, 13}, "host-precedence-violation": {3, 14},
	"precedence-cutoff": {3, 15}, "source-quench": {4, -1}, "redirect": {5, -1}, "network-redirect": {5, 0},
	"host-redirect": {5, 1}, "TOS-network-redirect": {5, 2}, "TOS-host-redirect": {5, 3}, "echo-request": {8, -1},
	"ping": {8, -1}, "router-advertisement": {9, -1}, "router-solicitation": {10, -1}, "time-exceeded": {11, -1},
	"ttl-exceeded": {11, -1}, "ttl-zero-during-transit": {11, 0}, "ttl-zero-during-reassembly": {11, 1},
	"parameter-problem": {12, -1}, "ip-header-bad": {12, 0}, "required-option-missing": {12, 1},
	"timestamp-request": {13, -1}, "timestamp-reply": {14, -1}, "address-mask-request": {17, -1},
	"address-mask-reply": {18, -1},
}

var icmp6Types = map[string][2]int{
	"destination-unreachable": {1, -1}, "no-route": {1, 0}, "communication-prohibited": {1, 1},
	"beyond-scope": {1, 2}, "address-unreachable": {1, 3}, "port-unreachable": {1, 4}, "failed-policy": {1, 5},
	"reject-route": {1, 6}, "packet-too-big": {2, -1}, "time-exceeded": {3, -1}, "ttl-exceeded": {3, -1},
	"ttl-zero-during-transit": {3, 0}, "ttl-zero-during-reassembly": {3, 1}, "parameter-problem": {4, -1},
	"bad-header": {4, 0}, "unknown-header-type": {4, 1}, "unknown-option": {4, 2}, "echo-request": {128, -1},
	"ping": {128, -1}, "echo-reply": {129, -1}, "pong": {129, -1}, "mld-listener-query": {130, -1},
	"mld-listener-report": {131, -1}, "mld-listener-done": {132, -1}, "mld-listener-reduction": {132, -1},
	"router-solicitation": {133, -1}, "router-advertisement": {134, -1}, "neighbour-solicitation": {135, -1},
	"neighbor-solicitation": {135, -1}, "neighbour-advertisement": {136, -1}, "neighbor-advertisement": {136, -1},
	"redirect": {137, -1},
}

var _ = registerMatch(&extension{
	name: "icmp", family: packet.IPv4, options: []optionSpec{{name: "icmp-type", args: 1}},
	newMatch: func() parsedMatch { return new(ICMP) },
})

var icmp6Extension = extension{
	name: "icmp6", family: packet.IPv6, options: []optionSpec{{name: "icmpv6-type", args: 1}},
	newMatch: func() parsedMatch { return &ICMP{V6: true} },
}

var (
	_ = registerMatch(&icmp6Extension)
	_ = registerAlias("icmpv6", &icmp6Extension)
	_ = registerAlias("ipv6-icmp", &icmp6Extension)
)

func registerAlias(name string, e *extension) *extension {
	matchExtensions[name] = e
	return e
}

// Name is the name after -m.
func (m *ICMP) Name() string {
	if m.V6 {
		return "icmp6"
	}
	return "icmp"
}

func (m *ICMP) set(o *option) error {
	m.Invert = o.invert
	names := icmpTypes
	if m.V6 {
		names = icmp6Types
	} else if strings.EqualFold(o.arg, "any") {
		m.Any = true
		return nil
	}
	// A beginning of a name is enough if it is only one name's.
	found := 0
	for n, tc := range names {
		if o.arg == "" || len(o.arg) > len(n) || !strings.EqualFold(n[:len(o.arg)], o.arg) {
			continue
		}
		if len(n) == len(o.arg) {
			m.setType(tc)
			return nil
		}
		m.setType(tc)
		found++
	}
	if found == 1 {
		return nil
	}
	typ, code, hasCode := strings.Cut(o.arg, "/")
	t, ok := parseUint(typ, 255)
	c := uint64(0)
	if ok && hasCode {
		c, ok = parseUint(code, 255)
	}
	if !ok {
		return refuse("--"+o.name, "unknown ICMP type or code", o.arg)
	}
	if t == 255 && !m.V6 { // spelt any, whatever the code
		m.Any = true
		return nil
	}
	tc := [2]int{int(t), -1}
	if hasCode {
		tc[1] = int(c)
	}
	m.setType(tc)
	return nil
}

func (m *ICMP) setType(tc [2]int) {
	m.Type, m.MinCode, m.MaxCode = uint8(tc[0]), 0, 255
	if tc[1] >= 0 {
		m.MinCode, m.MaxCode = uint8(tc[1]), uint8(tc[1])
	}
}

func (m *ICMP) finish(r *ruleParser) error { return r.mustHave(m, "--icmp-type") }

func (m *ICMP) require() requirement {
	if m.V6 {
		return requirement{proto: packet.ICMPv6}
	}
	return requirement{proto: packet.ICMP}
}

// Append appends the option.
func (m *ICMP) Append(b []byte) []byte {
	if m.Invert {
		b = append(b, " !"...)
	}
	if m.V6 {
		b = append(b, " --icmpv6-type "...)
	} else {
		b = append(b, " --icmp-type "...)
	}
	if m.Any {
		return append(b, "any"...)
	}
	b = strconv.AppendUint(b, uint64(m.Type), 10)
	if m.MinCode != 0 || m.MaxCode != 255 {
		b = strconv.AppendUint(append(b, '/'), uint64(m.MinCode), 10)
	}
	return b
}

func (m *ICMP) match(_ *walker, p *packet.Packet) bool {
	if p.FragmentOffset != 0 {
		return false
	}
	hit := m.Any || p.ICMPType == m.Type && p.ICMPCode >= m.MinCode && p.ICMPCode <= m.MaxCode
	return hit != m.Invert
}
