package run

import (
	"math/big"
	"net/netip"

	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/report"
)

// scheduled says of a virtual service which server the next connection gets and why, and how connections are shared in the
// long run. Schedulers but twos draw nothing, so the share of the next connection alone would say that one server gets all:
// evenness is judged over a period.
func (s *Subject) scheduled(e *report.Explanation, proto packet.Protocol, client, to netip.AddrPort) {
	key := ipvs.AddressService(proto, to)
	svc := s.Node.IPVS.Service(key)
	if svc == nil || svc.Scheduler == "twos" {
		return
	}
	next, ok := s.Node.IPVS.Next(&netfilter.Walk{Now: s.Node.IPVS.Now()}, key, client, to)
	if !ok {
		return
	}
	e.NextPick = &report.NextPick{Scheduler: next.Scheduler, Reason: next.Reason}
	if next.Server.IsValid() {
		e.NextPick.Endpoint = next.Server.String()
	}
	p, ok := s.Node.IPVS.Period(key)
	if !ok || p.Picks == 0 {
		return
	}
	run := &report.LongRun{Of: p.Of, Picks: p.Picks, Refused: p.Refused, Backends: []report.Target{}}
	even, worst := big.NewRat(1, int64(max(len(p.Shares), 1))), new(big.Rat)
	for _, x := range p.Shares {
		r := new(big.Rat).SetFrac(new(big.Int).SetUint64(x.Picks), new(big.Int).SetUint64(p.Picks))
		f, _ := r.Float64()
		run.Backends = append(run.Backends, report.Target{Endpoint: x.Server.String(), Probability: r.RatString(), Decimal: report.DecimalOf(f)})
		if d := new(big.Rat).Sub(r, even); d.Abs(d).Cmp(worst) > 0 {
			worst = d
		}
	}
	e.LongRun = run
	e.SamplesToNotice = nil
	e.MaxDeviation = worst.RatString()
	e.Uniform = worst.Cmp(big.NewRat(1, 1<<31)) <= 0
}
