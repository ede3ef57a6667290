package kernel

import "strings"

// chunkRules is how many chains and rules of the nft variant go into one transaction without privilege: the netlink batch
// must fit the socket's send buffer, which only the host's root may grow ("Message too long").
const chunkRules = 150

// piece is one standard input of iptables-restore. The first of a table is loaded as the whole would be, the others with
// --noflush.
type piece struct {
	text  string
	first bool
}

// chunk splits the standard input of iptables-restore into pieces that together do the same, each of one table and with at
// most n lines of chains and rules. One transaction becomes several: packets may meet a table half loaded.
func chunk(text string, n int) []piece {
	var out []piece
	var b strings.Builder
	table, lines, first := "", 0, false
	begin := func(isFirst bool) {
		b.Reset()
		b.WriteString(table + "\n")
		lines, first = 0, isFirst
	}
	for _, l := range strings.Split(text, "\n") {
		t := strings.TrimSpace(l)
		switch {
		case t == "" || t[0] == '#':
		case t[0] == '*':
			table = t
			begin(true)
		case t == "COMMIT":
			if lines > 0 || first {
				out = append(out, piece{b.String() + "COMMIT\n", first})
			}
			lines, first = 0, false
		default:
			if lines == n {
				out = append(out, piece{b.String() + "COMMIT\n", first})
				begin(false)
			}
			b.WriteString(l + "\n")
			lines++
		}
	}
	if lines > 0 {
		out = append(out, piece{b.String(), first}) // an original without its COMMIT stays without
	}
	return out
}

// countLines counts the chains and rules of a restore text.
func countLines(text string) int {
	n := 0
	for _, l := range strings.Split(text, "\n") {
		if t := strings.TrimSpace(l); t != "" && t[0] != '#' && t[0] != '*' && t != "COMMIT" {
			n++
		}
	}
	return n
}
