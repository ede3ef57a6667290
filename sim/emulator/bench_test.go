package emulator_test

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/svclab/svclab/sim/emulator"
)

// onLoopback is a server on loopback that serves each connection in a goroutine of its own, and closes it then.
func onLoopback(t testing.TB, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return l.Addr().String()
}

// plainRelay is a TCP relay on loopback to an address: what a door is measured against.
func plainRelay(t testing.TB, to string) string {
	t.Helper()
	return onLoopback(t, func(c net.Conn) {
		d, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer d.Close()
		go func() {
			io.Copy(d, c)
			d.(*net.TCPConn).CloseWrite()
		}()
		io.Copy(c, d)
	})
}

// source is a server on loopback that sends bulkBytes for every byte that it gets.
func source(t testing.TB) string {
	t.Helper()
	return onLoopback(t, func(c net.Conn) {
		one := make([]byte, 1)
		buf := make([]byte, 256<<10)
		for {
			if _, err := io.ReadFull(c, one); err != nil {
				return
			}
			for left := bulkBytes; left > 0; left -= len(buf) {
				if _, err := c.Write(buf); err != nil {
					return
				}
			}
		}
	})
}

const bulkBytes = 64 << 20

// take asks for one helping and takes it.
func take(c net.Conn, buf []byte) error {
	if _, err := c.Write([]byte{1}); err != nil {
		return err
	}
	for left := bulkBytes; left > 0; {
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

func pull(t testing.TB, c net.Conn, buf []byte) {
	t.Helper()
	if err := take(c, buf); err != nil {
		t.Fatal(err)
	}
}

// echoServer is an echo on loopback.
func echoServer(t testing.TB) string {
	t.Helper()
	return onLoopback(t, func(c net.Conn) {
		io.Copy(c, c)
	})
}

// BenchmarkBulkSOCKS copies bytes from a local process to a local client, by turns through a plain relay and through the SOCKS5 door,
// the node and a Pod in front of the process. "share" is the door's rate over the relay's.
func BenchmarkBulkSOCKS(b *testing.B) {
	src := source(b)
	target := netip.MustParseAddrPort(src)
	backend, err := emulator.ParseBackend("shop/web:http=tcp://" + target.String())
	if err != nil {
		b.Fatal(err)
	}
	e := open(b, emulator.Options{Backends: []emulator.Backend{backend}})
	defer e.Close()
	through, _ := socks(b, socksDoor(b, e), 1, "10.96.0.80:80")
	defer through.Close()
	plain, err := net.Dial("tcp", plainRelay(b, src))
	if err != nil {
		b.Fatal(err)
	}
	defer plain.Close()
	compare(b, func(buf []byte) { pull(b, plain, buf) }, func(buf []byte) { pull(b, through, buf) })
}

// compare runs two copies by turns and reports the rates and their ratio, from the medians.
func compare(b *testing.B, plain, through func(buf []byte)) {
	buf := make([]byte, 256<<10)
	plain(buf)
	through(buf)
	var a, c []time.Duration
	for b.Loop() {
		begin := time.Now()
		plain(buf)
		mid := time.Now()
		through(buf)
		a, c = append(a, mid.Sub(begin)), append(c, time.Since(mid))
	}
	slices.Sort(a)
	slices.Sort(c)
	p, q := a[len(a)/2], c[len(c)/2]
	b.ReportMetric(bulkBytes/1e6/p.Seconds(), "plain-MB/s")
	b.ReportMetric(bulkBytes/1e6/q.Seconds(), "through-MB/s")
	b.ReportMetric(p.Seconds()/q.Seconds(), "share")
}

// BenchmarkConnect opens a connection and exchanges a byte, by turns through a plain relay and through the SOCKS5 door to an address.
// "added-µs" is the difference of the medians.
func BenchmarkConnect(b *testing.B) {
	to := echoServer(b)
	backend, err := emulator.ParseBackend("shop/web:http=tcp://" + to)
	if err != nil {
		b.Fatal(err)
	}
	e := open(b, emulator.Options{Backends: []emulator.Backend{backend}})
	defer e.Close()
	door, relay := socksDoor(b, e), plainRelay(b, to)
	echo := func(c net.Conn) {
		one := []byte{1}
		if _, err := c.Write(one); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, one); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
	var plain, through []time.Duration
	for b.Loop() {
		begin := time.Now()
		c, err := net.Dial("tcp", relay)
		if err != nil {
			b.Fatal(err)
		}
		echo(c)
		mid := time.Now()
		c, code := socks(b, door, 1, "10.96.0.80:80")
		if c == nil {
			b.Fatal(code)
		}
		echo(c)
		plain, through = append(plain, mid.Sub(begin)), append(through, time.Since(mid))
	}
	slices.Sort(plain)
	slices.Sort(through)
	p, q := plain[len(plain)/2], through[len(through)/2]
	b.ReportMetric(float64(p.Microseconds()), "plain-µs")
	b.ReportMetric(float64(q.Microseconds()), "through-µs")
	b.ReportMetric(float64((q - p).Microseconds()), "added-µs")
}
