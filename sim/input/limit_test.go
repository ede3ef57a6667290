package input

import (
	"errors"
	"flag"
	"runtime"
	"strings"
	"testing"
	"time"
)

// hostileBytes is the size of the inputs that are called 10 MB: -hostile=10485760 makes them so.
var hostileBytes = flag.Int("hostile", 3<<20, "bytes of a large hostile input")

// The ceilings of memory: so many times the input and so many bytes besides.
const (
	yamlTimes, yamlPlus = 48, 96 << 20
	jsonTimes, jsonPlus = 8, 64 << 20
)

// allocated is the number of bytes that f allocates altogether: it bounds what is ever held at once, whenever the
// garbage collector runs.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func ceiling(size int, json bool) uint64 {
	if json {
		return uint64(size)*jsonTimes + jsonPlus
	}
	return uint64(size)*yamlTimes + yamlPlus
}

// laughs is the alias bomb: each level names the one before ten times.
func laughs(levels int) string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\na0: &a0 [x]\n")
	for i := range levels {
		n, m := string(rune('a'+i)), "a0"
		if i > 0 {
			m = string(rune('a' + i - 1))
		}
		b.WriteString(n + ": &" + n + " [" + strings.TrimSuffix(strings.Repeat("*"+m+",", 10), ",") + "]\n")
	}
	return b.String()
}

