package netstack

import (
	"bytes"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

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

// Conn is a connection, or a connected datagram socket, of a client.
type Conn struct {
	s       socket
	host    *Host
	fl      *flow
	o       Open
	state   connState
	opened  func(time.Duration, replay.Result, *Conn)
	ended   func(time.Duration, string)
	now     exchange
	next    []exchange
	queue   waiter.Queue
	timeout timer
}

// exchange is one request and its reply, in bytes that are still to be written and read.
type exchange struct {
	send, want int
	done       func(time.Duration, string)
}

type connState uint8

const (
	opening connState = iota
	idle
	busy
	over
)

// Local is the client's own address.
func (c *Conn) Local() netip.AddrPort { return c.o.Src }

// Remote is the address it asked for.
func (c *Conn) Remote() netip.AddrPort { return c.o.Dst }

// Flow is the number it was opened with.
func (c *Conn) Flow() int64 { return c.o.Flow }

// Endpoint is where the nodes sent the flow's first packet, and the source it had there; invalid before it passed a node.
func (c *Conn) Endpoint() (endpoint, seen netip.AddrPort) { return c.fl.endpoint, c.fl.seen }

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

// wait starts the clock of an opening or an exchange; 0 takes that of the protocol, and stops it if there is none.
func (c *Conn) wait(d time.Duration) {
	if d == 0 && c.o.Proto == packet.UDP {
		d = udpPatience
	}
	f := c.host.f
	if d == 0 {
		if c.timeout.clock != nil {
			c.timeout.Stop()
		}
		return
	}
	if c.timeout.clock == nil {
		c.timeout.clock, c.timeout.do = &f.clock, c.expire
	}
	c.timeout.Reset(d)
}

func (c *Conn) expire() {
	switch c.state {
	case opening:
		if c.o.NoReply {
			c.establish()
			return
		}
		c.fail(replay.TimedOut)
	case busy:
		c.finish("no answer in time")
	}
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

func (c *Conn) sendDatagram(size int) {
	r := c.host.f.payload(min(size, len(filler)))
	if _, err := c.s.ep.Write(r, tcpip.WriteOptions{}); err != nil {
		c.broken(err)
	}
}

// ready looks what happened to the socket.
func (c *Conn) ready() {
	switch c.state {
	case opening:
		c.checkOpening()
	case busy:
		c.proceed()
	case idle:
		if why := c.death(); why != "" {
			c.end(why)
		}
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

func (c *Conn) stopWaiting() {
	if c.timeout.clock != nil {
		c.timeout.Stop()
	}
}

// OnEnd sets who is told when the other side or the network ends the connection while no exchange is going on.
func (c *Conn) OnEnd(ended func(now time.Duration, why string)) { c.ended = ended }

// Exchange sends a request of some bytes and waits for a reply of some bytes; done is told "" or why it failed. Exchanges on
// one connection follow each other. A datagram is a request by itself, and its reply whatever datagram comes next.
func (c *Conn) Exchange(requestBytes, replyBytes int, done func(now time.Duration, why string)) {
	x := exchange{send: requestBytes, want: replyBytes, done: done}
	switch c.state {
	case idle:
		c.begin(x)
	case busy:
		c.next = append(c.next, x)
	default:
		done(c.host.f.now, "the connection is not open")
	}
}

func (c *Conn) begin(x exchange) {
	c.state, c.now = busy, x
	if c.o.Proto == packet.UDP {
		c.fl.asked = append(c.fl.asked[:0], sizes{x.send, x.want})
		c.now.send = 0
		c.wait(c.o.Patience)
		c.sendDatagram(x.send)
		if c.state == busy && (c.o.NoReply || x.want == 0) {
			c.finish("")
		}
		return
	}
	c.fl.asked = append(c.fl.asked, sizes{x.send, x.want})
	c.wait(c.o.Patience)
	c.proceed()
}

// proceed writes and reads what it can of an exchange.
func (c *Conn) proceed() {
	f := c.host.f
	if c.o.Proto == packet.UDP {
		if err := c.s.ep.LastError(); err != nil {
			c.broken(err)
			return
		}
		if f.discard(c.s.ep) > 0 {
			c.finish("")
		}
		return
	}
	for c.now.send > 0 {
		n, err := c.s.ep.Write(f.payload(min(c.now.send, len(filler))), tcpip.WriteOptions{})
		c.now.send -= int(n)
		if _, full := err.(*tcpip.ErrWouldBlock); full {
			break
		}
		if err != nil {
			c.broken(err)
			return
		}
	}
	n, err := f.drain(c.s.ep)
	c.now.want -= n
	if c.now.send == 0 && c.now.want <= 0 {
		c.finish("")
		return
	}
	if err != nil {
		c.broken(err)
	}
}

// death says whether an idle connection is over, and how.
func (c *Conn) death() string {
	if c.o.Proto == packet.UDP {
		return ""
	}
	switch tcp.EndpointState(c.s.ep.State()) {
	case tcp.StateError, tcp.StateClose:
		return reasonOf(c.s.ep.LastError())
	case tcp.StateCloseWait, tcp.StateLastAck:
		return reasonOf(&tcpip.ErrClosedForReceive{})
	}
	return ""
}

func reasonOf(err tcpip.Error) string {
	switch err.(type) {
	case nil, *tcpip.ErrClosedForReceive, *tcpip.ErrClosedForSend:
		return "closed by the other side"
	}
	return err.String()
}

// broken ends an exchange, and for TCP the connection.
func (c *Conn) broken(err tcpip.Error) {
	if c.state == opening {
		c.fail(resultOf(err))
		return
	}
	if c.o.Proto == packet.UDP {
		c.finish(reasonOf(err))
		return
	}
	c.end(reasonOf(err))
}

// end closes a connection that is over and tells everyone who waits.
func (c *Conn) end(why string) {
	was, waiting := c.now, c.next
	wasBusy, ended := c.state == busy, c.ended
	c.Close()
	now := c.host.f.now
	if wasBusy {
		was.done(now, why)
	}
	for _, x := range waiting {
		x.done(now, why)
	}
	if !wasBusy && ended != nil {
		ended(now, why)
	}
}

func (c *Conn) finish(why string) {
	c.stopWaiting()
	done := c.now.done
	c.state, c.now = idle, exchange{}
	done(c.host.f.now, why)
	if c.state == idle && len(c.next) > 0 {
		x := c.next[0]
		c.next = c.next[1:]
		c.begin(x)
	}
}

// Close closes the connection by FIN; what was written is still delivered. Exchanges under way are forgotten.
func (c *Conn) Close() {
	if c.state == over {
		return
	}
	c.state, c.now, c.next, c.ended, c.fl.told = over, exchange{}, nil, nil, nil
	c.stopWaiting()
	c.s.ignore()
	c.s.ep.Close()
	c.host.f.flows.retire(c.fl)
}

// Reset ends a TCP connection by RST.
func (c *Conn) Reset() {
	if c.state == over {
		return
	}
	c.s.ep.SocketOptions().SetLinger(tcpip.LingerOption{Enabled: true})
	c.Close()
}

// filler is what requests and replies are made of.
var filler = bytes.Repeat([]byte("svclab 0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRS"), 1024)

// payload is some bytes of filler; one at a time is in use.
func (f *Fabric) payload(n int) *bytes.Reader {
	f.reader.Reset(filler[:n])
	return &f.reader
}

// counter is a writer that keeps nothing.
type counter int

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// discard reads and counts datagrams.
func (f *Fabric) discard(ep tcpip.Endpoint) (datagrams int) {
	for {
		if _, err := ep.Read(&f.read, tcpip.ReadOptions{}); err != nil {
			return datagrams
		}
		datagrams++
	}
}

// drain reads all bytes that are there; the error is nil when there may be more later.
func (f *Fabric) drain(ep tcpip.Endpoint) (n int, _ tcpip.Error) {
	for {
		r, err := ep.Read(&f.read, tcpip.ReadOptions{})
		n += r.Count
		if err != nil {
			if _, empty := err.(*tcpip.ErrWouldBlock); empty {
				err = nil
			}
			return n, err
		}
	}
}
