package record

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/packet"
)

const (
	defaultPort = 80          // that clients of mark services connect to
	dataWait    = time.Second // how long the recorder waited for data
	synRetry    = time.Second // first retransmission of a SYN
	patience    = 3 * time.Second
)

// socket reads the fields that conn and udp begin with, and the backend that the kernel chose.
func (p *player) socket(a *args) (id int, c *connection, expected netip.AddrPort) {
	id = a.integer("id")
	src := netip.AddrPortFrom(a.addr("client"), a.port("client's port"))
	dst := a.addr("destination")
	expected = a.backend()
	c = &connection{client: src}
	if p.service.Key.Mark != 0 {
		c.mark = p.service.Key.Mark
		c.virtual = netip.AddrPortFrom(dst, p.portAsked(expected))
	} else {
		c.virtual = netip.AddrPortFrom(dst, p.service.Key.Addr.Port())
		if c.virtual.Port() == 0 && expected.IsValid() {
			c.virtual = netip.AddrPortFrom(dst, expected.Port())
		}
	}
	return id, c, expected
}

// portAsked is the port that a client of a mark service connected to. The recording shows it only in the backend's port,
// where the server's own port does not replace it.
func (p *player) portAsked(backend netip.AddrPort) uint16 {
	if !backend.IsValid() {
		return defaultPort
	}
	if p.service.Persistence != 0 {
		return backend.Port()
	}
	for _, d := range p.table.Service(p.service.Key).Destinations() {
		if d.Addr == backend {
			return defaultPort
		}
	}
	return backend.Port()
}

// conn is a TCP handshake.
func (p *player) conn(a *args) {
	id, c, expected := p.socket(a)
	failure := ""
	if !expected.IsValid() && a.more() {
		failure = a.str("error")
	}
	if a.end(); a.err != nil {
		return
	}
	p.open[id], p.last = c, c
	start := p.now
	got, why := p.connect(c, expected)
	p.took = p.now - start
	if p.forward == ipvs.DirectRoute && got.IsValid() {
		got = c.virtual // the recorder saw the socket of the one host that is all servers
	}
	if got != expected {
		p.differ(backendText(expected)+spaced(failure), backendText(got)+spaced(why))
	} else if failure != "" && why != failure {
		p.differ("null "+failure, "null "+why)
	}
	p.random.verdict()
}

func spaced(s string) string {
	if s == "" {
		return ""
	}
	return " " + s
}

// connect shakes hands; a SYN that gets no answer is sent again until the client gives up.
func (p *player) connect(c *connection, expected netip.AddrPort) (server netip.AddrPort, failure string) {
	p.random.expect(expected)
	wait := synRetry
	for deadline := p.now + patience; ; wait *= 2 {
		s, v := p.request(c, packet.TCP, packet.SYN)
		switch {
		case v == datapath.Rejected || v == datapath.Delivered:
			return netip.AddrPort{}, "ECONNREFUSED"
		case v == datapath.Forwarded && answers(s.Addr()):
			c.server = s
			p.reply(c, packet.SYN|packet.ACK)
			p.request(c, packet.TCP, packet.ACK)
			return s, ""
		case v == datapath.Forwarded:
			c.server = s
			return netip.AddrPort{}, "TIMEOUT" // the recorder's clients gave up before the first retransmission
		}
		if p.now+wait > deadline {
			return netip.AddrPort{}, "TIMEOUT"
		}
		p.pass(wait)
	}
}

// answers reports whether a server is there: the recorded ones are the first eight of their net.
func answers(a netip.Addr) bool {
	if !answeringNet.Contains(a) {
		return false
	}
	b := a.As4()
	return b[3] >= 1 && b[3] <= 8
}

// udp is one datagram.
func (p *player) udp(a *args) {
	id, c, expected := p.socket(a)
	if a.more() {
		a.str("error")
	}
	if a.end(); a.err != nil {
		return
	}
	p.open[id], p.last = c, c
	p.random.expect(expected)
	got, v := p.request(c, packet.UDP, 0)
	c.server = got
	if got != expected {
		p.differ(backendText(expected), backendText(got)+spaced(v.String()))
	}
	p.random.verdict()
}

func (p *player) connection(a *args) *connection {
	id := a.integer("id")
	c := p.open[id]
	if a.err == nil && c == nil {
		a.err = fmt.Errorf("%w: connection %d was never opened", ErrBadEvent, id)
	}
	return c
}

// close ends a connection, or one half of it.
func (p *player) close(a *args) {
	c := p.connection(a)
	how := a.str("how")
	if a.end(); a.err != nil {
		return
	}
	client := func(f packet.TCPFlags) { p.request(c, packet.TCP, f) }
	server := func(f packet.TCPFlags) { p.reply(c, f) }
	const fin = packet.FIN | packet.ACK
	if !c.server.IsValid() {
		server = func(packet.TCPFlags) {}
	}
	switch how {
	case "client", "client_half":
		client(fin)
		server(packet.ACK)
		if how == "client" {
			server(fin)
			client(packet.ACK)
		}
	case "server", "server_half":
		server(fin)
		client(packet.ACK)
		if how == "server" {
			client(fin)
			server(packet.ACK)
		}
	case "client_rst":
		client(packet.RST | packet.ACK)
	case "server_rst":
		server(packet.RST | packet.ACK)
	default:
		a.err = fmt.Errorf("%w: close %q", ErrBadEvent, how)
	}
}

// data is a client's bytes, which either get to the server or nowhere.
func (p *player) data(a *args) {
	c := p.connection(a)
	expected := a.optional("bytes")
	if a.end(); a.err != nil {
		return
	}
	got, v := p.request(c, packet.TCP, packet.PSH|packet.ACK)
	arrived := v == datapath.Forwarded && got == c.server && answers(got.Addr())
	if arrived {
		p.reply(c, packet.ACK)
	} else {
		p.pass(dataWait)
	}
	switch {
	case arrived && expected == nil:
		p.differ("null", "arrived at "+got.String())
	case !arrived && expected != nil:
		p.differ(*expected, "null "+v.String())
	}
}

// peer is the address that the server saw.
func (p *player) peer(a *args) {
	c := p.connection(a)
	expected := a.addrPort("peer")
	if a.end(); a.err != nil {
		return
	}
	if c.peer != expected {
		p.differ(expected.String(), backendText(c.peer))
	}
}

// time is either how long the conn before it took, or the time since the recording began.
func (p *player) time(a *args) {
	s := a.number("seconds")
	if a.end(); a.err != nil {
		return
	}
	if !(s >= 0 && s <= 1e6) {
		a.err = fmt.Errorf("%w: seconds %v", ErrBadEvent, s)
		return
	}
	at := time.Duration(s * float64(time.Second))
	if p.afterConn() {
		if d := at - p.took; d < -time.Second/2 || d > time.Second/2 {
			p.differ(at.String(), p.took.String())
		}
		return
	}
	if at > p.now {
		p.pass(at - p.now)
	}
}

func (p *player) afterConn() bool {
	if p.index == 0 {
		return false
	}
	kind, _, err := decodeEvent(p.trace.Events[p.index-1])
	return err == nil && kind == "conn"
}
