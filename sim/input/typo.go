package input

import "strings"

// closest finds the name that a mistyped one most probably means: equal but for case, or at most two edits away.
func closest(s string, names []string) string {
	best, bestAt := "", 3
	for _, n := range names {
		if strings.EqualFold(n, s) {
			return n
		}
		if d := len(n) - len(s); d > 2 || d < -2 || len(s) < 4 || len(s) > 64 {
			continue
		}
		if d := edits(s, n); d < bestAt {
			best, bestAt = n, d
		}
	}
	return best
}

// edits is the Levenshtein distance of two short words.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost++
			}
			diag = row[j+1]
			row[j+1] = min(cost, row[j]+1, diag+1)
		}
	}
	return row[len(b)]
}
