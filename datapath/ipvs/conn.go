package ipvs

import (
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath/journal"
	"github.com/svclab/svclab/datapath/packet"
)

// Conn is one entry of the connection table (include/net/ip_vs.h, struct ip_vs_conn): a connection, or a template that
// keeps a client with its server.
type Conn struct {
	ID      uint64          // order of creation
	Proto   packet.Protocol // 0 for the template of a mark service
	Client  netip.AddrPort  // port 0 for a template
	Dest    *Destination    // nil for a bypass
	Forward Forward

	Template  bool
	OnePacket bool // made for one datagram and gone after it; never in the table
	Mark      uint32

	connState

	heapPos int    // position in the heap, -1 outside
	hashed  uint64 // when it was put where it is: the order within its bucket
	next    *Conn  // older entry of the same bucket
}

// connState is the part of an entry that packets change; a journal keeps a copy of it.
type connState struct {
	Virtual netip.AddrPort // port 65535 once a template was given up
	Server  netip.AddrPort

	State    State
	Inactive bool // counted as inactive
	NoOutput bool // not masqueraded, and no reply was seen here yet
	// KeepConntrack: conntrack was on when the entry was made, and its conntrack entry stays (IP_VS_CONN_F_NFCT).
	KeepConntrack bool

	Timeout time.Duration // what the timer is restarted with
	Expires time.Duration // virtual time of its end

	Control  *Conn // the template, or nil
	controls int   // entries that this one controls
	Packets  uint64
}

// Controls is the number of entries that this template controls.
func (c *Conn) Controls() int { return c.controls }

// StateName is the state as /proc/net/ip_vs_conn and ipvsadm -Lc print it (ip_vs_conn.c, ip_vs_state_name).
func (c *Conn) StateName() string {
	if c.Template {
		if c.State == templateAssured {
			return "ASSURED"
		}
		return "NONE"
	}
	return stateName(c.Proto, c.State)
}

// saveConn records how to take back changes to an entry's state.
func (t *Table) saveConn(j *journal.Journal, c *Conn) {
	if j.On() {
		old := c.connState
		j.Add(func() {
			c.connState = old
			t.conns.arm(c)
		})
	}
}

// destState is the part of a server that packets change.
type destState struct {
	active, inactive, persistent, refs int
	overload                           bool
	stats                              Stats
}

func saveDest(j *journal.Journal, d *Destination) {
	if j.On() && d != nil {
		old := destState{d.Active, d.Inactive, d.Persistent, d.refs, d.Overload, d.stats}
		j.Add(func() {
			d.Active, d.Inactive, d.Persistent, d.refs, d.Overload, d.stats =
				old.active, old.inactive, old.persistent, old.refs, old.overload, old.stats
		})
	}
}

// newConn makes an entry, binds it to its server and puts it in the table (ip_vs_conn_new, ip_vs_bind_dest).
func (t *Table) newConn(j *journal.Journal, c *Conn) {
	t.conns.number(c)
	c.ID = c.hashed
	c.heapPos = -1
	c.Timeout, c.Expires = newTimeout, t.now+newTimeout
	c.KeepConntrack = t.sysctl.Conntrack
	if d := c.Dest; d != nil {
		saveDest(j, d)
		d.refs++
		c.Forward = d.Forward
		c.NoOutput = d.Forward != Masquerade
		if c.Template {
			d.Persistent++
		} else {
			c.Inactive = true
			d.Inactive++
		}
		d.bound()
	}
	if c.OnePacket {
		return
	}
	t.conns.insert(c)
	if j.On() {
		j.Add(func() { t.conns.remove(c) })
	}
}

// newTimeout is the timeout of an entry before its protocol sets one.
const newTimeout = 3 * time.Second

// holdTimeout is what an expired entry gets while it still controls others; it keeps it (ip_vs_conn_expire).
const holdTimeout = 60 * time.Second

// restart restarts an entry's timer with its timeout (__ip_vs_conn_put_timer). The caller has saved the entry.
func (t *Table) restart(now time.Duration, c *Conn) {
	c.Expires = now + c.Timeout
	t.conns.arm(c)
}

// expireNow lets an entry end at the next tick (ip_vs_conn_expire_now).
func (t *Table) expireNow(now time.Duration, c *Conn) {
	if c.Expires > now {
		c.Expires = now
		t.conns.arm(c)
	}
}

// control puts an entry under its template (ip_vs_control_add).
func (t *Table) control(j *journal.Journal, c, ct *Conn) {
	t.saveConn(j, ct)
	c.Control = ct
	ct.controls++
}

// unbind takes an entry's share out of its server's counters (ip_vs_unbind_dest).
func unbind(c *Conn) {
	d := c.Dest
	if d == nil {
		return
	}
	switch {
	case c.Template:
		d.Persistent--
	case c.Inactive:
		d.Inactive--
	default:
		d.Active--
	}
	d.unbound()
	d.refs--
}

// expire is the end of an entry's timer (ip_vs_conn_expire). An entry that controls others gets another minute.
func (t *Table) expire(c *Conn) {
	if c.controls > 0 {
		c.Timeout = holdTimeout
		t.restart(t.now, c)
		return
	}
	t.conns.remove(c)
	ct := c.Control
	if ct != nil {
		c.Control = nil
		ct.controls--
	}
	if c.KeepConntrack && !c.Template && t.Dropped != nil {
		t.Dropped(packet.Tuple{Src: c.Client, Dst: c.Virtual, Proto: c.Proto})
	}
	unbind(c)
	if ct != nil && c.Timeout == 0 && ct.controls == 0 && !(ct.Template && ct.State == templateAssured) {
		t.kill(ct)
	}
}

// kill ends an entry at once (ip_vs_conn_del).
func (t *Table) kill(c *Conn) {
	if c.heapPos < 0 {
		return
	}
	if c.Control != nil {
		c.Timeout = 0
	}
	t.expire(c)
}

// Conns returns the entries and templates by order of creation.
func (t *Table) Conns() []*Conn { return t.conns.all() }
