package kubeproxy

import (
	"net/netip"
	"testing"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/service"
)

// An update of a slice without the label that names its Service is an error to kube-proxy, which goes on with the slice as it
// was (pkg/proxy/endpointslicecache.go, endpointSliceCacheKeys, v1.37); a slice that moves leaves its endpoints behind, too; one
// that is deleted leaves nothing.
func TestWhatASliceLeavesBehind(t *testing.T) {
	web, other := service.Name{Namespace: "default", Name: "web"}, service.Name{Namespace: "default", Name: "other"}
	for _, c := range []struct {
		family packet.Family
		proto  packet.Protocol
		addr   string
	}{
		{packet.IPv4, packet.TCP, "10.244.1.5"}, {packet.IPv4, packet.UDP, "10.244.1.5"}, {packet.IPv4, packet.SCTP, "10.244.1.5"},
		{packet.IPv6, packet.TCP, "fd00::5"}, {packet.IPv6, packet.UDP, "fd00::5"}, {packet.IPv6, packet.SCTP, "fd00::5"},
	} {
		slice := func(of service.Name) service.EndpointSlice {
			return service.EndpointSlice{
				Name: service.Name{Namespace: "default", Name: "web-1"}, Service: of, Family: c.family,
				Ports:     []service.EndpointPort{{Protocol: c.proto, Port: 80}},
				Endpoints: []service.Endpoint{{Addresses: []netip.Addr{netip.MustParseAddr(c.addr)}, Ready: true, Serving: true}},
			}
		}
		steps := []struct {
			slices           []service.EndpointSlice
			atWeb, atOther   int
			webAsks, asksAny bool
		}{
			{[]service.EndpointSlice{slice(web)}, 1, 0, true, true},
			{[]service.EndpointSlice{slice(service.Name{Namespace: "default"})}, 1, 0, false, false},
			{[]service.EndpointSlice{slice(other)}, 1, 1, false, true},
			{[]service.EndpointSlice{slice(web)}, 1, 1, true, true},
			{nil, 0, 1, true, true},
		}
		tr := tracker{family: c.family}
		for i, s := range steps {
			got := tr.update(&service.State{Slices: s.slices})
			if got.services[web] != s.webAsks || got.any() != s.asksAny {
				t.Errorf("%v %v step %d: %v asks for a sync", c.family, c.proto, i, got.services)
			}
			at := func(n service.Name) int { return len(tr.backends[service.PortName{Name: n, Protocol: c.proto}]) }
			if at(web) != s.atWeb || at(other) != s.atOther {
				t.Errorf("%v %v step %d: %d endpoints at web, %d at other", c.family, c.proto, i, at(web), at(other))
			}
		}
	}
}
