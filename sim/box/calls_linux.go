package box

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// calls makes system calls on sockets that never block. Where they are quick, Go's scheduler is not told of them: while a thread is
// in an ordinary call, sysmon wakes every 20 µs to see whether it is back (runtime/proc.go, retake), which costs nothing on most
// machines, and on one processor on which a wake-up takes 100 µs, as in User Mode Linux, most of the time there is.
type calls bool

//go:uintptrescapes
func (quick calls) do(nr, a, b, c, d, e, f uintptr) (int, error) {
	var r uintptr
	var no unix.Errno
	if quick {
		r, _, no = unix.RawSyscall6(nr, a, b, c, d, e, f)
	} else {
		r, _, no = unix.Syscall6(nr, a, b, c, d, e, f)
	}
	if no != 0 {
		return -1, no
	}
	return int(r), nil
}

func (quick calls) socket(family, kind int) (int, error) {
	return quick.do(unix.SYS_SOCKET, uintptr(family), uintptr(kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK), 0, 0, 0, 0)
}

func (quick calls) close(fd int) { quick.do(unix.SYS_CLOSE, uintptr(fd), 0, 0, 0, 0, 0) }

// closeRange closes n files with numbers from first, in any order.
func (quick calls) closeRange(first, n int) {
	if n == 0 {
		return
	}
	if _, err := quick.do(unix.SYS_CLOSE_RANGE, uintptr(first), uintptr(first+n-1), 0, 0, 0, 0); err == nil {
		return
	}
	for i := range n {
		quick.close(first + i)
	}
}

func (quick calls) bind(fd int, a *socketAddress) error {
	_, err := quick.do(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(a)), uintptr(a.size), 0, 0, 0)
	return err
}

func (quick calls) connect(fd int, a *socketAddress) error {
	_, err := quick.do(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(a)), uintptr(a.size), 0, 0, 0)
	return err
}

// accept takes a connection, and its peer's address into a.
func (quick calls) accept(fd int, a *socketAddress) (int, error) {
	a.size = uint32(len(a.raw))
	return quick.do(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(a)), uintptr(unsafe.Pointer(&a.size)), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0, 0)
}

func (quick calls) read(fd int, p []byte) (int, error) {
	return quick.do(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
}

// peek reads, and leaves what it has read where it is.
func (quick calls) peek(fd int, p []byte) (int, error) {
	return quick.do(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_PEEK, 0, 0)
}

func (quick calls) write(fd int, p []byte) (int, error) {
	return quick.do(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
}

// receive takes a datagram, and its sender's address into a.
func (quick calls) receive(fd int, p []byte, a *socketAddress) (int, error) {
	a.size = uint32(len(a.raw))
	return quick.do(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, uintptr(unsafe.Pointer(a)), uintptr(unsafe.Pointer(&a.size)))
}

func (quick calls) send(fd int, p []byte, a *socketAddress) (int, error) {
	return quick.do(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, uintptr(unsafe.Pointer(a)), uintptr(a.size))
}

// option sets an option from a value of the kernel's own form.
func (quick calls) option(fd, level, name int, value unsafe.Pointer, size uintptr) error {
	_, err := quick.do(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(value), size, 0)
	return err
}

// tcpInfo reads as much of struct tcp_info as the kernel has.
func (quick calls) tcpInfo(fd int, info *unix.TCPInfo, size *uint32) error {
	*size = uint32(unsafe.Sizeof(*info))
	_, err := quick.do(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_INFO, uintptr(unsafe.Pointer(info)), uintptr(unsafe.Pointer(size)), 0)
	return err
}

// ready asks an epoll instance what is there already.
func (quick calls) ready(epoll int, events []unix.EpollEvent) (int, error) {
	return quick.do(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
}

// socketAddress is an address as system calls take it (struct sockaddr_in, sockaddr_in6).
type socketAddress struct {
	raw  [unix.SizeofSockaddrInet6]byte
	size uint32
}

func (s *socketAddress) put(a netip.AddrPort) {
	s.raw = [unix.SizeofSockaddrInet6]byte{}
	binary.BigEndian.PutUint16(s.raw[2:], a.Port())
	binary.NativeEndian.PutUint16(s.raw[:], uint16(familyOf(a.Addr())))
	if a.Addr().Is4() {
		v := a.Addr().As4()
		copy(s.raw[4:], v[:])
		s.size = unix.SizeofSockaddrInet4
		return
	}
	v := a.Addr().As16()
	copy(s.raw[8:], v[:])
	s.size = unix.SizeofSockaddrInet6
}

// get is the address, invalid where the kernel gave none.
func (s *socketAddress) get() netip.AddrPort {
	port := binary.BigEndian.Uint16(s.raw[2:])
	switch family := binary.NativeEndian.Uint16(s.raw[:]); {
	case family == unix.AF_INET && s.size >= unix.SizeofSockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(s.raw[4:8])), port)
	case family == unix.AF_INET6 && s.size >= unix.SizeofSockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(s.raw[8:24])).Unmap(), port)
	}
	return netip.AddrPort{}
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
