package dns

import (
	"encoding/binary"
	"net"

	"github.com/miekg/dns"
)

// Handler serves the Server with github.com/miekg/dns on any listener or packet connection:
//
//	udp := &dns.Server{PacketConn: p, Handler: s.Handler()}
//	tcp := &dns.Server{Listener: l, Handler: s.Handler(), MaxTCPQueries: -1}
//
// What is no query (Respond says which) that package itself turns away.
func (s *Server) Handler() dns.Handler {
	return dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		t := UDP
		if _, ok := w.RemoteAddr().(*net.TCPAddr); ok {
			t = TCP
		}
		if r := s.AnswerOver(t, m); r != nil {
			// An error means that the client has gone: nothing is left to be told.
			_ = w.WriteMsg(r)
		}
	})
}

// headerBytes is the size of the header of a message.
const headerBytes = 12

// Respond answers the bytes of one message, without the length that TCP puts before it; nil is silence. Like CoreDNS
// (github.com/miekg/dns, Server.serveDNS) it is silent to what is shorter than a header or is itself an answer, says NOTIMP to
// opcodes other than QUERY and NOTIFY, and FORMERR to a message that cannot be unpacked or asks not exactly one question.
func (s *Server) Respond(t Transport, packet []byte) []byte {
	if len(packet) < headerBytes {
		return nil
	}
	n := func(at int) uint16 { return binary.BigEndian.Uint16(packet[at:]) }
	h := dns.Header{Id: n(0), Bits: n(2), Qdcount: n(4), Ancount: n(6), Nscount: n(8), Arcount: n(10)}
	switch dns.DefaultMsgAcceptFunc(h) {
	case dns.MsgIgnore:
		return nil
	case dns.MsgRejectNotImplemented:
		return refuse(h, dns.RcodeNotImplemented)
	case dns.MsgReject:
		return refuse(h, dns.RcodeFormatError)
	}
	m := new(dns.Msg)
	if err := m.Unpack(packet); err != nil {
		return refuse(h, dns.RcodeFormatError)
	}
	r := s.AnswerOver(t, m)
	if r == nil {
		return nil
	}
	b, err := r.Pack()
	if err != nil {
		return nil
	}
	return b
}

// refuse is a bare header with a code. The opcode is that of the message for NOTIMP, and QUERY for FORMERR.
func refuse(h dns.Header, rcode int) []byte {
	b := make([]byte, headerBytes)
	binary.BigEndian.PutUint16(b, h.Id)
	bits := uint16(1<<15) | uint16(rcode)
	if rcode == dns.RcodeNotImplemented {
		bits |= h.Bits & (0xf << 11)
	}
	binary.BigEndian.PutUint16(b[2:], bits)
	return b
}
