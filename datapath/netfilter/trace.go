package netfilter

import "github.com/svclab/svclab/datapath/packet"

// Trace is the list of steps of one walk, and the packet as it stood at each hook on the way. A nil *Trace records nothing.
type Trace struct {
	Steps  []Step
	Visits []Visit
}

// Visit is a packet as it entered a hook: rewritten by the hooks before it, and not yet by this one.
type Visit struct {
	Hook    Hook
	In, Out string // interfaces, as Walk has them
	Packet  packet.Packet
	Step    int // the number of steps before it: those of this hook run from here to the next visit
}

// Of are the steps of visit i: those made at its hook, and the routing decision after it.
func (t *Trace) Of(i int) []Step {
	end := len(t.Steps)
	if i+1 < len(t.Visits) {
		end = t.Visits[i+1].Step
	}
	return t.Steps[t.Visits[i].Step:end]
}

// Enter notes that a packet enters a hook; on a nil Trace it does nothing.
func (t *Trace) Enter(w *Walk, p *packet.Packet) {
	if t != nil {
		t.Visits = append(t.Visits, Visit{w.Hook, w.In, w.Out, *p, len(t.Steps)})
	}
}

// Step is one thing that happened to a packet: a rule tried, a table left by its policy, a connection looked up, a
// route taken, an address rewritten, a server picked.
type Step struct {
	Hook  Hook
	Kind  StepKind
	Table string // "raw", "mangle", "nat", "filter"; "" outside tables
	Chain string
	Rule  int    // position in its chain, from 1; 0 when not a rule
	Text  string // the rule as iptables-save prints it; filled in when the trace is printed, not while walking
	// Rules refers back to the rule for whoever fills in Text.
	Ref any
	// Result says what came of it: "miss: -p tcp", "jump KUBE-SVC-…", "return", "accept", "dnat to 10.0.0.1:80", "mark 0x4000".
	Result  string
	Matched bool
	Draw    *Draw // the draw a rule made, if it made one
}

// StepKind tells steps apart.
type StepKind uint8

// The kinds of steps.
const (
	StepRule      StepKind = iota // a rule was tried
	StepPolicy                    // a built-in chain ended by its policy
	StepConntrack                 // a connection was found, made, confirmed or dropped
	StepRoute                     // the routing decision
	StepNAT                       // an address was translated
	StepIPVS                      // IPVS looked at the packet
	StepDeliver                   // the packet left the walk
)

// Draw is one use of chance.
type Draw struct {
	P31 uint32 // probability in units of 1/2^31; 0 for a uniform draw
	N   int    // for a uniform draw: the number of outcomes
	Hit bool   // for a probability
	Out int    // for a uniform draw
}

// Add appends a step; on a nil Trace it does nothing.
func (t *Trace) Add(s Step) {
	if t != nil {
		t.Steps = append(t.Steps, s)
	}
}

// Append appends what another trace holds; on a nil Trace it does nothing.
func (t *Trace) Append(other *Trace) {
	if t == nil {
		return
	}
	for _, v := range other.Visits {
		v.Step += len(t.Steps)
		t.Visits = append(t.Visits, v)
	}
	t.Steps = append(t.Steps, other.Steps...)
}
