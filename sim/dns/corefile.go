package dns

import (
	"fmt"
	"slices"
	"strings"
)

// maxDepth is how deep blocks of a Corefile may nest.
const maxDepth = 16

// Corefile is a Corefile taken apart into server blocks, not yet checked for what its plugins mean.
type Corefile struct {
	Name   string // what it is called in messages
	Blocks []Block
}

// Block is one server block.
type Block struct {
	Keys       []Word // zones with their ports, as written
	Directives []Directive
}

// Word is one word of a Corefile and its line, counted from 1.
type Word struct {
	Text string
	Line int
}

// Directive is one line of a block: a name, its arguments and the lines of its own block.
type Directive struct {
	Word
	Args []Word
	Body []Directive
}

// texts are the arguments as strings.
func (d Directive) texts() []string {
	out := make([]string, len(d.Args))
	for i, a := range d.Args {
		out[i] = a.Text
	}
	return out
}

// String is the line as written, without its block.
func (d Directive) String() string { return strings.Join(append([]string{d.Text}, d.texts()...), " ") }

// IsCorefile tells a Corefile from YAML and JSON by its first line that is not a comment: it opens a block.
func IsCorefile(data []byte) bool {
	for line := range strings.Lines(string(data[:min(len(data), 64<<10)])) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		return strings.HasSuffix(line, "{") && line[0] != '{' && line[0] != '[' && !strings.Contains(line, ": ")
	}
	return false
}

// ParseCorefile reads the text of a Corefile (github.com/coredns/caddy, caddyfile: lexer.go, parse.go). A text that is only a
// kubernetes block stands for a server block ".:53" around it. Errors are *CorefileError and *UnsupportedError.
func ParseCorefile(name, text string) (*Corefile, error) {
	p := &parser{name: name, words: lex(text)}
	c := &Corefile{Name: name}
	if len(p.words) > 0 && p.words[0].Text == "kubernetes" {
		b := Block{Keys: []Word{{".:53", p.words[0].Line}}}
		if err := p.directives(&b.Directives, 0, false); err != nil {
			return nil, err
		}
		c.Blocks = append(c.Blocks, b)
		return c, nil
	}
	for p.at < len(p.words) {
		b, err := p.block()
		if err != nil {
			return nil, err
		}
		c.Blocks = append(c.Blocks, b)
	}
	if len(c.Blocks) == 0 {
		return nil, &CorefileError{name, 1, "the Corefile holds no server block"}
	}
	return c, nil
}

// lex cuts a text into words: white space divides, double quotes join, # at the start of a word begins a comment.
func lex(text string) []Word {
	var out []Word
	line := 1
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '\n':
			line++
			i++
		case c == ' ' || c == '\t' || c == '\r':
			i++
		case c == '#':
			for i < len(text) && text[i] != '\n' {
				i++
			}
		case c == '"':
			w := Word{Line: line}
			var b strings.Builder
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' && i+1 < len(text) && text[i+1] == '"' {
					i++
				}
				if text[i] == '\n' {
					line++
				}
				b.WriteByte(text[i])
			}
			i++
			w.Text = b.String()
			out = append(out, w)
		default:
			start := i
			for i < len(text) && !strings.ContainsRune(" \t\r\n", rune(text[i])) {
				i++
			}
			out = append(out, Word{text[start:i], line})
		}
	}
	return out
}

type parser struct {
	name  string
	words []Word
	at    int
}

func (p *parser) fault(w Word, format string, args ...any) error {
	return &CorefileError{p.name, w.Line, fmt.Sprintf(format, args...)}
}

// last is the word before the place reached, for faults at the end.
func (p *parser) last() Word { return p.words[min(p.at, len(p.words))-1] }

// lineEnds reports whether the word at i is the last of its line.
func (p *parser) lineEnds(i int) bool {
	return i+1 >= len(p.words) || p.words[i+1].Line != p.words[i].Line
}

