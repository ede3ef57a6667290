package input

import "errors"

// readJSON reads JSON values one after the other: objects, lists, arrays of objects, newline-delimited or not. Lists are
// taken apart while they are read, one tree an item, so that memory follows the objects and not the text.
func (r *reader) readJSON() {
	j := newJSONReader(r.file, &r.arena)
	for j.more() && !r.done() {
		var err error
		if j.data[j.pos] == '[' {
			err = r.jsonItems(j, "", "", "")
		} else if kind, version, items := j.peek(); items && isList(kind) {
			err = r.jsonList(j, kind[:len(kind)-len("List")], version)
		} else {
			err = r.jsonDocument(j)
		}
		if err == errEnough {
			return
		}
		if err != nil {
			if !r.flowYAML() {
				r.fail(err)
			}
			return
		}
	}
}

// flowYAML reads a file that looked like JSON and is not as YAML in flow style, and reports whether it is that. Large
// files are not tried: nobody writes them so.
func (r *reader) flowYAML() bool {
	if r.added > 0 || len(r.file.data) > 1<<20 {
		return false
	}
	docs := r.file.cut()
	if len(docs) != 1 {
		return false
	}
	n, err := docs[0].parseYAML(&r.arena)
	if err == nil {
		r.document(n)
	}
	return err == nil
}

// errEnough ends the reading of a file after maxFaults faults.
var errEnough = errors.New("too many faults")

func (r *reader) jsonDocument(j *jsonReader) error {
	j.arena.reset(freeNodes + len(j.data)/jsonBytes)
	n, err := j.value(0)
	if err == nil {
		r.document(n)
	}
	return err
}

func (r *reader) jsonList(j *jsonReader, kind, version string) error {
	j.arena.reset(freeNodes + len(j.data)/jsonBytes)
	return j.members(func(key *node) error {
		j.space()
		if key.text == "items" && j.pos < len(j.data) && j.data[j.pos] == '[' {
			return r.jsonItems(j, "items", kind, version)
		}
		_, err := j.value(1)
		return err
	})
}

func (r *reader) jsonItems(j *jsonReader, path, kind, version string) error {
	i := 0
	return j.elements(func() error {
		j.arena.reset(freeNodes + len(j.data)/jsonBytes)
		n, err := j.value(2)
		if err != nil {
			return err
		}
		r.item(n, path, i, kind, version)
		if i++; r.done() {
			return errEnough
		}
		return nil
	})
}

// peek looks into the object that begins here without building it: its kind and API version, and whether it has items.
// What is malformed is left for the reading proper to find.
func (r *jsonReader) peek() (kind, version string, items bool) {
	p := jsonReader{file: r.file, data: r.data, pos: r.pos}
	if p.pos >= len(p.data) || p.data[p.pos] != '{' {
		return
	}
	p.pos++
	for {
		p.space()
		if p.pos >= len(p.data) || p.data[p.pos] != '"' {
			return
		}
		key, err := p.str()
		if err != nil {
			return
		}
		p.space()
		if p.pos >= len(p.data) || p.data[p.pos] != ':' {
			return
		}
		p.pos++
		p.space()
		start := p.pos
		if !p.skip() {
			return
		}
		switch key {
		case "items":
			items = p.data[start] == '['
		case "kind", "apiVersion":
			v := jsonReader{file: r.file, data: r.data, pos: start}
			if p.data[start] == '"' {
				s, _ := v.str()
				if key == "kind" {
					kind = s
				} else {
					version = s
				}
			}
		}
		p.space()
		if p.pos >= len(p.data) || p.data[p.pos] != ',' {
			return
		}
		p.pos++
	}
}

// skip passes over one value by its brackets and quotes.
func (r *jsonReader) skip() bool {
	depth := 0
	for r.pos < len(r.data) {
		switch c := r.data[r.pos]; c {
		case '"':
			for r.pos++; r.pos < len(r.data) && r.data[r.pos] != '"'; r.pos++ {
				if r.data[r.pos] == '\\' {
					r.pos++
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return true
			}
			depth--
			if depth == 0 {
				r.pos++
				return true
			}
		case ',':
			if depth == 0 {
				return true
			}
		}
		r.pos++
	}
	return false
}
