package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"testing"

	"github.com/svclab/svclab/datapath/packet"
)

// Names are one block, by address: written by hand from section 4.5 of the draft. Readers pass it over, and many names are many blocks.
func TestNames(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file, Section{})
	if err != nil {
		t.Fatal(err)
	}
	head := file.Len()
	if err := w.Names(map[netip.Addr]string{netip.MustParseAddr("fd00::1"): "node/n", netip.MustParseAddr("10.96.0.1"): "svc/a/b"}); err != nil {
		t.Fatal(err)
	}
	want := "04000000" + "40000000" + "01000c00" + "0a600001" + hex.EncodeToString([]byte("svc/a/b\x00")) +
		"02001700" + "fd000000000000000000000000000001" + hex.EncodeToString([]byte("node/n\x00")) + "00" + "00000000" + "00000000" + "40000000"
	if got := hex.EncodeToString(file.Bytes()[head:]); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	many := map[netip.Addr]string{}
	for i := range 20000 {
		many[netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})] = fmt.Sprintf("pod/default/web-%d", i)
	}
	if err := w.Names(many); err != nil {
		t.Fatal(err)
	}
	if _, err := w.AddInterface(Interface{Name: "x", Link: Raw}); err != nil {
		t.Fatal(err)
	}
	p := packet.Packet{Src: netip.MustParseAddrPort("10.0.0.1:1"), Dst: netip.MustParseAddrPort("10.0.0.2:2"), Proto: packet.UDP}
	b, err := (&Encoder{}).Append(nil, &p, Unseen{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Packet(0, 0, b, ""); err != nil {
		t.Fatal(err)
	}
	if n, r, err := readAll(file.Bytes()); n != 1 || err != nil || r.Cut() != nil {
		t.Errorf("%d packets, %v %v", n, err, r.Cut())
	}
}
