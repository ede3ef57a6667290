// Package conntrack models Linux's connection tracking and the NAT bindings kept in it.
//
// A Table holds connections in virtual time: an entry is made unconfirmed by the first packet of a flow, becomes visible
// to others when it is confirmed at the end of the path, moves between protocol states, and expires. NAT changes an
// entry's reply tuple; packets are translated from the entry ever after. Left out: helpers and expectations, sequence
// and window checks, SCTP verification tags, accounting, labels, zones other than the default, and the background eviction
// of closing entries from a table that is nearly full.
//
// Every function that changes a table takes a journal: Rollback then restores the memory of the table bit by bit, since
// each write was noted before it was done. Without a journal a flow costs no allocation once the table has grown to size.
package conntrack

import (
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// Conn is one tracked connection (include/net/netfilter/nf_conntrack.h, struct nf_conn). It belongs to its table, which
// uses the memory again once the connection is gone: a pointer is good for the walk of the packet that brought it.
type Conn struct {
	// Original is the tuple of the first packet as it arrived; Reply, below, is the tuple answers are expected to have,
	// which NAT changes.
	Original packet.Tuple

	// What every packet and every removal looks at stands together, for the sake of the processor's cache: the tuple above
	// and these fill two lines of 64 bytes, the entry four.
	Status  Status
	State   State         // of the protocol's state machine
	live    bool          // in use: confirmed or under way
	hashed  bool          // hash[1] is that of Reply
	mapped  bool          // in the index of source mappings
	Mark    uint32        // CONNMARK
	slot    int32         // place in the table
	Expires time.Duration // virtual time at which the entry dies unless refreshed
	filed   time.Duration // time under which the timer wheel has the entry, never later than Expires
	hash    [2]uint32     // of Original and, if hashed, of Reply
	proto   protoState

	Reply packet.Tuple

	Created       time.Duration
	MasqueradeOut string // interface whose address a MASQUERADE took, "" otherwise

	table  *Table // bookkeeping of the table that holds the entry
	serial uint64 // order of creation in the table

	// The values of table.inserts at which no entry had the tuple Original, and Reply, so that confirmation need not
	// look again when nothing was inserted since.
	newAt, freeAt uint32

	srcPrev, srcNext int32 // the other mappings of one original source, newest first
}

// Status are the bits of an entry's life (include/uapi/linux/netfilter/nf_conntrack_common.h, IPS_*).
type Status uint16

// The status bits.
const (
	SeenReply    Status = 1 << iota // a packet in reply direction was seen
	Assured                         // not evicted early
	Confirmed                       // in the table, visible to others
	SrcNAT                          // source translated: replies' destination is restored
	DstNAT                          // destination translated: replies' source is restored
	SrcNATDone                      // the source side's binding was decided, possibly as "no change"
	DstNATDone                      // likewise the destination side's
	Dying                           // removed from the table, still referred to
	Clash                           // inserted for replies only, after a clash (IPS_NAT_CLASH)
	FixedTimeout                    // packets do not put the end off (IPS_FIXED_TIMEOUT)
)

// Has reports whether all of the given bits are set.
func (s Status) Has(b Status) bool { return s&b == b }

// Info says how a packet stands to its connection (enum ip_conntrack_info).
type Info uint8

// The relations. The zero value is Untracked: no connection tracking took place.
const (
	Untracked Info = iota
	New            // first packet, or further packets of the original direction before any reply
	Established
	Related
	EstablishedReply
	RelatedReply
	Invalid
)

var infoNames = [...]string{"UNTRACKED", "NEW", "ESTABLISHED", "RELATED", "ESTABLISHED", "RELATED", "INVALID"}

// String returns the state as --ctstate spells it.
func (i Info) String() string { return infoNames[i] }

// IsReply reports whether the packet goes in the reply direction.
func (i Info) IsReply() bool { return i == EstablishedReply || i == RelatedReply }
