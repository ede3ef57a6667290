package dns

import (
	"net/netip"

	"github.com/miekg/dns"
)

// lookup is one name under a zone of the kubernetes plugin, and the records that its entries make
// (plugin/backend_lookup.go).
type lookup struct {
	k     *kubernetes
	q     *query
	qname string // in the case of the question, which answers repeat
	name  string // in lower case
	zone  string // in the case of the question
}

// at is the lookup of another name in the same zone.
func (l *lookup) at(name string) *lookup {
	q := *l.q
	q.msg = l.q.msg.Copy()
	q.msg.Question[0] = dns.Question{Name: dns.Fqdn(name), Qtype: l.q.qtype(), Qclass: dns.ClassINET}
	return &lookup{k: l.k, q: &q, qname: q.qname(), name: q.name(), zone: l.zone}
}

func (l *lookup) header(qtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: l.qname, Rrtype: qtype, Class: dns.ClassINET, Ttl: ttl}
}

// maxChain is how many CNAMEs one answer may hold before the next one is left out.
const maxChain = 10

// addresses are the A or AAAA records of a name, CNAMEs on the way included. A CNAME that leads to nothing within the zone is
// left out, so that the answer is NODATA; one that leads out of it stays, whatever is found there.
func (l *lookup) addresses(qtype uint16, before []dns.RR) (out []dns.RR, truncated bool, err error) {
	found, err := l.entriesAtApex(qtype)
	if err != nil {
		return nil, false, err
	}
	seen := map[string]bool{}
	for _, e := range found {
		if a, ok := parseIP(e.host); ok {
			if a.Is4() == (qtype == dns.TypeA) && !seen[e.host] {
				seen[e.host] = true
				out = append(out, address(l.header(qtype, e.ttl), a))
			}
			continue
		}
		more, tc, err := l.follow(e, qtype, before)
		if err != nil {
			return nil, false, err
		}
		out, truncated = append(out, more...), truncated || tc
	}
	return out, truncated, nil
}

// follow goes where a CNAME leads: on in the zone, or through the whole server for any other name.
func (l *lookup) follow(e entry, qtype uint16, before []dns.RR) ([]dns.RR, bool, error) {
	target := dns.Fqdn(e.host)
	if dns.IsSubDomain(l.name, target) || len(before) > maxChain {
		return nil, false, nil
	}
	for _, b := range before {
		if c, ok := b.(*dns.CNAME); ok && c.Target == target {
			return nil, false, nil
		}
	}
	alias := &dns.CNAME{Hdr: l.header(dns.TypeCNAME, e.ttl), Target: target}
	if dns.IsSubDomain(l.zone, target) {
		more, tc, err := l.at(target).addresses(qtype, append(before[:len(before):len(before)], alias))
		if err == ErrLoop {
			return nil, false, err
		}
		if err != nil || len(more) == 0 {
			return nil, tc, nil
		}
		return append([]dns.RR{alias}, more...), tc, nil
	}
	m, err := l.outside(target)
	if err != nil || m == nil {
		return nil, false, err
	}
	return append([]dns.RR{alias}, m.Answer...), m.Truncated, nil
}

// maxOutside is how often lookups of external names may lead to further ones.
const maxOutside = 16

// outside asks the server itself for a name out of the zone (plugin/pkg/upstream, Lookup).
func (l *lookup) outside(name string) (*dns.Msg, error) {
	q := *l.at(name).q
	if q.looped == nil {
		q.looped = new(bool)
	}
	if q.depth++; q.depth > maxOutside {
		*q.looped = true
		return nil, ErrLoop
	}
	m := q.server.serve(&q)
	if q.looped != nil && *q.looped {
		return nil, ErrLoop
	}
	return m, nil
}

// entriesAtApex finds entries; for the zone itself it looks for the name apex.dns first, which never exists.
func (l *lookup) entriesAtApex(qtype uint16) ([]entry, error) {
	if l.name == l.zone {
		if found, err := l.at(join("apex.dns", l.zone)).entries(qtype); err == nil {
			return found, nil
		}
	}
	return l.entries(qtype)
}

// srv are the SRV records of a name and the addresses they lead to. Records of one target and port are one; each address of a
// target is added once. The weights are equal parts of a hundred, at least 1.
func (l *lookup) srv() (out, extra []dns.RR, err error) {
	found, err := l.entries(dns.TypeSRV)
	if err != nil {
		return nil, nil, err
	}
	type target struct {
		name string
		port int32
		addr netip.Addr
	}
	seen := map[target]bool{}
	first := func(t target) bool {
		was := seen[t]
		seen[t] = true
		return !was
	}
	weight := uint16(1)
	if len(found) > 0 {
		weight = max(1, uint16(100.0/float64(100*len(found))*100))
	}
	for _, e := range found {
		a, ok := parseIP(e.host)
		if !ok || e.port == -1 {
			continue
		}
		if first(target{name: e.owner, port: e.port}) {
			out = append(out, &dns.SRV{Hdr: l.header(dns.TypeSRV, e.ttl), Weight: weight, Port: uint16(e.port), Target: e.owner})
		}
		if first(target{name: e.owner, addr: a}) {
			extra = append(extra, address(dns.RR_Header{Name: e.owner, Class: dns.ClassINET, Ttl: e.ttl}, a))
		}
	}
	return out, extra, nil
}

func (l *lookup) cname() ([]dns.RR, error) {
	found, err := l.entries(dns.TypeCNAME)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	if _, ok := parseIP(found[0].host); ok {
		return nil, nil
	}
	return []dns.RR{&dns.CNAME{Hdr: l.header(dns.TypeCNAME, found[0].ttl), Target: dns.Fqdn(found[0].host)}}, nil
}

func (l *lookup) txt() ([]dns.RR, error) {
	found, err := l.entries(dns.TypeTXT)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return []dns.RR{&dns.TXT{Hdr: l.header(dns.TypeTXT, found[0].ttl), Txt: []string{found[0].text}}}, nil
}

func (l *lookup) ptr() (out []dns.RR, err error) {
	found, err := l.reverse()
	seen := map[string]bool{}
	for _, e := range found {
		if !seen[e.host] {
			seen[e.host] = true
			out = append(out, &dns.PTR{Hdr: l.header(dns.TypePTR, e.ttl), Ptr: e.host})
		}
	}
	return out, err
}

// ns names the servers once each, and their addresses as often as they were found.
func (l *lookup) ns() (out, extra []dns.RR, err error) {
	seen := map[string]bool{}
	for _, e := range l.nameServers() {
		a, ok := parseIP(e.host)
		if !ok {
			continue
		}
		extra = append(extra, address(dns.RR_Header{Name: e.owner, Class: dns.ClassINET, Ttl: e.ttl}, a))
		if !seen[e.owner] {
			seen[e.owner] = true
			out = append(out, &dns.NS{Hdr: l.header(dns.TypeNS, e.ttl), Ns: e.owner})
		}
	}
	return out, extra, nil
}
