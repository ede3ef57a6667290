package ipvs

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

// connTable holds the entries in buckets by the client's address and port, as the kernel does: requests and replies of a
// connection look into the same bucket (net/netfilter/ipvs/ip_vs_conn.c, ip_vs_conn_hashkey). The kernel's hash is randomly
// seeded, so no order but "newest first under one key" can be seen. Beside it stands a heap of the timers.
type connTable struct {
	buckets []*Conn // a power of two of them; chains run from the newest to the oldest
	heap    []timer
	nextID  uint64
}

// timer is an entry in the heap. Its due time is at or before the entry's end; it is kept beside the pointer, as the heap
// compares it often.
type timer struct {
	due time.Duration
	c   *Conn
}

const firstBuckets = 64

func (t *connTable) bucket(client netip.AddrPort) **Conn {
	b := client.Addr().As16()
	h := binary.LittleEndian.Uint64(b[8:])*0x9e3779b97f4a7c15 ^ binary.LittleEndian.Uint64(b[:8])
	h = (h ^ uint64(client.Port())<<32 ^ h>>29) * 0xbf58476d1ce4e5b9
	return &t.buckets[h>>33&uint64(len(t.buckets)-1)]
}

// in finds the entry of a client's packet (ip_vs_conn_in_get).
func (t *connTable) in(proto packet.Protocol, client, virtual netip.AddrPort) *Conn {
	if len(t.heap) == 0 {
		return nil
	}
	for c := *t.bucket(client); c != nil; c = c.next {
		if c.Client == client && c.Virtual == virtual && c.Proto == proto && !c.Template {
			return c
		}
	}
	return nil
}

// out finds the entry of a packet from the server's side: its source is the server where the director translates, else the
// virtual address (ip_vs_conn_out_get).
func (t *connTable) out(proto packet.Protocol, client, source netip.AddrPort) *Conn {
	if len(t.heap) == 0 {
		return nil
	}
	for c := *t.bucket(client); c != nil; c = c.next {
		if c.Client == client && c.Proto == proto && !c.Template &&
			(c.Forward == Masquerade && c.Server == source || c.Forward != Masquerade && c.Virtual == source) {
			return c
		}
	}
	return nil
}

// template finds the template of a client (ip_vs_ct_in_get).
func (t *connTable) template(proto packet.Protocol, client, virtual netip.AddrPort) *Conn {
	if len(t.heap) == 0 {
		return nil
	}
	for c := *t.bucket(client); c != nil; c = c.next {
		if c.Client == client && c.Virtual == virtual && c.Proto == proto && c.Template {
			return c
		}
	}
	return nil
}

// insert puts an entry in front of older ones and starts its timer (ip_vs_conn_hash).
func (t *connTable) insert(c *Conn) {
	if len(t.heap) >= len(t.buckets) {
		t.grow()
	}
	t.push(c)
	c.heapPos = len(t.heap)
	t.heap = append(t.heap, timer{c.Expires, c})
	t.up(c.heapPos)
}

func (t *connTable) push(c *Conn) {
	b := t.bucket(c.Client)
	c.next = *b
	*b = c
}

func (t *connTable) grow() {
	t.buckets = make([]*Conn, max(firstBuckets, 2*len(t.buckets)))
	for _, c := range t.byAge() {
		t.push(c)
	}
}

// byAge returns the entries, those that have to stand behind others first.
func (t *connTable) byAge() []*Conn {
	a := t.entries()
	slices.SortFunc(a, func(a, b *Conn) int { return cmp.Compare(a.hashed, b.hashed) })
	return a
}

// remove takes an entry out of the table and stops its timer.
func (t *connTable) remove(c *Conn) {
	t.unchain(c)
	i, last := c.heapPos, len(t.heap)-1
	t.swap(i, last)
	t.heap[last] = timer{}
	t.heap = t.heap[:last]
	c.heapPos = -1
	if i < last {
		t.down(i)
		t.up(i)
	}
}

func (t *connTable) unchain(c *Conn) {
	for p := t.bucket(c.Client); *p != nil; p = &(*p).next {
		if *p == c {
			*p = c.next
			c.next = nil
			return
		}
	}
}

// number gives an entry its place in age: newer ones are found first.
func (t *connTable) number(c *Conn) {
	t.nextID++
	c.hashed = t.nextID
}

// front moves an entry in front of the others, as hashing it again does.
func (t *connTable) front(c *Conn) {
	t.unchain(c)
	t.number(c)
	t.push(c)
}

func (t *connTable) entries() []*Conn {
	a := make([]*Conn, len(t.heap))
	for i := range t.heap {
		a[i] = t.heap[i].c
	}
	return a
}

// all returns the entries by order of creation.
func (t *connTable) all() []*Conn {
	a := t.entries()
	slices.SortFunc(a, func(a, b *Conn) int { return cmp.Compare(a.ID, b.ID) })
	return a
}

// arm tells the heap that an entry's Expires changed. A later end is noticed when the timer comes up, so that the packets
// of a busy connection cost nothing here.
func (t *connTable) arm(c *Conn) {
	if c.heapPos >= 0 && c.Expires < t.heap[c.heapPos].due {
		t.heap[c.heapPos].due = c.Expires
		t.up(c.heapPos)
	}
}

// earliest returns the entry whose timer ends first, nil when there is none.
func (t *connTable) earliest() *Conn {
	for len(t.heap) > 0 {
		x := &t.heap[0]
		if x.due == x.c.Expires {
			return x.c
		}
		x.due = x.c.Expires
		t.down(0)
	}
	return nil
}

func (t *connTable) less(i, j int) bool {
	a, b := &t.heap[i], &t.heap[j]
	return a.due < b.due || a.due == b.due && a.c.ID < b.c.ID
}

func (t *connTable) swap(i, j int) {
	t.heap[i], t.heap[j] = t.heap[j], t.heap[i]
	t.heap[i].c.heapPos, t.heap[j].c.heapPos = i, j
}

func (t *connTable) up(i int) {
	for i > 0 {
		p := (i - 1) / 2
		if !t.less(i, p) {
			return
		}
		t.swap(i, p)
		i = p
	}
}

func (t *connTable) down(i int) {
	for {
		m := i
		for k := 2*i + 1; k <= 2*i+2 && k < len(t.heap); k++ {
			if t.less(k, m) {
				m = k
			}
		}
		if m == i {
			return
		}
		t.swap(i, m)
		i = m
	}
}
