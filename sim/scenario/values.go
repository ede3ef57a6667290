package scenario

import (
	"fmt"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// scalar is a value that reads itself from the text of one YAML scalar.
type scalar interface{ parse(text string) error }

// Duration is a length of virtual time: 30s, 1m30s, 250ms.
type Duration struct{ time.Duration }

func (d *Duration) parse(s string) (err error) {
	if d.Duration, err = time.ParseDuration(s); err != nil {
		if _, e := strconv.ParseFloat(s, 64); e == nil {
			return fmt.Errorf("%q has no unit: write %ss or %sms", s, s, s)
		}
		return fmt.Errorf("%q is not a length of time: 30s, 1m30s and 250ms are", s)
	}
	if d.Duration < 0 {
		return fmt.Errorf("%q is before the run began", s)
	}
	return nil
}

// Rate is a number of arrivals in a unit of time. The zero value is absent.
type Rate struct {
	Count int
	Per   time.Duration
}

// Gap is the mean time between two arrivals.
func (r Rate) Gap() time.Duration { return r.Per / time.Duration(max(r.Count, 1)) }

func (r *Rate) parse(s string) error {
	n, unit, ok := strings.Cut(s, "/")
	if !ok {
		return fmt.Errorf("%q has no unit of time: write %s/s", s, s)
	}
	r.Per = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "ms": time.Millisecond}[strings.TrimSpace(unit)]
	c, err := strconv.Atoi(strings.TrimSpace(n))
	if err != nil || c <= 0 || r.Per == 0 {
		return fmt.Errorf("%q is not a rate: 1000/s and 60/m are", s)
	}
	if c > int(r.Per) {
		return fmt.Errorf("%q is more than one arrival a nanosecond", s)
	}
	r.Count = c
	return nil
}

// Percent is a part of something, exact: 10%, 0.1 or 1/10. The zero value is absent.
type Percent struct{ *big.Rat }

func (p *Percent) parse(s string) error {
	r, ok := fraction(s)
	if !ok || r.Sign() < 0 || r.Cmp(big.NewRat(1, 1)) > 0 {
		return fmt.Errorf("%q is not a part of one: 10%%, 0.1 and 1/10 are", s)
	}
	p.Rat = r
	return nil
}

func fraction(s string) (*big.Rat, bool) {
	if len(s) > 100 || strings.ContainsAny(s, "eEpPxX_") {
		return nil, false
	}
	body, percent := strings.CutSuffix(s, "%")
	r, ok := new(big.Rat).SetString(strings.TrimSpace(body))
	if ok && percent {
		r.Quo(r, big.NewRat(100, 1))
	}
	return r, ok
}

// Addr is an IP address.
type Addr struct{ netip.Addr }

func (a *Addr) parse(s string) (err error) {
	if a.Addr, err = netip.ParseAddr(s); err != nil || a.Zone() != "" {
		return fmt.Errorf("%q is not an IP address", s)
	}
	return nil
}

// Prefix is an IP prefix.
type Prefix struct{ netip.Prefix }

func (p *Prefix) parse(s string) (err error) {
	if p.Prefix, err = netip.ParsePrefix(s); err != nil {
		return fmt.Errorf("%q is not an IP prefix such as 10.244.1.0/24", s)
	}
	return nil
}

// AddrPort is an address and port. The zero value is absent.
type AddrPort struct{ netip.AddrPort }

func (a *AddrPort) parse(s string) (err error) {
	if a.AddrPort, err = netip.ParseAddrPort(s); err != nil || a.Port() == 0 {
		return fmt.Errorf("%q is not an address and port such as 10.0.0.1:80 or [fd00::1]:80", s)
	}
	return nil
}

// PortRef is a port by number or by name. The zero value is absent.
type PortRef struct {
	Number uint16
	Name   string
}

func (p *PortRef) parse(s string) error {
	n, err := strconv.ParseUint(s, 10, 64)
	switch {
	case err != nil && s != "":
		p.Name = s
	case n < 1 || n > 65535:
		return fmt.Errorf("port %s is not between 1 and 65535", s)
	default:
		p.Number = uint16(n)
	}
	return nil
}

// Expect is what shares should be.
type Expect struct {
	Kind  string             // "uniform", "rules" or "each"
	Each  map[string]Percent // for "each": endpoint address, with or without port, to its share
	Order []string           // keys of Each as written
}

func (e *Expect) parse(s string) error {
	switch s {
	case "uniform", "rules":
		e.Kind = s
		return nil
	}
	if n := Nearest(s, []string{"uniform", "rules"}); n != "" {
		return fmt.Errorf("%q is not an expectation: did you mean %q?", s, n)
	}
	return fmt.Errorf("%q is not an expectation: uniform, rules, or a share for each endpoint", s)
}
