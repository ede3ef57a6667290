package run

import (
	"context"
	"fmt"
	"math/big"
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/share"
	"github.com/svclab/svclab/sim/box"
	"github.com/svclab/svclab/sim/kernel"
	"github.com/svclab/svclab/sim/measure"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/traffic"
)

// witness holds what a kernel did with the connections of one traffic against what the model says of them.
type witness struct {
	group   *traffic.Group
	probe   netip.Addr // a client that no list remembers
	service string
	quiet   bool  // the model says that some are answered by nobody
	left    int64 // connections of the scenario that were not opened

	draws measure.Draws
	tally *measure.Tally // of the present stretch
	// again judges whether a client's draw remembers its last one: cells are "the same endpoint as before" and "another".
	again     measure.Draws
	againFrom map[measure.Outcome]*measure.Tally // of the present stretch, by the last endpoint

	want, got []place
	wrong     []kernel.Mismatch // the first few
	totals    report.Traffic
	unsent    int64 // connections that the client could not send
	masked    int64 // connections whose source was masqueraded
}

// maxShown bounds the differences that a report lists for one check.
const maxShown = 10

// place is where one connection ended, for check.Equal: empty of words where both agree.
type place struct {
	flow uint64
	end  string
}

func (p place) String() string { return p.end }

// The cells of a draw that is held against the one before it.
var (
	theSame = measure.OnNode("the same as before")
	another = measure.OnNode("another")
)

func (c *comparison) newWitness(i int) (*witness, error) {
	g := &c.groups[i]
	w := &witness{group: g, probe: c.plans[i].probe, service: c.scenario.Spec.Traffic[i].To.Service.Value}
	if w.service == "" {
		w.service = c.subject.serviceAt(g.To)
	}
	w.totals.Name = g.Name
	if c.subject.IsDump() {
		if err := c.addBackends(w); err != nil {
			return nil, err
		}
	}
	return w, c.epoch(w, 0)
}

// outcomes asks the model what can become of a client's next connection.
func (c *comparison) outcomes(w *witness, now time.Duration) ([]share.Outcome, error) {
	src := netip.AddrPortFrom(w.probe, 1024) // below the ports that the rig uses
	out, err := share.Of(c.subject.Node, now, c.subject.Host.Ingress(src.Addr()), replay.FirstPacket(w.group.Proto, src, w.group.To))
	if err != nil {
		return nil, fmt.Errorf("traffic %s: %w", w.group.Name, err)
	}
	for _, o := range out {
		if o.Problem != nil {
			return nil, fmt.Errorf("traffic %s: %w", w.group.Name, c.subject.problem(o.Problem))
		}
	}
	return out, nil
}

// addBackends puts a socket wherever rules that came without their cluster send this traffic.
func (c *comparison) addBackends(w *witness) error {
	out, err := c.outcomes(w, 0)
	if err != nil {
		return err
	}
	for _, o := range out {
		at := o.Endpoint
		if !at.IsValid() {
			at = w.group.To
		}
		if (o.Fate == datapath.Forwarded || o.Fate == datapath.Delivered) && !c.listens(at, w.group.Proto) {
			c.top.Backends = append(c.top.Backends, kernel.Backend{Proto: w.group.Proto, Addr: at})
		}
	}
	return nil
}

// epoch begins a stretch with the exact shares that a client's next connection has now.
func (c *comparison) epoch(w *witness, now time.Duration) error {
	out, err := c.outcomes(w, now)
	if err != nil {
		return err
	}
	w.quiet = false
	var cells []measure.Cell
	index := map[measure.Outcome]int{}
	for _, o := range out {
		k := c.ending(w, o)
		w.quiet = w.quiet || k == measure.Timeout()
		i, seen := index[k]
		if !seen {
			i = len(cells)
			index[k] = i
			cells = append(cells, measure.Cell{Outcome: k, Share: o.Probability.Rat()})
			continue
		}
		cells[i].Share.Add(cells[i].Share, o.Probability.Rat())
	}
	name := ""
	if now > 0 {
		name = "after an event"
	}
	e, err := measure.NewEpoch(name, cells)
	if err != nil {
		return err
	}
	w.tally = w.draws.Begin(e)
	w.againFrom = map[measure.Outcome]*measure.Tally{}
	return nil
}

