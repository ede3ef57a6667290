package netstack

import (
	"net/netip"
	"slices"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"

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

	busy    int
	open    []*session
	waiting []request
	drawn   uint64
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
	to    netip.AddrPort // UDP: where the reply goes
	reply int
	since time.Duration
	flow  int64
}

// listener is a server's socket at one address.
type listener struct {
	s      socket
	host   *Host
	server *Server
	proto  packet.Protocol
	at     netip.AddrPort
	queue  waiter.Queue
	open   []*session
	udp    *session
}

// session is one accepted connection, or all that comes by a datagram socket.
type session struct {
	s        socket
	host     *Host
	server   *Server
	proto    packet.Protocol
	remote   netip.AddrPort
	fl       *flow
	got      int // bytes of the request that is coming in
	send     int // bytes of replies still to be written
	owed     int // requests taken and not yet answered
	place    int // among those its server has open
	finished bool
	closed   bool
}

type listenKey struct {
	proto packet.Protocol
	at    netip.AddrPort
}

// Listen starts a server at an address of the host; an invalid or unspecified address means all of them.
func (h *Host) Listen(proto packet.Protocol, at netip.AddrPort, s *Server) error {
	number, err := transportOf(proto)
	if err != nil {
		return err
	}
	if at.Port() == 0 {
		return &AddressError{Op: "listen", Address: at.String(), Reason: "no port"}
	}
	l := &listener{host: h, server: s, proto: proto, at: at}
	network := networkOf(at.Addr())
	if !at.Addr().IsValid() {
		network = networkOf(netip.IPv6Unspecified()) // both families by one socket
	}
	ep, terr := h.stack.NewEndpoint(number, network, &l.queue)
	if terr != nil {
		return socketError("socket", proto, at, terr)
	}
	ep.SocketOptions().SetReuseAddress(true)
	if terr := ep.Bind(toFull(at)); terr != nil {
		ep.Close()
		return socketError("bind", proto, at, terr)
	}
	backlog := s.Backlog
	if backlog == 0 {
		backlog = somaxconn
	}
	if proto == packet.TCP {
		if terr := ep.Listen(backlog); terr != nil {
			ep.Close()
			return socketError("listen", proto, at, terr)
		}
	} else {
		l.udp = &session{host: h, server: s, proto: proto}
		l.udp.s.ep, l.udp.s.f = ep, h.f
	}
	if h.listeners == nil {
		h.listeners = map[listenKey]*listener{}
	}
	h.listeners[listenKey{proto, at}] = l
	l.s.watch(h.f, -1, ep, &l.queue, l)
	return nil
}

// Unlisten closes what Listen opened at an address; connections that were accepted stay open. It reports whether there was one.
func (h *Host) Unlisten(proto packet.Protocol, at netip.AddrPort) bool {
	k := listenKey{proto, at}
	l := h.listeners[k]
	if l == nil {
		return false
	}
	delete(h.listeners, k)
	l.s.ignore()
	l.s.ep.Close()
	return true
}

// ready accepts what waits, by flow: the order in which a stack's goroutines finished handshakes means nothing.
func (l *listener) ready() {
	if l.udp != nil {
		l.udp.datagrams()
		return
	}
	f := l.host.f
	l.open = l.open[:0]
	for {
		var from tcpip.FullAddress
		ep, q, err := l.s.ep.Accept(&from)
		if err != nil {
			break
		}
		c := &session{host: l.host, server: l.server, proto: packet.TCP, remote: fromFull(from)}
		local := l.at
		if a, err := ep.GetLocalAddress(); err == nil {
			local = fromFull(a)
		}
		key := keyOf(packet.TCP, local, c.remote)
		c.fl = f.flows.by[key]
		c.s.ep, c.s.queue, c.s.flow = ep, q, int64(unnumbered|key>>2)
		if c.fl != nil {
			c.s.flow = c.fl.number
		}
		l.open = append(l.open, c)
	}
	slices.SortFunc(l.open, func(a, b *session) int { return (&a.s).compare(&b.s) })
	for i, c := range l.open {
		l.open[i] = nil
		f.stats.ConnectionsAccepted++
		c.s.watch(f, c.s.flow, c.s.ep, c.s.queue, c)
		c.place = len(l.server.open)
		l.server.open = append(l.server.open, c)
		if m := l.server.Connections; m > 0 && len(l.server.open) > m {
			f.stats.ConnectionsRefused++
			c.reset()
			continue
		}
		c.ready()
	}
}

