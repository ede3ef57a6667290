package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Objects are the objects CoreDNS lists and watches, as given, not defaulted; *input.Objects is one.
type Objects interface {
	Services() []*corev1.Service
	EndpointSlices() []*discoveryv1.EndpointSlice
	Namespaces() []*corev1.Namespace
	Pods() []*corev1.Pod
	ConfigMaps() []*corev1.ConfigMap
}

// Transport is how a message travels.
type Transport uint8

// The transports of DNS. UDP is the zero value.
const (
	UDP Transport = iota
	TCP
)

func (t Transport) String() string {
	if t == TCP {
		return "tcp"
	}
	return "udp"
}

// Upstream answers what is forwarded out of the cluster; a nil answer is a server that does not reply.
type Upstream func(t Transport, m *dns.Msg) *dns.Msg

// Options are what a Server does not take from objects and Corefile. The zero value is useful.
type Options struct {
	Upstream Upstream     // nil: a server that knows no name (NoNames)
	Self     []netip.Addr // CoreDNS's own addresses, named by NS and ns.dns records
	Serial   uint32       // the serial of SOA records, a time in CoreDNS; 0 means 1
	Port     uint16       // the port asked, for Corefiles with several; 0: 53 where it is served, else the first
}

// Server answers as one CoreDNS with the objects it was made from. It is safe for concurrent use.
type Server struct {
	zones map[string]chain // by lower-case name with its dot
	chaos bool             // other classes than IN are answered: some block has forward (core/dnsserver/server.go, EnableChaos)
	// Primary is the first forward zone of the first kubernetes block, "cluster.local.", or "" without one.
	Primary string
	// Port is the port that is served.
	Port uint16

	upstream Upstream
}

// New makes a server from a Corefile and objects. Errors are *CorefileError and *UnsupportedError.
func New(c *Corefile, objects Objects, opt Options) (*Server, error) {
	if opt.Upstream == nil {
		opt.Upstream = NoNames
	}
	if opt.Serial == 0 {
		opt.Serial = 1
	}
	blocks, port, err := c.listeners(opt.Port)
	if err != nil {
		return nil, err
	}
	s := &Server{zones: map[string]chain{}, Port: port, upstream: opt.Upstream}
	stores := map[string]*store{}
	for _, b := range blocks {
		p := setup{file: c.Name, origins: b.zones, objects: objects, opt: opt, stores: stores}
		chain, err := p.chain(b.directives)
		if err != nil {
			return nil, err
		}
		if !b.asked {
			continue
		}
		for _, z := range b.served {
			s.zones[z] = chain
		}
		for _, p := range chain {
			switch p := p.(type) {
			case *forward:
				s.chaos = true
			case *kubernetes:
				if s.Primary == "" {
					s.Primary = p.primary
				}
			}
		}
	}
	return s, nil
}

// listener is a server block with its zones: those of all its keys, and those served at the port that is asked.
type listener struct {
	zones, served zones
	directives    []Directive
	asked         bool
}

// listeners sorts out which blocks serve which zones at which port (coredns core/dnsserver/register.go).
func (c *Corefile) listeners(port uint16) ([]listener, uint16, error) {
	type key struct{ scheme, zone, port string }
	seen := map[key]bool{}
	var ports []string
	keys := make([][]key, len(c.Blocks))
	for i, b := range c.Blocks {
		for _, k := range b.Keys {
			scheme, rest := transportOf(k.Text)
			names, p, err := splitZone(rest)
			if err != nil {
				return nil, 0, &CorefileError{c.Name, k.Line, err.Error()}
			}
			if p == "" {
				p = map[string]string{"dns": "53", "tls": "853", "quic": "853", "grpc": "443", "https": "443", "https3": "443"}[scheme]
			}
			for _, n := range names {
				x := key{scheme, n, p}
				if seen[x] {
					return nil, 0, &CorefileError{c.Name, k.Line, fmt.Sprintf("%s:%s is served twice", n, p)}
				}
				seen[x] = true
				keys[i] = append(keys[i], x)
			}
			if scheme == "dns" {
				ports = append(ports, p)
			}
		}
	}
	ask := "53"
	if port != 0 {
		ask = fmt.Sprint(port)
	} else if len(ports) > 0 && !slices.Contains(ports, ask) {
		ask = ports[0]
	}
	var out []listener
	for i, b := range c.Blocks {
		l := listener{directives: b.Directives}
		for _, k := range keys[i] {
			l.zones = append(l.zones, k.zone)
			if k.scheme == "dns" && k.port == ask {
				l.served = append(l.served, k.zone)
				l.asked = true
			}
		}
		out = append(out, l)
	}
	n, err := strconv.ParseUint(ask, 10, 16)
	if err != nil {
		return nil, 0, &CorefileError{c.Name, 1, fmt.Sprintf("%q is no port", ask)}
	}
	return out, uint16(n), nil
}

// Answer answers one message that came over UDP; see AnswerOver.
func (s *Server) Answer(m *dns.Msg) *dns.Msg { return s.AnswerOver(UDP, m) }

