package iptables

import "strings"

// The limits of iptables-restore's line reader (iptables/iptables-restore.c and xshared.c, v1.8.9).
const (
	maxLineBytes  = 10239
	maxParamBytes = 1023
	maxParams     = 254
)

// token is one argument of a line.
type token struct {
	text   string
	quoted bool
}

// splitRestore cuts a line as iptables-restore does: blanks separate, double quotes join, a backslash inside quotes takes the
// next character as it is, and a closing quote ends the argument (xshared.c, add_param_to_argv).
func splitRestore(into []token, line string) ([]token, error) {
	i := 0
	for i < len(line) {
		c := line[i]
		if c == ' ' || c == '\t' || c == '\n' {
			i++
			continue
		}
		start, end, quoted := i, len(line), false
		for ; i < len(line); i++ {
			c = line[i]
			if c == '"' {
				quoted = true
				break
			}
			if c == ' ' || c == '\t' || c == '\n' {
				end = i
				break
			}
		}
		if !quoted {
			into = append(into, token{text: line[start:end]})
		} else {
			text, next := unquote(line, start, i)
			into = append(into, token{text: text, quoted: true})
			i = next
		}
		t := into[len(into)-1].text
		switch {
		case len(t) > maxParamBytes:
			return nil, refuse("argument", "longer than 1023 bytes", t)
		case len(into) > maxParams:
			return nil, refuse("line", "more than 254 arguments", "")
		}
	}
	return into, nil
}

// unclosed reports whether a line ends inside quotes: its last argument then takes in the new line.
func unclosed(line string) bool {
	if strings.IndexByte(line, '"') < 0 {
		return false
	}
	open := false
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '"':
			open = !open
		case line[i] == '\\' && open:
			i++
		}
	}
	return open
}

// unquote reads an argument of which line[start:quote] stands before its first quote. It returns the position after the
// argument. An unclosed quote runs to the end of the line.
func unquote(line string, start, quote int) (string, int) {
	i := quote + 1
	for i < len(line) && line[i] != '"' && line[i] != '\\' {
		i++
	}
	if start == quote && (i == len(line) || line[i] == '"') {
		return line[quote+1 : i], min(i+1, len(line))
	}
	var b strings.Builder
	b.WriteString(line[start:quote])
	b.WriteString(line[quote+1 : i])
	for i < len(line) {
		switch c := line[i]; {
		case c == '"':
			return b.String(), i + 1
		case c == '\\' && i+1 < len(line):
			i++
			b.WriteByte(line[i])
		case c != '\\':
			b.WriteByte(c)
		}
		i++
	}
	return b.String(), i
}

// splitShell cuts a command line as a shell does: single and double quotes, backslashes.
func splitShell(s string) ([]token, error) {
	var out []token
	var b strings.Builder
	in, quoted := false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case ' ', '\t', '\n', '\r':
			if in {
				out = append(out, token{b.String(), quoted})
				b.Reset()
				in, quoted = false, false
			}
		case '\'', '"':
			in, quoted = true, true
			end := i + 1
			for ; end < len(s) && s[end] != c; end++ {
				if c == '"' && s[end] == '\\' && end+1 < len(s) && strings.IndexByte("\"\\$`", s[end+1]) >= 0 {
					end++
				}
				b.WriteByte(s[end])
			}
			if end == len(s) {
				return nil, refuse("command line", "unclosed quote", s)
			}
			i = end
		case '\\':
			if in = true; i+1 < len(s) {
				i++
				b.WriteByte(s[i])
			}
		default:
			in = true
			b.WriteByte(c)
		}
	}
	if in {
		out = append(out, token{b.String(), quoted})
	}
	return out, nil
}
