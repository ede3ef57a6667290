package datapath_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/datapath"
	"github.com/svclab/svclab/datapath/iptables"
	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
	"github.com/svclab/svclab/datapath/share"
)

var (
	propertySets = flag.Int("property.sets", 600, "random rule sets of TestProperties; 100000 for the full run")
	propertySeed = flag.Uint64("property.seed", 1, "seed of TestProperties")
)

// countedSource is a seeded source that counts what is drawn of it.
type countedSource struct {
	r *rand.Rand
	n int
}

func (s *countedSource) Chance(p31 uint32) bool {
	if p31 == 0 || p31 >= 1<<31 {
		return p31 != 0
	}
	s.n++
	return s.r.Uint32()&(1<<31-1) < p31
}

func (s *countedSource) Intn(n int) int {
	if n > 1 {
		s.n++
	}
	return s.r.IntN(n)
}

// randomRules draws tables nat and filter as a proxy or an operator could write them: a front end that leads through chains of
// statistic rules to translations, marks and masquerading, and a filter that may stop packets. Draws are made in nat alone,
// and replies of what was let through are let through, as conntrack rules see to.
func randomRules(r *rand.Rand, c matrixCase) string {
	var b strings.Builder
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	chains := 1 + r.IntN(4)
	b.WriteString("*nat\n")
	for i := range chains {
		fmt.Fprintf(&b, ":C%d - [0:0]\n", i)
	}
	to := func(a netip.Addr, port int) string { return netip.AddrPortFrom(a, uint16(port)).String() }
	target := func(i int) string {
		pod := c.pod
		for range r.IntN(4) {
			pod = pod.Next()
		}
		switch r.IntN(7) {
		case 0:
			if i+1 < chains {
				return fmt.Sprintf(pick("-j C%d", "-g C%d"), i+1)
			}
		case 1:
			return "-j RETURN"
		case 2:
			return "-j MARK --or-mark 0x4000"
		case 3:
			return fmt.Sprintf("-p %s -j REDIRECT --to-ports %d", c.proto, 8000+r.IntN(3))
		}
		return fmt.Sprintf("-p %s -j DNAT --to-destination %s", c.proto, to(pod, 8080+r.IntN(2)))
	}
	fmt.Fprintf(&b, "-A PREROUTING -d %s %s -j C0\n", c.vip, pick("", fmt.Sprintf("-p %s -m %s --dport 80", c.proto, c.proto)))
	for i := range chains {
		for range r.IntN(5) {
			match := pick("", "-m mark --mark 0x4000/0x4000 ", "-m addrtype --dst-type LOCAL ", "! -s "+c.client.String()+" ")
			if r.IntN(3) > 0 {
				match = pick(fmt.Sprintf("-m statistic --mode random --probability %.11f ", r.Float64()),
					fmt.Sprintf("-m statistic --mode random ! --probability %.11f ", r.Float64()),
					"-m statistic --mode random --probability 0.5 ", "-m statistic --mode random --probability 1 ")
			}
			fmt.Fprintf(&b, "-A C%d %s%s\n", i, match, target(i))
		}
	}
	if r.IntN(2) == 0 {
		fmt.Fprintf(&b, "-A POSTROUTING %s-j MASQUERADE%s\n", pick("", "-m mark --mark 0x4000/0x4000 ", "-o pod0 "), pick("", " --random-fully"))
	}
	b.WriteString("COMMIT\n*filter\n-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n")
	for range r.IntN(3) {
		fmt.Fprintf(&b, "-A FORWARD %s-j %s\n", pick("-m mark --mark 0x4000/0x4000 ", fmt.Sprintf("-p %s --dport 8081 ", c.proto), "-i pod0 "),
			pick("ACCEPT", "DROP", "REJECT", "RETURN"))
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// TestProperties states over random rule sets and packets: a printed rule set reads to the same print; the shares of a packet sum
// to 1; what a walk draws is one of the enumerated outcomes, and over all rule sets comes about as often as they say (one test with
// a threshold of 5 standard deviations, once in 1.7 million runs by chance); a reply undoes its request; packets of an established
// connection draw nothing.
func TestProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(*propertySeed, 0))
	t.Logf("seed %d, %d rule sets", *propertySeed, *propertySets)
	var excess, variance float64
	outcomes := map[datapath.Fate]int{}
	replies := 0
	matrixOf := matrixCases()
	for i := range *propertySets {
		c := matrixOf[r.IntN(len(matrixOf))]
		rules := randomRules(r, c)
		fail := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("rule set %d, %s/%s: %s\n%s", i, c.family, c.proto, fmt.Sprintf(format, args...), rules)
		}
		n := c.newNode(t, rules)
		printed := n.Rules(c.family).Print(iptables.Save, true)
		again := iptables.NewRuleset(c.family)
		if err := again.Restore("", printed, iptables.RestoreOptions{Counters: true}); err != nil || again.Print(iptables.Save, true) != printed {
			fail("printed and read again: %v", err)
		}
		src, dst := netip.AddrPortFrom(c.client, uint16(1024+r.IntN(60000))), netip.AddrPortFrom(c.vip, 80)
		in := []string{"eth0", "pod0"}[r.IntN(2)]
		first := c.first(src, dst)
		all, err := share.Of(n, 0, in, first)
		if err != nil {
			fail("%v", err)
		}
		var sum share.Fraction
		for k, o := range all {
			if k == 0 {
				sum = o.Probability
			} else {
				sum = sum.Add(o.Probability)
			}
		}
		if sum.String() != "1" {
			fail("shares sum to %s", sum)
		}
		source := &countedSource{r: r}
		n.SetSource(source)
		p := first
		d := n.Receive(0, in, &p)
		outcomes[d.Fate]++
		hit := -1
		for k, o := range all {
			if o.Fate == d.Fate && (o.Endpoint.IsValid() == (p.Dst != dst)) && (!o.Endpoint.IsValid() || o.Endpoint == p.Dst) && o.Masquerade == d.Masqueraded {
				hit = k
				break
			}
		}
		if hit < 0 && (d.Fate == datapath.Forwarded || d.Fate == datapath.Delivered) {
			fail("drawn: %s to %s, masquerade %v; not among %+v", d.Fate, p.Dst, d.Masqueraded, all)
		}
		// Whether a rule set counts depends on its first outcome alone, not on what was drawn.
		if q := all[0].Probability.Float64(); q < 1 && (all[0].Fate == datapath.Forwarded || all[0].Fate == datapath.Delivered) {
			if hit == 0 {
				excess++
			}
			excess -= q
			variance += q * (1 - q)
		}
		if d.Fate != datapath.Forwarded && d.Fate != datapath.Delivered {
			continue
		}
		// The answer, and a packet after it, draw nothing and go where the first came from and went.
		drawn, seen := source.n, p
		receive := func(p *packet.Packet) datapath.Disposition {
			if d.Fate == datapath.Delivered {
				return n.Send(time.Millisecond, p)
			}
			return n.Receive(time.Millisecond, d.Out, p)
		}
		a := c.answer(seen.Dst, seen.Src)
		if got := receive(&a); got.Fate != datapath.Forwarded {
			fail("the answer to %s ends: %s %s", seen.Dst, got.Fate, got.Reason)
		}
		if a.Src != dst || a.Dst != src {
			fail("the answer arrives as %s > %s", a.Src, a.Dst)
		}
		later := c.first(src, dst)
		if c.proto == packet.TCP {
			later.TCPFlags = packet.ACK
		} else if c.proto == packet.SCTP {
			later.SCTPChunk = packet.SCTPCookieEcho
		}
		if got := n.Receive(2*time.Millisecond, in, &later); got.Fate != d.Fate || later.Src != seen.Src || later.Dst != seen.Dst {
			fail("a later packet: %s, %s > %s, the first %s > %s", got.Fate, later.Src, later.Dst, seen.Src, seen.Dst)
		}
		if source.n != drawn {
			fail("packets of an established connection drew %d times", source.n-drawn)
		}
		replies++
	}
	z := 0.0
	if variance > 0 {
		z = excess / math.Sqrt(variance)
	}
	t.Logf("fates %v, %d connections answered; sampling against enumeration: z = %.2f", outcomes, replies, z)
	if math.Abs(z) > 5 {
		t.Errorf("the first outcome is drawn %+.1f times too often, %.1f standard deviations", excess, z)
	}
	if replies*4 < *propertySets {
		t.Errorf("only %d of %d rule sets let a connection through: the generator tests too little", replies, *propertySets)
	}
}

var _ netfilter.Source = (*countedSource)(nil)
