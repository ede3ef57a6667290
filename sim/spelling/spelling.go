// Package spelling guesses which name a mistyped one was meant to be, for errors that say so.
package spelling

import (
	"cmp"
	"slices"
	"strings"
)

// longest is the length in bytes beyond which a name is not guessed at.
const longest = 200

// Nearest returns up to three of the names that lie nearest to one that does not exist, best first: those within half its
// length in edits.
func Nearest(name string, names []string) []string {
	type near struct {
		name  string
		edits int
	}
	if len(name) > longest {
		return nil
	}
	var list []near
	for _, n := range names {
		if d := edits(name, n); d <= max(2, len(name)/2) {
			list = append(list, near{n, d})
		}
	}
	slices.SortFunc(list, func(a, b near) int {
		return cmp.Or(cmp.Compare(a.edits, b.edits), cmp.Compare(a.name, b.name))
	})
	var best []string
	for _, n := range list[:min(3, len(list))] {
		best = append(best, n.name)
	}
	return best
}

// Meant returns the name that a mistyped one most probably means, or "": equal but for case, or, for names of four letters
// and more, at most two edits away. It is stricter than Nearest, for input that may hold names nobody here knows.
func Meant(name string, names []string) string {
	best, bestAt := "", 3
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return n
		}
		if d := len(n) - len(name); d > 2 || d < -2 || len(name) < 4 || len(name) > longest {
			continue
		}
		if d := edits(name, n); d < bestAt {
			best, bestAt = n, d
		}
	}
	return best
}

// edits is the Levenshtein distance in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
