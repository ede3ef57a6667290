package run

import (
	"io/fs"
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/input"
	"github.com/svclab/svclab/sim/scenario"
)

// The functions below let a subject live on: its objects change and its kube-proxy acts on that, while packets pass its node. Times
// are those of the node, and never go back. All of them are for the goroutine that owns the node.

// Change changes objects, and lets kube-proxy sync. Where do fails, or the objects are at fault then, nothing has changed.
func (s *Subject) Change(now time.Duration, do func(*input.Objects) error) error {
	if s.IsDump() {
		return &InputError{What: "objects", Why: "cannot change: the rules were read from a dump"}
	}
	o := s.Objects.Clone()
	if err := do(o); err != nil {
		return err
	}
	st, _, err := o.State(input.NodeOptions{Node: s.Host.Name, Mode: s.Mode, NFAcct: s.options.NFAcct})
	if err != nil {
		return err
	}
	s.Objects = o
	s.State.Services, s.State.Slices, s.State.ServiceCIDRs = st.Services, st.Slices, st.ServiceCIDRs
	s.Node.Advance(now)
	return s.sync(now)
}

// Adopt takes over the objects of another node's subject, and lets kube-proxy sync.
func (s *Subject) Adopt(now time.Duration, from *Subject) error {
	st, _, err := from.Objects.State(input.NodeOptions{Node: s.Host.Name, Mode: s.Mode, NFAcct: s.options.NFAcct})
	if err != nil {
		return err
	}
	s.Objects = from.Objects
	s.State.Services, s.State.Slices, s.State.ServiceCIDRs = st.Services, st.Slices, st.ServiceCIDRs
	s.Node.Advance(now)
	return s.sync(now)
}

// Others are the other Nodes of the objects, each with a datapath of its own.
func (s *Subject) Others() (out []*Subject, err error) {
	for _, n := range s.objectNodes() {
		if n.Name == s.Host.Name {
			continue
		}
		o, err := s.sibling(n.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

// Switch ends kube-proxy and starts it in another mode. What the old process made stays, but for what the new one cleans up at its
// start: between iptables and ipvs, nothing. With cleanUp, `kube-proxy --cleanup` runs in between. It returns what the log of the new
// process tells.
func (s *Subject) Switch(now time.Duration, mode service.Mode, cleanUp bool) ([]string, error) {
	if s.IsDump() {
		return nil, &InputError{What: "mode", Why: "cannot change: the rules were read from a dump"}
	}
	if mode == service.ModeNFTables {
		return nil, &InputError{What: "mode", Text: string(mode), Why: "is not walked: iptables and ipvs are"}
	}
	st, _, err := s.Objects.State(input.NodeOptions{Node: s.Host.Name, Mode: mode, NFAcct: s.options.NFAcct})
	if err != nil {
		return nil, err
	}
	s.State, s.Mode = st, mode
	s.Node.Advance(now)
	if cleanUp {
		if err := s.cleanUp(kubeproxy.AllModes); err != nil {
			return nil, err
		}
	}
	log := kubeproxy.StartLog(&s.State, mode)
	if err := s.cleanUp(kubeproxy.CleanedAtStart(mode)); err != nil {
		return nil, err
	}
	s.proxiers = nil
	for _, f := range families {
		k, err := kubeproxy.New(mode, f, s.State, s.Node.Profile)
		if err != nil {
			return nil, err
		}
		k.Start(s.host())
		s.proxiers = append(s.proxiers, k)
	}
	if err := s.sync(now); err != nil {
		return nil, err
	}
	return append(log, "there is now: "+s.inventory()), nil
}

// Look lets kube-proxy look at the servers that wait for their last connection to end, as it does every minute in ipvs mode.
func (s *Subject) Look(now time.Duration) {
	s.Node.Advance(now)
	s.check(now)
}

// Inventory counts what the node holds: rules, and virtual servers.
func (s *Subject) Inventory() string { return s.inventory() }

// FreePod is an address of a Pod of the local node that is no endpoint; of some Pod, where the node has no Pod CIDR of the family.
func (s *Subject) FreePod(f packet.Family) netip.Addr { return s.somePod(f) }

// FrontEnds lists the addresses and ports under which a Service port is reached, the node's loopback address left out.
func (s *Subject) FrontEnds(f packet.Family, p *service.Port) []netip.AddrPort {
	var out []netip.AddrPort
	for _, e := range s.frontEnds(f, p) {
		if !e.loopback {
			out = append(out, e.to)
		}
	}
	return out
}

// NodeAddrs are the addresses of every Node of the objects, of whatever type.
func (s *Subject) NodeAddrs() (out []netip.Addr) {
	if s.IsDump() {
		return nil
	}
	for _, n := range s.Objects.Nodes() {
		for _, x := range n.Status.Addresses {
			if a, err := netip.ParseAddr(x.Address); err == nil {
				out = append(out, a)
			}
		}
	}
	return out
}

// PodCIDRs are those of every Node of the objects.
func (s *Subject) PodCIDRs() (out []netip.Prefix) {
	for _, n := range s.objectNodes() {
		out = append(out, n.PodCIDRs...)
	}
	return out
}

// NodeOf is the name of the Node whose Pod CIDRs have an address, "" for none.
func (s *Subject) NodeOf(a netip.Addr) string {
	for _, n := range s.objectNodes() {
		for _, p := range n.PodCIDRs {
			if p.Contains(a) {
				return n.Name
			}
		}
	}
	return ""
}

// OfScenario loads a node as a scenario describes it, without its events and traffic. A mode in the options goes before the scenario's.
func OfScenario(sc *scenario.Scenario, files fs.FS, o Options) (*Subject, error) {
	if o.Mode != "" {
		sc.Spec.Mode = string(o.Mode)
	}
	if o.Node != "" {
		sc.Spec.Node = o.Node
	}
	return subjectOf(sc, files, ScenarioOptions{})
}

// Frame gives the packet that is walked next bytes of its own: what a view leaves out is then kept as it is.
func (c *Capture) Frame(b []byte) { c.frame(b) }

// Wants reports whether there is room for another packet.
func (c *Capture) Wants() bool { return c.wants() }

// Know tells a capture what the addresses of a subject's cluster are called.
func (c *Capture) Know(s *Subject) { c.names(s.addressNames()) }
