package conntrack

import (
	"encoding/binary"
	"math/bits"

	"github.com/svclab/svclab/datapath/packet"
)

const (
	mul0 = 0xa0761d6478bd642f
	mul1 = 0xe7037ed1a0b428db
	mul2 = 0x8ebc6af09c88c6e3
	mul3 = 0x589965cc75374cc3
)

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// hashTuple spreads a tuple over 32 bits. It depends on the seed alone, so that one seed always gives the same
// neighbours; the kernel keys a SipHash with random bytes at boot (nf_conntrack_core.c, hash_conntrack_raw).
func hashTuple(seed uint64, t *packet.Tuple) uint32 {
	src, dst := t.Src.Addr().As16(), t.Dst.Addr().As16()
	a := mix(binary.LittleEndian.Uint64(src[:8])^mul0, binary.LittleEndian.Uint64(src[8:])^seed^mul1)
	b := mix(binary.LittleEndian.Uint64(dst[:8])^mul2, binary.LittleEndian.Uint64(dst[8:])^seed^mul3)
	ports := uint64(t.Src.Port())<<32 | uint64(t.Dst.Port())<<8 | uint64(t.Proto)
	return uint32(mix(a^ports^mul1, bits.RotateLeft64(b, 23)^ports<<7^mul0) >> 16)
}

// hashSource spreads the source half of a tuple and its protocol, the key by which source mappings are found again
// (net/netfilter/nf_nat_core.c, hash_by_src).
func hashSource(seed uint64, t *packet.Tuple) uint32 {
	src := t.Src.Addr().As16()
	a := mix(binary.LittleEndian.Uint64(src[:8])^mul2, binary.LittleEndian.Uint64(src[8:])^seed^mul3)
	return uint32(mix(a^mul0, uint64(t.Src.Port())<<8^uint64(t.Proto)^mul1) >> 16)
}
