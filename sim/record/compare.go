package record

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/svclab/svclab/datapath/packet"
)

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// row is a server's counters: address, weight, active, inactive.
type row [4]any

// rows are the model's servers in the kernel's list order.
func (p *player) rows() []row {
	rows := []row{}
	for _, d := range p.table.Service(p.service.Key).Destinations() {
		rows = append(rows, row{d.Addr.String(), d.Weight, d.Active, d.Inactive})
	}
	return rows
}

// counters compares the servers' counters, and by their order the list's.
func (p *player) counters(a *args) {
	var want [][]any
	a.next(&want, "rows")
	if a.end(); a.err != nil {
		return
	}
	w, err1 := json.Marshal(want)
	g, err2 := json.Marshal(p.rows())
	if want == nil {
		w = []byte("[]")
	}
	if err1 != nil || err2 != nil || string(w) != string(g) {
		p.differ(string(w), string(g))
	}
}

// entry is a row of the connection table.
type entry struct {
	Proto, Client, Virtual, Server, State string
	Seconds                               int
}

func (e *entry) UnmarshalJSON(b []byte) error {
	var f []json.RawMessage
	if err := json.Unmarshal(b, &f); err != nil || len(f) != 6 {
		return fmt.Errorf("%w: an entry has six fields", ErrBadEvent)
	}
	for i, s := range [...]*string{&e.Proto, &e.Client, &e.Virtual, &e.Server, &e.State} {
		if err := json.Unmarshal(f[i], s); err != nil {
			return err
		}
	}
	return json.Unmarshal(f[5], &e.Seconds)
}

func (e *entry) what() string {
	return e.Proto + " " + e.Client + " " + e.Virtual + " " + e.Server + " " + e.State
}

func (e *entry) String() string { return e.what() + " " + strconv.Itoa(e.Seconds) }

// entries compares the connection table. The order of the kernel's buckets is random, seconds may be off by one, and an entry
// in its last instant may or may not be there any more.
func (p *player) entries(a *args) {
	var want []entry
	a.next(&want, "entries")
	if a.end(); a.err != nil {
		return
	}
	var got []entry
	for _, c := range p.table.Conns() {
		got = append(got, entry{protoName(c.Proto), c.Client.String(), c.Virtual.String(), c.Server.String(), c.StateName(),
			int(c.Left(p.now) / time.Second)})
	}
	byText := func(a, b entry) int {
		switch x, y := a.what(), b.what(); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return a.Seconds - b.Seconds
	}
	slices.SortFunc(want, byText)
	slices.SortFunc(got, byText)
	i, j := 0, 0
	for i < len(want) || j < len(got) {
		switch {
		case i < len(want) && j < len(got) && want[i].what() == got[j].what():
			if d := want[i].Seconds - got[j].Seconds; d < -1 || d > 1 {
				p.differ(want[i].String(), got[j].String())
				return
			}
			i, j = i+1, j+1
		case j == len(got) || i < len(want) && byText(want[i], got[j]) < 0:
			if want[i].Seconds > 0 {
				p.differ(want[i].String(), "no such entry")
				return
			}
			i++
		default:
			if got[j].Seconds > 0 {
				p.differ("no such entry", got[j].String())
				return
			}
			j++
		}
	}
}

func protoName(p packet.Protocol) string {
	switch p {
	case packet.TCP:
		return "TCP"
	case packet.UDP:
		return "UDP"
	case packet.SCTP:
		return "SCTP"
	}
	return "IP"
}

// counts sends further datagrams of the latest socket and compares how many each server got.
func (p *player) counts(a *args) {
	n := a.integer("number of datagrams")
	var want map[string]int
	a.next(&want, "counts")
	if a.end(); a.err != nil {
		return
	}
	if p.sent += max(n, 0); p.last == nil || n < 0 || p.sent > maxEvents {
		a.err = fmt.Errorf("%w: counts without a socket, or of too many datagrams", ErrBadEvent)
		return
	}
	if p.service.Scheduler == "twos" && p.service.OnePacket {
		p.random.frequencies(n, want)
		return
	}
	got := map[string]int{}
	for range n {
		if s, _ := p.request(p.last, packet.UDP, 0); s.IsValid() {
			got[s.String()]++
		}
	}
	for _, k := range sorted(want) {
		if want[k] != 0 && got[k] != want[k] {
			p.differ(fmt.Sprintf("%s %d", k, want[k]), fmt.Sprintf("%s %d", k, got[k]))
			return
		}
		delete(got, k)
	}
	for _, k := range sorted(got) {
		p.differ(k+" 0", fmt.Sprintf("%s %d", k, got[k]))
		return
	}
}
