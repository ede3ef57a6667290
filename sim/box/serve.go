package box

import (
	"context"
	"encoding/gob"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
)

// Handler answers one request of the parent. It runs in a goroutine of its own; its context ends when the parent gives up.
type Handler func(ctx context.Context, r *Request) error

// Request is one request as a Handler sees it.
type Request struct {
	method string
	body   []byte
	send   func(v any, last bool, err error) error
}

// Decode reads the argument into v.
func (r *Request) Decode(v any) error { return decode(r.body, v) }

// Answer sends one answer. A handler of Call sends one; a handler of Stream any number.
func (r *Request) Answer(v any) error { return r.send(v, false, nil) }

// anyMethod is the handler of methods that have none of their own.
const anyMethod = "*"

// Serve answers requests from rw with the handlers until rw ends. It is what the role of a box runs, and what an agent in a
// kernel of its own runs on its console.
func Serve(rw io.ReadWriter, handlers map[string]Handler) error {
	var (
		mu      sync.Mutex
		cancels = map[uint64]context.CancelFunc{}
		send    sync.Mutex
		enc     = gob.NewEncoder(rw)
		dec     = gob.NewDecoder(rw)
	)
	// Bodies too large for a console come by a file.
	body := func(f frame) ([]byte, error) {
		if f.File == "" {
			return f.Body, nil
		}
		return os.ReadFile(filepath.Join(umlInbox, f.File))
	}
	write := func(f frame) error {
		send.Lock()
		defer send.Unlock()
		return enc.Encode(f)
	}
	for {
		var f frame
		if err := dec.Decode(&f); err != nil {
			if err == io.EOF {
				return nil
			}
			return fmt.Errorf("reading a request: %w", err)
		}
		if f.Cancel {
			mu.Lock()
			if cancel := cancels[f.ID]; cancel != nil {
				cancel()
			}
			mu.Unlock()
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		mu.Lock()
		cancels[f.ID] = cancel
		mu.Unlock()
		go func() {
			defer func() {
				cancel()
				mu.Lock()
				delete(cancels, f.ID)
				mu.Unlock()
			}()
			r := &Request{method: f.Method, body: f.Body, send: func(v any, last bool, err error) error {
				b, ready := v.(rawBody)
				if !ready {
					var e error
					if b, e = encode(v); e != nil {
						return e
					}
				}
				return write(frame{ID: f.ID, Body: b, Last: last, Err: toWire(err)})
			}}
			h := handlers[f.Method]
			if h == nil {
				h = handlers[anyMethod]
			}
			var err error
			if r.body, err = body(f); err == nil {
				err = handle(ctx, h, f.Method, r)
			}
			r.send(nil, true, err)
		}()
	}
}

// handle turns a panic of a handler into an error with its stack, so that the parent can print it.
func handle(ctx context.Context, h Handler, method string, r *Request) (err error) {
	if h == nil {
		return fmt.Errorf("the box knows no method %q", method)
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in the box: %v\n%s", p, debug.Stack())
		}
	}()
	return h(ctx, r)
}
