package nftables_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/svclab/svclab/datapath/nftables"
)

const base = `add table ip t
add chain ip t a
add chain ip t b
add chain ip t in { type filter hook input priority 0 ; }
add map ip t m { type inet_service : verdict ; }
add set ip t s { type ipv4_addr ; }
add set ip t st { type ipv4_addr ; timeout 60s ; flags dynamic,timeout ; }
add counter ip t k
`

// What nft 1.0.6 on Linux 6.18 says to each transaction on the tables above: "" where it takes it.
func TestTransactions(t *testing.T) {
	for _, c := range []struct{ commands, want string }{
		{"delete chain ip t zz", "No such file or directory"},
		{"delete table ip zz", "No such file or directory"},
		{"add rule ip t a jump zz", "No such file or directory"},
		{"add rule ip t a ip saddr @zz drop", "No such file or directory"},
		{"add rule ip t zz accept", "No such file or directory"},
		{"add chain ip zz a", "No such file or directory"},
		{"flush chain ip t zz", "No such file or directory"},
		{"flush set ip t zz", "No such file or directory"},
		{"flush set ip t m", "No such file or directory"},
		{"flush map ip t m", ""},
		{"delete element ip t m { 99 }", "No such file or directory"},
		{"add element ip t m { 80 : goto b };delete chain ip t b", "Device or resource busy"},
		{"add element ip t m { 80 : goto b };delete element ip t m { 80 };delete chain ip t b", ""},
		{"add element ip t m { 80 : goto b };flush map ip t m;delete chain ip t b", ""},
		{"add element ip t m { 80 : goto b };delete map ip t m;delete chain ip t b", ""},
		{"add element ip t m { 80 : goto b };add element ip t m { 80 : drop }", "File exists"},
		{"add element ip t m { 81 : goto b };add element ip t m { 81 : goto b }", ""},
		{"add element ip t m { 81 : goto b };delete element ip t m { 81 : drop }", ""},
		{"add rule ip t a ip saddr @s drop;delete set ip t s", "Device or resource busy"},
		{"add rule ip t a ip saddr @s drop;flush chain ip t a;delete set ip t s", ""},
		{"add rule ip t a update @st { ip saddr };delete set ip t st", "Device or resource busy"},
		{"add rule ip t a goto b;delete chain ip t b", "Device or resource busy"},
		{"add rule ip t a goto b;delete chain ip t a;delete chain ip t b", ""},
		{"add rule ip t a numgen random mod 2 vmap { 0 : goto b , 1 : drop };delete chain ip t b", "Device or resource busy"},
		{`add rule ip t a counter name "k";delete counter ip t k`, "Device or resource busy"},
		{"delete counter ip t k", ""},
		{"create set ip t s { type ipv4_addr ; }", "File exists"},
		{"add set ip t s { type ipv6_addr ; }", "File exists"},
		{"add map ip t s { type ipv4_addr : verdict ; }", "File exists"},
		{"add set ip t st { type ipv4_addr ; }", "File exists"},
		{"add set ip t st { type ipv4_addr ; timeout 90s ; flags dynamic,timeout ; }", ""},
		{"add chain ip t a { type filter hook input priority 0 ; }", "File exists"},
		{"add chain ip t in", ""},
		{"add chain ip t in { type filter hook input priority 5 ; }", "Operation not supported"},
		{"add chain ip t in { type filter hook input priority 0 ; policy drop ; }", ""},
		{"add set ip t s { type ipv4_addr ; size 5 ; }", ""},
		{"create chain ip t a", "File exists"},
		{"create table ip t", "File exists"},
		{"add element ip t s { 10.0.0.1, 10.0.0.1 }", ""},
		{"add element ip t s { 10.0.0.1 };create element ip t s { 10.0.0.1 }", "File exists"},
		{"add rule ip t a jump b;add rule ip t b jump a", ""}, // no hook leads there
		{"add rule ip t in jump a;add rule ip t a jump b;add rule ip t b jump a", "Too many links"},
		{"add rule ip t in jump a;add rule ip t a jump a", "Too many links"},
		{"add rule ip t in tcp dport vmap @m;add element ip t m { 1 : goto a };add rule ip t a tcp dport vmap @m", "Too many links"},
		{"add table ip t", ""},
		{"flush table ip t", ""},
		{"flush ruleset", ""},
		{"delete table ip t;add table ip t;add chain ip t a", ""},
		{"delete map ip t m;destroy map ip t m;destroy table ip zz;destroy chain ip t zz", ""},
		{"add rule ip t a drop;add rule ip t a accept;insert rule ip t a return;add rule ip t a index 1 continue", ""},
		{"add rule ip t a index 3 accept", "No such file or directory"},
	} {
		var rs nftables.Ruleset
		if err := rs.Run("base", base); err != nil {
			t.Fatal(err)
		}
		before := rs.Print(nftables.Native, false)
		old := rs.Clone()
		err := rs.Run("tx", strings.ReplaceAll(c.commands, ";", "\n")+"\n")
		if strings.Contains(c.commands, "{ type") {
			err = rs.Run("tx", c.commands+"\n")
		}
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.commands, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %s", c.commands, err, c.want)
		case err != nil && rs.Print(nftables.Native, false) != before:
			t.Errorf("%s: failed, and changed something", c.commands)
		case err != nil && !strings.HasPrefix(err.Error(), "tx:"):
			t.Errorf("%s: no position: %v", c.commands, err)
		}
		if old.Print(nftables.Native, false) != before {
			t.Errorf("%s: changed a copy", c.commands)
		}
	}
}

