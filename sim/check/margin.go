package check

import (
	"fmt"
	"math/big"
	"strings"
)

// Margin says how far a share may lie from the expected one and still count as
// the same: Relative times the share, but at least Floor. The zero value allows
// nothing and so never passes where there is chance.
type Margin struct {
	Relative *big.Rat // of the share: 1/10 is ten percent
	Floor    *big.Rat // in share: 1/200 is half a point
}

// DefaultMargin is 10 % of the share, at least 0.5 points.
func DefaultMargin() Margin { return Margin{Relative: big.NewRat(1, 10), Floor: big.NewRat(1, 200)} }

// ParseMargin reads "10%" (of the share, no floor), "0.5 points" (absolute), or
// both: "10%, at least 0.5 points". The empty text is DefaultMargin. The error
// is an *InputError.
func ParseMargin(text string) (Margin, error) {
	bad := func(reason string) (Margin, error) { return Margin{}, &InputError{"margin", text, reason} }
	if strings.TrimSpace(text) == "" {
		return DefaultMargin(), nil
	}
	var m Margin
	for i, part := range strings.Split(text, ",") {
		part = strings.TrimSpace(part)
		if i == 1 {
			part = strings.TrimSpace(strings.TrimPrefix(part, "at least"))
		}
		target, number := &m.Floor, part
		switch {
		case i > 1:
			return bad("want at most a percentage and a floor in points")
		case strings.HasSuffix(part, "%") && i == 0:
			target, number = &m.Relative, strings.TrimSuffix(part, "%")
		case strings.HasSuffix(part, "points"):
			number = strings.TrimSuffix(part, "points")
		case strings.HasSuffix(part, "point"):
			number = strings.TrimSuffix(part, "point")
		default:
			return bad(`want a percentage of the share such as "10%" or points such as "0.5 points"`)
		}
		v, err := parseDecimal(strings.TrimSpace(number))
		if err != nil {
			return bad(err.Error())
		}
		if v.Sign() <= 0 || v.Cmp(big.NewRat(100, 1)) > 0 {
			return bad("must be above 0 and at most 100")
		}
		*target = v.Quo(v, big.NewRat(100, 1))
	}
	return m, nil
}

// Of is the margin around a share, in share.
func (m Margin) Of(share *big.Rat) *big.Rat {
	width := new(big.Rat)
	if m.Relative != nil {
		width.Mul(m.Relative, share)
	}
	if m.Floor != nil && m.Floor.Cmp(width) > 0 {
		width.Set(m.Floor)
	}
	return width
}

// String writes what ParseMargin reads.
func (m Margin) String() string {
	points := func(r *big.Rat) string { return decimal(new(big.Rat).Mul(r, big.NewRat(100, 1))) }
	switch {
	case m.Relative != nil && m.Floor != nil:
		return fmt.Sprintf("%s%%, at least %s points", points(m.Relative), points(m.Floor))
	case m.Relative != nil:
		return points(m.Relative) + "%"
	case m.Floor != nil:
		return points(m.Floor) + " points"
	default:
		return "none"
	}
}

// decimal prints a fraction in full where it ends within 40 digits, as whatever
// parseDecimal read does, and else in six digits after the point.
func decimal(r *big.Rat) string {
	digits, exact := r.FloatPrec()
	if !exact || digits > 40 {
		digits = 6
	}
	return r.FloatString(digits)
}

// parseDecimal reads a plain decimal of at most 40 digits: no exponent and no
// fraction, either of which could ask for a number of any size.
func parseDecimal(text string) (*big.Rat, error) {
	if text == "" || len(text) > 40 || strings.Trim(text, "0123456789.") != "" || strings.Count(text, ".") > 1 || text == "." {
		return nil, fmt.Errorf("%q is not a decimal number", text)
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, fmt.Errorf("%q is not a decimal number", text)
	}
	return r, nil
}
