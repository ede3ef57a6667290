package dns

import "fmt"

// Libc is the resolver a program uses.
type Libc string

// The resolvers told apart. They differ in the order of names, in when the search goes on and in what a truncated answer
// makes them do.
const (
	Glibc   Libc = "glibc"
	Musl    Libc = "musl"       // 1.2.4 and later: truncated answers are asked for again over TCP
	OldMusl Libc = "musl-1.2.3" // takes the addresses that a truncated answer holds
	Go      Libc = "go"         // the resolver of Go's package net
)

// ParseLibc reads the name of a resolver; "" is glibc.
func ParseLibc(s string) (Libc, error) {
	switch l := Libc(s); l {
	case "":
		return Glibc, nil
	case Glibc, Musl, OldMusl, Go:
		return l, nil
	}
	return "", fmt.Errorf("%q is not a resolver: glibc, musl, musl-1.2.3 and go are", s)
}