// ready reads requests and writes replies.
func (c *session) ready() {
	if c.closed {
		return
	}
	c.write()
	n, err := c.host.f.drain(c.s.ep)
	c.got += n
	for c.takeRequest() {
	}
	if c.closed {
		return
	}
	if err != nil {
		if _, fin := err.(*tcpip.ErrClosedForReceive); !fin {
			c.close()
			return
		}
		c.finished = true
		c.maybeClose()
	}
}

// takeRequest takes one request out of the bytes that came, if it is whole.
func (c *session) takeRequest() bool {
	size, reply := c.server.Request, c.server.Reply
	if c.fl != nil && len(c.fl.asked) > 0 {
		size, reply = c.fl.asked[0].request, c.fl.asked[0].reply
	} else if size == 0 {
		size = c.got
		if reply == 0 {
			reply = size
		}
	}
	if c.closed || c.got == 0 || c.got < size {
		return false
	}
	c.got -= size
	if c.fl != nil && len(c.fl.asked) > 0 {
		c.fl.asked = slices.Delete(c.fl.asked, 0, 1)
	}
	c.server.take(request{from: c, reply: reply, since: c.host.f.now, flow: c.s.flow})
	return true
}

func (c *session) write() {
	for c.send > 0 && !c.closed {
		n, err := c.s.ep.Write(c.host.f.payload(min(c.send, len(filler))), tcpip.WriteOptions{})
		c.send -= int(n)
		if _, full := err.(*tcpip.ErrWouldBlock); full {
			return
		}
		if err != nil {
			c.close()
			return
		}
	}
	c.maybeClose()
}

func (c *session) maybeClose() {
	if c.finished && c.owed == 0 && c.send == 0 {
		c.close()
	}
}

func (c *session) close() {
	if c.closed || c.proto == packet.UDP {
		return
	}
	c.closed = true
	s := c.server
	last := len(s.open) - 1
	s.open[c.place] = s.open[last]
	s.open[c.place].place = c.place
	s.open[last] = nil
	s.open = s.open[:last]
	c.s.ignore()
	c.s.ep.Close()
}

func (c *session) reset() {
	if c.closed || c.proto == packet.UDP {
		return
	}
	c.s.ep.SocketOptions().SetLinger(tcpip.LingerOption{Enabled: true})
	c.close()
}

// datagrams takes each datagram for a request.
func (c *session) datagrams() {
	f := c.host.f
	for {
		r, err := c.s.ep.Read(&f.read, tcpip.ReadOptions{NeedRemoteAddr: true})
		if err != nil {
			if _, empty := err.(*tcpip.ErrWouldBlock); empty {
				return
			}
			if c.s.ep.LastError() == nil {
				return
			}
			continue
		}
		from := fromFull(r.RemoteAddr)
		reply := c.server.Reply
		if reply == 0 {
			reply = r.Count
		}
		key := keyOf(packet.UDP, c.localFor(), from)
		fl := f.flows.by[key]
		flow := int64(unnumbered | key>>2)
		if fl != nil {
			flow = fl.number
			if len(fl.asked) > 0 {
				reply = fl.asked[0].reply
			}
		}
		c.server.take(request{from: c, to: from, reply: reply, since: f.now, flow: flow})
	}
}

func (c *session) localFor() netip.AddrPort {
	a, _ := c.s.ep.GetLocalAddress()
	return fromFull(a)
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
	if s.Workers > 0 && s.busy >= s.Workers {
		if s.Queue > 0 && len(s.waiting) >= s.Queue {
			s.refuse(r)
			return
		}
		r.from.owed++
		s.waiting = append(s.waiting, r)
		return
	}
	r.from.owed++
	s.serve(f, r)
}

func (s *Server) refuse(r request) {
	f := r.from.host.f
	if s.Full == ResetRequest && r.from.proto == packet.TCP {
		f.stats.RequestsRefused++
		r.from.reset()
		return
	}
	f.stats.RequestsDropped++
}

func (s *Server) serve(f *Fabric, r request) {
	took := s.Service.draw(f, s, r.flow)
	if took == 0 {
		s.reply(r, 0)
		return
	}
	s.busy++
	t := &timer{clock: &f.clock}
	t.do = func() {
		s.busy--
		s.reply(r, took)
		if len(s.waiting) > 0 {
			next := s.waiting[0]
			s.waiting = slices.Delete(s.waiting, 0, 1)
			s.serve(f, next)
		}
	}
	t.Reset(took)
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
