package conntrack

import (
	"time"

	"github.com/svclab/svclab/datapath/journal"
	"github.com/svclab/svclab/datapath/packet"
)

// ConfirmResult says what became of a packet's entry at the end of its path.
type ConfirmResult struct {
	Outcome ConfirmOutcome
	Conn    *Conn // the entry that the packet belongs to now; nil when Dropped
}

// ConfirmOutcome is the kind of a ConfirmResult.
type ConfirmOutcome uint8

// The outcomes. The zero value is Accepted.
const (
	Accepted ConfirmOutcome = iota // the entry is in the table, or was before, or there is none to confirm
	Joined                         // another packet of the flow was faster: the packet now belongs to that one's entry
	Dropped                        // its tuples are taken: the packet is dropped, insert_failed grows
)

var outcomeNames = [...]string{"accepted", "joined", "dropped: insert_failed"}

func (o ConfirmOutcome) String() string { return outcomeNames[o] }

// Confirm is the last hook function in POSTROUTING and INPUT: it makes the packet's entry visible
// (net/netfilter/nf_conntrack_core.c, __nf_conntrack_confirm). When it is not confirmed it is released, and must not be
// used any more.
func (t *Table) Confirm(now time.Duration, c *Conn, info Info, p *packet.Packet, j *journal.Journal) ConfirmResult {
	if c == nil || !c.live || c.Status.Has(Confirmed) || info.IsReply() {
		return ConfirmResult{Conn: c}
	}
	if !c.hashed {
		if j.On() {
			save(j, c)
		}
		c.hash[1] = hashTuple(t.cfg.Seed, &c.Reply)
		c.hashed, c.freeAt = true, noInsert
	}
	if j.On() {
		save(j, &t.Stats)
	}
	var winner *Conn
	if c.newAt != t.inserts {
		winner, _ = t.find(c.hash[0], &c.Original, now)
	}
	if winner == nil && c.freeAt != t.inserts {
		winner, _ = t.find(c.hash[1], &c.Reply, now)
	}
	if winner != nil {
		return t.resolveClash(now, c, winner, j)
	}
	t.Stats.Insert++
	t.insert(c, now, c.Expires-c.Created, true, j) // lifetimes count from confirmation
	return ConfirmResult{Conn: c}
}

// resolveClash decides about an entry one of whose tuples is in the table already (nf_conntrack_core.c,
// nf_ct_resolve_clash and nf_ct_resolve_clash_harder).
func (t *Table) resolveClash(now time.Duration, c, winner *Conn, j *journal.Journal) ConfirmResult {
	if allowsClash(winner.Original.Proto) {
		other, _ := t.find(c.hash[1], &c.Reply, now)
		for _, w := range [2]*Conn{winner, other} {
			if w != nil && (w.Original == c.Original && w.Reply == c.Reply || w.Status&(SrcNATDone|DstNATDone) == 0) {
				t.Stats.ClashResolve++
				t.remove(c, j)
				return ConfirmResult{Joined, w}
			}
		}
		if other == nil && !t.cfg.ClashDrops {
			t.Stats.ClashResolve++
			if j.On() {
				save(j, c)
			}
			c.Status |= Clash | FixedTimeout
			t.insert(c, now, time.Second, false, j)
			return ConfirmResult{Conn: c}
		}
	}
	t.Stats.Drop++
	t.Stats.InsertFailed++
	t.remove(c, j)
	return ConfirmResult{Outcome: Dropped}
}

// allowsClash reports whether a protocol lets a second packet of an unconfirmed flow join the first one's entry
// (struct nf_conntrack_l4proto, allow_clash).
func allowsClash(p packet.Protocol) bool { return p == packet.UDP }
