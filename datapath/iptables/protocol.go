package iptables

import (
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
)

// protocolNames are the names by which iptables prints protocol numbers: its own few first, then those of the protocol
// data base (IANA's numbers, spelled as Debian's /etc/protocols spells them). A number without a name stays a number.
var protocolNames = map[packet.Protocol]string{
	1: "icmp", 2: "igmp", 3: "ggp", 4: "ipencap", 5: "st", 6: "tcp", 8: "egp", 9: "igp", 12: "pup", 17: "udp",
	20: "hmp", 22: "xns-idp", 27: "rdp", 29: "iso-tp4", 33: "dccp", 36: "xtp", 37: "ddp", 38: "idpr-cmtp", 41: "ipv6",
	43: "ipv6-route", 44: "ipv6-frag", 45: "idrp", 46: "rsvp", 47: "gre", 50: "esp", 51: "ah", 57: "skip",
	58: "ipv6-icmp", 59: "ipv6-nonxt", 60: "ipv6-opts", 73: "rspf", 81: "vmtp", 88: "eigrp", 89: "ospf", 93: "ax.25",
	94: "ipip", 97: "etherip", 98: "encap", 103: "pim", 108: "ipcomp", 112: "vrrp", 115: "l2tp", 124: "isis",
	132: "sctp", 133: "fc", 135: "mobility-header", 136: "udplite", 137: "mpls-in-ip", 138: "manet", 139: "hip",
	140: "shim6", 141: "wesp", 142: "rohc", 143: "ethernet",
}

var protocolNumbers = func() map[string]packet.Protocol {
	m := map[string]packet.Protocol{
		"all": 0, "icmpv6": 58, "icmp6": 58, "ipv6-mh": 135, "mh": 135, "ospfigp": 89, "ip": 0, "hopopt": 0,
	}
	for p, n := range protocolNames {
		m[n] = p
	}
	return m
}()

func protocolName(p packet.Protocol) string {
	switch p {
	case packet.TCP:
		return "tcp"
	case packet.UDP:
		return "udp"
	}
	if n, ok := protocolNames[p]; ok {
		return n
	}
	return strconv.Itoa(int(p))
}

// parseProtocol reads the argument of -p: a number, or a name in any case.
func parseProtocol(s string) (packet.Protocol, error) {
	switch s {
	case "tcp":
		return packet.TCP, nil
	case "udp":
		return packet.UDP, nil
	}
	if n, ok := parseUint(s, 255); ok {
		return packet.Protocol(n), nil
	}
	if len(s) < 32 {
		if p, ok := protocolNumbers[strings.ToLower(s)]; ok {
			return p, nil
		}
	}
	return 0, refuse("-p", "unknown protocol", s)
}
