package law

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/svclab/svclab"

// source is one parsed Go file of the tree; paths are relative to its top, with slashes.
type source struct {
	path string
	room string // the folder: "datapath/packet"
	test bool
	text string
	fset *token.FileSet
	ast  *ast.File
}

func (s source) at(pos token.Pos) string {
	p := s.fset.Position(pos)
	return s.path + ":" + strconv.Itoa(p.Line)
}

// imports are the import paths, those of this module shortened to their room.
func (s source) imports() map[string]token.Pos {
	m := map[string]token.Pos{}
	for _, i := range s.ast.Imports {
		m[strings.TrimPrefix(strings.Trim(i.Path.Value, `"`), module+"/")] = i.Pos()
	}
	return m
}

func top(t *testing.T) string {
	t.Helper()
	d, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(d, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return d
}

var readTree = sync.OnceValues(func() ([]source, error) {
	var out []source
	root, err := filepath.Abs("../..")
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && (name == "testdata" || name == "node_modules" || name == "bin" || name == "out" || strings.HasPrefix(name, ".")) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		out = append(out, source{
			path: rel, room: strings.TrimSuffix(rel, "/"+name), test: strings.HasSuffix(name, "_test.go"),
			text: string(text), fset: fset, ast: f,
		})
		return nil
	})
	return out, err
})

func tree(t *testing.T) []source {
	t.Helper()
	s, err := readTree()
	if err != nil {
		t.Fatal(err)
	}
	if len(s) < 20 {
		t.Fatalf("only %d Go files found: the tree is not where this test looks", len(s))
	}
	return s
}

// in reports whether a room or import path is one of the listed ones or lies below it.
func in(path string, rooms ...string) bool {
	for _, r := range rooms {
		if path == r || strings.HasPrefix(path, r+"/") {
			return true
		}
	}
	return false
}
