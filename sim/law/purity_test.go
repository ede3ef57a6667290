package law

import (
	"go/ast"
	"strings"
	"testing"
)

// impure lists what no file below datapath may import, and why. Tests there may read their testdata.
var impure = []struct{ path, why string }{
	{"os", "input is a value and output is a value: no file, environment or process"},
	{"os/exec", "the model starts no process"},
	{"os/signal", "the model hears no signal"},
	{"io/ioutil", "no file"},
	{"embed", "no file"},
	{"syscall", "the model does not speak to the kernel it runs on"},
	{"unsafe", "the model runs in a browser as it runs here"},
	{"net", "sockets and resolvers belong to the worlds; addresses are net/netip's"},
	{"net/http", "no server in the model"},
	{"log", "the model returns Steps and errors; who calls it decides what is said"},
	{"log/slog", "the model returns Steps and errors; who calls it decides what is said"},
	{"math/rand", "all chance passes netfilter.Source, so that one seed makes the run"},
	{"math/rand/v2", "all chance passes netfilter.Source, so that one seed makes the run"},
	{"crypto/rand", "all chance passes netfilter.Source, so that one seed makes the run"},
	{"sync/atomic", "one goroutine owns a Node"},
	{"runtime", "results do not depend on the machine"},
	{"golang.org/x/sys", "the model does not speak to the kernel it runs on"},
}

// ambient lists calls of the time package that read a clock or wait for it.
var ambient = map[string]bool{
	"Now": true, "Since": true, "Until": true, "Sleep": true, "After": true, "AfterFunc": true, "Tick": true,
	"NewTimer": true, "NewTicker": true,
}

func TestDatapathIsPure(t *testing.T) {
	for _, s := range tree(t) {
		if !in(s.room, "datapath") || s.test {
			continue
		}
		for path, pos := range s.imports() {
			for _, b := range impure {
				if path == b.path || b.path == "golang.org/x/sys" && in(path, b.path) {
					t.Errorf("%s: imports %s: %s", s.at(pos), path, b.why)
				}
			}
			if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") {
				t.Errorf("%s: imports %s: the model needs only the standard library", s.at(pos), path)
			}
		}
		for _, b := range breaches(s.ast) {
			t.Errorf("%s: %s", s.at(b.node.Pos()), b.why)
		}
	}
}

type breach struct {
	node ast.Node
	why  string
}

// breaches finds goroutines, channels and readings of the clock.
func breaches(f *ast.File) (out []breach) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			out = append(out, breach{n, "starts a goroutine: one goroutine owns a Node, and it is the caller's"})
		case *ast.SelectStmt, *ast.SendStmt, *ast.ChanType:
			out = append(out, breach{n, "uses channels: a walk is a plain call"})
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && ambient[n.Sel.Name] {
				out = append(out, breach{n, "time." + n.Sel.Name + ": time is the caller's, a Duration since the node started"})
			}
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "fmt" && strings.HasPrefix(n.Sel.Name, "Print") {
				out = append(out, breach{n, "fmt." + n.Sel.Name + ": results are returned, not printed"})
			}
		}
		return true
	})
	return out
}
