package kernel

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/box"
)

// delivery says how outcomes travel to the parent.
type delivery struct {
	batch    int           // how many at once
	wait     time.Duration // how long one waits for others
	handover int           // how many a worker hands over at once
}

// deliveryOf suits a machine: on the one processor of a kernel of its own, all that is not traffic interrupts it.
func deliveryOf(uml bool) delivery {
	if uml {
		return delivery{batch: 2048, wait: 500 * time.Millisecond, handover: 512}
	}
	return delivery{batch: 256, wait: 100 * time.Millisecond, handover: 32}
}

// run sends flows from a pool of threads, each of which moves to the namespace of its next flow.
func (a *agent) run(ctx context.Context, r *box.Request) error {
	var q runRequest
	if err := r.Decode(&q); err != nil {
		return err
	}
	if err := a.clients(q.Flows); err != nil {
		return err
	}
	before, err := a.retransmits()
	if err != nil {
		return err
	}
	if a.in.UML {
		a.responders[0].Pause()
		defer a.responders[0].Resume()
	}
	how := deliveryOf(a.in.UML)
	done := make(chan []Outcome, 64)
	errs := make(chan error, q.Workers)
	var next atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range min(q.Workers, max(len(q.Flows), 1)) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs <- box.OnThread(func(t *box.Thread) error { return a.worker(ctx, t, &q, &next, start, how, done) })
		}()
	}
	go func() { wg.Wait(); close(done) }()
	if err := how.deliver(r, done); err != nil {
		return err
	}
	end := runAnswer{End: true, Elapsed: time.Since(start)}
	close(errs)
	for e := range errs {
		if e != nil {
			return e
		}
	}
	after, err := a.retransmits()
	if err != nil {
		return err
	}
	end.Retransmits = after - before
	return r.Answer(end)
}

// deliver hands outcomes to the parent in batches until there are no more.
func (d delivery) deliver(r *box.Request, done <-chan []Outcome) error {
	var list []Outcome
	tick := time.NewTicker(d.wait)
	defer tick.Stop()
	send := func() error {
		if len(list) == 0 {
			return nil
		}
		err := r.Answer(runAnswer{Outcomes: list})
		list = list[:0]
		return err
	}
	for {
		select {
		case o, ok := <-done:
			if !ok {
				return send()
			}
			if list = append(list, o...); len(list) >= d.batch {
				if err := send(); err != nil {
					return err
				}
			}
		case <-tick.C:
			if err := send(); err != nil {
				return err
			}
		}
	}
}

// worker takes flows in their order until none is left or the parent gives up.
func (a *agent) worker(ctx context.Context, t *box.Thread, q *runRequest, next *atomic.Int64, start time.Time, how delivery, done chan<- []Outcome) error {
	var server *box.Responder
	if a.in.UML {
		server = a.responders[0]
	}
	client := box.NewClient(start, server, server != nil && q.Workers == 1)
	defer client.Close()
	// Outcomes change threads a few at a time.
	var list []Outcome
	var sent time.Duration
	flush := func(at time.Duration) {
		if len(list) > 0 {
			done <- list
		}
		list, sent = nil, at
	}
	defer func() { flush(0) }()
	for ctx.Err() == nil {
		i := int(next.Add(1)) - 1
		if i >= len(q.Flows) {
			return nil
		}
		f := &q.Flows[i]
		if f.At > 0 && time.Since(start) < f.At {
			flush(f.At)
			if err := sleepUntil(ctx, start.Add(f.At)); err != nil {
				return nil
			}
		}
		if err := t.Enter(a.side(a.top.SideOf(f.Src.Addr()))); err != nil {
			return err
		}
		e := box.Exchange{UDP: f.Proto == packet.UDP, Local: f.Src, Remote: f.Dst, Timeout: q.Timeout, Hold: f.Hold, FIN: f.FIN, Payload: []byte(question)}
		o := Outcome{ID: f.ID, Proto: f.Proto, Src: f.Src, Dst: f.Dst, FIN: f.FIN, Sequence: i}
		o.fill(client.Do(&e))
		if list = append(list, o); len(list) >= how.handover || o.Start+o.Connect-sent > how.wait {
			flush(o.Start + o.Connect)
		}
	}
	return nil
}

func sleepUntil(ctx context.Context, t time.Time) error {
	d := time.Until(t)
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (o *Outcome) fill(r box.ExchangeResult) {
	o.Start, o.Connect, o.Failure, o.Errno = r.Start, r.Connect, r.Failure, r.Errno
	o.Retransmits, o.SegmentsOut, o.SegmentsIn = r.Retransmits, r.SegmentsOut, r.SegmentsIn
	if r.Failure != box.None {
		return
	}
	self, peer, _ := strings.Cut(strings.TrimSpace(string(r.Answer)), " ")
	o.Backend, _ = netip.ParseAddrPort(self)
	o.Peer, _ = netip.ParseAddrPort(peer)
	if !o.Backend.IsValid() || !o.Peer.IsValid() {
		o.Failure = box.NoAnswer
	}
}

// clients makes the sources of flows local to their side.
func (a *agent) clients(flows []Flow) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := map[netip.Addr]bool{}
	for i := range flows {
		src := flows[i].Src.Addr()
		if seen[src] {
			continue
		}
		seen[src] = true
		k := localKey{a.top.SideOf(src), src}
		if err := a.local(k); err != nil {
			return err
		}
		if k.side == Node || a.locals[k] == 0 || a.selfless[src] {
			continue
		}
		// A backend that is a client too: what comes back to it from itself, not masqueraded, it would not take.
		if err := a.side(k.side).DropSelf("eth0", src); err != nil {
			return err
		}
		a.selfless[src] = true
	}
	return nil
}

// retransmits counts the TCP segments sent again in every namespace so far.
func (a *agent) retransmits() (int64, error) {
	var sum int64
	for _, n := range []*box.Namespace{a.node, a.outside, a.pods} {
		v, err := n.Netstat("Tcp", "RetransSegs")
		if err != nil {
			return 0, err
		}
		sum += v
	}
	return sum, nil
}
