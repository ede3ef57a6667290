package conntrack

import (
	"strings"
)

// StateMask is a set of the states that -m conntrack --ctstate names (include/uapi/linux/netfilter/xt_conntrack.h).
type StateMask uint8

// The states. DNAT and SNAT are virtual: they hold beside one of the others.
const (
	MaskInvalid StateMask = 1 << iota
	MaskNew
	MaskEstablished
	MaskRelated
	MaskUntracked
	MaskSNAT
	MaskDNAT
)

// maskNames are in the order in which iptables-save prints them (extensions/libxt_conntrack.c,
// conntrack_print_state).
var maskNames = []struct {
	bit  StateMask
	name string
}{
	{MaskInvalid, "INVALID"}, {MaskNew, "NEW"}, {MaskRelated, "RELATED"}, {MaskEstablished, "ESTABLISHED"},
	{MaskUntracked, "UNTRACKED"}, {MaskSNAT, "SNAT"}, {MaskDNAT, "DNAT"},
}

// String lists the states, separated by commas, in iptables-save's order.
func (m StateMask) String() string {
	var b []string
	for _, n := range maskNames {
		if m&n.bit != 0 {
			b = append(b, n.name)
		}
	}
	return strings.Join(b, ",")
}

// ParseStateMask reads one state's name or a beginning of it, in either case; of several the first in the list counts, as in
// libxt_conntrack's parse_state. ok is false for unknown names.
func ParseStateMask(name string) (m StateMask, ok bool) {
	for _, n := range maskNames {
		if name != "" && len(name) <= len(n.name) && strings.EqualFold(n.name[:len(name)], name) {
			return n.bit, true
		}
	}
	return 0, false
}

// Matches reports whether a packet with this connection, nil if none, and relation is in one of the states
// (net/netfilter/xt_conntrack.c, conntrack_mt).
func (m StateMask) Matches(c *Conn, info Info) bool { return m&Mask(c, info) != 0 }

// Mask returns the states a packet is in.
func Mask(c *Conn, info Info) StateMask {
	var s StateMask
	switch info {
	case Untracked:
		return MaskUntracked
	case New:
		s = MaskNew
	case Established, EstablishedReply:
		s = MaskEstablished
	case Related, RelatedReply:
		s = MaskRelated
	default:
		return MaskInvalid
	}
	if c != nil {
		if c.Status.Has(DstNAT) {
			s |= MaskDNAT
		}
		if c.Status.Has(SrcNAT) {
			s |= MaskSNAT
		}
	}
	return s
}
