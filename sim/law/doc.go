// Package law holds the rules of the house as tests: which room may import which, what is pure, which words and
// folders may be in the tree, and for which other systems the program builds. It has no code of its own; each rule is a
// row of data with the reason that is printed when it is broken.
package law
