package input

// kind is what a value is before any Go type is asked for.
type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindInt
	kindFloat
	kindString
	kindSeq
	kindMap
)

func (k kind) String() string {
	return [...]string{"null", "a boolean", "a number", "a number", "a string", "a list", "a mapping"}[k]
}

// node is one value of a YAML or JSON document. Scalars keep their text; a plain YAML scalar's kind is what YAML 1.1
// makes of it, since that is the YAML of Kubernetes. A mapping's kids are its keys and values in turn.
type node struct {
	text      string
	kids      []*node
	line, col int32 // counted from 1; with line offsetLine, col is a byte offset into the file
	kind      kind
	plain     bool // an unquoted YAML scalar
	literal   bool // a literal block scalar: its lines are lines of the file
}

// offsetLine marks a node whose place is known as a byte offset.
const offsetLine = -1

// get returns the value of a key of a mapping, the last one when it stands there twice, or nil.
func (n *node) get(key string) *node {
	if n == nil || n.kind != kindMap {
		return nil
	}
	for i := len(n.kids) - 2; i >= 0; i -= 2 {
		if n.kids[i].text == key {
			return n.kids[i+1]
		}
	}
	return nil
}

// at walks keys and list indices (ints) down from n and returns the deepest node that exists, for error positions.
func (n *node) at(path ...any) *node {
	for _, p := range path {
		var next *node
		switch p := p.(type) {
		case string:
			next = n.get(p)
		case int:
			if n.kind == kindSeq && p < len(n.kids) {
				next = n.kids[p]
			}
		}
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

// str returns the text of a string key, or "".
func (n *node) str(key string) string {
	if v := n.get(key); v != nil && v.kind == kindString {
		return v.text
	}
	return ""
}

// The limits of one document. Kubernetes itself takes objects of a few megabytes, nested a few dozen levels deep.
const (
	maxDepth  = 100     // levels of nesting
	maxList   = 100_000 // elements of one list that is decoded
	freeNodes = 200_000 // values that any document may hold
)

// Beyond freeNodes, a document may hold one value for so many bytes: what a node costs in each reader keeps memory below
// 48 bytes for each byte of YAML and 8 for each of JSON.
const (
	blockBytes   = 4
	libraryBytes = 8
	jsonBytes    = 16
)

// arena hands out nodes in blocks and counts them. After reset it hands out the same ones again: trees live only until
// their document or item is decoded.
type arena struct {
	blocks [][]node
	block  int // index of the block in use
	at     int // index of its next node
	used   int
	most   int // how many nodes are too many
}

func (a *arena) new() *node {
	if a.block < len(a.blocks) && a.at == len(a.blocks[a.block]) {
		a.block, a.at = a.block+1, 0
	}
	if a.block == len(a.blocks) {
		a.blocks = append(a.blocks, make([]node, 64<<min(a.block, 6)))
	}
	n := &a.blocks[a.block][a.at]
	a.at++
	a.used++
	*n = node{kids: n.kids[:0]}
	return n
}

func (a *arena) full() bool { return a.used > a.most }

// reset begins a document or item that may hold most nodes.
func (a *arena) reset(most int) { a.block, a.at, a.used, a.most = 0, 0, 0, most }
