package ipset

import "strings"

// ReadDump reads what ipset save printed, what ipset restore is fed, or what ipset list printed (indented or not, several after each
// other). Errors are *CommandError with file and line.
func ReadDump(file string, data []byte) (*Store, error) {
	st := NewStore()
	text := string(data)
	if !isListing(text) {
		if err := st.Restore(0, file, text); err != nil {
			return nil, err
		}
		return st, nil
	}
	name, typ, members := "", "", false
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		key, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		var err error
		switch {
		case line == "":
		case ok && key == "Name":
			name, typ, members = value, "", false
		case name == "":
			err = &CommandError{Command: line, Err: &SyntaxError{"listing", line, "no set begun (Name:)"}}
		case ok && key == "Type" && !members:
			typ = value
		case ok && key == "Header" && !members:
			err = st.Exec(0, "create "+name+" "+typ+" "+value)
		case ok && key == "Members" && value == "":
			members = true
		case members:
			err = st.Exec(0, "add "+name+" "+line)
		case ok: // Revision, Size in memory, References, Number of entries, Default skb...
		default:
			err = &CommandError{Command: line, Err: &SyntaxError{"listing", line, "unknown line"}}
		}
		if err != nil {
			e := err.(*CommandError)
			e.File, e.Line = file, n+1
			return nil, e
		}
	}
	return st, nil
}

func isListing(text string) bool {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			return strings.HasPrefix(line, "Name:")
		}
	}
	return false
}
