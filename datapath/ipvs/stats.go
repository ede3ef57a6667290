package ipvs

import (
	"github.com/svclab/svclab/datapath/journal"
	"github.com/svclab/svclab/datapath/packet"
)

// Stats are traffic counters (include/uapi/linux/ip_vs.h, struct ip_vs_kstats).
type Stats struct {
	Conns                uint64
	InPackets, InBytes   uint64 // from clients
	OutPackets, OutBytes uint64 // from servers, seen here

	est estimator
}

func saveStats(j *journal.Journal, s *Service) {
	if j.On() {
		old := s.stats
		j.Add(func() { s.stats = old })
	}
}

// countConn counts a scheduled connection on its service and server (net/netfilter/ipvs/ip_vs_core.c, ip_vs_conn_stats). The
// server was saved when it was bound.
func (t *Table) countConn(j *journal.Journal, s *Service, c *Conn) {
	saveStats(j, s)
	for _, x := range [...]*Stats{&c.Dest.stats, &s.stats} {
		x.settle(t.now)
		x.Conns++
	}
}

// countIn counts a request on its server and service (ip_vs_in_stats). The caller has saved the server.
func (t *Table) countIn(j *journal.Journal, c *Conn, p *packet.Packet) {
	d := c.Dest
	if d == nil || !d.Available {
		return
	}
	saveStats(j, d.owner)
	for _, s := range [...]*Stats{&d.stats, &d.owner.stats} {
		s.settle(t.now)
		s.InPackets++
		s.InBytes += uint64(p.LengthBytes)
	}
}

// countOut counts a reply on its server and service (ip_vs_out_stats). The caller has saved the server.
func (t *Table) countOut(j *journal.Journal, c *Conn, p *packet.Packet) {
	d := c.Dest
	if d == nil || !d.Available {
		return
	}
	saveStats(j, d.owner)
	for _, s := range [...]*Stats{&d.stats, &d.owner.stats} {
		s.settle(t.now)
		s.OutPackets++
		s.OutBytes += uint64(p.LengthBytes)
	}
}
