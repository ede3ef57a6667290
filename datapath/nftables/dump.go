package nftables

import "strings"

// Dump is a ruleset as read from text, and how that text was spelled.
type Dump struct {
	Ruleset *Ruleset
	Dialect Dialect
	Handles bool // the text was `nft -a`
}

// ReadDump reads nft text: what `nft list` prints, or commands. Fragments of listings are taken, although their rules lead to
// what the text does not show; commands must lead to something. Errors are PositionErrors.
func ReadDump(name string, data []byte) (*Dump, error) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	p := parser{file: name, lex: lexer{src: text, line: 1}}
	cmds, err := p.parse()
	if err != nil {
		return nil, err
	}
	d := &Dump{Ruleset: &Ruleset{}, Handles: p.handles}
	if p.blocks {
		d.Dialect = List
	}
	if err := d.Ruleset.apply(cmds, p.blocks); err != nil {
		return nil, err
	}
	return d, nil
}

// Print spells the dump in its own dialect.
func (d *Dump) Print() string { return d.Ruleset.Print(d.Dialect, d.Handles) }
