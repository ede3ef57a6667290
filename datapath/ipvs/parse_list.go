package ipvs

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// ParseList reads listings of ipvsadm -L -n as people paste them: views of servers, --stats, --rate, --thresholds,
// --persistent-conn and -c, several after one another, indented or not, with or without banner and header. Servers without a
// header before them are read as the plain view. Errors are *ParseError with the line.
func ParseList(file, text string) (*Dump, error) {
	r := listReader{dump: &Dump{}}
	if err := eachLine(file, text, r.line); err != nil {
		return nil, err
	}
	return r.dump, nil
}

// IsList reports whether a text looks like a listing of ipvsadm -L.
func IsList(text string) bool {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "IP Virtual Server version") || strings.HasPrefix(line, "IPVS connection entries") ||
			strings.HasPrefix(line, "Prot LocalAddress:Port") {
			return true
		}
	}
	return false
}

type listReader struct {
	dump *Dump
	view ListFormat
	seen map[ServiceKey]bool
}

func (r *listReader) line(line string) error {
	f := strings.Fields(line)
	if len(f) == 0 || f[0] == "#" || f[0] == "$" {
		return nil
	}
	switch {
	case f[0] == "IP" && len(f) > 1 && f[1] == "Virtual", f[0] == "IPVS":
		return nil
	case f[0] == "Prot":
		return r.header(f)
	case f[0] == "pro":
		r.view = ListConns
		return nil
	case f[0] == "->":
		if len(f) > 1 && strings.HasPrefix(f[1], "RemoteAddress") {
			return nil
		}
		return r.server(f[1:])
	case f[0] == "FWM":
		return r.service(f)
	}
	if _, err := packet.ParseTransport(f[0]); err == nil || f[0] == "IP" {
		if r.view == ListConns || len(f) > 1 && isClock(f[1]) {
			return r.conn(f)
		}
		return r.service(f)
	}
	return fmt.Errorf("%w: neither a service, a server nor a header of ipvsadm -L -n", ErrUnexpectedText)
}

func (r *listReader) header(f []string) error {
	has := func(w string) bool {
		for _, x := range f {
			if x == w {
				return true
			}
		}
		return false
	}
	switch {
	case has("Conns"):
		r.view = ListStats
	case has("CPS"):
		r.view = ListRate
	case has("Uthreshold"):
		r.view = ListThresholds
	case has("PersistConn"):
		r.view = ListPersistence
	default:
		r.view = ListServers
	}
	return nil
}

// service reads "TCP  10.0.0.1:80 rr (flags) persistent 300 mask 255.255.255.0 ops" or the counters of --stats and --rate.
func (r *listReader) service(f []string) error {
	if len(f) < 2 {
		return fmt.Errorf("%w: a service without an address", ErrUnexpectedText)
	}
	var s DumpService
	rest := f[2:]
	if f[0] == "FWM" {
		m, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil || m == 0 || m < -1<<31 || m > 1<<32-1 {
			return fmt.Errorf("%w: mark %q", ErrBadValue, quote(f[1]))
		}
		s.Key = MarkService(packet.IPv4, uint32(m))
		if len(rest) > 0 && rest[0] == "IPv6" {
			s.Key.Family, rest = packet.IPv6, rest[1:]
		}
	} else {
		proto, err := packet.ParseTransport(f[0])
		if err != nil {
			return err
		}
		a, err := parseAddrPort(f[1])
		if err != nil {
			return err
		}
		s.Key = AddressService(proto, a)
	}
	if r.view == ListStats || r.view == ListRate {
		st, err := listStats(rest)
		if err != nil {
			return err
		}
		if r.view == ListStats {
			s.Stats = st
		}
	} else if err := s.options(rest); err != nil {
		return err
	}
	if r.seen == nil {
		r.seen = map[ServiceKey]bool{}
	}
	if r.seen[s.Key] {
		return fmt.Errorf("%w", ErrServiceExists)
	}
	r.seen[s.Key] = true
	r.dump.Services = append(r.dump.Services, s)
	return nil
}

// options reads what follows a service's address in views that name the scheduler.
func (s *DumpService) options(f []string) (err error) {
	if len(f) == 0 {
		return fmt.Errorf("%w: a service without a scheduler", ErrUnexpectedText)
	}
	s.Scheduler, f = f[0], f[1:]
	if schedulers[s.Scheduler] == nil {
		return &SchedulerError{s.Scheduler}
	}
	take := func() string {
		if len(f) == 0 {
			return ""
		}
		w := f[0]
		f = f[1:]
		return w
	}
	for len(f) > 0 {
		switch o := take(); {
		case strings.HasPrefix(o, "(") && strings.HasSuffix(o, ")"):
			if s.Flags, err = ParseSchedulerFlags(s.Scheduler, o[1:len(o)-1]); err != nil {
				return err
			}
		case o == "persistent":
			n, err := listInt(take(), 31*24*3600)
			if err != nil || n == 0 {
				return fmt.Errorf("%w: persistence", ErrBadValue)
			}
			s.Persistence = time.Duration(n) * time.Second
		case o == "mask":
			if s.MaskBits, err = ParseNetmask(take()); err != nil {
				return err
			}
		case o == "ops":
			s.OnePacket = true
		case o == "pe":
			return fmt.Errorf("%w: persistence engines", ErrNotModelled)
		default:
			return fmt.Errorf("%w: %q after the scheduler", ErrUnexpectedText, quote(o))
		}
	}
	s.ServiceConfig = s.withDefaults()
	return checkService(s.ServiceConfig)
}

