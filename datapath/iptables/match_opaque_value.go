package iptables

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// parseGroup reads V or V/M and spells it as iptables-save does; 0 has a name.
func parseGroup(o *option, zero string) (string, error) {
	if o.arg == zero {
		return zero, nil
	}
	v, m, err := parsePair("--"+o.name, o.arg)
	switch {
	case err != nil:
		return "", err
	case m != u32:
		return string(appendHex(append(appendHex(nil, v), '/'), m)), nil
	case v == 0:
		return zero, nil
	}
	return string(appendHex(nil, v)), nil
}

func parseDevGroup(o *option) (string, error) { return parseGroup(o, "default") }

// parseTransform reads the protocol of an IPsec transform.
func parseTransform(o *option) (string, error) {
	switch p, err := parseProtocol(o.arg); {
	case err != nil:
		return "", err
	case p == 50 || p == 51 || p == 108:
		return protocolName(p), nil
	}
	return "", refuse("--proto", "protocol must be ah, esp or ipcomp", o.arg)
}

// maxPattern is the longest text that -m string looks for (XT_STRING_MAX_PATTERN_SIZE).
const maxPattern = 128

// parseString reads the text of --string.
func parseString(o *option) (string, error) {
	if o.arg == "" || len(o.arg) > maxPattern {
		return "", o.badValue()
	}
	return o.arg, nil
}

// parseHexString reads text with bytes in hexadecimal between bars.
func parseHexString(o *option) (string, error) {
	var b, digits []byte
	hexed := false
	for _, c := range []byte(o.arg) {
		switch {
		case c == '|':
			var err error
			if b, err = hex.AppendDecode(b, digits); err != nil {
				return "", o.badValue()
			}
			hexed, digits = !hexed, nil
		case !hexed:
			b = append(b, c)
		case c != ' ':
			digits = append(digits, c)
		}
	}
	if hexed || len(b) == 0 || len(b) > maxPattern {
		return "", o.badValue()
	}
	return string(b), nil
}

// appendPattern spells the text of -m string: in hexadecimal when bytes of it cannot be printed or it ends in a backslash
// (libxt_string.c, is_hex_string).
func appendPattern(b []byte, s string) []byte {
	plain := s[len(s)-1] != '\\'
	for i := range len(s) {
		plain = plain && s[i] >= ' ' && s[i] < 127
	}
	if !plain {
		return append(hex.AppendEncode(append(b, " --hex-string \"|"...), []byte(s)), "|\""...)
	}
	b = append(b, " --string \""...)
	return append(append(b, strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(s)...), '"')
}

func parseClock(o *option) (string, error) {
	for _, layout := range [...]string{"15:4:5", "15:4"} {
		if t, err := time.Parse(layout, o.arg); err == nil {
			return t.Format("15:04:05"), nil
		}
	}
	return "", o.badValue()
}

func parseDate(o *option) (string, error) {
	for _, layout := range [...]string{"2006-1-2T15:4:5", "2006-1-2T15:4", "2006-1-2T15", "2006-1-2", "2006-1", "2006"} {
		if t, err := time.Parse(layout, o.arg); err == nil {
			return t.Format("2006-01-02T15:04:05"), nil
		}
	}
	return "", o.badValue()
}

func parseMonthDays(o *option) (string, error) {
	var out []string
	given := map[int]bool{}
	for s := range strings.SplitSeq(o.arg, ",") {
		n, ok := parseUint(s, 31)
		if !ok || n == 0 {
			return "", o.badValue()
		}
		given[int(n)] = true
	}
	for d := 1; d <= 31; d++ {
		if given[d] {
			out = append(out, strconv.Itoa(d))
		}
	}
	return strings.Join(out, ","), nil
}

// settleTime puts down what iptables-save prints of -m time: both ends of the day if one is not midnight, the last second there is,
// and the other days in place of inverted ones (libxt_time.c, time_save).
func (m *Opaque) settleTime() {
	if m.values == nil {
		m.values = map[string]opaqueValue{}
	}
	start, stop := opaqueValue{text: "00:00:00"}, opaqueValue{text: "23:59:59"}
	if v, ok := m.values["timestart"]; ok {
		start = v
	}
	if v, ok := m.values["timestop"]; ok {
		stop = v
	}
	m.values["timestart"], m.values["timestop"] = start, stop
	if start.text == "00:00:00" && stop.text == "23:59:59" {
		delete(m.values, "timestart")
		delete(m.values, "timestop")
	}
	if !m.has("datestop") {
		m.values["datestop"] = opaqueValue{text: "2038-01-19T03:14:07"}
	}
	if v := m.values["weekdays"]; v.invert {
		var others []string
		for _, d := range weekDays {
			if !strings.Contains(v.text, d) {
				others = append(others, d)
			}
		}
		m.values["weekdays"] = opaqueValue{text: strings.Join(others, ",")}
	}
}

var weekDays = [...]string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}

func parseWeekDays(o *option) (string, error) {
	names := weekDays
	var given [7]bool
next:
	for s := range strings.SplitSeq(o.arg, ",") {
		if n, ok := parseUint(s, 7); ok && n > 0 {
			given[n-1] = true
			continue
		}
		for i, n := range names {
			if len(s) >= 2 && s[:2] == n[:2] && len(s) <= 9 {
				given[i] = true
				continue next
			}
		}
		return "", o.badValue()
	}
	var out []string
	for i, g := range given {
		if g {
			out = append(out, names[i])
		}
	}
	return strings.Join(out, ","), nil
}

// parseHeaders reads a list of IPv6 extension headers, by the names that iptables-save prints or their short forms.
func parseHeaders(o *option) (string, error) {
	names := map[string]string{
		"hop": "hop-by-hop", "dst": "ipv6-opts", "route": "ipv6-route", "frag": "ipv6-frag", "auth": "ah", "esp": "esp",
		"none": "ipv6-nonxt", "prot": "protocol",
	}
	for _, long := range names {
		names[long] = long
	}
	var out []string
	for s := range strings.SplitSeq(o.arg, ",") {
		n, ok := names[s]
		if !ok {
			return "", o.badValue()
		}
		out = append(out, n)
	}
	return strings.Join(out, ","), nil
}
