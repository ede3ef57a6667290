package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/svclab/svclab/datapath/packet"
)

// pcap is a file of n records written by hand: at 1 s and 5 units, 2 s and 5 units, …
func pcap(tb testing.TB, o binary.AppendByteOrder, magic uint32, n int) []byte {
	tb.Helper()
	ip, err := hex.DecodeString(synHex)
	if err != nil {
		tb.Fatal(err)
	}
	b := o.AppendUint32(nil, magic)
	b = o.AppendUint16(o.AppendUint16(b, 2), 4)
	b = append(b, make([]byte, 8)...)
	b = o.AppendUint32(o.AppendUint32(b, 65535), uint32(Raw))
	for i := range n {
		for _, v := range []uint32{uint32(i + 1), 5, uint32(len(ip)), uint32(len(ip)) + 1000} {
			b = o.AppendUint32(b, v)
		}
		b = append(b, ip...)
	}
	return b
}

// Both byte orders and both resolutions of pcap are one capture.
func TestPcap(t *testing.T) {
	for _, o := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		for magic, unit := range map[uint32]time.Duration{magicMicro: time.Microsecond, magicNano: time.Nanosecond} {
			r, err := NewReader("file", bytes.NewReader(pcap(t, o, magic, 2)))
			if err != nil {
				t.Fatal(err)
			}
			for i := range 2 {
				rec, err := r.Next()
				if err != nil {
					t.Fatal(err)
				}
				if want := time.Duration(i+1)*time.Second + 5*unit; rec.At != want || rec.Link != Raw || len(rec.Data) != 40 || rec.OriginalBytes != 1040 {
					t.Errorf("%v, magic %x: %+v", o, magic, rec)
				}
			}
		}
	}
}

// Files that gopacket's writers made read as what was written.
func TestReadsOthersWriters(t *testing.T) {
	ip, err := hex.DecodeString(synHex)
	if err != nil {
		t.Fatal(err)
	}
	when := time.Unix(1700000000, 123456789)
	info := gopacket.CaptureInfo{Timestamp: when, CaptureLength: len(ip), Length: len(ip)}
	var old, ng bytes.Buffer
	p := pcapgo.NewWriterNanos(&old)
	if err := p.WriteFileHeader(65536, layers.LinkTypeRaw); err != nil {
		t.Fatal(err)
	}
	if err := p.WritePacket(info, ip); err != nil {
		t.Fatal(err)
	}
	w, err := pcapgo.NewNgWriter(&ng, layers.LinkTypeRaw)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.WritePacket(info, ip); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string][]byte{"pcap": old.Bytes(), "pcapng": ng.Bytes()} {
		r, err := NewReader(name, bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		rec, err := r.Next()
		if err != nil || rec.At != time.Duration(when.UnixNano()) || !bytes.Equal(rec.Data, ip) {
			t.Errorf("%s: %+v %v", name, rec, err)
		}
		if p, err := (&Decoder{}).Decode(rec.Link, rec.Data); err != nil || p.Dst.Port() != 30601 {
			t.Errorf("%s, link type %s: %+v %v", name, rec.Link, p, err)
		}
	}
}

// ngBlocks is a pcapng in a byte order of its own, block by block.
type ngBlocks struct {
	binary.AppendByteOrder
	b []byte
}

func (f *ngBlocks) block(kind uint32, body ...[]byte) {
	all := bytes.Join(body, nil)
	for len(all)%4 != 0 {
		all = append(all, 0)
	}
	f.b = f.AppendUint32(f.AppendUint32(f.b, kind), uint32(len(all)+12))
	f.b = f.AppendUint32(append(f.b, all...), uint32(len(all)+12))
}

func (f *ngBlocks) words(v ...uint32) (b []byte) {
	for _, w := range v {
		b = f.AppendUint32(b, w)
	}
	return b
}

