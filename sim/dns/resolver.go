package dns

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// How a lookup ends without an answer.
var (
	ErrNotFound = errors.New("no such name")
	ErrNoData   = errors.New("the name exists, without an answer of that type")
	ErrTryAgain = errors.New("no server gave an answer: try again")
	ErrBadName  = errors.New("not a domain name")
)

// Exchange sends one query to a nameserver and returns its answer, or nil when none comes.
type Exchange func(server netip.Addr, t Transport, m *dns.Msg) *dns.Msg

// Resolver asks as a program in a Pod does (RFC 1034; glibc resolv/res_query.c and res_send.c; musl
// src/network/lookup_name.c and res_msend.c; Go net/dnsclient_unix.go). Answers come at once, and only waiting takes time, unless
// the lookup is made in steps (Start).
type Resolver struct {
	Conf     ResolvConf
	Libc     Libc
	Exchange Exchange // not used by lookups in steps
	// Types asked for. None: A and AAAA together, the first that has an address ends the search.
	Types []uint16
	// Exact asks for the name alone, without the search list.
	Exact bool

	waited time.Duration // how long the last lookup waited for answers
	step   stepper       // of a lookup in steps; nil for Exchange
}

// Query is one question sent and what came back.
type Query struct {
	At        time.Duration // since the lookup began
	Server    netip.Addr
	Transport Transport
	Name      string
	Type      uint16
	Answer    *dns.Msg // nil: no answer came
}

// outcome is what the answers for one name come to.
type outcome uint8

const (
	found outcome = iota
	nameError
	noData
	serverFailure
	refused
	timeout
)

// Lookup asks for a name and returns every query in order, and the records that answer it. The error is nil or one of the
// four above.
func (r *Resolver) Lookup(name string) ([]Query, []dns.RR, error) {
	if len(r.Types) == 0 {
		r.Types = []uint16{dns.TypeA, dns.TypeAAAA}
	}
	l := &run{Resolver: r}
	defer func() { r.waited = l.at }()
	if _, ok := dns.IsDomainName(name); !ok || name == "" || strings.HasPrefix(name, ".") && name != "." || strings.Contains(name, "..") {
		return nil, nil, ErrBadName
	}
	names, asIs := r.names(name)
	if len(names) == 0 {
		return nil, nil, ErrBadName
	}
	sawNoData, sawFailure := false, false
	for i := 0; i < len(names); i++ {
		answers, o := l.ask(names[i])
		switch {
		case o == found:
			return l.queries, answers, nil
		case o == noData:
			sawNoData = true
			if r.musl() {
				return l.queries, nil, ErrNoData
			}
		case o == nameError:
		case r.musl():
			return l.queries, nil, ErrTryAgain
		default:
			sawFailure = true
			if r.Libc == Glibc && o != serverFailure && i < asIs {
				i = asIs - 1 // the suffixes end: on to the name as it is
			} else if r.Libc == Glibc && o != serverFailure && i > asIs {
				return l.queries, nil, l.end(sawNoData, sawFailure)
			}
		}
	}
	return l.queries, nil, l.end(sawNoData, sawFailure)
}

func (r *Resolver) musl() bool { return r.Libc == Musl || r.Libc == OldMusl }

// end is the error of a lookup whose names are used up: glibc prefers "no data" to "try again", and both to "not found"
// (res_query.c, the end of __res_context_search). Go reports the last name's failure; that differs in words alone.
func (l *run) end(sawNoData, sawFailure bool) error {
	switch {
	case sawNoData:
		return ErrNoData
	case sawFailure:
		return ErrTryAgain
	}
	return ErrNotFound
}

// maxName is the longest name with its dot at the end that fits into a message.
const maxName = 254

// maxMuslLine is the longest line of resolv.conf that musl reads, its end included; it passes over a longer one
// (src/network/resolvconf.c, __get_resolv_conf).
const maxMuslLine = 255

