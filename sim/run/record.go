package run

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/kernel"
	"github.com/svclab/svclab/sim/record"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/scenario"
)

// Record runs a scenario's traffic on a real kernel and writes down what it did, in the format that Replay plays (sim/record/
// FORMAT.md). It returns the comparison's report beside it, and like Compare an error where there was no kernel or the run was
// interrupted; the recording then holds what was seen. A scenario whose rules change cannot be recorded.
func Record(ctx context.Context, sc *scenario.Scenario, files fs.FS, o CompareOptions) (*record.Recording, *report.Report, error) {
	if len(sc.Spec.Events) > 0 {
		return nil, nil, sc.Errorf(sc.Spec.Events[0].Pos, "a recording holds one rule set; this event changes it")
	}
	r := &record.Recording{Name: sc.Metadata.Name, After: map[string][]string{}}
	var logs []*kernel.Log
	o.seen = func(l *kernel.Log) { logs = append(logs, l) }
	var hz int
	o.loaded = func(s *Subject, _ kernel.Topology) {
		r.Network = record.NetworkOf(s.Host)
		r.Rules, r.Rules6 = s.Node.Linked(packet.IPv4).Print(false), s.Node.Linked(packet.IPv6).Print(false)
		r.Servers = record.ServersOf(s.Node, s.Host.NodeIPs)
		hz = s.Node.Profile.HZ
	}
	var exact, paced bool
	o.dumped = func(c *comparison, f packet.Family, dump string) {
		paced = c.paced || len(c.ageing.times) > 0
		if exact = c.inexact == ""; exact {
			r.After[map[packet.Family]string{packet.IPv4: "nat", packet.IPv6: "nat6"}[f]] = natOf(dump)
		}
	}
	rep, err := Compare(ctx, sc, files, o)
	if rep == nil || rep.Kernel == nil {
		return nil, rep, err
	}
	tool := "legacy"
	if rep.Kernel.Variant == "nft" {
		tool = "nf_tables"
	}
	r.Kernel = fmt.Sprintf("Linux %s, HZ=%d; iptables (%s)", rep.Kernel.Release, hz, tool)
	r.Note = "recorded by svclab record; " + rep.Kernel.Vehicle
	if !exact {
		r.After = nil
	}
	return r, rep, cmp.Or(write(r, logs, paced), err)
}

// write turns what was sent and answered into events.
func write(r *record.Recording, logs []*kernel.Log, paced bool) error {
	var to string
	for _, l := range logs {
		for _, o := range l.Outcomes {
			if o.Failure == box.NotSent {
				continue
			}
			if r.Full() {
				return &InputError{What: "record", Why: "the scenario opens more connections than a recording holds; choose some with --only"}
			}
			if now := o.Dst.String() + " " + o.Proto.String(); now != to {
				to = now
				if err := r.Add("to", o.Dst.String(), o.Proto.String()); err != nil {
					return err
				}
			}
			if paced {
				if err := r.Add("time", float64(o.Start/time.Millisecond)/1000); err != nil {
					return err
				}
			}
			var backend *string
			if o.Failure == box.None && o.Backend != o.Dst {
				s := o.Backend.String()
				backend = &s
			}
			fields := []any{"conn", o.ID, o.Src.Addr().String(), o.Src.Port(), backend}
			if o.Proto == packet.TCP && backend != nil {
				fields = append(fields, map[string]any{"request_reply_rounds": 0, "close": "client_rst"})
			}
			if err := r.Add(fields...); err != nil {
				return err
			}
		}
	}
	return nil
}

// natOf are the lines of table nat.
func natOf(dump string) []string {
	_, s, ok := strings.Cut(dump, "*nat\n")
	if !ok {
		return nil
	}
	s, _, _ = strings.Cut(s, "COMMIT")
	return append(append([]string{"*nat"}, strings.Split(strings.TrimSpace(s), "\n")...), "COMMIT")
}