func (f *ngBlocks) option(code uint16, v ...byte) []byte {
	b := f.AppendUint16(f.AppendUint16(nil, code), uint16(len(v)))
	b = append(b, v...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// Sections of both byte orders in one file, times in powers of ten and of two, an offset, simple and obsolete blocks, and blocks of
// no concern in between. The times are arithmetic on the units.
func TestPcapngOfAllKinds(t *testing.T) {
	ip, err := hex.DecodeString(synHex)
	if err != nil {
		t.Fatal(err)
	}
	var file []byte
	var want []time.Duration
	for _, o := range []binary.AppendByteOrder{binary.BigEndian, binary.LittleEndian} {
		f := &ngBlocks{AppendByteOrder: o}
		f.block(blockSection, f.words(byteOrderMagic), o.AppendUint16(o.AppendUint16(nil, 1), 0), f.words(0xffffffff, 0xffffffff), f.option(optApplication, 'x'))
		link := o.AppendUint32(o.AppendUint16(o.AppendUint16(nil, uint16(Raw)), 0), 0)
		f.block(blockInterface, link) // microseconds
		f.block(blockInterface, link, f.option(optName, 'a', 0), f.option(optResolution, 0x8a), f.option(optOffset, o.AppendUint64(nil, 100)...), f.option(optEnd))
		f.block(blockInterface, link, f.option(optResolution, 0), f.option(optEnd)) // seconds
		f.block(4, []byte("names"))                                                 // name resolution
		packet := func(iface, hi, lo uint32) {
			f.block(blockEnhanced, f.words(iface, hi, lo, uint32(len(ip)), uint32(len(ip))), ip, f.option(optComment, 'c'), f.option(optEnd))
		}
		packet(0, 0, 7)
		packet(1, 0, 1536) // 1.5 s in units of 2^-10
		packet(2, 0, 3)
		packet(0, 1, 0) // 2^32 µs
		f.block(blockSimple, f.words(uint32(len(ip))), ip)
		f.block(blockPacket, o.AppendUint16(o.AppendUint16(nil, 2), 9), f.words(0, 4, uint32(len(ip)), uint32(len(ip))), ip)
		want = append(want, 7*time.Microsecond, 101*time.Second+500*time.Millisecond, 3*time.Second, (1<<32)*time.Microsecond, 0, 4*time.Second)
		f.block(0x80000bad, []byte("anything"))
		file = append(file, f.b...)
	}
	r, err := NewReader("file", bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for i, at := range want {
		rec, err := r.Next()
		if err != nil {
			t.Fatalf("packet %d: %v, %v", i, err, r.Cut())
		}
		if rec.At != at || !bytes.Equal(rec.Data, ip) {
			t.Errorf("packet %d: %+v, want %s", i, rec, at)
		}
		if i%6 == 1 && (rec.Name != "a" || rec.Comment != "c") {
			t.Errorf("packet %d: %+v", i, rec)
		}
	}
	if _, err := r.Next(); err == nil || r.Cut() != nil {
		t.Errorf("at the end: %v %v", err, r.Cut())
	}
}

// The same SYN behind every link layer. Headers are written by hand from https://www.tcpdump.org/linktypes.html.
func TestLinkTypes(t *testing.T) {
	const v6 = "6000000000140640" + "20010db8000000000000000000000001" + "20010db8000000000000000000000002" + "9c407789000000000000000050022000" + "00000000"
	for name, c := range map[string]struct {
		link   LinkType
		header string
		ip     string
		mac    packet.MAC
		class  packet.PacketType
		out    bool
	}{
		"raw":              {Raw, "", synHex, packet.MAC{}, 0, false},
		"raw v6":           {Raw, "", v6, packet.MAC{}, 0, false},
		"IPv6":             {RawIPv6, "", v6, packet.MAC{}, 0, false},
		"IPv4":             {RawIPv4, "", synHex, packet.MAC{}, 0, false},
		"Ethernet":         {Ethernet, "0200000000010200000000020800", synHex, packet.MAC{2, 0, 0, 0, 0, 2}, 0, false},
		"Ethernet v6":      {Ethernet, "02000000000102000000000286dd", v6, packet.MAC{2, 0, 0, 0, 0, 2}, 0, false},
		"VLAN":             {Ethernet, "02000000000102000000000281000064" + "0800", synHex, packet.MAC{2, 0, 0, 0, 0, 2}, 0, false},
		"two tags":         {Ethernet, "02000000000102000000000288a80064" + "81000065" + "0800", synHex, packet.MAC{2, 0, 0, 0, 0, 2}, 0, false},
		"broadcast":        {Ethernet, "ffffffffffff0200000000020800", synHex, packet.MAC{2, 0, 0, 0, 0, 2}, packet.Broadcast, false},
		"multicast":        {Ethernet, "01005e0000010200000000020800", synHex, packet.MAC{2, 0, 0, 0, 0, 2}, packet.Multicast, false},
		"NULL little":      {Null, "02000000", synHex, packet.MAC{}, 0, false},
		"NULL big":         {Null, "00000002", synHex, packet.MAC{}, 0, false},
		"NULL v6 Darwin":   {Null, "1e000000", v6, packet.MAC{}, 0, false},
		"LOOP":             {Loop, "00000002", synHex, packet.MAC{}, 0, false},
		"LOOP v6 OpenBSD":  {Loop, "00000018", v6, packet.MAC{}, 0, false},
		"SLL":              {LinuxSLL, "0000" + "0001" + "0006" + "0200000000020000" + "0800", synHex, packet.MAC{2, 0, 0, 0, 0, 2}, 0, false},
		"SLL outgoing":     {LinuxSLL, "0004" + "0001" + "0006" + "0200000000020000" + "86dd", v6, packet.MAC{2, 0, 0, 0, 0, 2}, 0, true},
		"SLL other host":   {LinuxSLL, "0003" + "0001" + "0006" + "0200000000020000" + "0800", synHex, packet.MAC{2, 0, 0, 0, 0, 2}, packet.OtherHost, false},
		"SLL without MAC":  {LinuxSLL, "0000" + "0304" + "0000" + "0000000000000000" + "0800", synHex, packet.MAC{}, 0, false},
		"SLL2":             {LinuxSLL2, "0800" + "0000" + "00000007" + "0001" + "00" + "06" + "0200000000020000", synHex, packet.MAC{2, 0, 0, 0, 0, 2}, 0, false},
		"SLL2 outgoing v6": {LinuxSLL2, "86dd" + "0000" + "00000007" + "0001" + "04" + "06" + "0200000000020000", v6, packet.MAC{2, 0, 0, 0, 0, 2}, 0, true},
	} {
		b, err := hex.DecodeString(c.header + c.ip)
		if err != nil {
			t.Fatal(err)
		}
		var d Decoder
		p, err := d.Decode(c.link, b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if p.Src.Port() != 40000 || p.Dst.Port() != 30601 || p.TCPFlags != packet.SYN || p.SrcMAC != c.mac || p.Type != c.class || (d.Direction() == Outbound) != c.out || d.IP() != len(c.header)/2 {
			t.Errorf("%s: %+v, direction %d, IP at %d", name, p, d.Direction(), d.IP())
		}
		for n := range len(c.header)/2 + 20 {
			if _, err := d.Decode(c.link, b[:n]); err == nil {
				t.Errorf("%s: %d bytes of it decode", name, n)
			}
		}
	}
	var link *LinkTypeError
	if _, err := (&Decoder{}).Decode(105, make([]byte, 100)); !errors.As(err, &link) {
		t.Errorf("802.11: %v", err)
	}
	arp, err := hex.DecodeString("ffffffffffff0200000000020806" + "0001080006040001")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&Decoder{}).Decode(Ethernet, arp); !IsNotIP(err) {
		t.Errorf("ARP: %v", err)
	}
}

// Errors say which header, where, and how much is missing.
func TestDecodeErrors(t *testing.T) {
	for text, want := range map[string]string{
		"45":                       "IPv4 header at byte 0: 1 bytes are left of 20",
		synHex[:40]:                "TCP header at byte 20: 0 bytes are left of 20",
		synHex[:70]:                "TCP header at byte 20: 15 bytes are left of 20",
		"55" + synHex[2:]:          "IPv4 header at byte 0: its version is 5",
		"4f" + synHex[2:]:          "IPv4 header at byte 0: Invalid IP header length > IP length (15 > 40)",
		"45000010" + synHex[8:]:    "IPv4 header at byte 0: Invalid (too small) IP length (16 < 20)",
		"60000000000006400000":     "IPv6 header at byte 0: 10 bytes are left of 40",
		"6000000000000040" + zeros: "IPv6 header at byte 0: a payload length of 0: jumbograms are not modelled",
		"6000000000080040" + zeros + "06ff000000000000":         "IPv6 extension header at byte 40: 8 bytes are left of 2048",
		"6000000000041140" + zeros + "9c400035":                 "UDP header at byte 40: 4 bytes are left of 8",
		"60000000000c8440" + zeros + "9c4000350000000000000000": "SCTP chunk header at byte 52: 0 bytes are left of 4",
		"6000000000043a40" + zeros + "80000000":                 "ICMPv6 header at byte 40: 4 bytes are left of 8",
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		_, err = (&Decoder{}).Decode(Raw, b)
		var d *DecodeError
		if !errors.As(err, &d) || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// zeros are the addresses of an IPv6 header.
const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

// Extension headers are passed over, a fragment header is not. Written by hand from RFC 8200, section 4.
func TestExtensionHeaders(t *testing.T) {
	const udp = "9c4000350008" + "0000"
	for name, c := range map[string]struct {
		text   string
		proto  packet.Protocol
		port   uint16
		offset uint16
		more   bool
	}{
		"hop by hop, destination": {"6000000000180040" + zeros + "3c00010400000000" + "1100010400000000" + udp, packet.UDP, 53, 0, false},
		"authentication":          {"6000000000143340" + zeros + "1101000000000000" + "00000000" + udp, packet.UDP, 53, 0, false},
		"first fragment":          {"6000000000102c40" + zeros + "1100000100000007" + udp, packet.UDP, 53, 0, true},
		"later fragment":          {"6000000000102c40" + zeros + "1100000800000007" + udp, packet.UDP, 0, 1, false},
		"no next header":          {"6000000000003b40" + zeros, 59, 0, 0, false},
	} {
		b, err := hex.DecodeString(c.text)
		if err != nil {
			t.Fatal(err)
		}
		p, err := (&Decoder{}).Decode(Raw, b)
		if err != nil || p.Proto != c.proto || p.Dst.Port() != c.port || p.FragmentOffset != c.offset || p.MoreFragments != c.more || p.Dst.Addr() != netip.IPv6Unspecified() {
			t.Errorf("%s: %+v %v", name, p, err)
		}
	}
}
