package emulator

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/svclab/svclab/datapath/service"
)

// Annotation is the annotation of a Service that says what stands behind its endpoints, as --backend does for all its ports:
// tcp://127.0.0.1:9001.
const Annotation = "svclab/backend"

// Backend is a process of the user's on this machine that stands behind the endpoints of a Service.
type Backend struct {
	Service service.Name
	Port    string // name of the Service's port, or number of its own or of the endpoints' port; "" for every port
	Network string // "tcp" or "udp"
	Target  netip.AddrPort
	text    string
}

// ParseBackend reads NS/SVC[:PORT]=tcp://127.0.0.1:9001. An error is an InputError.
func ParseBackend(text string) (Backend, error) {
	fault := func(why string) (Backend, error) {
		return Backend{}, &InputError{What: "--backend", Text: text, Why: why}
	}
	head, target, ok := strings.Cut(text, "=")
	if !ok {
		return fault("is not NS/SVC[:PORT]=tcp://127.0.0.1:PORT")
	}
	name, port, _ := strings.Cut(strings.TrimPrefix(head, "svc/"), ":")
	ns, svc, ok := strings.Cut(name, "/")
	if !ok || ns == "" || svc == "" || strings.Contains(svc, "/") {
		return fault("does not begin with NS/SVC")
	}
	b, why := parseTarget(target)
	if why != "" {
		return fault(why)
	}
	b.Service, b.Port, b.text = service.Name{Namespace: ns, Name: svc}, port, text
	return b, nil
}

// parseTarget reads tcp://127.0.0.1:9001 or says what is wrong with it.
func parseTarget(s string) (Backend, string) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Path != "" || u.User != nil || u.RawQuery != "" {
		return Backend{}, "leads to no tcp://ADDRESS:PORT or udp://ADDRESS:PORT"
	}
	if u.Scheme != "tcp" && u.Scheme != "udp" {
		return Backend{}, fmt.Sprintf("leads to %q: tcp and udp are known", u.Scheme)
	}
	at, err := netip.ParseAddrPort(strings.Replace(u.Host, "localhost:", "127.0.0.1:", 1))
	if err != nil || at.Port() == 0 {
		return Backend{}, "leads to no address and port"
	}
	if !at.Addr().IsLoopback() {
		return Backend{}, "leads off this machine: nothing is relayed to the real network"
	}
	return Backend{Network: u.Scheme, Target: at, text: s}, ""
}

// findBackends joins what Options say with the annotations of Services.
func (e *Emulator) findBackends() error {
	e.backends = e.o.Backends
	for _, b := range e.backends {
		if !e.hasPort(b) {
			return &InputError{What: "--backend", Text: b.text, Why: "names no Service port of the objects"}
		}
	}
	for i := range e.subject.State.Services {
		s := &e.subject.State.Services[i]
		text, ok := s.Annotations[Annotation]
		if !ok {
			continue
		}
		b, why := parseTarget(text)
		if why != "" {
			return &InputError{What: "annotation " + Annotation + " of Service " + s.Name.String(), Text: text, Why: why}
		}
		b.Service = s.Name
		e.backends = append(e.backends, b)
	}
	return nil
}

func (e *Emulator) hasPort(b Backend) bool {
	for i := range e.subject.State.Services {
		s := &e.subject.State.Services[i]
		if s.Name != b.Service {
			continue
		}
		for _, p := range s.Ports {
			if b.Port == "" || b.Port == p.Name || b.Port == strconv.Itoa(int(p.Port)) || b.Port == p.TargetPort {
				return true
			}
		}
	}
	return false
}

// backendOf is what stands behind a port of a slice, nil for the built-in servers.
func (e *Emulator) backendOf(of service.Name, p service.EndpointPort) *Backend {
	for i := range e.backends {
		b := &e.backends[i]
		if b.Service == of && b.Network == p.Protocol.String() && (b.Port == "" || e.sameBackendPort(b, p)) {
			return b
		}
	}
	return nil
}

// sameBackendPort reports whether a slice's port is the one that the backend is for: slices name it as the Service does.
func (e *Emulator) sameBackendPort(b *Backend, p service.EndpointPort) bool {
	if b.Port == p.Name || b.Port == strconv.Itoa(int(p.Port)) {
		return true
	}
	for i := range e.subject.State.Services {
		s := &e.subject.State.Services[i]
		for _, sp := range s.Ports {
			if s.Name == b.Service && sp.Name == p.Name && sp.Protocol == p.Protocol && strconv.Itoa(int(sp.Port)) == b.Port {
				return true
			}
		}
	}
	return false
}

// serve relays one connection of a Pod's to the process.
func (b *Backend) serve(ctx context.Context, c net.Conn, note func(string)) {
	var d net.Dialer
	to, err := d.DialContext(ctx, "tcp", b.Target.String())
	if err != nil {
		if ctx.Err() == nil {
			note(fmt.Sprintf("warning: backend %s of %s: %v", b.Target, b.Service, err))
		}
		return
	}
	defer to.Close()
	stop := context.AfterFunc(ctx, func() { to.Close() })
	defer stop()
	relay(c, to)
}

// forget is how long a client of a UDP backend is remembered.
const forget = time.Minute

// packets relays datagrams of a Pod's to the process, each client by a socket of its own, as long as the Pod's socket lives.
func (b *Backend) packets(p net.PacketConn, note func(string)) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	sockets := map[string]net.Conn{}
	buf := make([]byte, 64<<10)
	for {
		n, from, err := p.ReadFrom(buf)
		if err != nil {
			break
		}
		mu.Lock()
		to := sockets[from.String()]
		if to == nil {
			if to, err = net.Dial("udp", b.Target.String()); err != nil {
				mu.Unlock()
				note(fmt.Sprintf("warning: backend %s of %s: %v", b.Target, b.Service, err))
				continue
			}
			sockets[from.String()] = to
			wg.Add(1)
			go func() {
				defer wg.Done()
				defer func() {
					mu.Lock()
					delete(sockets, from.String())
					mu.Unlock()
					to.Close()
				}()
				back := make([]byte, 64<<10)
				for {
					_ = to.SetReadDeadline(time.Now().Add(forget))
					n, err := to.Read(back)
					if err != nil {
						return
					}
					_, _ = p.WriteTo(back[:n], from)
				}
			}()
		}
		mu.Unlock()
		_, _ = to.Write(buf[:n]) // lost where nothing listens, as datagrams are
	}
	mu.Lock()
	for _, to := range sockets {
		to.Close()
	}
	mu.Unlock()
	wg.Wait()
}