// server reads what follows "->".
func (r *listReader) server(f []string) error {
	if len(r.dump.Services) == 0 {
		return ErrServerBeforeService
	}
	s := &r.dump.Services[len(r.dump.Services)-1]
	if len(f) == 0 {
		return fmt.Errorf("%w: a server without an address", ErrUnexpectedText)
	}
	a, err := parseAddrPort(f[0])
	if err != nil {
		return err
	}
	d := DumpServer{DestinationConfig: DestinationConfig{Addr: a, Weight: 1}}
	f = f[1:]
	ints := func(into ...*int) error {
		if len(f) != len(into) {
			return fmt.Errorf("%w: %d columns are expected after the address, there are %d", ErrUnexpectedText, len(into), len(f))
		}
		for i := range into {
			if *into[i], err = listInt(f[i], 1<<31-1); err != nil {
				return err
			}
		}
		return nil
	}
	switch r.view {
	case ListStats, ListRate:
		st, err := listStats(f)
		if err != nil {
			return err
		}
		if r.view == ListStats {
			d.Stats = st
		}
	case ListThresholds:
		var up, low int
		if err := ints(&up, &low, &d.Active, &d.Inactive); err != nil {
			return err
		}
		d.Upper, d.Lower = uint32(up), uint32(low)
	case ListPersistence:
		var templates int
		if err := ints(&d.Weight, &templates, &d.Active, &d.Inactive); err != nil {
			return err
		}
	default:
		if len(f) == 0 {
			return fmt.Errorf("%w: a server without a forwarding method", ErrUnexpectedText)
		}
		if d.Forward, err = parseForward(f[0]); err != nil {
			return err
		}
		f = f[1:]
		if err := ints(&d.Weight, &d.Active, &d.Inactive); err != nil {
			return err
		}
	}
	for _, x := range s.Servers {
		if x.Addr == a {
			return ErrDestinationExists
		}
	}
	if err := checkDestination(s.Key, d.DestinationConfig); err != nil {
		return err
	}
	s.Servers = append(s.Servers, d)
	return nil
}

func parseForward(s string) (Forward, error) {
	for i, n := range forwardNames[:Bypass] {
		if n == s {
			return Forward(i), nil
		}
	}
	return 0, fmt.Errorf("%w: forwarding method %q", ErrBadValue, quote(s))
}

func listInt(s string, highest int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > highest {
		return 0, fmt.Errorf("%w: %q is not a number from 0 to %d", ErrBadValue, quote(s), highest)
	}
	return n, nil
}

// listStats reads the five counters of --stats and --rate; suffixes are powers of a thousand.
func listStats(f []string) (*Stats, error) {
	var c [5]uint64
	if len(f) != len(c) {
		return nil, fmt.Errorf("%w: five counters are expected, there are %d", ErrUnexpectedText, len(f))
	}
	for i, w := range f {
		scale := uint64(1)
		if p := strings.IndexByte("KMGT", w[len(w)-1]); p >= 0 {
			for range p + 1 {
				scale *= 1000
			}
			w = w[:len(w)-1]
		}
		n, err := strconv.ParseUint(w, 10, 64)
		if err != nil || n > (1<<64-1)/scale {
			return nil, fmt.Errorf("%w: counter %q", ErrBadValue, quote(f[i]))
		}
		c[i] = n * scale
	}
	return &Stats{Conns: c[0], InPackets: c[1], OutPackets: c[2], InBytes: c[3], OutBytes: c[4]}, nil
}

// isClock reports whether a word is the expire column of -c: minutes and seconds.
func isClock(s string) bool {
	m, sec, ok := strings.Cut(s, ":")
	if !ok || len(sec) != 2 || len(m) < 2 {
		return false
	}
	_, err1 := listInt(m, 1<<24)
	_, err2 := listInt(sec, 59)
	return err1 == nil && err2 == nil
}

// conn reads a line of -c: protocol, expire, state, source, virtual, destination.
func (r *listReader) conn(f []string) error {
	if len(f) < 6 {
		return fmt.Errorf("%w: an entry has six columns, there are %d", ErrUnexpectedText, len(f))
	}
	var c DumpConn
	if f[0] != "IP" {
		p, err := packet.ParseTransport(f[0])
		if err != nil {
			return err
		}
		c.Proto = p
	}
	if !isClock(f[1]) {
		return fmt.Errorf("%w: expire %q", ErrBadValue, quote(f[1]))
	}
	m, s, _ := strings.Cut(f[1], ":")
	minutes, _ := strconv.Atoi(m)
	seconds, _ := strconv.Atoi(s)
	c.Left = time.Duration(minutes)*time.Minute + time.Duration(seconds)*time.Second
	c.State = f[2]
	var err error
	if c.Client, err = parseAddrPort(f[3]); err != nil {
		return err
	}
	if c.Virtual, err = parseAddrPort(f[4]); err != nil {
		return err
	}
	if c.Server, err = parseAddrPort(f[5]); err != nil {
		return err
	}
	r.dump.Conns = append(r.dump.Conns, c)
	return nil
}
