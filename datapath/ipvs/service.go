package ipvs

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// ServiceKey names a virtual service: protocol and address:port, or a firewall mark. It is comparable. The zero value is
// invalid.
type ServiceKey struct {
	Family packet.Family
	Proto  packet.Protocol // 0 for a mark
	Addr   netip.AddrPort  // port 0: every port of the address; invalid for a mark
	Mark   uint32          // firewall mark, 0 for an address
}

// AddressService is the key of a service of an address and a port.
func AddressService(proto packet.Protocol, a netip.AddrPort) ServiceKey {
	return ServiceKey{Family: packet.FamilyOf(a.Addr()), Proto: proto, Addr: a}
}

// MarkService is the key of a firewall mark's service.
func MarkService(f packet.Family, mark uint32) ServiceKey { return ServiceKey{Family: f, Mark: mark} }

// String spells the key as ipvsadm's options do: "-t 10.0.0.1:80", "-f 7", "-f 7 -6".
func (k ServiceKey) String() string {
	if k.Mark != 0 {
		s := "-f " + strconv.FormatInt(int64(int32(k.Mark)), 10)
		if k.Family == packet.IPv6 {
			s += " -6"
		}
		return s
	}
	o := "-t"
	switch k.Proto {
	case packet.UDP:
		o = "-u"
	case packet.SCTP:
		o = "--sctp-service"
	}
	return o + " " + k.Addr.String()
}

// ServiceConfig is what an operator sets of a virtual service (include/uapi/linux/ip_vs.h, struct ip_vs_service_user).
type ServiceConfig struct {
	Key       ServiceKey
	Scheduler string         // "rr", "mh", ...; "" is wlc, ipvsadm's default
	Flags     SchedulerFlags // sh-fallback and the like

	// Persistence is how long a client keeps its server after its last new connection, in whole seconds; 0 is none.
	Persistence time.Duration
	// MaskBits is the length of the prefix of client addresses that share a template; 0 is the whole address.
	MaskBits int
	// OnePacket schedules every UDP datagram anew (ipvsadm -o).
	OnePacket bool
}

// Service is a virtual service of a Table. Its fields are read by whoever reports on it; only a Table changes them.
type Service struct {
	ServiceConfig
	ID uint64 // order of creation

	head  Destination // sentinel of the ring of servers
	count int
	sched scheduler
	table *Table
	stats Stats
}

// Destinations returns the servers in the kernel's list order: newest first.
func (s *Service) Destinations() []*Destination {
	ds := make([]*Destination, 0, s.count)
	for d := s.first(); d != nil; d = s.after(d) {
		ds = append(ds, d)
	}
	return ds
}

// Len is the number of servers.
func (s *Service) Len() int { return s.count }

// Stats are the service's traffic counters.
func (s *Service) Stats() Stats { return s.stats }

func (s *Service) first() *Destination {
	if s.head.next == &s.head {
		return nil
	}
	return s.head.next
}

// after returns the server after d, nil at the end of the list.
func (s *Service) after(d *Destination) *Destination {
	if d.next == &s.head {
		return nil
	}
	return d.next
}

func (s *Service) find(a netip.AddrPort) *Destination {
	for d := s.first(); d != nil; d = s.after(d) {
		if d.Addr == a {
			return d
		}
	}
	return nil
}

func (s *Service) link(d *Destination) {
	d.prev, d.next = &s.head, s.head.next
	d.prev.next, d.next.prev = d, d
	s.count++
}

func (s *Service) unlink(d *Destination) {
	d.prev.next, d.next.prev = d.next, d.prev
	s.count--
}

func (s *Service) persistent() bool { return s.Persistence > 0 }

// mask applies the netmask of persistence to a client's address.
func (s *Service) mask(a netip.Addr) netip.Addr {
	if s.MaskBits == 0 || s.MaskBits == a.BitLen() {
		return a
	}
	p, _ := a.Prefix(s.MaskBits)
	return p.Addr()
}

func checkService(c ServiceConfig) error {
	k := c.Key
	switch {
	case k.Mark != 0:
		if k.Family != packet.IPv4 && k.Family != packet.IPv6 || k.Addr.IsValid() {
			return ErrBadAddress
		}
		if k.Proto != 0 {
			return ErrBadProtocol // a mark's service is of every protocol
		}
	case !k.Addr.Addr().IsValid() || k.Addr.Addr().Is4In6() || k.Addr.Addr().Zone() != "" || k.Family != packet.FamilyOf(k.Addr.Addr()):
		return ErrBadAddress
	case !k.Proto.HasPorts():
		return ErrBadProtocol
	}
	bits := 32
	if k.Family == packet.IPv6 {
		bits = 128
	}
	if c.MaskBits < 0 || c.MaskBits > bits {
		return ErrBadNetmask
	}
	if c.Persistence < 0 || c.Persistence%time.Second != 0 {
		return ErrBadValue
	}
	return nil
}

// lookup finds the service of a packet: by mark, by exact address, as a connection beside an FTP service, by address alone
// (net/netfilter/ipvs/ip_vs_ctl.c, ip_vs_service_find).
func (t *Table) lookup(f packet.Family, mark uint32, proto packet.Protocol, dst netip.AddrPort) *Service {
	if mark != 0 && t.marks != 0 {
		if s := t.services[MarkService(f, mark)]; s != nil {
			return s
		}
	}
	k := ServiceKey{Family: f, Proto: proto, Addr: dst}
	if s := t.services[k]; s != nil {
		return s
	}
	if proto == packet.TCP && t.ftps != 0 && (dst.Port() == ftpDataPort || dst.Port() >= firstUnprivileged) {
		k.Addr = netip.AddrPortFrom(dst.Addr(), ftpPort)
		if s := t.services[k]; s != nil {
			return s
		}
	}
	if t.portZeros != 0 {
		k.Addr = netip.AddrPortFrom(dst.Addr(), 0)
		return t.services[k]
	}
	return nil
}

const (
	ftpPort           = 21
	ftpDataPort       = 20
	firstUnprivileged = 1024
)
