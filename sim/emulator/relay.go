package emulator

import (
	"io"
	"net"
	"sync"
)

// relayBytes is the size of the pieces in which bytes are relayed.
const relayBytes = 256 << 10

var relayBuffers = sync.Pool{New: func() any { b := make([]byte, relayBytes); return &b }}

// relay joins two connections until both directions have ended. The end of one is passed on; a failure ends both.
func relay(a, b net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		pour(a, b)
	}()
	pour(b, a)
	<-done
}

// pour copies one direction, and passes its end on.
func pour(to, from net.Conn) {
	buf := relayBuffers.Get().(*[]byte)
	defer relayBuffers.Put(buf)
	// The bare interfaces keep io.Copy from the ways of its own that the standard library's connections offer: those take pieces
	// of 32 KiB where the other end is no socket.
	_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, *buf)
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil && half.CloseWrite() == nil {
		return
	}
	to.Close()
	from.Close()
}