// Hostile inputs end in one clear line, soon, and within the ceiling of memory.
func TestHostileInput(t *testing.T) {
	MB := *hostileBytes / 10 // the names say 10 MB
	rep := strings.Repeat
	doc := "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n"
	for _, c := range []struct {
		name, in string
		json     bool
		ok       bool // well-formed and accepted
	}{
		{name: "100,000 [ in YAML", in: doc + "  ports: " + rep("[", 100_000)},
		{name: "100,000 [", in: rep("[", 100_000), json: true},
		{name: "100,000 { in YAML", in: doc + "  ports: " + rep("{", 100_000)},
		{name: "100,000 {a: in YAML", in: doc + "  ports: " + rep("{a: ", 100_000)},
		{name: "100,000 objects in JSON", in: rep(`{"kind":`, 100_000), json: true},
		{name: "100,000 dashes", in: rep("- ", 100_000) + "a\n"},
		{name: "2,000 levels of indentation", in: levels(2_000)},
		{name: "alias bomb", in: laughs(9)},
		{name: "alias bomb by merge keys", in: merges(20)},
		{name: "10 MB string in one line", in: "apiVersion: v1\nkind: Node\nmetadata:\n  name: a\n  annotations:\n    x: " + rep("y", 10*MB) + "\n", ok: true},
		{name: "10 MB string in one line of JSON", in: `{"apiVersion":"v1","kind":"Node","metadata":{"name":"a","annotations":{"x":"` + rep("y", 10*MB) + `"}}}`, json: true, ok: true},
		{name: "10 MB of digits in a list", in: doc + "  ports: [" + rep("1,", 5*MB) + "1]\n"},
		{name: "10 MB of digits in a list of JSON", in: `{"apiVersion":"v1","kind":"Node","x":[` + rep("1,", 5*MB) + `1]}`, json: true},
		{name: "10 MB of short words in a list", in: doc + "  ports: [" + rep("aaaaaaa,", 10*MB/8) + "1]\n"},
		{name: "10 MB of short keys in a mapping", in: doc + "  ports: {" + rep("aaaaaaa,", 10*MB/8) + "b: 1}\n"},
		{name: "10 MB of short items", in: "a:\n" + rep("- aaaaa\n", 10*MB/8) + "b: {c: 1}\n"},
		{name: "many empty endpoints", in: `{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"a"},"addressType":"IPv4","endpoints":[` + rep("{},", 240_000) + `{}]}`, json: true},
		{name: "10 MB array of numbers", in: "[" + rep("1,", 5*MB) + "1]", json: true},
		{name: "10 MB array of empty objects", in: "[" + rep("{},", 3*MB) + "{}]", json: true},
		{name: "10 MB of empty endpoints", in: `{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"a"},"addressType":"IPv4","endpoints":[` + rep("{},", 3*MB) + `{}]}`, json: true},
		{name: "10 MB without a line break", in: "a: " + rep("b ", 5*MB)},
		{name: "10 MB of one word", in: rep("b", 10*MB)},
		{name: "10 MB of colons", in: "a" + rep(":", 10*MB)},
		{name: "10 MB of items", in: rep("- a\n", 5*MB/2)},
		{name: "10 MB of keys", in: rep("a:\n", 3*MB)},
		{name: "10 MB of documents", in: rep("--- a\n", 5*MB/3)},
		{name: "10 MB of document markers", in: rep("---\n", 5*MB/2), ok: true},
		{name: "10 MB of ignored documents", in: rep("apiVersion: v1\nkind: X\n---\n", 10*MB/27), ok: true},
		{name: "10 MB of comments", in: "# " + rep("x\n#", 5*MB) + "\n", ok: true},
		{name: "10 MB of question marks", in: rep("? ", 5*MB)},
		{name: "10 MB of anchors", in: rep("&a ", 3*MB)},
		{name: "10 MB of quotes", in: "a: " + rep("'", 10*MB)},
		{name: "10 MB of open string", in: `{"kind": "` + rep("a", 10*MB), json: true},
		{name: "10 MB of backslashes", in: `{"kind": "` + rep(`\`, 10*MB), json: true},
		{name: "10 MB of blanks", in: rep(" ", 10*MB), ok: true},
		{name: "10 MB of tabs", in: "a:\n" + rep("\t", 10*MB)},
		{name: "10 MB of NUL", in: rep("\x00", 10*MB)},
		{name: "10 MB of unknown fields", in: "apiVersion: v1\nkind: Node\nmetadata:\n  name: a\n" + unknownFields(10*MB), ok: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := []byte(c.in)
			start := time.Now()
			var err error
			got := allocated(func() {
				var o *Objects
				if o, err = Read([]Source{{Name: "f", Data: data}}); err == nil {
					_, _, err = o.State(NodeOptions{})
				}
			})
			if (err == nil) != c.ok {
				t.Errorf("error %v", err)
			}
			if err != nil {
				var p *ParseError
				if !errors.As(err, &p) || p.Line == 0 || len(err.Error()) > 500 || strings.Contains(err.Error(), "\n") {
					t.Errorf("not one clear line: %.600v", err)
				}
			}
			if most := ceiling(len(data), c.json); got > most {
				t.Errorf("%d bytes of input: %d MB allocated, ceiling %d MB", len(data), got>>20, most>>20)
			}
			t.Logf("%v, %d MB, %.200v", time.Since(start).Round(time.Millisecond), got>>20, err)
		})
	}
}

func levels(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

// merges doubles a mapping at each level by merging it twice under other keys.
func merges(levels int) string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nl0: &l0 {x: 1}\n")
	for i := range levels {
		p, n := "l"+string(rune('a'+i-1)), "l"+string(rune('a'+i))
		if i == 0 {
			p = "l0"
		}
		b.WriteString(n + ": &" + n + " {a" + n + ": {<<: *" + p + "}, b" + n + ": {<<: *" + p + "}}\n")
	}
	return b.String()
}

func unknownFields(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		b.WriteString("field-of-a-newer-server-" + strings.Repeat("x", i%50) + string(rune('a'+i%26)) + itoa(i) + ": 1\n")
	}
	return b.String()
}

// What kubectl prints of 1,000 Services stays below the ceilings by far.
func TestMemoryOfServices(t *testing.T) {
	const n = 1000
	for _, form := range []string{"yaml", "list", "json"} {
		data := manyServices(n, 3, form)
		got := allocated(func() {
			o, err := Read([]Source{{Name: "f", Data: data}})
			if err != nil {
				t.Fatal(err)
			}
			if st, _, err := o.State(NodeOptions{}); err != nil || len(st.Services) != n {
				t.Fatal(err)
			}
		})
		if most := ceiling(len(data), form == "json") / 4; got > most {
			t.Errorf("%s: %d MB of input, %d MB allocated, a quarter of the ceiling is %d MB", form, len(data)>>20, got>>20, most>>20)
		}
	}
}
