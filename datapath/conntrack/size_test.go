package conntrack

import (
	"testing"
	"unsafe"
)

// An entry is four cache lines, its hot part the first two.
func TestEntrySize(t *testing.T) {
	var c Conn
	if size, hot := unsafe.Sizeof(c), unsafe.Offsetof(c.Reply); size != 256 || hot != 128 {
		t.Errorf("an entry takes %d bytes, its hot part %d", size, hot)
	}
}
