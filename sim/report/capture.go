package report

import (
	"fmt"
	"io"
	"strings"
)

// Captured is what a node did with the packets of a capture.
type Captured struct {
	SchemaVersion string    `json:"schemaVersion"`
	Kind          string    `json:"kind"` // "Capture"
	Packets       []Passed  `json:"packets"`
	Walked        int       `json:"walked"`
	Skipped       []Skipped `json:"skipped"`       // packets that were not walked, by why
	Cut           string    `json:"cut,omitempty"` // where and why the file stopped making sense
}

// Passed is one packet of a capture on its way through the node.
type Passed struct {
	Packet     int       `json:"packet"` // its number in the file, from 1
	At         string    `json:"at"`     // seconds since the first packet
	In         string    `json:"in,omitempty"`
	Proto      string    `json:"proto"`
	What       string    `json:"what,omitempty"` // TCP's flags, the type of an ICMP message or an SCTP chunk
	Src        string    `json:"src"`
	Dst        string    `json:"dst"`
	Bytes      uint32    `json:"bytes"`
	Conntrack  string    `json:"conntrack,omitempty"` // its state: NEW, ESTABLISHED, RELATED, INVALID, …
	Verdict    string    `json:"verdict"`
	Rewritten  Addresses `json:"rewritten"`
	Masquerade bool      `json:"masquerade"`
	Out        string    `json:"out,omitempty"`
	RejectWith string    `json:"rejectWith,omitempty"`
	Reason     string    `json:"reason,omitempty"`
	Rule       string    `json:"rule,omitempty"` // the last one that translated, dropped or rejected it
}

// Skipped counts packets that were not walked for one reason.
type Skipped struct {
	Why   string `json:"why"`
	Count int    `json:"count"`
	First int    `json:"first"` // number of the first such packet
}

// Line is the packet's walk on one line: when and where it came, what it was, what became of it, and by which rule.
func (p *Passed) Line(s Style) string {
	arrow := s.sign("→", "->")
	in := p.In
	if in == "" {
		in = "-"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%6d  %s  %-6s  %s %s %s %s", p.Packet, p.At, in, p.Proto, p.Src, arrow, p.Dst)
	for _, text := range []string{p.What, p.Conntrack} {
		if text != "" {
			b.WriteString("  " + text)
		}
	}
	switch p.Verdict {
	case "drop":
		b.WriteString("  " + s.Bad(s.sign("✗ ", "!! ")+"drop"))
		if p.Reason != "" {
			b.WriteString("  " + p.Reason)
		}
	case "reject":
		b.WriteString("  " + s.Bad(s.sign("✗ ", "!! ")+"reject") + "  with " + p.RejectWith)
	default:
		b.WriteString("  " + s.Good(s.sign("✓ ", "ok ")+p.Verdict))
		if p.Rewritten.Src != p.Src || p.Rewritten.Dst != p.Dst {
			fmt.Fprintf(&b, "  %s %s %s", p.Rewritten.Src, arrow, p.Rewritten.Dst)
		}
		if p.Out != "" {
			b.WriteString(" by " + p.Out)
		}
	}
	if p.Rule != "" {
		b.WriteString("  " + s.Faint(p.Rule))
	}
	return b.String()
}

// WriteEnding prints what is to be said when all packets went by.
func (c *Captured) WriteEnding(w io.Writer, s Style) error {
	_, err := fmt.Fprintf(w, "\n%d packets walked\n", c.Walked)
	for _, k := range c.Skipped {
		if err == nil {
			_, err = fmt.Fprintf(w, "%s %d not walked, the first is number %d: %s\n", s.Warn("!"), k.Count, k.First, k.Why)
		}
	}
	return err
}
