package kubeproxy

import (
	"net/netip"
	"slices"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// port makes the virtual servers of one Service port and notes its entries of sets.
func (x *ipvsSync) port(p *service.Port, all []service.Backend) {
	// A Pod that reaches itself through its Service must see another source than its own address.
	for i := range all {
		if b := &all[i]; b.Local {
			x.want.add(setLoopBack, entryIPPortIP(b.Addr.Addr(), p.Protocol, b.Addr.Port(), b.Addr.Addr()))
		}
	}
	use := service.Select(p, all, x.topology)

	x.want.add(setClusterIP, entryIPPort(p.ClusterIP, p.Protocol, p.Port))
	x.virtual(p, netip.AddrPortFrom(p.ClusterIP, p.Port), true, servers(use, p.InternalLocal))

	for _, a := range p.ExternalIPs {
		set := setExternalIP
		if p.ExternalLocal {
			set = setExternalLocal
		}
		x.want.add(set, entryIPPort(a, p.Protocol, p.Port))
		x.virtual(p, netip.AddrPortFrom(a, p.Port), !x.own[a], servers(use, p.ExternalLocal))
	}
	for _, a := range p.LoadBalancerIPs {
		x.loadBalancer(p, a)
		x.virtual(p, netip.AddrPortFrom(a, p.Port), !x.own[a], servers(use, p.ExternalLocal))
	}
	if p.NodePort != 0 {
		if len(x.nodePortIPs) == 0 {
			return // without the health check port, as kube-proxy does
		}
		x.nodePort(p)
		for _, a := range x.nodePortIPs {
			x.virtual(p, netip.AddrPortFrom(a, p.NodePort), false, servers(use, p.ExternalLocal))
		}
	}
	if p.HealthCheckNodePort != 0 {
		x.want.add(setHealthNodePort, entryPort(p.HealthCheckNodePort))
	}
}

// servers are the endpoints that one front end leads to. A policy Local without local endpoints falls back to all, so that
// Pods of this node are served; answers to clients outside have the wrong source then.
func servers(use service.Usable, local bool) []service.Backend {
	if local && len(use.Local) > 0 {
		return use.Local
	}
	return use.Cluster
}

// loadBalancer notes the entries of a load-balancer address.
func (x *ipvsSync) loadBalancer(p *service.Port, a netip.Addr) {
	entry := entryIPPort(a, p.Protocol, p.Port)
	x.want.add(setLoadBalancer, entry)
	if p.ExternalLocal {
		x.want.add(setLBLocal, entry)
	}
	if len(p.SourceRanges) == 0 {
		return
	}
	x.want.add(setLBFirewall, entry)
	node := false
	for _, r := range p.SourceRanges {
		x.want.add(setLBSourceCIDR, entryIPPortNet(a, p.Protocol, p.Port, r))
		node = node || r.Contains(x.nodeIP)
	}
	if node { // from the node itself, the source is the load balancer's address, which is bound to kube-ipvs0
		x.want.add(setLBSourceIP, entryIPPortIP(a, p.Protocol, p.Port, a))
	} else {
		x.barred = append(x.barred, barredAddress{a, p.Protocol, p.Port})
	}
}

// nodePort notes the entries of a node port. bitmap:port knows TCP and UDP only, so SCTP has sets with the addresses.
func (x *ipvsSync) nodePort(p *service.Port) {
	all, local := setNodePortTCP, setLocalPortTCP
	entries := []string{entryPort(p.NodePort)}
	switch p.Protocol {
	case packet.UDP:
		all, local = setNodePortUDP, setLocalPortUDP
	case packet.SCTP:
		all, local = setNodePortSCTP, setLocalPortSCTP
		entries = nil
		for _, a := range x.nodePortIPs {
			entries = append(entries, entryIPPort(a, p.Protocol, p.NodePort))
		}
	}
	for _, e := range entries {
		x.want.add(all, e)
		if p.ExternalLocal {
			x.want.add(local, e)
		}
	}
}

// virtual makes or changes a virtual server, binds its address and brings its servers in line.
func (x *ipvsSync) virtual(p *service.Port, at netip.AddrPort, bind bool, backends []service.Backend) {
	c := ipvs.ServiceConfig{Key: ipvs.AddressService(p.Protocol, at), Scheduler: x.p.scheduler, Persistence: p.AffinityTimeout}
	if x.p.scheduler == "mh" {
		c.Flags = ipvs.MHPort
	}
	if err := x.ensureService(c, bind); err != nil {
		x.logf("ERROR Failed to sync service servicePortName=", p.PortName.String(), " virtualServer=", virtualName(c.Key), " err=", err.Error())
		return
	}
	x.services[c.Key] = true
	if bind {
		x.addresses[at.Addr()] = true
	}
	x.syncServers(c.Key, backends)
}

func (x *ipvsSync) ensureService(c ipvs.ServiceConfig, bind bool) error {
	have, exists := x.ipvsHost.VirtualServer(c.Key)
	var err error
	switch {
	case !exists:
		err = x.do(datapath.IPVSServiceAdd{Service: c})
	case have.Scheduler != c.Scheduler || have.Flags != c.Flags || have.Persistence != c.Persistence || have.OnePacket:
		err = x.do(datapath.IPVSServiceEdit{Service: c})
	}
	a := c.Key.Addr.Addr()
	if err != nil || !bind || x.bound[a] || x.addresses[a] {
		return err
	}
	return x.do(datapath.AddressAdd{Interface: DummyInterface, Prefix: netip.PrefixFrom(a, a.BitLen())})
}

// syncServers adds servers that are missing and takes out those that are not wanted. A server that waits for its last
// connection is deleted and added anew when it is wanted again; other weights stay as they are, but at the first sync.
func (x *ipvsSync) syncServers(k ipvs.ServiceKey, backends []service.Backend) {
	have, _ := x.ipvsHost.RealServers(k)
	present := make(map[netip.AddrPort]bool, len(have))
	for _, s := range have {
		present[s.Addr] = true
	}
	wanted := make(map[netip.AddrPort]bool, len(backends))
	for i := range backends {
		a := backends[i].Addr
		wanted[a] = true
		server := ipvs.DestinationConfig{Addr: a, Weight: 1}
		w := waiting{k, a}
		if present[a] {
			if !x.p.synced {
				x.resetWeights(k, server, have)
			}
			if _, waits := x.p.waiting[w.name()]; !waits {
				continue
			}
			if err := x.do(datapath.IPVSDestinationDelete{Key: k, Server: a}); err != nil {
				x.logf("ERROR Failed to delete endpoint in gracefulDeleteQueue endpoint=", a.String(), " err=", err.Error())
				continue
			}
			delete(x.p.waiting, w.name())
		}
		if err := x.do(datapath.IPVSDestinationAdd{Key: k, Destination: server}); err != nil {
			x.logf("ERROR Failed to add destination newDest=", a.String(), " err=", err.Error())
		}
	}
	var old []string
	for a := range present {
		if !wanted[a] {
			old = append(old, a.String())
		}
	}
	slices.Sort(old)
	for _, name := range old {
		w := waiting{k, netip.MustParseAddrPort(name)}
		if _, waits := x.p.waiting[w.name()]; waits {
			continue
		}
		if err := x.removeServer(w); err != nil {
			x.logf("ERROR Failed to delete destination uniqueRealServer=", w.name(), " err=", err.Error())
		}
	}
}

// resetWeights gives a wanted server its weight back, once for each server of the service that has another one
// (syncEndpoint's loop over curDests).
func (x *ipvsSync) resetWeights(k ipvs.ServiceKey, server ipvs.DestinationConfig, have []RealServer) {
	for _, s := range have {
		if s.Weight == server.Weight {
			continue
		}
		if err := x.do(datapath.IPVSDestinationEdit{Key: k, Destination: server}); err != nil {
			x.logf("ERROR Failed to update destination newDest=", server.Addr.String(), " err=", err.Error())
		}
	}
}
