package netstack

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

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
