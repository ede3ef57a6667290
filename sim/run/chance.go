package run

import "github.com/svclab/svclab/sim/seed"

// drawing is the chance of the connection that is being opened, from a stream of its own, and whether any was taken: ports
// that NAT draws decide nothing about who answers and do not count.
type drawing struct {
	keyed *seed.Keyed
	drew  bool
}

func (d *drawing) at(flow uint64) {
	d.keyed.At(flow)
	d.drew = false
}

// Chance decides a probability draw.
func (d *drawing) Chance(p31 uint32) bool {
	d.drew = true
	return d.keyed.Chance(p31)
}

// Intn decides a uniform draw.
func (d *drawing) Intn(n int) int {
	d.drew = true
	return d.keyed.Intn(n)
}

// Port draws a port for NAT.
func (d *drawing) Port(n int) int { return d.keyed.Intn(n) }
