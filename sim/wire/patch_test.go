package wire

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/svclab/svclab/datapath/packet"
)

// A packet that is patched reads as the view it was patched to, has right checksums where it had right ones, and is otherwise
// what it was: patched back, it has its old bytes.
func TestPatchAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := drawPacket(t)
		b, err := (&Encoder{}).Append(nil, &from, Unseen{ID: 7, Seq: 99})
		if err != nil {
			t.Fatal(err)
		}
		to := from
		to.TTL, to.TOS = rapid.Byte().Draw(t, "new ttl"), rapid.Byte().Draw(t, "new tos")
		end := func(name string, was netip.AddrPort) netip.AddrPort {
			a := netip.AddrPortFrom(drawAddr(t, from.Family(), name), was.Port())
			if from.Proto.HasPorts() && !from.IsLaterFragment() {
				a = netip.AddrPortFrom(a.Addr(), rapid.Uint16().Draw(t, name+" port"))
			}
			return a
		}
		to.Src, to.Dst = end("new src", from.Src), end("new dst", from.Dst)
		if from.Quoted.IsValid() {
			to.Quoted.Src = netip.AddrPortFrom(drawAddr(t, from.Family(), "new quoted"), rapid.Uint16().Draw(t, "new quoted port"))
		}
		patched, err := Patch(nil, b, &from, &to)
		if err != nil {
			t.Fatal(err)
		}
		got, err := (&Decoder{}).Decode(Raw, patched)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(to, got, compareViews); diff != "" {
			t.Fatalf("%s\n%x\n%x", diff, b, patched)
		}
		if bad := Checksums(patched); len(bad) > 0 {
			t.Fatalf("%v\n%x\n%x", bad, b, patched)
		}
		was, ok1 := Fingerprint(b)
		is, ok2 := Fingerprint(patched)
		if was != is || ok1 != ok2 || ok1 == from.IsICMPError() {
			t.Fatalf("fingerprints %x and %x\n%x\n%x", was, is, b, patched)
		}
		back, err := Patch(nil, patched, &to, &from)
		if err != nil || !bytes.Equal(back, b) {
			t.Fatalf("%v\nwas  %x\nback %x", err, b, back)
		}
	})
}

// A checksum that a card was yet to make stays one: what is wrong is not made right.
func TestPatchKeepsWrongSums(t *testing.T) {
	from := packet.Packet{
		Src: netip.MustParseAddrPort("10.0.0.1:40000"), Dst: netip.MustParseAddrPort("10.96.0.1:80"), Proto: packet.TCP, TCPFlags: packet.SYN,
		TTL: 64, LengthBytes: 60,
	}
	b, err := (&Encoder{}).Append(nil, &from, Unseen{})
	if err != nil {
		t.Fatal(err)
	}
	b[36] ^= 0x55
	to := from
	to.Dst = netip.MustParseAddrPort("10.244.1.5:8080")
	patched, err := Patch(nil, b, &from, &to)
	if err != nil {
		t.Fatal(err)
	}
	if bad := Checksums(patched); len(bad) != 1 {
		t.Errorf("wrong sums: %v", bad)
	}
	if _, err := Patch(nil, b, &to, &from); err == nil {
		t.Error("bytes of another packet were patched")
	}
}
