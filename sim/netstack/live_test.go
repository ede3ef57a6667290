package netstack

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
)

// TestLiveDial opens connections with the methods of package net's shapes through the Service, in wall-clock time.
func TestLiveDial(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		u := build(t, shape{Options: Options{Live: true}, v6: v6})
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		l, err := u.backends[0].ListenTCP(netip.AddrPortFrom(u.back(0), 9090))
		must2(t, err)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(c, c); c.Close() }()
			}
		}()
		c, err := u.pod.DialContext(ctx, packet.TCP, netip.AddrPortFrom(u.back(0), 9090))
		must2(t, err)
		echo(t, c)
		must2(t, c.Close())
		must2(t, l.Close())

		for _, to := range []netip.AddrPort{u.web(), u.dns()} {
			proto := packet.TCP
			if to == u.dns() {
				proto = packet.UDP
			}
			for _, h := range []*Host{u.pod, u.outer, u.node.Host()} {
				c, err := h.DialContext(ctx, proto, to)
				must2(t, err)
				echo(t, c)
				must2(t, c.Close())
			}
		}
		_, err = u.pod.DialContext(ctx, packet.TCP, netip.AddrPortFrom(u.empty(), 80))
		if !errors.Is(err, ErrRefused) {
			t.Errorf("no endpoints: %v, want connection refused", err)
		}
		if _, err := u.pod.DialContext(ctx, packet.SCTP, u.web()); err == nil {
			t.Error("SCTP was dialled")
		}
	}
}

// echo sends 16 bytes, which the servers of build answer with as many.
func echo(t *testing.T, c net.Conn) {
	t.Helper()
	must2(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	if _, err := c.Write(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
}

// TestLiveEnds: a dial that nobody answers ends with its context; after Close readers, listeners and Do return, and no goroutine is
// left.
func TestLiveEnds(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	u := build(t, shape{Options: Options{Live: true}})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := u.pod.DialContext(ctx, packet.TCP, netip.MustParseAddrPort("10.244.0.99:80"))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody there: %v", err)
	}
	l, err := u.backends[0].ListenTCP(netip.AddrPortFrom(u.back(0), 9090))
	must2(t, err)
	pc, err := u.backends[0].ListenUDP(netip.AddrPortFrom(u.back(0), 9090))
	must2(t, err)
	if _, err := u.backends[0].ListenTCP(netip.AddrPortFrom(u.back(0), 9090)); !errors.Is(err, ErrInUse) {
		t.Errorf("a second listener: %v", err)
	}
	c, err := u.pod.DialContext(context.Background(), packet.TCP, u.web())
	must2(t, err)
	var p *Port
	u.f.Do(func() { p = u.f.AddPort(u.node, addr("10.244.0.200")) })
	var wg sync.WaitGroup
	for _, wait := range []func() error{
		func() error { _, err := c.Read(make([]byte, 1)); return err },
		func() error { _, err := p.Read(make([]byte, 1500)); return err },
	} {
		wg.Go(func() {
			if err := wait(); err == nil {
				t.Error("a reader got something")
			}
		})
	}
	time.Sleep(10 * time.Millisecond)
	must2(t, l.Close())
	must2(t, pc.Close())
	u.f.Close()
	wg.Wait()
	u.f.Do(func() { t.Error("done after Close") })
	if _, err := p.Write([]byte{0x45}); err == nil {
		t.Error("written after Close")
	}
	u.f.Close()
}

// TestLivePort exchanges raw packets with a server behind the Service, with checksums as they must be on a wire.
func TestLivePort(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		u := build(t, shape{v6: v6, Options: Options{Live: true}})
		raw := u.pick("10.244.0.200", "fd00:244::200")
		var p *Port
		u.f.Do(func() { p = u.f.AddPort(u.node, raw) })
		src := netip.AddrPortFrom(raw, 4000)
		if _, err := p.Write(craft(newRand(), v6, packet.UDP, src, u.dns(), []byte("question"))); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1500)
		n, err := p.Read(b)
		must2(t, err)
		var q packet.Packet
		var l layout
		if f := read(flat(b[:n]), n, &q, &l); f != sound || q.Src != u.dns() || q.Dst != src || soundSums(b[:n]) != nil {
			t.Errorf("v6 %v: %v %+v %v", v6, f, q, soundSums(b[:n]))
		}
	}
}

// TestLiveTogether opens many connections from many goroutines while operations are applied.
func TestLiveTogether(t *testing.T) {
	u := build(t, shape{Options: Options{Live: true, Link: Link{Delay: time.Millisecond}}})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 5 {
				c, err := u.pod.DialContext(ctx, packet.TCP, u.web())
				if err != nil {
					t.Error(err)
					return
				}
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				if _, err := c.Write(make([]byte, 1000)); err != nil {
					t.Error(err)
				}
				if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
					t.Error(err)
				}
				_ = c.Close()
			}
		})
	}
	for range 20 {
		u.f.Do(func() {
			must2(t, u.dp.Apply(datapath.IPTablesRestore{Family: packet.IPv4, NoFlush: true, Text: "*filter\nCOMMIT\n"}))
			_ = u.f.Stats()
		})
	}
	wg.Wait()
}
