package nftables

import (
	"slices"
	"strconv"
	"strings"
)

// Dialect is how a ruleset is spelled.
type Dialect uint8

// The dialects.
const (
	Native Dialect = iota // `add` commands, as kube-proxy writes them
	List                  // as nft 1.0.6 lists tables
)

// Print spells all tables, normalised. With handles, the listing shows those that are known, as nft -a does.
func (r *Ruleset) Print(d Dialect, handles bool) string {
	var b strings.Builder
	for _, t := range r.Tables() {
		b.WriteString(t.Print(d, handles))
	}
	return b.String()
}

// Print spells the table: objects by kind and name, elements sorted, one to a line.
func (t *Table) Print(d Dialect, handles bool) string {
	if t == nil {
		return ""
	}
	p := printer{t: t, handles: handles}
	if d == Native {
		p.native()
	} else {
		p.list()
	}
	return p.b.String()
}

type printer struct {
	b       strings.Builder
	t       *Table
	handles bool
}

func (p *printer) line(words ...string) {
	for _, w := range words {
		p.b.WriteString(w)
	}
	p.b.WriteByte('\n')
}

func block(attributes []string) string {
	if len(attributes) == 0 {
		return ""
	}
	return " { " + strings.Join(attributes, " ; ") + " ; }"
}

func comment(s string) string { return `comment "` + s + `"` }

func (p *printer) native() {
	t := p.t
	at := " " + string(t.Family) + " " + t.Name
	var a []string
	if t.Comment != "" {
		a = append(a, comment(t.Comment))
	}
	if len(t.Flags) > 0 {
		a = append(a, "flags "+strings.Join(t.Flags, ","))
	}
	p.line("add table", at, block(a))
	chains := t.Chains()
	for _, c := range chains {
		p.line("add chain", at, " ", c.Name, block(c.nativeAttributes()))
	}
	sets := t.Sets()
	for _, s := range sets {
		p.line("add ", s.kind(), at, " ", s.Name, block(s.nativeAttributes()))
	}
	for _, c := range t.Counters() {
		a := []string(nil)
		if c.Comment != "" {
			a = append(a, comment(c.Comment))
		}
		p.line("add counter", at, " ", c.Name, block(a))
	}
	for _, c := range chains {
		for _, r := range c.Rules {
			p.line("add rule", at, " ", c.Name, " ", r.nativeText())
		}
	}
	var elements []string
	for _, s := range sets {
		for _, e := range s.elements {
			elements = append(elements, "add element"+at+" "+s.Name+" { "+e.text(true)+" }")
		}
	}
	slices.Sort(elements)
	for _, e := range elements {
		p.line(e)
	}
}

func (c *Chain) nativeAttributes() []string {
	var a []string
	if c.Base() {
		device := ""
		if c.Device != "" {
			device = ` device "` + c.Device + `"`
		}
		a = append(a, "type "+string(c.Type)+" hook "+string(c.Hook)+device+" priority "+strconv.Itoa(c.Priority))
		if c.Policy == Drop {
			a = append(a, "policy drop")
		}
	}
	if c.Comment != "" {
		a = append(a, comment(c.Comment))
	}
	return a
}

func types(list []DataType) string {
	var b strings.Builder
	for i, t := range list {
		if i > 0 {
			b.WriteString(" . ")
		}
		b.WriteString(string(t))
	}
	return b.String()
}

func (s *Set) typeText(native bool) string {
	text := "type " + types(s.Key)
	if s.KeyOf != nil {
		text = "typeof " + s.KeyOf.text(native)
	}
	switch {
	case s.DataOf != nil:
		text += " : " + s.DataOf.text(native)
	case s.IsMap():
		text += " : " + types(s.Data)
	}
	return text
}

func (s *Set) nativeAttributes() []string {
	a := []string{s.typeText(true)}
	if len(s.Flags) > 0 {
		a = append(a, "flags "+strings.Join(s.Flags, ","))
	}
	if s.Timeout > 0 {
		a = append(a, "timeout "+seconds(s.Timeout.Milliseconds()))
	}
	if s.GCInterval > 0 {
		a = append(a, "gc-interval "+seconds(s.GCInterval.Milliseconds()))
	}
	if s.Size > 0 {
		a = append(a, "size "+strconv.FormatUint(s.Size, 10))
	}
	if s.Policy != "" {
		a = append(a, "policy "+s.Policy)
	}
	if s.AutoMerge {
		a = append(a, "auto-merge")
	}
	if s.Comment != "" {
		a = append(a, comment(s.Comment))
	}
	return a
}

func seconds(ms int64) string {
	s := strconv.FormatInt(ms/1000, 10) + "s"
	if r := ms % 1000; r != 0 {
		s += strconv.FormatInt(r, 10) + "ms"
	}
	return s
}

func (r *Rule) nativeText() string {
	s := r.Text
	if s == "" {
		s = spell(r.Statements, true)
	}
	if r.Comment != "" {
		s += " " + comment(r.Comment)
	}
	return s
}

func spell(list []Statement, native bool) string {
	var parts []string
	for i, s := range list {
		if !native && i+1 < len(list) && implied(s, list[i+1]) {
			continue
		}
		parts = append(parts, s.text(native))
	}
	return strings.Join(parts, " ")
}

