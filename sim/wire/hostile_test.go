package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/svclab/svclab/datapath/packet"
)

// written is a good pcapng of two packets.
func written(tb testing.TB) []byte {
	tb.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, Section{Application: "svclab"})
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := w.AddInterface(Interface{Name: "eth0", Link: Raw}); err != nil {
		tb.Fatal(err)
	}
	p := packet.Packet{
		Src: netip.MustParseAddrPort("10.0.0.1:40000"), Dst: netip.MustParseAddrPort("10.96.0.10:53"), Proto: packet.UDP, TTL: 64, LengthBytes: 60,
	}
	b, err := (&Encoder{}).Append(nil, &p, Unseen{})
	if err != nil {
		tb.Fatal(err)
	}
	for i := range 2 {
		if err := w.Packet(time.Duration(i)*time.Second, 0, b, "a comment"); err != nil {
			tb.Fatal(err)
		}
	}
	return file.Bytes()
}

// resolution sets the time resolution of the interface in a file of written.
func resolution(file []byte, v byte) []byte {
	return bytes.Replace(file, []byte{optResolution, 0, 1, 0, 9}, []byte{optResolution, 0, 1, 0, v}, 1)
}

// hugePcap is 40 bytes of pcap: a record that says it has a gigabyte.
func hugePcap() []byte {
	b := make([]byte, 40)
	binary.LittleEndian.PutUint32(b, magicMicro)
	binary.LittleEndian.PutUint16(b[4:], 2)
	binary.LittleEndian.PutUint16(b[6:], 4)
	binary.LittleEndian.PutUint32(b[16:], 1<<30)
	binary.LittleEndian.PutUint32(b[20:], uint32(Ethernet))
	binary.LittleEndian.PutUint32(b[32:], 1<<30)
	binary.LittleEndian.PutUint32(b[36:], 1<<30)
	return b
}

// brokenDNS is a datagram whose DNS message ends within its question.
func brokenDNS(tb testing.TB) []byte {
	tb.Helper()
	message := []byte{0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}
	p := packet.Packet{
		Src: netip.MustParseAddrPort("10.0.0.1:40000"), Dst: netip.MustParseAddrPort("10.96.0.10:53"), Proto: packet.UDP, TTL: 64,
		LengthBytes: uint32(28 + len(message)),
	}
	b, err := (&Encoder{}).Append(nil, &p, Unseen{})
	if err != nil {
		tb.Fatal(err)
	}
	copy(b[28:], message)
	return b
}

// panics reports whether f panics.
func panics(f func()) (p any) {
	defer func() { p = recover() }()
	f()
	return nil
}

// readAll reads a capture and decodes its packets, as those who use it do.
func readAll(file []byte) (packets int, r *Reader, err error) {
	r, err = NewReader("file", bytes.NewReader(file))
	if err != nil {
		return 0, nil, err
	}
	var d Decoder
	for {
		rec, err := r.Next()
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return packets, r, err
		}
		if p, err := d.Decode(rec.Link, rec.Data); err == nil && !p.Dst.Addr().IsValid() {
			panic("a packet without a destination")
		}
		packets++
	}
}

