package report

import (
	"encoding/json"
	"io"
	"math"
	"strconv"
	"strings"
)

// Number is a real number that is printed with at most six significant digits, so that processors which round
// differently print the same. Infinities print as the strings "+Inf" and "-Inf".
type Number float64

// Num returns a pointer to a Number, for optional fields.
func Num(x float64) *Number {
	n := Number(x)
	return &n
}

func (n Number) String() string { return strconv.FormatFloat(float64(n), 'g', 6, 64) }

// MarshalJSON prints the number as String does.
func (n Number) MarshalJSON() ([]byte, error) {
	if math.IsInf(float64(n), 0) || math.IsNaN(float64(n)) {
		return json.Marshal(n.String())
	}
	return []byte(n.String()), nil
}

// UnmarshalJSON reads what MarshalJSON prints.
func (n *Number) UnmarshalJSON(b []byte) error {
	x, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	*n = Number(x)
	return err
}

// Decimal is a share as a decimal number of eleven significant digits: those that iptables-save shows of one third.
type Decimal string

// DecimalOf prints a share; trailing zeros are left out.
func DecimalOf(x float64) Decimal { return Decimal(strconv.FormatFloat(x, 'g', 11, 64)) }

// percent shows the share in hundredths.
func (d Decimal) percent() string {
	x, _ := strconv.ParseFloat(string(d), 64)
	return strconv.FormatFloat(x*100, 'f', 2, 64) + " %"
}

// MarshalJSON prints the digits as a JSON number.
func (d Decimal) MarshalJSON() ([]byte, error) {
	if d == "" {
		return []byte("0"), nil
	}
	return []byte(d), nil
}

// UnmarshalJSON keeps the digits.
func (d *Decimal) UnmarshalJSON(b []byte) error {
	*d = Decimal(b)
	return nil
}

// WriteJSON prints a value as one indented document; with line, on one line.
func WriteJSON(w io.Writer, v any, line bool) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if !line {
		e.SetIndent("", "  ")
	}
	return e.Encode(v)
}
