package iptables

import (
	"strings"

	"github.com/svclab/svclab/datapath/netfilter"
)

// setCommand takes note of a command letter and reads the arguments that go with it.
func (r *ruleParser) setCommand(c byte, arg string, has bool) error {
	opt := letterOptions[c&127]
	if r.command != 0 && !(c == 'Z' && r.command == 'L') {
		return refuse(opt, "cannot be used with -"+string(r.command), "")
	}
	r.command = c
	if !has {
		arg, has = r.more()
		if !has {
			return nil // every chain
		}
	}
	if len(arg) > maxChainName {
		return refuse(opt, "chain names have at most 28 characters", arg)
	}
	r.chain = arg
	switch c {
	case 'N':
		return checkNewChain(arg)
	case 'I':
		return r.ruleNumber(opt, false)
	case 'R':
		return r.ruleNumber(opt, true)
	case 'D':
		return r.ruleNumber(opt, false)
	case 'P':
		p, ok := r.more()
		if !ok {
			return refuse(opt, "requires a chain and a policy", "")
		}
		r.policy = p
	case 'E':
		n, ok := r.more()
		if !ok {
			return refuse(opt, "requires an old and a new chain name", "")
		}
		r.newName = n
		return checkNewChain(n)
	case 'Z', 'L', 'S':
		if n, ok := r.more(); ok {
			k, ok := parseUint(n, 1<<31-1)
			if !ok || k == 0 {
				return refuse(opt, "invalid rule number", n)
			}
			r.number = int(k)
		}
	}
	return nil
}

func (r *ruleParser) ruleNumber(opt string, must bool) error {
	n, ok := r.more()
	if !ok {
		if must {
			return refuse(opt, "requires a rule number", "")
		}
		return nil
	}
	k, ok := parseUint(n, 1<<31-1)
	if !ok || k == 0 {
		return refuse(opt, "invalid rule number", n)
	}
	r.number = int(k)
	return nil
}

func (r *ruleParser) setCounters(arg string) error {
	if err := r.once(gaveC, "-c"); err != nil {
		return err
	}
	p, b, both := strings.Cut(arg, ",")
	if !both {
		var ok bool
		if b, ok = r.more(); !ok {
			return refuse("-c", "requires a packet and a byte counter", arg)
		}
	}
	x, ok1 := parseUint(p, 1<<64-1)
	y, ok2 := parseUint(b, 1<<64-1)
	if !ok1 || !ok2 {
		return refuse("-c", "counter is not numeric", arg)
	}
	r.counters = Counters{x, y}
	return nil
}

// needsRule reports whether the command carries a rule.
func (r *ruleParser) needsRule() bool {
	switch r.command {
	case 'A', 'I', 'C', 'R':
		return true
	case 'D':
		return r.number == 0
	}
	return false
}

func (r *ruleParser) finish() error {
	if r.command == 0 {
		return refuse("", "no command specified", "")
	}
	if err := r.allowed(); err != nil {
		return err
	}
	for i := range r.loaded {
		if err := r.loaded[i].to.finish(r); err != nil {
			return err
		}
	}
	if !r.needsRule() {
		return nil
	}
	if h, ok := netfilter.ParseHook(r.chain); ok {
		if r.gave&gaveO != 0 && (h == netfilter.PreRouting || h == netfilter.Input) {
			return refuse("-o", "cannot be used with "+r.chain, "")
		}
		if r.gave&gaveI != 0 && (h == netfilter.PostRouting || h == netfilter.Output) {
			return refuse("-i", "cannot be used with "+r.chain, "")
		}
	}
	return r.resolveJump()
}

// allowed refuses options that the command does not take (xshared.c, commands_v_options).
func (r *ruleParser) allowed() error {
	no := uint32(gaveS | gaveD | gaveP | gaveI | gaveO | gaveJ | gaveF | gaveC | gaveNX)
	switch {
	case r.command == 'L':
		no &^= gaveNX
	case r.command == 'P':
		no &^= gaveC
	case r.command == 'D' || r.command == 'C':
		if r.number == 0 {
			no = gaveC | gaveNX
		}
	case r.needsRule():
		no = gaveNX
	}
	if r.gave&no != 0 {
		return refuse("-"+string(r.command), "does not take an option given with it", "")
	}
	if (len(r.src) > 1 || len(r.dst) > 1) && (len(r.src) > 0 && r.src[0].Invert || len(r.dst) > 0 && r.dst[0].Invert) {
		return refuse("!", "not allowed with several addresses", "")
	}
	return nil
}

// rules builds the rules that the command describes: one, or one for each pair of listed addresses, sources outermost.
func (r *ruleParser) rules(text string, pos Position) []*Rule {
	matches := make([]Match, 0, len(r.loaded))
	for i := range r.loaded {
		if m := r.loaded[i].match; m != nil {
			matches = append(matches, m)
		}
	}
	if len(matches) == 0 {
		matches = nil
	}
	base := Rule{Header: r.header, Matches: matches, Counters: r.counters, Pos: pos, Text: text, Target: r.goal()}
	if len(r.src) <= 1 && len(r.dst) <= 1 {
		if len(r.src) == 1 {
			base.Src = r.src[0]
		}
		if len(r.dst) == 1 {
			base.Dst = r.dst[0]
		}
		return []*Rule{&base}
	}
	base.Text = ""
	src, dst := r.src, r.dst
	if len(src) == 0 {
		src = []Address{{}}
	}
	if len(dst) == 0 {
		dst = []Address{{}}
	}
	var out []*Rule
	for _, s := range src {
		for _, d := range dst {
			one := base
			one.Src, one.Dst = s, d
			out = append(out, &one)
		}
	}
	return out
}
