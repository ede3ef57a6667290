package run

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/kubeproxy"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/input"
	"github.com/svclab/svclab/sim/replay"
)

// Options say how inputs become a node, before what the inputs themselves say.
type Options struct {
	Mode     service.Mode
	Node     string         // name of the local Node
	NodeIPs  []netip.Addr   // of eth0, for dumps
	PodCIDRs []netip.Prefix // of the local node, for dumps
	In       string         // interface that packets arrive by, in place of the one their source belongs to
	Profile  string
	NFAcct   bool

	kernel  *datapath.Profile // in place of the named profile
	applied func(datapath.Op) // told of every operation that changed the node; nil for nobody
	max     int               // nf_conntrack_max; 0 for the profile's
	without []string          // steps of kube-proxy that an older one did not have
}

func (o *Options) profile() (p datapath.Profile, err error) {
	if o.kernel != nil {
		p = *o.kernel
	} else if p, err = ProfileNamed(o.Profile); err != nil {
		return p, err
	}
	if o.max > 0 {
		p.ConntrackMax = o.max
	}
	return p, nil
}

// watchedHost is a model node that tells which operations changed it.
type watchedHost struct {
	kubeproxy.NodeHost
	applied func(datapath.Op)
	without []string
}

func (h watchedHost) Run(op datapath.Op) error {
	if op = older(op, h.without); op == nil {
		return nil
	}
	err := h.NodeHost.Run(op)
	if err == nil && h.applied != nil {
		h.applied(op)
	}
	return err
}

func (s *Subject) host() watchedHost {
	return watchedHost{kubeproxy.NodeHost{Node: s.Node}, s.options.applied, s.options.without}
}

// Subject is what inputs describe: a node loaded with rules, and what is known of the cluster around it.
type Subject struct {
	Objects  *input.Objects // nil for a dump
	State    service.State  // zero for a dump
	Mode     service.Mode
	Host     replay.Host
	Node     *datapath.Node
	Warnings []string

	options    Options
	unmodelled []*iptables.UnsupportedError // rules of a dump that stop a walk
	proxiers   []kubeproxy.Proxier
}

// IsDump reports whether the rules were given, not made from manifests.
func (s *Subject) IsDump() bool { return s.Objects == nil }

// families are the two rule sets of a node, in the order they are loaded.
var families = [...]packet.Family{packet.IPv4, packet.IPv6}

// Load reads manifests or dumps, never both, and loads a node with what they lead to.
func Load(sources []input.Source, o Options) (*Subject, error) {
	dumps := 0
	for _, s := range sources {
		switch k := input.Detect(s.Data); {
		case k == input.KindIPTables, k == input.KindIPSet, k == input.KindIPVSAdm, k == input.KindSections:
			dumps++
		case k == input.KindUnknown:
			return nil, fmt.Errorf("%s:1: %w", sourceName(s.Name), input.ErrNotInput)
		case k.IsDump():
			return nil, fmt.Errorf("%s:1: %s output cannot be walked; iptables-save, ipvsadm -Sn, ipset save and manifests can", sourceName(s.Name), k)
		}
	}
	switch dumps {
	case 0:
		return loadManifests(sources, o)
	case len(sources):
		return loadDumps(sources, o)
	}
	return nil, &InputError{What: "-f", Why: "manifests and dumps are mixed; give one or the other"}
}

func readState(sources []input.Source, o Options) (*Subject, error) {
	objects, err := input.Read(sources)
	if err != nil {
		return nil, err
	}
	s := &Subject{Objects: objects, options: o}
	return s, s.resolve()
}

// resolve derives state and mode from the objects.
func (s *Subject) resolve() error {
	state, found, err := s.Objects.State(input.NodeOptions{Node: s.options.Node, Mode: s.options.Mode, NFAcct: s.options.NFAcct})
	if err != nil {
		return err
	}
	s.Warnings = nil
	for _, w := range found.Warnings {
		s.Warnings = append(s.Warnings, w.String())
	}
	s.State, s.Mode = state, state.Config.Mode
	if s.Mode == service.ModeIPVS {
		s.Warnings = append(s.Warnings, kubeproxy.IPVSDeprecation)
	}
	s.Host = replay.NewHost(&s.State)
	if s.State.Node.StandIn {
		s.Host.NodeIPs = standIn
	}
	return nil
}

