package dns

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// plugin answers a query or hands it to the rest of its chain. Without a message the code is the answer.
type plugin interface {
	serve(q *query, rest chain) (*dns.Msg, int)
}

// chain is the plugins of a server block in order. What leaves its end fails (plugin/plugin.go, NextOrFailure).
type chain []plugin

func (c chain) serve(q *query) (*dns.Msg, int) {
	if len(c) == 0 {
		return nil, dns.RcodeServerFailure
	}
	return c[0].serve(q, c[1:])
}

// pass is a plugin that only looks on.
type pass struct{}

func (pass) serve(q *query, rest chain) (*dns.Msg, int) { return rest.serve(q) }

// forward sends a query to a server outside (plugin/forward/forward.go).
type forward struct {
	from     string
	except   zones
	upstream Upstream
}

func (f *forward) serve(q *query, rest chain) (*dns.Msg, int) {
	name := q.name()
	if !dns.IsSubDomain(f.from, name) || name != f.from && f.except.match(name) != "" {
		return rest.serve(q)
	}
	r := f.upstream(q.transport, q.msg.Copy())
	if r == nil {
		return nil, dns.RcodeServerFailure
	}
	want := q.msg.Question[0]
	if !r.Response || len(r.Question) != 1 || !strings.EqualFold(r.Question[0].Name, name) ||
		r.Question[0].Qtype != want.Qtype || r.Question[0].Qclass != want.Qclass {
		m := new(dns.Msg)
		m.SetRcode(q.msg, dns.RcodeFormatError)
		return m, dns.RcodeSuccess
	}
	return r, dns.RcodeSuccess
}

// cache sets the TTLs of what passes as it does when it remembers an answer (plugin/cache/cache.go, ResponseWriter.WriteMsg):
// all records get the lowest TTL among them, within bounds. It remembers nothing here: every answer is the first of its kind.
type cache struct {
	zones                             zones
	positive, negative                uint32 // most seconds
	minPositive, minNegative, failure uint32
}

func (c *cache) serve(q *query, rest chain) (*dns.Msg, int) {
	m, rcode := rest.serve(q)
	if m == nil || c.zones.match(q.name()) == "" {
		return m, rcode
	}
	m = m.Copy()
	least, most := c.minPositive, c.positive
	found, soa := false, false
	for _, r := range m.Answer {
		found = found || r.Header().Rrtype == q.qtype() || q.qtype() == dns.TypeANY
	}
	for _, r := range m.Ns {
		soa = soa || r.Header().Rrtype == dns.TypeSOA
	}
	if m.Rcode == dns.RcodeNameError || m.Rcode == dns.RcodeSuccess && soa && !found {
		least, most = c.minNegative, c.negative
	}
	ttl := most
	records := 0
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, r := range section {
			if r.Header().Rrtype != dns.TypeOPT {
				ttl = min(ttl, r.Header().Ttl)
				records++
			}
		}
	}
	if records == 0 {
		ttl = 5 // plugin/pkg/dnsutil/ttl.go, MinimalDefaultTTL
	}
	ttl = min(max(ttl, least), most)
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		ttl = c.failure
	}
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, r := range section {
			if r.Header().Rrtype != dns.TypeOPT {
				r.Header().Ttl = ttl
			}
		}
	}
	return m, rcode
}

// hosts answers from lines of a hosts file written into the Corefile (plugin/hosts).
type hosts struct {
	origins     zones
	fall        zones
	passTypes   bool // fallthrough_unsupported: types other than A, AAAA and PTR fall through too
	autoReverse bool
	ttl         uint32
	addrs       map[hostKey][]netip.Addr
	names       map[string][]string // by address
}

// hostKey is a name and a family: a wildcard is looked at when the name itself has no address of that family.
type hostKey struct {
	name string
	is4  bool
}

// load reads the entries. A line that is none is passed over, as CoreDNS does.
func (h *hosts) load(lines [][]string) {
	h.addrs, h.names = map[hostKey][]netip.Addr{}, map[string][]string{}
	for _, l := range lines {
		text, _, _ := strings.Cut(l[0], "%")
		a, ok := parseIP(text)
		if !ok {
			continue
		}
		for _, n := range l[1:] {
			if strings.HasPrefix(n, "#") {
				break
			}
			n = strings.ToLower(dns.Fqdn(n))
			if h.origins.match(n) == "" {
				continue
			}
			k := hostKey{n, a.Is4()}
			h.addrs[k] = append(h.addrs[k], a)
			if h.autoReverse && !strings.HasPrefix(n, "*.") {
				h.names[a.String()] = append(h.names[a.String()], n)
			}
		}
	}
}

// lookup finds the addresses of a name, or those of the wildcard in place of its first label.
func (h *hosts) lookup(name string, is4 bool) []netip.Addr {
	if a, ok := h.addrs[hostKey{name, is4}]; ok {
		return a
	}
	if off, end := dns.NextLabel(name, 0); !end {
		return h.addrs[hostKey{"*." + name[off:], is4}]
	}
	return nil
}

func (h *hosts) serve(q *query, rest chain) (*dns.Msg, int) {
	name := q.name()
	if h.origins.match(name) == "" && q.qtype() != dns.TypePTR {
		return rest.serve(q)
	}
	header := dns.RR_Header{Name: name, Rrtype: q.qtype(), Class: dns.ClassINET, Ttl: h.ttl}
	four, six := h.lookup(name, true), h.lookup(name, false)
	var answers []dns.RR
	switch q.qtype() {
	case dns.TypePTR:
		names := h.names[reverseAddr(name)]
		if len(names) == 0 {
			return rest.serve(q)
		}
		for _, n := range names {
			answers = append(answers, &dns.PTR{Hdr: header, Ptr: n})
		}
	case dns.TypeA:
		for _, a := range four {
			answers = append(answers, address(header, a))
		}
	case dns.TypeAAAA:
		for _, a := range six {
			answers = append(answers, address(header, a))
		}
	default:
		if h.passTypes && h.fall.match(name) != "" {
			return rest.serve(q)
		}
	}
	if len(answers) == 0 && len(four)+len(six) == 0 {
		if h.fall.match(name) != "" {
			return rest.serve(q)
		}
		return nil, dns.RcodeServerFailure // it has no SOA to deny a name with
	}
	m := new(dns.Msg)
	m.SetReply(q.msg)
	m.Authoritative = true
	m.Answer = answers
	return m, dns.RcodeSuccess
}

// address is an A or AAAA record; the header's type is set to fit.
func address(h dns.RR_Header, a netip.Addr) dns.RR {
	if a.Is4() {
		h.Rrtype = dns.TypeA
		return &dns.A{Hdr: h, A: a.AsSlice()}
	}
	h.Rrtype = dns.TypeAAAA
	return &dns.AAAA{Hdr: h, AAAA: a.AsSlice()}
}