// What a transaction leaves.
func TestApplied(t *testing.T) {
	var rs nftables.Ruleset
	text := base + `add rule ip t a drop
add rule ip t a accept comment "two"
insert rule ip t a return
add rule ip t a index 0 continue
add element ip t s { 10.0.0.10, 10.0.0.9 comment "x" }
add element ip t m { 80 comment "y" : goto b, 22 : drop }
add set ip t st { type ipv4_addr ; timeout 90s ; flags dynamic,timeout ; }
add set ip t i { type ipv4_addr ; flags interval ; auto-merge ; elements = { 10.0.0.0/25, 10.0.0.128/25 } ; }
delete element ip t m { 22 }
`
	if err := rs.Run("x", text); err != nil {
		t.Fatal(err)
	}
	want := `add table ip t
add chain ip t a
add chain ip t b
add chain ip t in { type filter hook input priority 0 ; }
add set ip t i { type ipv4_addr ; flags interval ; auto-merge ; }
add set ip t s { type ipv4_addr ; }
add set ip t st { type ipv4_addr ; flags dynamic,timeout ; timeout 90s ; }
add map ip t m { type inet_service : verdict ; }
add counter ip t k
add rule ip t a return
add rule ip t a continue
add rule ip t a drop
add rule ip t a accept comment "two"
add element ip t i { 10.0.0.0/24 }
add element ip t m { 80 comment "y" : goto b }
add element ip t s { 10.0.0.10 }
add element ip t s { 10.0.0.9 comment "x" }
`
	same(t, "applied", rs.Print(nftables.Native, false), want)
	if e := rs.Table(nftables.IP, "t").Set("m").Element("80"); e == nil || e.Value() != "goto b" || e.KeyText() != "80" {
		t.Errorf("%+v", e)
	}
	if s := rs.Table(nftables.IP, "t").Set("s"); s.IsMap() || len(s.Elements()) != 2 || rs.Table(nftables.IP6, "t") != nil {
		t.Error("sets are not what they were declared")
	}
}

// Chains nest as deep as the kernel lets them, 15 jumps from a hook.
func TestDepth(t *testing.T) {
	for _, n := range []int{15, 16, 200} {
		var b strings.Builder
		b.WriteString("add table ip t\nadd chain ip t in { type filter hook input priority 0 ; }\n")
		name := func(i int) string { return "c" + strings.Repeat("x", i) }
		for i := range n {
			b.WriteString("add chain ip t " + name(i) + "\n")
		}
		b.WriteString("add rule ip t in jump " + name(0) + "\n")
		for i := range n - 1 {
			b.WriteString("add rule ip t " + name(i) + " jump " + name(i+1) + "\n")
		}
		var rs nftables.Ruleset
		err := rs.Run("x", b.String())
		var loop *nftables.LoopError
		if (err == nil) != (n <= 15) || err != nil && (!errors.As(err, &loop) || loop.Circle) {
			t.Errorf("%d: %v", n, err)
		}
	}
}

