package run

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/dns"
	"github.com/svclab/svclab/sim/netstack"
	"github.com/svclab/svclab/sim/replay"
	"github.com/svclab/svclab/sim/scenario"
)

// Datagrams of the run's own traffic say which flow they belong to and how long their answer is to be: clients whose socket is kept
// know by that which of their datagrams was answered.
const (
	echoMagic  = 0x73766331 // no DNS message begins so: an answer with the code NOTZONE
	echoHeader = 16
	echoSilent = 1<<32 - 1 // in place of the answer's length: there is none
)

func echoMessage(number uint64, bytes int, reply uint32) []byte {
	b := make([]byte, max(bytes, echoHeader))
	binary.BigEndian.PutUint32(b, echoMagic)
	binary.BigEndian.PutUint64(b[4:], number)
	binary.BigEndian.PutUint32(b[12:], reply)
	return b
}

// echo answers such a datagram; ok is false for others.
func echo(m []byte) (answer []byte, ok bool) {
	if len(m) < echoHeader || binary.BigEndian.Uint32(m) != echoMagic {
		return nil, false
	}
	n := binary.BigEndian.Uint32(m[12:])
	if n == echoSilent {
		return nil, true
	}
	out := make([]byte, min(max(int(n), echoHeader), 65000))
	copy(out, m[:echoHeader])
	return out, true
}

// socketKey is a datagram socket of a client that is connected to a server.
type socketKey struct{ src, dst netip.AddrPort }

// stackSocket is such a socket, with what waits on it.
type stackSocket struct {
	at      socketKey
	m       *netstack.Messages
	users   int // flows that hold it
	waiting map[uint64]func(now time.Duration, r replay.Result)
	kept    bool
}

