package run

import (
	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/wire"
)

// flowTable numbers the bytes of connections: views of packets know of no sequence numbers, captures need them. A connection is
// known by its original tuple, or before it is one by that of its packet.
type flowTable map[packet.Tuple]*[2]uint32

// The initial sequence number of clients and servers. Analysers show numbers relative to it.
const initialSequence = 1

// next numbers a packet that a node was given; one with bytes of its own has its number.
func (f flowTable) next(p *packet.Packet, raw []byte, d *datapath.Disposition) wire.Unseen {
	key, way := p.Tuple(), 0
	if d.Conn != nil && d.Conn.Original != key {
		key, way = d.Conn.Original, 1
	} else if f[key] == nil {
		if r := key.Reverse(); f[r] != nil {
			key, way = r, 1
		}
	}
	u := f.number(key, way, p)
	if seq, ack, ok := wire.SequenceOf(raw); ok {
		s := f[key]
		s[way] += seq - u.Seq
		if u.Seq, u.Ack = seq, ack; p.TCPFlags.Has(packet.ACK) {
			s[1-way] = ack
		}
	}
	return u
}

// answer numbers the answer to a rejected packet.
func (f flowTable) answer(a, rejected *packet.Packet, d *datapath.Disposition) wire.Unseen {
	if a.Proto != packet.TCP {
		return wire.Unseen{}
	}
	return f.number(rejected.Tuple(), 1, a)
}

func (f flowTable) number(key packet.Tuple, way int, p *packet.Packet) wire.Unseen {
	switch p.Proto {
	case packet.SCTP:
		return wire.Unseen{Tag: 1}
	case packet.TCP:
	default:
		return wire.Unseen{}
	}
	s := f[key]
	if s == nil || way == 0 && p.TCPFlags.Has(packet.SYN) {
		s = &[2]uint32{initialSequence, initialSequence}
		f[key] = s
	}
	if p.TCPFlags.Has(packet.SYN) {
		s[way] = initialSequence
	}
	u := wire.Unseen{Seq: s[way]}
	if p.TCPFlags.Has(packet.ACK) {
		u.Ack = s[1-way]
	}
	s[way] += uint32(wire.PayloadBytes(p))
	if p.TCPFlags&(packet.SYN|packet.FIN) != 0 {
		s[way]++
	}
	return u
}
