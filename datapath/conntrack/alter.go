package conntrack

import (
	"net/netip"

	"github.com/svclab/svclab/datapath/journal"
)

// AlterReplySource says that replies of an unconfirmed connection will come from another address, as IPVS does for a
// server it chose (net/netfilter/ipvs/ip_vs_nfct.c, ip_vs_update_conntrack). No status bit changes: IPVS translates.
func (c *Conn) AlterReplySource(src netip.AddrPort, j *journal.Journal) {
	if c == nil || c.Status.Has(Confirmed) {
		return
	}
	if j.On() {
		save(j, c)
	}
	c.Reply.Src = src
	c.hashed = false
}
