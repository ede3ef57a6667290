package ipvs

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// ParseProcServices reads /proc/net/ip_vs, where servers stand in the kernel's list order. Persistence is printed in timer
// ticks, so hz is the kernel's CONFIG_HZ (100, 250, 300 or 1000). Scheduler flags are not printed there, and the family of a
// mark's service is told by its netmask and servers. Errors are *ParseError with the line.
func ParseProcServices(file, text string, hz int) (*Dump, error) {
	if hz <= 0 {
		return nil, &ParseError{file, 1, "", fmt.Errorf("%w: HZ %d", ErrBadValue, hz)}
	}
	r := procReader{dump: &Dump{KernelOrder: true}, hz: hz, seen: map[ServiceKey]bool{}}
	if err := eachLine(file, text, r.line); err != nil {
		return nil, err
	}
	return r.dump, nil
}

type procReader struct {
	dump *Dump
	hz   int
	seen map[ServiceKey]bool
}

func (r *procReader) line(line string) error {
	f := strings.Fields(line)
	switch {
	case len(f) == 0, f[0] == "IP", f[0] == "Prot", len(f) > 1 && f[1] == "RemoteAddress:Port":
		return nil
	case f[0] == "->":
		return r.server(f[1:])
	}
	return r.service(f)
}

func (r *procReader) service(f []string) error {
	if len(f) < 3 {
		return fmt.Errorf("%w: a service has protocol, address and scheduler", ErrUnexpectedText)
	}
	var s DumpService
	if f[0] == "FWM" {
		m, err := strconv.ParseUint(f[1], 16, 32)
		if err != nil || m == 0 {
			return fmt.Errorf("%w: mark %q", ErrBadValue, quote(f[1]))
		}
		s.Key = MarkService(packet.IPv4, uint32(m))
	} else {
		p, err := packet.ParseTransport(f[0])
		if err != nil {
			return err
		}
		a, err := parseHexAddrPort(f[1])
		if err != nil {
			return err
		}
		s.Key = AddressService(p, a)
	}
	s.Scheduler = f[2]
	if schedulers[s.Scheduler] == nil {
		return &SchedulerError{s.Scheduler}
	}
	for f = f[3:]; len(f) > 0; {
		switch {
		case f[0] == "ops":
			s.OnePacket, f = true, f[1:]
		case f[0] == "persistent" && len(f) >= 3:
			if err := r.persistence(&s, f[1], f[2]); err != nil {
				return err
			}
			f = f[3:]
		default:
			return fmt.Errorf("%w: %q after the scheduler", ErrUnexpectedText, quote(f[0]))
		}
	}
	s.ServiceConfig = s.withDefaults()
	if err := checkService(s.ServiceConfig); err != nil {
		return err
	}
	if r.seen[s.Key] {
		return ErrServiceExists
	}
	r.seen[s.Key] = true
	r.dump.Services = append(r.dump.Services, s)
	return nil
}

// persistence reads ticks and netmask. For IPv6 the kernel prints the prefix length with its bytes swapped.
func (r *procReader) persistence(s *DumpService, ticks, mask string) error {
	n, err := strconv.ParseInt(ticks, 10, 64)
	if err != nil || n <= 0 || n > 1<<31*int64(r.hz) || n%int64(r.hz) != 0 {
		return fmt.Errorf("%w: %s ticks of persistence at %d a second", ErrBadValue, quote(ticks), r.hz)
	}
	s.Persistence = time.Duration(n/int64(r.hz)) * time.Second
	m, err := strconv.ParseUint(mask, 16, 32)
	if err != nil {
		return fmt.Errorf("%w: %q", ErrBadNetmask, quote(mask))
	}
	if m&0xffffff == 0 && m>>24 <= 128 && (s.Key.Family == packet.IPv6 || s.Key.Mark != 0 && !prefixMask(uint32(m))) {
		s.Key.Family = packet.IPv6
		s.MaskBits = int(m >> 24)
		return nil
	}
	if !prefixMask(uint32(m)) {
		return fmt.Errorf("%w: %q", ErrBadNetmask, quote(mask))
	}
	for ; m&(1<<31) != 0; m <<= 1 {
		s.MaskBits++
	}
	return nil
}

