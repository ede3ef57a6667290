package netstack

import (
	"net/netip"
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/svclab/svclab/datapath/packet"
)

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
		l.udp = &session{host: h, server: s, proto: proto, remote: at}
		l.udp.s.ep, l.udp.s.f = ep, h.f
		ep.SocketOptions().SetReceiveOriginalDstAddress(true)
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
		c.s.ep, c.s.queue, c.s.flow = ep, q, f.numberOf(key)
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
