package ipvs

import (
	"errors"
	"fmt"
)

// The reasons for which the kernel (net/netfilter/ipvs/ip_vs_ctl.c, do_ip_vs_set_ctl and the functions it calls) refuses an
// operation. They are wrapped in an *OpError.
var (
	ErrServiceExists       = errors.New("the virtual service exists already")
	ErrNoService           = errors.New("no such virtual service")
	ErrDestinationExists   = errors.New("the server is in the service already")
	ErrNoDestination       = errors.New("no such server in the service")
	ErrUnknownScheduler    = errors.New("unknown scheduler")
	ErrSchedulerFlag       = errors.New("the scheduler has no such flag")
	ErrNegativeWeight      = errors.New("the weight is negative")
	ErrMixedFamilies       = errors.New("service and server are of different IP versions, which only tunnelling allows")
	ErrThresholds          = errors.New("the lower threshold is above the upper one")
	ErrBadAddress          = errors.New("not a usable address")
	ErrBadProtocol         = errors.New("only TCP, UDP and SCTP can be scheduled")
	ErrBadNetmask          = errors.New("the netmask of persistence is not valid for the IP version")
	ErrZeroPort            = errors.New("a service without port and mark has to be persistent")
	ErrOnePacket           = errors.New("one-packet scheduling is for UDP services only")
	ErrUnknownSysctl       = errors.New("no such IPVS parameter")
	ErrBadValue            = errors.New("not a valid value")
	ErrNotModelled         = errors.New("not modelled")
	ErrNames               = errors.New("the dump has names in place of numbers: it was made without -n; make it again with -n (ipvsadm -S -n, ipvsadm -L -n), as names are cut to the column and ports are lost")
	ErrVersion             = errors.New("not a dump of this kind")
	ErrUnexpectedText      = errors.New("unexpected text")
	ErrServerBeforeService = errors.New("a server stands before any service")
)

// OpError is a refused operation on a service or a server.
type OpError struct {
	Op  string // "add service", "edit server", ...
	On  string // the service, and the server if there is one, as ipvsadm spells them
	Err error
}

func (e *OpError) Error() string { return e.Op + " " + e.On + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *OpError) Unwrap() error { return e.Err }

// ParseError is a place in a text that cannot be read.
type ParseError struct {
	File string // name given by the caller, "" when there is none
	Line int    // from 1
	Text string // the line, shortened
	Err  error
}

func (e *ParseError) Error() string {
	f := e.File
	if f == "" {
		f = "line "
	} else {
		f += ":"
	}
	return fmt.Sprintf("%s%d: %q: %v", f, e.Line, e.Text, e.Err)
}

// Unwrap returns the reason.
func (e *ParseError) Unwrap() error { return e.Err }

const maxQuote = 120 // bytes of a line that an error quotes

func quote(s string) string {
	if len(s) > maxQuote {
		return s[:maxQuote] + "…"
	}
	return s
}
