package emulator

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
)

// serveHTTP serves an HTTP proxy at a door: CONNECT (RFC 9110, section 9.3.6), and requests with an absolute URI for http. The
// standard library's parts suffice, and dial nothing but what they are given.
func serveHTTP(d *door, dial dialer, note func(address string, err error)) (stop func()) {
	tr := &http.Transport{
		DialContext:        func(ctx context.Context, _, address string) (net.Conn, error) { return dial(ctx, address) },
		DisableCompression: true, MaxIdleConnsPerHost: -1, // a client's connection ends with its request: each is a new one to the rules
	}
	failed := func(w http.ResponseWriter, address string, err error) {
		note(address, err)
		http.Error(w, err.Error(), statusOf(err))
	}
	plain := &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.Out.Host = r.In.Host },
		Transport:    tr,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { failed(w, r.URL.Host, err) },
		ErrorLog:     log.New(io.Discard, "", 0),
	}
	connect := func(w http.ResponseWriter, r *http.Request) {
		c, err := dial(r.Context(), r.Host) // which ends when the client hangs up, or the server
		if err != nil {
			failed(w, r.Host, err)
			return
		}
		defer c.Close()
		client, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer client.Close()
		if _, err := client.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n")); err == nil {
			relay(buffered{client, rw.Reader}, c)
		}
	}
	srv := &http.Server{
		ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodConnect:
				connect(w, r)
			case r.URL.Scheme == "http" && r.URL.Host != "":
				plain.ServeHTTP(w, r)
			default:
				http.Error(w, "this is an HTTP proxy: ask it for http://… or CONNECT HOST:PORT", http.StatusBadRequest)
			}
		}),
	}
	pass := newHandover(d.l.Addr())
	go func() { _ = srv.Serve(pass) }()
	d.serve(func(c net.Conn) { pass.give(c) })
	return func() {
		pass.Close()
		srv.Close()
		tr.CloseIdleConnections()
	}
}

// statusOf is the HTTP status for an error.
func statusOf(err error) int {
	var outside *OutsideError
	switch {
	case errors.As(err, &outside):
		return http.StatusForbidden
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}

// handover is a listener of connections that were accepted elsewhere.
type handover struct {
	at    net.Addr
	conns chan *handed
	done  chan struct{}
}

// handed is a connection that tells when it was closed.
type handed struct {
	net.Conn
	closed chan struct{}
	mark   chan struct{} // holds one token until the first Close
}

func newHandover(at net.Addr) *handover {
	return &handover{at: at, conns: make(chan *handed), done: make(chan struct{})}
}

// give hands a connection over and waits until it is closed.
func (h *handover) give(c net.Conn) {
	x := &handed{Conn: c, closed: make(chan struct{}), mark: make(chan struct{}, 1)}
	x.mark <- struct{}{}
	select {
	case h.conns <- x:
		<-x.closed
	case <-h.done:
	}
}

// Close ends the connection.
func (x *handed) Close() error {
	select {
	case <-x.mark:
		defer close(x.closed)
	default:
	}
	return x.Conn.Close()
}

// CloseWrite ends what is sent, where the connection can.
func (x *handed) CloseWrite() error {
	if half, ok := x.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return x.Close()
}

// Accept waits for a connection.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close ends the listener.
func (h *handover) Close() error {
	select {
	case <-h.done:
	default:
		close(h.done)
	}
	return nil
}

// Addr is where the connections were accepted.
func (h *handover) Addr() net.Addr { return h.at }
