package dns

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Request is a lookup to make.
type Request struct {
	Name            string
	Namespace, Pod  string
	Type            string // "" for A and AAAA together
	Exact           bool   // ask exactly this name
	Libc            Libc
	Domain          string // the cluster domain kubelet writes; "" for CoreDNS's own zone, or cluster.local
	NodeSearch      []string
	NodeNameservers []netip.Addr
}

// Report is one lookup with every query and answer in order.
type Report struct {
	SchemaVersion string        `json:"schemaVersion"`
	Kind          string        `json:"kind"`
	Name          string        `json:"name"`
	From          string        `json:"from"`
	Resolver      Libc          `json:"resolver"`
	ResolvConf    []string      `json:"resolvConf"`
	Queries       []QueryReport `json:"queries"`
	Result        []string      `json:"result"`
	Error         string        `json:"error,omitempty"`
	Seconds       float64       `json:"seconds"` // time spent waiting for answers that did not come
}

// QueryReport is one query and its answer.
type QueryReport struct {
	Name          string   `json:"name"`
	Type          string   `json:"type"`
	Rcode         string   `json:"rcode"` // "" when no answer came
	Answers       []string `json:"answers"`
	TTL           *uint32  `json:"ttl,omitempty"` // the lowest among the answers, in seconds
	Authoritative bool     `json:"authoritative,omitempty"`
	Truncated     bool     `json:"truncated,omitempty"`
	Transport     string   `json:"transport,omitempty"` // "tcp"; UDP otherwise
	Server        string   `json:"server"`
	AtSeconds     float64  `json:"atSeconds,omitempty"`

	records []dns.RR
}

// Rcode is the name of a response code.
func Rcode(code int) string {
	if code == dns.RcodeBadVers {
		return "BADVERS"
	}
	if s, ok := dns.RcodeToString[code]; ok {
		return s
	}
	return "RCODE" + strconv.Itoa(code)
}

// Data is a record's data as RFC 1035 writes it.
func Data(r dns.RR) string { return strings.TrimPrefix(r.String(), r.Header().String()) }

// TypeError is a name of a record type that is none.
type TypeError string

func (e TypeError) Error() string {
	return fmt.Sprintf("%q is not a record type: A, AAAA, SRV, PTR, TXT, CNAME, NS, SOA, ANY or TYPEn", string(e))
}

// parseType reads the name of a record type.
func parseType(s string) (uint16, error) {
	up := strings.ToUpper(s)
	if t, ok := dns.StringToType[up]; ok {
		return t, nil
	}
	if n, ok := strings.CutPrefix(up, "TYPE"); ok {
		if v, err := strconv.ParseUint(n, 10, 16); err == nil {
			return uint16(v), nil
		}
	}
	return 0, TypeError(s)
}

// Lookup makes a lookup as a program in a Pod does. A name that is not found is no error: the Report says so.
func (c *Cluster) Lookup(q Request) (*Report, error) {
	libc, err := ParseLibc(string(q.Libc))
	if err != nil {
		return nil, err
	}
	r := &Resolver{Libc: libc, Exact: q.Exact}
	if q.Type != "" {
		t, err := parseType(q.Type)
		if err != nil {
			return nil, err
		}
		r.Types = []uint16{t}
	}
	p, err := c.Pod(q.Namespace, q.Pod)
	if err != nil {
		return nil, err
	}
	domain := strings.TrimSuffix(q.Domain, ".")
	if domain == "" {
		if domain = strings.TrimSuffix(c.Primary, "."); domain == "" {
			domain = "cluster.local"
		}
	}
	node := ResolvConf{Nameservers: q.NodeNameservers, Search: q.NodeSearch}
	if len(node.Nameservers) == 0 {
		node.Nameservers = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 53})}
	}
	r.Conf = c.ResolvConf(p, domain, node)
	r.Exchange = c.exchange
	name := q.Name
	literal, isAddress := parseIP(name)
	if isAddress && q.Type != "" && r.Types[0] == dns.TypePTR {
		name, _ = dns.ReverseAddr(name) // of an address it cannot fail
		isAddress, r.Exact = false, true
	}
	var queries []Query
	var records []dns.RR
	var failure error
	if !isAddress || q.Type != "" || q.Exact { // of an address a program asks nothing
		queries, records, failure = r.Lookup(name)
	}
	out := &Report{
		SchemaVersion: "svclab/v1alpha1", Kind: "Lookup", Name: q.Name, From: q.Namespace + "/" + q.Pod, Resolver: libc,
		ResolvConf: strings.Split(strings.TrimSuffix(r.Conf.String(), "\n"), "\n"),
		Queries:    []QueryReport{}, Result: []string{},
	}
	if len(queries) == 0 && isAddress {
		out.Result = append(out.Result, literal.String())
	}
	for _, x := range queries {
		out.Queries = append(out.Queries, reportOf(x))
	}
	for _, x := range records {
		if d := Data(x); !slices.Contains(out.Result, d) {
			out.Result = append(out.Result, d)
		}
	}
	if failure != nil {
		out.Error = failure.Error()
	}
	out.Seconds = r.waited.Seconds()
	return out, nil
}

