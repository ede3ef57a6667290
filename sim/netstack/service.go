package netstack

import (
	"math"
	"time"
)

// Service is how long requests take: a distribution. The zero value takes no time.
type Service struct {
	Kind ServiceKind
	Mean time.Duration
	// Sigma is the standard deviation of the logarithm, of LogNormal: 0.5 gives a p99 of 2.8 means, 1 of 6.2.
	Sigma float64
}

// ServiceKind is the shape of a distribution of service times.
type ServiceKind uint8

// The shapes. The zero value is Constant.
const (
	Constant    ServiceKind = iota
	Uniform                 // evenly from 0 to twice the mean
	Exponential             // many short, few long
	LogNormal               // as measured request times mostly are
)

// draw takes a time for a request of a flow from the stream of service times: what a flow draws depends on no other, and is the same
// whichever server it comes to.
func (d Service) draw(f *Fabric, flow int64, ordinal uint64) time.Duration {
	if d.Mean <= 0 {
		return 0
	}
	if d.Kind == Constant {
		return d.Mean
	}
	k := f.service
	k.At(uint64(flow)*0x9e3779b97f4a7c15 + ordinal)
	unit := func() float64 { return (float64(k.Word()) + 0.5) / (1 << 32) }
	mean := float64(d.Mean)
	switch d.Kind {
	case Uniform:
		return time.Duration(2 * mean * unit())
	case Exponential:
		return time.Duration(-mean * math.Log(unit()))
	}
	z := math.Sqrt(-2*math.Log(unit())) * math.Cos(2*math.Pi*unit())
	return time.Duration(mean * math.Exp(d.Sigma*z-d.Sigma*d.Sigma/2))
}
