package emulator

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
)

// door is a listener whose connections end with it.
type door struct {
	ctx    context.Context
	cancel context.CancelFunc
	l      net.Listener
	wg     sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]struct{}
	closed bool
}

func newDoor(l net.Listener) *door {
	d := &door{l: l, open: map[net.Conn]struct{}{}}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// serve hands every connection to a goroutine of its own, until the door closes.
func (d *door) serve(each func(net.Conn)) {
	d.wg.Add(1)
	go func() {
		defer d.wg.Done()
		for {
			c, err := d.l.Accept()
			if err != nil {
				return
			}
			if !d.keep(c) {
				return
			}
			go func() {
				defer d.wg.Done()
				defer d.drop(c)
				each(c)
			}()
		}
	}()
}

func (d *door) keep(c net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		c.Close()
		return false
	}
	d.open[c] = struct{}{}
	d.wg.Add(1)
	return true
}

func (d *door) drop(c net.Conn) {
	c.Close()
	d.mu.Lock()
	delete(d.open, c)
	d.mu.Unlock()
}

// count is how many connections are open.
func (d *door) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.open)
}

// close ends the listener and every connection, and waits until none is served.
func (d *door) close() {
	d.mu.Lock()
	d.closed = true
	d.cancel()
	d.l.Close()
	for c := range d.open {
		c.Close()
	}
	d.mu.Unlock()
	d.wg.Wait()
}

// Listen opens a TCP listener for a door. What is not a loopback address is refused, unless the user allowed any.
func Listen(flag, at string, any bool) (net.Listener, error) {
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return nil, &InputError{What: flag, Text: at, Why: "is not ADDRESS:PORT"}
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	a, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return nil, &InputError{What: flag, Text: at, Why: "is not ADDRESS:PORT; doors take addresses, not names"}
	case !a.IsLoopback() && !any:
		return nil, &InputError{What: flag, Text: at, Why: "is not a loopback address: whoever reaches it reaches the emulator; --listen allows that"}
	}
	l, err := net.Listen("tcp", net.JoinHostPort(a.String(), port))
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return nil, &InputError{What: flag, Text: at, Why: "cannot be listened at: " + err.Error()}
	}
	return l, nil
}
