package iptables

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// MAC matches the Ethernet source address, as -m mac does (net/netfilter/xt_mac.c): packets without a link header never match.
type MAC struct {
	Source packet.MAC
	Invert bool
}

var _ = registerMatch(&extension{
	name: "mac", options: []optionSpec{{name: "mac-source", args: 1}}, newMatch: func() parsedMatch { return new(MAC) },
})

// Name is the name after -m.
func (m *MAC) Name() string { return "mac" }

func (m *MAC) set(o *option) error {
	a, ok := parseMAC(o.arg)
	if !ok {
		return refuse("--mac-source", "bad MAC address", o.arg)
	}
	m.Source, m.Invert = a, o.invert
	return nil
}

// parseMAC reads six hexadecimal numbers of one or two digits parted by colons.
func parseMAC(s string) (a packet.MAC, ok bool) {
	for i := range a {
		digits, rest, more := strings.Cut(s, ":")
		b, err := strconv.ParseUint(digits, 16, 8)
		if err != nil || len(digits) > 2 || more != (i < len(a)-1) {
			return a, false
		}
		a[i], s = byte(b), rest
	}
	return a, true
}

func (m *MAC) finish(r *ruleParser) error { return r.mustHave(m, "--mac-source") }

func (m *MAC) require() requirement {
	return requirement{hooks: hooks(netfilter.PreRouting, netfilter.Input, netfilter.Forward)}
}

// Append appends the option.
func (m *MAC) Append(b []byte) []byte {
	if m.Invert {
		b = append(b, " !"...)
	}
	a := m.Source
	return fmt.Appendf(b, " --mac-source %02x:%02x:%02x:%02x:%02x:%02x", a[0], a[1], a[2], a[3], a[4], a[5])
}

func (m *MAC) match(_ *walker, p *packet.Packet) bool {
	return p.SrcMAC != packet.MAC{} && (p.SrcMAC == m.Source) != m.Invert
}
