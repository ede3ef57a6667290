package emulator

import (
	"errors"
	"io"
	"net"
)

// The sizes of the pieces in which bytes are relayed: a direction begins with the least, lest a thousand idle connections hold memory
// for nothing, and goes on with four times as much whenever a piece was full.
const (
	leastRelayBytes = 4 << 10
	mostRelayBytes  = 256 << 10
)

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
	if err := pieces(to, from); errors.Is(err, io.EOF) {
		if half, ok := to.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			return
		}
	}
	to.Close()
	from.Close()
}

// pieces copies until an error, io.EOF where all was well. io.Copy would do, but for the size: where one end is no socket of the
// system's, it takes pieces of 32 KiB.
func pieces(to io.Writer, from io.Reader) error {
	buf := make([]byte, leastRelayBytes)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				return werr
			}
		}
		if err != nil {
			return err
		}
		if n == len(buf) && n < mostRelayBytes {
			buf = make([]byte, 4*n)
		}
	}
}