func loadManifests(sources []input.Source, o Options) (*Subject, error) {
	s, err := readState(sources, o)
	if err != nil {
		return nil, err
	}
	return s, s.start()
}

// start makes the node and runs kube-proxy's first sync on it.
func (s *Subject) start() error {
	p, err := s.options.profile()
	if err != nil {
		return err
	}
	p.NFAcct = s.State.Config.NFAcct
	s.Node = datapath.NewNode(p, s.Host.Routes())
	s.proxiers = nil
	for _, f := range families {
		k, err := kubeproxy.New(s.Mode, f, s.State, p)
		if err != nil {
			return err
		}
		k.Start(s.host())
		s.proxiers = append(s.proxiers, k)
	}
	return s.sync(0)
}

// sync brings the node to the state, as kube-proxy does at a moment.
func (s *Subject) sync(now time.Duration) error {
	state := s.told()
	for i, k := range s.proxiers {
		r, err := k.Sync(now, state, s.host(), kubeproxy.Options{})
		if err == nil {
			err = r.Err
		}
		if err != nil {
			return fmt.Errorf("kube-proxy, %s, %s: %w", s.Mode, families[i], err)
		}
	}
	return nil
}

// standIn are the addresses of a node that was not given any: every node has some, and MASQUERADE takes them. They are of
// ranges for documentation (RFC 5737, RFC 3849).
var standIn = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8:ffff::1")}

func loadDumps(sources []input.Source, o Options) (*Subject, error) {
	p, err := o.profile()
	if err != nil {
		return nil, err
	}
	s := &Subject{options: o, Mode: service.ModeIPTables}
	if len(o.NodeIPs) == 0 {
		s.Warnings = append(s.Warnings, fmt.Sprintf("the dump names no node: %s and %s stand in for its addresses; --node-ip and --pod-cidr give them", standIn[0], standIn[1]))
		o.NodeIPs = standIn
	}
	s.Host = replay.Host{Name: "node", NodeIPs: o.NodeIPs, PodCIDRs: o.PodCIDRs, PodInterface: "pod0"}
	s.Node = datapath.NewNode(p, s.Host.Routes())
	parts, err := partsOf(sources)
	if err != nil {
		return nil, err
	}
	if err := s.loadIPVS(parts); err != nil {
		return nil, err
	}
	for _, part := range parts {
		if part.kind != input.KindIPTables {
			continue
		}
		name := part.name
		dump, err := iptables.ReadDump(name, []byte(part.text))
		if err != nil {
			return nil, err
		}
		for _, w := range dump.Warnings {
			s.Warnings = append(s.Warnings, fmt.Sprintf("%s:%d: warning: %s", name, w.Line, w.Text))
		}
		s.unmodelled = append(s.unmodelled, dump.Unmodelled()...)
		for _, rs := range dump.Rulesets {
			if err := s.emptySets(name, rs); err != nil {
				return nil, err
			}
			op := datapath.IPTablesRestore{Family: rs.Family, Counters: true, NoFlush: true, Text: rs.Print(iptables.Save, true)}
			if err := s.host().Run(op); err != nil {
				return nil, located(err, name)
			}
		}
	}
	return s, nil
}

// located takes the wrapping of a single operation off and names the file that its text came from.
func located(err error, name string) error {
	var op *datapath.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var at *iptables.PositionError
	if errors.As(err, &at) { // its line is of the text as loaded, not of the file
		err = at.Err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// problem names the file and line of a rule that is not modelled, when the rules were read from a dump.
func (s *Subject) problem(err error) error {
	var u *iptables.UnsupportedError
	if errors.As(err, &u) {
		for _, known := range s.unmodelled {
			if known.Text == u.Text && known.Construct == u.Construct {
				return known
			}
		}
	}
	return err
}

func sourceName(name string) string {
	if name == "" || name == "-" {
		return "<stdin>"
	}
	return name
}
