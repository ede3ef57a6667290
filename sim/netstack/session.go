package netstack

import (
	"net/netip"
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/svclab/svclab/datapath/packet"
)

// session is one accepted connection, or all that comes by a datagram socket.
type session struct {
	s        socket
	host     *Host
	server   *Server
	proto    packet.Protocol
	remote   netip.AddrPort // of a datagram socket: its own address
	fl       *flow
	got      int // bytes of the request that is coming in
	send     int // bytes of replies still to be written
	owed     int // requests taken and not yet answered
	place    int // among those its server has open
	finished bool
	closed   bool
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
	c.server.take(request{from: c, to: c.remote, reply: reply, since: c.host.f.now, flow: c.s.flow, fl: c.fl})
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
		key := keyOf(packet.UDP, arrivedAt(&r, c.remote), from)
		fl, flow := f.flows.by[key], f.numberOf(key)
		if fl != nil && len(fl.asked) > 0 {
			reply = fl.asked[0].reply
		}
		c.server.take(request{from: c, to: from, reply: reply, since: f.now, flow: flow, fl: fl})
	}
}

// arrivedAt is the address a datagram was sent to, for sockets that listen at all of them.
func arrivedAt(r *tcpip.ReadResult, at netip.AddrPort) netip.AddrPort {
	if r.ControlMessages.HasOriginalDstAddress {
		return fromFull(r.ControlMessages.OriginalDstAddress)
	}
	return at
}