// Spell spells the rule in a dialect, its comment included. Native is as the rule was written, if that is known.
func (r *Rule) Spell(d Dialect) string {
	if d == Native {
		return r.nativeText()
	}
	s := spell(r.Statements, false)
	if r.Comment != "" {
		s += " " + comment(r.Comment)
	}
	return s
}

func keyText(key []Interval, native bool) string {
	if len(key) == 1 {
		return key[0].text(native)
	}
	var b strings.Builder
	for i, k := range key {
		if i > 0 {
			b.WriteString(" . ")
		}
		b.WriteString(k.text(native))
	}
	return b.String()
}

func (e *Element) text(native bool) string {
	s := keyText(e.Key, native)
	if e.Timeout > 0 {
		s += " timeout " + durationText(e.Timeout)
	}
	if e.Expires > 0 && !native {
		s += " expires " + durationText(e.Expires)
	}
	if e.Comment != "" {
		s += " " + comment(e.Comment)
	}
	if v := e.value(native); v != "" {
		s += " : " + v
	}
	return s
}

// value is what a map's element leads to: `goto services`, `10.0.0.1 . 80`; "" in a set.
func (e *Element) value(native bool) string {
	if e.Verdict.Kind != "" {
		return e.Verdict.text(native)
	}
	var parts []string
	for _, v := range e.Data {
		parts = append(parts, v.text(native))
	}
	return strings.Join(parts, " . ")
}

// Value spells what a map's element leads to: `goto services`, `drop`, `10.0.0.1 . 80`; "" in a set.
func (e *Element) Value() string { return e.value(true) }

// KeyText spells the element's key: `10.96.0.10 . udp . 53`.
func (e *Element) KeyText() string { return keyText(e.Key, true) }

func (p *printer) handle(h uint64) string {
	if !p.handles || h == 0 {
		return ""
	}
	return " # handle " + strconv.FormatUint(h, 10)
}

// defaultDynamicSize is the size nft gives a set that packets fill and that declares none (src/evaluate.c, 1.0.6).
const defaultDynamicSize = 65535

func (p *printer) list() {
	t := p.t
	p.line("table ", string(t.Family), " ", t.Name, " {", p.handle(t.Handle))
	if len(t.Flags) > 0 {
		p.line("\tflags ", strings.Join(t.Flags, ","))
	}
	if t.Comment != "" {
		p.line("\t", comment(t.Comment))
	}
	first := true
	open := func(kind, name string, handle uint64) {
		if !first {
			p.line()
		}
		first = false
		p.line("\t", kind, " ", name, " {", p.handle(handle))
	}
	for _, c := range t.Counters() {
		open("counter", c.Name, c.Handle)
		if c.Comment != "" {
			p.line("\t\t", comment(c.Comment))
		}
		p.line("\t\tpackets ", strconv.FormatUint(c.Packets, 10), " bytes ", strconv.FormatUint(c.Bytes, 10))
		p.line("\t}")
	}
	for _, s := range t.Sets() {
		open(s.kind(), s.Name, s.Handle)
		p.setBody(s)
		p.line("\t}")
	}
	for _, c := range t.Chains() {
		open("chain", c.Name, c.Handle)
		if c.Comment != "" {
			p.line("\t\t", comment(c.Comment))
		}
		if c.Base() {
			device := ""
			if c.Device != "" {
				device = ` device "` + c.Device + `"`
			}
			p.line("\t\ttype ", string(c.Type), " hook ", string(c.Hook), device, " priority ", priorityText(t.Family, c.Hook, c.Priority), "; policy ", string(c.Policy), ";")
		}
		for _, r := range c.Rules {
			p.line("\t\t", r.Spell(List), p.handle(r.Handle))
		}
		p.line("\t}")
	}
	p.line("}")
}

func (p *printer) setBody(s *Set) {
	p.line("\t\t", s.typeText(false))
	if s.Policy != "" && s.Policy != "performance" {
		p.line("\t\tpolicy ", s.Policy)
	}
	size := s.Size
	if size == 0 && s.has("dynamic") {
		size = defaultDynamicSize
	}
	if size > 0 {
		p.line("\t\tsize ", strconv.FormatUint(size, 10))
	}
	if len(s.Flags) > 0 {
		p.line("\t\tflags ", strings.Join(s.Flags, ","))
	}
	if s.AutoMerge {
		p.line("\t\tauto-merge")
	}
	if s.Timeout > 0 {
		p.line("\t\ttimeout ", durationText(s.Timeout))
	}
	if s.GCInterval > 0 {
		p.line("\t\tgc-interval ", durationText(s.GCInterval))
	}
	if s.Comment != "" {
		p.line("\t\t", comment(s.Comment))
	}
	if len(s.elements) == 0 {
		return
	}
	var elements []string
	for _, e := range s.elements {
		elements = append(elements, e.text(false))
	}
	slices.Sort(elements)
	p.line("\t\telements = {")
	for i, e := range elements {
		end := ","
		if i == len(elements)-1 {
			end = " }"
		}
		p.line("\t\t\t", e, end)
	}
}
