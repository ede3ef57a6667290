package emulator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/dns"
	"github.com/svclab/svclab/sim/netstack"
	"github.com/svclab/svclab/sim/run"
	"github.com/svclab/svclab/sim/seed"
)

// Options say how a subject is brought to life.
type Options struct {
	Seed     uint64 // of what the node's rules draw
	From     string // who clients of the doors are: "" for a Pod of the local node, NS/POD, or an address
	AllNodes bool   // every Node of the objects has a datapath of its own; else the local one alone
	MTU      int    // of every link, in bytes; 0 for DefaultMTU
	Backends []Backend
	Capture  *run.Capture      // of every packet that passes a modelled node, bytes included; nil for none. It is the emulator's until Close
	Tick     func()            // called every second or so between packets, as the capture's writer wants to be flushed; nil for nothing
	Note     func(text string) // told what a user should know; nil for nobody. It may be called by several goroutines.
}

// DefaultMTU is that of the emulated links. No wire is behind them: packets as large as IP has save time, as on a loopback interface.
const DefaultMTU = 65535

// Emulator is a subject that lives: its Pods have stacks and servers, and time passes. Its methods may be used by several goroutines.
type Emulator struct {
	o       Options
	subject *run.Subject // of the local node; owned by the fabric's goroutine, as all of sites
	sites   []site       // the modelled nodes, the local one first
	fabric  *netstack.Fabric
	client  *Client
	names   atomic.Pointer[dns.Cluster]
	scope   atomic.Pointer[scope]
	hinted  atomic.Bool
	builtin *builtin
	tap     *tap

	mu       sync.Mutex // guards the rest, and changes
	places   map[place]*standing
	backends []Backend
	doors    map[string]*door
	stops    []func()
	shells   int // Pods that were taken for shells

	shellAddrs []netip.Addr
	closed     bool
	done       chan struct{}
	ticking    sync.WaitGroup
}

// New brings a subject to life. The subject belongs to the emulator from now on. An error is an InputError, one of sim/dns about the
// Corefile, or what a stack says of an address.
func New(s *run.Subject, o Options) (*Emulator, error) {
	if s.IsDump() {
		return nil, &InputError{What: "up", Why: "the rules were read from a dump, which tells of no Pods and Services: give manifests"}
	}
	if o.MTU == 0 {
		o.MTU = DefaultMTU
	}
	if o.Note == nil {
		o.Note = func(string) {}
	}
	e := &Emulator{
		o: o, subject: s, builtin: newBuiltin(), tap: newTap(),
		places: map[place]*standing{}, doors: map[string]*door{}, done: make(chan struct{}),
	}
	fo := netstack.Options{Root: seed.Root(o.Seed), Link: netstack.Link{MTU: o.MTU}, Live: true}
	if o.Capture != nil {
		fo.Before = func(n *netstack.Node, _ string, _ *packet.Packet) {
			if o.Capture.Wants() {
				o.Capture.Frame(n.Bytes(nil))
			}
		}
	}
	e.fabric = netstack.New(fo)
	err := e.addNodes()
	if err == nil {
		err = e.begin()
	}
	if err != nil {
		e.Close()
		return nil, err
	}
	e.ticking.Add(1)
	go e.tick()
	return e, nil
}

func (e *Emulator) begin() error {
	if err := e.findBackends(); err != nil {
		return err
	}
	if err := e.learnNames(); err != nil {
		return err
	}
	var err error
	if e.client, err = e.clientFrom(e.o.From); err != nil {
		return err
	}
	e.settle(e.client)
	return e.reconcile()
}

// do runs a function where the node is owned, and waits for it.
func (e *Emulator) do(f func()) { e.fabric.Do(f) }

// now is the node's time. It is for functions given to do.
func (e *Emulator) now() time.Duration { return e.fabric.Now() }

// tick lets kube-proxy look at terminating servers now and then, and timers of the node run where no packet comes.
func (e *Emulator) tick() {
	defer e.ticking.Done()
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-e.done:
			return
		case <-t.C:
			e.do(func() {
				for _, s := range e.sites {
					s.Look(e.now())
				}
				if e.o.Tick != nil {
					e.o.Tick()
				}
			})
		}
	}
}

