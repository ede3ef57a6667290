package iptables

import (
	"strings"

	"github.com/svclab/svclab/datapath/netfilter"
	"github.com/svclab/svclab/datapath/packet"
)

// maxChainName is the longest chain or target name (XT_EXTENSION_MAXNAMELEN less its end).
const maxChainName = 28

// maxListedRules bounds what one line with lists of addresses may expand to, so that a short text cannot fill memory.
const maxListedRules = 65536

// matchExtensions and targetExtensions are the extensions that can be loaded, by name.
var (
	matchExtensions  = map[string]*extension{}
	targetExtensions = map[string]*extension{}
)

func registerMatch(e *extension) *extension {
	matchExtensions[e.name] = e
	return e
}

func registerTarget(e *extension) *extension {
	targetExtensions[e.name] = e
	return e
}

func (r *ruleParser) loadMatch(name string) error {
	e := matchExtensions[name]
	if e == nil || e.family != 0 && e.family != r.family {
		return refuse("-m", "unknown match", name)
	}
	r.load(e)
	return nil
}

func (r *ruleParser) load(e *extension) {
	for i := range r.loaded {
		if r.loaded[i].ext.name == e.name {
			r.loaded[i].completed = true
		}
	}
	m := e.newMatch()
	r.loaded = append(r.loaded, loaded{ext: e, to: m, match: m})
}

// loadProtocolMatch loads the match of -p's protocol when an option is unknown, once (xshared.c, command_default).
func (r *ruleParser) loadProtocolMatch() bool {
	if !r.fromProto {
		return false
	}
	r.fromProto = false
	name := protocolName(r.header.Proto)
	if r.header.Proto == packet.ICMPv6 {
		name = "icmp6"
	}
	e := matchExtensions[name]
	if e == nil || e.family != 0 && e.family != r.family {
		return false
	}
	for i := range r.loaded {
		if r.loaded[i].ext == e {
			return false
		}
	}
	r.load(e)
	return true
}

// loadTarget loads the extension of -j, if there is one of that name; a chain of that name is looked for at the end.
func (r *ruleParser) loadTarget() error {
	if standardVerdict(r.jump) != nil {
		return nil
	}
	e := targetExtensions[r.jump]
	if e == nil || e.family != 0 && e.family != r.family || r.isChain(r.jump) {
		return nil
	}
	r.target = e.newGoal()
	r.loaded = append(r.loaded, loaded{ext: e, to: r.target})
	return nil
}

// resolveJump checks that -j or -g leads somewhere.
func (r *ruleParser) resolveJump() error {
	if n := max(len(r.src), 1) * max(len(r.dst), 1); n > maxListedRules {
		return refuse("", "the lists of addresses make more than 65536 rules", "")
	}
	if r.gave&gaveJ == 0 || r.jump == "" {
		return nil
	}
	if r.isGoto {
		if _, builtin := netfilter.ParseHook(r.jump); builtin || !r.isChain(r.jump) {
			return refuse("-g", "goto to a chain that does not exist", r.jump)
		}
		return nil
	}
	if v := standardVerdict(r.jump); v != nil {
		if v == Standard(VerdictDrop) && r.table == NAT {
			return refuse("-j", `table "nat" is not intended for filtering, DROP is inhibited there`, r.jump)
		}
		return nil
	}
	if r.target != nil {
		return nil
	}
	if _, builtin := netfilter.ParseHook(r.jump); builtin && r.isChain(r.jump) {
		return refuse("-j", "built-in chains cannot be jumped to", r.jump)
	}
	if !r.isChain(r.jump) {
		return refuse("-j", "unknown target, or jump to a chain that does not exist", r.jump)
	}
	return nil
}

func (r *ruleParser) goal() Target {
	switch {
	case r.gave&gaveJ == 0 || r.jump == "":
		return nil
	case r.target != nil:
		return r.target
	case !r.isGoto:
		if v := standardVerdict(r.jump); v != nil {
			return v
		}
	}
	return &Jump{Chain: r.jump, Goto: r.isGoto}
}

func checkTargetName(s string) error {
	switch {
	case s == "":
		return refuse("-j", "invalid target name (too short)", s)
	case len(s) > maxChainName:
		return refuse("-j", "target names have at most 28 characters", s)
	case strings.ContainsAny(s, " \t\n\v\f\r"):
		return refuse("-j", "invalid target name", s)
	}
	return nil
}

// checkNewChain refuses names that -N refuses (xshared.c, parse_chain).
func checkNewChain(s string) error {
	switch {
	case s == "" || s[0] == '-' || s[0] == '!':
		return refuse("chain", "chain names do not start with - or !", s)
	case len(s) > maxChainName:
		return refuse("chain", "chain names have at most 28 characters", s)
	case standardVerdict(s) != nil || targetExtensions[s] != nil:
		return refuse("chain", "chain name may not clash with target name", s)
	case strings.ContainsAny(s, " \t\n\v\f\r"):
		return refuse("chain", "invalid chain name", s)
	}
	return nil
}
