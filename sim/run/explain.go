package run

import (
	"cmp"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/datapath/share"
	"github.com/svclab/svclab/sim/check"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/spelling"
)

// ExplainRequest names a Service port, or for a dump a destination.
type ExplainRequest struct {
	Service string         // NS/NAME or NS/NAME:PORT, by name or number; "" for To
	To      netip.AddrPort // destination, when there is no Service
	From    netip.Addr     // source of the cluster-IP path; invalid for a Pod of the local node
	Proto   packet.Protocol
	Family  packet.Family // 0 for the first that the Service has
}

// Explain says every path of a Service with its exact shares.
func (s *Subject) Explain(q ExplainRequest) (*report.Explanation, error) {
	if q.Service == "" {
		return s.explainAddress(q)
	}
	port, family, err := s.findPort(q)
	if err != nil {
		return nil, err
	}
	e := s.explanation(q.Service)
	e.Service = port.Name.String() + ":" + port.PortName.Port
	c := s.classes(family, port)
	from := q.From
	if !from.IsValid() {
		from = c.pod
	}
	main, shares, err := s.way(frontEnd{kind: "cluster IP", to: netip.AddrPortFrom(port.ClusterIP, port.Port)}, "pod", from, port.Protocol)
	if err != nil {
		return nil, err
	}
	e.Backends = main.Backends
	judge(e, shares)
	s.scheduled(e, port.Protocol, netip.AddrPortFrom(from, clientPort), netip.AddrPortFrom(port.ClusterIP, port.Port))
	if port.AffinityTimeout > 0 {
		e.Notes = append(e.Notes, fmt.Sprintf("Session affinity: a client comes back to its endpoint for %s; the shares are those of its first connection.", port.AffinityTimeout))
	}
	for _, f := range s.frontEnds(family, port) {
		for _, class := range c.list() {
			if f.loopback != (class.name == "loopback") && f.loopback {
				continue
			}
			w, _, err := s.way(f, class.name, class.addr, port.Protocol)
			if err != nil {
				return nil, err
			}
			e.Paths = append(e.Paths, w)
		}
	}
	return e, nil
}

func (s *Subject) explanation(service string) *report.Explanation {
	return &report.Explanation{
		SchemaVersion: report.SchemaVersion, Kind: "Explanation", Service: service, Mode: string(s.Mode),
		Backends: []report.Target{}, Paths: []report.Way{},
	}
}

func (s *Subject) explainAddress(q ExplainRequest) (*report.Explanation, error) {
	if !q.To.IsValid() {
		return nil, &InputError{What: "explain", Why: "name a Service (svc/NS/NAME), or with a dump a destination (--to IP:PORT)"}
	}
	e := s.explanation(q.To.String())
	from := q.From
	if !from.IsValid() {
		from = s.somePod(packet.FamilyOf(q.To.Addr()))
	}
	if packet.FamilyOf(from) != packet.FamilyOf(q.To.Addr()) {
		return nil, &InputError{What: "--from", Text: from.String(), Why: "is not of the family of " + q.To.String()}
	}
	w, shares, err := s.way(frontEnd{to: q.To}, s.classOf(from), from, q.Proto)
	if err != nil {
		return nil, err
	}
	e.Backends = w.Backends
	judge(e, shares)
	s.scheduled(e, q.Proto, netip.AddrPortFrom(from, clientPort), q.To)
	e.Paths = []report.Way{w}
	return e, nil
}

// judge fills in what the shares say of evenness.
func judge(e *report.Explanation, shares []share.Fraction) {
	u := share.UniformityOf(shares)
	e.Uniform, e.MaxDeviation = u.Uniform, "0"
	if len(shares) == 0 {
		return
	}
	e.MaxDeviation = u.Worst.String()
	// The shares as fractions near the exact ones: a thousand draws make numbers of thousands of digits, which tell no more.
	near := make([]*big.Rat, len(shares))
	for i, d := range u.Relative {
		r := new(big.Rat).SetFloat64(d)
		near[i] = r.Quo(r.Add(r, big.NewRat(1, 1)), big.NewRat(int64(len(shares)), 1))
	}
	if n, some := check.SamplesToNotice(near); some {
		e.SamplesToNotice = report.Num(n)
	}
}

