package run

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/report"
	"github.com/svclab/svclab/sim/seed"
	"github.com/svclab/svclab/sim/wire"
)

// DefaultWalkPackets is how many packets of a capture are walked unless more are asked for.
const DefaultWalkPackets = 10000

// CaptureRequest is a capture whose packets a node is given.
type CaptureRequest struct {
	Name      string // of the file, for messages
	File      io.Reader
	Limit     int    // packets; 0 for DefaultWalkPackets
	Interface string // only those that this interface of the capture saw; "" for all
	Seed      uint64
	Each      func(*report.Passed) error // told of every packet as it goes by
	Capture   *Capture                   // is given the packets at every hook; nil for none
}

// captureWalk is one capture being walked.
type captureWalk struct {
	*Subject
	q       CaptureRequest
	decoder wire.Decoder
	result  *report.Captured
	skipped map[string]int // index in result.Skipped
	first   time.Duration  // time of the first packet
	now     time.Duration
	lastID  uint64
	trace   netfilter.Trace
	came    arrivals
}

// Walk gives a node the packets of a capture, in the order of the file and at its times: connections, affinity and counters live on
// from packet to packet. Each enters where the file says, when the node has an interface of that name, else where its source
// belongs. A packet that was seen at several places is walked once. The report has no Packets; Each was told of them. Where the file
// stops making sense the report's Cut tells of it. An error is a wire.FormatError or a wire.CutError for a file with nothing in it
// that makes sense, or what Each or reading returned.
func (s *Subject) Walk(q CaptureRequest) (*report.Captured, error) {
	if q.Limit <= 0 {
		q.Limit = DefaultWalkPackets
	}
	r, err := wire.NewReader(q.Name, q.File)
	if err != nil {
		return nil, err
	}
	s.Node.SetSource(seed.Root(q.Seed).Stream("capture"))
	w := &captureWalk{Subject: s, q: q, skipped: map[string]int{}, result: &report.Captured{
		SchemaVersion: report.SchemaVersion, Kind: "Capture", Packets: []report.Passed{}, Skipped: []report.Skipped{},
	}}
	if q.Capture != nil {
		q.Capture.names(s.addressNames())
	}
	for n := 1; ; n++ {
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if w.result.Walked >= q.Limit {
			w.skip(n, fmt.Sprintf("beyond the first %d", q.Limit))
			continue
		}
		if err := w.record(n, &rec); err != nil {
			return nil, err
		}
	}
	if cut := r.Cut(); cut != nil {
		w.result.Cut = cut.Error()
	}
	return w.result, nil
}

func (w *captureWalk) skip(n int, why string) {
	i, ok := w.skipped[why]
	if !ok {
		i = len(w.result.Skipped)
		w.skipped[why] = i
		w.result.Skipped = append(w.result.Skipped, report.Skipped{Why: why, First: n})
	}
	w.result.Skipped[i].Count++
}

// unreadable names a reason by its kind, so that packets of one kind are counted together.
func unreadable(err error) string {
	var d *wire.DecodeError
	if errors.As(err, &d) && d.Why == "" {
		return "too little is left of the " + d.Header + " header"
	}
	return err.Error()
}

// maxWait is how long after the first packet a packet may come. Nodes count time in nanoseconds, and timeouts are added to it.
const maxWait = 100 * 365 * 24 * time.Hour

// maxSkipReasons bounds how many reasons are told apart.
const maxSkipReasons = 64

