package record

import (
	"fmt"
	"math"
	"net/netip"

	"github.com/svclab/svclab/datapath/ipvs"
)

// risk is the chance of calling a kernel different that is not.
const risk = 1e-6

// judge is the source of chance of a replay: it forces each draw to what the kernel got, and keeps a bet against the model's
// distribution of each pick given the state before it. While the model is right the bet's capital is expected to stay at 1,
// so by Ville's inequality it passes 1/risk at any time with a probability of at most risk.
type judge struct {
	player   *player
	expected netip.AddrPort
	draws    []int

	capital [bets]float64 // logarithms
	seen    map[netip.AddrPort]float64
	due     map[netip.AddrPort]float64 // sum of the model's probabilities
}

// The bets. Their average is the capital that is judged.
const (
	betEqual    = iota // every usable server is equally likely
	betWeight          // by weight alone
	betAdaptive        // by how the picks so far deviated from the model
	bets
)

// expect names the server that the kernel picked in the event to come.
func (j *judge) expect(s netip.AddrPort) { j.expected, j.draws = s, nil }

// Chance is not used by any scheduler.
func (j *judge) Chance(uint32) bool { return false }

// Intn answers the draws of one pick with numbers that lead to the expected server, and settles the bets.
func (j *judge) Intn(n int) int {
	if len(j.draws) == 0 {
		j.draws = j.bet()
	}
	d := j.draws[0]
	j.draws = j.draws[1:]
	return min(d, n-1)
}

func (j *judge) bet() []int {
	p := j.player
	chances := p.table.Chances(p.service.Key)
	i := -1
	for k := range chances {
		if chances[k].Server == j.server() {
			i = k
		}
	}
	if i < 0 || chances[i].P == 0 {
		return []int{0, 0} // the event's comparison tells
	}
	j.settle(chances, i)
	return []int{chances[i].Draw[0], chances[i].Draw[1]}
}

// server is the expected backend as the service lists it.
func (j *judge) server() netip.AddrPort {
	for _, d := range j.player.table.Service(j.player.service.Key).Destinations() {
		if d.Addr == j.expected || d.Addr.Port() == 0 && d.Addr.Addr() == j.expected.Addr() {
			return d.Addr
		}
	}
	return j.expected
}

// settle moves the capital after a pick of chances[i].
func (j *judge) settle(chances []ipvs.Chance, i int) {
	if j.seen == nil {
		j.seen, j.due = map[netip.AddrPort]float64{}, map[netip.AddrPort]float64{}
	}
	usable, weights, adaptive := 0, 0, 0.0
	bent := func(c ipvs.Chance) float64 {
		const prior = 10 // picks that deviations have to outweigh
		return c.P * (j.seen[c.Server] + prior) / (j.due[c.Server] + prior)
	}
	for _, c := range chances {
		if c.Weight > 0 && c.P > 0 {
			usable++
			weights += c.Weight
			adaptive += bent(c)
		}
	}
	c := chances[i]
	j.capital[betEqual] += math.Log(1 / float64(usable) / c.P)
	j.capital[betWeight] += math.Log(float64(c.Weight) / float64(weights) / c.P)
	j.capital[betAdaptive] += math.Log(bent(c) / adaptive / c.P)
	j.seen[c.Server]++
	for _, c := range chances {
		j.due[c.Server] += c.P
	}
}

// frequencies judges counts of picks that were made in one and the same state: the capital is that of a bettor who learns the
// frequencies, which does not depend on the order of the picks.
func (j *judge) frequencies(n int, counts map[string]int) {
	p := j.player
	chances := p.table.Chances(p.service.Key)
	total, gain := 0, 0.0
	for _, c := range chances {
		k := counts[c.Server.String()]
		if k > 0 && c.P == 0 {
			p.differ(fmt.Sprintf("%s %d", c.Server, k), "never picked")
			return
		}
		total += k
		lg, _ := math.Lgamma(float64(k) + 1)
		gain += lg
		if k > 0 {
			gain -= float64(k) * math.Log(c.P)
		}
	}
	if total != n {
		p.differ(fmt.Sprintf("%d datagrams", n), fmt.Sprintf("%d at known servers", total))
		return
	}
	k := float64(len(chances))
	a, _ := math.Lgamma(k)
	b, _ := math.Lgamma(float64(n) + k)
	for i := range j.capital {
		j.capital[i] += gain + a - b
	}
	j.verdict()
}

// verdict reports a difference once the capital is past 1/risk.
func (j *judge) verdict() {
	sum := 0.0
	for _, c := range j.capital {
		sum += math.Exp(min(c, 700))
	}
	if e := sum / bets; e >= 1/risk {
		j.player.differ("picks as distributed by the model", fmt.Sprintf("e-value %.3g against it", e))
	}
}
