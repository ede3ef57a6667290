package box

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Do opens the block's connections on the calling thread, in its network namespace.
func (b ConnectBlock) Do() (BlockResult, error) {
	fds := make([]int, 0, b.Connects)
	defer func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}()
	for range b.Connects {
		fd, err := unix.Socket(familyOf(b.Remote.Addr()), unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return BlockResult{}, fmt.Errorf("socket: %w", err)
		}
		fds = append(fds, fd)
		if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
			return BlockResult{}, err
		}
		limit := unix.NsecToTimeval(int64(time.Second)) // a handshake that is lost is a failure
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err != nil {
			return BlockResult{}, err
		}
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(b.Local, 0))); err != nil {
			return BlockResult{}, fmt.Errorf("bind %s: %w", b.Local, err)
		}
	}
	to := sockaddr(b.Remote)
	var r BlockResult
	start := time.Now()
	for _, fd := range fds {
		if unix.Connect(fd, to) != nil {
			r.Failed++
		}
	}
	r.PerConnect = time.Since(start) / time.Duration(max(b.Connects, 1))
	return r, nil
}

// QuietListener is a listening socket whose connections nobody takes until Drain: no other thread runs while a block is timed.
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
		return unix.Listen(l.fd, 4096)
	})
	if err != nil {
		return nil, fmt.Errorf("listen %s: %w", self, err)
	}
	return l, nil
}

// Drain takes and closes what has arrived.
func (l *QuietListener) Drain() {
	for {
		fd, _, err := unix.Accept4(l.fd, unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		unix.Close(fd)
	}
}

// Close closes the socket.
func (l *QuietListener) Close() { unix.Close(l.fd) }
