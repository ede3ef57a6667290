package iptables

import (
	"strings"

	"github.com/svclab/svclab/datapath/packet"
)

// generalOptions are iptables' own long options (iptables/xshared.h, v1.8.9). A negative number of arguments means an
// optional one.
var generalOptions = []optionSpec{
	{name: "append", as: "A", args: 1}, {name: "delete", as: "D", args: 1}, {name: "check", as: "C", args: 1},
	{name: "insert", as: "I", args: 1}, {name: "replace", as: "R", args: 1}, {name: "list", as: "L", args: -1},
	{name: "list-rules", as: "S", args: -1}, {name: "flush", as: "F", args: -1}, {name: "zero", as: "Z", args: -1},
	{name: "new-chain", as: "N", args: 1}, {name: "delete-chain", as: "X", args: -1},
	{name: "rename-chain", as: "E", args: 1}, {name: "policy", as: "P", args: 1}, {name: "source", as: "s", args: 1},
	{name: "destination", as: "d", args: 1}, {name: "src", as: "s", args: 1}, {name: "dst", as: "d", args: 1},
	{name: "protocol", as: "p", args: 1}, {name: "proto", as: "p", args: 1}, {name: "in-interface", as: "i", args: 1},
	{name: "jump", as: "j", args: 1}, {name: "table", as: "t", args: 1}, {name: "match", as: "m", args: 1},
	{name: "numeric", as: "n"}, {name: "out-interface", as: "o", args: 1}, {name: "verbose", as: "v"},
	{name: "wait", as: "w", args: -1}, {name: "wait-interval", as: "W", args: 1}, {name: "exact", as: "x"},
	{name: "fragments", as: "f"}, {name: "version", as: "V"}, {name: "help", as: "h", args: -1},
	{name: "line-numbers", as: "line-numbers"}, {name: "modprobe", as: "M", args: 1},
	{name: "set-counters", as: "c", args: 1}, {name: "goto", as: "g", args: 1}, {name: "ipv4", as: "4"},
	{name: "ipv6", as: "6"},
}

// shortOptions gives the number of arguments of iptables' one-letter options, -1 for an optional one.
var shortOptions = map[byte]int8{
	'A': 1, 'C': 1, 'D': 1, 'R': 1, 'I': 1, 'L': -1, 'S': -1, 'M': 1, 'F': -1, 'Z': -1, 'N': 1, 'X': -1, 'E': 1, 'P': 1,
	'V': 0, 'h': -1, 'o': 1, 'p': 1, 's': 1, 'd': 1, 'j': 1, 'i': 1, 'f': 0, 'v': 0, 'w': -1, 'W': 1, 'n': 0, 't': 1,
	'm': 1, 'x': 0, 'c': 1, 'g': 1, '4': 0, '6': 0,
}

// letterOptions spells each one-letter option.
var letterOptions = func() (names [128]string) {
	for c := range names {
		names[c] = "-" + string(rune(c))
	}
	return names
}()

// ruleParser reads one iptables command, as do_parse does (iptables/xshared.c, v1.8.9). It is reused from line to line.
type ruleParser struct {
	family  packet.Family
	table   TableID
	restore bool // inside iptables-restore: -t and -w are refused
	isChain func(string) bool

	args []token
	next int // the argument to be read next

	command   byte // letter of the command; 0 until one is seen
	chain     string
	number    int // rule number of -I, -D, -R; 0: none
	policy    string
	newName   string // of -E
	tableName string
	skip      bool // -4 or -6 of the other family
	help      bool

	header    Header
	src, dst  []Address
	gave      uint32 // general options given once only, by bit
	jump      string
	isGoto    bool
	counters  Counters
	loaded    []loaded
	target    parsedTarget
	loadedTo  bool // the target's extension is the last in loaded
	fromProto bool // -p gave a protocol whose match may be loaded for an unknown option
}

const (
	gaveS = 1 << iota
	gaveD
	gaveP
	gaveI
	gaveO
	gaveJ
	gaveF
	gaveC
	gaveNX // -n, -x, --line-numbers
)

func (r *ruleParser) reset() {
	*r = ruleParser{
		family: r.family, table: r.table, restore: r.restore, isChain: r.isChain, loaded: r.loaded[:0], args: r.args,
		src: r.src[:0], dst: r.dst[:0],
	}
}

// parse reads the arguments of one command.
func (r *ruleParser) parse(args []token) error {
	r.reset()
	r.args = args
	invert := false
	for r.next < len(r.args) {
		t := r.args[r.next]
		r.next++
		var err error
		switch {
		case t.text == "!":
			if invert {
				return refuse("!", "multiple consecutive ! not allowed", "")
			}
			invert = true
			continue
		case t.text == "--": // the end of the options
			if r.next < len(r.args) {
				return refuse("", "unknown arguments after --", r.args[r.next].text)
			}
			continue
		case len(t.text) > 2 && t.text[0] == '-' && t.text[1] == '-':
			err = r.long(t.text[2:], invert)
		case len(t.text) > 1 && t.text[0] == '-':
			err = r.shorts(t.text[1:], invert)
		default:
			err = refuse("", "bad argument", t.text)
		}
		if err != nil {
			return err
		}
		if r.help || r.skip { // the rest of the line is not looked at
			return nil
		}
		invert = false
	}
	if invert {
		return refuse("!", "nothing appropriate following it", "")
	}
	return r.finish()
}

