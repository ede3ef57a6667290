package wire

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"

	"github.com/svclab/svclab/datapath/packet"
)

// A SYN from 203.0.113.7:40000 to 192.168.10.11:30601, written by hand: its checksums are those of RFC 1071 over these words.
const synHex = "450000280001400040063414cb007107c0a80a0b9c407789000000000000000050022000755d0000"

// The spellings in which packets are passed around are the same packet.
func TestParseHex(t *testing.T) {
	want, err := hex.DecodeString(synHex)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"plain":  synHex,
		"upper":  "45000028 00014000 40063414 CB007107 C0A80A0B 9C407789 00000000 00000000 50022000 755D0000",
		"0x":     "0x" + synHex,
		"bytes":  "0x45, 0x00, 0x00, 0x28, 0x00 0x01 0x40 0x00 0x40 0x06 0x34 0x14 0xcb 0x00 0x71 0x07 c0a80a0b 9c407789 00000000 00000000 50022000 755d0000",
		"colons": "45:00:00:28:00:01:40:00:40:06:34:14:cb:00:71:07:c0:a8:0a:0b:9c:40:77:89:00:00:00:00:00:00:00:00:50:02:20:00:75:5d:00:00\n",
		"tcpdump -x": "12:00:00.000000 IP 203.0.113.7.40000 > 192.168.10.11.30601: Flags [S], seq 0, win 8192, length 0\n" +
			"\t0x0000:  4500 0028 0001 4000 4006 3414 cb00 7107\n\t0x0010:  c0a8 0a0b 9c40 7789 0000 0000 0000 0000\n\t0x0020:  5002 2000 755d 0000\n",
		"a line of it": "\t0x0000:  4500 0028 0001 4000 4006 3414 cb00 7107 c0a8 0a0b 9c40 7789 0000 0000 0000 0000 5002 2000 755d 0000",
		"tcpdump -X": "\t0x0000:  4500 0028 0001 4000 4006 3414 cb00 7107  E..(..@.@.+...q.\n" +
			"\t0x0010:  c0a8 0a0b 9c40 7789 0000 0000 0000 0000  .....@w.........\n\t0x0020:  5002 2000 755d 0000                      P...<...\n",
		"tshark -x": "0000  45 00 00 28 00 01 40 00 40 06 34 14 cb 00 71 07   E..(..@.@.+...q.\n" +
			"0010  c0 a8 0a 0b 9c 40 77 89 00 00 00 00 00 00 00 00   .....@w.........\n0020  50 02 20 00 75 5d 00 00                           P. .<...\n",
	} {
		b, err := ParseHex(text)
		if err != nil || string(b) != string(want) {
			t.Errorf("%s: %x %v", name, b, err)
		}
	}
	if bad := Checksums(want); len(bad) > 0 {
		t.Errorf("written by hand: %v", bad)
	}
	p, err := (&Decoder{}).Decode(GuessLink(want), want)
	wantView := packet.Packet{
		Src: netip.MustParseAddrPort("203.0.113.7:40000"), Dst: netip.MustParseAddrPort("192.168.10.11:30601"), Proto: packet.TCP,
		TCPFlags: packet.SYN, TTL: 64, LengthBytes: 40,
	}
	if err != nil || p != wantView {
		t.Errorf("%+v %v", p, err)
	}
}

func TestParseHexSaysWhere(t *testing.T) {
	for text, want := range map[string]string{
		"":             "hex: there are no bytes",
		" \n":          "hex: there are no bytes",
		"45 0":         `hex: character 4, "45 0": half a byte is left over`,
		"4:5":          `hex: character 2, "4:5": half a byte before it`,
		"4500zz":       `hex: character 5, "4500zz": not a hexadecimal digit`,
		"4500 0028 pq": `hex: character 11, "028 pq": not a hexadecimal digit`,
		"0x45000x":     "",
	} {
		_, err := ParseHex(text)
		if want == "" {
			continue
		}
		var h *HexError
		if !errors.As(err, &h) || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
