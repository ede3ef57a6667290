package dns

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// zones is a list of zone names, lower case and with their dot.
type zones []string

// match is the longest zone that name lies in, or "" (coredns plugin/normalize.go, Zones.Matches).
func (z zones) match(name string) string {
	best := ""
	for _, zone := range z {
		if zone != "" && dns.IsSubDomain(zone, name) && len(zone) > len(best) {
			best = zone
		}
	}
	return best
}

// maxExpanded is how many reverse zones one CIDR may stand for: a prefix is at most seven bits short of the next octet.
const maxExpanded = 128

// splitZone reads an address of a server block or an argument that names a zone: a domain name or a CIDR, which stands for
// its reverse zones, with an optional port (coredns plugin/normalize.go, SplitHostPort; plugin/pkg/cidr).
func splitZone(s string) (names []string, port string, err error) {
	if i := strings.LastIndexByte(s, ':'); i == len(s)-1 && i >= 0 {
		return nil, "", fmt.Errorf("%q ends in a colon", s)
	} else if i >= 0 {
		if n, err := strconv.Atoi(s[i+1:]); err == nil {
			port, s = strconv.Itoa(n), s[:i]
		}
	}
	if len(s) > 255 {
		return nil, "", fmt.Errorf("%q is too long for a zone", s[:40]+"…")
	}
	if _, ok := dns.IsDomainName(s); !ok {
		return nil, "", fmt.Errorf("%q is not a domain name", s)
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Zone() != "" {
		name := strings.ToLower(dns.Fqdn(s))
		if _, ok := dns.IsDomainName(name); !ok {
			return nil, "", fmt.Errorf("%q is not a domain name", s)
		}
		return []string{name}, port, nil
	}
	if s[0] == ':' || s[0] == '0' && p.Addr().Is6() {
		return nil, "", fmt.Errorf("%q: CoreDNS takes no IPv6 prefix that begins so", s)
	}
	return reverseZones(p), port, nil
}

// reverseZones are the zones under in-addr.arpa or ip6.arpa that make up a prefix: one where it ends at an octet (IPv4) or a
// nibble (IPv6), several where it does not.
func reverseZones(p netip.Prefix) []string {
	p = p.Masked()
	step, suffix := 8, "in-addr.arpa."
	if p.Addr().Is6() {
		step, suffix = 4, "ip6.arpa."
	}
	digits := (p.Bits() + step - 1) / step
	short := digits*step - p.Bits()
	raw := p.Addr().AsSlice()
	out := make([]string, 0, min(1<<short, maxExpanded))
	for n := range 1 << short {
		labels := make([]string, 0, digits+1)
		for d := digits - 1; d >= 0; d-- {
			v := int(raw[d*step/8])
			if step == 4 {
				v = v >> (4 * (1 - d%2)) & 15
			}
			if d == digits-1 {
				v += n
			}
			if step == 4 {
				labels = append(labels, strconv.FormatInt(int64(v), 16))
			} else {
				labels = append(labels, strconv.Itoa(v))
			}
		}
		out = append(out, strings.Join(append(labels, suffix), "."))
	}
	return out
}

// origins are the zones a plugin serves: those of its arguments, or those of the server block. Arguments that are no zone are
// passed over without a word, as CoreDNS does.
func origins(args []string, block zones) zones {
	if len(args) == 0 {
		return block
	}
	out := zones{}
	for _, a := range args {
		_, a = transportOf(a)
		if names, _, err := splitZone(a); err == nil {
			out = append(out, names...)
		}
	}
	return out
}

// transportOf cuts the scheme from an address; "dns" when it has none.
func transportOf(s string) (scheme, rest string) {
	for _, t := range []string{"dns", "tls", "quic", "grpc", "https3", "https"} {
		if rest, ok := strings.CutPrefix(s, t+"://"); ok {
			return t, rest
		}
	}
	return "dns", s
}

// isReverse reports whether a name, lower case, lies under in-addr.arpa or ip6.arpa and is neither of them.
func isReverse(name string) bool {
	return strings.HasSuffix(name, ".in-addr.arpa.") || strings.HasSuffix(name, ".ip6.arpa.")
}

// reverseAddr is the address a reverse name stands for in its usual form, or "" (coredns plugin/pkg/dnsutil/reverse.go).
func reverseAddr(name string) string {
	if s, ok := strings.CutSuffix(name, ".in-addr.arpa."); ok {
		l := strings.Split(s, ".")
		for i, j := 0, len(l)-1; i < j; i, j = i+1, j-1 {
			l[i], l[j] = l[j], l[i]
		}
		if a, ok := parseIP(strings.Join(l, ".")); ok && a.Is4() {
			return a.String()
		}
		return ""
	}
	s, ok := strings.CutSuffix(name, ".ip6.arpa.")
	if !ok {
		return ""
	}
	l := strings.Split(s, ".")
	var b strings.Builder
	for i := range len(l) / 4 * 4 { // labels left over are dropped, as CoreDNS does
		if i > 0 && i%4 == 0 {
			b.WriteByte(':')
		}
		b.WriteString(l[len(l)-1-i])
	}
	if a, ok := parseIP(b.String()); ok {
		return a.String()
	}
	return ""
}

// parseIP reads an address as Go's net.ParseIP does: without a zone, IPv4 in IPv6 taken for IPv4.
func parseIP(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

// trimZone is a name without its zone and the dot before it; "" when nothing is left.
func trimZone(name, zone string) string {
	i, over := dns.PrevLabel(name, dns.CountLabel(zone))
	if over || i < 1 {
		return ""
	}
	return name[:i-1]
}

// join joins labels to a name with its dot.
func join(labels ...string) string {
	if labels[len(labels)-1] == "." {
		labels = labels[:len(labels)-1]
	}
	return dns.Fqdn(strings.Join(labels, "."))
}
