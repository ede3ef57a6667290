// Package seed turns one number into named, independent streams of randomness. One seed makes a run; adding a stream changes
// no other, since each is keyed by its name and not by the order of asking.
package seed

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// Root is the seed of a run.
type Root uint64

// Stream returns the stream of a name. The same root and name give the same words on every machine and release:
// ChaCha8 keyed with SHA-256 of root and name.
func (r Root) Stream(name string) *Stream {
	key := r.key(name)
	return &Stream{ChaCha8: rand.NewChaCha8(key)}
}

func (r Root) key(name string) [32]byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(r))
	return sha256.Sum256(append(b, name...))
}

// Stream is a sequence of random words. It is a netfilter.Source; it is not for concurrent use.
type Stream struct{ *rand.ChaCha8 }

// Chance takes one word and compares its low 31 bits, as the kernel's statistic match does.
func (s *Stream) Chance(p31 uint32) bool { return s.word()&0x7fffffff < p31 }

// Intn takes one word and scales it to 0..n-1.
func (s *Stream) Intn(n int) int { return int(uint64(s.word()) * uint64(n) >> 32) }

func (s *Stream) word() uint32 { return uint32(s.Uint64()) }

// Rand returns the stream as a math/rand/v2 generator, for shuffles and floating-point draws.
func (s *Stream) Rand() *rand.Rand { return rand.New(s) }

// Keyed is a family of streams, one for each number, that costs no allocation: the draws of flow i are the same whatever other
// flows there are and in whatever order they run.
type Keyed struct {
	hi, lo uint64
	pcg    rand.PCG
}

// Keyed returns the family of a name.
func (r Root) Keyed(name string) *Keyed {
	k := r.key(name)
	return &Keyed{hi: binary.BigEndian.Uint64(k[:8]), lo: binary.BigEndian.Uint64(k[8:16])}
}

// At starts the stream of number i.
func (k *Keyed) At(i uint64) { k.pcg.Seed(k.hi^mix(i), k.lo+i) }

// Chance takes one word of the present number's stream.
func (k *Keyed) Chance(p31 uint32) bool { return k.Word()&0x7fffffff < p31 }

// Intn takes one word and scales it to 0..n-1.
func (k *Keyed) Intn(n int) int { return int(uint64(k.Word()) * uint64(n) >> 32) }

// Word takes one 32-bit word, the high half of a PCG output.
func (k *Keyed) Word() uint32 { return uint32(k.pcg.Uint64() >> 32) }

// mix spreads neighbouring numbers (the finaliser of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
