package box

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// pair is a parent's connection and a role that serves its other end.
func pair(t *testing.T, handlers map[string]Handler) *Conn {
	t.Helper()
	a, b := net.Pipe()
	go func() {
		Serve(b, handlers)
		b.Close()
	}()
	c := NewConn(a)
	t.Cleanup(func() { c.Close() })
	return c
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// Arguments and answers cross as they are, and typed errors keep their types: exit codes and mending commands hang on them.
func TestCallErrors(t *testing.T) {
	missing := &MissingError{What: "ipset", Reason: NoTool, Mend: "install it", Err: errors.New("not found")}
	failed := &CommandError{Command: "iptables-restore", Exit: 2, Output: "line 3 failed"}
	c := pair(t, map[string]Handler{
		"double": func(_ context.Context, r *Request) error {
			var n int
			if err := r.Decode(&n); err != nil {
				return err
			}
			return r.Answer(2 * n)
		},
		"missing": func(context.Context, *Request) error { return missing },
		"failed":  func(context.Context, *Request) error { return failed },
		"plain":   func(context.Context, *Request) error { return errors.New("just so") },
		"panic":   func(context.Context, *Request) error { panic("ouch") },
	})
	ctx := bounded(t)
	var n int
	if err := c.Call(ctx, "double", 21, &n); err != nil || n != 42 {
		t.Errorf("double: %d, %v", n, err)
	}
	m, ok := Missing(c.Call(ctx, "missing", nil, nil))
	if !ok || m.Reason != NoTool || m.Mend != missing.Mend || m.Error() != missing.Error() {
		t.Errorf("missing: %v", m)
	}
	var ce *CommandError
	if err := c.Call(ctx, "failed", nil, nil); !errors.As(err, &ce) || *ce != *failed {
		t.Errorf("failed: %v", err)
	}
	for _, method := range []string{"plain", "panic", "no such method"} {
		var re *RemoteError
		if err := c.Call(ctx, method, nil, nil); !errors.As(err, &re) || re.Method != method {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// A stream that the parent leaves ends in the box too, and the connection goes on serving.
func TestStreamCancel(t *testing.T) {
	ended := make(chan struct{})
	c := pair(t, map[string]Handler{
		"count": func(ctx context.Context, r *Request) error {
			defer close(ended)
			for i := 0; ctx.Err() == nil; i++ {
				if err := r.Answer(i); err != nil {
					return err
				}
			}
			return ctx.Err()
		},
		"ping": func(context.Context, *Request) error { return nil },
	})
	ctx, cancel := context.WithCancel(bounded(t))
	want := 0
	err := c.Stream(ctx, "count", nil, func(decode func(any) error) error {
		var got int
		if err := decode(&got); err != nil || got != want {
			t.Fatalf("got %d, want %d, %v", got, want, err)
		}
		if want++; want == 500 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("stream: %v", err)
	}
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("the handler goes on")
	}
	if err := c.Call(bounded(t), "ping", nil, nil); err != nil {
		t.Errorf("ping: %v", err)
	}
}

// A box that ends answers every call that waits.
func TestEnded(t *testing.T) {
	a, b := net.Pipe()
	c := NewConn(a)
	go func() {
		io.ReadAtLeast(b, make([]byte, 64), 1)
		b.Close()
	}()
	if err := c.Call(bounded(t), "x", nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
	if err := c.Call(bounded(t), "x", nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("again: %v", err)
	}
}

// Bytes that are no frames end a connection and crash nothing.
func FuzzServe(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x03\xff\x81\x00")) // a type definition cut short
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, w := io.Pipe()
		go io.Copy(io.Discard, r)
		defer w.Close()
		Serve(struct {
			io.Reader
			io.Writer
		}{&limitReader{data}, w}, nil)
	})
}

type limitReader struct{ b []byte }

func (l *limitReader) Read(p []byte) (int, error) {
	if len(l.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, l.b)
	l.b = l.b[n:]
	return n, nil
}
