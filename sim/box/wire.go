package box

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// frame is one message between a parent and its box. A request has a Method; every answer to it carries its ID, and the
// last one has Last set. A request with Cancel ends the context of the one with the same ID.
type frame struct {
	ID     uint64
	Method string
	Cancel bool
	Last   bool
	Body   []byte // gob of the argument or of one answer
	File   string // where the body is instead, in the inbox of a kernel of its own
	Err    *wireError
}

// wireError carries an error and, where it has one, its type.
type wireError struct {
	Text    string
	Missing *MissingError // its Err does not travel
	Command *CommandError
}

func toWire(err error) *wireError {
	if err == nil {
		return nil
	}
	w := &wireError{Text: err.Error()}
	if m, ok := Missing(err); ok {
		w.Missing = &MissingError{What: m.What, Reason: m.Reason, Mend: m.Mend}
		if m.Err != nil {
			w.Text = m.Err.Error()
		}
	}
	errors.As(err, &w.Command)
	return w
}

func (w *wireError) error(method string) error {
	switch {
	case w.Missing != nil:
		m := *w.Missing
		if w.Text != "" {
			m.Err = errors.New(w.Text)
		}
		return &m
	case w.Command != nil:
		return w.Command
	}
	return &RemoteError{Method: method, Text: w.Text}
}

// rawBody is a body that is encoded already: a relay hands it on as it is.
type rawBody []byte

func encode(v any) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	if b, ok := v.(rawBody); ok {
		return b, nil
	}
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(v); err != nil {
		return nil, fmt.Errorf("encoding %T: %w", v, err)
	}
	return b.Bytes(), nil
}

func decode(b []byte, v any) error {
	if v == nil {
		return nil
	}
	if raw, ok := v.(*rawBody); ok {
		*raw = b
		return nil
	}
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(v); err != nil {
		return fmt.Errorf("decoding %T: %w", v, err)
	}
	return nil
}

// Conn is the parent's end of a box's socket. It may be used by several goroutines. A kernel of its own that is reached
// over a console is driven by the same frames.
type Conn struct {
	rw io.ReadWriteCloser

	send sync.Mutex
	enc  *gob.Encoder

	mu    sync.Mutex
	next  uint64
	waits map[uint64]chan frame
	err   error
	done  chan struct{}

	inbox string // folder for bodies too large for the other side's console; "" without one
}

// request puts a large body into the inbox, from where done removes it.
func (c *Conn) request(f frame) (_ frame, done func(), _ error) {
	if c.inbox == "" || len(f.Body) <= consoleBytes {
		return f, func() {}, nil
	}
	name := fmt.Sprintf("body-%d", f.ID)
	path := filepath.Join(c.inbox, name)
	if err := os.WriteFile(path, f.Body, 0o600); err != nil {
		return f, nil, fmt.Errorf("request of %d bytes: %w", len(f.Body), err)
	}
	f.Body, f.File = nil, name
	return f, func() { os.Remove(path) }, nil
}

// consoleBytes is how large a request may be that is typed on a console, which takes one byte at a time.
const consoleBytes = 1024

// NewConn starts reading answers from rw.
func NewConn(rw io.ReadWriteCloser) *Conn {
	c := &Conn{rw: rw, enc: gob.NewEncoder(rw), waits: map[uint64]chan frame{}, done: make(chan struct{})}
	go c.read()
	return c
}

func (c *Conn) read() {
	dec := gob.NewDecoder(c.rw)
	for {
		var f frame
		if err := dec.Decode(&f); err != nil {
			c.fail(err)
			return
		}
		c.mu.Lock()
		ch := c.waits[f.ID]
		if f.Last {
			delete(c.waits, f.ID)
		}
		c.mu.Unlock()
		if ch == nil {
			continue
		}
		select {
		case ch <- f:
		case <-c.done:
			return
		}
	}
}

func (c *Conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	if errors.Is(err, io.EOF) {
		err = ErrClosed
	} else {
		err = fmt.Errorf("%w: %v", ErrClosed, err)
	}
	c.err = err
	close(c.done)
}

// Close ends the connection; calls that wait return ErrClosed.
func (c *Conn) Close() error {
	c.fail(io.EOF)
	return c.rw.Close()
}

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Call sends arg to a method and decodes its one answer into reply; either may be nil. An error is a MissingError, a
// CommandError, a RemoteError, the context's, or wraps ErrClosed.
func (c *Conn) Call(ctx context.Context, method string, arg, reply any) error {
	return c.Stream(ctx, method, arg, func(decode func(any) error) error { return decode(reply) })
}

// Stream sends arg to a method and hands each of its answers to each, until the last. When each fails or the context ends,
// the method is told to stop, and Stream returns at once.
func (c *Conn) Stream(ctx context.Context, method string, arg any, each func(decode func(any) error) error) error {
	body, err := encode(arg)
	if err != nil {
		return err
	}
	ch := make(chan frame, 64)
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return c.err
	}
	c.next++
	id := c.next
	c.waits[id] = ch
	c.mu.Unlock()
	leave := func() {
		c.mu.Lock()
		delete(c.waits, id)
		c.mu.Unlock()
	}
	request, done, err := c.request(frame{ID: id, Method: method, Body: body})
	if err == nil {
		defer done()
		err = c.write(request)
	}
	if err != nil {
		leave()
		return err
	}
	stop := func() {
		leave()
		go c.write(frame{ID: id, Cancel: true})
		go drain(ch, c.done)
	}
	for {
		select {
		case <-ctx.Done():
			stop()
			return ctx.Err()
		case <-c.done:
			return c.err
		case f := <-ch:
			if f.Err != nil {
				return f.Err.error(method)
			}
			if f.Body != nil {
				if err := each(func(v any) error { return decode(f.Body, v) }); err != nil {
					if !f.Last {
						stop()
					}
					return err
				}
			}
			if f.Last {
				return nil
			}
		}
	}
}

// drain lets a reader that is handing over a last frame go on.
func drain(ch chan frame, done <-chan struct{}) {
	select {
	case <-ch:
	case <-done:
	default:
	}
}

func (c *Conn) write(f frame) error {
	c.send.Lock()
	defer c.send.Unlock()
	if err := c.enc.Encode(f); err != nil {
		c.fail(err)
		return c.err
	}
	return nil
}