// What gopacket v1.1.19 is known to fall over is in the fuzz corpus and does nothing here: a time resolution that divides by zero, a
// DNS message that ends early, 40 bytes that take a gigabyte. That it still falls over them shows that the inputs are the ones.
func TestKnownCrashers(t *testing.T) {
	zero := resolution(written(t), 64) // 10^64 is 0 in 64 bits
	if panics(func() {
		if ng, err := pcapgo.NewNgReader(bytes.NewReader(zero), pcapgo.NgReaderOptions{WantMixedLinkType: true}); err == nil {
			_, _, _ = ng.ReadPacketData()
		}
	}) == nil {
		t.Error("gopacket reads the time resolution")
	}
	var cut *CutError
	if n, r, err := readAll(zero); n != 0 || err != nil || !errors.As(r.Cut(), &cut) || !strings.Contains(cut.Why, "10^-64") {
		t.Errorf("%d packets, %v", n, err)
	}

	dns := brokenDNS(t)
	if panics(func() {
		var d layers.DNS
		_ = d.DecodeFromBytes(slices.Clip(dns[28:]), gopacket.NilDecodeFeedback)
	}) == nil {
		t.Error("gopacket reads the DNS message")
	}
	if p, err := (&Decoder{}).Decode(Raw, dns); err != nil || p.Dst.Port() != 53 {
		t.Errorf("%+v %v", p, err)
	}

	before := allocated()
	if n, r, err := readAll(hugePcap()); n != 0 || err != nil || !errors.As(r.Cut(), &cut) || cut.Offset != 24 {
		t.Errorf("%d packets, %v", n, err)
	}
	if took := allocated() - before; took > 1<<20 {
		t.Errorf("40 bytes of pcap took %d", took)
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// A file that was cut anywhere is kept up to the cut: its whole packets, then a CutError with the place; only a cut between blocks
// goes unnoticed.
func TestTruncatedAnywhere(t *testing.T) {
	for name, file := range map[string][]byte{"pcapng": written(t), "pcap": pcap(t, binary.LittleEndian, magicMicro, 3)} {
		whole, _, err := readAll(file)
		if err != nil {
			t.Fatal(err)
		}
		last, silent := 0, 0
		for n := 4; n < len(file); n++ {
			got, r, err := readAll(file[:n])
			var cut *CutError
			switch {
			case err != nil && !errors.As(err, &cut):
				t.Fatalf("%s of %d bytes: %v", name, n, err)
			case err == nil && r.Cut() == nil:
				silent++
			}
			if got < last || got > whole {
				t.Fatalf("%s: %d packets in %d bytes, %d in fewer", name, got, n, last)
			}
			last = got
		}
		if last != whole-1 || silent > whole+2 {
			t.Errorf("%s: %d packets before the last byte, %d cuts unnoticed", name, last, silent)
		}
	}
}

// Every lie of a length, a count or an index is found, and everything before it kept.
func TestLies(t *testing.T) {
	good := written(t)
	at := bytes.Index(good, []byte{blockEnhanced, 0, 0, 0}) // the first packet
	second := at + int(binary.LittleEndian.Uint32(good[at+4:]))
	change := func(offset int, v uint32) []byte {
		b := bytes.Clone(good)
		binary.LittleEndian.PutUint32(b[offset:], v)
		return b
	}
	flipped := bytes.Clone(good) // in the other byte order from the second packet on
	flipped = append(flipped[:second], binary.BigEndian.AppendUint32(nil, blockEnhanced)...)
	flipped = append(flipped, binary.BigEndian.AppendUint32(nil, uint32(len(good)-second))...)
	flipped = append(flipped, good[second+8:]...)
	for name, c := range map[string]struct {
		file    []byte
		packets int
		why     string
	}{
		"a block longer than is read":   {change(second+4, MaxBlockBytes+4), 1, "are the most"},
		"a block of 4 GiB":              {change(second+4, 0xfffffffc), 1, "are the most"},
		"a block that ends before it":   {change(second+4, 8), 1, "a block of 8 bytes"},
		"a block of an odd length":      {change(second+4, 33), 1, "a block of 33 bytes"},
		"lengths that differ":           {change(len(good)-4, 12), 1, "ends as one of 12"},
		"a packet beyond its block":     {change(second+20, 5000), 1, "a packet of 5000 bytes"},
		"an interface that is not":      {change(second+8, 1), 1, "of interface 1, of which there are 1"},
		"another byte order":            {flipped, 1, "are the most"},
		"times that no clock shows":     {change(second+12, 0xffffffff), 1, "no clock"},
		"resolution finer than 10^-9":   {resolution(good, 10), 0, "10^-10"},
		"resolution of 2^-127":          {resolution(good, 0xff), 0, "2^-127"},
		"a section in no byte order":    {change(8, 0), 0, "byte order"},
		"a section longer than is read": {change(4, 1<<30), 0, "are the most"},
		"a version of tomorrow":         {change(12, 2), 0, "version 2"},
	} {
		n, r, err := readAll(c.file)
		var cut *CutError
		if err == nil {
			err = r.Cut()
		}
		if n != c.packets || !errors.As(err, &cut) || !strings.Contains(cut.Why, c.why) || cut.Packets != n {
			t.Errorf("%s: %d packets, %v", name, n, err)
		}
	}
}

// No number of interfaces takes more memory than MaxInterfaces of them.
func TestManyInterfaces(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file, Section{})
	if err != nil {
		t.Fatal(err)
	}
	for range MaxInterfaces + 1 {
		if _, err := w.AddInterface(Interface{Name: "x", Link: Raw}); err != nil {
			t.Fatal(err)
		}
	}
	_, r, err := readAll(file.Bytes())
	if err != nil || len(r.Interfaces()) != MaxInterfaces || r.Cut() == nil {
		t.Errorf("%d interfaces, %v", len(r.Interfaces()), r.Cut())
	}
}

// What is no capture is told apart from what was cut.
func TestNotACapture(t *testing.T) {
	for text, why := range map[string]string{
		"":                    "0 bytes are no capture",
		"ab":                  "2 bytes are no capture",
		"*nat\n:PREROUTING":   "neither pcap nor pcapng",
		"\x1f\x8b\x08\x00abc": "gunzip",
	} {
		_, err := NewReader("file", strings.NewReader(text))
		var f *FormatError
		if !errors.As(err, &f) || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