// learnNames makes cluster DNS of the objects as they are.
func (e *Emulator) learnNames() error {
	c, err := dns.Load(e.subject.Objects, nil, dns.Options{})
	if err != nil {
		return err
	}
	if e.names.Swap(c) == nil {
		for _, w := range c.Warnings {
			e.o.Note(w)
		}
		if e.dnsIsBare() {
			e.o.Note(fmt.Sprintf("no Service %s in the input: the model's own DNS server stands at %v, and queries pass no Service's rules", dnsService, c.Nameservers))
		}
	}
	return nil
}

// Dial opens a TCP connection to HOST:PORT as the client does: a name is asked of cluster DNS by packets of its own. Errors are an
// OutsideError, a NameError, or what the client's socket is told.
func (e *Emulator) Dial(ctx context.Context, address string) (net.Conn, error) {
	return e.client.dial(ctx, e, packet.TCP, address)
}

// DialUDP opens a connected datagram socket to HOST:PORT as the client does; see Dial.
func (e *Emulator) DialUDP(ctx context.Context, address string) (net.Conn, error) {
	return e.client.dial(ctx, e, packet.UDP, address)
}

// inside reports whether an address is one of the emulated cluster.
func (e *Emulator) inside(a netip.Addr) bool { return e.scope.Load().holds(a) }

// fateOf is how a node's disposition reads in a line.
func fateOf(d *datapath.Disposition) string {
	switch d.Fate {
	case datapath.Forwarded:
		return "forward " + d.Out
	case datapath.Delivered:
		return "local"
	case datapath.Rejected:
		return "reject " + d.With.With
	}
	switch {
	case d.Problem != nil:
		return "drop: " + d.Problem.Error()
	case d.Reason != "":
		return "drop: " + d.Reason
	}
	return "drop"
}

// Close ends doors, servers, connections and stacks, and waits until no goroutine of theirs is left. It is harmless to call it twice.
func (e *Emulator) Close() {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return
	}
	e.closed = true
	close(e.done)
	doors, stops, places := e.doors, e.stops, e.places
	e.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
	for _, d := range doors {
		d.close()
	}
	e.tap.close()
	e.ticking.Wait()
	for _, p := range places {
		p.close()
	}
	e.builtin.close()
	e.fabric.Close()
}

// open keeps a door under a name, so that Close ends it.
func (e *Emulator) open(name string, l net.Listener) (*door, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		l.Close()
		return nil, ErrClosed
	}
	if e.doors[name] != nil {
		l.Close()
		return nil, fmt.Errorf("emulator: there is a door %s already", name)
	}
	d := newDoor(l)
	e.doors[name] = d
	return d, nil
}

// ServeSOCKS serves SOCKS5 on a listener until the emulator closes.
func (e *Emulator) ServeSOCKS(l net.Listener) error {
	d, err := e.open("socks", l)
	if err == nil {
		serveSOCKS(d, e.Dial, e.refused)
	}
	return err
}

// ServeHTTP serves an HTTP proxy on a listener until the emulator closes.
func (e *Emulator) ServeHTTP(l net.Listener) error {
	d, err := e.open("http", l)
	if err == nil {
		e.onClose(serveHTTP(d, e.Dial, e.refused))
	}
	return err
}

func (e *Emulator) onClose(stop func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		go stop()
		return
	}
	e.stops = append(e.stops, stop)
}

func (e *Emulator) refused(address string, err error) { e.o.Note(address + ": " + err.Error()) }

// isClosed reports whether a file or connection was closed on this side, rather than refusing one packet.
func isClosed(err error) bool {
	return errors.Is(err, os.ErrClosed) || errors.Is(err, net.ErrClosed)
}

// Example is a name and port of a Service that a client may try, or an address.
func (e *Emulator) Example() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	best := "HOST"
	e.do(func() {
		for _, f := range families {
			for _, p := range e.subject.State.Ports(f) {
				if p.Protocol != packet.TCP || best != "HOST" && (p.Name == dnsService || p.Name.Name == "kubernetes") {
					continue
				}
				best = p.Name.Name + "." + p.Name.Namespace + ".svc." + e.names.Load().Domain()
				if p.Port != 80 {
					best += fmt.Sprintf(":%d", p.Port)
				}
				if p.Name != dnsService && p.Name.Name != "kubernetes" {
					return
				}
			}
		}
	})
	return best
}
