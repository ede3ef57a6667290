package box

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Responder is a thread that answers on many sockets of any namespaces: whoever connects, or sends a datagram, is told which
// socket took it and which peer that saw, as one line "SELF PEER". An accepted connection is kept for Hold at least, and
// until its client has ended it.
type Responder struct {
	Hold time.Duration

	epoll  int
	mu     sync.Mutex
	socks  map[int32]socket
	held   []held
	paused bool
	resume *sync.Cond
	mine   answering // of the responder's own thread
	turns  answering // of those who call Turn
	turned int       // how often
}

// answering is what a thread needs to answer.
type answering struct {
	quick  calls
	now    time.Time // as of its last look at the clock
	burst  int       // how many connections or datagrams one socket is served before the others have their turn
	events []unix.EpollEvent
	buf    []byte
	peer   *socketAddress
}

func newAnswering(quick calls, burst int) answering {
	return answering{quick: quick, burst: burst, events: make([]unix.EpollEvent, 64), buf: make([]byte, 2048), peer: &socketAddress{}}
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
func NewResponder(hold time.Duration) (*Responder, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	r := &Responder{Hold: hold, epoll: fd, socks: map[int32]socket{}, mine: newAnswering(false, 32), turns: newAnswering(true, 1)}
	r.resume = sync.NewCond(&r.mu)
	go onThread(func() error { return r.loop() })
	return r, nil
}

// Listen opens a socket in a namespace and answers on it, until the function returned is called.
func (r *Responder) Listen(n *Namespace, self netip.AddrPort, udp bool) (stop func(), err error) {
	typ := unix.SOCK_STREAM
	if udp {
		typ = unix.SOCK_DGRAM
	}
	fd := -1
	err = n.Do(func() (err error) {
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
	a := &r.mine
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
		n, err := unix.EpollWait(r.epoll, a.events, ms)
		if err != nil && err != unix.EINTR {
			return err
		}
		r.mu.Lock()
		a.now = time.Now()
		r.answer(a, max(n, 0), nil)
		r.release(a)
		r.mu.Unlock()
	}
}

// Pause leaves the answering to whoever calls Turn: on one processor, where a change of threads costs as much as many system
// calls, clients do it themselves. Resume ends that.
func (r *Responder) Pause() {
	r.mu.Lock()
	r.paused, r.turns.now = true, time.Now()
	r.mu.Unlock()
}

// Resume lets the responder's own thread answer again.
func (r *Responder) Resume() {
	r.mu.Lock()
	r.paused = false
	r.resume.Broadcast()
	r.mu.Unlock()
}

// releaseTurns is how many turns pass before the clock is read and held connections are looked at again.
const releaseTurns = 32

// Turn answers what has arrived, without waiting, and with few system calls. Where taken is not nil, the connections it accepts
// are appended to it and the caller's to close; they are held as ever where it is nil.
func (r *Responder) Turn(taken []int32) []int32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := &r.turns
	if n, err := a.quick.ready(r.epoll, a.events); err == nil {
		taken = r.answer(a, n, taken)
	}
	if r.turned++; len(r.held) > 0 && r.turned%releaseTurns == 0 {
		a.now = time.Now()
		r.release(a)
	}
	return taken
}

// answer serves the sockets of the first n events. The caller holds the lock.
func (r *Responder) answer(a *answering, n int, taken []int32) []int32 {
	for i := range a.events[:n] {
		fd := a.events[i].Fd
		s, ok := r.socks[fd]
		if ok && s.udp {
			a.datagrams(int(fd), s.self)
		} else if ok {
			taken = r.accept(a, int(fd), s.self, taken)
		}
	}
	return taken
}

func (r *Responder) accept(a *answering, l int, self netip.AddrPort, taken []int32) []int32 {
	for range a.burst {
		fd, err := a.quick.accept(l, a.peer)
		if err != nil {
			break
		}
		a.quick.write(fd, a.identity(self))
		if taken != nil {
			taken = append(taken, int32(fd))
		} else {
			r.held = append(r.held, held{fd, a.now.Add(r.Hold)})
		}
	}
	return taken
}

// heldAgain is how long a connection is kept on when its client has not ended it.
const heldAgain = 20 * time.Millisecond

// release closes the connections whose time is over and whose client has ended them.
func (r *Responder) release(a *answering) {
	i := 0
	for ; i < len(r.held) && !r.held[i].at.After(a.now); i++ {
		h := r.held[i]
		if _, err := a.quick.read(h.fd, a.buf); err == unix.EAGAIN {
			r.held = append(r.held, held{h.fd, a.now.Add(heldAgain)})
			continue
		}
		a.quick.close(h.fd)
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

func (a *answering) datagrams(fd int, self netip.AddrPort) {
	for range a.burst {
		n, err := a.quick.receive(fd, a.buf, a.peer)
		if err == unix.ECONNREFUSED {
			continue // the ICMP error about an earlier answer
		}
		if err != nil || n < 0 {
			return
		}
		a.quick.send(fd, a.identity(self), a.peer)
	}
}

// identity is what a socket says of itself and of its peer.
func (a *answering) identity(self netip.AddrPort) []byte {
	b := append(self.AppendTo(a.buf[:0]), ' ')
	return append(a.peer.get().AppendTo(b), '\n')
}
