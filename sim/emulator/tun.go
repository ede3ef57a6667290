package emulator

import (
	"encoding/binary"
	"io"
	"net/netip"
	"sync"

	"github.com/svclab/svclab/sim/netstack"
)

// attach joins a TUN to the node, as a Pod with the client's addresses. What goes out of bounds is answered here. The TUN is closed
// when it is detached.
func (e *Emulator) attach(tun io.ReadWriteCloser, c *Client) (detach func(), err error) {
	node := e.siteOf(c.Addrs[0])
	if node == nil && c.local {
		node = e.sites[0].node
	}
	var port *netstack.Port
	e.do(func() {
		port = e.fabric.AddPort(node, c.Addrs...)
		port.LeaveChecksums()
	})
	e.widen(c.Addrs)
	var done sync.WaitGroup
	done.Add(2)
	go func() {
		defer done.Done()
		e.fromTUN(tun, port, c)
	}()
	go func() {
		defer done.Done()
		buf := make([]byte, tunHeader+maxPacket)
		for {
			n, err := port.Read(buf[tunHeader:])
			if err != nil {
				return
			}
			describe(buf[:tunHeader], buf[tunHeader:tunHeader+n])
			if _, err := tun.Write(buf[:tunHeader+n]); err != nil && isClosed(err) {
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

// tunHeader is the size of the struct virtio_net_hdr before each packet of a TUN.
const tunHeader = 10

// describe writes the header of a packet that is given to a TUN: where the checksum of TCP and UDP is that nobody has computed, so
// that the kernel does not look at it (include/uapi/linux/virtio_net.h, VIRTIO_NET_HDR_F_NEEDS_CSUM).
func describe(head, b []byte) {
	clear(head)
	const needsChecksum, tcp, udp = 1, 6, 17
	var proto byte
	start := 20
	switch {
	case len(b) > 40 && b[0]>>4 == 6:
		proto, start = b[6], 40
	case len(b) > 20 && b[0] == 0x45 && binary.BigEndian.Uint16(b[6:])&0x3fff == 0: // without options, no fragment
		proto = b[9]
	}
	offset := map[byte]int{tcp: 16, udp: 6}[proto]
	if offset == 0 || len(b) < start+offset+2 {
		return
	}
	// The checksum's place holds the sum of the pseudo-header (RFC 9293, section 3.1; RFC 8200, section 8.1).
	sum := checksum(uint32(len(b)-start)+uint32(proto), b[start-2*addressBytes(b):start])
	binary.BigEndian.PutUint16(b[start+offset:], sum)
	head[0] = needsChecksum
	binary.NativeEndian.PutUint16(head[6:], uint16(start))
	binary.NativeEndian.PutUint16(head[8:], uint16(offset))
}

// addressBytes is the length of a packet's addresses.
func addressBytes(b []byte) int {
	if b[0]>>4 == 6 {
		return 16
	}
	return 4
}

func (e *Emulator) fromTUN(tun io.ReadWriter, port io.Writer, c *Client) {
	buf := make([]byte, tunHeader+maxPacket)
	for {
		n, err := tun.Read(buf)
		if err != nil {
			return
		}
		if n < tunHeader {
			continue
		}
		b := buf[tunHeader:n]
		src, dst, ok := addressesOf(b)
		if !ok {
			continue
		}
		if !e.inside(dst) {
			if a := prohibited(b, e.router(src)); a != nil {
				_, _ = tun.Write(append(make([]byte, tunHeader, tunHeader+len(a)), a...)) // lost where the namespace is gone
			}
			continue
		}
		if _, err := port.Write(b); err != nil {
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
