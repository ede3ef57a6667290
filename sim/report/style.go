package report

import (
	"strings"
	"unicode/utf8"
)

// Style is how text may look. The zero value is plain text with signs beyond ASCII.
type Style struct {
	Color bool // escape sequences; colour never carries meaning alone
	ASCII bool // no signs beyond ASCII
}

func (s Style) paint(code, text string) string {
	if !s.Color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Bold, Faint, Good, Bad and Warn colour a text.
func (s Style) Bold(text string) string { return s.paint("1", text) }

// Faint is for what may be skipped.
func (s Style) Faint(text string) string { return s.paint("2", text) }

// Good is for what holds.
func (s Style) Good(text string) string { return s.paint("32", text) }

// Bad is for what does not hold.
func (s Style) Bad(text string) string { return s.paint("31", text) }

// Warn is for what is open.
func (s Style) Warn(text string) string { return s.paint("33", text) }

// Sign chooses between a sign and its ASCII spelling.
func (s Style) Sign(sign, ascii string) string { return s.sign(sign, ascii) }

func (s Style) sign(sign, ascii string) string {
	if s.ASCII {
		return ascii
	}
	return sign
}

// verdict is a verdict's sign and word, in its colour.
func (s Style) verdict(v string) string {
	switch v {
	case Pass:
		return s.Good(s.sign("✓ ", "ok ") + v)
	case Fail:
		return s.Bad(s.sign("✗ ", "!! ") + v)
	}
	return s.Warn("? " + v)
}

// row is one line of a table.
type row struct {
	cells []string
	color func(string) string // of the whole line, nil for none
}

// table lays cells out in columns, two blanks apart. Columns named in right are aligned to the right. The last cell of a
// row is never padded.
type table struct {
	rows  []row
	right map[int]bool
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, row{cells: cells}) }
func (t *table) paint(color func(string) string, cells ...string) {
	t.rows = append(t.rows, row{cells, color})
}

func (t *table) write(b *strings.Builder, indent string) {
	var width []int
	for _, r := range t.rows {
		for i, c := range r.cells {
			if i == len(width) {
				width = append(width, 0)
			}
			if i == len(r.cells)-1 && !t.right[i] {
				continue // may reach into the columns that its row has not
			}
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	for _, r := range t.rows {
		line := ""
		for i, c := range r.cells {
			pad := strings.Repeat(" ", max(0, width[i]-utf8.RuneCountInString(c)))
			switch {
			case t.right[i]:
				line += pad + c
			case i == len(r.cells)-1:
				line += c
			default:
				line += c + pad
			}
			if i < len(r.cells)-1 {
				line += "  "
			}
		}
		line = strings.TrimRight(line, " ")
		if r.color != nil {
			line = r.color(line)
		}
		b.WriteString(indent + line + "\n")
	}
}
