package netstack

import (
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/replay"
)

// Open is what a client asks of its socket.
type Open struct {
	Flow  int64 // orders its packets among those of one instant: the engine's number of the flow
	Proto packet.Protocol
	// Src is the client's address: an invalid one is what routing picks, port 0 an ephemeral one.
	Src, Dst netip.AddrPort
	// Timeout is when done is told replay.TimedOut; 0: when TCP gives up by itself, after 5 s for UDP.
	Timeout time.Duration
	// Patience is how long an exchange may take before its done is told; 0: until TCP gives up, 5 s for UDP.
	Patience time.Duration
	// Request and Reply are bytes of payload of the datagram that opens a UDP flow and of its answer; 0: 16.
	Request, Reply int
	// NoReply says that nobody answers datagrams: the socket is open when no ICMP error came for NoReplyWait.
	NoReply bool
}

// NoReplyWait is how long the sender of datagrams that nobody answers waits for word that they were refused.
const NoReplyWait = 100 * time.Millisecond

const (
	udpPatience  = 5 * time.Second
	datagramSize = 16
)

// Open opens a connection by a real handshake, or a datagram flow by a datagram and its answer. Done is told once how it went,
// as the socket is told: answered, with the connection; refused, unreachable or timed out, without. An error means that
// nothing was sent and done will not be called: UnsupportedError, AddressError, SocketError.
func (h *Host) Open(o Open, done func(now time.Duration, r replay.Result, c *Conn)) error {
	proto, err := transportOf(o.Proto)
	if err != nil {
		return err
	}
	if err := h.chooseSource(&o); err != nil {
		return err
	}
	c := &Conn{host: h, o: o, opened: done, fl: &flow{number: o.Flow}}
	c.fl.told = c.unreachable
	tries := 1
	if o.Src.Port() == 0 {
		tries = ephemerals
	}
	for ; ; tries-- {
		src := o.Src
		if src.Port() == 0 {
			src = netip.AddrPortFrom(src.Addr(), h.nextPort())
		}
		op, terr := c.connect(proto, src)
		if terr == nil {
			c.o.Src = src
			break
		}
		_, taken := terr.(*tcpip.ErrPortInUse)
		if !taken || tries == 1 {
			c.state = over // whatever the socket has still to report
			return socketError(op, o.Proto, src, terr)
		}
	}
	c.wait(o.Timeout)
	if o.Proto == packet.UDP {
		c.firstDatagram()
	}
	return nil
}

func (h *Host) chooseSource(o *Open) error {
	dst := o.Dst.Addr()
	if !dst.IsValid() || o.Dst.Port() == 0 {
		return &AddressError{Op: "open", Address: o.Dst.String(), Reason: "not an address and port to connect to"}
	}
	src := o.Src.Addr()
	if src.IsValid() {
		if src.Is4() != dst.Is4() {
			return &AddressError{Op: "open", Address: src.String(), Reason: "not of the family of " + dst.String()}
		}
		return nil
	}
	if h.own && (dst.IsLoopback() || h.node.dp != nil && h.node.dp.Routes.IsLocal(dst)) {
		o.Src = netip.AddrPortFrom(dst, o.Src.Port()) // a local destination is its own source (net/ipv4/route.c)
		return nil
	}
	for _, a := range h.addrs {
		if a.Is4() == dst.Is4() {
			o.Src = netip.AddrPortFrom(a, o.Src.Port())
			return nil
		}
	}
	return &AddressError{Op: "open", Address: dst.String(), Reason: "the host has no address of its family"}
}

// connect makes the endpoint, bound to src, and starts the handshake.
func (c *Conn) connect(proto tcpip.TransportProtocolNumber, src netip.AddrPort) (op string, err tcpip.Error) {
	f := c.host.f
	ep, err := c.host.stack.NewEndpoint(proto, networkOf(c.o.Dst.Addr()), &c.queue)
	if err != nil {
		return "socket", err
	}
	ep.SocketOptions().SetReuseAddress(true)
	if err := ep.Bind(toFull(src)); err != nil {
		ep.Close()
		return "bind", err
	}
	key := keyOf(c.o.Proto, src, c.o.Dst)
	f.flows.add(c.fl, key)
	c.s.watch(f, c.o.Flow, ep, &c.queue, c)
	err = ep.Connect(toFull(c.o.Dst))
	if _, started := err.(*tcpip.ErrConnectStarted); started {
		err = nil
	}
	if err != nil {
		c.s.ignore()
		ep.Close()
		return "connect", err
	}
	return "", nil
}

// firstDatagram opens a UDP flow.
func (c *Conn) firstDatagram() {
	size, reply := c.o.Request, c.o.Reply
	if size == 0 {
		size = datagramSize
	}
	if reply == 0 {
		reply = datagramSize
	}
	c.fl.asked = append(c.fl.asked[:0], sizes{size, reply})
	c.sendDatagram(size)
	if c.o.NoReply {
		c.wait(NoReplyWait)
	}
}

func (c *Conn) checkOpening() {
	if c.o.Proto == packet.UDP {
		if err := c.s.ep.LastError(); err != nil {
			c.fail(resultOf(err))
			return
		}
		if !c.o.NoReply && c.host.f.discard(c.s.ep) > 0 {
			c.establish()
		}
		return
	}
	switch st := tcp.EndpointState(c.s.ep.State()); st {
	case tcp.StateInitial, tcp.StateBound, tcp.StateConnecting, tcp.StateSynSent, tcp.StateSynRecv:
	case tcp.StateError, tcp.StateClose:
		c.fail(resultOf(c.s.ep.LastError()))
	default:
		c.establish()
	}
}

// resultOf is what a socket error means for an opening.
func resultOf(err tcpip.Error) replay.Result {
	switch err.(type) {
	case *tcpip.ErrConnectionRefused, *tcpip.ErrConnectionReset:
		return replay.Refused
	case nil, *tcpip.ErrTimeout, *tcpip.ErrAborted:
		return replay.TimedOut
	}
	return replay.Unreachable
}

func (c *Conn) establish() {
	c.state = idle
	c.stopWaiting()
	done := c.opened
	c.opened = nil
	done(c.host.f.now, replay.Answered, c)
}

func (c *Conn) fail(r replay.Result) {
	done := c.opened
	c.opened = nil
	c.Close()
	done(c.host.f.now, r, nil)
}
