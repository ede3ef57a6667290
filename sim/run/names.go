package run

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/dns"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/scenario"
	"github.com/svclab/svclab/sim/traffic"
)

// naming is the cluster DNS of a run. CoreDNS knows of a change as soon as the API does: it watches, and syncs nothing.
type naming struct {
	cluster *dns.Cluster
	stale   bool                 // the API has changed since
	servers map[netip.Addr]bool  // Pods of CoreDNS, those that were included
	outside map[netip.Addr][]int // machines beyond the cluster that names stand for, and the ports that they listen at; none for all
	under   map[*dns.Steps]bool  // lookups under way
	sockets map[netip.Addr]int   // that a client has opened for lookups
}

// query is what a client sends to name servers at once.
type query struct {
	flow traffic.Flow
	site *site // the node that it comes to
	asks []dns.Ask
	src  []netip.AddrPort // of each
	wait time.Duration
	sent int // messages of the lookup that went before
}

// key is that of the chance of the i-th message.
func (q *query) key(i int) uint64 { return uint64(q.flow.Number) | uint64(q.sent+i+1)<<40 | 1<<63 }

// makeNames loads the cluster DNS, if some traffic goes to a name.
func (e *engine) makeNames() error {
	var first *scenario.Traffic
	for i := range e.scenario.Spec.Traffic {
		if t := &e.scenario.Spec.Traffic[i]; t.To.Name.Value != "" && first == nil {
			first = t
		}
	}
	if first == nil {
		return nil
	}
	if e.subject.IsDump() {
		return e.scenario.Errorf(first.To.Name.At, "a node loaded from a dump has no names")
	}
	n := &naming{servers: map[netip.Addr]bool{}, outside: map[netip.Addr][]int{}, under: map[*dns.Steps]bool{}, sockets: map[netip.Addr]int{}}
	if x := e.scenario.Spec.Names; x != nil {
		for _, o := range x.Outside {
			for _, a := range o.Addresses {
				n.outside[a.Addr] = o.Ports
			}
		}
	}
	e.naming = n
	if err := e.loadNames(); err != nil {
		return err
	}
	if e.subject.service(dnsService) == nil {
		return e.scenario.Errorf(first.To.Name.At, "there is no Service %s to ask for %q; a made cluster has it with dns: 2", dnsService, first.To.Name.Value)
	}
	if e.scenario.Spec.Cluster == nil { // a made one is what kubeadm makes
		e.subject.Warnings = append(e.subject.Warnings, n.cluster.Warnings...)
	}
	return nil
}

// isOutside reports whether an address is a machine's beyond the cluster that a name stands for.
func (e *engine) isOutside(a netip.Addr) bool {
	if e.naming == nil {
		return false
	}
	_, ok := e.naming.outside[a]
	return ok
}

// presence says whether a machine beyond the cluster listens at a port.
func (n *naming) presence(at netip.AddrPort) replay.Presence {
	if ports := n.outside[at.Addr()]; len(ports) == 0 || slices.Contains(ports, int(at.Port())) {
		return replay.Listening
	}
	return replay.Closed
}

// dnsService is where Pods ask for names.
const dnsService = "kube-system/kube-dns"

// loadNames makes the cluster DNS of the API as it stands.
func (e *engine) loadNames() error {
	n := e.naming
	outside := map[string][]netip.Addr{}
	if x := e.scenario.Spec.Names; x != nil {
		for _, o := range x.Outside {
			for _, a := range o.Addresses {
				outside[o.Name.Value] = append(outside[o.Name.Value], a.Addr)
			}
		}
	}
	var err error
	if n.cluster, err = dns.Load(dns.WithEndpoints(e.subject.Objects, e.api.slices), nil, dns.Options{Upstream: dns.Outside(outside)}); err != nil {
		return err
	}
	n.stale = false
	for _, sl := range e.api.slices {
		if sl.Service.String() == dnsService {
			for _, x := range sl.Endpoints {
				n.servers[x.Addresses[0]] = true
			}
		}
	}
	return nil
}

// dns is the cluster DNS of the API as it is now.
func (e *engine) dns() (*dns.Cluster, error) {
	if e.naming.stale {
		if err := e.loadNames(); err != nil {
			return nil, err
		}
	}
	return e.naming.cluster, nil
}

// answer is what a name server at an address says to a message; nil is silence.
func (e *engine) answer(at netip.Addr, t dns.Transport, message []byte) []byte {
	if e.naming == nil || !e.naming.servers[at] {
		return nil
	}
	c, err := e.dns()
	if err != nil { // the objects were read before: only an event could spoil them
		e.fault = err
		return nil
	}
	return c.Respond(t, message)
}

// resolver is how the clients of a traffic look names up.
func (e *engine) resolver(c *dns.Cluster, t *scenario.Traffic, f packet.Family) *dns.Resolver {
	r := t.Resolver
	if r == nil {
		r = &scenario.Resolver{}
	}
	space, libc := r.Namespace, dns.Libc(r.Libc)
	if space == "" {
		space = "default"
	}
	if libc == "" {
		libc = dns.Glibc
	}
	x := c.Client(space, libc, r.Options)
	x.Exact = r.Exact
	// A client has addresses of one family here, and reaches the name servers of that.
	x.Conf.Nameservers = slices.DeleteFunc(slices.Clone(x.Conf.Nameservers), func(a netip.Addr) bool { return packet.FamilyOf(a) != f })
	return x
}

