package scenario

import (
	"fmt"
	"strings"
)

// Pos is a place in a file; lines and columns count from 1.
type Pos struct{ Line, Column int }

// Error says what is wrong with a scenario, and where.
type Error struct {
	File    string
	Pos     Pos    // zero when the error is of the whole file
	Text    string // the line, for the caret
	Problem string // one sentence
	Hint    string // what would be right, "" when unknown
}

// Error is file:line:col, the problem and its hint, then the line with a caret below the place.
func (e *Error) Error() string {
	b := e.File
	if e.Pos.Line > 0 {
		b += fmt.Sprintf(":%d:%d", e.Pos.Line, e.Pos.Column)
	}
	b += ": " + e.Problem
	if e.Hint != "" {
		b += ": " + e.Hint
	}
	if e.Text == "" {
		return b
	}
	return b + "\n  " + cut(e.Text) + "\n  " + indent(e.Text, e.Pos.Column) + "^"
}

// cut bounds a line that is shown; a scenario's own lines are far shorter.
func cut(line string) string {
	const most = 160
	if r := []rune(line); len(r) > most {
		return string(r[:most]) + "…"
	}
	return line
}

// indent repeats the white space of a line and replaces all else up to a column by blanks.
func indent(line string, column int) string {
	var b strings.Builder
	for i, r := range []rune(line) {
		if i >= column-1 || i >= 160 {
			break
		}
		if r != '\t' {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Errorf is an error about a place in the scenario, found when it was given meaning.
func (s *Scenario) Errorf(p Pos, format string, args ...any) error {
	e := &Error{File: s.File, Pos: p, Problem: fmt.Sprintf(format, args...)}
	if p.Line > 0 && p.Line <= len(s.lines) {
		e.Text = strings.TrimRight(s.lines[p.Line-1], "\r")
	}
	return e
}
