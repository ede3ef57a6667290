package netstack

import (
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/replay"
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

func (c *Conn) stopWaiting() {
	if c.timeout.clock != nil {
		c.timeout.Stop()
	}
}

// OnEnd sets who is told when the other side or the network ends the connection while no exchange is going on.
func (c *Conn) OnEnd(ended func(now time.Duration, why string)) { c.ended = ended }

// Exchange sends a request of some bytes, one at least, and waits for a reply of some bytes; done is told "" or why it failed. Exchanges on
// one connection follow each other. A datagram is a request by itself, and its reply whatever datagram comes next.
func (c *Conn) Exchange(requestBytes, replyBytes int, done func(now time.Duration, why string)) {
	x := exchange{send: max(requestBytes, 1), want: replyBytes, done: done}
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
