package ipvs

import (
	"fmt"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// ListFormat is a view of ipvsadm -L -n.
type ListFormat uint8

// The views.
const (
	ListServers     ListFormat = iota // ipvsadm -L -n
	ListStats                         // --stats
	ListRate                          // --rate
	ListThresholds                    // --thresholds
	ListPersistence                   // --persistent-conn
	ListConns                         // -c
)

// List prints a view as ipvsadm 1.31 lays it out. Entries of ListConns stand by order of creation, where the kernel's
// order is that of a randomly seeded hash.
func (t *Table) List(f ListFormat) string {
	var b strings.Builder
	if f == ListConns {
		t.listConns(&b)
		return b.String()
	}
	fmt.Fprintf(&b, "IP Virtual Server version 1.2.1 (size=%d)\n", connTableSize)
	b.WriteString(listTitle(f))
	for _, s := range sortServices(t.list) {
		t.listService(&b, f, s)
		for _, d := range sortServers(s.Destinations()) {
			t.listServer(&b, f, d)
		}
	}
	return b.String()
}

// connTableSize is the kernel's default number of hash buckets, which the banner shows.
const connTableSize = 4096

func listTitle(f ListFormat) string {
	const left = "Prot LocalAddress:Port"
	five := func(a, b, c, d, e string) string {
		return fmt.Sprintf("%-33s %8s %8s %8s %8s %8s\n  -> RemoteAddress:Port\n", left, a, b, c, d, e)
	}
	switch f {
	case ListStats:
		return five("Conns", "InPkts", "OutPkts", "InBytes", "OutBytes")
	case ListRate:
		return five("CPS", "InPPS", "OutPPS", "InBPS", "OutBPS")
	case ListThresholds:
		return fmt.Sprintf("%-33s %-10s %-10s %-10s %-10s\n  -> RemoteAddress:Port\n", left, "Uthreshold", "Lthreshold", "ActiveConn", "InActConn")
	case ListPersistence:
		return fmt.Sprintf("%-33s %-9s %-11s %-10s %-10s\n  -> RemoteAddress:Port\n", left, "Weight", "PersistConn", "ActiveConn", "InActConn")
	}
	return left + " Scheduler Flags\n  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n"
}

// listName is a service as ipvsadm -L names it.
func listName(k ServiceKey) string {
	if k.Mark != 0 {
		s := fmt.Sprintf("FWM  %d", int32(k.Mark))
		if k.Family == packet.IPv6 {
			s += " IPv6"
		}
		return s
	}
	return fmt.Sprintf("%-4s %s", strings.ToUpper(k.Proto.String()), k.Addr)
}

func (t *Table) listService(b *strings.Builder, f ListFormat, s *Service) {
	switch f {
	case ListStats:
		fmt.Fprintf(b, "%-33s", listName(s.Key))
		c := s.stats.counters()
		listNumbers(b, c[:])
	case ListRate:
		fmt.Fprintf(b, "%-33s", listName(s.Key))
		listRates(b, s.stats.rates(t.now))
	default:
		b.WriteString(listName(s.Key) + " " + s.Scheduler)
		if s.Flags != 0 {
			b.WriteString(" (" + s.Flags.Names(s.Scheduler) + ")")
		}
		if s.persistent() {
			fmt.Fprintf(b, " persistent %d", s.Persistence/time.Second)
			if s.MaskBits != 0 {
				b.WriteString(" mask " + formatMask(s.Key, s.MaskBits))
			}
		}
		if s.OnePacket {
			b.WriteString(" ops")
		}
	}
	b.WriteByte('\n')
}

func (t *Table) listServer(b *strings.Builder, f ListFormat, d *Destination) {
	fmt.Fprintf(b, "  -> %-28s", d.Addr)
	switch f {
	case ListStats:
		c := d.stats.counters()
		listNumbers(b, c[:])
	case ListRate:
		listRates(b, d.stats.rates(t.now))
	case ListThresholds:
		fmt.Fprintf(b, " %-10d %-10d %-10d %-10d", d.Upper, d.Lower, d.Active, d.Inactive)
	case ListPersistence:
		fmt.Fprintf(b, " %-9d %-11d %-10d %-10d", d.Weight, d.Persistent, d.Active, d.Inactive)
	default:
		fmt.Fprintf(b, " %-7s %-6d %-10d %-10d", d.Forward, d.Weight, d.Active, d.Inactive)
	}
	b.WriteByte('\n')
}

// listNumbers prints counters in columns, large ones with a suffix (print_largenum).
func listNumbers(b *strings.Builder, c []uint64) {
	for _, n := range c {
		switch {
		case n < 1e8:
			fmt.Fprintf(b, "%9d", n)
		case n < 1e9:
			fmt.Fprintf(b, "%8dK", n/1e3)
		case n < 1e11:
			fmt.Fprintf(b, "%8dM", n/1e6)
		case n < 1e14:
			fmt.Fprintf(b, "%8dG", n/1e9)
		default:
			fmt.Fprintf(b, "%8dT", n/1e12)
		}
	}
}

func listRates(b *strings.Builder, r Rates) {
	listNumbers(b, []uint64{r.Conns, r.InPackets, r.OutPackets, r.InBytes, r.OutBytes})
}

func (t *Table) listConns(b *strings.Builder) {
	fmt.Fprintf(b, "IPVS connection entries\npro expire %-11s %-18s %-18s %s\n", "state", "source", "virtual", "destination")
	for _, c := range t.Conns() {
		s := int(c.Left(t.now) / time.Second)
		fmt.Fprintf(b, "%-3s %-6s %-11s %-18s %-18s %s\n", connProto(c.Proto), fmt.Sprintf("%02d:%02d", s/60, s%60), c.StateName(),
			c.Client, c.Virtual, c.Server)
	}
}

func connProto(p packet.Protocol) string {
	if p == 0 {
		return "IP"
	}
	return strings.ToUpper(p.String())
}
