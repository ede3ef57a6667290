package ipvs

import (
	"net/netip"
	"time"
)

// The trash keeps removed servers for whoever refers to them (net/netfilter/ipvs/ip_vs_ctl.c, IP_VS_DEST_TRASH_PERIOD): it
// is looked at every trashInterval; a server that nobody refers to is marked at one look and freed at a look trashPeriod
// later.
const (
	trashPeriod   = 120 * time.Second
	trashInterval = trashPeriod / 2
)

// discard marks a removed server as unavailable and keeps it in the trash; with expire_nodest_conn the entries of such
// servers are swept at the next tick (__ip_vs_del_dest, ip_vs_enqueue_expire_nodest_conns).
func (t *Table) discard(d *Destination) {
	d.Available = false
	d.prev, d.next = nil, nil
	d.idleMarked = false
	if len(t.trash) == 0 {
		t.trashTick = t.now + trashInterval
	}
	t.trash = append(t.trash, d)
	if t.sysctl.ExpireNodestConn && t.sweep < 0 {
		t.sweep = t.now
	}
}

// reclaim takes a server of the same service and address out of the trash, the one removed last (ip_vs_trash_get_dest).
func (t *Table) reclaim(k ServiceKey, a netip.AddrPort) *Destination {
	for i := len(t.trash) - 1; i >= 0; i-- {
		if d := t.trash[i]; d.service == k && d.Addr == a {
			t.trash = append(t.trash[:i], t.trash[i+1:]...)
			return d
		}
	}
	return nil
}

// Trash returns the removed servers that are still kept, the one removed last first.
func (t *Table) Trash() []*Destination {
	ds := make([]*Destination, 0, len(t.trash))
	for i := len(t.trash) - 1; i >= 0; i-- {
		ds = append(ds, t.trash[i])
	}
	return ds
}

// emptyTrash is one look at the trash (ip_vs_dest_trash_expire).
func (t *Table) emptyTrash() {
	keep := t.trash[:0]
	for _, d := range t.trash {
		switch {
		case d.refs > 0:
		case !d.idleMarked:
			d.idleMarked, d.idleSince = true, t.now
		case t.now >= d.idleSince+trashPeriod:
			continue
		}
		keep = append(keep, d)
	}
	clear(t.trash[len(keep):])
	t.trash = keep
	if len(t.trash) > 0 {
		t.trashTick += trashInterval
	}
}

// sweepNodest ends the entries of servers that are gone (ip_vs_conn.c, ip_vs_expire_nodest_conn_flush). A controlling entry
// goes with the last one it controls.
func (t *Table) sweepNodest() {
	for _, c := range t.conns.all() {
		if c.heapPos < 0 || c.Dest == nil || c.Dest.Available || c.controls > 0 {
			continue
		}
		ct := c.Control
		t.kill(c)
		if ct != nil && ct.controls == 0 && ct.heapPos >= 0 {
			t.kill(ct)
		}
	}
}
