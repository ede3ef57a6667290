package netstack

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/svclab/svclab/datapath/packet"
)

// MessageServer answers whole messages: a datagram, or over TCP what follows its length in two bytes (RFC 1035, section 4.2.2).
type MessageServer struct {
	// Answer makes the answer to a message; nil is silence.
	Answer  func(proto packet.Protocol, message []byte) []byte
	Service Service // how long each message is worked on
	Workers int     // messages worked on at once; 0: any number
	Queue   int     // messages that wait for a worker at most; 0: any number

	crew crew
}

// maxMessages bounds the messages that one connection may send ahead of their answers; one with more is reset.
const maxMessages = 256

// ListenMessages starts a server of messages at an address of the host.
func (h *Host) ListenMessages(proto packet.Protocol, at netip.AddrPort, s *MessageServer) error {
	number, err := transportOf(proto)
	if err != nil {
		return err
	}
	l := &messageListener{host: h, server: s, proto: proto, at: at}
	network := networkOf(at.Addr())
	if !at.Addr().IsValid() {
		network = networkOf(netip.IPv6Unspecified())
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
	if proto == packet.TCP {
		if terr := ep.Listen(4096); terr != nil {
			ep.Close()
			return socketError("listen", proto, at, terr)
		}
	}
	ep.SocketOptions().SetReceiveOriginalDstAddress(proto == packet.UDP)
	l.s.watch(h.f, -1, ep, &l.queue, l)
	if h.messages == nil {
		h.messages = map[listenKey]*messageListener{}
	}
	h.messages[listenKey{proto, at}] = l
	return nil
}

// UnlistenMessages closes what ListenMessages opened at an address. It reports whether there was one.
func (h *Host) UnlistenMessages(proto packet.Protocol, at netip.AddrPort) bool {
	k := listenKey{proto, at}
	l := h.messages[k]
	if l == nil {
		return false
	}
	delete(h.messages, k)
	l.s.ignore()
	l.s.ep.Close()
	return true
}

type messageListener struct {
	s      socket
	host   *Host
	server *MessageServer
	proto  packet.Protocol
	at     netip.AddrPort
	queue  waiter.Queue
}

// ready takes datagrams, or accepts connections by flow.
func (l *messageListener) ready() {
	f := l.host.f
	if l.proto == packet.UDP {
		for {
			var b bytes.Buffer
			r, err := l.s.ep.Read(&b, tcpip.ReadOptions{NeedRemoteAddr: true})
			if err != nil {
				if _, empty := err.(*tcpip.ErrWouldBlock); empty || l.s.ep.LastError() == nil {
					return
				}
				continue
			}
			to := r.RemoteAddr
			l.server.take(f, keyOf(packet.UDP, arrivedAt(&r, l.at), fromFull(to)), func() {
				if a := l.server.Answer(packet.UDP, b.Bytes()); a != nil {
					_, _ = l.s.ep.Write(bytes.NewReader(a), tcpip.WriteOptions{To: &to})
				}
			})
		}
	}
	var came []*messageSession
	for {
		var from tcpip.FullAddress
		ep, q, err := l.s.ep.Accept(&from)
		if err != nil {
			break
		}
		c := &messageSession{server: l.server}
		c.s.f, c.s.ep, c.s.queue = f, ep, q
		local := l.at
		if a, err := ep.GetLocalAddress(); err == nil {
			local = fromFull(a)
		}
		c.key = keyOf(packet.TCP, local, fromFull(from))
		c.s.flow = f.numberOf(c.key)
		came = append(came, c)
	}
	slices.SortFunc(came, func(a, b *messageSession) int { return (&a.s).compare(&b.s) })
	for _, c := range came {
		f.stats.ConnectionsAccepted++
		c.s.watch(f, c.s.flow, c.s.ep, c.s.queue, c)
		c.ready()
	}
}

// take works on a message now or later, or drops it.
func (s *MessageServer) take(f *Fabric, key uint64, do func()) {
	j := job{flow: f.numberOf(key), ordinal: f.ordinal(f.flows.by[key]), done: func(time.Duration) { do() }}
	if !s.crew.take(f, s.Workers, s.Queue, s.Service, j) {
		f.stats.RequestsDropped++
	}
}

// messageSession is one accepted connection.
type messageSession struct {
	s      socket
	server *MessageServer
	key    uint64 // of the tuple that its answers leave with
	in     bytes.Buffer
	out    []byte
	owed   int
	ended  bool // the client sends nothing more
	closed bool
}

func (c *messageSession) ready() {
	if c.closed {
		return
	}
	for {
		_, err := c.s.ep.Read(&c.in, tcpip.ReadOptions{})
		if err == nil {
			continue
		}
		switch err.(type) {
		case *tcpip.ErrWouldBlock:
		case *tcpip.ErrClosedForReceive:
			c.ended = true
		default:
			c.close()
			return
		}
		break
	}
	for {
		m, ok := frame(&c.in)
		if !ok {
			break
		}
		if c.owed++; c.owed > maxMessages {
			c.s.ep.SocketOptions().SetLinger(tcpip.LingerOption{Enabled: true})
			c.close()
			return
		}
		c.server.take(c.s.f, c.key, func() {
			c.owed--
			if a := c.server.Answer(packet.TCP, m); a != nil && !c.closed {
				c.out = append(c.out, framed(a)...)
			}
			c.write()
		})
	}
	c.write()
}

func (c *messageSession) write() {
	if c.closed {
		return
	}
	for len(c.out) > 0 {
		n, err := c.s.ep.Write(bytes.NewReader(c.out), tcpip.WriteOptions{})
		c.out = c.out[n:]
		if err != nil {
			if _, full := err.(*tcpip.ErrWouldBlock); !full {
				c.close()
			}
			return
		}
	}
	if c.ended && c.owed == 0 {
		c.close()
	}
}

func (c *messageSession) close() {
	if !c.closed {
		c.closed = true
		c.s.ignore()
		c.s.ep.Close()
	}
}

// frame takes one message out of what came, if it is whole.
func frame(b *bytes.Buffer) ([]byte, bool) {
	if b.Len() < 2 {
		return nil, false
	}
	n := int(binary.BigEndian.Uint16(b.Bytes()))
	if b.Len() < 2+n {
		return nil, false
	}
	b.Next(2)
	return bytes.Clone(b.Next(n)), true
}

func framed(m []byte) []byte {
	m = m[:min(len(m), 0xffff)]
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...)
}
