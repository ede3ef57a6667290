package box

import (
	"errors"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Client carries out exchanges, one after another, on one thread.
type Client struct {
	since  time.Time
	server *Responder
	alone  bool
	quick  calls

	local, remote socketAddress
	on            int32
	linger        unix.Linger
	info          unix.TCPInfo
	size          uint32
	buf           [256]byte
	taken         []int32 // connections that the server has accepted, which the client closes after its own
	// reset connections of the server that are to be closed: files with consecutive numbers.
	resetFirst, resets int
}

// maxResets is how many reset connections of the server wait to be closed by one call.
const maxResets = 64

// NewClient makes a client, to be closed in the end, whose results count time from since. server is nil where servers answer by themselves. A server that
// is paused answers when the client asks it to, and then the client, who has not to wait, keeps its thread to itself and makes as
// few system calls as it can: alone says that it is the only one.
func NewClient(since time.Time, server *Responder, alone bool) *Client {
	return &Client{since: since, server: server, alone: alone, quick: server != nil, taken: []int32{}, on: 1, linger: unix.Linger{Onoff: 1}}
}

// Do carries out an exchange on the calling thread, in its network namespace: call it on a Thread or inside Namespace.Do. It blocks
// the thread for no longer than twice the timeout, and the hold.
func (c *Client) Do(e *Exchange) ExchangeResult {
	kind := unix.SOCK_STREAM
	if e.UDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err := c.quick.socket(familyOf(e.Remote.Addr()), kind)
	if err != nil {
		return c.failed(0, NotSent, err)
	}
	defer func() { c.close(fd, !e.FIN) }()
	if err := c.prepare(fd, e); err != nil {
		return c.failed(0, NotSent, err)
	}
	start := time.Since(c.since)
	c.remote.put(e.Remote)
	err = c.quick.connect(fd, &c.remote)
	if e.UDP && err == nil {
		return c.datagram(fd, e, start)
	}
	n := 0
	if c.server != nil && err == unix.EINPROGRESS {
		n, err = c.early(fd, e)
	}
	if err == unix.EINPROGRESS || err == unix.EINTR {
		err = c.handshake(fd, e)
	}
	if err != nil {
		return c.failed(start, failureOf(err, Timeout), err)
	}
	r := ExchangeResult{Start: start}
	if n == 0 {
		r.Connect = time.Since(c.since) - start
		n, err = c.read(fd, e)
	}
	switch {
	case err != nil:
		r.Failure, r.Errno = failureOf(err, NoAnswer), unix.ErrnoName(errno(err))
	case n == 0:
		r.Failure = NoAnswer
	default:
		r.Answer = c.buf[:n]
	}
	if e.Hold > 0 && r.Failure == None {
		time.Sleep(e.Hold)
	}
	if r.Failure != None && c.peeks(e) { // nothing is left unread that would make it a reset
		c.reset(fd)
	}
	if c.quick.tcpInfo(fd, &c.info, &c.size) == nil {
		r.Retransmits, r.SegmentsOut, r.SegmentsIn = c.info.Total_retrans, c.info.Segs_out, c.info.Segs_in
	}
	return r
}

// peeks says whether the answer is left unread, so that closing the socket resets the connection (net/ipv4/tcp.c, __tcp_close)
// as SO_LINGER makes it do: one system call less.
func (c *Client) peeks(e *Exchange) bool { return c.server != nil && !e.UDP && !e.FIN }

func (c *Client) reset(fd int) error {
	return c.quick.option(fd, unix.SOL_SOCKET, unix.SO_LINGER, unsafe.Pointer(&c.linger), unsafe.Sizeof(c.linger))
}

// Close closes what the server accepted for the client. Exchanges may follow.
func (c *Client) Close() {
	c.quick.closeRange(c.resetFirst, c.resets)
	c.resets = 0
}

// close closes the client's socket, and what the server has of it where that is the client's to close: when the client has reset
// the connection there is nothing to be told to anybody, and no hurry.
func (c *Client) close(fd int, reset bool) {
	c.quick.close(fd)
	for _, t := range c.taken {
		switch {
		case !reset:
			c.quick.close(int(t))
			continue
		case c.resets > 0 && int(t) != c.resetFirst+c.resets || c.resets == maxResets:
			c.Close()
		}
		if c.resets == 0 {
			c.resetFirst = int(t)
		}
		c.resets++
	}
	c.taken = c.taken[:0]
}

// failed is the result of an exchange that ended before an answer.
func (c *Client) failed(start time.Duration, f Failure, err error) ExchangeResult {
	now := time.Since(c.since)
	if f == NotSent {
		start = now
	}
	return ExchangeResult{Start: start, Connect: now - start, Failure: f, Errno: unix.ErrnoName(errno(err))}
}

// prepare binds the socket. Addresses are shared with other sockets of the same port, whose peers differ; a client that is alone and
// leaves nothing behind has none beside it.
func (c *Client) prepare(fd int, e *Exchange) error {
	if !c.alone || e.FIN {
		if err := c.share(fd); err != nil {
			return err
		}
	}
	if !e.UDP && !e.FIN && c.server == nil {
		if err := c.reset(fd); err != nil {
			return err
		}
	}
	c.local.put(e.Local)
	err := c.quick.bind(fd, &c.local)
	if err == unix.EADDRINUSE && c.alone && !e.FIN {
		if err = c.share(fd); err == nil {
			err = c.quick.bind(fd, &c.local)
		}
	}
	return err
}

func (c *Client) share(fd int) error {
	return c.quick.option(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, unsafe.Pointer(&c.on), unsafe.Sizeof(c.on))
}

// turn lets the server answer.
func (c *Client) turn() {
	if c.alone {
		c.taken = c.server.Turn(c.taken)
	} else if c.server != nil {
		c.server.Turn(nil)
	}
}

// early looks whether the answer is there as soon as connect returns: over veth the handshake is, and the server is asked for the
// rest. EINPROGRESS says that it is not.
func (c *Client) early(fd int, e *Exchange) (int, error) {
	c.turn()
	n, err := c.take(fd, e)
	if err == unix.EAGAIN || err == unix.EINTR {
		return 0, unix.EINPROGRESS
	}
	return n, err
}

// take reads what is there.
func (c *Client) take(fd int, e *Exchange) (int, error) {
	if c.peeks(e) {
		return c.quick.peek(fd, c.buf[:])
	}
	return c.quick.read(fd, c.buf[:])
}

// handshake waits for its end, and looks for errors as it waits: where the answer to a SYN comes back before connect(2)
// has let go of the socket, as over veth it does, an ICMP error is only noted as a soft one (net/ipv4/tcp_ipv4.c,
// tcp_v4_err). poll does not tell of that; a blocking connect would learn of it by the next SYN, a second later.
func (c *Client) handshake(fd int, e *Exchange) error {
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
func (c *Client) datagram(fd int, e *Exchange, start time.Duration) ExchangeResult {
	var n int
	_, err := c.quick.write(fd, e.Payload)
	if err == nil {
		n, err = c.read(fd, e)
	} else if _, again := c.quick.read(fd, c.buf[:]); again != nil && again != unix.EAGAIN {
		err = again
	}
	if err != nil {
		return c.failed(start, failureOf(err, Timeout), err)
	}
	return ExchangeResult{Start: start, Connect: time.Since(c.since) - start, Answer: c.buf[:n]}
}

// read waits for bytes, an end of file (0) or an error; EAGAIN when the timeout was hit.
func (c *Client) read(fd int, e *Exchange) (int, error) {
	var deadline time.Time
	for {
		c.turn()
		n, err := c.take(fd, e)
		if err != unix.EAGAIN && err != unix.EINTR {
			return n, err
		}
		if deadline.IsZero() {
			deadline = time.Now().Add(e.Timeout)
		}
		left := time.Until(deadline)
		if left <= 0 {
			return 0, unix.EAGAIN
		}
		if c.server != nil {
			left = min(left, time.Millisecond)
		}
		if _, err := wait(fd, unix.POLLIN, left); err != nil {
			return 0, err
		}
	}
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