// record walks one packet.
func (w *captureWalk) record(n int, rec *wire.Record) error {
	if n == 1 {
		w.first = rec.At
	}
	if rec.At-w.first > maxWait {
		w.skip(n, "more than a century after the first")
		return nil
	}
	w.now = max(w.now, rec.At-w.first) // clocks that were set back stand still
	if w.q.Interface != "" && rec.Name != w.q.Interface {
		w.skip(n, fmt.Sprintf("on an interface other than %q", w.q.Interface))
		return nil
	}
	p, err := w.decoder.Decode(rec.Link, rec.Data)
	if err != nil {
		why := unreadable(err)
		if len(w.skipped) >= maxSkipReasons && w.skipped[why] == 0 {
			why = "its headers make no sense"
		}
		w.skip(n, why)
		return nil
	}
	ip := rec.Data[w.decoder.IP():min(len(rec.Data), w.decoder.IP()+int(p.LengthBytes))]
	in, way := w.entry(rec, p.Src.Addr()), rec.Direction
	if d := w.decoder.Direction(); d != wire.DirectionUnknown {
		way = d
	}
	switch {
	case rec.ID != 0 && rec.ID == w.lastID:
		w.skip(n, "the same packet, seen at another place")
		return nil
	case p.Type == packet.OtherHost:
		w.skip(n, "for another host: the kernel drops it before any hook")
		return nil
	case way == wire.Outbound && (in != "" || w.came.has(ip)):
		w.skip(n, "captured as it left the node, which had been given it before")
		return nil
	case way == wire.Inbound && in == "":
		w.skip(n, "captured as it came back to the node that had sent it")
		return nil
	}
	w.lastID = rec.ID
	if way == wire.Inbound {
		w.came.add(ip)
	}
	w.result.Walked++
	return w.walk(n, p, in, ip)
}

// answer turns a packet that answers a translated connection, seen where its client sees it, into the one that the endpoint sends:
// the capture's endpoint need not be the one that the model picked.
func (w *captureWalk) answer(p *packet.Packet) bool {
	asked := p.Tuple().Reverse()
	c, _ := w.Node.Conns.Lookup(w.now, asked)
	if c == nil || c.Original != asked || c.Reply == asked.Reverse() || !p.Proto.HasPorts() {
		return false
	}
	p.Src, p.Dst = c.Reply.Src, c.Reply.Dst
	return true
}

// entry is the interface that a packet enters by; "" for one of the node's own.
func (w *captureWalk) entry(rec *wire.Record, src netip.Addr) string {
	in := w.ingress(src)
	name := strings.TrimPrefix(rec.Name, w.Host.Name+" ") // as captures of runs name them
	if in != "" && w.options.In == "" && w.Node.Routes.HasInterface(name) {
		return name
	}
	return in
}

func (w *captureWalk) walk(n int, p packet.Packet, in string, ip []byte) error {
	before, kind := p, what(&p)
	if w.answer(&p) {
		var err error
		if ip, err = wire.Patch(nil, ip, &before, &p); err != nil {
			return err
		}
		in = w.ingress(p.Src.Addr())
		kind += " from " + p.Src.String()
	}
	w.trace.Steps, w.trace.Visits = w.trace.Steps[:0], w.trace.Visits[:0]
	w.Node.SetTrace(&w.trace)
	w.Node.Advance(w.now)
	var d datapath.Disposition
	if in == "" {
		d = w.Node.Send(w.now, &p)
	} else {
		d = w.Node.Receive(w.now, in, &p)
	}
	w.Node.SetTrace(nil)
	if d.Problem != nil {
		return w.problem(d.Problem)
	}
	if c := w.q.Capture; c != nil {
		c.frame(ip)
		c.walked(w.Host.Name, w.now, &w.trace, &p, &d)
	}
	out := report.Passed{
		Packet: n, At: fmt.Sprintf("%d.%06d", w.now/time.Second, w.now%time.Second/time.Microsecond), In: in, Proto: before.Proto.String(),
		What: kind, Src: before.Src.String(), Dst: before.Dst.String(), Bytes: before.LengthBytes, Conntrack: state(&w.trace),
		Verdict: verdict(d.Fate, p.Src != before.Src || p.Dst != before.Dst), Rewritten: report.Addresses{Src: p.Src.String(), Dst: p.Dst.String()},
		Masquerade: d.Masqueraded, Out: d.Out, RejectWith: d.With.With, Reason: d.Reason, Rule: deciding(&w.trace),
	}
	if d.Fate == datapath.Dropped && out.Reason == "" {
		out.Reason = "by a rule"
	}
	return w.q.Each(&out)
}
