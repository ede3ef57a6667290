package iptables

import (
	"strconv"
	"strings"
)

// Ports is a condition on a port. The zero value is not set and matches every port.
type Ports struct {
	Lo, Hi uint16
	Set    bool
	Invert bool
}

// contains decides the condition.
func (p Ports) contains(n uint16) bool { return !p.Set || (n >= p.Lo && n <= p.Hi) != p.Invert }

func parsePort(opt, s string) (uint16, error) {
	if n, ok := parseUint(s, 65535); ok {
		return uint16(n), nil
	}
	if n, ok := serviceNames[s]; ok {
		return n, nil
	}
	return 0, refuse(opt, "invalid port or service", s)
}

// parsePorts reads N, N:, :N or N:N.
func parsePorts(opt, s string, invert bool) (Ports, error) {
	p := Ports{Set: true, Invert: invert, Hi: 65535}
	lo, hi, isRange := strings.Cut(s, ":")
	var err error
	if lo != "" || !isRange {
		if p.Lo, err = parsePort(opt, lo); err != nil {
			return p, err
		}
	}
	switch {
	case !isRange:
		p.Hi = p.Lo
	case hi != "":
		if p.Hi, err = parsePort(opt, hi); err != nil {
			return p, err
		}
	}
	if p.Lo > p.Hi {
		return p, refuse(opt, "invalid portrange (min > max)", s)
	}
	return p, nil
}

// parsePlainPorts is parsePorts as the extensions do it that leave ports to the resolver (libxtables, xtopt_parse_mport over
// getaddrinfo): decimal only, cut to 16 bits, nothing standing for 0, in any order.
func parsePlainPorts(opt, s string, invert bool) (Ports, error) {
	p := Ports{Set: true, Invert: invert, Hi: 65535}
	lo, hi, isRange := strings.Cut(s, ":")
	var err error
	if lo != "" || !isRange {
		if p.Lo, err = parsePlainPort(opt, lo); err != nil {
			return p, err
		}
	}
	switch {
	case !isRange:
		p.Hi = p.Lo
	case hi != "":
		p.Hi, err = parsePlainPort(opt, hi)
	}
	return p, err
}

func parsePlainPort(opt, s string) (uint16, error) {
	if s == "" {
		return 0, nil
	}
	if n, ok := serviceNames[s]; ok {
		return n, nil
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "+"), 10, 32)
	if err != nil {
		return 0, refuse(opt, "port does not resolve to anything", s)
	}
	return uint16(n), nil
}

// append appends the option, unless it says nothing.
func (p Ports) append(b []byte, opt string) []byte {
	if p.Lo == 0 && p.Hi == 65535 && !p.Invert {
		return b
	}
	return p.appendFull(b, opt)
}

// appendFull appends the option, if it was given.
func (p Ports) appendFull(b []byte, opt string) []byte {
	if !p.Set {
		return b
	}
	if p.Invert {
		b = append(b, " !"...)
	}
	b = append(b, opt...)
	b = strconv.AppendUint(b, uint64(p.Lo), 10)
	if p.Hi != p.Lo {
		b = append(b, ':')
		b = strconv.AppendUint(b, uint64(p.Hi), 10)
	}
	return b
}

var portOptions = []optionSpec{
	{name: "sport", args: 1}, {name: "source-port", as: "sport", args: 1},
	{name: "dport", args: 1}, {name: "destination-port", as: "dport", args: 1},
}