// nowhere stands in for the address of a name that has none: no host has it (RFC 5737, RFC 3849).
var nowhere = [...]netip.Addr{netip.MustParseAddr("192.0.2.254"), netip.MustParseAddr("2001:db8:ffff::fe")}

// named is what a name stands for before the run, for the shares of what is connected to.
func (e *engine) named(t *scenario.Traffic, f packet.Family) (netip.Addr, error) {
	c, err := e.dns()
	if err != nil {
		return netip.Addr{}, err
	}
	s := e.resolver(c, t, f).Start(t.To.Name.Value)
	defer s.Stop()
	for {
		asks, _, more := s.Next()
		if !more {
			break
		}
		var answers [][]byte
		for _, a := range asks {
			answers = append(answers, c.Respond(a.Transport, a.Message))
		}
		s.Answer(answers, 0)
	}
	list, err := s.Addresses()
	if errors.Is(err, dns.ErrBadName) {
		return netip.Addr{}, e.scenario.Errorf(t.To.Name.At, "%q is not a domain name", t.To.Name.Value)
	}
	if i := slices.IndexFunc(list, func(a netip.Addr) bool { return packet.FamilyOf(a) == f }); i >= 0 {
		return list[i], nil
	}
	if f == packet.IPv6 {
		return nowhere[1], nil
	}
	return nowhere[0], nil
}

// resolve looks up the name that a flow goes to; then gets the flow with its destination, or why there is none.
func (e *engine) resolve(now time.Duration, f traffic.Flow, then func(now time.Duration, f traffic.Flow, r replay.Result, why string)) {
	t, w := &e.scenario.Spec.Traffic[f.Group], e.watch[f.Group]
	c, err := e.dns()
	if err != nil {
		e.fault = err
		return
	}
	began, sent := now, 0
	home, _ := e.entry(&f)
	resolver := e.resolver(c, t, packet.FamilyOf(f.Src.Addr()))
	e.follow.begin(f, t, resolver.Conf)
	s := resolver.Start(t.To.Name.Value)
	e.naming.under[s] = true
	sockets := map[int]netip.AddrPort{}
	finish := func(now time.Duration) {
		delete(e.naming.under, s)
		list, err := s.Addresses()
		queries := s.Queries()
		i := slices.IndexFunc(list, func(a netip.Addr) bool { return a.Is4() == f.Src.Addr().Is4() })
		w.lookedUp(now-began, len(queries), err == nil && i >= 0)
		e.follow.queries(now, f, queries, list, err)
		switch {
		case err == nil && i >= 0:
			f.Dst = netip.AddrPortFrom(list[i], f.Dst.Port())
			then(now, f, replay.Answered, "")
		case err == nil:
			then(now, f, replay.Unreachable, fmt.Sprintf("%s has no address of the client's family", t.To.Name.Value))
		case errors.Is(err, dns.ErrTryAgain):
			then(now, f, replay.TimedOut, t.To.Name.Value+": "+err.Error())
		default:
			then(now, f, replay.Unreachable, t.To.Name.Value+": "+err.Error())
		}
	}
	var step func(now time.Duration)
	step = func(now time.Duration) {
		for {
			asks, wait, more := s.Next()
			if !more {
				finish(now)
				return
			}
			if len(asks) == 0 {
				e.pending.Add(e.keyOf(now+wait, f.Number), func(at time.Duration) error {
					s.Answer(nil, wait)
					step(at)
					return nil
				})
				return
			}
			q := query{flow: f, site: home, asks: asks, wait: wait, sent: sent}
			sent += len(asks)
			for _, a := range asks {
				if !sockets[a.Socket].IsValid() {
					sockets[a.Socket] = e.socket(f.Src.Addr())
				}
				q.src = append(q.src, sockets[a.Socket])
			}
			came, late, at := false, false, now
			e.world.ask(now, q, func(then time.Duration, answers [][]byte) {
				s.Answer(answers, then-now)
				if late {
					step(then)
					return
				}
				came, at = true, then
			})
			if late = !came; late {
				return
			}
			now = at
		}
	}
	step(now)
}

// The ports that clients' sockets take one after the other (net.ipv4.ip_local_port_range).
const firstPort, lastPort = 32768, 60999

// socket is the next of a client's sockets for lookups.
func (e *engine) socket(client netip.Addr) netip.AddrPort {
	n := e.naming.sockets[client]
	e.naming.sockets[client]++
	return netip.AddrPortFrom(client, uint16(firstPort+n%(lastPort-firstPort+1)))
}

// endLookups gives up what is under way.
func (e *engine) endLookups() {
	if e.naming != nil {
		for s := range e.naming.under {
			s.Stop()
		}
	}
}
