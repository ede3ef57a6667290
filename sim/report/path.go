package report

import (
	"fmt"
	"io"
)

// Path is the way of one connection from a name to the endpoint that answered it.
type Path struct {
	Traffic    string     `json:"traffic"`
	Connection int64      `json:"connection"` // number within the traffic
	Name       string     `json:"name"`
	Client     string     `json:"client"`
	ResolvConf []string   `json:"resolvConf"`
	Queries    []Query    `json:"queries"`
	Endpoint   string     `json:"endpoint,omitempty"` // "" when nobody answered
	Steps      []PathStep `json:"steps"`
}

// Query is one question to a name server and what it answered.
type Query struct {
	Name      string   `json:"name"`
	Type      string   `json:"type"`
	Rcode     string   `json:"rcode"` // "" when no answer came
	Answers   []string `json:"answers"`
	Transport string   `json:"transport,omitempty"` // "tcp"; UDP otherwise
	AtSeconds Number   `json:"atSeconds,omitempty"` // since the lookup began
}

// PathStep is something on the way.
type PathStep struct {
	At    string   `json:"at"` // since the run began
	What  string   `json:"what"`
	Node  string   `json:"node,omitempty"`  // whose rules the packet met
	Rules []string `json:"rules,omitempty"` // those that decided about it, each with its hook
}

// writeText prints the path for a reader.
func (p *Path) writeText(w io.Writer) {
	fmt.Fprintf(w, "\n%s, connection %d: %s, looked up by %s\n", p.Traffic, p.Connection, p.Name, p.Client)
	for _, l := range p.ResolvConf {
		fmt.Fprintf(w, "  %s\n", l)
	}
	for _, q := range p.Queries {
		what := q.Rcode
		switch {
		case q.Rcode == "":
			what = "no answer"
		case q.Rcode == "NOERROR" && len(q.Answers) == 0:
			what = "NODATA"
		}
		for i, a := range q.Answers {
			if i > 0 {
				what += ","
			}
			what += " " + a
		}
		if q.Transport != "" {
			what += " over TCP"
		}
		fmt.Fprintf(w, "  %g s  %s %s: %s\n", float64(q.AtSeconds), q.Name, q.Type, what)
	}
	for _, s := range p.Steps {
		fmt.Fprintf(w, "  %s  %s", s.At, s.What)
		if s.Node != "" {
			fmt.Fprintf(w, ", by way of %s", s.Node)
		}
		fmt.Fprintln(w)
		for _, r := range s.Rules {
			fmt.Fprintf(w, "        %s\n", r)
		}
	}
}
