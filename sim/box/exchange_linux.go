package box

import (
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Do carries out the exchange on the calling thread, in its network namespace: call it on a Thread or inside Namespace.Do. It
// blocks the thread for no longer than twice the timeout, and the hold. buf takes the answer.
func (e *Exchange) Do(buf []byte) ExchangeResult {
	typ := unix.SOCK_STREAM
	if e.UDP {
		typ = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(familyOf(e.Remote.Addr()), typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return failure(NotSent, err)
	}
	defer unix.Close(fd)
	if err := e.prepare(fd); err != nil {
		return failure(NotSent, err)
	}
	start := time.Now()
	if err := e.connect(fd); err != nil {
		r := failure(failureOf(err, Timeout), err)
		r.Connect = time.Since(start)
		return r
	}
	if e.UDP {
		return e.datagram(fd, buf, start)
	}
	r := ExchangeResult{Connect: time.Since(start)}
	n, err := e.read(fd, buf)
	switch {
	case err != nil:
		r.Failure, r.Errno = failureOf(err, NoAnswer), unix.ErrnoName(errno(err))
	case n == 0:
		r.Failure = NoAnswer
	default:
		r.Answer = buf[:n]
	}
	if e.Hold > 0 && r.Failure == None {
		time.Sleep(e.Hold)
	}
	if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
		r.Retransmits, r.SegmentsOut, r.SegmentsIn = info.Total_retrans, info.Segs_out, info.Segs_in
	}
	return r
}

// prepare binds the socket. Addresses are shared with other sockets of the same port, whose peers differ.
func (e *Exchange) prepare(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if !e.UDP && !e.FIN {
		if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
			return err
		}
	}
	return unix.Bind(fd, sockaddr(e.Local))
}

// connect waits for the handshake, and looks for errors as it waits: where the answer to a SYN comes back before connect(2)
// has let go of the socket, as over veth it does, an ICMP error is only noted as a soft one (net/ipv4/tcp_ipv4.c,
// tcp_v4_err). poll does not tell of that; a blocking connect would learn of it by the next SYN, a second later.
func (e *Exchange) connect(fd int) error {
	err := unix.Connect(fd, sockaddr(e.Remote))
	if err != unix.EINPROGRESS && err != unix.EINTR {
		return err
	}
	var deadline time.Time
	for slice := time.Duration(0); ; slice = min(2*slice+time.Millisecond, 32*time.Millisecond) {
		left := e.Timeout // the first look is at once: over veth the answer is there when connect returns
		if slice > 0 {
			if deadline.IsZero() {
				deadline = time.Now().Add(e.Timeout)
			}
			left = time.Until(deadline)
		}
		ready, err := wait(fd, unix.POLLOUT, min(slice, left))
		if err != nil {
			return err
		}
		code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		switch {
		case err != nil:
			return err
		case code != 0:
			return unix.Errno(code)
		case ready:
			return nil
		case left <= 0:
			return unix.EINPROGRESS
		}
	}
}

// wait polls a socket. An interrupted wait counts as an early end.
func wait(fd int, events int16, d time.Duration) (bool, error) {
	ms := int((d + time.Millisecond - 1) / time.Millisecond)
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, max(ms, 0))
	if err == unix.EINTR {
		err = nil
	}
	return n > 0, err
}

// datagram sends the payload and waits for the answer. A datagram that the host's own rules drop on output fails with EPERM
// at once; when they reject it, the ICMP error is there to be read as well, and says more.
func (e *Exchange) datagram(fd int, buf []byte, start time.Time) ExchangeResult {
	var n int
	_, err := unix.Write(fd, e.Payload)
	if err == nil {
		n, err = e.read(fd, buf)
	} else if _, again := unix.Read(fd, buf); again != nil && again != unix.EAGAIN {
		err = again
	}
	r := ExchangeResult{Connect: time.Since(start)}
	if err != nil {
		r.Failure, r.Errno = failureOf(err, Timeout), unix.ErrnoName(errno(err))
		return r
	}
	r.Answer = buf[:n]
	return r
}

// read waits for bytes, an end of file (0) or an error; EAGAIN when the timeout was hit.
func (e *Exchange) read(fd int, buf []byte) (int, error) {
	var deadline time.Time
	for {
		if e.Turn != nil {
			e.Turn()
		}
		n, err := unix.Read(fd, buf)
		if err != unix.EAGAIN && err != unix.EINTR {
			return n, err
		}
		if deadline.IsZero() {
			deadline = time.Now().Add(e.Timeout)
		}
		left := time.Until(deadline)
		if e.Turn != nil {
			left = min(left, time.Millisecond)
		}
		if left <= 0 {
			return 0, unix.EAGAIN
		}
		if _, err := wait(fd, unix.POLLIN, left); err != nil {
			return 0, err
		}
	}
}

func failure(f Failure, err error) ExchangeResult {
	return ExchangeResult{Failure: f, Errno: unix.ErrnoName(errno(err))}
}

func errno(err error) unix.Errno {
	var no unix.Errno
	errors.As(err, &no)
	return no
}

// failureOf names an error of connect or read; late is the name of a timeout.
func failureOf(err error, late Failure) Failure {
	switch errno(err) {
	case unix.ECONNREFUSED:
		return Refused
	case unix.EHOSTUNREACH:
		return HostUnreachable
	case unix.ENETUNREACH:
		return NetworkUnreachable
	case unix.EACCES, unix.EPERM:
		return NotPermitted
	case unix.ECONNRESET:
		return Reset
	case unix.EINPROGRESS, unix.EAGAIN, unix.ETIMEDOUT:
		return late
	}
	return NotSent
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}
