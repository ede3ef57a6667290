package ipvs

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// fold is an address as one 32-bit number: IPv4 as it is, the words of IPv6 combined by exclusive or (include/net/ip_vs.h,
// ip_vs_addr_fold and the hash functions of sh, dh, mh).
func fold(a netip.Addr) uint32 {
	if a.Is4() {
		b := a.As4()
		return binary.BigEndian.Uint32(b[:])
	}
	b := a.As16()
	return binary.BigEndian.Uint32(b[0:]) ^ binary.BigEndian.Uint32(b[4:]) ^
		binary.BigEndian.Uint32(b[8:]) ^ binary.BigEndian.Uint32(b[12:])
}

// hash8 is the kernel's multiplicative hash to 8 bits (include/linux/hash.h, hash_32 and GOLDEN_RATIO_32).
func hash8(x uint32) int { return int(x * 0x61c88647 >> 24) }

// sipHash13 is what hsiphash of one 32-bit word is on a 64-bit kernel: SipHash with one compression and three finalisation
// rounds, the low half of the result (lib/siphash.c, hsiphash_1u32). Both halves of the key are k.
func sipHash13(k uint64, v uint32) uint32 {
	v0 := 0x736f6d6570736575 ^ k
	v1 := 0x646f72616e646f6d ^ k
	v2 := 0x6c7967656e657261 ^ k
	v3 := 0x7465646279746573 ^ k
	round := func() {
		v0 += v1
		v1 = bits.RotateLeft64(v1, 13) ^ v0
		v0 = bits.RotateLeft64(v0, 32)
		v2 += v3
		v3 = bits.RotateLeft64(v3, 16) ^ v2
		v0 += v3
		v3 = bits.RotateLeft64(v3, 21) ^ v0
		v2 += v1
		v1 = bits.RotateLeft64(v1, 17) ^ v2
		v2 = bits.RotateLeft64(v2, 32)
	}
	m := 4<<56 | uint64(v) // length and the last bytes
	v3 ^= m
	round()
	v0 ^= m
	v2 ^= 0xff
	round()
	round()
	round()
	return uint32(v0 ^ v1 ^ v2 ^ v3)
}