// names are the names to ask for in order, and the index of the name as it is.
func (r *Resolver) names(name string) (list []string, asIs int) {
	full := dns.Fqdn(name)
	if len(full) > maxName {
		return nil, 0
	}
	if r.Exact || strings.HasSuffix(name, ".") {
		return []string{full}, 0
	}
	first := strings.Count(name, ".") >= r.Conf.Ndots
	if first {
		list = append(list, full)
		if r.musl() {
			return list, 0
		}
	}
	search := r.Conf.Search
	if r.musl() && len("search "+strings.Join(search, " ")+"\n") > maxMuslLine {
		search = nil
	}
	for _, s := range search {
		long := full + dns.Fqdn(s)
		if s == "." {
			long = full
		}
		if len(long) > maxName {
			switch {
			case r.Libc == Go:
				continue
			case r.musl():
				return list, 0 // and the name as it is is not asked for
			}
			break
		}
		list = append(list, long)
	}
	if !first {
		list = append(list, full)
		asIs = len(list) - 1
	}
	return list, asIs
}

// run is one lookup under way.
type run struct {
	*Resolver
	at      time.Duration
	queries []Query
	id      uint16
	single  bool // glibc found that a server cannot do two queries at once
	socket  int  // number of the socket that queries leave from
}

// ask asks for every type of one name until each is answered, and tells what that comes to. Queries that no server answers,
// or with a failure or a refusal, are sent again as often as the resolver does.
func (l *run) ask(name string) ([]dns.RR, outcome) {
	answers := make([]*dns.Msg, len(l.Types))
	servers := l.Conf.Nameservers
	if len(servers) == 0 {
		servers = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})} // resolv.conf(5): the name server on the local machine
	}
	turns := [][]netip.Addr{servers} // musl asks all servers at once, the others one after the other
	if !l.musl() {
		turns = slices.Collect(slices.Chunk(servers, 1))
	}
	last := timeout
	half := 0
	l.single = false
	l.socket++
	for range max(1, l.Conf.Attempts) {
		for i := 0; i < len(turns); i++ {
			silent := l.round(turns[i], name, answers, &last)
			if !slices.Contains(answers, nil) {
				return l.judge(answers)
			}
			if l.Libc == Glibc && silent && slices.ContainsFunc(answers, func(m *dns.Msg) bool { return m != nil }) {
				if half++; half > maxHalf {
					return l.judge(answers)
				}
				l.single = true
				clear(answers)
				i-- // the same server again, within the same attempt
			}
		}
	}
	if rrs, o := l.judge(answers); o == found && !l.musl() {
		return rrs, found // an address for one type is enough
	}
	return nil, last
}

// maxHalf is how often glibc, when one of two questions sent together stays without an answer, takes the server for one that
// cannot do two at once: it sends both again, one after the other, then from a new socket, and then takes the half it has
// (resolv/res_send.c, send_dg: RES_SNGLKUP, RES_SNGLKUPREOP). The lost half costs the timeout each time.
const maxHalf = 2

// question is one query of a round.
type question struct {
	index  int // in Types
	server netip.Addr
}

