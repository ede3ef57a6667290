package emulator

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/dns"
	"github.com/svclab/svclab/sim/netstack"
)

// place is an address, port and protocol: where something listens in the cluster, or what clients ask for.
type place struct {
	at    netip.AddrPort
	proto packet.Protocol
}

func (p place) compare(q place) int {
	if c := p.at.Compare(q.at); c != 0 {
		return c
	}
	return int(p.proto) - int(q.proto)
}

// standing is what listens at a place.
type standing struct {
	who   Identity
	close func()
}

// tenant is what ought to listen at a place.
type tenant struct {
	who     Identity
	dns     bool
	backend *Backend // nil for the built-in servers
}

// The Service under which cluster DNS stands.
var dnsService = service.Name{Namespace: "kube-system", Name: "kube-dns"}

// tenants are the endpoints of all slices, whatever their conditions, and cluster DNS itself where no Service leads to it.
func (e *Emulator) tenants() map[place]tenant {
	out := map[place]tenant{}
	for _, sl := range e.subject.State.Slices {
		for _, p := range sl.Ports {
			if p.Port == 0 {
				continue
			}
			for _, x := range sl.Endpoints {
				for _, a := range x.Addresses {
					at := place{netip.AddrPortFrom(a, p.Port), p.Protocol}
					t := tenant{who: Identity{
						Pod: strings.TrimPrefix(x.TargetRef, "Pod/"), Endpoint: at.at.String(), Node: x.NodeName, Service: sl.Service.String(),
					}}
					t.dns = sl.Service == dnsService && (p.Port == dnsPort || strings.HasPrefix(p.Name, "dns"))
					if !t.dns {
						t.backend = e.backendOf(sl.Service, p)
					}
					if old, ok := out[at]; !ok || old.backend == nil && t.backend != nil {
						out[at] = t
					}
				}
			}
		}
	}
	if e.dnsIsBare() {
		for _, a := range e.names.Load().Nameservers {
			for _, proto := range []packet.Protocol{packet.UDP, packet.TCP} {
				at := place{netip.AddrPortFrom(a, dnsPort), proto}
				out[at] = tenant{dns: true, who: Identity{Endpoint: at.at.String(), Service: "cluster DNS itself"}}
			}
		}
	}
	return out
}

// dnsIsBare reports whether no Service of cluster DNS is among the objects.
func (e *Emulator) dnsIsBare() bool {
	return !slices.ContainsFunc(e.subject.State.Services, func(s service.Service) bool { return s.Name == dnsService })
}

// reconcile lets listen what ought to: Pods that came get stacks and servers, those that went lose their power. The caller has the
// mutex, or is the only one yet.
func (e *Emulator) reconcile() error {
	var want map[place]tenant
	e.do(func() {
		want = e.tenants()
		e.scope.Store(e.scopeOf(want))
	})
	alive := map[netip.Addr]bool{}
	for at := range want {
		alive[at.at.Addr()] = true
	}
	for at, s := range e.places {
		if _, ok := want[at]; ok {
			continue
		}
		s.close()
		delete(e.places, at)
		if a := at.at.Addr(); !alive[a] && !slices.Contains(e.client.Addrs, a) {
			e.do(func() {
				if h := e.fabric.HostOf(a); h != nil && !e.isNode(a) {
					h.Off()
				}
			})
		}
	}
	var list []place
	for at := range want {
		if e.places[at] == nil {
			list = append(list, at)
		}
	}
	slices.SortFunc(list, place.compare)
	mute := 0
	for _, at := range list {
		t := want[at]
		if at.proto != packet.TCP && at.proto != packet.UDP {
			mute++
			continue
		}
		s, err := e.stand(at, t)
		if err != nil {
			return fmt.Errorf("%s %s: %w", at.at, at.proto, err)
		}
		e.places[at] = s
	}
	if mute > 0 {
		e.o.Note(fmt.Sprintf("warning: %d ports of endpoints are left without a server: the stacks of Pods speak TCP and UDP, not SCTP", mute))
	}
	return nil
}

// hostAt finds or makes the host that has an address: a Pod of a modelled node, such a node itself, or a machine outside.
func (e *Emulator) hostAt(a netip.Addr) (h *netstack.Host) {
	e.do(func() {
		if h = e.fabric.HostOf(a); h == nil {
			h = e.addHost(false, a)
		}
		h.On()
	})
	return h
}

// addHost gives addresses a stack: on the local node, on that whose Pod has the address, or outside. It is for functions given to do.
func (e *Emulator) addHost(local bool, addrs ...netip.Addr) *netstack.Host {
	at := e.siteOf(addrs[0])
	if at == nil && local {
		at = e.sites[0].node
	}
	return e.fabric.AddHost(at, nil, addrs...)
}

// isNode reports whether an address is that of a modelled node.
func (e *Emulator) isNode(a netip.Addr) bool {
	return slices.ContainsFunc(e.sites, func(s site) bool { return s.Host.IsNode(a) })
}

// listensAt reports whether something stands at one of some addresses.
func (e *Emulator) listensAt(addrs []netip.Addr) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for at := range e.places {
		if slices.Contains(addrs, at.at.Addr()) {
			return true
		}
	}
	return false
}

// stand lets a tenant listen.
func (e *Emulator) stand(at place, t tenant) (*standing, error) {
	h := e.hostAt(at.at.Addr())
	if at.proto == packet.UDP {
		p, err := h.ListenUDP(at.at)
		if err != nil {
			return nil, err
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			switch {
			case t.dns:
				e.answerNames(p)
			case t.backend != nil:
				t.backend.packets(p, e.o.Note)
			default:
				echoPackets(p, t.who)
			}
		}()
		return &standing{t.who, func() { p.Close(); <-done }}, nil
	}
	l, err := h.ListenTCP(at.at)
	if err != nil {
		return nil, err
	}
	d := newDoor(l)
	d.serve(func(c net.Conn) {
		switch {
		case t.dns:
			e.answerNamesOver(c)
		case t.backend != nil:
			t.backend.serve(d.ctx, c, e.o.Note)
		default:
			e.builtin.serve(c, t.who)
		}
	})
	return &standing{t.who, d.close}, nil
}

// answerNames is cluster DNS over UDP.
func (e *Emulator) answerNames(p net.PacketConn) {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := p.ReadFrom(buf)
		if err != nil {
			return
		}
		if m := e.names.Load().Respond(dns.UDP, buf[:n]); m != nil {
			_, _ = p.WriteTo(m, from) // an answer too large is lost
		}
	}
}

// answerNamesOver is cluster DNS over TCP.
func (e *Emulator) answerNamesOver(c net.Conn) {
	for {
		q, err := readFramed(c)
		if err != nil {
			return
		}
		m := e.names.Load().Respond(dns.TCP, q)
		if m == nil {
			return
		}
		if _, err := c.Write(framed(m)); err != nil {
			return
		}
	}
}
