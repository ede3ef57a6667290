package box

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TimedSockets are client sockets that connect again and again. Where a system call is dear, as in User Mode Linux, it matters that
// a connection is two of them: to open it, which is timed, and to end it by a reset (tcp_disconnect, net/ipv4/tcp.c), which leaves
// the socket its address and takes its port.
type TimedSockets struct{ fds []int }

// NewTimedSockets makes n sockets with a local address in the network namespace of the calling thread.
func NewTimedSockets(local netip.Addr, n int) (*TimedSockets, error) {
	t := &TimedSockets{}
	for range n {
		if err := t.add(local); err != nil {
			t.Close()
			return nil, err
		}
	}
	return t, nil
}

func (t *TimedSockets) add(local netip.Addr) error {
	fd, err := unix.Socket(familyOf(local), unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	t.fds = append(t.fds, fd)
	limit := unix.NsecToTimeval(int64(time.Second)) // a handshake that is lost is a failure
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err != nil {
		return fmt.Errorf("SO_SNDTIMEO: %w", err)
	}
	// The port is taken at each connect anew: one that was bound would be used again while its last connection is remembered.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return fmt.Errorf("IP_BIND_ADDRESS_NO_PORT: %w", err)
	}
	if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(local, 0))); err != nil {
		return fmt.Errorf("bind %s: %w", local, err)
	}
	return nil
}

// Block connects every socket to an address, one after another, times that, and ends the connections.
func (t *TimedSockets) Block(to netip.AddrPort) BlockResult {
	var space [unix.SizeofSockaddrInet6]byte
	name := rawSockaddr(&space, to)
	var unspec [unix.SizeofSockaddrInet4]byte // AF_UNSPEC is 0
	var r BlockResult
	start := time.Now()
	for _, fd := range t.fds {
		if connect(fd, name) != 0 {
			r.Failed++
		}
	}
	r.PerConnect = time.Since(start) / time.Duration(max(len(t.fds), 1))
	for _, fd := range t.fds {
		connect(fd, unspec[:])
	}
	return r
}

// connect is the bare system call: the scheduler of goroutines hears nothing of it.
func connect(fd int, name []byte) unix.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&name[0])), uintptr(len(name)))
	return errno
}

// rawSockaddr writes an address as the kernel reads it: family in the machine's order, port and address in the network's.
func rawSockaddr(space *[unix.SizeofSockaddrInet6]byte, a netip.AddrPort) []byte {
	binary.NativeEndian.PutUint16(space[:], uint16(familyOf(a.Addr())))
	binary.BigEndian.PutUint16(space[2:], a.Port())
	if a.Addr().Is4() {
		b := a.Addr().As4()
		copy(space[4:], b[:])
		return space[:unix.SizeofSockaddrInet4]
	}
	b := a.Addr().As16()
	copy(space[8:], b[:]) // after the flow label
	return space[:]
}

// Close closes the sockets.
func (t *TimedSockets) Close() {
	for _, fd := range t.fds {
		unix.Close(fd)
	}
}

// QuietListener is a listening socket whose connections nobody takes: no other thread runs while a block is timed.
type QuietListener struct{ fd int }

// QuietListen opens the socket in the namespace. It ends with the box.
func (n *Namespace) QuietListen(self netip.AddrPort) (*QuietListener, error) {
	l := &QuietListener{fd: -1}
	err := n.Do(func() (err error) {
		l.fd, err = unix.Socket(familyOf(self.Addr()), unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		if err := unix.SetsockoptInt(l.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return err
		}
		if err := unix.Bind(l.fd, sockaddr(self)); err != nil {
			return err
		}
		return unix.Listen(l.fd, quietBacklog)
	})
	if err != nil {
		return nil, fmt.Errorf("listen %s: %w", self, err)
	}
	return l, nil
}

const quietBacklog = 4096

// Drain forgets what has arrived, in two system calls however much it is: shutting a listening socket down empties its queue and
// leaves it its port (inet_shutdown, net/ipv4/af_inet.c), and it listens again.
func (l *QuietListener) Drain() error {
	if err := unix.Shutdown(l.fd, unix.SHUT_RD); err != nil {
		return fmt.Errorf("shutdown: %w", err)
	}
	if err := unix.Listen(l.fd, quietBacklog); err != nil {
		return fmt.Errorf("listen again: %w", err)
	}
	return nil
}

// Close closes the socket.
func (l *QuietListener) Close() { unix.Close(l.fd) }
