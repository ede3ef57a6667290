package dns

import (
	"errors"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// kubernetes is the plugin of that name with its options (plugin/kubernetes).
type kubernetes struct {
	zones       zones
	primary     string // the first zone that is no reverse zone: PTR records lead into it
	fall        zones
	ttl         uint32
	pods        podMode
	podNames    bool            // endpoint_pod_names
	ignoreEmpty bool            // ignore empty_service
	zonal       bool            // zonal
	namespaces  map[string]bool // namespaces; empty for all
	store       *store
	serial      uint32
	self        []netip.Addr
}

// serve answers by the type of the question (plugin/kubernetes/handler.go, ServeDNS).
func (k *kubernetes) serve(q *query, rest chain) (*dns.Msg, int) {
	qname := q.qname()
	zone := k.zones.match(qname)
	if zone == "" {
		return rest.serve(q)
	}
	l := &lookup{k: k, q: q, qname: qname, name: strings.ToLower(qname), zone: qname[len(qname)-len(zone):]}
	var answer, extra []dns.RR
	var truncated bool
	var err error
	switch t := q.qtype(); {
	case t == dns.TypeA, t == dns.TypeAAAA:
		answer, truncated, err = l.addresses(t, nil)
	case t == dns.TypeTXT:
		answer, err = l.txt()
	case t == dns.TypeCNAME:
		answer, err = l.cname()
	case t == dns.TypePTR:
		answer, err = l.ptr()
	case t == dns.TypeMX:
		_, err = l.entries(t) // no entry is a mail exchanger
	case t == dns.TypeSRV:
		answer, extra, err = l.srv()
	case t == dns.TypeSOA:
		if qname == l.zone { // any other name is NODATA, whether it exists or not
			answer = []dns.RR{l.soa()}
		}
	case t == dns.TypeAXFR, t == dns.TypeIXFR:
		return nil, dns.RcodeRefused
	case t == dns.TypeNS && l.name == l.zone:
		answer, extra, err = l.ns()
	default: // does the name exist? asked as if for A
		_, _, err = l.addresses(dns.TypeA, nil)
	}
	switch {
	case errors.Is(err, ErrLoop):
		return nil, dns.RcodeServerFailure
	case err != nil && k.fall.match(l.name) != "":
		return rest.serve(q)
	case err != nil:
		return l.deny(dns.RcodeNameError), dns.RcodeSuccess
	case len(answer) == 0:
		return l.deny(dns.RcodeSuccess), dns.RcodeSuccess
	}
	m := new(dns.Msg)
	m.SetReply(q.msg)
	m.Truncated = truncated
	m.Authoritative = true
	m.Answer, m.Extra = answer, extra
	return m, dns.RcodeSuccess
}

// deny is an answer without records and with the SOA: NXDOMAIN or NODATA (plugin/backend_lookup.go, BackendError).
func (l *lookup) deny(rcode int) *dns.Msg {
	m := new(dns.Msg)
	m.SetRcode(l.q.msg, rcode)
	m.Authoritative = true
	m.Ns = []dns.RR{l.soa()}
	return m
}

func (l *lookup) soa() dns.RR {
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: l.zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: min(l.k.ttl, 300)},
		Ns:  join("ns.dns", l.zone), Mbox: join("hostmaster", l.zone), Serial: l.k.serial,
		Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: l.k.ttl,
	}
}

// exposed reports whether a namespace exists and is not kept back by the options namespaces and namespace_labels.
func (k *kubernetes) exposed(namespace string) bool {
	return (len(k.namespaces) == 0 || k.namespaces[namespace]) && k.store.namespaces[namespace]
}

// hostname is the label of one endpoint: its hostname, its Pod's name when endpoint_pod_names is set, else its address with
// dashes (plugin/kubernetes/kubernetes.go, endpointHostname).
func (k *kubernetes) hostname(a addressEntry) string {
	switch {
	case a.hostname != "":
		return a.hostname
	case k.podNames && a.target != "":
		return a.target
	case strings.Contains(a.ip, "."):
		return strings.ReplaceAll(a.ip, ".", "-")
	case strings.Contains(a.ip, ":"):
		s := strings.ReplaceAll(a.ip, ":", "-")
		if strings.HasSuffix(s, "-") {
			s += "0" // a label may not end in a dash
		}
		return s
	}
	return ""
}
