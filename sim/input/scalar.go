package input

import (
	"regexp"
	"strconv"
	"strings"
)

var yamlFloat = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)

// resolvePlain says what YAML 1.1, as Kubernetes reads it (sigs.k8s.io/yaml over go.yaml.in/yaml/v2, resolve.go), makes
// of an unquoted scalar: yes, no, on, off, y and n are booleans, 0777 is octal, 1_000 a number.
func resolvePlain(s string) kind {
	if s == "" {
		return kindNull
	}
	switch c := s[0]; {
	case c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.':
		return resolveNumber(s)
	case strings.IndexByte("yYnNtTfFoO~", c) >= 0:
		if len(s) <= 5 {
			return resolveWord(s)
		}
	}
	return kindString
}

func resolveWord(s string) kind {
	switch s {
	case "~", "null", "Null", "NULL":
		return kindNull
	case "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON",
		"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
		return kindBool
	}
	return kindString
}

func resolveNumber(s string) kind {
	if len(s) > 64 {
		return kindString
	}
	if s[0] == '.' {
		switch s {
		case ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF":
			return kindFloat
		}
	}
	switch s {
	case "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF":
		return kindFloat
	}
	for i := 0; i < len(s); i++ { // addresses, dates and names with a digit in front are the common case
		switch c := s[i]; {
		case c >= '0' && c <= '9', c == '.', c == '_', c == '+', c == '-', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F',
			c == 'x', c == 'X', c == 'o', c == 'O':
		default:
			return kindString
		}
	}
	if strings.Count(s, ".") > 1 {
		return kindString
	}
	plain := strings.ReplaceAll(s, "_", "")
	if _, ok := parseYAMLInt(plain); ok {
		return kindInt
	}
	if yamlFloat.MatchString(plain) {
		return kindFloat
	}
	return kindString
}

// parseYAMLInt reads an integer as YAML 1.1 does: decimal, 0x, 0b, 0o and 0 for octal.
func parseYAMLInt(s string) (int64, bool) {
	if v, err := strconv.ParseInt(s, 0, 64); err == nil {
		return v, true
	}
	if v, err := strconv.ParseUint(s, 0, 64); err == nil {
		return int64(v>>1) | 1<<62, true // too large for anything here, and still a number
	}
	return 0, false
}

// isTrue reports the value of a boolean's text.
func isTrue(s string) bool {
	switch s {
	case "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
		return true
	}
	return false
}

// leadingZero reports whether a number is written so that YAML 1.1 takes it for octal.
func leadingZero(s string) bool {
	s = strings.TrimLeft(s, "+-")
	return len(s) > 1 && s[0] == '0' && s[1] >= '0' && s[1] <= '9'
}

// whole reports whether a number with a point or an exponent is a whole one: 80.0, 1e3, and 08, which is not octal.
// On the way through JSON they become integers.
func (n *node) whole() bool {
	if n.kind != kindFloat || !n.plain {
		return false
	}
	f, err := strconv.ParseFloat(n.text, 64)
	return err == nil && f == float64(int64(f)) && f < 1<<53 && f > -1<<53
}

// trap explains an unquoted scalar that YAML 1.1 does not read as the text it shows, or returns "".
func (n *node) trap() string {
	if !n.plain {
		return ""
	}
	switch n.kind {
	case kindBool:
		if n.text != "true" && n.text != "false" {
			return "YAML reads the unquoted " + n.text + " as the boolean " + strconv.FormatBool(isTrue(n.text))
		}
	case kindInt:
		if leadingZero(n.text) {
			if v, ok := parseYAMLInt(strings.ReplaceAll(n.text, "_", "")); ok {
				return "YAML reads " + n.text + " as the octal number " + strconv.FormatInt(v, 10)
			}
		}
	}
	return ""
}
