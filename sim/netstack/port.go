package netstack

import (
	"io"
	"net/netip"
	"sync"

	"github.com/svclab/svclab/datapath/packet"
)

// Port is a place where IP packets come in and go out as bytes: the other end of a TUN interface. Its methods are for any
// goroutine.
type Port struct {
	host   *Host
	out    chan []byte
	closed chan struct{}
	once   sync.Once

	partial bool // transport checksums are the other end's affair
	spare   sync.Pool
}

// portQueue is how many packets wait for a port's reader; more are dropped, as a network interface does.
const portQueue = 1024

// AddPort attaches a port in place of a host's stack: packets to the addresses come out of it.
func (f *Fabric) AddPort(at *Node, addrs ...netip.Addr) *Port {
	h := f.newHost(f.o.Link, addrs)
	h.node = at
	h.port = &Port{host: h, out: make(chan []byte, portQueue), closed: make(chan struct{})}
	return h.port
}

// LeaveChecksums says that the other end neither computes checksums of TCP and UDP nor looks at them, as a TUN with offload does not:
// they are left as they are in both directions, but behind IP options and in fragments. Options.Checksums goes before it. It is for the
// time before the first packet.
func (p *Port) LeaveChecksums() { p.partial = true }

// left reports whether a packet's transport checksum is left as it is: nothing stands between its IP header and its ports.
func (p *Port) left(v *packet.Packet, l *layout) bool {
	head := 20
	if l.v6 {
		head = 40
	}
	return p.partial && !p.host.f.o.Checksums && l.l4 == head && (v.Proto == packet.TCP || v.Proto == packet.UDP) && v.FragmentOffset == 0 && !v.MoreFragments
}

// Host is the port as a host: its addresses, its power.
func (p *Port) Host() *Host { return p.host }

// Read waits for a packet and copies it to b, cut off at its length; io.EOF after Close.
func (p *Port) Read(b []byte) (int, error) {
	select {
	case q := <-p.out:
		n := copy(b, q)
		p.spare.Put(&q)
		return n, nil
	case <-p.closed:
		return 0, io.EOF
	}
}

// Poll takes a packet that has arrived, if there is one.
func (p *Port) Poll() ([]byte, bool) {
	select {
	case q := <-p.out:
		return q, true
	default:
		return nil, false
	}
}

// Write sends one IP packet, which it copies. What is wrong with it is found on its way and counted.
func (p *Port) Write(b []byte) (int, error) {
	select {
	case <-p.closed:
		return 0, io.ErrClosedPipe
	default:
	}
	f := p.host.f
	pkt := packetOf(b)
	f.mu.Lock()
	it := f.itemLocked()
	it.pkt, it.from = pkt, p.host
	f.out = append(f.out, it)
	f.mu.Unlock()
	if f.live != nil {
		f.live.kick()
	}
	return len(b), nil
}

// Close ends the port: readers are told, packets to its addresses vanish.
func (p *Port) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// admit checks a packet that a port sent: the bytes of the other hosts are their stacks' own.
func (p *Port) admit(it *item) bool {
	f := p.host.f
	b := bytesOf(nil, it.pkt)
	var view packet.Packet
	var l layout
	switch read(flat(b), len(b), &view, &l) {
	case truncated:
		f.stats.Truncated++
	case malformed:
		f.stats.BadHeader++
	default:
		if p.left(&view, &l) || goodChecksums(b, &l, &view) {
			return true
		}
		f.stats.BadChecksum++
	}
	return false
}

func (p *Port) deliver(it *item) {
	f := p.host.f
	var b []byte
	if q, ok := p.spare.Get().(*[]byte); ok {
		b = (*q)[:0]
	}
	b = bytesOf(b, it.pkt)
	f.drop(it)
	var view packet.Packet
	var l layout
	if !f.o.Checksums && read(flat(b), len(b), &view, &l) == sound && !p.left(&view, &l) {
		fillChecksums(b, &l, &view)
	}
	select {
	case <-p.closed:
		f.stats.NoHost++
	case p.out <- b:
		f.stats.Delivered++
	default:
		f.stats.PortQueueFull++
	}
}
