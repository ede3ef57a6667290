package run

import (
	"context"
	"fmt"
	"time"

	"github.com/svclab/svclab/datapath/ipvs"
	"github.com/svclab/svclab/sim/check"
	"github.com/svclab/svclab/sim/kernel"
)

// How long the kernel's counters may lag: up to Linux 6.1 they are told as of the last look of the estimator, which comes every two
// seconds (net/netfilter/ipvs/ip_vs_est.c, estimation_timer).
const (
	estimatorLag  = 4500 * time.Millisecond
	estimatorLook = 500 * time.Millisecond
)

// ipvs compares what the kernel has of IPVS, where the model has any: services and servers in their order, then what each counted.
func (c *comparison) ipvs(ctx context.Context, add func(check.Result, []string)) {
	model := c.subject.Node.IPVS
	if len(model.Services()) == 0 {
		return
	}
	if ctx.Err() != nil {
		add(check.Missing("ipvs", "interrupted before the kernel was asked"), nil)
		return
	}
	services, servers, p := int64(0), int64(0), places{}
	for _, s := range model.Services() {
		p.put(s.Key.String(), c.subject.serviceAt(s.Key.Addr))
		services++
		servers += int64(len(s.Destinations()))
	}
	dump, err := c.kernel.DumpIPVS(ctx)
	if err != nil {
		add(check.Missing("ipvs", err.Error()), nil)
		return
	}
	r := check.Result{Name: "ipvs", N: services + servers}
	if diff := kernel.IPVSDifferences(model, dump, kernel.IPVSOptions{}); len(diff) > 0 {
		add(differs(r, diff, p))
		return // counters of other servers say nothing
	}
	r.Verdict, r.Reason = check.Pass, fmt.Sprintf("%d virtual services and their %d servers are equal, and in the same order", services, servers)
	add(r, nil)

	r = check.Result{Name: "counters ipvs", N: services + servers}
	o := kernel.IPVSOptions{Counters: true}
	diff := kernel.IPVSDifferences(model, dump, o)
	for until := time.Now().Add(estimatorLag); len(diff) > 0 && time.Now().Before(until); diff = kernel.IPVSDifferences(model, dump, o) {
		var again *ipvs.Dump
		if err := sleep(ctx, estimatorLook); err != nil {
			break
		}
		if again, err = c.kernel.DumpIPVS(ctx); err != nil {
			break
		}
		dump = again
	}
	var list []string
	if len(diff) > 0 {
		r, list = differs(r, diff, p)
	} else {
		r.Verdict, r.Reason = check.Pass, fmt.Sprintf("%d virtual services and their %d servers counted the same connections and packets in model and kernel", services, servers)
	}
	if c.inexact != "" {
		r = r.WithDoubt(c.inexact)
	}
	add(r, list)
}
