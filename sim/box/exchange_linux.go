package box

import (
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Do carries out the exchange on the calling thread, in its network namespace: call it inside Namespace.Do. It blocks the
// thread, for no longer than twice the timeout, and the hold.
func (e *Exchange) Do(buf []byte) ExchangeResult {
	typ := unix.SOCK_STREAM
	if e.UDP {
		typ = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(familyOf(e.Remote.Addr()), typ|unix.SOCK_CLOEXEC, 0)
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
	n, err := read(fd, buf)
	switch {
	case err != nil:
		r.Failure, r.Errno = failureOf(err, NoAnswer), unix.ErrnoName(errno(err))
	case n == 0:
		r.Failure = NoAnswer
	default:
		r.Answer = append([]byte(nil), buf[:n]...)
	}
	if e.Hold > 0 && r.Failure == None {
		time.Sleep(e.Hold)
	}
	if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
		r.Retransmits, r.SegmentsOut, r.SegmentsIn = info.Total_retrans, info.Segs_out, info.Segs_in
	}
	return r
}

func (e *Exchange) prepare(fd int) error {
	tv := unix.NsecToTimeval(e.Timeout.Nanoseconds())
	err := errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv),
	)
	if !e.UDP {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
		if !e.FIN {
			err = errors.Join(err, unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
		}
	}
	if err != nil {
		return err
	}
	return unix.Bind(fd, sockaddr(e.Local))
}

// connect waits for the handshake; a call that a signal interrupts goes on by itself and is waited for by poll.
func (e *Exchange) connect(fd int) error {
	err := unix.Connect(fd, sockaddr(e.Remote))
	if err != unix.EINTR {
		return err
	}
	deadline := time.Now().Add(e.Timeout)
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return unix.EINPROGRESS
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(left.Milliseconds())+1)
		if err != nil && err != unix.EINTR {
			return err
		}
		if n > 0 {
			code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
			if err != nil || code == 0 {
				return err
			}
			return unix.Errno(code)
		}
	}
}

func (e *Exchange) datagram(fd int, buf []byte, start time.Time) ExchangeResult {
	if _, err := unix.Write(fd, e.Payload); err != nil {
		return failure(failureOf(err, Timeout), err)
	}
	n, err := read(fd, buf)
	r := ExchangeResult{Connect: time.Since(start)}
	if err != nil {
		r.Failure, r.Errno = failureOf(err, Timeout), unix.ErrnoName(errno(err))
		return r
	}
	r.Answer = append([]byte(nil), buf[:n]...)
	return r
}

func read(fd int, buf []byte) (int, error) {
	for {
		n, err := unix.Read(fd, buf)
		if err != unix.EINTR {
			return n, err
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
		return AdminProhibited
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