// Bad text gets an error that names line and fault.
func TestBadText(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"frobnicate", `f:1: unexpected "frobnicate", want a command`},
		{"add", "f:1: unexpected end, want what to add"},
		{"add frob ip t", `f:1: unexpected "frob", want table, chain`},
		{"\n\nadd table", "f:3: unexpected end, want the name of a table"},
		{"add rule ip t a", "f:1: unexpected end, want a statement"},
		{"add rule ip t a frobnicate", `f:1: unexpected "frobnicate", want a statement`},
		{"add rule ip t a accept accept", "what follows a verdict has no effect"},
		{"add rule ip t a goto b accept", "what follows a verdict has no effect"},
		{"add rule ip t a tcp dport 99999 drop", `f:1: "99999" is no inet_service`},
		{"add rule ip t a ip saddr 10.0.0.999 drop", `f:1: "10.0.0.999" is no ipv4_addr`},
		{"add rule ip t a ip saddr fd00::1 drop", `"fd00::1" is no ipv4_addr`},
		{"add rule ip t a ip saddr 10.0.0.0/33 drop", `"10.0.0.0/33" is no ipv4_addr`},
		{"add rule ip t a ip saddr 10.0.0.9-10.0.0.1 drop", "is no ipv4_addr"},
		{"add rule ip t a numgen random mod 0 vmap { 0 : drop }", "a number from 1"},
		{"add rule ip t a numgen random mod 2 vmap { 0 : goto b , 0 : drop }", "File exists"},
		{"add rule ip t a numgen random mod 2 vmap { 0 , 1 }", "want a value for each key"},
		{"add rule ip t a ip saddr { }", "want an element"},
		{"add rule ip t a ip saddr { 10.0.0.1", "f:1: unexpected end"},
		{"add rule ip t a ip saddr . tcp dport 1.2.3.4 . 80 drop", "concatenations are not compared"},
		{"add rule ip t a tcp flags syn drop", `"tcp flags" is not modelled`},
		{`add rule ip t a xt target "DNAT"`, `"xt target" is not modelled`},
		{"add rule ip t a meta ibrname x drop", `"meta ibrname" is not modelled`},
		{"add rule ip t a queue num 1", `"queue" is not modelled`},
		{"add rule ip t a dnat to 10.0.0.1:", "want a port"},
		{"add rule ip t a dnat 10.0.0.1", "want to"},
		{"add rule ip6 t a dnat to []", "an address in brackets"},
		{"add rule ip6 t a dnat to [fd00::1]:", "want a port"},
		{"add rule ip6 t a dnat to [10.0.0.1]:80", "is no ipv6_addr"},
		{`add rule ip t a drop comment "x`, "closing quotation mark"},
		{`add rule ip t a drop comment x`, "a comment in quotation marks"},
		{"add rule ip t a meta mark 0x100000000 drop", "is no mark"},
		{"add rule ip t a update @s { ip saddr limit rate 1/second }", `with limit" is not modelled`},
		{"add set ip t s { type ipv4 ; }", `"type ipv4" is not modelled`},
		{"add set ip t s { flags dynamic ; }", "want a type"},
		{"add set ip t s { type ipv4_addr ; flags odd ; }", `unexpected "odd"`},
		{"add set ip t s { type ipv4_addr ; timeout soon ; }", "a time such as"},
		{"add map ip t s { type ipv4_addr ; }", `want ":"`},
		{"add chain ip t c { type filter hook nowhere priority 0 ; }", `unexpected "nowhere", want a hook`},
		{"add chain ip t c { type odd hook input priority 0 ; }", "want filter, nat or route"},
		{"add chain ip t c { type filter hook input priority high ; }", "want a priority"},
		{"add chain ip t c { type filter hook input priority 99999999999 ; }", "want a priority"},
		{"add chain ip t c { policy drop ; }", "a hook beside it"},
		{"list ruleset", `"list" is not modelled`},
		{"define x = 1", `"define" is not modelled`},
		{"add flowtable ip t f { }", `"add flowtable" is not modelled`},
		{"delete chain ip t handle 5", "by handle"},
		{"table ip t {\n\tchain c {\n\t\tip saddr 1.2.3.4 frob\n\t}\n}", `f:3: unexpected "frob"`},
		{"table ip t {\n\tchain c {\n\t\tdrop\n\t}\n....\n", `f:5: unexpected "....", want chain, set`},
		{"table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.1,\n\t\t\t10.0.0.x }\n\t}\n}", `f:5: "10.0.0.x" is no ipv4_addr`},
		{"table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.0/8 }\n\t}\n}", "the set has no flag interval"},
		{"table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.1 : drop }\n\t}\n}", "sets hold no values"},
		{"table ip t {\n\tmap m {\n\t\ttype ipv4_addr : verdict\n\t\telements = { 10.0.0.1 }\n\t}\n}", "is a map"},
		{"table ip t {\n\tmap m {\n\t\ttype ipv4_addr . inet_service : verdict\n\t\telements = { 10.0.0.1 : drop }\n\t}\n}", "a key of type ipv4_addr . inet_service"},
		{"table ip t {\n\tmap m {\n\t\ttype ipv4_addr : verdict\n\t\telements = { 10.0.0.1 : 10.0.0.2 }\n\t}\n}", "a value of type verdict"},
		{"table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\telements = { 10.0.0.0/8, 10.1.0.0/16 }\n\t}\n}", "File exists"},
		{"table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t\tsize 1\n\t\telements = { 10.0.0.1, 10.0.0.2 }\n\t}\n}", "Too many open files"},
		{"add table ip t\nadd chain ip t b { type filter hook input priority 0 ; }\nadd chain ip t a\nadd rule ip t a jump b", "f:4: "},
		{"add table ip t\nadd set ip t s { type inet_service ; }\nadd chain ip t a\nadd rule ip t a ip saddr @s drop", "f:4: "},
		{"add table ip t\nadd set ip t s { type ipv4_addr ; }\nadd chain ip t a\nadd rule ip t a ip saddr vmap @s", "a verdict map"},
	} {
		_, err := nftables.ReadDump("f", []byte(c.text))
		var at *nftables.PositionError
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &at) {
			t.Errorf("%q\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}
