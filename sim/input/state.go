package input

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/svclab/svclab/datapath/service"
)

func itoa(n int) string { return strconv.Itoa(n) }

// NodeOptions says which node's kube-proxy is meant and how it runs, beside what the inputs say. The zero value takes
// everything from the inputs.
type NodeOptions struct {
	Node   string       // name of the local node; "" for hostnameOverride, or the only Node
	Mode   service.Mode // "" for the configuration's, else iptables
	NFAcct bool         // the kernel offers nfacct counters
}

// Report says how a State came about.
type Report struct {
	Warnings   []Warning // in the order of input; those of reading first
	Suppressed int       // warnings beyond the number that is kept
	Node       *Object   // the local Node, nil for the stand-in
	Config     *Object   // the KubeProxyConfiguration, nil for the defaults
	ModeFrom   string    // "flag", "configuration" or "default"
}

// State puts the objects together as kube-proxy on the local node sees them. Its Config.Mode is never empty. The error
// is a *NodeChoiceError, a *ParseError or Errors.
func (o *Objects) State(opt NodeOptions) (service.State, Report, error) {
	var st service.State
	rep := Report{Warnings: o.Warnings(), Suppressed: o.suppressed, Config: o.config()}
	conf := defaultConfig()
	if rep.Config != nil {
		conf = rep.Config.parsed.(*proxyConfig)
	}
	mode := opt.Mode
	rep.ModeFrom = "flag"
	if mode == "" {
		mode, rep.ModeFrom = conf.common.Mode, "configuration"
	}
	if mode == "" {
		mode, rep.ModeFrom = service.ModeIPTables, "default"
	}
	var err error
	if st.Config, err = conf.in(mode); err != nil {
		return st, rep, err
	}
	st.Config.Mode, st.Config.NFAcct = mode, opt.NFAcct
	if err := o.localNode(&st, &rep, opt.Node); err != nil {
		return st, rep, err
	}
	st.Config.HostnameOverride = st.Node.Name
	for _, x := range o.list {
		if x == nil {
			continue
		}
		switch p := x.parsed.(type) {
		case *service.Service:
			st.Services = append(st.Services, *p)
		case *service.EndpointSlice:
			if p != nil {
				st.Slices = append(st.Slices, *p)
			}
		case []netip.Prefix:
			st.ServiceCIDRs = append(st.ServiceCIDRs, p...)
		}
	}
	o.mirror(&st, &rep)
	return st, rep, o.across(&rep)
}

// localNode chooses the Node that is local, as the command-line contract says.
func (o *Objects) localNode(st *service.State, rep *Report, flag string) error {
	nodes := o.All("Node")
	want, from := flag, "--node"
	if want == "" {
		want, from = st.Config.HostnameOverride, "hostnameOverride"
	}
	for _, n := range nodes {
		if n.Name == want {
			return o.takeNode(st, rep, n)
		}
	}
	switch {
	case len(nodes) == 0:
		st.Node = service.Node{Name: "node", StandIn: true}
		rep.warn(Position{File: o.anyFile()}, "no Node: a stand-in named node, without addresses, Pod CIDR and local endpoints, takes its place")
		return nil
	case len(nodes) == 1 && flag == "":
		if want != "" {
			rep.warn(nodes[0].Position(), "the only Node is %s, hostnameOverride is %q: %s is taken for the local node", quote(nodes[0].Name), want, quote(nodes[0].Name))
		}
		return o.takeNode(st, rep, nodes[0])
	}
	e := &NodeChoiceError{Wanted: want, From: from}
	for _, n := range nodes {
		e.Names = append(e.Names, n.Name)
	}
	slices.Sort(e.Names)
	return e
}

func (o *Objects) takeNode(st *service.State, rep *Report, n *Object) error {
	st.Node = *n.parsed.(*service.Node)
	rep.Node = n
	return nil
}

func (o *Objects) anyFile() string {
	for _, x := range o.list {
		if x != nil {
			return x.file.name
		}
	}
	return "<input>"
}

func (r *Report) warn(p Position, format string, args ...any) {
	r.Warnings = append(r.Warnings, warningf(p, format, args...))
}

// across checks what only all objects together show: allocations given twice, which the API server cannot hold, are
// errors; slices that lead nowhere are warnings, since kube-proxy ignores them.
func (o *Objects) across(rep *Report) error {
	var errs Errors
	taken := map[string]*Object{}
	services := map[service.Name]bool{}
	for _, x := range o.list {
		if x == nil {
			continue
		}
		s, ok := x.parsed.(*service.Service)
		if !ok {
			continue
		}
		services[s.Name] = true
		for _, name := range sortedKeys(x.marks) {
			other := taken[name]
			if other == nil {
				taken[name] = x
				continue
			}
			errs = append(errs, x.file.fault(x.at(name), "%s: %s is already taken by %s (%s): the API server allocates it once", x, name, other, other.at(name)))
			if len(errs) >= maxFaults {
				return errs
			}
		}
	}
	for _, x := range o.list {
		if x == nil {
			continue
		}
		if s, ok := x.parsed.(*service.EndpointSlice); ok && s != nil && !services[s.Service] {
			rep.warn(x.at("service"), "%s belongs to Service %s, which is not given: kube-proxy makes no rules for it", x, s.Service)
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}

func sortedKeys(m map[string]mark) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
