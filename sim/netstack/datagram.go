package netstack

import (
	"bytes"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/replay"
)

// Datagram is a UDP socket that is kept: a resolver's, a logger's. All it sends belongs to one flow number, to whomever it goes.
type Datagram struct {
	s     socket
	host  *Host
	local netip.AddrPort
	flows map[netip.AddrPort]*flow
	got   func(now time.Duration, from netip.AddrPort, b []byte)
	told  func(now time.Duration, r replay.Result)
	queue waiter.Queue
	in    bytes.Buffer
}

// Datagram opens a UDP socket: at an address and port, or with an invalid address at the host's own of IPv4, if it has one, and
// with port 0 at an ephemeral one. Got is called for each datagram that comes, with bytes that are its own until it returns.
func (h *Host) Datagram(number int64, at netip.AddrPort, got func(now time.Duration, from netip.AddrPort, b []byte)) (*Datagram, error) {
	if !at.Addr().IsValid() {
		if len(h.addrs) == 0 {
			return nil, &AddressError{Op: "open", Address: at.String(), Reason: "the host has no address"}
		}
		at = netip.AddrPortFrom(h.addrs[0], at.Port())
	}
	d := &Datagram{host: h, got: got, flows: map[netip.AddrPort]*flow{}}
	proto, _ := transportOf(packet.UDP)
	for tries := ephemerals; ; tries-- {
		ep, err := h.stack.NewEndpoint(proto, networkOf(at.Addr()), &d.queue)
		if err != nil {
			return nil, socketError("socket", packet.UDP, at, err)
		}
		d.local = at
		if at.Port() == 0 {
			d.local = netip.AddrPortFrom(at.Addr(), h.nextPort())
		}
		if err = ep.Bind(toFull(d.local)); err == nil {
			d.s.watch(h.f, number, ep, &d.queue, d)
			return d, nil
		}
		ep.Close()
		if _, taken := err.(*tcpip.ErrPortInUse); !taken || at.Port() != 0 || tries == 1 {
			return nil, socketError("bind", packet.UDP, d.local, err)
		}
	}
}

// Local is the socket's address.
func (d *Datagram) Local() netip.AddrPort { return d.local }

// Connect binds the socket to one peer, as resolvers do: datagrams of others are not taken, and ICMP errors about what it sent
// are told.
func (d *Datagram) Connect(to netip.AddrPort, told func(now time.Duration, r replay.Result)) error {
	if err := d.s.ep.Connect(toFull(to)); err != nil {
		return socketError("connect", packet.UDP, to, err)
	}
	d.told = told
	return nil
}

// Send sends a datagram. The error is what the socket says at once; that a datagram is lost it does not say.
func (d *Datagram) Send(to netip.AddrPort, b []byte) error {
	f := d.host.f
	if d.flows[to] == nil {
		fl := &flow{number: d.s.flow}
		d.flows[to] = fl
		f.flows.add(fl, keyOf(packet.UDP, d.local, to))
	}
	full := toFull(to)
	if _, err := d.s.ep.Write(bytes.NewReader(b), tcpip.WriteOptions{To: &full}); err != nil {
		return socketError("write", packet.UDP, to, err)
	}
	return nil
}

// ready reads what came.
func (d *Datagram) ready() {
	for {
		d.in.Reset()
		r, err := d.s.ep.Read(&d.in, tcpip.ReadOptions{NeedRemoteAddr: true})
		switch err.(type) {
		case nil:
			d.got(d.host.f.now, fromFull(r.RemoteAddr), d.in.Bytes())
		case *tcpip.ErrWouldBlock, *tcpip.ErrClosedForReceive:
			if err := d.s.ep.LastError(); err != nil && d.told != nil {
				d.told(d.host.f.now, resultOf(err))
			}
			return
		default:
			if d.told != nil {
				d.told(d.host.f.now, resultOf(err))
			}
		}
	}
}

// Close closes the socket.
func (d *Datagram) Close() {
	d.s.ignore()
	d.s.ep.Close()
	for _, fl := range d.flows {
		d.host.f.flows.retire(fl)
	}
}
