package box

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Responder is a thread that answers on many sockets of a namespace: whoever connects, or sends a datagram, is told which
// socket took it and which peer that saw, as one line "SELF PEER". An accepted connection is kept for Hold at least, and
// until its client has ended it.
type Responder struct {
	ns   *Namespace
	Hold time.Duration

	epoll  int
	mu     sync.Mutex
	socks  map[int32]socket
	held   []held
	paused bool
	resume *sync.Cond
	events []unix.EpollEvent // of Turn, with its buffer
	buf    []byte
	turns  int
	now    time.Time // of Turn, as of its last look at the clock
}

// socket is one listening TCP or bound UDP socket.
type socket struct {
	self netip.AddrPort
	udp  bool
}

// held is an accepted connection; it is looked at again at a time.
type held struct {
	fd int
	at time.Time
}

// NewResponder starts the thread. It ends with the box.
func (n *Namespace) NewResponder(hold time.Duration) (*Responder, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	r := &Responder{ns: n, Hold: hold, epoll: fd, socks: map[int32]socket{}, events: make([]unix.EpollEvent, 64), buf: make([]byte, 2048)}
	r.resume = sync.NewCond(&r.mu)
	go onThread(func() error { return r.loop() })
	return r, nil
}

// Listen opens a socket and answers on it, until the function returned is called.
func (r *Responder) Listen(self netip.AddrPort, udp bool) (stop func(), err error) {
	typ := unix.SOCK_STREAM
	if udp {
		typ = unix.SOCK_DGRAM
	}
	fd := -1
	err = r.ns.Do(func() (err error) {
		fd, err = unix.Socket(familyOf(self.Addr()), typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if err := r.open(fd, self, udp); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.socks, int32(fd))
		unix.Close(fd)
	}, nil
}

func (r *Responder) open(fd int, self netip.AddrPort, udp bool) error {
	if !udp { // a socket in TIME_WAIT is no obstacle
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return err
		}
	}
	if err := unix.Bind(fd, sockaddr(self)); err != nil {
		return fmt.Errorf("bind %s: %w", self, err)
	}
	if !udp {
		if err := unix.Listen(fd, 4096); err != nil {
			return fmt.Errorf("listen %s: %w", self, err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.socks[int32(fd)] = socket{self: self, udp: udp}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	return unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &ev)
}

func (r *Responder) loop() error {
	events := make([]unix.EpollEvent, 64)
	buf := make([]byte, 2048)
	for {
		r.mu.Lock()
		for r.paused {
			r.resume.Wait()
		}
		ms := 1000
		if len(r.held) > 0 {
			ms = max(1, min(ms, int(time.Until(r.held[0].at)/time.Millisecond)))
		}
		r.mu.Unlock()
		n, err := unix.EpollWait(r.epoll, events, ms)
		if err != nil && err != unix.EINTR {
			return err
		}
		r.mu.Lock()
		now := time.Now()
		r.answer(events[:max(n, 0)], now, maxBurst, buf)
		r.release(now, buf)
		r.mu.Unlock()
	}
}

// answer serves the sockets that have something to take. The caller holds the lock.
func (r *Responder) answer(events []unix.EpollEvent, now time.Time, burst int, buf []byte) {
	for i := range events {
		s, ok := r.socks[events[i].Fd]
		if ok && s.udp {
			answerDatagrams(int(events[i].Fd), s.self, buf)
		} else if ok {
			r.accept(int(events[i].Fd), s.self, now, burst)
		}
	}
}

// Pause leaves the answering to whoever calls Turn: on one processor, where a change of threads costs as much as many system
// calls, clients do it themselves. Resume ends that.
func (r *Responder) Pause() {
	r.mu.Lock()
	r.paused = true
	r.mu.Unlock()
}

// Resume lets the responder's own thread answer again.
func (r *Responder) Resume() {
	r.mu.Lock()
	r.paused = false
	r.resume.Broadcast()
	r.mu.Unlock()
}

// releaseTurns is how many turns pass before held connections are looked at again.
const releaseTurns = 16

// Turn answers what has arrived, without waiting, and with few system calls: the clock is read now and then only.
func (r *Responder) Turn() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.socks) == 0 {
		return
	}
	if n, err := unix.EpollWait(r.epoll, r.events, 0); err == nil {
		r.answer(r.events[:n], r.now, 1, r.buf)
	}
	if r.turns++; r.turns%releaseTurns == 0 {
		r.now = time.Now()
		r.release(r.now, r.buf)
	}
}

// maxBurst is how many connections or datagrams one socket is served before the others have their turn.
const maxBurst = 32

func (r *Responder) accept(l int, self netip.AddrPort, now time.Time, burst int) {
	for range burst {
		fd, sa, err := unix.Accept4(l, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		if err != nil {
			return
		}
		unix.Write(fd, identity(self, addrPort(sa)))
		r.held = append(r.held, held{fd, now.Add(r.Hold)})
	}
}

// heldAgain is how long a connection is kept on when its client has not ended it.
const heldAgain = 20 * time.Millisecond

// release closes the connections whose time is over and whose client has ended them.
func (r *Responder) release(now time.Time, buf []byte) {
	i := 0
	for ; i < len(r.held) && !r.held[i].at.After(now); i++ {
		h := r.held[i]
		if _, err := unix.Read(h.fd, buf); err == unix.EAGAIN {
			r.held = append(r.held, held{h.fd, now.Add(heldAgain)})
			continue
		}
		unix.Close(h.fd)
	}
	if i == 0 {
		return
	}
	rest := r.held[i:]
	if len(rest) < cap(r.held)/2 {
		rest = append([]held(nil), rest...)
	}
	r.held = rest
}

func answerDatagrams(fd int, self netip.AddrPort, buf []byte) {
	for range maxBurst {
		_, sa, err := unix.Recvfrom(fd, buf, 0)
		if err == unix.ECONNREFUSED {
			continue // the ICMP error about an earlier answer
		}
		if err != nil || sa == nil {
			return
		}
		unix.Sendto(fd, identity(self, addrPort(sa)), 0, sa)
	}
}

// identity is what a socket says of itself and of its peer.
func identity(self, peer netip.AddrPort) []byte {
	b := self.AppendTo(make([]byte, 0, 96))
	b = append(b, ' ')
	return append(peer.AppendTo(b), '\n')
}