// frontEnd is an address and port under which a Service is reached.
type frontEnd struct {
	kind     string
	to       netip.AddrPort
	loopback bool // only the node itself can reach it
}

// frontEnds lists every front end of a Service port: cluster IP, node port on each address of the node, external and
// load-balancer addresses.
func (s *Subject) frontEnds(f packet.Family, p *service.Port) []frontEnd {
	out := []frontEnd{{kind: "cluster IP", to: netip.AddrPortFrom(p.ClusterIP, p.Port)}}
	if p.NodePort != 0 {
		for _, a := range s.Host.NodeIPs {
			if packet.FamilyOf(a) == f {
				out = append(out, frontEnd{kind: "node port", to: netip.AddrPortFrom(a, p.NodePort)})
			}
		}
		out = append(out, frontEnd{kind: "node port", to: netip.AddrPortFrom(loopback(f), p.NodePort), loopback: true})
	}
	for _, a := range p.ExternalIPs {
		out = append(out, frontEnd{kind: "external IP", to: netip.AddrPortFrom(a, p.Port)})
	}
	for _, a := range p.LoadBalancerIPs {
		out = append(out, frontEnd{kind: "load balancer", to: netip.AddrPortFrom(a, p.Port)})
	}
	return out
}

// way asks what becomes of a first packet from a source to a front end; it returns the shares of its backends beside it.
func (s *Subject) way(f frontEnd, class string, from netip.Addr, proto packet.Protocol) (w report.Way, shares []share.Fraction, err error) {
	w = report.Way{To: f.to.String(), From: class, Kind: f.kind, Verdict: "accept", Backends: []report.Target{}}
	in := s.ingress(from)
	outcomes, err := share.Of(s.Node, 0, in, replay.FirstPacket(proto, netip.AddrPortFrom(from, clientPort), f.to))
	if err != nil {
		return w, nil, err
	}
	best, most := -1, 0.0 // the likeliest outcome names the verdict
	for i, o := range outcomes {
		if o.Problem != nil {
			return w, nil, s.problem(o.Problem)
		}
		p := o.Probability.Float64()
		if p > most {
			best, most = i, p
		}
		if !o.Endpoint.IsValid() {
			continue
		}
		shares = append(shares, o.Probability)
		w.Backends = append(w.Backends, report.Target{
			Endpoint: o.Endpoint.String(), Probability: o.Probability.String(), Decimal: report.DecimalOf(p),
			RulesPassed: o.Work.Rules, Masquerade: o.Masquerade, Exact: inexact(o.Probability),
		})
		// The hairpin path is told by its own endpoint: there the source must be hidden.
		if class != "hairpin" || o.Endpoint.Addr() == from {
			w.Masquerade = w.Masquerade || o.Masquerade
		}
	}
	if best >= 0 {
		o := outcomes[best]
		w.Verdict = verdict(o.Fate, o.Endpoint.IsValid())
		if o.Fate == datapath.Rejected {
			w.RejectWith = o.With.With
		}
	}
	return w, shares, nil
}

// classes are sources that stand for all others of their kind.
type classes struct {
	pod, hairpin, node, otherNode, external, loopback netip.Addr
}

type class struct {
	name string
	addr netip.Addr
}

func (c classes) list() []class {
	all := []class{{"pod", c.pod}, {"hairpin", c.hairpin}, {"node", c.node}, {"othernode", c.otherNode}, {"external", c.external}, {"loopback", c.loopback}}
	return slices.DeleteFunc(all, func(k class) bool { return !k.addr.IsValid() })
}

func (s *Subject) classes(f packet.Family, p *service.Port) classes {
	c := classes{pod: s.somePod(f), otherNode: s.otherNode(f), external: outside(f), loopback: loopback(f)}
	for _, a := range s.Host.NodeIPs {
		if packet.FamilyOf(a) == f {
			c.node = a
			break
		}
	}
	for _, a := range s.endpoints(f, p) {
		if !c.hairpin.IsValid() || s.Host.IsLocalPod(a) && !s.Host.IsLocalPod(c.hairpin) {
			c.hairpin = a
		}
	}
	return c
}

