package emulator

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/things-go/go-socks5"
	"github.com/things-go/go-socks5/statute"
)

// dialer opens a connection to a name or address and port, as a client in the cluster does. Errors are an OutsideError, a NameError,
// or what the client's socket is told.
type dialer func(ctx context.Context, address string) (net.Conn, error)

// serveSOCKS serves SOCKS5 (RFC 1928) at a door, without authentication. CONNECT is what it does; names are left to the dialer. BIND
// and UDP ASSOCIATE are answered with "command not supported".
func serveSOCKS(d *door, dial dialer, note func(address string, err error)) {
	unsupported := func(_ context.Context, w io.Writer, _ *socks5.Request) error {
		return socks5.SendReply(w, statute.RepCommandNotSupported, nil)
	}
	s := socks5.NewServer(
		socks5.WithResolver(noResolver{}),
		socks5.WithBindHandle(unsupported), socks5.WithAssociateHandle(unsupported),
		socks5.WithLogger(socks5.NewLogger(log.New(io.Discard, "", 0))),
		socks5.WithConnectHandle(func(_ context.Context, w io.Writer, q *socks5.Request) error {
			host := q.RawDestAddr.FQDN
			if host == "" {
				host = q.RawDestAddr.IP.String()
			}
			address := net.JoinHostPort(host, strconv.Itoa(q.RawDestAddr.Port))
			ctx, stop := whileThere(d.ctx, w.(net.Conn), q.Reader)
			c, err := dial(ctx, address)
			stop()
			if err != nil {
				note(address, err)
				return socks5.SendReply(w, replyCode(err), nil)
			}
			defer c.Close()
			if err := socks5.SendReply(w, statute.RepSuccess, c.LocalAddr()); err != nil {
				return err
			}
			// What the client sent along with its request waits in the reader.
			relay(buffered{w.(net.Conn), q.Reader}, c)
			return nil
		}),
	)
	d.serve(func(c net.Conn) { _ = s.ServeConn(c) }) // an error is the client's, who was told
}

// whileThere is a context that ends when the client hangs up. Nothing may be read from the client until stop was called; what it sends
// meanwhile waits in the reader.
func whileThere(ctx context.Context, c net.Conn, r io.Reader) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	b, ok := r.(*bufio.Reader)
	if !ok {
		return ctx, cancel
	}
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		if _, err := b.Peek(1); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			cancel()
		}
	}()
	return ctx, func() {
		_ = c.SetReadDeadline(time.Unix(1, 0)) // ends the look
		<-looked
		_ = c.SetReadDeadline(time.Time{})
		cancel()
	}
}

// noResolver leaves names as they are.
type noResolver struct{}

func (noResolver) Resolve(ctx context.Context, _ string) (context.Context, net.IP, error) {
	return ctx, nil, nil
}

// buffered is a connection of which some bytes were read already.
type buffered struct {
	net.Conn
	r io.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// CloseWrite ends what is sent, where the connection can.
func (b buffered) CloseWrite() error {
	if half, ok := b.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return b.Close()
}

// replyCode is the SOCKS5 reply field for an error (RFC 1928, section 6).
func replyCode(err error) uint8 {
	var outside *OutsideError
	var name *NameError
	switch {
	case errors.As(err, &outside):
		return statute.RepRuleFailure
	case errors.As(err, &name):
		return statute.RepHostUnreachable
	case errors.Is(err, context.DeadlineExceeded):
		return statute.RepTTLExpired
	case strings.Contains(err.Error(), "refused"):
		return statute.RepConnectionRefused
	case strings.Contains(err.Error(), "network"):
		return statute.RepNetworkUnreachable
	}
	return statute.RepHostUnreachable
}
