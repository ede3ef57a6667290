package run

import (
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/svclab/svclab/sim/spelling"
	"github.com/svclab/svclab/sim/traffic"
)

// Only selects part of a scenario's traffic; its connections keep their numbers, sources and draws. The zero value selects all.
type Only struct {
	Traffic     string
	First, Last int64 // connections of the traffic, from 0; Last -1 for all from First on
}

// ParseOnly reads "TRAFFIC", "TRAFFIC:ID" or "TRAFFIC:FIRST-LAST".
func ParseOnly(s string) (Only, error) {
	o := Only{Traffic: s, Last: -1}
	name, ids, ok := strings.Cut(s, ":")
	if !ok {
		return o, nil
	}
	from, to, isRange := strings.Cut(ids, "-")
	if !isRange {
		to = from
	}
	first, err1 := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	if err1 != nil || err2 != nil || first < 0 || last < first {
		return o, &InputError{What: "--only", Text: s, Why: "is not TRAFFIC, TRAFFIC:ID or TRAFFIC:FIRST-LAST"}
	}
	return Only{name, first, last}, nil
}

// String writes what ParseOnly reads.
func (o Only) String() string {
	switch {
	case o.Last < 0 && o.First == 0:
		return o.Traffic
	case o.First == o.Last:
		return fmt.Sprintf("%s:%d", o.Traffic, o.First)
	}
	return fmt.Sprintf("%s:%d-%d", o.Traffic, o.First, o.Last)
}

// check finds a traffic that does not exist.
func (o Only) check(groups []traffic.Group) error {
	if o.Traffic == "" {
		return nil
	}
	var names []string
	for _, g := range groups {
		if g.Name == o.Traffic {
			return nil
		}
		names = append(names, g.Name)
	}
	return &UnknownError{What: "traffic", Name: o.Traffic, Nearest: spelling.Nearest(o.Traffic, names)}
}

func (o Only) takes(g *traffic.Group, id int64) bool {
	return o.Traffic == "" || o.Traffic == g.Name && id >= o.First && (o.Last < 0 || id <= o.Last)
}

// count is the number of connections of a group that are selected.
func (o Only) count(g *traffic.Group) int64 {
	n := int64(g.Connections)
	switch {
	case o.Traffic == "":
		return n
	case o.Traffic != g.Name:
		return 0
	case o.Last >= 0:
		n = min(n, o.Last+1)
	}
	return max(n-o.First, 0)
}

// of drops the flows that are not selected.
func (o Only) of(groups []traffic.Group, flows iter.Seq[traffic.Flow]) iter.Seq[traffic.Flow] {
	if o.Traffic == "" {
		return flows
	}
	return func(yield func(traffic.Flow) bool) {
		for f := range flows {
			if o.takes(&groups[f.Group], f.ID) && !yield(f) {
				return
			}
		}
	}
}
