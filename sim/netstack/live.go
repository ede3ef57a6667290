package netstack

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/svclab/svclab/datapath/packet"
)

// pump is the goroutine of a live Fabric: it moves packets when stacks have sent some, runs what others ask it to, and sleeps
// in between.
type pump struct {
	start time.Time
	work  chan struct{} // holds one token while there is something to do
	calls chan func()
	quit  chan struct{}
	ended chan struct{}
	once  sync.Once
}

func (f *Fabric) startPump() {
	f.live = &pump{
		start: time.Now(), work: make(chan struct{}, 1), calls: make(chan func()), quit: make(chan struct{}), ended: make(chan struct{}),
	}
	go f.live.run(f)
}

// kick says that there is something to do.
func (p *pump) kick() {
	select {
	case p.work <- struct{}{}:
	default:
	}
}

func (p *pump) stop() {
	p.once.Do(func() { close(p.quit) })
	<-p.ended
}

func (p *pump) run(f *Fabric) {
	defer close(p.ended)
	sleep := time.NewTimer(time.Hour)
	defer sleep.Stop()
	for {
		if at, ok := f.Next(); ok {
			sleep.Reset(at - time.Since(p.start))
		} else {
			sleep.Reset(time.Hour)
		}
		select {
		case <-p.quit:
			return
		case do := <-p.calls:
			f.setNow(max(time.Since(p.start), f.now))
			do()
		case <-p.work:
		case <-sleep.C:
		}
		f.setNow(max(time.Since(p.start), f.now))
		f.round()
	}
}

// Do runs a function on the pump and returns when it is done: in live mode, all that is not said to be for any goroutine is
// called from there. It must not be called from there itself. After Close it does nothing.
func (f *Fabric) Do(do func()) {
	if f.live == nil {
		do()
		return
	}
	done := make(chan struct{})
	select {
	case f.live.calls <- func() { defer close(done); do() }:
		<-done
	case <-f.live.ended:
	}
}

// errno gives a stack's errors the names that programs look for.
func errno(err tcpip.Error) error {
	switch err.(type) {
	case *tcpip.ErrConnectionRefused:
		return ErrRefused
	case *tcpip.ErrConnectionReset, *tcpip.ErrConnectionAborted:
		return ErrReset
	case *tcpip.ErrHostUnreachable, *tcpip.ErrHostDown:
		return ErrHostUnreachable
	case *tcpip.ErrNetworkUnreachable, *tcpip.ErrNoNet:
		return ErrNetworkUnreachable
	case *tcpip.ErrTimeout:
		return ErrTimedOut
	case *tcpip.ErrPortInUse:
		return ErrInUse
	case *tcpip.ErrBadLocalAddress:
		return ErrNotAvailable
	case *tcpip.ErrUnknownProtocolOption:
		return ErrNoProtocol
	}
	return &SocketError{Reason: err.String()}
}

func opError(op string, proto packet.Protocol, to netip.AddrPort, err error) error {
	var a net.Addr = net.TCPAddrFromAddrPort(to)
	if proto == packet.UDP {
		a = net.UDPAddrFromAddrPort(to)
	}
	return &net.OpError{Op: op, Net: proto.String(), Addr: a, Err: err}
}

// DialContext opens a connection from a host of a live Fabric, for any goroutine. Its errors are net.OpErrors around the
// context's error or one of this package's: ErrRefused, ErrHostUnreachable, ErrNetworkUnreachable, ErrTimedOut; UnsupportedError
// for SCTP.
func (h *Host) DialContext(ctx context.Context, proto packet.Protocol, to netip.AddrPort) (net.Conn, error) {
	number, err := transportOf(proto)
	if err != nil {
		return nil, err
	}
	o := Open{Proto: proto, Dst: to}
	h.f.Do(func() { err = h.chooseSource(&o) })
	if err != nil {
		return nil, opError("dial", proto, to, err)
	}
	wq := new(waiter.Queue)
	ep, terr := h.stack.NewEndpoint(number, networkOf(to.Addr()), wq)
	if terr != nil {
		return nil, opError("dial", proto, to, errno(terr))
	}
	entry, ready := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventErr | waiter.EventHUp)
	wq.EventRegister(&entry)
	defer wq.EventUnregister(&entry)
	terr = ep.Bind(toFull(o.Src))
	if terr == nil {
		terr = ep.Connect(toFull(to))
	}
	if _, started := terr.(*tcpip.ErrConnectStarted); started {
		select {
		case <-ctx.Done():
			ep.Close()
			return nil, opError("dial", proto, to, ctx.Err())
		case <-ready:
		}
		terr = ep.LastError()
	}
	if terr != nil {
		ep.Close()
		return nil, opError("dial", proto, to, errno(terr))
	}
	if proto == packet.UDP {
		return gonet.NewUDPConn(wq, ep), nil
	}
	return gonet.NewTCPConn(wq, ep), nil
}

// ListenTCP listens at an address of a host of a live Fabric, for any goroutine; an unspecified address means all of them.
func (h *Host) ListenTCP(at netip.AddrPort) (net.Listener, error) {
	wq := new(waiter.Queue)
	ep, err := h.bound(packet.TCP, at, wq)
	if err != nil {
		return nil, err
	}
	if terr := ep.Listen(somaxconn); terr != nil {
		ep.Close()
		return nil, opError("listen", packet.TCP, at, errno(terr))
	}
	return gonet.NewTCPListener(h.stack, wq, ep), nil
}

// ListenUDP opens a datagram socket at an address of a host of a live Fabric, for any goroutine.
func (h *Host) ListenUDP(at netip.AddrPort) (net.PacketConn, error) {
	wq := new(waiter.Queue)
	ep, err := h.bound(packet.UDP, at, wq)
	if err != nil {
		return nil, err
	}
	return gonet.NewUDPConn(wq, ep), nil
}

func (h *Host) bound(proto packet.Protocol, at netip.AddrPort, wq *waiter.Queue) (tcpip.Endpoint, error) {
	number, err := transportOf(proto)
	if err != nil {
		return nil, err
	}
	network := networkOf(at.Addr())
	if !at.Addr().IsValid() {
		network = networkOf(netip.IPv6Unspecified())
	}
	ep, terr := h.stack.NewEndpoint(number, network, wq)
	if terr != nil {
		return nil, opError("listen", proto, at, errno(terr))
	}
	ep.SocketOptions().SetReuseAddress(true)
	if terr := ep.Bind(toFull(at)); terr != nil {
		ep.Close()
		return nil, opError("listen", proto, at, errno(terr))
	}
	return ep, nil
}
