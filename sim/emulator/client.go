package emulator

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/dns"
	"github.com/svclab/svclab/sim/netstack"
)

// Client is who connections of a door come from.
type Client struct {
	Name  string // "Pod default/web-1", "a Pod of worker-1", "node worker-1"
	Addrs []netip.Addr
	Conf  dns.ResolvConf // of its /etc/resolv.conf

	host  *netstack.Host
	local bool // it is a Pod of the local node, whatever its address
}

// families are the IP versions in the order in which a client prefers them.
var families = [...]packet.Family{packet.IPv4, packet.IPv6}

// clientFrom finds who is meant by a --from. An error is an InputError.
func (e *Emulator) clientFrom(from string) (*Client, error) {
	s := e.subject
	c := &Client{}
	namespace, pod := "default", "client"
	switch a, err := netip.ParseAddr(from); {
	case from == "":
		if c.Addrs, c.local = e.freePod(0), true; len(c.Addrs) == 0 {
			return nil, &InputError{What: "--from", Why: "the local node has no address for another Pod: name one"}
		}
		c.Name = "a Pod of " + s.Host.Name
	case err == nil:
		if a.Zone() != "" || a.Is4In6() || a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() {
			return nil, &InputError{What: "--from", Text: from, Why: "is no address of a host"}
		}
		c.Addrs, c.Name = []netip.Addr{a}, a.String()
		for _, x := range e.sites {
			if x.Host.IsNode(a) && !a.IsLoopback() {
				c.Name, c.Addrs = "node "+x.Host.Name, x.Host.NodeIPs
			}
		}
	default:
		var ok bool
		if namespace, pod, ok = strings.Cut(from, "/"); !ok || namespace == "" || pod == "" {
			return nil, &InputError{What: "--from", Text: from, Why: "is neither an address nor NAMESPACE/POD"}
		}
		if c.Addrs = e.podAddrs(namespace, pod); len(c.Addrs) == 0 {
			return nil, &InputError{What: "--from", Text: from, Why: "is no Pod of the objects that has an address"}
		}
		c.Name = "Pod " + from
	}
	names := e.names.Load()
	p := dns.StandIn(namespace, pod)
	if known, err := names.Pod(namespace, pod); err == nil {
		p = known
	}
	c.Conf = names.ResolvConf(p, names.Domain(), dns.ResolvConf{})
	return c, nil
}

// podAddrs are the addresses of a Pod of the objects.
func (e *Emulator) podAddrs(namespace, name string) (out []netip.Addr) {
	for _, p := range e.subject.Objects.Pods() {
		if p.Name != name || p.Namespace != namespace && (p.Namespace != "" || namespace != "default") {
			continue
		}
		texts := []string{p.Status.PodIP}
		for _, ip := range p.Status.PodIPs {
			texts = append(texts, ip.IP)
		}
		for _, t := range texts {
			if a, err := netip.ParseAddr(t); err == nil && !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out
}

// freePod is the n-th Pod of the local node that nobody else is, with an address for each family of the node's Pod CIDRs,
// or, where it has none, of the Services.
func (e *Emulator) freePod(n int) (out []netip.Addr) {
	for _, f := range families {
		a := e.subject.FreePod(f)
		if !e.subject.Host.IsLocalPod(a) && (len(e.subject.Host.PodCIDRs) > 0 || len(e.subject.State.Ports(f)) == 0) {
			continue // the node has no Pods of this family, or nothing is there for them
		}
		local := e.subject.Host.IsLocalPod(a)
		for i := 0; a.IsValid() && (i < n || e.taken(a)); a = a.Prev() {
			if !e.taken(a) {
				i++
			}
		}
		if a.IsValid() && local == e.subject.Host.IsLocalPod(a) {
			out = append(out, a)
		}
	}
	return out
}

// taken reports whether an endpoint or a Pod of the objects has an address.
func (e *Emulator) taken(a netip.Addr) bool {
	for _, sl := range e.subject.State.Slices {
		for _, x := range sl.Endpoints {
			if slices.Contains(x.Addresses, a) {
				return true
			}
		}
	}
	text := a.String()
	for _, p := range e.subject.Objects.Pods() {
		if p.Status.PodIP == text {
			return true
		}
	}
	return false
}

// settle gives a client a stack of its own, or that of whoever has its address.
func (e *Emulator) settle(c *Client) {
	e.do(func() {
		if c.host = e.fabric.HostOf(c.Addrs[0]); c.host == nil {
			c.host = e.addHost(c.local, c.Addrs...)
		}
	})
}

// dial resolves, asks whether the address is emulated, and connects; of several addresses the first that answers is taken.
func (c *Client) dial(ctx context.Context, e *Emulator, proto packet.Protocol, address string) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &InputError{What: "address", Text: address, Why: "is not HOST:PORT"}
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return nil, &InputError{What: "address", Text: address, Why: "has no port between 1 and 65535"}
	}
	var addrs []netip.Addr
	if a, err := netip.ParseAddr(host); err == nil {
		addrs = []netip.Addr{a.Unmap()}
	} else if addrs, err = c.resolve(ctx, host); err != nil {
		return nil, err
	}
	var failed error
	for _, a := range addrs {
		if !e.inside(a) {
			failed = &OutsideError{Addr: a}
			continue
		}
		if !c.speaks(a) {
			failed = fmt.Errorf("the client has no address of %s: network is unreachable", packet.FamilyOf(a))
			continue
		}
		e.hint(a)
		conn, err := c.host.DialContext(ctx, proto, netip.AddrPortFrom(a, uint16(port)))
		if err == nil {
			return conn, nil
		}
		failed = err
	}
	return nil, failed
}

// hint tells the user, once, that an address is that of a Node whose rules are not there.
func (e *Emulator) hint(a netip.Addr) {
	if e.scope.Load().bare[a] && e.hinted.CompareAndSwap(false, true) {
		e.o.Note(fmt.Sprintf("warning: %s is of a Node that is not modelled, so its node ports do not answer: --all-nodes models all", a))
	}
}

// speaks reports whether the client has an address of the family.
func (c *Client) speaks(a netip.Addr) bool {
	return slices.ContainsFunc(c.Addrs, func(own netip.Addr) bool { return own.Is4() == a.Is4() })
}