// exchange brings a query to CoreDNS, or to the world outside when it is for another server.
func (c *Cluster) exchange(server netip.Addr, t Transport, m *dns.Msg) *dns.Msg {
	if slices.Contains(c.Nameservers, server) {
		return c.AnswerOver(t, m)
	}
	return c.upstream(t, m)
}

func reportOf(q Query) QueryReport {
	out := QueryReport{Name: q.Name, Type: dns.Type(q.Type).String(), Answers: []string{}, Server: q.Server.String(), AtSeconds: q.At.Seconds()}
	if q.Transport == TCP {
		out.Transport = "tcp"
	}
	if q.Answer == nil {
		return out
	}
	out.Rcode, out.Authoritative, out.Truncated = Rcode(q.Answer.Rcode), q.Answer.Authoritative, q.Answer.Truncated
	out.records = q.Answer.Answer
	for _, r := range q.Answer.Answer {
		out.Answers = append(out.Answers, Data(r))
		if ttl := r.Header().Ttl; out.TTL == nil || ttl < *out.TTL {
			out.TTL = &ttl
		}
	}
	return out
}

// WriteText prints the lookup for a reader: the resolver's file, each query with what came back, and the result.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, asked for by %s (%s)\n", r.Name, r.From, r.Resolver)
	for _, l := range r.ResolvConf {
		if l != "" {
			fmt.Fprintf(&b, "  %s\n", l)
		}
	}
	wide := 0
	for _, q := range r.Queries {
		wide = max(wide, len(q.Name))
	}
	for i, q := range r.Queries {
		fmt.Fprintf(&b, "\n%3d  %-*s  %-5s %s", i+1, wide, q.Name, q.Type, q.words())
		for _, rr := range q.records {
			h := rr.Header()
			fmt.Fprintf(&b, "\n       ")
			if !strings.EqualFold(h.Name, q.Name) {
				fmt.Fprintf(&b, "%s ", h.Name)
			}
			fmt.Fprintf(&b, "%s %s  (%d s)", dns.Type(h.Rrtype), Data(rr), h.Ttl)
		}
	}
	b.WriteString("\n\n")
	switch {
	case r.Error != "":
		fmt.Fprintf(&b, "%s: %s", r.Name, r.Error)
	default:
		fmt.Fprintf(&b, "%s is %s", r.Name, strings.Join(r.Result, ", "))
	}
	plural := "queries"
	if len(r.Queries) == 1 {
		plural = "query"
	}
	fmt.Fprintf(&b, "; %d %s", len(r.Queries), plural)
	if r.Seconds > 0 {
		fmt.Fprintf(&b, ", %g s of waiting", r.Seconds)
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

// words say what came back.
func (q QueryReport) words() string {
	var out []string
	switch {
	case q.Rcode == "":
		out = append(out, "no answer")
	case q.Rcode == "NOERROR" && len(q.Answers) == 0:
		out = append(out, "NODATA")
	default:
		out = append(out, q.Rcode)
	}
	if q.Truncated {
		out = append(out, "truncated")
	}
	if q.Transport != "" {
		out = append(out, "over TCP")
	}
	if q.Rcode != "" && !q.Authoritative && q.Rcode != "REFUSED" && q.Rcode != "SERVFAIL" {
		out = append(out, "from outside the cluster")
	}
	if q.AtSeconds > 0 {
		out = append(out, "after "+time.Duration(q.AtSeconds*float64(time.Second)).String())
	}
	return strings.Join(out, ", ")
}
