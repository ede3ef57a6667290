package run

import (
	"strconv"
	"strings"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/netfilter"
)

// comment says what came of a packet at one hook: the hook's verdict, then for each table the last rule that applied with what it
// did and the rules that led to it, then what connection tracking, translation, IPVS and routing had to say.
func comment(t *netfilter.Trace, i int, d *datapath.Disposition) string {
	steps := t.Of(i)
	parts := []string{hookVerdict(t, i, d)}
	for len(steps) > 0 {
		n := 1
		if steps[0].Kind == netfilter.StepRule || steps[0].Kind == netfilter.StepPolicy {
			for n < len(steps) && steps[n].Table == steps[0].Table && (steps[n].Kind == netfilter.StepRule || steps[n].Kind == netfilter.StepPolicy) {
				n++
			}
			parts = append(parts, tableComment(steps[:n]))
		} else {
			parts = append(parts, otherComment(&steps[0]))
		}
		steps = steps[n:]
	}
	return strings.Join(present(parts), "; ")
}

func present(parts []string) (out []string) {
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return out
}

// hookVerdict is what a hook did with the packet: whatever went on was accepted.
func hookVerdict(t *netfilter.Trace, i int, d *datapath.Disposition) string {
	if i+1 < len(t.Visits) {
		if t.Visits[i].Hook == netfilter.Input && t.Visits[i+1].Hook == netfilter.Output {
			return "stolen by IPVS"
		}
		return "accept"
	}
	switch {
	case d.Problem != nil:
		return "not modelled: " + d.Problem.Error()
	case d.Fate == datapath.Rejected || d.Fate == datapath.Dropped && d.With.With != "":
		return "reject with " + d.With.With
	case d.Fate == datapath.Dropped && d.Reason != "":
		return "accept, then dropped: " + d.Reason
	case d.Fate == datapath.Dropped:
		return "drop"
	}
	return "accept"
}

// tableComment tells what a table did: the last rule that did something with its text, and the rules that led to it.
func tableComment(steps []netfilter.Step) string {
	var did *netfilter.Step
	var way []string
	policy := ""
	for i := range steps {
		s := &steps[i]
		switch {
		case s.Kind == netfilter.StepPolicy:
			policy = s.Result
		case !s.Matched:
		case leadsOn(s.Result):
			way = append(way, s.Chain+" "+strconv.Itoa(s.Rule))
		default:
			if did != nil {
				way = append(way, did.Chain+" "+strconv.Itoa(did.Rule)+" "+did.Result)
			}
			did = s
		}
	}
	out := steps[0].Table
	switch {
	case did != nil:
		text := did.Text
		if r, ok := did.Ref.(*iptables.Rule); ok && text == "" {
			text = strings.TrimSpace(r.Save(did.Chain))
		}
		out += " " + did.Chain + " rule " + strconv.Itoa(did.Rule) + ": " + text + " => " + did.Result
		if policy != "" && policy != "accept" {
			out += ", policy " + policy
		}
	case len(way) == 0 && policy == "accept":
		return "" // no rule of it applied, and it let the packet go
	default:
		out += " policy " + policy
	}
	if len(way) > 0 {
		out += " (by " + strings.Join(way, ", ") + ")"
	}
	return out
}

// leadsOn reports whether a rule did nothing but name the next one.
func leadsOn(result string) bool {
	return result == "return" || strings.HasPrefix(result, "jump ") || strings.HasPrefix(result, "goto ")
}

func otherComment(s *netfilter.Step) string {
	switch s.Kind {
	case netfilter.StepConntrack:
		return "conntrack " + s.Result
	case netfilter.StepNAT:
		return "translated: " + s.Result
	case netfilter.StepIPVS:
		return "IPVS " + s.Result
	case netfilter.StepRoute:
		return "route " + s.Result
	}
	return ""
}
