package wire

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
)

// offsets head the lines of dumps: "0x0010:  " of tcpdump -x, "0010  " of tshark -x, od and hexdump -C.
var offsets = regexp.MustCompile(`^\s*(0x[0-9a-fA-F]{4,8}:\s|[0-9a-fA-F]{4,8}  )\s*`)

// ParseHex reads the bytes of a packet: digits with or without blanks, colons or 0x between them, or the lines of a dump, whose
// offsets, columns of text and headings are passed over. An error is a HexError.
func ParseHex(text string) ([]byte, error) {
	p := hexParser{text: text}
	at := 0
	if hasOffsets(text) {
		for line := range strings.Lines(text) {
			if head := offsets.FindString(line); head != "" {
				digits, _, _ := strings.Cut(strings.TrimRight(line[len(head):], "\r\n"), "  ")
				if err := p.read(digits, at+len(head)); err != nil {
					return nil, err
				}
			}
			at += len(line)
		}
	} else if err := p.read(text, 0); err != nil {
		return nil, err
	}
	switch {
	case p.half:
		return nil, &HexError{At: p.last, Text: p.around(p.last), Why: "half a byte is left over"}
	case len(p.out) == 0:
		return nil, &HexError{Why: "there are no bytes"}
	}
	return p.out, nil
}

func hasOffsets(text string) bool {
	for line := range strings.Lines(text) {
		if offsets.MatchString(line) {
			return true
		}
	}
	return false
}

type hexParser struct {
	text string
	out  []byte
	half bool
	last int // where the last digit stood
}

// read takes the digits of a text that stands at a place in the whole.
func (p *hexParser) read(text string, at int) error {
	for i := 0; i < len(text); i++ {
		c := text[i]
		v := -1
		switch {
		case c >= '0' && c <= '9':
			v = int(c - '0')
		case c >= 'a' && c <= 'f':
			v = int(c-'a') + 10
		case c >= 'A' && c <= 'F':
			v = int(c-'A') + 10
		case strings.IndexByte(" \t\r\n:,-", c) >= 0:
			if p.half && strings.IndexByte(":,-", c) >= 0 {
				return &HexError{At: at + i, Text: p.around(at + i), Why: "half a byte before it"}
			}
			continue
		default:
			return &HexError{At: at + i, Text: p.around(at + i), Why: "not a hexadecimal digit"}
		}
		if c == '0' && !p.half && i+1 < len(text) && (text[i+1] == 'x' || text[i+1] == 'X') {
			i++
			continue
		}
		if len(p.out) >= MaxBlockBytes {
			return &HexError{Why: fmt.Sprintf("more than %d bytes are no packet", MaxBlockBytes)}
		}
		if p.last = at + i; p.half {
			p.out[len(p.out)-1] |= byte(v)
		} else {
			p.out = append(p.out, byte(v<<4))
		}
		p.half = !p.half
	}
	return nil
}

// around quotes a few characters on either side of one.
func (p *hexParser) around(at int) string {
	return strings.TrimSpace(strings.ToValidUTF8(p.text[max(0, at-4):min(len(p.text), at+5)], "?"))
}

// GuessLink tells whether bytes are a packet from its IP header on or an Ethernet frame. What could be either is a packet when its
// header sums up, and what is neither is one too, so that whoever reads it says what is wrong.
func GuessLink(b []byte) LinkType {
	if len(b) < 15 {
		if len(b) == 14 && ipType(binary.BigEndian.Uint16(b[12:])) {
			return Ethernet
		}
		return Raw
	}
	if b[0]>>4 == 4 && len(b) >= 20 && b[0]&15 == 5 && fold(sum(0, b[:20])) == 0xffff {
		return Raw
	}
	switch t := binary.BigEndian.Uint16(b[12:]); {
	case isTag(t), t == etherIPv4 && b[14]>>4 == 4, t == etherIPv6 && b[14]>>4 == 6:
		return Ethernet
	case ipType(t) && b[0]>>4 != 4 && b[0]>>4 != 6:
		return Ethernet
	}
	return Raw
}

func ipType(t uint16) bool { return t == etherIPv4 || t == etherIPv6 || isTag(t) }
