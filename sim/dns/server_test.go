package dns

import (
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestExternalNames: where CNAMEs lead to each other the lookup ends.
func TestExternalNames(t *testing.T) {
	external := func(name, to string) string {
		return "---\napiVersion: v1\nkind: Service\nmetadata: {name: " + name + "}\nspec: {type: ExternalName, externalName: " + to + "}\n"
	}
	manifests := web +
		external("self", "self.default.svc.cluster.local") +
		external("ping", "pong.default.svc.cluster.local") + external("pong", "ping.default.svc.cluster.local") +
		external("there", "back.default.svc.other.test") + external("back", "there.default.svc.cluster.local") +
		external("across", "web.default.svc.other.test")
	c := load(t, ".:53 {\n kubernetes cluster.local other.test\n forward . 192.0.2.53\n}\n", manifests)
	for _, x := range []struct{ name, want string }{
		{"self.default.svc.cluster.local.", "NOERROR"},
		{"ping.default.svc.cluster.local.", "NOERROR"},
		{"there.default.svc.cluster.local.", "SERVFAIL"}, // CoreDNS itself would recurse until its stack is full
		{"across.default.svc.cluster.local.", "NOERROR web.default.svc.other.test.@5 10.96.0.50@5"},
	} {
		if got := answer(c, x.name, "A"); got != x.want {
			t.Errorf("%s: got %s, want %s", x.name, got, x.want)
		}
	}
}

// TestUnpackable: a slice without the label of its Service makes a PTR that cannot be packed, so no reply is sent.
func TestUnpackable(t *testing.T) {
	c := load(t, DefaultCorefile, web+`---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: stray}
addressType: IPv4
endpoints: [{addresses: [10.244.9.9]}]
ports: []
`)
	if got := answer(c, "9.9.244.10.in-addr.arpa.", "PTR"); got != "silence" {
		t.Error(got)
	}
}

// TestHostilePackets: nothing a peer can send makes the server panic, and what is no query gets at most a bare header.
func TestHostilePackets(t *testing.T) {
	c := load(t, DefaultCorefile, web)
	m := new(dns.Msg)
	m.SetQuestion("web.default.svc.cluster.local.", dns.TypeA)
	m.SetEdns0(1232, true)
	good, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	header := func(bits, questions, answers, authority, extra uint16) []byte {
		b := make([]byte, 12)
		for i, v := range []uint16{4711, bits, questions, answers, authority, extra} {
			binary.BigEndian.PutUint16(b[2*i:], v)
		}
		return b
	}
	for _, x := range []struct {
		about  string
		packet []byte
		rcode  int // -1: silence
	}{
		{"a query", good, dns.RcodeSuccess},
		{"nothing", nil, -1},
		{"less than a header", good[:11], -1},
		{"a header alone", header(0, 0, 0, 0, 0), dns.RcodeFormatError},
		{"an answer", header(1<<15, 1, 0, 0, 0), -1},
		{"an update", header(5<<11, 1, 0, 0, 0), dns.RcodeNotImplemented},
		{"two questions", header(0, 2, 0, 0, 0), dns.RcodeFormatError},
		{"65535 answers", header(0, 1, 65535, 0, 0), dns.RcodeFormatError},
		{"a name cut off", good[:20], dns.RcodeFormatError},
		{"a pointer to itself", append(header(0, 1, 0, 0, 0), 0xc0, 12, 0, 1, 0, 1), dns.RcodeFormatError},
		{"pointers in a ring", append(header(0, 1, 0, 0, 0), 0xc0, 14, 0xc0, 12, 0, 1, 0, 1), dns.RcodeFormatError},
		{"a pointer past the end", append(header(0, 1, 0, 0, 0), 0xff, 0xff, 0, 1, 0, 1), dns.RcodeFormatError},
		{"a label type that is none", append(header(0, 1, 0, 0, 0), 0x80, 0, 0, 1, 0, 1), dns.RcodeFormatError},
		{"the root", append(header(0, 1, 0, 0, 0), 0, 0, 1, 0, 1), dns.RcodeNameError},
		{"a name of dots in labels", append(header(0, 1, 0, 0, 0), append([]byte("\x03.\\.\x00"), 0, 1, 0, 1)...), dns.RcodeNameError},
		{"type and class 0", append(header(0, 1, 0, 0, 0), 0, 0, 0, 0, 0), dns.RcodeNameError},
	} {
		for _, via := range []Transport{UDP, TCP} {
			got := c.Respond(via, x.packet)
			if (got == nil) != (x.rcode == -1) {
				t.Errorf("%s over %s: %d bytes", x.about, via, len(got))
				continue
			}
			if got == nil {
				continue
			}
			if code := int(got[3] & 15); code != x.rcode || got[2]&0x80 == 0 || got[0] != x.packet[0] || got[1] != x.packet[1] {
				t.Errorf("%s over %s: % x; want code %d", x.about, via, got[:12], x.rcode)
			}
		}
	}
	for n := range good {
		c.Respond(UDP, good[:n])
	}
}

// TestServed: the handler behind real sockets. An answer that UDP cuts short comes whole over TCP.
func TestServed(t *testing.T) {
	c := load(t, DefaultCorefile, web+big(100))
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp := &dns.Server{PacketConn: p, Handler: c.Handler()}
	tcp := &dns.Server{Listener: l, Handler: c.Handler(), MaxTCPQueries: -1}
	for _, s := range []*dns.Server{udp, tcp} {
		done := make(chan error, 1)
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() { done <- s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			if err := s.Shutdown(); err != nil {
				t.Error(err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	m := new(dns.Msg)
	m.SetQuestion("big.default.svc.cluster.local.", dns.TypeA)
	for _, x := range []struct {
		network, address string
		least            int
		truncated        bool
	}{{"udp", p.LocalAddr().String(), 1, true}, {"tcp", l.Addr().String(), 100, false}} {
		client := &dns.Client{Net: x.network, Timeout: 5 * time.Second}
		r, _, err := client.Exchange(m.Copy(), x.address)
		if err != nil {
			t.Fatal(err)
		}
		if r.Truncated != x.truncated || len(r.Answer) < x.least || !r.Authoritative {
			t.Errorf("%s: %d answers, truncated %v", x.network, len(r.Answer), r.Truncated)
		}
	}
}

// FuzzRespond: no packet makes the server panic or answer more than a message can hold, and what it says can be read.
func FuzzRespond(f *testing.F) {
	c := load(f, ".:53 {\n hosts {\n 192.0.2.1 *.wild.test\n fallthrough\n }\n kubernetes cluster.local in-addr.arpa ip6.arpa {\n pods insecure\n zonal\n fallthrough ip6.arpa\n }\n forward . 192.0.2.53\n}\n", web)
	add := func(name string, qtype uint16, edns bool) {
		m := new(dns.Msg)
		m.SetQuestion(name, qtype)
		if edns {
			m.SetEdns0(512, true)
		}
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	add("web.default.svc.cluster.local.", dns.TypeA, true)                                    // a Service
	add("_http._tcp.web.default.svc.cluster.local.", dns.TypeSRV, false)                      // port and protocol
	add("10-244-1-11.web.default.svc.cluster.local.", dns.TypeAAAA, false)                    // an endpoint
	add("10-0-0-1.default.pod.cluster.local.", dns.TypeA, false)                              // an address in a name
	add("zone.a.pin._zone.web.default.svc.cluster.local.", dns.TypeTXT, false)                // a zonal name
	add("50.0.96.10.in-addr.arpa.", dns.TypePTR, false)                                       // a cluster IP
	add("1.0.0.0.ip6.arpa.", dns.TypePTR, false)                                              // less than an address, falls through
	add("CLUSTER.local.", dns.TypeNS, false)                                                  // the zone in another case
	add("ns.dns.cluster.local.", dns.TypeAXFR, false)                                         // a transfer
	add(".", dns.TypeANY, false)                                                              // the root
	add("a\\.b.wild.test.", dns.TypeDS, false)                                                // a dot within a label
	f.Add([]byte("\x12\x67\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01")) // a pointer to itself
	f.Fuzz(func(t *testing.T, packet []byte) {
		for _, via := range []Transport{UDP, TCP} {
			got := c.Respond(via, packet)
			if got == nil {
				continue
			}
			var m dns.Msg
			if err := m.Unpack(got); err != nil {
				t.Fatalf("% x is answered by % x: %v", packet, got, err)
			}
			if !m.Response || m.Id != binary.BigEndian.Uint16(packet) {
				t.Fatalf("% x is answered by %v", packet, &m)
			}
			if via == UDP && len(got) > 65535 {
				t.Fatalf("%d bytes", len(got))
			}
		}
	})
}

// FuzzCorefile: no text makes the parser or a server made from it panic.
func FuzzCorefile(f *testing.F) {
	f.Add(DefaultCorefile)                                                // every passing plugin
	f.Add("kubernetes cluster.local {\n ttl 7\n}\n")                      // a bare block
	f.Add("a, b\n{\n}")                                                   // a brace on its own line
	f.Add(".:53 {\n hosts {\n 192.0.2.1 a b\n fallthrough x\n }\n}\n")    // entries in a block
	f.Add("\"")                                                           // a quote that does not end
	f.Add("10.96.0.0/12 fd00::/7 { \n kubernetes cluster.local\n}\n")     // prefixes that expand
	f.Add("tls://. https://.:443 {\n cache 9 . {\n success 1 2 3\n }\n}") // other transports
	o := objects(f, web)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCorefile("Corefile", text)
		if err != nil {
			return
		}
		s, err := New(c, o, Options{})
		if err != nil {
			return
		}
		m := new(dns.Msg)
		m.SetQuestion("web.default.svc.cluster.local.", dns.TypeA)
		s.Answer(m)
	})
}
