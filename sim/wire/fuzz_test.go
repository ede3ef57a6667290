package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"
)

// FuzzReader reads hostile captures. Whatever a file says, the reader ends, holds one block, gives packets that lie within the
// file, and says where it stopped; what it read can be written and read again.
func FuzzReader(f *testing.F) {
	good := written(f)
	f.Add(good)                                              // all is well
	f.Add(resolution(good, 64))                              // gopacket's reader divides by zero
	f.Add(resolution(good, 0xff))                            // 2^-127
	f.Add(resolution(good, 10))                              // finer than a nanosecond
	f.Add(hugePcap())                                        // 40 bytes for which gopacket's reader takes a gigabyte
	f.Add(pcap(f, binary.LittleEndian, magicMicro, 2))       // the old format
	f.Add(pcap(f, binary.BigEndian, magicNano, 2))           // turned around
	f.Add(pcap(f, binary.BigEndian, magicNano, 2)[:70])      // cut
	f.Add(append(bytes.Clone(good), good...))                // two sections
	f.Add(append(bytes.Clone(good[:len(good)-4]), 0, 0, 0))  // the last length is cut
	f.Add([]byte{0x0a, 0x0d, 0x0d, 0x0a, 0xff, 0xff, 0xff})  // a head and a lie
	f.Add([]byte{0x0a, 0x0d, 0x0d, 0x0a, 12, 0, 0, 0, 0x4d}) // cut within the byte order
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := NewReader("fuzz", bytes.NewReader(file))
		if err != nil {
			var format *FormatError
			var cut *CutError
			if !errors.As(err, &format) && !errors.As(err, &cut) {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		var out bytes.Buffer
		w, err := NewWriter(&out, Section{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.AddInterface(Interface{Name: "all", Link: Raw}); err != nil {
			t.Fatal(err)
		}
		var d Decoder
		var first *Record
		var last int64
		n := 0
		for ; ; n++ {
			rec, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil || r.offset <= last || len(rec.Data) > len(file) || int(rec.OriginalBytes) < len(rec.Data) || rec.At < 0 {
				t.Fatalf("at %d after %d: %+v %v", r.offset, last, rec, err)
			}
			last = r.offset
			_, _ = d.Decode(rec.Link, rec.Data)
			if first == nil {
				kept := rec
				kept.Data = bytes.Clone(rec.Data)
				kept.Interface, kept.Link, kept.Name = 0, Raw, "all"
				kept.Comment = kept.Comment[:min(len(kept.Comment), 100)]
				first = &kept
				if err := w.Record(kept); err != nil {
					t.Fatal(err)
				}
			}
		}
		if cap(r.block) > MaxBlockBytes+16 || // and the head of a record
			len(r.interfaces) > MaxInterfaces {
			t.Fatalf("a block of %d, %d interfaces", cap(r.block), len(r.interfaces))
		}
		if first == nil {
			return
		}
		again, err := NewReader("again", &out)
		if err != nil {
			t.Fatal(err)
		}
		rec, err := again.Next()
		if err != nil || rec.At != first.At || !bytes.Equal(rec.Data, first.Data) || rec.OriginalBytes != first.OriginalBytes {
			t.Fatalf("%+v %v, want %+v", rec, err, first)
		}
	})
}

// FuzzDecoder decodes hostile packets behind every link layer. What decodes to a packet with an IP header of its own kind can be
// patched to itself without a change, and its view be written and decoded again.
func FuzzDecoder(f *testing.F) {
	links := []LinkType{Raw, Ethernet, Null, Loop, LinuxSLL, LinuxSLL2, RawIPv4, RawIPv6}
	f.Add(uint8(0), brokenDNS(f)) // gopacket's DNS layer slices beyond its end
	syn, err := ParseHex(synHex)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(0), syn)
	f.Add(uint8(1), append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0, 100, 8, 0}, syn...)) // a tag
	for _, text := range []string{
		"6000000000180040" + zeros + "3c00010400000000" + "1100010400000000" + "9c40003500080000", // extension headers
		"6000000000102c40" + zeros + "1100000800000007" + "9c40003500080000",                      // a later fragment
		"4500003c000000004001000001010101020202020303000000000000" + synHex,                       // an ICMP error, and what it quotes
		"60000000003a3a40" + zeros + "0104000000000000" + synHex,
		"450000240001400040843414cb007107c0a80a0b9c407789000000010000000001000010", // SCTP
		"4600002c00014000400600000101010102020202940400009c407789000000000000000060022000000000000204",
	} {
		b, err := ParseHex(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(0), b)
	}
	f.Fuzz(func(t *testing.T, link uint8, frame []byte) {
		var d Decoder
		p, err := d.Decode(links[int(link)%len(links)], frame)
		if err != nil {
			return
		}
		ip := frame[d.IP():]
		_ = Checksums(ip)
		_, _ = Fingerprint(ip)
		_, _ = DatagramOf(ip)
		_, _, _ = SequenceOf(ip)
		patched, err := Patch(nil, ip, &p, &p)
		if err != nil || !bytes.Equal(patched, ip) {
			t.Fatalf("%v\n%x\n%x", err, ip, patched)
		}
		b, err := (&Encoder{}).Append(nil, &p, Unseen{})
		if err != nil {
			t.Fatalf("%+v: %v", p, err)
		}
		again, err := (&Decoder{}).Decode(Raw, b)
		if err != nil {
			t.Fatalf("%+v: %v: %x", p, err, b)
		}
		if again.Tuple() != p.Tuple() || again.Quoted != p.Quoted || again.TCPFlags != p.TCPFlags || again.TCPMSS != p.TCPMSS || again.LengthBytes < min(p.LengthBytes, 60) {
			t.Fatalf("%+v\n%+v\n%x", p, again, b)
		}
	})
}

