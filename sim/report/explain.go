package report

import (
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Explanation is every path of a Service with its exact shares.
type Explanation struct {
	SchemaVersion   string   `json:"schemaVersion"`
	Kind            string   `json:"kind"` // "Explanation"
	Service         string   `json:"service"`
	Mode            string   `json:"mode"`
	Uniform         bool     `json:"uniform"`
	MaxDeviation    string   `json:"maxDeviation"`
	SamplesToNotice *Number  `json:"samplesToNotice,omitempty"`
	Backends        []Target `json:"backends"`
	Paths           []Way    `json:"paths"`

	NextPick *NextPick `json:"nextPick,omitempty"` // of an IPVS scheduler that draws nothing
	LongRun  *LongRun  `json:"longRun,omitempty"`  // over one period of it; Uniform and MaxDeviation are then of these shares

	Notes []string `json:"-"` // for the reader of the text
}

// NextPick is the server that a new connection is given now.
type NextPick struct {
	Scheduler string `json:"scheduler"`
	Endpoint  string `json:"endpoint,omitempty"` // absent where no server is usable
	Reason    string `json:"reason"`
}

// LongRun is how new connections are shared over one period of a scheduler.
type LongRun struct {
	Of       string   `json:"of"` // what the period counts
	Picks    uint64   `json:"picks"`
	Refused  uint64   `json:"refused,omitempty"`
	Backends []Target `json:"backends"`
}

// Target is an endpoint with its exact share.
type Target struct {
	Endpoint    string  `json:"endpoint"`
	Probability string  `json:"probability"`
	Decimal     Decimal `json:"decimal"`
	RulesPassed int     `json:"rulesPassed"` // rules tried by the first packet, all tables and hooks
	Masquerade  bool    `json:"masquerade,omitempty"`
	Exact       *bool   `json:"exact,omitempty"` // false when the probability is rounded
}

// Way is one front end as one class of source sees it.
type Way struct {
	To         string   `json:"to"`
	From       string   `json:"from"`
	Verdict    string   `json:"verdict"`
	Masquerade bool     `json:"masquerade"`
	RejectWith string   `json:"rejectWith,omitempty"`
	Backends   []Target `json:"backends"`
	Kind       string   `json:"-"` // what the front end is: "cluster IP", "node port", …
}

// WriteText prints the explanation as tables.
func (e *Explanation) WriteText(w io.Writer, s Style) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n\n", s.Bold(e.Service), e.Mode)
	t := &table{right: map[int]bool{3: true}}
	t.paint(s.Bold, "ENDPOINT", "SHARE", "EXACTLY", "RULES TRIED")
	for _, k := range e.Backends {
		t.add(k.Endpoint, k.Decimal.percent(), exactly(k.Probability), strconv.Itoa(k.RulesPassed))
	}
	if len(e.Backends) > 0 {
		t.write(&b, "")
	} else {
		b.WriteString("no endpoint takes a new connection to the cluster IP\n")
	}
	b.WriteByte('\n')
	switch {
	case e.LongRun != nil || e.NextPick != nil:
		e.scheduled(&b, s)
	case len(e.Backends) == 0:
	case e.SamplesToNotice == nil:
		fmt.Fprintf(&b, "%s: every share is 1/%d exactly\n", s.Good(s.sign("✓ ", "ok ")+"uniform"), len(e.Backends))
	case e.Uniform:
		fmt.Fprintf(&b, "%s: off by at most %s; some %s connections would show it\n", s.Good(s.sign("✓ ", "ok ")+"uniform"), exactly(e.MaxDeviation), e.SamplesToNotice.short())
	default:
		fmt.Fprintf(&b, "%s: off by up to %s; some %s connections show it\n", s.Bad(s.sign("✗ ", "!! ")+"not uniform"), exactly(e.MaxDeviation), e.SamplesToNotice.short())
	}
	for _, n := range e.Notes {
		fmt.Fprintf(&b, "%s\n", n)
	}
	if len(e.Paths) > 0 {
		b.WriteByte('\n')
		e.ways(s).write(&b, "")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// scheduled prints what a scheduler does next, and in the long run.
func (e *Explanation) scheduled(b *strings.Builder, s Style) {
	if n := e.NextPick; n != nil {
		to := n.Endpoint
		if to == "" {
			to = "nobody"
		}
		fmt.Fprintf(b, "The next connection goes to %s: %s, %s.\n", s.Bold(to), n.Scheduler, n.Reason)
	}
	l := e.LongRun
	if l == nil {
		return
	}
	fmt.Fprintf(b, "In the long run, over a period of %d (%s):\n\n", l.Picks, l.Of)
	t := &table{}
	t.paint(s.Bold, "ENDPOINT", "SHARE", "EXACTLY")
	for _, k := range l.Backends {
		t.add(k.Endpoint, k.Decimal.percent(), exactly(k.Probability))
	}
	t.write(b, "")
	b.WriteByte('\n')
	if e.Uniform {
		fmt.Fprintf(b, "%s: every share is 1/%d exactly\n", s.Good(s.sign("✓ ", "ok ")+"uniform"), len(l.Backends))
		return
	}
	fmt.Fprintf(b, "%s: off by up to %s\n", s.Bad(s.sign("✗ ", "!! ")+"not uniform"), exactly(e.MaxDeviation))
}

func (e *Explanation) ways(s Style) *table {
	t := &table{}
	t.paint(s.Bold, "FRONT END", "", "FROM", "BECOMES", "SOURCE", "ENDPOINTS")
	last := ""
	for _, p := range e.Paths {
		to, kind := p.To, p.Kind
		if to == last {
			to, kind = "", ""
		}
		last = p.To
		source := "kept"
		switch {
		case p.Masquerade:
			source = "masqueraded"
		case p.Verdict == "drop" || p.Verdict == "reject":
			source = ""
		}
		verdict := p.Verdict
		if p.RejectWith != "" {
			verdict += " " + p.RejectWith
		}
		t.add(to, kind, p.From, verdict, source, summary(p.Backends))
	}
	return t
}

// summary names a few endpoints, or counts many.
func summary(list []Target) string {
	switch {
	case len(list) == 0:
		return ""
	case len(list) > 4:
		return fmt.Sprintf("%d endpoints, %s to %s", len(list), list[0].Endpoint, list[len(list)-1].Endpoint)
	}
	var b []string
	for _, k := range list {
		b = append(b, k.Endpoint+" "+k.Decimal.percent())
	}
	return strings.Join(b, ", ")
}

// short prints two significant digits.
func (n Number) short() string {
	if n >= 1e6 || n < 1 {
		return strconv.FormatFloat(float64(n), 'g', 2, 64)
	}
	return strconv.FormatInt(int64(math.Ceil(float64(n))), 10)
}

// exactly is a probability as far as a line has room for it.
func exactly(probability string) string {
	const room = 64
	if len(probability) <= room {
		return probability
	}
	r, ok := new(big.Rat).SetString(probability)
	if !ok {
		return ""
	}
	return r.FloatString(20) + "…"
}

func percentOf(r *big.Rat) string {
	if r == nil {
		return ""
	}
	return new(big.Rat).Mul(r, big.NewRat(100, 1)).FloatString(2) + " %"
}

// percent reads a probability as printed and shows it in hundredths.
func percent(probability string) string {
	r, ok := new(big.Rat).SetString(probability)
	if !ok {
		return ""
	}
	return percentOf(r)
}