// block reads the keys and the directives of one server block; without braces the block goes on to the end of the text.
func (p *parser) block() (Block, error) {
	var b Block
	for more := true; more; p.at++ {
		if p.at >= len(p.words) {
			return b, p.fault(p.last(), "the text ends where the address of a server block is wanted")
		}
		w := p.words[p.at]
		if w.Text == "{" {
			break
		}
		if err := p.plain(w); err != nil {
			return b, err
		}
		if w.Text == "import" && len(b.Keys) == 0 {
			return b, &UnsupportedError{p.name, w.Line, "import"}
		}
		if w.Text == "}" {
			return b, p.fault(w, "a } that closes no block")
		}
		if strings.HasPrefix(w.Text, "(") && len(b.Keys) == 0 {
			return b, &UnsupportedError{p.name, w.Line, "the snippet " + w.Text}
		}
		key, comma := strings.CutSuffix(w.Text, ",")
		if key != "" {
			b.Keys = append(b.Keys, Word{key, w.Line})
		}
		more = comma || !p.lineEnds(p.at)
	}
	open := p.at < len(p.words) && p.words[p.at].Text == "{"
	if len(b.Keys) == 0 {
		return b, p.fault(p.words[min(p.at, len(p.words)-1)], "a server block without an address")
	}
	if open {
		if !p.lineEnds(p.at) {
			return b, p.fault(p.words[p.at], "words follow the { that opens a block")
		}
		p.at++
	}
	return b, p.directives(&b.Directives, 0, open)
}

// directives reads lines up to the } that closes the block, or to the end of the text.
func (p *parser) directives(out *[]Directive, depth int, closed bool) error {
	if depth > maxDepth {
		return p.fault(p.last(), "blocks nest more than %d deep", maxDepth)
	}
	for p.at < len(p.words) {
		if p.words[p.at].Text == "}" {
			if !closed {
				return p.fault(p.words[p.at], "a } that closes no block")
			}
			p.at++
			return nil
		}
		d, err := p.directive(depth)
		if err != nil {
			return err
		}
		*out = append(*out, d)
	}
	if closed {
		return p.fault(p.last(), "the text ends inside a block")
	}
	return nil
}

func (p *parser) directive(depth int) (Directive, error) {
	d := Directive{Word: p.words[p.at]}
	if err := p.plain(d.Word); err != nil {
		return d, err
	}
	if d.Text == "{" {
		return d, p.fault(d.Word, "a { on a line of its own")
	}
	if d.Text == "import" {
		return d, &UnsupportedError{p.name, d.Line, "import"}
	}
	for end := p.lineEnds(p.at); !end; {
		p.at++
		w := p.words[p.at]
		if err := p.plain(w); err != nil {
			return d, err
		}
		end = p.lineEnds(p.at)
		if w.Text == "{" {
			if !end {
				return d, p.fault(w, "words follow the { that opens a block")
			}
			p.at++
			return d, p.directives(&d.Body, depth+1, true)
		}
		d.Args = append(d.Args, w)
	}
	p.at++
	return d, nil
}

// plain refuses words that stand for a variable of CoreDNS's environment.
func (p *parser) plain(w Word) error {
	for _, sign := range []string{"{$", "{%"} {
		if strings.Contains(w.Text, sign) {
			return &UnsupportedError{p.name, w.Line, fmt.Sprintf("the variable in %q", w.Text)}
		}
	}
	return nil
}

// directiveNames are the plugins CoreDNS is built with, in the order in which a message passes them whatever the order of
// lines (coredns plugin.cfg, v1.15.0). Order is the design here: hosts comes before kubernetes, forward after it.
var directiveNames = []string{
	"root", "metadata", "geoip", "cancel", "proxyproto", "quic", "grpc_server", "https", "https3", "timeouts", "multisocket",
	"reload", "nsid", "bufsize", "bind", "debug", "trace", "ready", "health", "pprof", "shed", "prometheus", "errors", "log",
	"dnstap", "local", "dns64", "any", "chaos", "loadbalance", "tsig", "rewrite", "autopath", "acl", "cache", "header",
	"dnssec", "tls", "minimal", "template", "transfer", "hosts", "route53", "azure", "clouddns", "k8s_external",
	"kubernetes", "file", "auto", "secondary", "etcd", "loop", "forward", "grpc", "erratic", "whoami", "on", "sign", "view",
	"nomad",
}

func known(directive string) bool { return slices.Contains(directiveNames, directive) }
