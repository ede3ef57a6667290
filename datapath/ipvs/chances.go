package ipvs

import "net/netip"

// Chance is the probability with which the next new connection goes to a server, in the present state.
type Chance struct {
	Server netip.AddrPort
	Weight int
	// Num/Den is the probability, exactly; P is the same rounded.
	Num, Den uint64
	P        float64
	Draw     [2]int // two draws that lead to the server, when it has a chance
}

// Chances returns the exact distribution of the next pick of a service whose scheduler draws (twos), by the kernel's list
// order; nil for other schedulers and when nobody is usable.
func (t *Table) Chances(k ServiceKey) []Chance {
	s := t.services[k]
	if s == nil || s.Scheduler != "twos" {
		return nil
	}
	var out []Chance
	var usable []*Destination
	total := 0
	for d := s.first(); d != nil; d = s.after(d) {
		if !d.unusable() {
			usable = append(usable, d)
			out = append(out, Chance{Server: d.Addr, Weight: d.Weight})
			total += d.Weight
		}
	}
	if total == 0 {
		return nil
	}
	// ways is the number of draws that lead to a server, reach the largest of them.
	ways, reach := make([]uint64, len(usable)), make([]int, len(usable))
	sum := 0
	for i, d := range usable {
		ways[i] = uint64(d.Weight)
		if i == 0 {
			ways[i]++ // 0 leads to the first
		}
		sum += d.Weight
		reach[i] = sum
	}
	for i := range usable {
		for k := range usable {
			winner := i
			if betterOfTwo(usable[i], usable[k]) {
				winner = k
			}
			out[winner].Num += ways[i] * ways[k]
			out[winner].Draw = [2]int{reach[i], reach[k]}
		}
	}
	den := uint64(total+1) * uint64(total+1)
	for i := range out {
		out[i].Den = den
		out[i].P = float64(out[i].Num) / float64(den)
	}
	return out
}
