package ipvs

import (
	"math"
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// Forward is how packets get to a server (include/uapi/linux/ip_vs.h, IP_VS_CONN_F_FWD_MASK).
type Forward uint8

// The methods. The zero value is Masquerade, as in the kernel.
const (
	Masquerade  Forward = iota // destination rewritten, replies come back through the director
	LocalNode                  // delivered here as it is
	Tunnel                     // wrapped in IPIP
	DirectRoute                // sent on unchanged to the server's link address
	Bypass                     // sent on to its own destination (cache_bypass)
)

var forwardNames = [...]string{"Masq", "Local", "Tunnel", "Route", "Bypass"}

// String returns the word that ipvsadm -L prints.
func (f Forward) String() string {
	if int(f) < len(forwardNames) {
		return forwardNames[f]
	}
	return "?"
}

// DestinationConfig is what an operator sets of a server (struct ip_vs_dest_user).
type DestinationConfig struct {
	Addr         netip.AddrPort // port 0: the port that the client asked for is kept
	Weight       int            // 0 takes no new connections
	Forward      Forward
	Upper, Lower uint32 // connection thresholds, 0 is none
}

// Destination is a server of a service: its configuration and its live counters.
type Destination struct {
	DestinationConfig
	LastWeight int // weight before it was set to 0; mh goes by it

	Active, Inactive, Persistent int // entries; templates are counted in Persistent only

	Available bool // it is in its service's list
	Overload  bool // it reached the upper threshold

	service    ServiceKey
	owner      *Service // the service it is in, or was in last
	prev, next *Destination
	index      int // position in the list, of schedulers that index it
	refs       int // entries and scheduler caches that refer to it
	idleSince  time.Duration
	idleMarked bool
	stats      Stats
}

// Stats are the server's traffic counters.
func (d *Destination) Stats() Stats { return d.stats }

// unusable is what the list-walking schedulers skip.
func (d *Destination) unusable() bool { return d.Weight <= 0 || d.Overload }

// overhead is the load that lc, wlc, lblc, lblcr and twos compare (include/net/ip_vs.h, ip_vs_dest_conn_overhead).
func (d *Destination) overhead() int64 { return int64(d.Active)<<8 + int64(d.Inactive) }

func (d *Destination) total() int { return d.Active + d.Inactive }

// bound runs after an entry was bound to the server (ip_vs_conn.c, ip_vs_bind_dest).
func (d *Destination) bound() {
	if d.Upper != 0 && uint32(d.total()) >= d.Upper {
		d.Overload = true
	}
}

// unbound runs after an entry of the server went away (ip_vs_unbind_dest).
func (d *Destination) unbound() {
	n := uint64(d.total())
	switch {
	case d.Lower != 0:
		if n < uint64(d.Lower) {
			d.Overload = false
		}
	case d.Upper != 0:
		if n*4 < uint64(d.Upper)*3 {
			d.Overload = false
		}
	default:
		d.Overload = false
	}
}

func checkDestination(k ServiceKey, c DestinationConfig) error {
	a := c.Addr.Addr()
	switch {
	case !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Is4In6() || a.Zone() != "":
		return ErrBadAddress
	case packet.FamilyOf(a) != k.Family && c.Forward != Tunnel:
		return ErrMixedFamilies
	case c.Weight < 0:
		return ErrNegativeWeight
	case c.Weight > math.MaxInt32:
		return ErrBadValue
	case c.Lower > c.Upper:
		return ErrThresholds
	case c.Forward > DirectRoute:
		return ErrBadValue
	}
	return nil
}

// update sets a server's configuration (ip_vs_ctl.c, __ip_vs_update_dest).
func (d *Destination) update(c DestinationConfig, add bool) {
	if add || c.Weight != 0 {
		d.LastWeight = c.Weight
	}
	if c.Upper == 0 || c.Upper > d.Upper {
		d.Overload = false
	}
	d.DestinationConfig = c
	d.Available = true
}
