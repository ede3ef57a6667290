package nftables

import (
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
)

// Family is an address family of tables.
type Family string

// The families. Packets of IPv4 and IPv6 meet tables of their own family and of INet.
const (
	IP     Family = "ip"
	IP6    Family = "ip6"
	INet   Family = "inet"
	ARP    Family = "arp"
	Bridge Family = "bridge"
	NetDev Family = "netdev"
)

// FamilyOf is the family of tables for one IP version.
func FamilyOf(f packet.Family) Family {
	if f == packet.IPv6 {
		return IP6
	}
	return IP
}

func isFamily(s string) bool {
	switch Family(s) {
	case IP, IP6, INet, ARP, Bridge, NetDev:
		return true
	}
	return false
}

// Hook is where a base chain is attached.
type Hook string

// The hooks of IP families.
const (
	Prerouting  Hook = "prerouting"
	Input       Hook = "input"
	Forward     Hook = "forward"
	Output      Hook = "output"
	Postrouting Hook = "postrouting"
	Ingress     Hook = "ingress"
	Egress      Hook = "egress"
)

// ChainType is the kind of a base chain.
type ChainType string

// The types of base chains.
const (
	FilterChain ChainType = "filter"
	NATChain    ChainType = "nat"
	RouteChain  ChainType = "route"
)

// named are the priorities that have names, and the one hook where a name is valid ("" for all).
var named = []struct {
	name  string
	value int
	hook  Hook
}{
	{"raw", -300, ""}, {"mangle", -150, ""}, {"dstnat", -100, Prerouting}, {"filter", 0, ""}, {"security", 50, ""}, {"srcnat", 100, Postrouting},
}

var namedBridge = []struct {
	name  string
	value int
	hook  Hook
}{
	{"dstnat", -300, Prerouting}, {"filter", -200, ""}, {"out", 100, Output}, {"srcnat", 300, Postrouting},
}

// priorityReach is how far from a named priority nft still prints it by its name (src/rule.c, prio2str, 1.0.6).
const priorityReach = 10

func priorityText(f Family, h Hook, p int) string {
	list := named
	if f == Bridge {
		list = namedBridge
	}
	for _, n := range list {
		off := p - n.value
		if off < -priorityReach || off > priorityReach || n.hook != "" && n.hook != h {
			continue
		}
		switch {
		case off > 0:
			return n.name + " + " + strconv.Itoa(off)
		case off < 0:
			return n.name + " - " + strconv.Itoa(-off)
		}
		return n.name
	}
	return strconv.Itoa(p)
}

// parsePriority reads "-110", "dstnat", "dstnat - 10", "dstnat-10".
func parsePriority(f Family, s string) (int, bool) {
	s = strings.Join(strings.Fields(s), "")
	if n, err := strconv.ParseInt(s, 10, 32); err == nil {
		return int(n), true
	}
	list := named
	if f == Bridge {
		list = namedBridge
	}
	for _, n := range list {
		rest, ok := strings.CutPrefix(s, n.name)
		if !ok {
			continue
		}
		if rest == "" {
			return n.value, true
		}
		if rest[0] != '+' && rest[0] != '-' {
			continue
		}
		if off, err := strconv.ParseInt(rest, 10, 32); err == nil {
			return n.value + int(off), true
		}
	}
	return 0, false
}
