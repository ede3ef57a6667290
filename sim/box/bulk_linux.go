package box

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// bulk is a netlink socket that carries many requests at once: the kernel takes them one after another out of one datagram
// (net/netlink/af_netlink.c, netlink_rcv_skb), and answers those that fail and the last one. Where a system call is dear, as in
// User Mode Linux, a round trip for each is most of what a large load takes.
type bulk struct {
	fd  int
	seq uint32
	out []byte
	in  []byte
}

// bulkBytes bounds what is sent at once, well below what a socket takes (net.core.wmem_default, 212,992 bytes).
const bulkBytes = 48 << 10

// openBulk opens a socket of a netlink protocol in the namespace.
func (n *Namespace) openBulk(protocol int) (*bulk, error) {
	b := &bulk{in: make([]byte, 64<<10)}
	err := n.Do(func() (err error) {
		if err := n.in.guard("netlink"); err != nil {
			return err
		}
		b.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
		return err
	})
	if err == nil {
		err = unix.Bind(b.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}
	if err != nil {
		return nil, fmt.Errorf("netlink in %s: %w", n.Name, err)
	}
	return b, nil
}

func (b *bulk) close() { unix.Close(b.fd) }

// request is one netlink message without its header.
type request struct {
	kind  uint16
	flags uint16
	body  []byte
}

// run sends n requests in their order and stops after the datagram in which one fails, unless forgive says that its error is none;
// failed is that request, or -1.
func (b *bulk) run(n int, spell func(i int) request, forgive func(unix.Errno) bool) (failed int, err error) {
	for from := 0; from < n; {
		b.out = b.out[:0]
		first, last := b.seq+1, 0
		to := from
		for ; to < n && len(b.out) < bulkBytes; to++ {
			r := spell(to)
			b.seq++
			last = len(b.out)
			b.out = binary.NativeEndian.AppendUint32(b.out, uint32(unix.SizeofNlMsghdr+len(r.body)))
			b.out = binary.NativeEndian.AppendUint16(b.out, r.kind)
			b.out = binary.NativeEndian.AppendUint16(b.out, unix.NLM_F_REQUEST|r.flags)
			b.out = binary.NativeEndian.AppendUint32(b.out, b.seq)
			b.out = binary.NativeEndian.AppendUint32(b.out, 0)
			b.out = append(b.out, r.body...)
			b.out = append(b.out, make([]byte, -len(b.out)&(unix.NLMSG_ALIGNTO-1))...)
		}
		flags := binary.NativeEndian.Uint16(b.out[last+6:])
		binary.NativeEndian.PutUint16(b.out[last+6:], flags|unix.NLM_F_ACK)
		if err := unix.Sendto(b.fd, b.out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return from, fmt.Errorf("netlink: %w", err)
		}
		at, err := b.answers(first, b.seq, forgive)
		if err != nil {
			return from + at, err
		}
		from = to
	}
	return -1, nil
}

// answers reads until the last request of a datagram is acknowledged, and returns the first error.
func (b *bulk) answers(first, last uint32, forgive func(unix.Errno) bool) (at int, err error) {
	at = int(last-first) + 1
	for {
		n, _, e := unix.Recvfrom(b.fd, b.in, 0)
		if e == unix.EINTR {
			continue
		}
		if e != nil { // the kernel answers before it takes the next datagram
			return 0, fmt.Errorf("netlink: no answer: %w", e)
		}
		for m := b.in[:n]; len(m) >= unix.SizeofNlMsghdr+4; {
			size := int(binary.NativeEndian.Uint32(m))
			seq := binary.NativeEndian.Uint32(m[8:])
			if binary.NativeEndian.Uint16(m[4:]) == unix.NLMSG_ERROR && seq-first <= last-first {
				no := unix.Errno(-int32(binary.NativeEndian.Uint32(m[unix.SizeofNlMsghdr:])))
				if i := int(seq - first); no != 0 && i < at && !(forgive != nil && forgive(no)) {
					at, err = i, no
				}
				if seq == last {
					return at, err
				}
			}
			size = (size + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1)
			if size < unix.SizeofNlMsghdr || size > len(m) {
				break
			}
			m = m[size:]
		}
	}
}

// attributes are netlink attributes one after another.
type attributes []byte

func (a attributes) add(kind uint16, value []byte) attributes {
	a = binary.NativeEndian.AppendUint16(a, uint16(4+len(value)))
	a = binary.NativeEndian.AppendUint16(a, kind)
	a = append(a, value...)
	return append(a, make([]byte, -len(a)&3)...)
}

func (a attributes) u16(kind, v uint16) attributes {
	return a.add(kind, binary.NativeEndian.AppendUint16(nil, v))
}

func (a attributes) u32(kind uint16, v uint32) attributes {
	return a.add(kind, binary.NativeEndian.AppendUint32(nil, v))
}

// port is a number in network order.
func (a attributes) port(kind, v uint16) attributes {
	return a.add(kind, binary.BigEndian.AppendUint16(nil, v))
}
