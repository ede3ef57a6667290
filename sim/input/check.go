package input

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/spelling"
)

// checker turns one decoded object into what State needs, refusing what the API server or kube-proxy would refuse.
type checker struct {
	d      *decoder
	object *Object
	root   *node
}

// fault makes an error at the field that path leads to (keys and indices), naming the field as Kubernetes does.
func (c *checker) fault(path []any, format string, args ...any) error {
	return c.d.fault(c.root.at(path...), c.object.String()+": "+fieldPath(path)+": "+format, args...)
}

func (c *checker) warn(path []any, format string, args ...any) {
	c.d.warn(c.root.at(path...), c.object.String()+": "+format, args...)
}

// mark remembers where a field stands, for checks that need several objects.
func (c *checker) mark(name string, path ...any) {
	if c.object.marks == nil {
		c.object.marks = map[string]mark{}
	}
	n := c.root.at(path...)
	if n.line == offsetLine {
		c.object.marks[name] = mark{n.line, n.col}
		return
	}
	p := c.d.where(n)
	c.object.marks[name] = mark{int32(p.Line), int32(p.Col)}
}

func (c *checker) marked(name string) bool { _, ok := c.object.marks[name]; return ok }

// at is the position of a marked field, or of the object.
func (o *Object) at(name string) Position {
	if m, ok := o.marks[name]; ok {
		return o.file.where(&node{line: m.line, col: m.col})
	}
	return o.Position()
}

func fieldPath(path []any) string {
	var b strings.Builder
	for _, p := range path {
		switch p := p.(type) {
		case string:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(p)
		case int:
			b.WriteString("[" + strconv.Itoa(p) + "]")
		}
	}
	return b.String()
}

// addr reads an IP address as Kubernetes does (k8s.io/utils/net, ParseIPSloppy): leading zeros of IPv4 are decimal, an
// IPv4-mapped IPv6 address is the IPv4 one.
func addr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		if a, err = netip.ParseAddr(stripZeros(s)); err != nil {
			return netip.Addr{}, false
		}
	}
	if a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

func stripZeros(s string) string {
	parts := strings.Split(s, ".")
	if len(parts) != 4 || strings.Contains(s, ":") {
		return s
	}
	for i, p := range parts {
		if len(p) > 1 {
			if p = strings.TrimLeft(p, "0"); p == "" {
				p = "0"
			}
			parts[i] = p
		}
	}
	return strings.Join(parts, ".")
}

// prefix reads a CIDR; bits beyond the mask are cleared, as net.ParseCIDR's network has them.
func prefix(s string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		ip, bits, ok := strings.Cut(s, "/")
		if !ok {
			return netip.Prefix{}, false
		}
		if p, err = netip.ParsePrefix(stripZeros(ip) + "/" + bits); err != nil {
			return netip.Prefix{}, false
		}
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}

func (c *checker) addr(s string, path ...any) (netip.Addr, error) {
	a, ok := addr(s)
	if !ok {
		return a, c.fault(path, "%s is not an IP address%s", quote(s), why(s))
	}
	return a, nil
}

func (c *checker) prefix(s string, path ...any) (netip.Prefix, error) {
	p, ok := prefix(s)
	if !ok {
		return p, c.fault(path, "%s is not a CIDR such as 10.0.0.0/16 or fd00::/48%s", quote(s), why(s))
	}
	return p, nil
}

// why explains what is wrong with an address or CIDR, when it can tell.
func why(s string) string {
	if hasTypographic(s) {
		return ": typographic quotes are part of the value"
	}
	ip, bits, isCIDR := strings.Cut(s, "/")
	if parts := strings.Split(ip, "."); len(parts) == 4 {
		for _, p := range parts {
			if v, err := strconv.Atoi(p); err == nil && v > 255 {
				return ": " + p + " is larger than 255"
			}
		}
	}
	if a, ok := addr(ip); ok && isCIDR {
		if v, err := strconv.Atoi(bits); err == nil && v > a.BitLen() {
			return ": a prefix has at most " + strconv.Itoa(a.BitLen()) + " bits"
		}
	}
	if strings.TrimSpace(s) != s {
		return ": it has white space around it"
	}
	return ""
}

// port checks a port number: 1 to 65535, or 0 too where that means "none".
func (c *checker) port(v int32, zero bool, path ...any) (uint16, error) {
	if v == 0 && zero {
		return 0, nil
	}
	if v < 1 || v > 65535 {
		return 0, c.fault(path, "port %d is not between 1 and 65535", v)
	}
	return uint16(v), nil
}

func (c *checker) protocol(s string, path ...any) (packet.Protocol, error) {
	switch s {
	case "", "TCP":
		return packet.TCP, nil
	case "UDP":
		return packet.UDP, nil
	case "SCTP":
		return packet.SCTP, nil
	}
	hint := ""
	if up := strings.ToUpper(s); up == "TCP" || up == "UDP" || up == "SCTP" {
		hint = ": write it in capitals"
	}
	return 0, c.fault(path, "protocol %s is not one of TCP, UDP, SCTP%s", quote(s), hint)
}

// oneOf checks an enumeration.
func (c *checker) oneOf(s string, allowed []string, path ...any) error {
	for _, a := range allowed {
		if s == a {
			return nil
		}
	}
	hint := ""
	if near := spelling.Meant(s, allowed); near != "" {
		hint = "; did you mean " + quote(near) + "?"
	} else if hasTypographic(s) {
		hint = ": typographic quotes are part of the value; write \" or ' or none"
	}
	return c.fault(path, "%s is not one of %s%s", quote(s), strings.Join(allowed, ", "), hint)
}
