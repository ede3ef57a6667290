package record

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/ipvs"
)

// Diff is the first place where the model differs from the kernel.
type Diff struct {
	Event    int    // index from 0
	Kind     string // of the event
	Expected string // what the kernel did
	Got      string // what the model says
	State    string // the model's servers and their counters at that moment
}

func (d *Diff) String() string {
	return fmt.Sprintf("event=%d expected=%s got=%s", d.Event, d.Expected, d.Got)
}

// Play plays an IPVS recording against the model and returns the number of its events and the first difference, nil when
// there is none. The error says why the recording cannot be read or played.
func Play(data []byte) (events int, diff *Diff, err error) {
	t, err := Read(data)
	if err != nil {
		return 0, nil, err
	}
	p, err := newPlayer(t)
	if err != nil {
		return 0, nil, err
	}
	for i := range t.Events {
		if err := p.event(i); err != nil {
			return i, nil, &EventError{t.Name, i, quote(t.Events[i]), err}
		}
		if p.diff != nil {
			return len(t.Events), p.diff, nil
		}
	}
	return len(t.Events), nil, nil
}

// pace is how long an event without a duration takes: the recordings say milliseconds.
const pace = time.Millisecond

// player is the network around a director.
type player struct {
	trace   *Trace
	node    *datapath.Node
	table   *ipvs.Table // the node's
	service ipvs.ServiceConfig
	forward ipvs.Forward
	now     time.Duration
	open    map[int]*connection
	last    *connection   // of the latest conn or udp event
	took    time.Duration // of the latest conn
	sent    int           // datagrams of counts events
	random  judge

	index int
	kind  string
	diff  *Diff
}

// connection is a client's socket.
type connection struct {
	client, virtual netip.AddrPort
	server          netip.AddrPort // where its packets ended up
	peer            netip.AddrPort // its address as the server sees it
	mark            uint32
}

func newPlayer(t *Trace) (*player, error) {
	bad := func(err error) (*player, error) { return nil, &EventError{t.Name, -1, "header", err} }
	if !t.IsIPVS() {
		return bad(fmt.Errorf("%w: it has no virtual service", ErrOtherFormat))
	}
	p := &player{trace: t, open: map[int]*connection{}}
	p.random.player = p
	p.node = newDirector()
	p.node.SetSource(&p.random)
	p.table = p.node.IPVS
	for _, k := range sorted(t.Sysctl) {
		if err := p.table.SetSysctl(k, fmt.Sprint(t.Sysctl[k])); err != nil {
			return bad(err)
		}
	}
	if err := p.loadRules(); err != nil {
		return bad(err)
	}
	var err error
	if p.forward, err = t.forward(); err != nil {
		return bad(err)
	}
	if p.service, err = t.service(); err != nil {
		return bad(err)
	}
	if err = p.table.AddService(p.service); err != nil {
		return bad(err)
	}
	return p, nil
}

// event plays one event. What differs is left in p.diff.
func (p *player) event(i int) error {
	kind, a, err := decodeEvent(p.trace.Events[i])
	if err != nil {
		return err
	}
	p.index, p.kind = i, kind
	p.pass(pace)
	switch kind {
	case "add", "edit":
		c := a.server(p.forward)
		if a.err != nil {
			return a.err
		}
		if kind == "add" {
			return p.table.AddDestination(p.service.Key, c)
		}
		return p.table.EditDestination(p.service.Key, c)
	case "del":
		s := a.addrPort("server")
		if a.end(); a.err != nil {
			return a.err
		}
		return p.table.DeleteDestination(p.service.Key, s)
	case "scheduler":
		p.service.Scheduler, p.service.Flags = a.str("scheduler"), 0
		if a.end(); a.err != nil {
			return a.err
		}
		return p.table.EditService(p.service)
	case "conn":
		p.conn(a)
	case "udp":
		p.udp(a)
	case "close":
		p.close(a)
	case "data":
		p.data(a)
	case "counts":
		p.counts(a)
	case "counters":
		p.counters(a)
	case "table":
		p.entries(a)
	case "sleep":
		s := a.number("seconds")
		if a.end(); a.err == nil && !(s >= 0 && s <= 1e6) {
			a.err = fmt.Errorf("%w: seconds %v", ErrBadEvent, s)
		}
		if a.err == nil {
			p.pass(time.Duration(s * float64(time.Second)))
		}
	case "time":
		p.time(a)
	case "peer":
		p.peer(a)
	case "rules":
		p.rules(a)
	case "conntrack":
		p.conntrack(a)
	default:
		return fmt.Errorf("%w: unknown kind %q", ErrBadEvent, kind)
	}
	return a.err
}

// pass lets time go by.
func (p *player) pass(d time.Duration) {
	p.now += d
	p.node.Advance(p.now)
}

func (p *player) differ(expected, got string) {
	if p.diff != nil {
		return
	}
	p.diff = &Diff{Event: p.index, Kind: p.kind, Expected: expected, Got: got, State: p.state()}
}

// state describes the model's servers.
func (p *player) state() string {
	b, _ := json.Marshal(p.rows())
	return string(b)
}

func backendText(a netip.AddrPort) string {
	if !a.IsValid() {
		return "null"
	}
	return a.String()
}
