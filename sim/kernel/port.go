package kernel

import (
	"maps"
	"net/netip"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// PortRest is how long a source port rests before it is used again towards the same destination: the longest that connection
// tracking keeps a closed connection (TIME_WAIT, net/netfilter/nf_conntrack_proto_tcp.c).
const PortRest = 120 * time.Second

// The source ports that the rig chooses from: above those that Services commonly listen on.
const (
	firstPort = 10240
	lastPort  = 65535
)

// forgetAt is the number of flows from which on those that are long over are forgotten.
const forgetAt = 1 << 20

// ports hands out source ports.
type ports struct {
	now   func() time.Time
	used  map[packet.Tuple]time.Time
	limit int             // of used: at this size, ports that had their rest are forgotten
	next  map[portKey]int // a client's ports go round, whatever the destination
}

type portKey struct {
	proto packet.Protocol
	src   netip.Addr
}

func newPorts(now func() time.Time) *ports {
	return &ports{now: now, limit: forgetAt, used: map[packet.Tuple]time.Time{}, next: map[portKey]int{}}
}

// take returns the source port of a flow, and remembers it.
func (p *ports) take(f *Flow) (uint16, error) {
	now := p.now()
	if len(p.used) >= p.limit {
		maps.DeleteFunc(p.used, func(_ packet.Tuple, last time.Time) bool { return now.Sub(last) >= PortRest })
		p.limit = max(forgetAt, 2*len(p.used))
	}
	if f.Src.Port() != 0 {
		t := packet.Tuple{Src: f.Src, Dst: f.Dst, Proto: f.Proto}
		if last, ok := p.used[t]; ok && now.Sub(last) < PortRest {
			return 0, &PortReusedError{ID: f.ID, Tuple: t}
		}
		p.used[t] = now.Add(f.At)
		return f.Src.Port(), nil
	}
	k := portKey{f.Proto, f.Src.Addr()}
	const n = lastPort - firstPort + 1
	for range n {
		port := uint16(firstPort + p.next[k]%n)
		p.next[k] = (p.next[k] + 1) % n
		t := packet.Tuple{Src: netip.AddrPortFrom(f.Src.Addr(), port), Dst: f.Dst, Proto: f.Proto}
		if last, ok := p.used[t]; ok && now.Sub(last) < PortRest {
			continue
		}
		p.used[t] = now.Add(f.At)
		return port, nil
	}
	return 0, &PortsExhaustedError{Proto: f.Proto, Src: f.Src.Addr(), Dst: f.Dst}
}