// FuzzHex reads hostile text; what is read can be written as digits and read again.
func FuzzHex(f *testing.F) {
	f.Add(synHex)
	f.Add("0x45, 0x00")
	f.Add("\t0x0000:  4500 0028  E..(\n\t0x0004: 00")
	f.Add("0000  45 00\n")
	f.Add("45:00")
	f.Fuzz(func(t *testing.T, text string) {
		b, err := ParseHex(text)
		if err != nil {
			var h *HexError
			if !errors.As(err, &h) {
				t.Fatalf("%T", err)
			}
			return
		}
		_, _ = (&Decoder{}).Decode(GuessLink(b), b)
	})
}

// BenchmarkReader reads and decodes a capture.
func BenchmarkReader(b *testing.B) {
	var file bytes.Buffer
	w, err := NewWriter(&file, Section{})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := w.AddInterface(Interface{Name: "eth0", Link: Raw}); err != nil {
		b.Fatal(err)
	}
	syn, err := ParseHex(synHex)
	if err != nil {
		b.Fatal(err)
	}
	const packets = 1000
	for i := range packets {
		if err := w.Packet(time.Duration(i), 0, syn, "a comment of some length"); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(file.Len()))
	for b.Loop() {
		if n, _, err := readAll(file.Bytes()); n != packets || err != nil {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/packets, "ns/packet")
}

// BenchmarkDecoder is the view of one packet.
func BenchmarkDecoder(b *testing.B) {
	syn, err := ParseHex(synHex)
	if err != nil {
		b.Fatal(err)
	}
	var d Decoder
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(Raw, syn); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncoder is the bytes of one packet.
func BenchmarkEncoder(b *testing.B) {
	syn, err := ParseHex(synHex)
	if err != nil {
		b.Fatal(err)
	}
	p, err := (&Decoder{}).Decode(Raw, syn)
	if err != nil {
		b.Fatal(err)
	}
	var e Encoder
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		if out, err = e.Append(out[:0], &p, Unseen{}); err != nil {
			b.Fatal(err)
		}
	}
}
