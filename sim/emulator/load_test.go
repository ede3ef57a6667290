package emulator_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svclab/svclab/sim/emulator"
)

// TestManyConnections holds a thousand connections through the SOCKS5 door, each of which says something every second: for 20 seconds,
// or with SVCLAB_FIGURES=1 for ten minutes. Memory stays flat, all are closed at the end, and no goroutine is left.
func TestManyConnections(t *testing.T) {
	const connections = 1000
	length := 20 * time.Second
	switch {
	case os.Getenv("SVCLAB_FIGURES") != "":
		length = 10 * time.Minute
	case testing.Short():
		length = 4 * time.Second
	}
	e := start(t, emulator.Options{})
	door := socksDoor(t, e)
	var conns []net.Conn
	for range connections {
		c, code := socks(t, door, 1, "10.96.0.80:80")
		if c == nil {
			t.Fatalf("code %d", code)
		}
		conns = append(conns, c)
	}
	ends := time.Now().Add(length)
	var said atomic.Int64
	var failed atomic.Value
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer c.Close()
			r := bufio.NewReaderSize(c, 256)
			time.Sleep(time.Duration(i) * time.Second / connections)
			for n := 0; time.Now().Before(ends); n++ {
				line := fmt.Sprintf("%d %d\n", i, n)
				_ = c.SetDeadline(time.Now().Add(30 * time.Second))
				_, err := c.Write([]byte(line))
				if n == 0 && err == nil {
					_, err = r.ReadString('\n') // the Pod's name
				}
				got := ""
				if err == nil {
					got, err = r.ReadString('\n')
				}
				if err != nil || got != line {
					failed.Store(fmt.Sprintf("connection %d: said %q, heard %q: %v", i, line, got, err))
					return
				}
				said.Add(1)
				time.Sleep(time.Second)
			}
		}()
	}
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	var samples []int64
	for time.Now().Before(ends) {
		time.Sleep(length / 20)
		samples = append(samples, heap())
	}
	wg.Wait()
	if f := failed.Load(); f != nil {
		t.Error(f)
	}
	// Flat: the last quarter is no more than a tenth above the second.
	n := len(samples)
	early, late := slices.Max(samples[n/4:max(n/2, n/4+1)]), slices.Min(samples[n*3/4:])
	t.Logf("%d lines in %s; %d MiB after a quarter, %d MiB at the end", said.Load(), length, early>>20, late>>20)
	if late > early+early/10 {
		t.Errorf("memory grows: %v", samples)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		open := e.Status().Doors[0].Open
		list, err := e.Conntrack("")
		if err != nil {
			t.Fatal(err)
		}
		if open == 0 && !strings.Contains(list, "ESTABLISHED") {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("%d connections are open at the door, %d established at the node", open, strings.Count(list, "ESTABLISHED"))
			break
		}
	}
}
