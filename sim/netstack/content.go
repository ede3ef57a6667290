package netstack

import (
	"bytes"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// filler is what requests and replies are made of.
var filler = bytes.Repeat([]byte("svclab 0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRS"), 1024)

// payload is some bytes of filler; one at a time is in use.
func (f *Fabric) payload(n int) *bytes.Reader {
	f.reader.Reset(filler[:n])
	return &f.reader
}

// counter is a writer that keeps nothing.
type counter int

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// discard reads and counts datagrams.
func (f *Fabric) discard(ep tcpip.Endpoint) (datagrams int) {
	for {
		if _, err := ep.Read(&f.read, tcpip.ReadOptions{}); err != nil {
			return datagrams
		}
		datagrams++
	}
}

// drain reads all bytes that are there; the error is nil when there may be more later.
func (f *Fabric) drain(ep tcpip.Endpoint) (n int, _ tcpip.Error) {
	for {
		r, err := ep.Read(&f.read, tcpip.ReadOptions{})
		n += r.Count
		if err != nil {
			if _, empty := err.(*tcpip.ErrWouldBlock); empty {
				err = nil
			}
			return n, err
		}
	}
}
