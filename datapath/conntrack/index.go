package conntrack

import (
	"math/bits"

	"github.com/svclab/svclab/datapath/journal"
)

// index is a hash table from 32-bit hashes to references, open-addressed with linear probing at a load of at most
// one half. A slot holds the hash in its upper and the reference plus one in its lower half; zero is empty. The home
// position of a hash is given by its upper bits, so that positions follow hashes in order and the kernel's buckets,
// which are ranges of hashes (reciprocal_scale), are ranges of positions.
type index struct {
	slots []uint64
	shift uint8 // 32 - log2(len(slots))
	n     int
}

const minIndexBits = 6

func (x *index) init(log2 int) {
	x.slots = make([]uint64, 1<<log2)
	x.shift = uint8(32 - log2)
	x.n = 0
}

func (x *index) home(hash uint32) int { return int(hash >> x.shift) }

func pack(hash, ref uint32) uint64 { return uint64(hash)<<32 | uint64(ref+1) }

// add inserts a reference; equal hashes may occur more than once.
func (x *index) add(hash, ref uint32, j *journal.Journal) {
	if 2*(x.n+1) > len(x.slots) {
		x.grow(j)
	}
	if j.On() {
		save(j, &x.n)
	}
	x.n++
	x.put(pack(hash, ref), j)
}

func (x *index) put(e uint64, j *journal.Journal) {
	mask := len(x.slots) - 1
	pos := x.home(uint32(e >> 32))
	for x.slots[pos] != 0 {
		pos = (pos + 1) & mask
	}
	if j.On() {
		save(j, &x.slots[pos])
	}
	x.slots[pos] = e
}

// grow doubles the table. The old array stays as it was, so that a journal can bring it back.
func (x *index) grow(j *journal.Journal) {
	if j.On() {
		save(j, x)
	}
	old := x.slots
	n := x.n
	x.init(bits.Len(uint(len(old))))
	x.n = n
	for _, e := range old {
		if e != 0 {
			x.put(e, nil)
		}
	}
}

// at returns the position of a reference, or -1.
func (x *index) at(hash, ref uint32) int {
	mask := len(x.slots) - 1
	want := pack(hash, ref)
	for pos := x.home(hash); x.slots[pos] != 0; pos = (pos + 1) & mask {
		if x.slots[pos] == want {
			return pos
		}
	}
	return -1
}

// remove takes a reference out and closes the gap, so that no tombstones are needed.
func (x *index) remove(hash, ref uint32, j *journal.Journal) {
	pos := x.at(hash, ref)
	if pos < 0 {
		return
	}
	if j.On() {
		save(j, &x.n)
	}
	x.n--
	mask := len(x.slots) - 1
	for next := (pos + 1) & mask; x.slots[next] != 0; next = (next + 1) & mask {
		home := x.home(uint32(x.slots[next] >> 32))
		// The entry at next may move to pos if its home is not behind pos, counted cyclically up to next.
		if (next-home)&mask >= (next-pos)&mask {
			if j.On() {
				save(j, &x.slots[pos])
			}
			x.slots[pos] = x.slots[next]
			pos = next
		}
	}
	if j.On() {
		save(j, &x.slots[pos])
	}
	x.slots[pos] = 0
}

// save records the present value of a variable, to be put back.
func save[T any](j *journal.Journal, p *T) {
	old := *p
	j.Add(func() { *p = old })
}
