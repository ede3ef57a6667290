package nftables_test

import (
	"errors"
	"testing"

	"github.com/svclab/svclab/datapath/nftables"
)

// Whatever the text: an error with a position, or a ruleset whose print is read again and printed alike, in both dialects.
func FuzzReadDump(f *testing.F) {
	for _, seed := range []string{
		listed,     // sets of every kind, elements several to a line, times
		normalised, // the same, one element to a line
		base,       // commands
		"table ip t { # handle 1\n\tchain c { # handle 2\n\t\taccept # handle 3\n\t}\n}\n",                   // nft -a
		"add table ip t\nadd chain ip t c\nadd rule ip t c tcp dport vmap {80:accept,81:drop}\n",             // colons without blanks
		"add table ip6 t\nadd chain ip6 t c\nadd rule ip6 t c dnat to [fd00::1]:80\n",                        // brackets
		"add table ip6 t\nadd set ip6 t s { type ipv6_addr ; elements = { ::1, fd00::2 } ; }\n",              // colons of addresses
		"add table ip t\nadd chain ip t c\nadd rule ip t c ip saddr != { 10.0.0.0/9 , 10.128.0.0/9 } drop\n", // ranges that join
		"add table ip t\nadd chain ip t c\nadd rule ip t c mark and 0x80000000 != 0 drop\n",                  // leading bits
		"add table ip t\nadd chain ip t c\nadd rule ip t c dnat ip addr . port to numgen random mod 2 map { 0 : 10.0.0.1 . 80 , 1 : 10.0.0.2 . 80 }\n",
		"table inet t {\n\tchain c {\n\t\tmeta nfproto ipv4 reject with icmpx admin-prohibited\n\t\tdnat ip6 to fd00::1\n\t}\n}\n", // both families
		"table ip t {\n\tset s {\n\t\ttypeof ip saddr . tcp dport\n\t}\n\tmap m {\n\t\ttypeof ip saddr : meta mark\n\t}\n}\n",      // typeof
		"add table ip t ; add chain ip t c ; add rule ip t c \\\n drop\n",                                                          // one line, and one that goes on
		"table ip t {\n....\n",                                             // cut short
		"add rule ip t c drop comment \"x",                                 // a quotation that never ends
		"#!/usr/sbin/nft -f\nflush ruleset\n\n# a remark\ntable ip t {}\n", // a script
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := nftables.ReadDump("f", []byte(text))
		if err != nil {
			var at *nftables.PositionError
			if !errors.As(err, &at) || at.Line < 1 {
				t.Fatalf("no position: %v", err)
			}
			return
		}
		for _, dialect := range []nftables.Dialect{nftables.Native, nftables.List} {
			first := d.Ruleset.Print(dialect, false)
			if dialect == nftables.Native && d.Dialect == nftables.List {
				continue // a fragment of a listing may lead to what it does not show
			}
			again, err := nftables.ReadDump("again", []byte(first))
			if err != nil {
				t.Fatalf("%v in\n%s", err, first)
			}
			if second := again.Ruleset.Print(dialect, false); second != first {
				t.Fatalf("printed\n%s\nread and printed\n%s", first, second)
			}
		}
	})
}
