package scenario

import (
	"fmt"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/svclab/svclab/sim/check"
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

// Margin is how far a share may be off. The zero value is absent.
type Margin struct {
	check.Margin
	Given bool
}

func (m *Margin) parse(s string) (err error) {
	m.Margin, err = check.ParseMargin(s)
	m.Given = true
	return err
}

var oneWhole = big.NewRat(1, 1)

// Share is a part of one, or a weight beside others: 1/3, 25%, 0.25 or 2.
type Share struct{ *big.Rat }

func (p *Share) parse(s string) (err error) {
	p.Rat, err = check.ParseShare(s)
	return err
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
	Kind string // "uniform", "rules" or "each"
	Each []Each // for "each", as written
}

// Each is the share of one endpoint.
type Each struct {
	Endpoint AddrPort
	Node     string // of shares per node, in place of an endpoint
	Share    Share
}

func (e *Expect) parse(s string) error {
	switch s {
	case "uniform", "rules":
		e.Kind = s
		return nil
	}
	return fmt.Errorf("%q is not an expectation: %s", s, hint(s, []string{"uniform", "rules", "a share for each endpoint"}))
}