// AnswerOver answers one message. The answer is nil where CoreDNS sends none: a name in it cannot be packed. The message is
// not changed.
func (s *Server) AnswerOver(t Transport, m *dns.Msg) *dns.Msg {
	q := &query{server: s, transport: t, msg: m.Copy()}
	r := s.serve(q)
	if r == nil {
		return nil
	}
	if _, err := r.Pack(); err != nil {
		return nil
	}
	return r
}

// serve picks the server block by the longest zone and sends the query down its chain (core/dnsserver/server.go, ServeDNS).
func (s *Server) serve(q *query) *dns.Msg {
	if len(q.msg.Question) == 0 {
		return q.fail(dns.RcodeServerFailure)
	}
	question := q.msg.Question[0]
	if !s.chaos && question.Qclass != dns.ClassINET {
		return q.fail(dns.RcodeRefused)
	}
	if o := q.msg.IsEdns0(); o != nil && o.Version() != 0 {
		return badVersion(q.msg)
	}
	var parent chain // for DS, which the parent of a zone answers
	name := strings.ToLower(question.Name)
	for off, end := 0, name == ""; !end; off, end = dns.NextLabel(name, off) {
		c, ok := s.zones[name[off:]]
		if !ok {
			continue
		}
		if len(c) == 0 {
			return q.fail(dns.RcodeRefused)
		}
		if question.Qtype != dns.TypeDS {
			return q.finish(c.serve(q))
		}
		parent = c
	}
	if parent != nil {
		return q.finish(parent.serve(q))
	}
	if c := s.zones["."]; len(c) > 0 {
		return q.finish(c.serve(q))
	}
	return q.fail(dns.RcodeRefused)
}

// query is one message on its way through a server.
type query struct {
	server    *Server
	transport Transport
	msg       *dns.Msg
	depth     int   // lookups of external names that led here
	looped    *bool // set when they led to each other without end
}

// qname is the name asked for in the case of the question; name is the same in lower case.
func (q *query) qname() string { return dns.Name(q.msg.Question[0].Name).String() }
func (q *query) name() string  { return strings.ToLower(q.qname()) }
func (q *query) qtype() uint16 { return q.msg.Question[0].Qtype }

// fail is an answer without records, and not yet fitted.
func (q *query) fail(rcode int) *dns.Msg {
	m := new(dns.Msg)
	m.SetRcode(q.msg, rcode)
	q.edns(m)
	return m
}

// finish fits a reply to the client, or makes one of a code that no plugin has written.
func (q *query) finish(m *dns.Msg, rcode int) *dns.Msg {
	if m == nil {
		m = q.fail(rcode)
	}
	q.edns(m)
	size := uint16(0)
	if o := q.msg.IsEdns0(); o != nil {
		size = o.UDPSize()
	}
	if q.transport == TCP {
		size = dns.MaxMsgSize
	}
	m.Truncate(int(max(size, dns.MinMsgSize)))
	if q.transport == UDP && !m.Compress && m.Len() > 1480 {
		m.Compress = true // lest an IPv4 packet is cut into fragments (request/request.go, Scrub)
	}
	return m
}

// edns gives a reply the OPT record of its question (request/request.go, SizeAndDo).
func (q *query) edns(m *dns.Msg) {
	o := q.msg.IsEdns0()
	if o == nil {
		return
	}
	r := m.IsEdns0()
	if r == nil {
		r = dns.Copy(o).(*dns.OPT)
		r.Option = nil
		for _, x := range o.Option {
			switch x.Option() {
			case dns.EDNS0NSID, dns.EDNS0EXPIRE, dns.EDNS0COOKIE, dns.EDNS0TCPKEEPALIVE, dns.EDNS0PADDING:
				r.Option = append(r.Option, x)
			}
		}
		m.Extra = append(m.Extra, r)
	}
	r.Hdr.Name = "."
	r.SetVersion(0)
	r.SetUDPSize(o.UDPSize())
	r.Hdr.Ttl &= 0xff00
	if o.Do() {
		r.SetDo()
	}
}

// badVersion refuses a version of EDNS other than 0 (plugin/pkg/edns, Version).
func badVersion(m *dns.Msg) *dns.Msg {
	r := new(dns.Msg)
	r.SetReply(m)
	r.Rcode = dns.RcodeBadVers
	o := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	o.SetVersion(0)
	o.SetExtendedRcode(dns.RcodeBadVers)
	r.Extra = []dns.RR{o}
	return r
}

// NoNames is an Upstream that knows no name: NXDOMAIN with the SOA of the root, as a resolver has it.
func NoNames(_ Transport, m *dns.Msg) *dns.Msg {
	r := new(dns.Msg)
	r.SetRcode(m, dns.RcodeNameError)
	r.RecursionAvailable = true
	r.Ns = []dns.RR{&dns.SOA{
		Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 86400},
		Ns:  "a.root-servers.net.", Mbox: "nstld.verisign-grs.com.", Serial: 1, Refresh: 1800, Retry: 900, Expire: 604800, Minttl: 86400,
	}}
	return r
}