// socketOf finds or opens a client's datagram socket.
func (w *stackWorld) socketOf(h *netstack.Host, fl *stackFlow, kept bool) (*stackSocket, error) {
	k := socketKey{fl.src, fl.dst}
	if s := w.sockets[k]; s != nil {
		s.users++
		return s, nil
	}
	s := &stackSocket{at: k, waiting: map[uint64]func(time.Duration, replay.Result){}, users: 1, kept: kept}
	m, err := h.OpenMessages(fl.number, packet.UDP, fl.src, fl.dst, func(now time.Duration, m []byte) {
		if len(m) >= echoHeader && binary.BigEndian.Uint32(m) == echoMagic {
			if done := s.waiting[binary.BigEndian.Uint64(m[4:])]; done != nil {
				done(now, replay.Answered)
			}
		}
	}, func(now time.Duration, r replay.Result) {
		for _, number := range sortedKeys(s.waiting) {
			if done := s.waiting[number]; done != nil {
				done(now, r)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	s.m = m
	w.sockets[k] = s
	return s, nil
}

func sortedKeys[V any](m map[uint64]V) []uint64 {
	out := make([]uint64, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// release lets go of a socket; it is closed when nobody holds it, unless its client keeps it.
func (w *stackWorld) release(s *stackSocket) {
	if s.users--; s.users == 0 && !s.kept {
		s.m.Close()
		delete(w.sockets, s.at)
	}
}

// send sends a datagram and waits for its answer.
func (w *stackWorld) send(now time.Duration, s *stackSocket, fl *stackFlow, number uint64, bytes int, reply uint32, wait time.Duration, done func(time.Duration, replay.Result)) {
	s.waiting[number] = func(now time.Duration, r replay.Result) {
		delete(s.waiting, number)
		done(now, r)
	}
	w.pending.Add(w.keyOf(now+wait, fl.number), func(at time.Duration) error {
		if give := s.waiting[number]; give != nil {
			r := replay.TimedOut
			if reply == echoSilent { // and no word that it was refused
				r = replay.Answered
			}
			give(at, r)
		}
		return nil
	})
	s.m.Send(fl.number, echoMessage(number, bytes, reply))
}

// openUDP sends a flow's first datagram. A datagram that nobody answers has arrived when a node passed it on, and nothing was heard.
func (w *stackWorld) openUDP(now time.Duration, h *netstack.Host, fl *stackFlow, t *scenario.Traffic, ended func(time.Duration, replay.Result, any)) {
	s, err := w.socketOf(h, fl, t.Ports > 0)
	if err != nil {
		ended(now, replay.Unreachable, nil)
		return
	}
	reply, wait := uint32(echoHeader), w.openTimeout(fl.flow.Group)
	if t.NoReply {
		reply, wait = echoSilent, netstack.NoReplyWait
	}
	w.send(now, s, fl, fl.key, echoHeader, reply, wait, func(now time.Duration, r replay.Result) {
		if r == replay.Answered && t.NoReply && w.presence(fl.site, fl.endpoint, packet.UDP) != replay.Listening {
			r = replay.TimedOut
		}
		if r != replay.Answered {
			w.release(s)
			ended(now, r, nil)
			return
		}
		ended(now, r, &stackConn{fl: fl, udp: s})
	})
}

func (w *stackWorld) exchangeUDP(now time.Duration, c *stackConn, l *link, request, reply int, ended func(time.Duration, string)) {
	n := uint32(reply)
	wait := w.patience(l.flow.Group)
	if w.scenario.Spec.Traffic[l.flow.Group].NoReply {
		n, wait = echoSilent, netstack.NoReplyWait
	}
	w.send(now, c.udp, c.fl, c.fl.key, request, n, wait, func(now time.Duration, r replay.Result) {
		if r == replay.Answered {
			ended(now, "")
			return
		}
		ended(now, "no answer: "+r.String())
	})
}

// ask sends what a client asks name servers, each message from its socket.
func (w *stackWorld) ask(now time.Duration, q query, done func(time.Duration, [][]byte)) {
	answers := make([][]byte, len(q.asks))
	left, over := len(q.asks), false
	w.begin(now)
	type socket struct {
		src netip.AddrPort
		dst netip.AddrPort
		tcp bool
	}
	open := map[socket]*netstack.Messages{}
	var order []socket
	finish := func(now time.Duration) {
		if over {
			return
		}
		over = true
		for _, k := range order {
			open[k].Close()
		}
		w.done(now)
		done(now, answers)
	}
	w.pending.Add(w.keyOf(now+q.wait, q.flow.Number), func(at time.Duration) error {
		finish(at)
		return nil
	})
	got := func(k socket) func(time.Duration, []byte) {
		return func(now time.Duration, m []byte) {
			for i, a := range q.asks {
				if answers[i] == nil && len(m) >= 2 && q.src[i] == k.src && a.Server == k.dst.Addr() && (a.Transport == dns.TCP) == k.tcp && m[0] == a.Message[0] && m[1] == a.Message[1] {
					answers[i] = m
					if left--; left == 0 {
						finish(now)
					}
					return
				}
			}
		}
	}
	host := w.client(q.flow.Src.Addr(), q.site)
	for i, a := range q.asks {
		k := socket{q.src[i], netip.AddrPortFrom(a.Server, 53), a.Transport == dns.TCP}
		if open[k] == nil {
			fl := &stackFlow{
				number: 1<<61 + q.flow.Number, site: q.site, proto: packet.UDP, src: k.src, dst: k.dst, key: q.key(i), path: w.follow.of(q.flow.Number), what: "%s asks %s over udp",
			}
			proto := packet.UDP
			if k.tcp {
				fl.proto, proto, fl.what = packet.TCP, packet.TCP, "%s asks %s over tcp"
			}
			if j := i + 1; !k.tcp && j < len(q.asks) && q.src[j] == k.src && q.asks[j].Server == a.Server && q.asks[j].Transport == a.Transport {
				fl.together = w.engine.together(q, i)
			}
			w.add(fl)
			w.retire(fl)
			m, err := host.OpenMessages(fl.number, proto, k.src, k.dst, got(k), nil)
			if err != nil {
				continue // the wait will be over
			}
			open[k] = m
			order = append(order, k)
		}
		open[k].Send(1<<61+q.flow.Number, a.Message)
	}
}
