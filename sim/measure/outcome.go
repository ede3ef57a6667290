package measure

import (
	"cmp"
	"net/netip"
	"strings"
)

// Kind is how a new connection ended as its client sees it.
type Kind uint8

const (
	// KindUnknown is the zero value and no valid observation.
	KindUnknown Kind = iota
	// KindBackend: a backend answered; its identity is in Outcome.
	KindBackend
	// KindRefused: a reset or an ICMP unreachable came back (REJECT, or no listener).
	KindRefused
	// KindTimeout: nothing came back (DROP, a removed Pod, a full conntrack table).
	KindTimeout
)

// String returns the word used in reports.
func (k Kind) String() string {
	switch k {
	case KindBackend:
		return "backend"
	case KindRefused:
		return "refused"
	case KindTimeout:
		return "timeout"
	default:
		return "unknown"
	}
}

// Outcome is where one draw or connection ended. It is comparable and serves as
// a map key; the zero value is invalid. For shares over endpoints Endpoint is
// set; for shares over nodes (an L2 announcer, an external balancer) Node is.
type Outcome struct {
	Kind     Kind
	Endpoint netip.AddrPort
	Node     string
}

// Backend is the outcome "this endpoint answered".
func Backend(endpoint netip.AddrPort) Outcome {
	return Outcome{Kind: KindBackend, Endpoint: endpoint}
}

// OnNode is the outcome "this node took it".
func OnNode(name string) Outcome { return Outcome{Kind: KindBackend, Node: name} }

// Refused is the outcome "the client was refused".
func Refused() Outcome { return Outcome{Kind: KindRefused} }

// Timeout is the outcome "the client heard nothing".
func Timeout() Outcome { return Outcome{Kind: KindTimeout} }

// String returns the endpoint, the node, both with an at sign, or the kind.
func (o Outcome) String() string {
	if o.Kind != KindBackend {
		return o.Kind.String()
	}
	switch {
	case o.Endpoint.IsValid() && o.Node != "":
		return o.Endpoint.String() + "@" + o.Node
	case o.Endpoint.IsValid():
		return o.Endpoint.String()
	case o.Node != "":
		return o.Node
	default:
		return o.Kind.String()
	}
}

// Compare orders outcomes by kind, endpoint and node: the order of every report.
func (o Outcome) Compare(p Outcome) int {
	return cmp.Or(
		cmp.Compare(o.Kind, p.Kind),
		o.Endpoint.Compare(p.Endpoint),
		strings.Compare(o.Node, p.Node),
	)
}
