package run

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/sim/dns"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/scenario"
	"github.com/svclab/svclab/sim/traffic"
)

// follower tells the way of the first connection of each traffic that begins with a name: what was asked of whom, through which
// rules the questions and then the connection went, and who answered.
type follower struct {
	paths  []*report.Path
	by     map[int64]*report.Path // of the flows that are followed, by number
	groups map[int]bool           // that have one
	trace  netfilter.Trace
}

// begin starts to follow a flow, if it is the first of its traffic.
func (w *follower) begin(f traffic.Flow, t *scenario.Traffic, conf dns.ResolvConf) {
	if w.groups[f.Group] {
		return
	}
	if w.by == nil {
		w.by, w.groups = map[int64]*report.Path{}, map[int]bool{}
	}
	p := &report.Path{Traffic: t.Name, Connection: f.ID, Name: t.To.Name.Value, Client: f.Src.Addr().String()}
	for line := range strings.Lines(conf.String()) {
		p.ResolvConf = append(p.ResolvConf, strings.TrimSpace(line))
	}
	w.groups[f.Group], w.by[f.Number] = true, p
	w.paths = append(w.paths, p)
}

// of is the path of a flow; nil when it is not followed.
func (w *follower) of(number int64) *report.Path { return w.by[number] }

// watch records what a node does with the packets that it walks until stop is called, which returns the chains and rules of nat
// that the first of them took.
func (w *follower) watch(n *datapath.Node) (stop func() []string) {
	w.trace = netfilter.Trace{}
	n.SetTrace(&w.trace)
	return func() []string {
		n.SetTrace(nil)
		return taken(&w.trace)
	}
}

// taken are the steps of a walk that decided about a packet: rules of nat that matched, but for those that built-in chains begin
// with, what IPVS did, and translations.
func taken(t *netfilter.Trace) (out []string) {
	for _, s := range t.Steps {
		switch {
		case s.Kind == netfilter.StepDeliver:
			return out // what follows is another packet's
		case s.Kind == netfilter.StepRule && s.Matched && s.Table == "nat" && s.Result != "return" && s.Chain != s.Hook.String():
			x := step(s)
			out = append(out, fmt.Sprintf("%s: %s", s.Hook, x.Text))
		case s.Kind == netfilter.StepNAT, s.Kind == netfilter.StepIPVS:
			out = append(out, fmt.Sprintf("%s: %s", s.Hook, s.Result))
		}
	}
	return out
}

// query notes a message to a name server in the replay world while it is walked.
func (w *follower) query(f traffic.Flow, st *site, now time.Duration, q replay.Flow) func() {
	p := w.of(f.Number)
	if p == nil {
		return func() {}
	}
	stop := w.watch(st.Node)
	return func() {
		p.Steps = append(p.Steps, report.PathStep{At: now.String(), What: fmt.Sprintf("%s asks %s over %s", q.Src, q.Dst, q.Proto), Node: st.Host.Name, Rules: stop()})
	}
}

// first notes the first packet of a followed connection in the replay world while it is walked.
func (w *follower) first(f traffic.Flow, st *site, now time.Duration) func() {
	p := w.of(f.Number)
	if p == nil {
		return func() {}
	}
	stop := w.watch(st.Node)
	return func() {
		p.Steps = append(p.Steps, report.PathStep{At: now.String(), What: fmt.Sprintf("%s connects to %s", f.Src, f.Dst), Node: st.Host.Name, Rules: stop()})
	}
}

// queries notes what a lookup came to.
func (w *follower) queries(now time.Duration, f traffic.Flow, queries []dns.QueryReport, list []netip.Addr, err error) {
	p := w.of(f.Number)
	if p == nil {
		return
	}
	for _, q := range queries {
		p.Queries = append(p.Queries, report.Query{Name: q.Name, Type: q.Type, Rcode: q.Rcode, Answers: slices.Clone(q.Answers), Transport: q.Transport, AtSeconds: report.Number(q.AtSeconds)})
	}
	what := "the name is found: "
	for i, a := range list {
		if i > 0 {
			what += ", "
		}
		what += a.String()
	}
	if err != nil {
		what = "the lookup fails: " + err.Error()
	}
	p.Steps = append(p.Steps, report.PathStep{At: now.String(), What: what})
}

// ended notes how the connection ended.
func (w *follower) ended(now time.Duration, o *opened) {
	p := w.of(o.flow.Number)
	if p == nil {
		return
	}
	what := o.Result.String()
	if o.Result == replay.Answered {
		what = fmt.Sprintf("%s answers for %s", o.Endpoint, o.flow.Dst)
		p.Endpoint = o.Endpoint.String()
	}
	if o.Reason != "" {
		what += ": " + o.Reason
	}
	p.Steps = append(p.Steps, report.PathStep{At: now.String(), What: what})
}
