package iptables

import (
	"math/bits"
	"strings"

	"github.com/svclab/svclab/datapath/packet"
)

// optionSpec declares one long option of an extension or of iptables itself.
type optionSpec struct {
	name     string
	as       string // the name set receives, when this one is an alias
	args     int8   // arguments it takes
	noInvert bool   // ! is refused
}

func (s *optionSpec) canonical() string {
	if s.as != "" {
		return s.as
	}
	return s.name
}

// option is one option as a rule gives it.
type option struct {
	name   string // canonical, without dashes
	arg    string
	arg2   string // the second argument of --tcp-flags and --chunk-types
	invert bool
	rule   *ruleParser
}

// extension is a match or target that iptables can load.
type extension struct {
	name     string
	family   packet.Family // the only family that has it; 0: both
	options  []optionSpec
	newMatch func() parsedMatch
	newGoal  func() parsedTarget
}

// parsedMatch is a Match while its options are read.
type parsedMatch interface {
	Match
	set(o *option) error
	finish(r *ruleParser) error // after the whole rule was read: completeness and defaults
}

// parsedTarget is a Target while its options are read.
type parsedTarget interface {
	Target
	set(o *option) error
	finish(r *ruleParser) error
}

// optionSetter is what both have in common.
type optionSetter interface {
	set(o *option) error
	finish(r *ruleParser) error
}

// loaded is an extension that the rule being read has loaded.
type loaded struct {
	ext       *extension
	to        optionSetter
	match     Match
	seen      uint64 // options given, by index
	completed bool   // a later -m of the same name takes the options
}

// findOption resolves a long option name as getopt_long does over iptables' own options and those of the extensions loaded
// so far, the latest first: an exact name wins, else an unambiguous beginning.
func (r *ruleParser) findOption(name string) (l *loaded, spec *optionSpec, index int, ok bool) {
	for i := len(r.loaded) - 1; i >= 0; i-- {
		if l := &r.loaded[i]; !l.completed {
			for k := range l.ext.options {
				if l.ext.options[k].name == name {
					return l, &l.ext.options[k], k, true
				}
			}
		}
	}
	for k := range generalOptions {
		if generalOptions[k].name == name {
			return nil, &generalOptions[k], k, true
		}
	}
	found := 0
	try := func(owner *loaded, specs []optionSpec) {
		for k := range specs {
			s := &specs[k]
			if !strings.HasPrefix(s.name, name) {
				continue
			}
			if found > 0 && owner == l && s.canonical() == spec.canonical() {
				continue
			}
			l, spec, index = owner, s, k
			found++
		}
	}
	if name != "" {
		for i := len(r.loaded) - 1; i >= 0; i-- {
			if !r.loaded[i].completed {
				try(&r.loaded[i], r.loaded[i].ext.options)
			}
		}
		try(nil, generalOptions)
	}
	return l, spec, index, found == 1
}

// give hands an option to the extension that owns it.
func (r *ruleParser) give(l *loaded, spec *optionSpec, o *option) error {
	if o.invert && spec.noInvert {
		return refuse("--"+spec.name, "cannot be inverted", "")
	}
	o.name = spec.canonical()
	for k := range l.ext.options {
		if s := &l.ext.options[k]; s.canonical() == o.name {
			if l.seen&(1<<k) != 0 {
				return refuse(l.ext.name+" --"+spec.name, "can only be used once", o.arg)
			}
			l.seen |= 1 << k
			break
		}
	}
	o.rule = r
	return l.to.set(o)
}

// count is how many different options an extension was given.
func (l *loaded) count() int { return bits.OnesCount64(l.seen) }

// badValue refuses an option's argument.
func (o *option) badValue() error {
	return refuse("--"+o.name, "bad value, or out of range", o.arg)
}

// mustHave refuses an extension that was given no option at all.
func (r *ruleParser) mustHave(of optionSetter, what string) error {
	if r.given(of) == 0 {
		return refuse(r.nameOf(of), "option "+what+" must be specified", "")
	}
	return nil
}

// given is how many options the extension got.
func (r *ruleParser) given(of optionSetter) int {
	for i := range r.loaded {
		if r.loaded[i].to == of {
			return r.loaded[i].count()
		}
	}
	return 0
}

// has reports whether the extension was given an option, by its canonical name.
func (r *ruleParser) has(of optionSetter, name string) bool {
	for i := range r.loaded {
		if l := &r.loaded[i]; l.to == of {
			for k := range l.ext.options {
				if l.ext.options[k].canonical() == name {
					return l.seen&(1<<k) != 0
				}
			}
		}
	}
	return false
}

func (r *ruleParser) nameOf(of optionSetter) string {
	for i := range r.loaded {
		if r.loaded[i].to == of {
			return r.loaded[i].ext.name
		}
	}
	return ""
}

// replace puts the settled form of an extension in place of the one that read its options.
func (r *ruleParser) replace(of optionSetter, m Match) {
	for i := range r.loaded {
		if r.loaded[i].to == of {
			r.loaded[i].match = m
		}
	}
}
