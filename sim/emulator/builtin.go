package emulator

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Identity is who stands behind an endpoint.
type Identity struct {
	Pod      string // namespace/name, or "" where the objects do not name it
	Endpoint string // address and port
	Node     string // "" where the objects do not tell it
	Service  string // namespace/name
}

// String is the line by which built-in servers name themselves.
func (i Identity) String() string {
	var b strings.Builder
	if i.Pod != "" {
		b.WriteString("Pod " + i.Pod + ", ")
	}
	b.WriteString("endpoint " + i.Endpoint + " of " + i.Service)
	if i.Node != "" {
		b.WriteString(" on " + i.Node)
	}
	return b.String()
}

// builtin is the servers of Pods that have no process of the user's behind them: on one port HTTP/1, HTTP/2 without TLS, and for
// whatever else a client says first an echo.
type builtin struct {
	http *http.Server
	pass *handover
	done chan struct{}
}

type identityKey struct{}

// spoken is a connection whose first bytes were looked at.
type spoken struct {
	net.Conn
	r  *bufio.Reader
	of Identity
}

func (s *spoken) Read(p []byte) (int, error) { return s.r.Read(p) }

// CloseWrite ends what is sent, where the connection can.
func (s *spoken) CloseWrite() error { return buffered{s.Conn, s.r}.CloseWrite() }

func newBuiltin() *builtin {
	b := &builtin{pass: newHandover(&net.TCPAddr{}), done: make(chan struct{})}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	b.http = &http.Server{
		Protocols: protocols, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(answer),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, identityKey{}, c.(*handed).Conn.(*spoken).of)
		},
	}
	go func() {
		defer close(b.done)
		_ = b.http.Serve(b.pass) // ends when pass is closed
	}()
	return b
}

func (b *builtin) close() {
	b.pass.Close()
	b.http.Close()
	<-b.done
}

// answer is the HTTP server of a Pod: who it is and whom it sees. /bytes/N is N bytes, for those who measure.
func answer(w http.ResponseWriter, r *http.Request) {
	of, _ := r.Context().Value(identityKey{}).(Identity)
	if text, ok := strings.CutPrefix(r.URL.Path, "/bytes/"); ok {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			http.Error(w, "/bytes/N sends N bytes", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Length", text)
		_, _ = io.CopyN(w, zeros{}, n) // an error means that the client has gone
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "%s\nclient %s, asked for http://%s%s\n", of, r.RemoteAddr, r.Host, r.URL.Path)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// methods are the first words by which HTTP is known; PRI opens HTTP/2 (RFC 9113, section 3.4).
var methods = []string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "PATCH ", "TRACE ", "CONNECT ", "PRI "}

// hesitation is how long the rest of a method's name is waited for.
const hesitation = 200 * time.Millisecond

// serve is one connection of a Pod's.
func (b *builtin) serve(c net.Conn, of Identity) {
	s := &spoken{Conn: c, r: bufio.NewReaderSize(c, leastRelayBytes), of: of}
	if speaksHTTP(s) {
		b.pass.give(s)
		return
	}
	// The first line names the Pod; after it comes back whatever is sent.
	if _, err := io.WriteString(c, of.String()+"\n"); err == nil {
		pour(c, s)
	}
}

func speaksHTTP(s *spoken) bool {
	for n := 1; ; n++ {
		head, err := s.r.Peek(n)
		if err != nil {
			return false
		}
		maybe := false
		for _, m := range methods {
			if string(head) == m {
				return true
			}
			maybe = maybe || strings.HasPrefix(m, string(head))
		}
		if !maybe {
			return false
		}
		if n == 1 {
			_ = s.SetReadDeadline(time.Now().Add(hesitation))
			defer func() { _ = s.SetReadDeadline(time.Time{}) }()
		}
	}
}

// echoPackets answers datagrams: a line that names the Pod, and what was sent.
func echoPackets(p net.PacketConn, of Identity) {
	line := of.String() + "\n"
	buf := make([]byte, 64<<10)
	for {
		n, from, err := p.ReadFrom(buf[len(line):])
		if err != nil {
			return
		}
		copy(buf, line)
		_, _ = p.WriteTo(buf[:len(line)+n], from) // a datagram too large is lost, as datagrams are
	}
}
