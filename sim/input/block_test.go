package input

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sameTree compares two trees by kind, text and keys, and by place but for null values, whose place nothing shows.
func sameTree(a, b *node, path string) error {
	if a.kind != b.kind || a.text != b.text && a.kind != kindNull || a.literal != b.literal {
		return fmt.Errorf("%s: %v %q and %v %q", path, a.kind, a.text, b.kind, b.text)
	}
	if a.kind != kindNull && (a.line != b.line || a.col != b.col) {
		return fmt.Errorf("%s: %d:%d and %d:%d", path, a.line, a.col, b.line, b.col)
	}
	if len(a.kids) != len(b.kids) {
		return fmt.Errorf("%s: %d and %d kids", path, len(a.kids), len(b.kids))
	}
	for i := range a.kids {
		if err := sameTree(a.kids[i], b.kids[i], fmt.Sprintf("%s/%d", path, i)); err != nil {
			return err
		}
	}
	return nil
}

// agree holds the block reader against the YAML library: what the first takes, the second takes alike.
func agree(t *testing.T, text string) (taken int) {
	t.Helper()
	f := &file{name: "f", data: []byte(text)}
	if f.scan() != nil {
		return 0
	}
	for _, d := range f.cut() {
		fast, ok := d.readBlock(new(arena))
		if !ok {
			continue
		}
		taken++
		full, err := d.parseAnyYAML(new(arena))
		if err != nil {
			t.Fatalf("only the block reader takes %q: %v", d.text, err)
		}
		if err := sameTree(fast, full, ""); err != nil {
			t.Fatalf("%q: block reader and library differ at %v", d.text, err)
		}
	}
	return taken
}

// What kubectl prints is read by the block reader, and read alike by the library.
func TestBlockReader(t *testing.T) {
	files, _ := filepath.Glob("testdata/*/*.yaml")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if n := agree(t, string(b)); n == 0 && strings.Contains(f, "conformance") {
			t.Errorf("%s: the block reader takes no document", f)
		}
		agree(t, strings.ReplaceAll(string(b), "\n", "\r\n"))
	}
	for _, form := range []string{"yaml", "list"} {
		text := string(manyServices(20, 3, form))
		if n := agree(t, text); form == "list" && n != 1 || form == "yaml" && n != 42 {
			t.Errorf("%s: %d documents taken", form, n)
		}
	}
}

// blockSeeds are the edges of the block reader: each line says which.
var blockSeeds = []struct{ edge, text string }{
	{"a sequence at the indentation of its key", "a:\n- b\n- c\nd: e\n"},
	{"a key without value before a deeper sequence's end", "x:\n- a:\n- b: 1\n"},
	{"nested dashes", "- - a\n  - b\n- c\n"},
	{"comments between and behind", "a: 1 # x\n# y\n  # z\nb: 'q' # r\n"},
	{"a hash inside a word", "a: b#c\nd: #e\n"},
	{"colons inside a word", "k:{\"port\":80}: {}\nf:x: a:b\n.: {}\n"},
	{"literal block, clipped", "a: |\n  x\n\n   y\n\nb: 1\n"},
	{"literal block, stripped", "a: |-\n  x\n\nb: 1\n"},
	{"literal block, kept", "a: |+\n  x\n\nb: 1\n"},
	{"literal block in a sequence", "- |\n x\n- y\n"},
	{"literal block with less indentation than its key", "a:\n  b: |\n x\n"},
	{"literal block with blanks before it", "a: |\n    \n  x\n"},
	{"a continued plain scalar", "a: b\n  c\nd: e\n"},
	{"a continued quoted scalar", "a: 'b\n  c'\n"},
	{"escapes", "a: \"x\\ny\"\nb: 'it''s'\n"},
	{"tabs", "a:\tb\nc: d\t\n"},
	{"typographic quotes", "a: “rr“\n“b”: c\n"},
	{"anchors", "a: &x 1\nb: *x\n"},
	{"merge", "a: &x {b: 1}\nc:\n  <<: *x\n"},
	{"a value that looks like a key", "a: b: c\n"},
	{"a value that looks like an item", "a: - b\n"},
	{"numbers and words of YAML 1.1", "a: 0777\nb: no\nc: 1_000\nd: 0x1f\ne: ~\nf: 1e3\ng: .5\nh: -1\n"},
	{"document with a marker", "--- # c\na: 1\n"},
	{"document with its content behind the marker", "--- a\n"},
	{"a mapping that outdents to nowhere", "a:\n    b: 1\n  c: 2\n"},
	{"quoted keys", "'a': 1\n\"b\": 2\n'c' : 3\n"},
	{"a word that begins like a marker", "---#\n0:"},
	{"a colon alone", " :"},
	{"a carriage return alone", "#\r0\n0:"},
	{"empty key", ": 1\n'': 2\n"},
	{"line breaks of YAML 1.1", "a: x\u0085y\n"},
}

func TestBlockEdges(t *testing.T) {
	for _, s := range blockSeeds {
		t.Run(s.edge, func(t *testing.T) { agree(t, s.text) })
	}
}

func FuzzBlockReader(f *testing.F) {
	for _, s := range blockSeeds {
		f.Add(s.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) < 1<<16 {
			agree(t, text)
		}
	})
}
