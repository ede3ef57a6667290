package netstack

import (
	"net/netip"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/sim/replay"
)

// FuzzPort sends arbitrary packets into a universe, as they are and with their checksums put right, so that nodes and stacks get to
// see what is wrong with them otherwise. Nothing may panic or hold memory without bound, and a connection beside it must still work.
func FuzzPort(f *testing.F) {
	r := newRand()
	src4, src6 := netip.MustParseAddrPort("10.244.0.200:4000"), netip.MustParseAddrPort("[fd00:244::200]:4000")
	vip4, back6 := netip.MustParseAddrPort("10.96.0.80:80"), netip.MustParseAddrPort("[fd00:244::1]:8080")
	join := func(list ...[]byte) (out []byte) {
		for _, b := range list {
			out = append(append(out, byte(len(b)>>8), byte(len(b))), b...)
		}
		return out
	}
	f.Add(join(craft(r, false, packet.TCP, src4, vip4, nil)))                                                       // a SYN
	f.Add(join(fragmentsOf(false, src4, netip.AddrPortFrom(vip4.Addr(), 53), 3000, 1280)...))                       // fragments
	f.Add(join(fragmentsOf(true, src6, netip.AddrPortFrom(back6.Addr(), 5353), 3000, 1280)...))                     // and of IPv6
	f.Add(join(craft(r, true, packet.UDP, src6, back6, []byte("x")), craft(r, true, packet.TCP, src6, back6, nil))) // two protocols
	quoting := append([]byte{3, 4, 0, 0, 0, 0, 2, 0}, craft(r, false, packet.TCP, netip.MustParseAddrPort("10.244.0.1:8080"), src4, nil)...)
	f.Add(join(carry(false, packet.ICMP, src4.Addr(), netip.MustParseAddr("10.244.0.1"), quoting))) // an error about what nobody sent
	options := craft(r, false, packet.UDP, src4, vip4, []byte("payload"))
	options[0] = 0x46 // a word of IP options
	f.Add(join(options))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		u := build(t, shape{backends: 1, Options: Options{Checksums: true}})
		p := u.f.AddPort(u.node, src4.Addr(), src6.Addr())
		for n := 0; len(b) >= 2; n++ {
			size := min(int(b[0])<<8|int(b[1]), len(b)-2)
			q := b[2 : 2+size]
			b = b[2+size:]
			_, _ = p.Write(q)
			q = append([]byte(nil), q...)
			var v packet.Packet
			var l layout
			if read(flat(q), len(q), &v, &l) == sound {
				fillChecksums(q, &l, &v)
				_, _ = p.Write(q)
			}
			u.f.Advance(u.f.Now() + ms)
		}
		u.f.Advance(u.f.Now() + time.Second)
		if u.node.frags.memory > fragMemory+1<<16 {
			t.Fatalf("%d bytes of fragments", u.node.frags.memory)
		}
		got := replay.Result(99)
		if err := u.outer.Open(Open{Proto: packet.TCP, Dst: netip.AddrPortFrom(u.nodeIP(), 30080)}, func(_ time.Duration, r replay.Result, _ *Conn) { got = r }); err != nil {
			t.Fatal(err)
		}
		u.f.Advance(u.f.Now() + time.Second)
		if got != replay.Answered {
			t.Fatalf("a connection beside it: %v", got)
		}
	})
}