// round sends what is not yet answered to servers, and reports whether the resolver has then waited out its time in vain.
func (l *run) round(servers []netip.Addr, name string, answers []*dns.Msg, last *outcome) (silent bool) {
	var queue []question
	for i, a := range answers {
		for _, s := range servers {
			if a == nil {
				queue = append(queue, question{i, s})
			}
		}
	}
	again := 2 * len(l.Types) // failures that musl asks again at once (res_msend.c, servfail_retry)
	truncated, began := false, l.at
	for len(queue) > 0 {
		n := l.together(len(queue))
		lot := queue[:n]
		queue = queue[n:]
		for i, m := range l.send(UDP, name, lot) {
			q := lot[i]
			if m != nil && m.Truncated && l.Libc != OldMusl {
				if truncated = true; l.Libc != Glibc {
					m = l.send(TCP, name, lot[i:i+1])[0]
				}
			}
			switch {
			case m == nil:
				*last = timeout
			case answered(m):
				if answers[q.index] == nil {
					answers[q.index] = m
				}
			case m.Rcode == dns.RcodeServerFailure:
				*last = serverFailure
				if l.musl() && again > 0 {
					again--
					queue = append(queue, q)
				}
			default:
				*last = refused
			}
			silent = silent || m == nil || l.musl() // musl waits on after a failure as if nothing had come
		}
	}
	if truncated && l.Libc == Glibc { // one truncated answer makes it send all its questions over TCP (res_send.c, send_vc)
		var all []question
		for i := range l.Types {
			all = append(all, question{i, servers[0]})
		}
		for len(all) > 0 {
			n := 1
			if l.step != nil {
				n = len(all)
			}
			for i, m := range l.send(TCP, name, all[:n]) {
				if m != nil && answered(m) {
					answers[all[i].index] = m
				}
			}
			all = all[n:]
		}
	}
	if silent = silent && slices.Contains(answers, nil); silent {
		l.pause(l.wait() - (l.at - began))
	}
	return silent
}

// together is how many of n queries leave at once. Where answers take no time that makes no difference.
func (l *run) together(n int) int {
	if l.step == nil || l.Libc == Glibc && (l.Conf.has("single-request") || l.Conf.has("single-request-reopen") || l.single) {
		return 1
	}
	return n
}

// answered reports whether a server has said something about the name.
func answered(m *dns.Msg) bool { return m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError }

// wait is how long a resolver waits for one server: musl divides its whole time among its attempts.
func (l *run) wait() time.Duration {
	if l.musl() {
		return l.Conf.Timeout / time.Duration(max(1, l.Conf.Attempts))
	}
	return l.Conf.Timeout
}

// send sends queries at once and keeps each with its answer, nil for those that had none when the wait was over.
func (l *run) send(via Transport, name string, lot []question) []*dns.Msg {
	out := make([]*dns.Msg, len(lot))
	asks := make([]*dns.Msg, len(lot))
	for i, q := range lot {
		m := new(dns.Msg)
		m.SetQuestion(name, l.Types[q.index])
		l.id++
		m.Id = l.id
		if l.Libc == Go || l.Libc == Glibc && l.Conf.EDNS0 {
			m.SetEdns0(1232, false)
		}
		asks[i] = m
	}
	at := l.at
	if l.step != nil {
		out = l.stepped(via, lot, asks)
	} else {
		for i, q := range lot {
			out[i] = l.Exchange(q.server, via, asks[i])
		}
	}
	for i, q := range lot {
		l.queries = append(l.queries, Query{at, q.server, via, name, l.Types[q.index], out[i]})
	}
	return out
}

// pause lets time pass.
func (l *run) pause(d time.Duration) {
	switch {
	case d <= 0:
	case l.step != nil:
		l.stepFor(d)
	default:
		l.at += d
	}
}

// judge tells what the answers of one name come to.
func (l *run) judge(answers []*dns.Msg) ([]dns.RR, outcome) {
	var out []dns.RR
	missing, came := 0, 0
	for _, a := range answers {
		if a == nil {
			continue
		}
		came++
		if a.Rcode == dns.RcodeNameError {
			missing++
			if l.musl() {
				return nil, nameError // NXDOMAIN for one type is for the name
			}
		}
		out = append(out, usable(a, l.Types)...)
	}
	switch {
	case len(out) > 0:
		return out, found
	case missing == came:
		return nil, nameError
	}
	return nil, noData
}

// usable are the records of an answer that are of a type asked for; CNAMEs on the way are not.
func usable(m *dns.Msg, types []uint16) (out []dns.RR) {
	if m.Rcode != dns.RcodeSuccess {
		return nil
	}
	for _, r := range m.Answer {
		if t := r.Header().Rrtype; slices.Contains(types, t) || types[0] == dns.TypeANY {
			out = append(out, r)
		}
	}
	return out
}
