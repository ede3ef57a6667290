package kernel

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// Backends hold an accepted connection for at least acceptedHold, also when its client is gone already, and for at most
// acceptedMax.
const (
	acceptedHold = 5 * time.Millisecond
	acceptedMax  = 5 * time.Minute
)

// localKey is an address made local to a side.
type localKey struct {
	side Side
	addr netip.Addr
}

// server is one backend's socket.
type server struct{ close func() error }

// serve makes the set of backends what is asked for.
func (a *agent) serve(want []Backend) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	keep := map[Backend]bool{}
	for _, b := range want {
		keep[b] = true
	}
	for b, s := range a.servers {
		if keep[b] {
			continue
		}
		s.close()
		delete(a.servers, b)
		k := localKey{a.top.SideOf(b.Addr.Addr()), b.Addr.Addr()}
		if a.locals[k]--; a.locals[k] > 0 || k.side == Node {
			continue
		}
		delete(a.locals, k)
		if err := a.side(k.side).DeleteLocal(host(k.addr)); err != nil {
			return err
		}
	}
	for _, b := range want {
		if a.servers[b] != nil {
			continue
		}
		k := localKey{a.top.SideOf(b.Addr.Addr()), b.Addr.Addr()}
		if err := a.local(k); err != nil {
			return err
		}
		a.locals[k]++
		s, err := a.listen(b, k.side)
		if err != nil {
			return fmt.Errorf("backend %s %s: %w", b.Proto, b.Addr, err)
		}
		a.servers[b] = s
	}
	return nil
}

// local makes an address local to its side, unless it is already. Addresses of the node are its own.
func (a *agent) local(k localKey) error {
	if _, ok := a.locals[k]; ok || k.side == Node {
		return nil
	}
	if err := a.side(k.side).AddLocal(host(k.addr)); err != nil {
		return err
	}
	a.locals[k] = 0
	return nil
}

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func (a *agent) listen(b Backend, side Side) (*server, error) {
	ctx := context.Background()
	cfg := net.ListenConfig{KeepAlive: -1}
	var s *server
	err := a.side(side).Do(func() error {
		if b.Proto == packet.TCP {
			l, err := cfg.Listen(ctx, "tcp", b.Addr.String())
			if err != nil {
				return err
			}
			s = &server{close: l.Close}
			go accept(l.(*net.TCPListener))
			return nil
		}
		c, err := cfg.ListenPacket(ctx, "udp", b.Addr.String())
		if err != nil {
			return err
		}
		s = &server{close: c.Close}
		go answer(c.(*net.UDPConn), b.Addr)
		return nil
	})
	return s, err
}

// accept answers each connection with the socket that took it and the peer that it saw, and keeps it a while.
func accept(l *net.TCPListener) {
	for {
		c, err := l.AcceptTCP()
		if err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				continue
			}
			return
		}
		go hold(c)
	}
}

func hold(c *net.TCPConn) {
	defer c.Close()
	start := time.Now()
	if _, err := c.Write(identity(addrPort(c.LocalAddr()), addrPort(c.RemoteAddr()))); err != nil {
		return
	}
	c.SetReadDeadline(start.Add(acceptedMax))
	var b [16]byte
	c.Read(b[:])
	time.Sleep(acceptedHold - time.Since(start))
}

// answer answers each datagram likewise.
func answer(c *net.UDPConn, self netip.AddrPort) {
	var b [2048]byte
	for {
		_, peer, err := c.ReadFromUDPAddrPort(b[:])
		if err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				continue
			}
			return
		}
		peer = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
		c.WriteToUDPAddrPort(identity(self, peer), peer)
	}
}

// identity is what a backend says of itself: its own address and the peer's, a line.
func identity(self, peer netip.AddrPort) []byte {
	return []byte(self.String() + " " + peer.String() + "\n")
}

func addrPort(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
