package iptables

import (
	"strconv"
	"strings"
)

// parseUint reads a number as xtables_strtoul with base 0 does: decimal, 0x hexadecimal, 0 octal, a plus sign or blanks in front; no
// minus sign, nothing after it.
func parseUint(s string, most uint64) (uint64, bool) {
	if len(s) > 0 && len(s) <= 5 { // the common case: a port, a prefix length
		n, ok := uint64(0), s[0] != '0' || len(s) == 1
		for i := 0; ok && i < len(s); i++ {
			ok = s[i] >= '0' && s[i] <= '9'
			n = n*10 + uint64(s[i]-'0')
		}
		if ok {
			return n, n <= most
		}
	}
	s = strings.TrimPrefix(strings.TrimLeft(s, " \t"), "+")
	if s == "" || s[0] == '+' || strings.IndexByte(s, '_') >= 0 || len(s) > 24 {
		return 0, false
	}
	base := 10
	switch {
	case strings.HasPrefix(s, "0x"), strings.HasPrefix(s, "0X"):
		s, base = s[2:], 16
	case len(s) > 1 && s[0] == '0':
		s, base = s[1:], 8
	}
	n, err := strconv.ParseUint(s, base, 64)
	return n, err == nil && n <= most
}

// parsePair reads V or V/M, both 32 bits, as mark options do. Without a mask it is all ones.
func parsePair(opt, s string) (v, m uint32, err error) {
	a, b, masked := strings.Cut(s, "/")
	n, ok := parseUint(a, 1<<32-1)
	k := uint64(1<<32 - 1)
	if ok && masked {
		k, ok = parseUint(b, 1<<32-1)
	}
	if !ok {
		return 0, 0, refuse(opt, "bad integer value, or out of range", s)
	}
	return uint32(n), uint32(k), nil
}

func appendHex(b []byte, n uint32) []byte {
	b = append(b, "0x"...)
	return strconv.AppendUint(b, uint64(n), 16)
}

// appendString quotes a text where iptables-save does (libxtables, xtables_save_string).
func appendString(b []byte, s string) []byte {
	plain := s != ""
	for i := 0; i < len(s) && plain; i++ {
		c := s[i]
		plain = c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	b = append(b, ' ')
	if plain {
		return append(b, s...)
	}
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '"' || c == '\\' || c == '\'' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// parseRange reads N, or two numbers with a separator between them; either may be left out.
func parseRange(o *option, sep string, most uint64) (lo, hi uint64, err error) {
	a, b, isRange := strings.Cut(o.arg, sep)
	ok := true
	if a != "" || !isRange {
		lo, ok = parseUint(a, most)
	}
	hi = most
	switch {
	case !isRange:
		hi = lo
	case ok && b != "":
		hi, ok = parseUint(b, most)
	}
	if !ok {
		return 0, 0, o.badValue()
	}
	return lo, hi, nil
}

// parseOrdered is parseRange where the first number may not be above the second.
func parseOrdered(o *option, sep string, most uint64) (lo, hi uint64, err error) {
	if lo, hi, err = parseRange(o, sep, most); err == nil && lo > hi {
		err = o.badValue()
	}
	return lo, hi, err
}

func appendRange(b []byte, lo, hi uint64) []byte {
	b = strconv.AppendUint(b, lo, 10)
	if hi != lo {
		b = append(b, ':')
		b = strconv.AppendUint(b, hi, 10)
	}
	return b
}

// appendBits lists the names of the bits set, comma-separated.
func appendBits(b []byte, set uint, names []string) []byte {
	first := true
	for i, n := range names {
		if set&(1<<i) != 0 {
			if !first {
				b = append(b, ',')
			}
			b, first = append(b, n...), false
		}
	}
	return b
}
