package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/svclab/svclab/datapath/ipvs"
)

// args reads the fields of one event. The first failure sticks.
type args struct {
	f   []json.RawMessage
	i   int
	err error
}

func (a *args) next(into any, what string) {
	if a.err != nil {
		return
	}
	a.i++
	if a.i >= len(a.f) {
		a.err = fmt.Errorf("%w: %s is missing", ErrBadEvent, what)
		return
	}
	if err := json.Unmarshal(a.f[a.i], into); err != nil {
		a.err = fmt.Errorf("%w: %s %s", ErrBadEvent, what, quote(a.f[a.i]))
	}
}

// more reports whether fields are left.
func (a *args) more() bool { return a.err == nil && a.i+1 < len(a.f) }

// end complains about fields nobody asked for.
func (a *args) end() {
	if a.more() {
		a.err = fmt.Errorf("%w: unexpected %s", ErrBadEvent, quote(a.f[a.i+1]))
	}
}

func (a *args) str(what string) (s string)     { a.next(&s, what); return s }
func (a *args) integer(what string) (n int)    { a.next(&n, what); return n }
func (a *args) number(what string) (n float64) { a.next(&n, what); return n }

// optional reads a string or null.
func (a *args) optional(what string) *string {
	var s *string
	a.next(&s, what)
	return s
}

func (a *args) port(what string) uint16 {
	var n uint16
	a.next(&n, what)
	return n
}

func (a *args) addr(what string) netip.Addr {
	s := a.str(what)
	if a.err != nil {
		return netip.Addr{}
	}
	d, err := netip.ParseAddr(s)
	if err != nil {
		a.err = fmt.Errorf("%w: %s %q", ErrBadEvent, what, s)
	}
	return d
}

func (a *args) addrPort(what string) netip.AddrPort {
	return a.parseAddrPort(a.str(what), what)
}

func (a *args) parseAddrPort(s, what string) netip.AddrPort {
	if a.err != nil {
		return netip.AddrPort{}
	}
	d, err := netip.ParseAddrPort(s)
	if err != nil {
		a.err = fmt.Errorf("%w: %s %q", ErrBadEvent, what, s)
	}
	return d
}

// backend reads a server or null; null is the zero value.
func (a *args) backend() netip.AddrPort {
	s := a.optional("backend")
	if a.err != nil || s == nil {
		return netip.AddrPort{}
	}
	return a.parseAddrPort(*s, "backend")
}

// server reads the fields of add and edit.
func (a *args) server(f ipvs.Forward) ipvs.DestinationConfig {
	c := ipvs.DestinationConfig{Addr: a.addrPort("server"), Weight: a.integer("weight"), Forward: f}
	if a.more() {
		var th struct{ Upper, Lower uint32 }
		a.next(&th, "thresholds")
		c.Upper, c.Lower = th.Upper, th.Lower
	}
	a.end()
	return c
}

// decodeEvent splits an event into its kind and its fields.
func decodeEvent(raw json.RawMessage) (kind string, a *args, err error) {
	a = &args{i: -1}
	if err := json.Unmarshal(raw, &a.f); err != nil || len(a.f) == 0 {
		return "", nil, fmt.Errorf("%w: %s", ErrBadEvent, quote(bytes.TrimSpace(raw)))
	}
	kind = a.str("kind of event")
	return kind, a, a.err
}
