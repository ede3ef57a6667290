package iptables

import (
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
)

// TCP matches TCP headers, as -m tcp does (net/netfilter/xt_tcpudp.c, tcp_mt): later fragments never match.
type TCP struct {
	Sport, Dport Ports
	FlagMask     packet.TCPFlags // the flags looked at
	FlagSet      packet.TCPFlags // those of them that must be set
	NotFlags     bool
	HasFlags     bool
	Option       uint8 // --tcp-option: TCP option that must be present; 0: none asked
	NotOption    bool
}

var _ = registerMatch(&extension{
	name: "tcp",
	options: append([]optionSpec{
		{name: "syn"}, {name: "tcp-flags", args: 2}, {name: "tcp-option", args: 1},
	}, portOptions...),
	newMatch: func() parsedMatch { return new(TCP) },
})

// Name is the name after -m.
func (m *TCP) Name() string { return "tcp" }

func (m *TCP) set(o *option) (err error) {
	switch o.name {
	case "sport":
		m.Sport, err = parsePorts("--sport", o.arg, o.invert)
	case "dport":
		m.Dport, err = parsePorts("--dport", o.arg, o.invert)
	case "syn":
		return m.setFlags(packet.FIN|packet.SYN|packet.RST|packet.ACK, packet.SYN, o.invert)
	case "tcp-flags":
		var mask, set packet.TCPFlags
		if mask, err = parseTCPFlags(o.arg); err != nil {
			return err
		}
		if set, err = parseTCPFlags(o.arg2); err != nil {
			return err
		}
		return m.setFlags(mask, set, o.invert)
	case "tcp-option":
		n, ok := parseUint(o.arg, 255)
		if !ok || n == 0 {
			return o.badValue()
		}
		m.Option, m.NotOption = uint8(n), o.invert
	}
	return err
}

func (m *TCP) setFlags(mask, set packet.TCPFlags, invert bool) error {
	if m.HasFlags {
		return refuse("--tcp-flags", "only one of --syn and --tcp-flags is allowed", "")
	}
	m.FlagMask, m.FlagSet, m.NotFlags, m.HasFlags = mask, set, invert, true
	return nil
}

func (m *TCP) finish(*ruleParser) error { return nil }

func (m *TCP) require() requirement { return requirement{proto: packet.TCP} }

func parseTCPFlags(s string) (packet.TCPFlags, error) {
	var f packet.TCPFlags
	for n := range strings.SplitSeq(s, ",") {
		switch strings.ToUpper(n) {
		case "FIN":
			f |= packet.FIN
		case "SYN":
			f |= packet.SYN
		case "RST":
			f |= packet.RST
		case "PSH":
			f |= packet.PSH
		case "ACK":
			f |= packet.ACK
		case "URG":
			f |= packet.URG
		case "ALL":
			f |= 63
		case "NONE":
		default:
			return 0, refuse("--tcp-flags", "unknown TCP flag", n)
		}
	}
	return f, nil
}

func appendTCPFlags(b []byte, f packet.TCPFlags) []byte {
	if f == 0 {
		return append(b, "NONE"...)
	}
	return append(b, f.String()...)
}

// Append appends the options.
func (m *TCP) Append(b []byte) []byte {
	b = m.Sport.append(b, " --sport ")
	b = m.Dport.append(b, " --dport ")
	if m.Option != 0 {
		if m.NotOption {
			b = append(b, " !"...)
		}
		b = append(b, " --tcp-option "...)
		b = strconv.AppendUint(b, uint64(m.Option), 10)
	}
	if m.HasFlags && (m.FlagMask != 0 || m.NotFlags) {
		if m.NotFlags {
			b = append(b, " !"...)
		}
		b = append(b, " --tcp-flags "...)
		b = appendTCPFlags(b, m.FlagMask)
		b = append(b, ' ')
		b = appendTCPFlags(b, m.FlagSet)
	}
	return b
}

func (m *TCP) match(_ *walker, p *packet.Packet) bool {
	if p.FragmentOffset != 0 {
		return false
	}
	if !m.Sport.contains(p.Src.Port()) || !m.Dport.contains(p.Dst.Port()) {
		return false
	}
	if m.HasFlags && (p.TCPFlags&m.FlagMask == m.FlagSet) == m.NotFlags {
		return false
	}
	if m.Option == tcpOptionMSS {
		return (p.TCPMSS != 0) != m.NotOption
	}
	return true
}

// tcpOptionMSS is the one TCP option that a packet view knows of.
const tcpOptionMSS = 2

func (m *TCP) unmodelled() string {
	if m.Option != 0 && m.Option != tcpOptionMSS {
		return "--tcp-option " + strconv.Itoa(int(m.Option))
	}
	return ""
}