func prefixMask(m uint32) bool { return ^m&(^m+1) == 0 }

func (r *procReader) server(f []string) error {
	if len(r.dump.Services) == 0 {
		return ErrServerBeforeService
	}
	s := &r.dump.Services[len(r.dump.Services)-1]
	if len(f) != 5 {
		return fmt.Errorf("%w: a server has five columns, there are %d", ErrUnexpectedText, len(f))
	}
	var d DumpServer
	var err error
	if d.Addr, err = parseHexAddrPort(f[0]); err != nil {
		return err
	}
	if d.Forward, err = parseForward(f[1]); err != nil {
		return err
	}
	for i, n := range [...]*int{&d.Weight, &d.Active, &d.Inactive} {
		if *n, err = listInt(f[2+i], 1<<31-1); err != nil {
			return err
		}
	}
	if s.Key.Mark != 0 && len(s.Servers) == 0 && d.Addr.Addr().Is6() && d.Forward != Tunnel {
		delete(r.seen, s.Key)
		s.Key.Family = packet.IPv6
		if r.seen[s.Key] {
			return ErrServiceExists
		}
		r.seen[s.Key] = true
	}
	for _, x := range s.Servers {
		if x.Addr == d.Addr {
			return ErrDestinationExists
		}
	}
	if err := checkDestination(s.Key, d.DestinationConfig); err != nil {
		return err
	}
	s.Servers = append(s.Servers, d)
	return nil
}

// parseHexAddrPort reads "0A090001:0050" or "[fd00:...]:0050".
func parseHexAddrPort(s string) (netip.AddrPort, error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return netip.AddrPort{}, fmt.Errorf("%w: %q", ErrBadAddress, quote(s))
	}
	a, err := parseHexAddr(strings.TrimSuffix(strings.TrimPrefix(s[:i], "["), "]"))
	if err != nil {
		return netip.AddrPort{}, err
	}
	p, err := parseHexPort(s[i+1:])
	return netip.AddrPortFrom(a, p), err
}

func parseHexAddr(s string) (netip.Addr, error) {
	if len(s) == 8 {
		if n, err := strconv.ParseUint(s, 16, 32); err == nil {
			return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), nil
		}
	} else if a, err := netip.ParseAddr(s); err == nil && a.Is6() && a.Zone() == "" && !a.Is4In6() {
		return a, nil
	}
	return netip.Addr{}, fmt.Errorf("%w: %q", ErrBadAddress, quote(s))
}

func parseHexPort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 16, 16)
	if err != nil || len(s) != 4 {
		return 0, fmt.Errorf("%w: port %q", ErrBadAddress, quote(s))
	}
	return uint16(n), nil
}

// ParseProcConns reads /proc/net/ip_vs_conn. Errors are *ParseError with the line.
func ParseProcConns(file, text string) (*Dump, error) {
	d := &Dump{}
	err := eachLine(file, text, func(line string) error {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "Pro" {
			return nil
		}
		if len(f) < 9 {
			return fmt.Errorf("%w: an entry has nine columns, there are %d", ErrUnexpectedText, len(f))
		}
		if len(f) > 9 {
			return fmt.Errorf("%w: persistence engines", ErrNotModelled)
		}
		var c DumpConn
		if f[0] != "IP" {
			p, err := packet.ParseTransport(f[0])
			if err != nil {
				return err
			}
			c.Proto = p
		}
		for i, into := range [...]*netip.AddrPort{&c.Client, &c.Virtual, &c.Server} {
			a, err := parseHexAddr(f[1+2*i])
			if err != nil {
				return err
			}
			p, err := parseHexPort(f[2+2*i])
			if err != nil {
				return err
			}
			*into = netip.AddrPortFrom(a, p)
		}
		c.State = f[7]
		n, err := listInt(f[8], 1<<31-1)
		c.Left = time.Duration(n) * time.Second
		d.Conns = append(d.Conns, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}
