package law

import (
	"bufio"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// plain are case names that are also the field's own words; as such they may stand in the program.
var plain = map[string]bool{"affinity": true, "headless": true, "externalname": true, "externalips": true, "dual-stack": true}

func caseNames(t *testing.T) []string {
	t.Helper()
	f, err := os.Open("testdata/cases.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []string
	for s := bufio.NewScanner(f); s.Scan(); {
		if !plain[s.Text()] {
			out = append(out, s.Text())
		}
	}
	if len(out) < 100 {
		t.Fatalf("only %d case names", len(out))
	}
	return out
}

// TestNoCaseNames: the mechanism is modelled, never the cases that check it, so no program text may know one by name.
func TestNoCaseNames(t *testing.T) {
	names := caseNames(t)
	distinctive := regexp.MustCompile(`(^|[^\w-])(` + strings.Join(filter(names, func(n string) bool { return strings.Count(n, "-") > 1 }), "|") + `)($|[^\w-])`)
	any := regexp.MustCompile(`(^|[^\w-])(` + strings.Join(names, "|") + `)($|[^\w-])`)
	for _, s := range tree(t) {
		if s.test {
			continue
		}
		if m := distinctive.FindStringSubmatch(s.text); m != nil {
			t.Errorf("%s: names the case %q: fit the mechanism, not the cases", s.path, m[2])
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if m := any.FindStringSubmatch(l.Value); m != nil {
					t.Errorf("%s: names the case %q: fit the mechanism, not the cases", s.at(l.Pos()), m[2])
				}
			}
			return true
		})
	}
}

// TestSkipsSayWhy: a test is skipped only where something is missing, and says what: by the typed error that names it, or
// in a sentence of its own.
func TestSkipsSayWhy(t *testing.T) {
	for _, s := range tree(t) {
		ast.Inspect(s.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !s.test {
				return true
			}
			switch sel.Sel.Name {
			case "SkipNow":
				t.Errorf("%s: skips without a reason", s.at(call.Pos()))
			case "Skip", "Skipf":
				if !isTesting(sel.X) {
					return true
				}
				for _, a := range call.Args {
					if l, literal := a.(*ast.BasicLit); !literal || len(strings.Fields(l.Value)) > 4 {
						return true
					}
				}
				t.Errorf("%s: skips without saying what is missing", s.at(call.Pos()))
			}
			return true
		})
	}
}

func isTesting(x ast.Expr) bool {
	id, ok := x.(*ast.Ident)
	return ok && (id.Name == "t" || id.Name == "b" || id.Name == "f" || id.Name == "tb")
}

// TestNothingUnfinished: what is in the tree is finished; what is not is an issue, not a mark.
func TestNothingUnfinished(t *testing.T) {
	marks := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b|(?i)\bnot ` + `implemented\b|\bun` + `implemented\b|\bplace` + `holder\b|\bfor ` + `now\b`)
	for _, path := range tracked(t) {
		switch filepath.Ext(path) {
		case ".go", ".md", ".yaml", ".yml", ".ts", ".tsx", "":
		default:
			continue
		}
		if strings.Contains(path, "testdata/") || filepath.Base(path) == "LICENSE" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(top(t), path))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if m := marks.FindString(line); m != "" {
				t.Errorf("%s:%d: %q", path, i+1, m)
			}
		}
	}
}

// TestTopLevelFolders: five rooms and a few files; a sixth needs a better reason than this test.
func TestTopLevelFolders(t *testing.T) {
	allowed := map[string]bool{"sim": true, "datapath": true, "scenarios": true, "cmd": true, "web": true}
	for _, path := range tracked(t) {
		dir, _, ok := strings.Cut(path, "/")
		if ok && !allowed[dir] && !strings.HasPrefix(dir, ".") {
			t.Errorf("%s: %s is not one of the rooms sim, datapath, scenarios, cmd, web", path, strconv.Quote(dir))
		}
	}
}

// tracked lists the files of the tree, without what is built or fetched into it.
func tracked(t *testing.T) []string {
	t.Helper()
	var out []string
	root := top(t)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case ".git", "bin", "out", "node_modules", "dist":
				return filepath.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(root, path)
		out = append(out, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func filter(in []string, keep func(string) bool) (out []string) {
	for _, s := range in {
		if keep(s) {
			out = append(out, s)
		}
	}
	return out
}
