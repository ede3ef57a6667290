package measure

import (
	"fmt"
	"net/netip"
	"time"
)

// Connection is what one connection met, as its client sees it. It is
// comparable, so that two worlds can be held side by side one by one.
type Connection struct {
	ID      int64          // number within its traffic, from 0
	Client  netip.AddrPort // the client's own address, before any masquerade
	To      netip.AddrPort // the address it asked for
	Outcome Outcome
	Source  netip.Addr // source address the backend saw; invalid when none answered
	Drew    bool       // a draw decided it (not affinity, conntrack or a lone endpoint)
	At      time.Duration
}

// String is one line of a report; At stands apart, since two worlds share no clock.
func (c Connection) String() string {
	s := fmt.Sprintf("#%d %s > %s: %s", c.ID, c.Client, c.To, c.Outcome)
	if c.Source.IsValid() {
		s += " from " + c.Source.String()
	}
	return s
}

// WithoutTime returns the connection with At cleared, for comparing two worlds.
func (c Connection) WithoutTime() Connection {
	c.At = 0
	return c
}

// RuleCount is the packet counter of one rule, chain policy or set entry,
// named by table, chain and rule number ("filter FORWARD 3").
type RuleCount struct {
	Rule    string
	Packets uint64
}

// String is one line of a report.
func (c RuleCount) String() string { return fmt.Sprintf("%s: %d packets", c.Rule, c.Packets) }
