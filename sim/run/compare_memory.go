package run

import (
	"time"

	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/ipvs"
)

// memory finds what makes one connection depend on those before it, and the shortest time after which it does no more; 0 without.
func memory(rs *iptables.Ruleset) (serial bool, window time.Duration) {
	for _, t := range rs.Tables() {
		for _, chain := range t.Chains() {
			for _, r := range chain.Rules {
				for _, m := range r.Matches {
					switch m := m.(type) {
					case *iptables.Recent:
						serial = true
						if d := time.Duration(m.Seconds) * time.Second; d > 0 && (window == 0 || d < window) {
							window = d
						}
					case *iptables.Nth:
						serial = true
					}
				}
			}
		}
	}
	return serial, window
}

// closedEntry is how long IPVS keeps the entry of a connection that was reset (net/netfilter/ipvs/ip_vs_proto_tcp.c, tcp_timeouts).
const closedEntry = 10 * time.Second

// entries is the shortest time after which an entry of IPVS ends that later connections depend on; 0 where they depend on none.
func entries(t *ipvs.Table) (window time.Duration) {
	note := func(d time.Duration) {
		if window == 0 || d < window {
			window = d
		}
	}
	for _, s := range t.Services() {
		switch s.Scheduler {
		case "rr", "wrr", "sh", "dh", "mh", "fo":
		default: // they count connections
			note(closedEntry)
		}
		if s.Persistence > 0 {
			note(s.Persistence)
		}
	}
	return window
}
