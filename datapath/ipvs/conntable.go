package ipvs

import (
	"slices"
)

// connTable holds the entries under their keys, and a heap of their timers. The kernel hashes with a random seed, so no
// order but "newest first under one key" can be seen.
type connTable struct {
	in        map[connKey]*Conn // by client and virtual address
	out       map[connKey]*Conn // by client and server, for replies
	templates map[connKey]*Conn
	heap      []*Conn
	nextID    uint64
}

func (t *connTable) init() {
	t.in, t.out, t.templates = map[connKey]*Conn{}, map[connKey]*Conn{}, map[connKey]*Conn{}
}

// insert puts an entry in front of older ones of its key and starts its timer (ip_vs_conn_hash).
func (t *connTable) insert(c *Conn) {
	if c.Template {
		k := c.key()
		c.next = t.templates[k]
		t.templates[k] = c
	} else {
		k, o := c.key(), c.outKey()
		c.next = t.in[k]
		t.in[k] = c
		c.nextOut = t.out[o]
		t.out[o] = c
	}
	c.due = c.Expires
	c.heapPos = len(t.heap)
	t.heap = append(t.heap, c)
	t.up(c.heapPos)
}

// remove takes an entry out of the table and stops its timer.
func (t *connTable) remove(c *Conn) {
	if c.Template {
		unchain(t.templates, c.key(), c, (*Conn).linkIn)
	} else {
		unchain(t.in, c.key(), c, (*Conn).linkIn)
		unchain(t.out, c.outKey(), c, (*Conn).linkOut)
	}
	i, last := c.heapPos, len(t.heap)-1
	t.swap(i, last)
	t.heap[last] = nil
	t.heap = t.heap[:last]
	c.heapPos = -1
	if i < last {
		t.down(i)
		t.up(i)
	}
}

func (c *Conn) linkIn() **Conn  { return &c.next }
func (c *Conn) linkOut() **Conn { return &c.nextOut }

func unchain(m map[connKey]*Conn, k connKey, c *Conn, link func(*Conn) **Conn) {
	head := m[k]
	for p := &head; *p != nil; p = link(*p) {
		if *p == c {
			*p = *link(c)
			*link(c) = nil
			break
		}
	}
	if head == nil {
		delete(m, k)
	} else {
		m[k] = head
	}
}

// rekey moves a template to another key.
func (t *connTable) rekey(c *Conn, change func()) {
	unchain(t.templates, c.key(), c, (*Conn).linkIn)
	change()
	k := c.key()
	c.next = t.templates[k]
	t.templates[k] = c
}

// all returns the entries by order of creation.
func (t *connTable) all() []*Conn {
	a := slices.Clone(t.heap)
	slices.SortFunc(a, func(a, b *Conn) int {
		switch {
		case a.ID < b.ID:
			return -1
		case a.ID > b.ID:
			return 1
		}
		return 0
	})
	return a
}

// arm tells the heap that an entry's Expires changed. A later end is noticed when the timer comes up, so that the packets
// of a busy connection cost nothing here.
func (t *connTable) arm(c *Conn) {
	if c.heapPos >= 0 && c.Expires < c.due {
		c.due = c.Expires
		t.up(c.heapPos)
	}
}

// earliest returns the entry whose timer ends first, nil when there is none.
func (t *connTable) earliest() *Conn {
	for len(t.heap) > 0 {
		c := t.heap[0]
		if c.due == c.Expires {
			return c
		}
		c.due = c.Expires
		t.down(0)
	}
	return nil
}

func (t *connTable) less(i, j int) bool {
	a, b := t.heap[i], t.heap[j]
	return a.due < b.due || a.due == b.due && a.ID < b.ID
}

func (t *connTable) swap(i, j int) {
	t.heap[i], t.heap[j] = t.heap[j], t.heap[i]
	t.heap[i].heapPos, t.heap[j].heapPos = i, j
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
