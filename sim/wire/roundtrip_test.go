package wire

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/pcapgo"
	"pgregory.net/rapid"

	"github.com/svclab/svclab/datapath/packet"
)

var (
	protocols4 = []packet.Protocol{packet.TCP, packet.UDP, packet.SCTP, packet.ICMP, 50}
	protocols6 = []packet.Protocol{packet.TCP, packet.UDP, packet.SCTP, packet.ICMPv6, 50}
	errors4    = []uint8{3, 4, 5, 11, 12}
	requests4  = []uint8{0, 8, 13, 14, 15, 16, 17, 18}
	errors6    = []uint8{1, 2, 3, 4}
)

func drawAddr(t *rapid.T, f packet.Family, name string) netip.Addr {
	if f == packet.IPv4 {
		return netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, name)))
	}
	return netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, name)))
}

// drawPacket draws a view of a packet that can be sent: family × protocol, fragments, errors with what they quote.
func drawPacket(t *rapid.T) packet.Packet {
	f := rapid.SampledFrom([]packet.Family{packet.IPv4, packet.IPv6}).Draw(t, "family")
	protocols := protocols4
	if f == packet.IPv6 {
		protocols = protocols6
	}
	end := func(name string, f packet.Family, port bool) netip.AddrPort {
		a := netip.AddrPortFrom(drawAddr(t, f, name), 0)
		if port {
			a = netip.AddrPortFrom(a.Addr(), rapid.Uint16().Draw(t, name+" port"))
		}
		return a
	}
	p := packet.Packet{
		Proto: rapid.SampledFrom(protocols).Draw(t, "protocol"), TTL: rapid.Byte().Draw(t, "ttl"), TOS: rapid.Byte().Draw(t, "tos"),
		MoreFragments: rapid.IntRange(0, 9).Draw(t, "more") == 0,
	}
	if rapid.IntRange(0, 9).Draw(t, "later") == 0 {
		p.FragmentOffset = rapid.Uint16Range(1, 8191).Draw(t, "offset")
	}
	ports := p.FragmentOffset == 0 && p.Proto.HasPorts()
	p.Src, p.Dst = end("src", f, ports), end("dst", f, ports)
	if p.FragmentOffset == 0 {
		switch p.Proto {
		case packet.TCP:
			p.TCPFlags = packet.TCPFlags(rapid.Uint8Range(0, 63).Draw(t, "flags"))
			p.TCPMSS = rapid.Uint16().Draw(t, "mss")
		case packet.SCTP:
			p.SCTPChunk = packet.SCTPChunk(rapid.Uint8Range(0, 14).Draw(t, "chunk"))
		case packet.ICMP, packet.ICMPv6:
			drawICMP(t, &p, f, end)
		}
	}
	least := ipHeaderBytes(&p) + transportBytes(&p)
	switch {
	case p.Proto == packet.SCTP && p.FragmentOffset == 0:
		least += 20
	case p.Quoted.IsValid():
		least += 48 // of the longer header, and 8 bytes
	}
	p.LengthBytes = uint32(least + rapid.IntRange(0, 3000).Draw(t, "payload"))
	return p
}

func drawICMP(t *rapid.T, p *packet.Packet, f packet.Family, end func(string, packet.Family, bool) netip.AddrPort) {
	p.ICMPCode = rapid.Byte().Draw(t, "code")
	isError := rapid.Bool().Draw(t, "error")
	switch {
	case p.Proto == packet.ICMP && isError:
		p.ICMPType = rapid.SampledFrom(errors4).Draw(t, "type")
	case p.Proto == packet.ICMP:
		p.ICMPType = rapid.SampledFrom(requests4).Draw(t, "type")
	case isError:
		p.ICMPType = rapid.SampledFrom(errors6).Draw(t, "type")
	default:
		p.ICMPType = rapid.SampledFrom([]uint8{128, 129}).Draw(t, "type")
	}
	if !isError {
		p.Src = netip.AddrPortFrom(p.Src.Addr(), rapid.Uint16().Draw(t, "id"))
		return
	}
	quoted := []packet.Protocol{packet.TCP, packet.UDP, packet.SCTP, packet.ICMP}
	if f == packet.IPv6 {
		quoted[3] = packet.ICMPv6
	}
	p.Quoted = packet.Tuple{Proto: rapid.SampledFrom(quoted).Draw(t, "quoted"), Src: end("quoted src", f, true), Dst: end("quoted dst", f, true)}
	switch p.Quoted.Proto {
	case packet.ICMP:
		p.Quoted.Dst = netip.AddrPortFrom(p.Quoted.Dst.Addr(), uint16(rapid.SampledFrom(requests4).Draw(t, "quoted type"))<<8)
	case packet.ICMPv6:
		p.Quoted.Dst = netip.AddrPortFrom(p.Quoted.Dst.Addr(), 128<<8)
	}
}

