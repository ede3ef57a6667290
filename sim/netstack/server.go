package netstack

import (
	"net/netip"
	"slices"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/svclab/svclab/datapath/packet"
)

// Server is an application that answers requests: some workers, a queue before them, and a time that each request takes. One
// Server may listen at several addresses and on several hosts, which then share its workers.
type Server struct {
	Workers int     // requests served at a time; 0: any number
	Queue   int     // requests that wait for a worker at most; 0: any number
	Full    Full    // what happens to a request that finds the queue full
	Service Service // how long a worker takes for a request

	// Request and Reply are the bytes of a request and its reply where the client does not say: live clients, and raw packets.
	// Request 0 takes whatever comes in one read for a request; Reply 0 answers as much as was asked.
	Request, Reply int
	Silent         bool // takes requests and answers none
	Backlog        int  // connections that wait to be accepted; 0: 4096 (net.core.somaxconn)
	Connections    int  // open at a time; later ones are reset; 0: any number

	// Served is called when a reply has been handed to the stack.
	Served func(now time.Duration, client netip.AddrPort, waited, took time.Duration)

	open []*session
	crew crew
}

// somaxconn is Linux's bound on connections that wait to be accepted (net.core.somaxconn).
const somaxconn = 4096

// Full is what a server does with a request that it has no room for.
type Full uint8

// The ways to turn a request away. The zero value is DropRequest.
const (
	DropRequest  Full = iota // no answer comes
	ResetRequest             // TCP: the connection is reset; UDP: no answer comes
)

// request is one that waits for a worker.
type request struct {
	from  *session
	to    netip.AddrPort // where the reply goes
	reply int
	since time.Duration
	flow  int64
	fl    *flow
}

// ResetAll resets every connection that is open, as a kernel does for a process that is killed.
func (s *Server) ResetAll() {
	all := slices.Clone(s.open)
	slices.SortFunc(all, func(a, b *session) int { return (&a.s).compare(&b.s) })
	for _, c := range all {
		c.reset()
	}
}

// take serves a request now, lets it wait, or turns it away.
func (s *Server) take(r request) {
	f := r.from.host.f
	r.from.owed++
	if s.Service.Mean <= 0 {
		s.reply(r, 0)
		return
	}
	j := job{flow: r.flow, ordinal: f.ordinal(r.fl), done: func(took time.Duration) { s.reply(r, took) }}
	if s.crew.take(f, s.Workers, s.Queue, s.Service, j) {
		return
	}
	r.from.owed--
	if s.Full == ResetRequest && r.from.proto == packet.TCP {
		f.stats.RequestsRefused++
		r.from.reset()
		return
	}
	f.stats.RequestsDropped++
}

func (s *Server) reply(r request, took time.Duration) {
	c, f := r.from, r.from.host.f
	c.owed--
	if c.proto == packet.UDP {
		if !s.Silent {
			to := toFull(r.to)
			_, _ = c.s.ep.Write(f.payload(min(r.reply, len(filler))), tcpip.WriteOptions{To: &to})
		}
	} else if !c.closed {
		if !s.Silent {
			c.send += r.reply
		}
		c.write()
	}
	if s.Served != nil {
		s.Served(f.now, r.to, f.now-r.since-took, took)
	}
}
