package nftables_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/svclab/svclab/datapath/nftables"
)

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func dump(t *testing.T, file, text string) *nftables.Dump {
	t.Helper()
	d, err := nftables.ReadDump(file, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Tables of kube-proxy 1.37.2, as the commands that make them and as nft 1.0.6 lists them: each is read and printed unchanged, the
// commands lead to the listing, and the commands that the listing leads to lead back to it.
func TestConformance(t *testing.T) {
	files, _ := filepath.Glob("testdata/conformance/*.nftables*.txt")
	if len(files) < 70 {
		t.Fatalf("%d recordings", len(files))
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			text := read(t, f)
			d := dump(t, f, text)
			same(t, "read and printed", d.Print(), text)
			list := strings.TrimSuffix(f, "-list.txt")
			if list == f {
				same(t, "commands as a listing", d.Ruleset.Print(nftables.List, false), read(t, strings.TrimSuffix(f, ".txt")+"-list.txt"))
				return
			}
			commands := d.Ruleset.Print(nftables.Native, false)
			var again nftables.Ruleset
			if err := again.Run("again", commands); err != nil {
				t.Fatal(err)
			}
			same(t, "a listing as commands as a listing", again.Print(nftables.List, false), text)
			// kube-proxy writes ServiceCIDRs in its own order and without blanks; nft declares the size that dynamic sets have anyway.
			want := strings.NewReplacer("10.112.0.0/20,10.96.0.0/16", "10.96.0.0/16 , 10.112.0.0/20").Replace(read(t, list+".txt"))
			same(t, "a listing as commands", strings.ReplaceAll(commands, " size 65535 ;", ""), want)
		})
	}
}

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Errorf("%s: line %d\n got %s\nwant %s", what, i+1, g[i], w[i])
			return
		}
	}
	t.Errorf("%s: %d lines, want %d", what, len(g), len(w))
}

// Rules as nft 1.0.6 printed them back from a Linux 6.18 kernel.
func TestSpelling(t *testing.T) {
	n := 0
	for l := range strings.Lines(read(t, "testdata/spelling.txt")) {
		l = strings.TrimSuffix(l, "\n")
		if strings.HasPrefix(l, "#") {
			continue
		}
		family, rest, _ := strings.Cut(l, ": ")
		written, want, ok := strings.Cut(rest, " => ")
		if !ok {
			t.Fatalf("no recording: %s", l)
		}
		n++
		addr := map[string]string{"ip": "ipv4_addr", "ip6": "ipv6_addr"}[family]
		setup := strings.NewReplacer("F", family, "A", addr).Replace(`add table F t
add chain F t c
add chain F t d
add set F t s { type A ; }
add set F t a { type A ; flags dynamic,timeout ; timeout 60s ; }
add map F t m { type inet_service : verdict ; }
add counter F t k
`)
		var rs nftables.Ruleset
		if err := rs.Run("rules", setup+"add rule "+family+" t c "+written+"\n"); err != nil {
			t.Errorf("%s: %v", written, err)
			continue
		}
		r := rs.Table(nftables.Family(family), "t").Chain("c").Rules[0]
		if got := r.Spell(nftables.List); got != want {
			t.Errorf("%s\n got %s\nwant %s", written, got, want)
		}
		if got := r.Spell(nftables.Native); got != written {
			t.Errorf("%s is kept as %s", written, got)
		}
		// A listing is read as what it lists.
		listing := "table " + family + " t {\n\tchain c {\n\t\t" + want + "\n\t}\n}\n"
		if got := dump(t, "listing", listing).Print(); got != listing {
			t.Errorf("listing of %s\n got %s\nwant %s", written, got, listing)
		}
		// What it is spelled as without its text loads, and is listed alike.
		plain := nftables.Rule{Statements: r.Statements, Comment: r.Comment}
		var again nftables.Ruleset
		if err := again.Run("rules", setup+"add rule "+family+" t c "+plain.Spell(nftables.Native)+"\n"); err != nil {
			t.Errorf("%s: spelled as %s: %v", written, plain.Spell(nftables.Native), err)
			continue
		}
		if got := again.Table(nftables.Family(family), "t").Chain("c").Rules[0].Spell(nftables.List); got != want && !strings.Contains(want, "{ 10.0.0.0/8 }") {
			t.Errorf("%s: spelled as %s, listed as %s, want %s", written, plain.Spell(nftables.Native), got, want)
		}
	}
	if n < 90 {
		t.Errorf("%d recordings", n)
	}
}

// A listing of nft 1.0.6 on Linux 6.18, as it came: elements several to a line, sets in the order of their making.
const listed = `table ip t {
	counter cc {
		packets 0 bytes 0
	}

	set s {
		type ipv4_addr
		flags interval
		elements = { 10.0.0.0/8, 192.168.0.1,
			     192.168.0.4-192.168.0.9 }
	}

	set aff {
		type ipv4_addr
		size 65535
		flags dynamic,timeout
		timeout 1h30m30s
		gc-interval 1m
		elements = { 10.0.0.1 timeout 1m40s expires 1m39s984ms }
	}

	map m {
		type ipv4_addr . inet_service : ipv4_addr . inet_service
		elements = { 10.0.0.1 . 80 : 10.0.0.2 . 8080 }
	}

	chain c {
		update @aff { ip saddr timeout 1m30s }
	}

	chain b6 {
		comment "hi"
		type filter hook output priority 100; policy accept;
	}

	chain b7 {
		type filter hook input priority security - 5; policy drop;
	}
}
table ip6 t2 {
	flags dormant
	comment "x"
}
`