// ending is how a connection ends, for its client, that the rules treat so.
func (c *comparison) ending(w *witness, o share.Outcome) measure.Outcome {
	at := o.Endpoint
	switch {
	case o.Fate == datapath.Dropped:
		return measure.Timeout()
	case o.Fate == datapath.Rejected:
		return measure.Refused()
	case !at.IsValid():
		at = w.group.To
	case o.Source == at.Addr(): // its own packet came back to it with its own address
		return measure.Timeout()
	}
	switch {
	case c.listens(at, w.group.Proto):
		return measure.Backend(at)
	case c.subject.Host.IsNode(at.Addr()):
		return measure.Refused()
	}
	return measure.Timeout()
}

// seen is how a connection ended on the kernel.
func seen(o *kernel.Outcome) measure.Outcome {
	switch {
	case o.Failure == box.None:
		return measure.Backend(o.Backend)
	case o.Failure.Dropped():
		return measure.Timeout()
	}
	return measure.Refused()
}

// grace is how long the model goes on after an interruption.
const grace = 300 * time.Millisecond

// play walks what the kernel did on the model, connection by connection.
func (c *comparison) play(ctx context.Context, log *kernel.Log) error {
	switch {
	case log.Retransmits > 0:
		c.inexact = fmt.Sprintf("%d TCP segments were sent again, so packets count more than connections", log.Retransmits)
	case log.Partial && c.inexact == "":
		c.inexact = "the run was cut short"
	}
	var until time.Time
	for i := range log.Outcomes {
		if i&0x3f == 0 && ctx.Err() != nil {
			if until.IsZero() {
				until = time.Now().Add(grace)
			}
			if time.Now().After(until) {
				c.inexact = "the run was cut short"
				return nil
			}
		}
		if err := c.witness(&log.Outcomes[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) witness(o *kernel.Outcome) error {
	group, _ := flowOf(o.ID)
	w := c.watchers[group]
	w.totals.Connections++
	if o.Failure == box.NotSent {
		w.unsent++
		c.inexact = "some connections could not be sent: " + o.Errno
		return nil
	}
	end := seen(o)
	switch end.Kind {
	case measure.KindBackend:
		w.totals.Answered++
	case measure.KindRefused:
		w.totals.Rejected++
	default:
		w.totals.Dropped++
	}
	if o.Masqueraded() {
		w.masked++
	}
	drew, wrong, err := c.forcer.Play(o)
	if err != nil {
		return err
	}
	if drew || w.tally.Epoch.Possible() == 1 {
		w.draw(c.last[client{o.Src.Addr(), o.Dst, o.Proto}], end)
	}
	c.last[client{o.Src.Addr(), o.Dst, o.Proto}] = end
	p := place{flow: o.ID}
	w.got = append(w.got, p)
	if wrong != nil {
		p.end = wrong.Why
		w.got[len(w.got)-1].end = kernelWords(o)
		if len(w.wrong) < maxShown {
			w.wrong = append(w.wrong, *wrong)
		}
	}
	w.want = append(w.want, p)
	return nil
}

// client is who may be remembered.
type client struct {
	src   netip.Addr
	dst   netip.AddrPort
	proto packet.Protocol
}

// draw counts one draw, for the shares and for the client's memory: before is how its last connection to the same front end
// ended, of unknown kind when there was none.
func (w *witness) draw(before, end measure.Outcome) {
	w.tally.AddOutcome(end)
	if before.Kind == measure.KindUnknown {
		return
	}
	t, known := w.againFrom[before]
	if !known {
		if i, ok := w.tally.Epoch.Index(before); ok {
			if p := w.tally.Epoch.Cells[i].Share; p.Cmp(one) < 0 {
				e, err := measure.NewEpoch("", []measure.Cell{{Outcome: theSame, Share: p}, {Outcome: another, Share: new(big.Rat).Sub(one, p)}})
				if err == nil {
					t = w.again.Begin(e)
				}
			}
		}
		w.againFrom[before] = t
	}
	if t == nil {
		return
	}
	if before == end {
		t.AddOutcome(theSame)
	} else {
		t.AddOutcome(another)
	}
}

var one = big.NewRat(1, 1)
