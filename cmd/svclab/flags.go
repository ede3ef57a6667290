package main

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
	"github.com/svclab/svclab/sim/input"
	"github.com/svclab/svclab/sim/run"
)

// subjectFlags are the flags that say what is looked at: inputs, the local node, the kernel.
type subjectFlags struct {
	files             []string
	mode, node, in    string
	nodeIPs, podCIDRs []string
	profile           string
	nfacct            bool
}

func (f *subjectFlags) add(c *cobra.Command, dumps bool) {
	s := c.Flags()
	s.StringArrayVarP(&f.files, "file", "f", nil, "manifests or a dump; - is standard input (repeatable)")
	s.StringVar(&f.mode, "mode", "", "kube-proxy's mode: iptables, ipvs or nftables (default: the configuration's, else iptables)")
	s.StringVar(&f.node, "node", "", "name of the local Node (default: hostnameOverride, or the only one)")
	s.StringVar(&f.profile, "profile", "", "kernel profile: "+strings.Join(run.ProfileNames(), ", "))
	s.BoolVar(&f.nfacct, "nfacct", false, "the kernel offers nfacct counters")
	if dumps {
		s.StringVar(&f.in, "in", "", "interface the packet arrives by (default: where its source belongs)")
		s.StringSliceVar(&f.nodeIPs, "node-ip", nil, "addresses of the node, for dumps")
		s.StringSliceVar(&f.podCIDRs, "pod-cidr", nil, "addresses of the node's Pods, for dumps")
	}
}

func (f *subjectFlags) options() (o run.Options, err error) {
	o = run.Options{Node: f.node, In: f.in, Profile: f.profile, NFAcct: f.nfacct}
	if o.Mode, err = parseMode(f.mode); err != nil {
		return o, err
	}
	for _, t := range f.nodeIPs {
		a, err := netip.ParseAddr(strings.TrimSpace(t))
		if err != nil {
			return o, fmt.Errorf("--node-ip: %q is not an IP address", t)
		}
		o.NodeIPs = append(o.NodeIPs, a)
	}
	for _, t := range f.podCIDRs {
		p, err := netip.ParsePrefix(strings.TrimSpace(t))
		if err != nil {
			return o, fmt.Errorf("--pod-cidr: %q is not an IP prefix", t)
		}
		o.PodCIDRs = append(o.PodCIDRs, p.Masked())
	}
	return o, nil
}

func parseMode(s string) (service.Mode, error) {
	switch m := service.Mode(s); m {
	case "", service.ModeIPTables, service.ModeIPVS, service.ModeNFTables:
		return m, nil
	}
	return "", fmt.Errorf("--mode: %q is not a mode: iptables, ipvs and nftables are", s)
}

// load reads the inputs and loads the node.
func (a *app) load(f *subjectFlags) (*run.Subject, error) {
	o, err := f.options()
	if err != nil {
		return nil, err
	}
	sources, err := a.read(f.files)
	if err != nil {
		return nil, err
	}
	s, err := run.Load(sources, o)
	if err != nil {
		return nil, err
	}
	a.warn(s.Warnings)
	return s, nil
}

// read reads the named files.
func (a *app) read(names []string) ([]input.Source, error) {
	if len(names) == 0 {
		return nil, fmt.Errorf("no input: give files with -f (- is standard input)")
	}
	var out []input.Source
	for _, n := range names {
		data, err := a.readFile(n)
		if err != nil {
			return nil, err
		}
		out = append(out, input.Source{Name: n, Data: data})
	}
	return out, nil
}

func (a *app) readFile(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(a.in)
	}
	return os.ReadFile(name)
}

func parseFamily(s string) (packet.Family, error) {
	switch s {
	case "ipv4":
		return packet.IPv4, nil
	case "ipv6":
		return packet.IPv6, nil
	case "":
		return 0, nil
	}
	return 0, fmt.Errorf("--family: %q is not a family: ipv4 and ipv6 are", s)
}

// parseEnd reads an address with or without a port.
func parseEnd(flag, s string, needPort bool) (netip.AddrPort, error) {
	if s == "" {
		return netip.AddrPort{}, fmt.Errorf("%s is missing", flag)
	}
	if ap, err := netip.ParseAddrPort(s); err == nil && ap.Port() != 0 {
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
	}
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil && a.Zone() == "" && !needPort {
		return netip.AddrPortFrom(a, 0), nil
	}
	host, port, ok := cutPort(s)
	if ok {
		if _, err := netip.ParseAddr(host); err == nil {
			return netip.AddrPort{}, fmt.Errorf("%s: port %q of %q is not between 1 and 65535", flag, port, s)
		}
		return netip.AddrPort{}, fmt.Errorf("%s: %q is not an IP address", flag, host)
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPort{}, fmt.Errorf("%s: %q has no port", flag, s)
	}
	return netip.AddrPort{}, fmt.Errorf("%s: %q is not an IP address", flag, s)
}

func cutPort(s string) (host, port string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.Count(s, ":") > 1 && !strings.HasPrefix(s, "[") {
		return "", "", false
	}
	return strings.Trim(s[:i], "[]"), s[i+1:], true
}