const normalised = `table ip t {
	counter cc {
		packets 0 bytes 0
	}

	set aff {
		type ipv4_addr
		size 65535
		flags dynamic,timeout
		timeout 1h30m30s
		gc-interval 1m
		elements = {
			10.0.0.1 timeout 1m40s expires 1m39s984ms }
	}

	set s {
		type ipv4_addr
		flags interval
		elements = {
			10.0.0.0/8,
			192.168.0.1,
			192.168.0.4-192.168.0.9 }
	}

	map m {
		type ipv4_addr . inet_service : ipv4_addr . inet_service
		elements = {
			10.0.0.1 . 80 : 10.0.0.2 . 8080 }
	}

	chain b6 {
		comment "hi"
		type filter hook output priority 100; policy accept;
	}

	chain b7 {
		type filter hook input priority security - 5; policy drop;
	}

	chain c {
		update @aff { ip saddr timeout 1m30s }
	}
}
table ip6 t2 {
	flags dormant
	comment "x"
}
`

func TestListing(t *testing.T) {
	d := dump(t, "listed", listed)
	same(t, "normalised", d.Print(), normalised)
	same(t, "again", dump(t, "normalised", normalised).Print(), normalised)
	if d.Handles {
		t.Error("handles where none are")
	}
	// CR LF ends lines too, and a mark of byte order is passed over.
	same(t, "CR LF", dump(t, "crlf", "\ufeff"+strings.ReplaceAll(listed, "\n", "\r\n")).Print(), normalised)
}

// Rules of iptables-nft, as nft lists them on a node: extensions of xtables are kept by name, and not loaded.
func TestListingOfIPTables(t *testing.T) {
	text := `# Warning: table ip nat is managed by iptables-nft, do not touch!
table ip nat {
	chain KUBE-NODEPORTS {
		meta l4proto tcp xt match "comment" tcp dport 30080 counter packets 12 bytes 720 jump KUBE-EXT-LOLE4ISW44XBNF3G
	}

	chain KUBE-SEP-A {
		ip saddr 10.244.1.5 xt match "comment" counter packets 0 bytes 0 jump KUBE-MARK-MASQ
		meta l4proto tcp xt match "comment" counter packets 0 bytes 0 xt target "DNAT"
	}

	chain POSTROUTING {
		type nat hook postrouting priority srcnat; policy accept;
		oifname != "docker0" ip saddr 172.17.0.0/16 counter packets 0 bytes 0 xt target "MASQUERADE"
		fib daddr type local counter packets 1 bytes 60 jump KUBE-NODEPORTS
		meta mark & 0x00004000 == 0x00000000 counter packets 5 bytes 300 return
	}
}
`
	_, want, _ := strings.Cut(text, "\n")
	same(t, "printed", dump(t, "nat", text).Print(), want)
	var rs nftables.Ruleset
	var u *nftables.UnsupportedError
	if err := rs.Run("nat", text); !errors.As(err, &u) && !nftables.IsNotFound(err) {
		t.Errorf("loaded: %v", err)
	}
}

// Handles of nft -a are kept, and shown again.
func TestHandles(t *testing.T) {
	text := `table ip kube-proxy { # handle 18
	comment "rules for kube-proxy"
	set nodeport-ips { # handle 41
		type ipv4_addr
	}

	map service-ips { # handle 50
		type ipv4_addr . inet_proto . inet_service : verdict
		elements = {
			10.255.0.10 . tcp . 53 : goto service-NWBZK7IH-kube-system/kube-dns/tcp/dns-tcp }
	}

	chain service-2QRHZV4L-default/kubernetes/tcp/https { # handle 55
		ip daddr 10.255.0.1 tcp dport 443 ip saddr != 10.244.0.0/16 jump mark-for-masquerade # handle 56
		numgen random mod 1 vmap { 0 : goto endpoint-573J25N3-default/kubernetes/tcp/https__10.128.0.16/6443 } # handle 58
	}
}
`
	d := dump(t, "a", text)
	same(t, "printed", d.Print(), text)
	if r := d.Ruleset.Table(nftables.IP, "kube-proxy").Chains()[0].Rules; r[0].Handle != 56 || r[1].Handle != 58 {
		t.Errorf("%d %d", r[0].Handle, r[1].Handle)
	}
	if err := d.Ruleset.Run("x", "delete rule ip kube-proxy service-2QRHZV4L-default/kubernetes/tcp/https handle 56\n"); err != nil {
		t.Error(err)
	}
	if r := d.Ruleset.Table(nftables.IP, "kube-proxy").Chains()[0].Rules; len(r) != 1 || r[0].Handle != 58 {
		t.Errorf("%d rules", len(r))
	}
}

// Names of priorities as nft 1.0.6 printed them.
func TestPriorities(t *testing.T) {
	for _, c := range []struct{ hook, written, want string }{
		{"input", "-150", "mangle"}, {"prerouting", "-300", "raw"}, {"prerouting", "-89", "-89"}, {"prerouting", "-90", "dstnat + 10"},
		{"postrouting", "110", "srcnat + 10"}, {"output", "100", "100"}, {"input", "45", "security - 5"}, {"input", "5", "filter + 5"},
		{"output", "-110", "-110"}, {"prerouting", "-110", "dstnat - 10"}, {"output", "-100", "-100"}, {"prerouting", "dstnat", "dstnat"},
		{"prerouting", "dstnat-10", "dstnat - 10"}, {"input", "filter + 3", "filter + 3"},
	} {
		var rs nftables.Ruleset
		if err := rs.Run("x", "add table ip t\nadd chain ip t c { type filter hook "+c.hook+" priority "+c.written+" ; }\n"); err != nil {
			t.Error(err)
			continue
		}
		if got := rs.Print(nftables.List, false); !strings.Contains(got, "hook "+c.hook+" priority "+c.want+"; policy accept;") {
			t.Errorf("%s at %s: want %s in\n%s", c.written, c.hook, c.want, got)
		}
	}
}
