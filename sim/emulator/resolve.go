package emulator

import (
	"context"
	"encoding/binary"
	"io"
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/dns"
)

// resolve asks cluster DNS for a name as the client's resolver does. Every query is a packet of the client's, which the node takes to
// the Service of cluster DNS. An error is a NameError or the context's.
func (c *Client) resolve(ctx context.Context, name string) ([]netip.Addr, error) {
	r := dns.Resolver{Conf: c.Conf, Libc: dns.Glibc}
	r.Exchange = dns.Carry(func(server netip.Addr, t dns.Transport, query []byte) []byte {
		wait := r.Conf.Timeout
		if wait == 0 {
			wait = 5 * time.Second // resolv.conf(5)
		}
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		return c.ask(ctx, netip.AddrPortFrom(server, dnsPort), t, query)
	})
	addrs, err := r.LookupAddresses(name)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, &NameError{Name: name, Err: err}
	}
	return addrs, nil
}

const dnsPort = 53

// ask sends one query and waits for what comes back; nil for nothing.
func (c *Client) ask(ctx context.Context, server netip.AddrPort, t dns.Transport, query []byte) []byte {
	proto := packet.UDP
	if t == dns.TCP {
		proto = packet.TCP
	}
	conn, err := c.host.DialContext(ctx, proto, server)
	if err != nil {
		return nil
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if t == dns.TCP {
		if _, err := conn.Write(framed(query)); err != nil {
			return nil
		}
		m, err := readFramed(conn)
		if err != nil {
			return nil
		}
		return m
	}
	if _, err := conn.Write(query); err != nil {
		return nil
	}
	buf := make([]byte, 64<<10)
	n, err := conn.Read(buf)
	if err != nil {
		return nil
	}
	return buf[:n]
}

// framed puts a message's length before it, as DNS over TCP has it (RFC 1035, section 4.2.2).
func framed(m []byte) []byte {
	return append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(m)), uint16(len(m))), m...)
}

func readFramed(r io.Reader) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	m := make([]byte, binary.BigEndian.Uint16(head[:]))
	_, err := io.ReadFull(r, m)
	return m, err
}
