package dns

import (
	"errors"
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// Ask is one message that a resolver sends.
type Ask struct {
	Server    netip.Addr
	Transport Transport
	Message   []byte
	Socket    int // messages of a lookup with one number leave from one socket, or over one connection
}

// stepper hands messages to whoever makes the lookup, and gets their answers and how long that took. Without messages it waits.
type stepper func(asks []Ask, wait time.Duration) (answers [][]byte, took time.Duration)

// Steps is a lookup in which answers take time: whoever makes it sends what Next tells, and gives back what came with Answer.
// It is a coroutine, not a goroutine: between two calls nothing runs.
//
// It is the Lookup of a Resolver in every other way, but that queries that a resolver sends at once are sent at once: A and AAAA
// of glibc and musl from one socket, those of Go from two, and in glibc one after the other with single-request or after a server
// that answered one of two.
type Steps struct {
	next    func() (step, bool)
	stop    func()
	answers [][]byte
	took    time.Duration

	queries []Query
	records []dns.RR
	err     error
}

type step struct {
	asks []Ask
	wait time.Duration
}

// errAbandoned ends a lookup that nobody goes on with.
var errAbandoned = errors.New("the lookup was given up")

// Start begins a lookup in steps. The Resolver's Exchange is not used.
func (r *Resolver) Start(name string) *Steps {
	s := &Steps{}
	s.next, s.stop = iter.Pull(func(yield func(step) bool) {
		own := *r
		gone := false
		own.step = func(asks []Ask, wait time.Duration) ([][]byte, time.Duration) {
			s.answers, s.took = nil, 0
			if gone = gone || !yield(step{asks, wait}); gone {
				return nil, wait
			}
			return s.answers, s.took
		}
		if s.queries, s.records, s.err = own.Lookup(name); gone {
			s.err = errAbandoned
		}
	})
	return s
}

// Next tells what is to be sent now, all of it at once, and how long the resolver waits for the answers; nothing to send is a wait
// alone. more is false when the lookup is over.
func (s *Steps) Next() (asks []Ask, wait time.Duration, more bool) {
	x, more := s.next()
	return x.asks, x.wait, more
}

// Answer gives what came back for each message that Next told, nil for nothing, and how long it took until the last of them came
// or the wait was over. It comes before the following Next.
func (s *Steps) Answer(answers [][]byte, took time.Duration) { s.answers, s.took = answers, took }

// Stop gives a lookup up.
func (s *Steps) Stop() { s.stop() }

// Queries tells what was asked and answered, in order.
func (s *Steps) Queries() []QueryReport {
	out := []QueryReport{}
	for _, q := range s.queries {
		out = append(out, reportOf(q))
	}
	return out
}

// Addresses are what the name was found to be, in the order of the answers, and the error of a lookup that found none: ErrNotFound,
// ErrNoData, ErrTryAgain or ErrBadName.
func (s *Steps) Addresses() ([]netip.Addr, error) {
	var out []netip.Addr
	for _, r := range s.records {
		var a netip.Addr
		switch r := r.(type) {
		case *dns.A:
			a, _ = netip.AddrFromSlice(r.A.To4())
		case *dns.AAAA:
			a, _ = netip.AddrFromSlice(r.AAAA.To16())
		}
		if a.IsValid() && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out, s.err
}

// stepped sends messages by steps. Each libc has its own way with sockets: Go opens one for each query, glibc with
// single-request-reopen another one for the second, the others send a name's queries from one.
func (l *run) stepped(via Transport, lot []question, asks []*dns.Msg) []*dns.Msg {
	var out []Ask
	for i, m := range asks {
		b, err := m.Pack()
		if err != nil { // of a name that Lookup has found to be one it cannot fail
			panic("dns: a query does not pack: " + err.Error())
		}
		if i > 0 && l.Libc == Go || i == 0 && l.Libc == Glibc && l.Conf.has("single-request-reopen") {
			l.socket++
		}
		out = append(out, Ask{lot[i].server, via, b, l.socket})
	}
	if l.Libc == Go {
		l.socket++
	}
	answers, took := l.step(out, l.wait())
	l.at += took
	got := make([]*dns.Msg, len(asks))
	for i := range min(len(answers), len(got)) {
		m := new(dns.Msg)
		if m.Unpack(answers[i]) == nil && m.Response && m.Id == asks[i].Id {
			got[i] = m
		}
	}
	return got
}

// stepFor waits by a step.
func (l *run) stepFor(d time.Duration) {
	_, took := l.step(nil, d)
	l.at += took
}