// endpoints lists the addresses behind a Service port.
func (s *Subject) endpoints(f packet.Family, p *service.Port) []netip.Addr {
	var out []netip.Addr
	for _, sl := range s.State.Slices {
		if sl.Service != p.Name || sl.Family != f {
			continue
		}
		for _, e := range sl.Endpoints {
			out = append(out, e.Addresses...)
		}
	}
	return out
}

// somePod is an address of a Pod of the local node that is no endpoint: the last of its Pod CIDR but one. A node without
// Pod CIDR has a Pod somewhere in the cluster's range, or else in a range of documentation.
func (s *Subject) somePod(f packet.Family) netip.Addr {
	for _, list := range [][]netip.Prefix{s.Host.PodCIDRs, s.State.Config.ClusterCIDRs} {
		for _, p := range list {
			if packet.FamilyOf(p.Addr()) == f {
				return spare(p)
			}
		}
	}
	if f == packet.IPv6 {
		return netip.MustParseAddr("2001:db8:a::7")
	}
	return netip.MustParseAddr("198.51.100.7")
}

// spare is the last address of a prefix but one.
func spare(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	if prev := a.Prev(); p.Contains(prev) {
		return prev
	}
	return a
}

// otherNode is an address beside the node's own.
func (s *Subject) otherNode(f packet.Family) netip.Addr {
	for _, a := range s.Host.NodeIPs {
		if packet.FamilyOf(a) == f {
			for n := a.Next(); n.IsValid(); n = n.Next() {
				if !s.Host.IsNode(n) {
					return n
				}
			}
		}
	}
	return netip.Addr{}
}

// outside is an address of documentation (RFC 5737, RFC 3849): a client outside the cluster.
func outside(f packet.Family) netip.Addr {
	if f == packet.IPv6 {
		return netip.MustParseAddr("2001:db8::7")
	}
	return netip.MustParseAddr("203.0.113.7")
}

func loopback(f packet.Family) netip.Addr {
	if f == packet.IPv6 {
		return netip.IPv6Loopback()
	}
	return netip.MustParseAddr("127.0.0.1")
}

func (s *Subject) classOf(a netip.Addr) string {
	switch {
	case a.IsLoopback():
		return "loopback"
	case s.Host.IsNode(a):
		return "node"
	case s.Host.IsLocalPod(a):
		return "pod"
	}
	return "external"
}

// findPort finds the Service port that a request names.
func (s *Subject) findPort(q ExplainRequest) (*service.Port, packet.Family, error) {
	if s.IsDump() {
		return nil, 0, &InputError{What: "explain", Text: q.Service, Why: "a dump knows no Services; name a destination: --to IP:PORT"}
	}
	name, want, _ := strings.Cut(strings.TrimPrefix(q.Service, "svc/"), ":")
	if strings.Count(name, "/") != 1 {
		return nil, 0, &InputError{What: "Service", Text: q.Service, Why: "is not NS/NAME or NS/NAME:PORT"}
	}
	order := families[:]
	if q.Family != 0 {
		order = []packet.Family{q.Family}
	} else if sv := s.service(name); sv != nil && len(sv.ClusterIPs) > 0 {
		order = []packet.Family{packet.FamilyOf(sv.ClusterIPs[0])}
	}
	var names []string
	for _, f := range order {
		ports := s.State.Ports(f)
		for i := range ports {
			p := &ports[i]
			if p.Name.String() != name {
				names = append(names, p.Name.String())
				continue
			}
			names = append(names, name+":"+cmp.Or(p.PortName.Port, strconv.Itoa(int(p.Port))))
			if want == "" || want == p.PortName.Port || want == strconv.Itoa(int(p.Port)) {
				return p, f, nil
			}
		}
	}
	for _, sv := range s.State.Services {
		if sv.Name.String() == name && sv.Skip() != "" {
			return nil, 0, &InputError{What: "Service", Text: name, Why: "has no rules: " + sv.Skip()}
		}
	}
	slices.Sort(names)
	full := strings.TrimSuffix(name+":"+want, ":")
	return nil, 0, &UnknownError{What: "Service port", Name: full, Nearest: spelling.Nearest(full, slices.Compact(names))}
}

func (s *Subject) service(name string) *service.Service {
	for i := range s.State.Services {
		if s.State.Services[i].Name.String() == name {
			return &s.State.Services[i]
		}
	}
	return nil
}
