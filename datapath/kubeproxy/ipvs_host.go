package kubeproxy

import (
	"net/netip"

	"github.com/svclab/svclab/datapath/ipset"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/route"
)

// IPVSHost is a Host whose virtual servers, sets and addresses can be read, as the ipvs mode needs.
type IPVSHost interface {
	Host
	// VirtualServers lists the virtual services, in any order.
	VirtualServers() []ipvs.ServiceConfig
	// VirtualServer finds one of them.
	VirtualServer(ipvs.ServiceKey) (ipvs.ServiceConfig, bool)
	// RealServers lists the servers of a service with their connections; false where there is no such service.
	RealServers(ipvs.ServiceKey) ([]RealServer, bool)
	// Addresses lists the addresses on an interface; false where there is no such interface.
	Addresses(iface string) ([]netip.Addr, bool)
	// SetEntries lists what is in a set, as the host spells it; false where there is no such set.
	SetEntries(name string) ([]string, bool)
	// SysctlValue returns a kernel parameter, "" where it is not known.
	SysctlValue(key string) string
}

var (
	_ IPVSHost = NodeHost{}
	_ IPVSHost = (*RulesHost)(nil)
)

// RealServer is a server of a virtual service and how many connections refer to it.
type RealServer struct {
	ipvs.DestinationConfig
	Active, Inactive int
}

func virtualServers(t *ipvs.Table) []ipvs.ServiceConfig {
	var out []ipvs.ServiceConfig
	for _, s := range t.Services() {
		out = append(out, s.ServiceConfig)
	}
	return out
}

func virtualServer(t *ipvs.Table, k ipvs.ServiceKey) (ipvs.ServiceConfig, bool) {
	s := t.Service(k)
	if s == nil {
		return ipvs.ServiceConfig{}, false
	}
	return s.ServiceConfig, true
}

func addressesOn(t *route.Table, iface string) ([]netip.Addr, bool) {
	for _, i := range t.Interfaces() {
		if i.Name == iface {
			out := make([]netip.Addr, 0, len(i.Addresses))
			for _, p := range i.Addresses {
				out = append(out, p.Addr())
			}
			return out, true
		}
	}
	return nil, false
}

func realServers(t *ipvs.Table, k ipvs.ServiceKey) ([]RealServer, bool) {
	s := t.Service(k)
	if s == nil {
		return nil, false
	}
	out := make([]RealServer, 0, s.Len())
	for _, d := range s.Destinations() {
		out = append(out, RealServer{d.DestinationConfig, d.Active, d.Inactive})
	}
	return out, true
}

func setEntries(st *ipset.Store, name string, style ipset.Style) ([]string, bool) {
	s := st.Set(name)
	if s == nil {
		return nil, false
	}
	var out []string
	for _, e := range s.Entries() {
		out = append(out, s.SpellAs(e, style))
	}
	return out, true
}

// VirtualServers lists the node's virtual services.
func (h NodeHost) VirtualServers() []ipvs.ServiceConfig { return virtualServers(h.Node.IPVS) }

// VirtualServer finds a virtual service.
func (h NodeHost) VirtualServer(k ipvs.ServiceKey) (ipvs.ServiceConfig, bool) {
	return virtualServer(h.Node.IPVS, k)
}

// RealServers lists the servers of a service.
func (h NodeHost) RealServers(k ipvs.ServiceKey) ([]RealServer, bool) {
	return realServers(h.Node.IPVS, k)
}

// Addresses lists the addresses on an interface.
func (h NodeHost) Addresses(iface string) ([]netip.Addr, bool) {
	return addressesOn(h.Node.Routes, iface)
}

// SetEntries lists what is in a set, as the kernel spells it.
func (h NodeHost) SetEntries(name string) ([]string, bool) {
	return setEntries(h.Node.Sets, name, ipset.Save)
}

// SysctlValue returns a kernel parameter that was set.
func (h NodeHost) SysctlValue(key string) string { return h.Node.Sysctl(key) }

// VirtualServers lists the virtual services.
func (h *RulesHost) VirtualServers() []ipvs.ServiceConfig { return virtualServers(h.IPVS) }

// VirtualServer finds a virtual service.
func (h *RulesHost) VirtualServer(k ipvs.ServiceKey) (ipvs.ServiceConfig, bool) {
	return virtualServer(h.IPVS, k)
}

// RealServers lists the servers of a service.
func (h *RulesHost) RealServers(k ipvs.ServiceKey) ([]RealServer, bool) {
	return realServers(h.IPVS, k)
}

// Addresses lists the addresses on an interface.
func (h *RulesHost) Addresses(iface string) ([]netip.Addr, bool) { return addressesOn(h.Routes, iface) }

// SetEntries lists what is in a set, as kube-proxy spells it.
func (h *RulesHost) SetEntries(name string) ([]string, bool) {
	return setEntries(h.Sets, name, ipset.Native)
}

// SysctlValue returns a kernel parameter that was set.
func (h *RulesHost) SysctlValue(key string) string { return h.Sysctl(key) }