var compareViews = cmp.Options{cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })}

// A capture written and read back gives the same packets: every view, the bytes, times, comments, interfaces; by our own reader and
// by gopacket's.
func TestWriteReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 12).Draw(t, "packets")
		var file bytes.Buffer
		w, err := NewWriter(&file, Section{Application: "svclab", Comment: rapid.StringN(0, 20, 80).Draw(t, "about")})
		if err != nil {
			t.Fatal(err)
		}
		names := rapid.SliceOfN(rapid.StringMatching(`[a-z0-9 ]{1,20}`), 1, 4).Draw(t, "interfaces")
		for _, name := range names {
			if _, err := w.AddInterface(Interface{Name: name, Link: Raw, SnapBytes: 262144}); err != nil {
				t.Fatal(err)
			}
		}
		var want []Record
		var views []packet.Packet
		var e Encoder
		for range n {
			p := drawPacket(t)
			b, err := e.Append(nil, &p, Unseen{ID: rapid.Uint32().Draw(t, "id"), Seq: rapid.Uint32().Draw(t, "seq")})
			if err != nil {
				t.Fatal(err)
			}
			r := Record{
				At: time.Duration(rapid.Int64Min(0).Draw(t, "at")) / 2, Interface: rapid.IntRange(0, len(names)-1).Draw(t, "interface"), Link: Raw,
				Data: b, OriginalBytes: uint32(len(b)), Comment: rapid.StringN(0, 40, 160).Draw(t, "comment"),
				Direction: Direction(rapid.IntRange(0, 2).Draw(t, "direction")), ID: rapid.Uint64().Draw(t, "packet id"),
			}
			r.Name = names[r.Interface]
			if err := w.Record(r); err != nil {
				t.Fatal(err)
			}
			want, views = append(want, r), append(views, p)
		}
		r, err := NewReader("written", bytes.NewReader(file.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		var d Decoder
		for i := range want {
			got, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want[i], got); diff != "" {
				t.Fatalf("record %d: %s", i, diff)
			}
			view, err := d.Decode(got.Link, got.Data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(views[i], view, compareViews); diff != "" {
				t.Fatalf("packet %d: %s\n%x", i, diff, got.Data)
			}
		}
		if _, err := r.Next(); err != io.EOF || r.Cut() != nil {
			t.Fatalf("at the end: %v, cut %v", err, r.Cut())
		}
		readByPcapgo(t, file.Bytes(), want)
	})
}

// readByPcapgo reads a file of our own with gopacket's reader, which survives good files.
func readByPcapgo(t *rapid.T, file []byte, want []Record) {
	ng, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range want {
		data, info, err := ng.ReadPacketData()
		if err != nil {
			t.Fatalf("gopacket reads record %d: %v", i, err)
		}
		if !bytes.Equal(data, w.Data) || info.InterfaceIndex != w.Interface || time.Duration(info.Timestamp.UnixNano()) != w.At {
			t.Fatalf("gopacket reads record %d as %+v", i, info)
		}
	}
}

// Lengths are those of the view, and every checksum is right when it is made again.
func TestBytesAreWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPacket(t)
		b, err := (&Encoder{}).Append(nil, &p, Unseen{})
		if err != nil {
			t.Fatal(err)
		}
		if len(b) != int(p.LengthBytes) {
			t.Fatalf("%d bytes of a packet of %d", len(b), p.LengthBytes)
		}
		if bad := Checksums(b); len(bad) > 0 {
			t.Fatalf("%v: %x", bad, b)
		}
		if bad := Checksums(spoiled(b)); len(bad) == 0 && p.Family() == packet.IPv4 {
			t.Fatalf("a time to live that was changed leaves the sum right: %x", b)
		}
	})
}

func spoiled(b []byte) []byte {
	b = bytes.Clone(b)
	b[8] ^= 0x10
	return b
}

func ExampleEncoder() {
	p := packet.Packet{
		Src: netip.MustParseAddrPort("10.0.0.1:40000"), Dst: netip.MustParseAddrPort("10.96.0.10:53"), Proto: packet.UDP, TTL: 64, LengthBytes: 30,
	}
	b, err := (&Encoder{}).Append(nil, &p, Unseen{ID: 1})
	fmt.Printf("%x %v\n", b, err)
	view, err := (&Decoder{}).Decode(Raw, b)
	fmt.Println(view.Tuple(), err)
	// Output:
	// 4500001e00014000401126640a0000010a60000a9c400035000a4efa0000 <nil>
	// udp 10.0.0.1:40000 > 10.96.0.10:53 <nil>
}