func (r *ruleParser) long(name string, invert bool) error {
	name, value, has := strings.Cut(name, "=")
	l, spec, _, ok := r.findOption(name)
	if !ok {
		if ok = r.loadProtocolMatch(); ok {
			l, spec, _, ok = r.findOption(name)
		}
		if !ok {
			return refuse("", "unknown option", "--"+name)
		}
	}
	o := option{arg: value, invert: invert}
	switch {
	case has && spec.args == 0:
		return refuse("--"+spec.name, "takes no argument", value)
	case !has && spec.args > 0:
		var err error
		if o.arg, err = r.argument("--", spec.name); err != nil {
			return err
		}
	}
	if spec.args == 2 {
		var err error
		if o.arg2, err = r.argument("--", spec.name); err != nil {
			return err
		}
	}
	if l != nil {
		return r.give(l, spec, &o)
	}
	if c := spec.as[0]; has && strings.IndexByte("psdioj", c) >= 0 {
		return refuse("-"+spec.as, "takes its argument after a blank", "--"+name+"="+value)
	}
	if spec.as == "line-numbers" {
		r.gave |= gaveNX
		return nil
	}
	return r.general(spec.as[0], o.arg, has || spec.args > 0, invert)
}

func (r *ruleParser) shorts(s string, invert bool) error {
	for i := 0; i < len(s); i++ {
		n, ok := shortOptions[s[i]]
		if !ok {
			return refuse("", "unknown option", "-"+s)
		}
		if n == 0 {
			if err := r.general(s[i], "", false, invert); err != nil {
				return err
			}
			continue
		}
		rest := s[i+1:]
		if rest != "" {
			if strings.IndexByte("psdioj", s[i]) >= 0 {
				rest = "-" + s // the whole word is taken for the argument
			}
			return r.general(s[i], rest, true, invert)
		}
		if n < 0 {
			return r.general(s[i], "", false, invert)
		}
		arg, err := r.argument("-", s[i:i+1])
		if err != nil {
			return err
		}
		return r.general(s[i], arg, true, invert)
	}
	return nil
}

func (r *ruleParser) argument(dashes, opt string) (string, error) {
	if r.next >= len(r.args) {
		return "", refuse(dashes+opt, "requires an argument", "")
	}
	r.next++
	return r.args[r.next-1].text, nil
}

// more returns the next argument if it is not an option.
func (r *ruleParser) more() (string, bool) {
	if r.next >= len(r.args) {
		return "", false
	}
	s := r.args[r.next].text
	if s == "" || s[0] == '-' || s[0] == '!' {
		return "", false
	}
	r.next++
	return s, true
}

func (r *ruleParser) once(bit uint32, opt string) error {
	if r.gave&bit != 0 {
		return refuse(opt, "given more than once", "")
	}
	r.gave |= bit
	return nil
}

// general handles one of iptables' own options, by its letter.
func (r *ruleParser) general(c byte, arg string, has, invert bool) (err error) {
	opt := letterOptions[c&127]
	if invert && strings.IndexByte("psdiof", c) < 0 {
		return refuse(opt, "unexpected ! flag before", arg)
	}
	switch c {
	case 'A', 'C', 'D', 'I', 'R', 'L', 'S', 'F', 'Z', 'N', 'X', 'E', 'P':
		return r.setCommand(c, arg, has)
	case 'p':
		if err = r.once(gaveP, opt); err != nil {
			return err
		}
		r.header.Proto, err = parseProtocol(arg)
		r.header.NotProto = invert
		r.fromProto = true
		if err == nil && invert && r.header.Proto == 0 {
			err = refuse(opt, "rule would never match protocol", arg)
		}
		if err == nil && r.family == packet.IPv6 && !invert && (r.header.Proto == 44 || r.header.Proto == 43) {
			// ip6tables warns and carries on: extension headers are skipped, so such a rule never matches.
			return nil
		}
	case 's':
		if err = r.once(gaveS, opt); err == nil {
			r.src, err = parseAddresses(opt, arg, r.family, invert)
		}
	case 'd':
		if err = r.once(gaveD, opt); err == nil {
			r.dst, err = parseAddresses(opt, arg, r.family, invert)
		}
	case 'i':
		if err = r.once(gaveI, opt); err == nil {
			r.header.In, err = parseInterface(opt, arg, invert)
		}
	case 'o':
		if err = r.once(gaveO, opt); err == nil {
			r.header.Out, err = parseInterface(opt, arg, invert)
		}
	case 'f':
		if r.family == packet.IPv6 {
			return refuse(opt, "not supported in IPv6, use -m frag", "")
		}
		if err = r.once(gaveF, opt); err == nil {
			r.header.Fragment, r.header.NotFrag = !invert, invert
		}
	case 'j', 'g':
		if err = r.once(gaveJ, opt); err != nil {
			return err
		}
		r.jump, r.isGoto = arg, c == 'g'
		if err = checkTargetName(arg); err == nil && c == 'j' {
			err = r.loadTarget()
		}
	case 'm':
		err = r.loadMatch(arg)
	case 'c':
		err = r.setCounters(arg)
	case 't':
		if r.restore {
			return refuse(opt, "cannot be used in iptables-restore", "")
		}
		r.tableName = arg
	case 'w', 'W':
		if r.restore {
			return refuse(opt, "cannot be used in iptables-restore", "")
		}
		if c == 'w' && !has && r.next < len(r.args) {
			if _, ok := parseUint(r.args[r.next].text, 1<<31); ok {
				r.next++
			}
		}
	case 'n', 'x':
		r.gave |= gaveNX
	case '4':
		r.skip = r.skip || r.family != packet.IPv4
	case '6':
		r.skip = r.skip || r.family != packet.IPv6
	case 'h', 'V':
		r.help = true
	}
	return err
}
