package run

import (
	"time"

	"github.com/svclab/svclab/datapath/kubeproxy"
)

// nextCheck is when kube-proxy looks next at the servers that wait for their last connection to end; false when none waits.
func (s *Subject) nextCheck() (at time.Duration, ok bool) {
	for _, p := range s.proxiers {
		if g, is := p.(kubeproxy.Graceful); is && len(g.Terminating()) > 0 && (!ok || g.NextCheck() < at) {
			at, ok = g.NextCheck(), true
		}
	}
	return at, ok
}

// check lets kube-proxy look at those servers, and reports whether it changed anything.
func (s *Subject) check(now time.Duration) bool {
	changed := false
	for _, p := range s.proxiers {
		if g, is := p.(kubeproxy.Graceful); is && g.NextCheck() <= now {
			changed = len(g.Check(now, s.host()).Ops) > 0 || changed
		}
	}
	return changed
}

// planCheck puts kube-proxy's next look on the list of what is to come, unless it is there.
func (e *engine) planCheck(st *site) {
	at, ok := st.nextCheck()
	if !ok || st.checking {
		return
	}
	st.checking = true
	e.pending.Add(e.key(at), func(now time.Duration) error {
		st.checking = false
		st.Node.Advance(now)
		changed := st.check(now)
		e.planCheck(st)
		if !changed {
			return nil
		}
		return e.newEpoch(now, st)
	})
}
