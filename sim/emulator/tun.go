package emulator

import (
	"io"
	"net/netip"
	"sync"

	"github.com/svclab/svclab/sim/netstack"
)

// attach joins a TUN to the node, as a Pod with the client's addresses. What goes out of bounds is answered here. The TUN is closed
// when it is detached.
func (e *Emulator) attach(tun io.ReadWriteCloser, c *Client) (detach func(), err error) {
	node := e.node
	local := e.subject.Host.IsLocalPod(c.Addrs[0])
	if !local {
		node = nil
	}
	var port *netstack.Port
	e.do(func() { port = e.fabric.AddPort(node, c.Addrs...) })
	e.widen(c.Addrs)
	var done sync.WaitGroup
	done.Add(2)
	go func() {
		defer done.Done()
		e.fromTUN(tun, port, c)
	}()
	go func() {
		defer done.Done()
		buf := make([]byte, maxPacket)
		for {
			n, err := port.Read(buf)
			if err != nil {
				return
			}
			if _, err := tun.Write(buf[:n]); err != nil && isClosed(err) {
				return
			}
		}
	}()
	var once sync.Once
	detach = func() {
		once.Do(func() {
			tun.Close()
			port.Close()
			done.Wait()
		})
	}
	e.onClose(detach)
	return detach, nil
}

// maxPacket is the largest IP packet without jumbograms.
const maxPacket = 65535

func (e *Emulator) fromTUN(tun io.ReadWriter, port io.Writer, c *Client) {
	buf := make([]byte, maxPacket)
	for {
		n, err := tun.Read(buf)
		if err != nil {
			return
		}
		src, dst, ok := addressesOf(buf[:n])
		if !ok {
			continue
		}
		if !e.inside(dst) {
			if a := prohibited(buf[:n], e.router(src)); a != nil {
				_, _ = tun.Write(a) // lost where the namespace is gone
			}
			continue
		}
		if _, err := port.Write(buf[:n]); err != nil {
			return
		}
	}
}

// router is the address by which the node answers a Pod.
func (e *Emulator) router(to netip.Addr) netip.Addr {
	for _, a := range e.subject.Host.NodeIPs {
		if a.Is4() == to.Is4() {
			return a
		}
	}
	return netip.Addr{}
}
