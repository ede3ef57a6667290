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

// Messages is a client's socket for messages to one server: a datagram socket that is kept, or a TCP connection.
type Messages struct {
	s      socket
	host   *Host
	proto  packet.Protocol
	src    netip.AddrPort
	dst    netip.AddrPort
	queue  waiter.Queue
	got    func(now time.Duration, message []byte)
	failed func(now time.Duration, r replay.Result)
	in     bytes.Buffer
	out    []byte
	up     bool
	closed bool
}

// OpenMessages opens a socket from an address of the host to a server. got is told each message that comes; failed that the server,
// or a node on the way, said there is nothing: a datagram socket stays open, a TCP connection is over. It may be nil.
func (h *Host) OpenMessages(flow int64, proto packet.Protocol, src, dst netip.AddrPort, got func(now time.Duration, message []byte), failed func(now time.Duration, r replay.Result)) (*Messages, error) {
	number, err := transportOf(proto)
	if err != nil {
		return nil, err
	}
	if !src.IsValid() || !dst.IsValid() || src.Addr().Is4() != dst.Addr().Is4() {
		return nil, &AddressError{Op: "open", Address: src.String(), Reason: "not of the family of " + dst.String()}
	}
	m := &Messages{host: h, proto: proto, src: src, dst: dst, got: got, failed: failed}
	ep, terr := h.stack.NewEndpoint(number, networkOf(dst.Addr()), &m.queue)
	if terr != nil {
		return nil, socketError("socket", proto, src, terr)
	}
	ep.SocketOptions().SetReuseAddress(true)
	if terr := ep.Bind(toFull(src)); terr != nil {
		ep.Close()
		return nil, socketError("bind", proto, src, terr)
	}
	m.number(flow)
	m.s.watch(h.f, flow, ep, &m.queue, m)
	terr = ep.Connect(toFull(dst))
	if _, started := terr.(*tcpip.ErrConnectStarted); terr != nil && !started {
		m.s.ignore()
		ep.Close()
		return nil, socketError("connect", proto, src, terr)
	}
	m.up = proto == packet.UDP
	return m, nil
}

// number makes the socket's packets from now on those of a flow.
func (m *Messages) number(n int64) {
	m.s.flow = n
	fl := &flow{number: n, told: m.heard}
	m.host.f.flows.add(fl, keyOf(m.proto, m.src, m.dst))
	m.host.f.flows.retire(fl)
}

// Send sends a message as part of a flow.
func (m *Messages) Send(flow int64, message []byte) {
	if m.closed {
		return
	}
	if m.proto == packet.UDP {
		m.number(flow)
		if _, err := m.s.ep.Write(bytes.NewReader(message), tcpip.WriteOptions{}); err != nil && m.failed != nil {
			m.failed(m.host.f.now, resultOf(err))
		}
		return
	}
	m.out = append(m.out, framed(message)...)
	m.flush()
}

func (m *Messages) flush() {
	for m.up && len(m.out) > 0 {
		n, err := m.s.ep.Write(bytes.NewReader(m.out), tcpip.WriteOptions{})
		m.out = m.out[n:]
		if err != nil {
			return
		}
	}
}

// Close closes the socket.
func (m *Messages) Close() {
	if !m.closed {
		m.closed = true
		m.s.ignore()
		m.s.ep.Close()
	}
}

func (m *Messages) ready() {
	if m.closed {
		return
	}
	f := m.host.f
	if m.proto == packet.UDP {
		for !m.closed {
			var b bytes.Buffer
			if _, err := m.s.ep.Read(&b, tcpip.ReadOptions{}); err != nil {
				if _, empty := err.(*tcpip.ErrWouldBlock); !empty && m.failed != nil {
					m.failed(f.now, resultOf(err))
				}
				break
			}
			m.got(f.now, b.Bytes())
		}
		return
	}
	if !m.up {
		switch tcp.EndpointState(m.s.ep.State()) {
		case tcp.StateConnecting, tcp.StateSynSent, tcp.StateSynRecv, tcp.StateBound, tcp.StateInitial:
			return
		case tcp.StateError, tcp.StateClose:
			m.fail(resultOf(m.s.ep.LastError()))
			return
		}
		m.up = true
	}
	m.flush()
	for {
		_, err := m.s.ep.Read(&m.in, tcpip.ReadOptions{})
		if err == nil {
			continue
		}
		for {
			b, ok := frame(&m.in)
			if !ok || m.closed {
				break
			}
			m.got(f.now, b)
		}
		if _, empty := err.(*tcpip.ErrWouldBlock); !empty && !m.closed {
			m.fail(replay.Refused)
		}
		return
	}
}

func (m *Messages) fail(r replay.Result) {
	m.Close()
	if m.failed != nil {
		m.failed(m.host.f.now, r)
	}
}

// heard is what an ICMP error says that the socket itself passes over.
func (m *Messages) heard(r replay.Result) {
	switch {
	case m.closed:
	case m.proto == packet.TCP && !m.up:
		m.fail(r)
	case m.proto == packet.UDP && m.failed != nil:
		m.failed(m.host.f.now, r)
	}
}
