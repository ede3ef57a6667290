package run

import (
	"net/netip"
	"strings"
)

// addressNames are what the addresses of a cluster are called: Pods and whatever else endpoints refer to, nodes, Services.
func (s *Subject) addressNames() map[netip.Addr]string {
	out := map[netip.Addr]string{}
	for _, sl := range s.State.Slices {
		for _, e := range sl.Endpoints {
			for _, a := range e.Addresses {
				if kind, name, ok := strings.Cut(e.TargetRef, "/"); ok {
					out[a] = strings.ToLower(kind) + "/" + name
				}
			}
		}
	}
	for _, a := range s.Host.NodeIPs {
		out[a] = "node/" + s.Host.Name
	}
	for _, v := range s.State.Services {
		for _, a := range v.ClusterIPs {
			out[a] = "svc/" + v.Name.String()
		}
	}
	return out
}
