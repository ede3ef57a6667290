package ipset

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
)

// Store is a node's sets. The zero value is not valid: use NewStore.
type Store struct {
	sets  map[string]*Set
	order []string // as created
	// InUse says whether a rule names a set, which then cannot be destroyed or renamed; nil: no rule does.
	InUse func(name string) bool
}

// NewStore returns a store without sets.
func NewStore() *Store { return &Store{sets: map[string]*Set{}} }

// Has reports whether a set exists.
func (st *Store) Has(name string) bool { return st.sets[name] != nil }

// Set returns a set, nil when it does not exist.
func (st *Store) Set(name string) *Set { return st.sets[name] }

// Names returns the names of the sets as they were created.
func (st *Store) Names() []string { return slices.Clone(st.order) }

// Clone returns a copy that changes independently.
func (st *Store) Clone() *Store {
	c := &Store{sets: make(map[string]*Set, len(st.sets)), order: slices.Clone(st.order), InUse: st.InUse}
	for n, s := range st.sets {
		k := *s
		k.entries = slices.Clone(s.entries)
		k.index, k.lensA, k.lensB = maps.Clone(s.index), maps.Clone(s.lensA), maps.Clone(s.lensB)
		c.sets[n] = &k
	}
	return c
}

// Restore runs the commands of a text, one a line, as ipset restore does; it stops at the first that is refused, with a
// *CommandError, and what went before stays.
func (st *Store) Restore(now time.Duration, file, text string) error {
	return st.restore(now, file, text, 1)
}

func (st *Store) restore(now time.Duration, file, text string, first int) error {
	for n := first; text != ""; n++ {
		line := text
		if i := strings.IndexByte(text, '\n'); i >= 0 {
			line, text = text[:i], text[i+1:]
		} else {
			text = ""
		}
		line = strings.TrimSuffix(line, "\r")
		if trimmed := strings.TrimSpace(line); trimmed == "" || trimmed[0] == '#' || trimmed == "COMMIT" {
			continue
		}
		if err := st.Exec(now, line); err != nil {
			var e *CommandError
			if errors.As(err, &e) {
				e.File, e.Line = file, n
			}
			return err
		}
	}
	return nil
}

// Exec runs one command: create, add, del, test, flush, destroy, swap or rename, with -exist where ipset takes it. test of
// an absent entry is ErrNoEntry. Errors are *CommandError.
func (st *Store) Exec(now time.Duration, command string) error {
	args, err := words(command)
	if err == nil {
		err = st.run(now, args)
	}
	if err != nil {
		return &CommandError{Command: command, Err: err}
	}
	return nil
}

func (st *Store) run(now time.Duration, args []string) error {
	exist := false
	args = slices.DeleteFunc(args, func(a string) bool {
		if a == "-exist" || a == "-!" || a == "--exist" {
			exist = true
			return true
		}
		return false
	})
	if len(args) == 0 {
		return &SyntaxError{"command", "", "missing"}
	}
	name := ""
	if len(args) > 1 {
		name = args[1]
	}
	need := func(n int) error {
		if len(args) < n {
			return &SyntaxError{"command", args[0], "missing argument"}
		}
		return nil
	}
	switch args[0] {
	case "create", "-N", "n":
		if err := need(3); err != nil {
			return err
		}
		return st.create(name, Type(args[2]), args[3:], exist)
	case "add", "-A", "a", "del", "-D", "d", "test", "-T", "t":
		if err := need(3); err != nil {
			return err
		}
		s := st.sets[name]
		if s == nil {
			return ErrNoSet
		}
		return st.change(s, now, strings.TrimLeft(args[0], "-")[0]|0x20, args[2], args[3:], exist)
	case "flush", "-F", "f":
		return st.each(name, func(s *Set) error { s.flush(); return nil })
	case "destroy", "-X", "x":
		return st.each(name, st.destroy)
	case "swap", "-W", "w":
		if err := need(3); err != nil {
			return err
		}
		return st.swap(name, args[2])
	case "rename", "-E", "e":
		if err := need(3); err != nil {
			return err
		}
		return st.rename(name, args[2])
	}
	return &SyntaxError{"command", args[0], "unknown"}
}

// each runs f for one set, or for all when the name is empty.
func (st *Store) each(name string, f func(*Set) error) error {
	if name != "" {
		if st.sets[name] == nil {
			return ErrNoSet
		}
		return f(st.sets[name])
	}
	for _, n := range slices.Clone(st.order) {
		if err := f(st.sets[n]); err != nil {
			return err
		}
	}
	return nil
}

// referred reports whether a rule or a list names a set.
func (st *Store) referred(name string) bool {
	if st.InUse != nil && st.InUse(name) {
		return true
	}
	for _, s := range st.sets {
		if _, ok := s.index[Entry{Member: name}]; ok && s.Type == ListSet {
			return true
		}
	}
	return false
}

func (st *Store) destroy(s *Set) error {
	if st.referred(s.Name) {
		return ErrInUse
	}
	delete(st.sets, s.Name)
	st.order = slices.DeleteFunc(st.order, func(n string) bool { return n == s.Name })
	return nil
}

func (st *Store) swap(a, b string) error {
	x, y := st.sets[a], st.sets[b]
	switch {
	case x == nil || y == nil:
		return ErrNoSet
	case x.Type != y.Type || x.Family != y.Family:
		return ErrTypeMismatch
	}
	x.Name, y.Name = b, a
	st.sets[a], st.sets[b] = y, x
	return nil
}

func (st *Store) rename(from, to string) error {
	s := st.sets[from]
	switch {
	case s == nil:
		return ErrNoSet
	case st.sets[to] != nil:
		return ErrSetExists
	case st.referred(from):
		return ErrInUse
	}
	if err := checkName(to); err != nil {
		return err
	}
	delete(st.sets, from)
	s.Name = to
	st.sets[to] = s
	st.order[slices.Index(st.order, from)] = to
	return nil
}

func checkName(n string) error {
	const most = 31 // IPSET_MAXNAMELEN less its end
	if n == "" || len(n) > most {
		return &SyntaxError{"set name", n, "must have 1 to 31 characters"}
	}
	return nil
}

// words cuts a command at blanks; double quotes join.
func words(s string) ([]string, error) {
	var out []string
	for {
		s = strings.TrimLeft(s, " \t")
		if s == "" {
			return out, nil
		}
		if s[0] == '"' {
			end := strings.IndexByte(s[1:], '"')
			if end < 0 {
				return nil, &SyntaxError{"quote", s, "not closed"}
			}
			out = append(out, s[1:1+end])
			s = s[end+2:]
			continue
		}
		end := strings.IndexAny(s, " \t")
		if end < 0 {
			end = len(s)
		}
		if strings.IndexByte(s[:end], 0) >= 0 {
			return nil, &SyntaxError{"command", s[:end], "contains a NUL byte"}
		}
		out = append(out, s[:end])
		s = s[end:]
	}
}
