package stacks

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"sexton.dev/runtimes/godump"
)

// endless is a dump of any size, made while it is read: write gives the text of one goroutine.
type endless struct {
	left int
	n    int
	text []byte
	rest []byte
	add  func(b []byte, n int) []byte
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	if len(e.rest) == 0 {
		e.n++
		e.text = e.add(e.text[:0], e.n)
		e.rest = e.text
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	e.left -= n
	return n, nil
}

// waiter is a goroutine of dockerd that waits for one of a million locks.
func waiter(b []byte, n int) []byte {
	return fmt.Appendf(b, "goroutine %d [semacquire, %d minutes]:\n"+
		"sync.runtime_SemacquireMutex(0xc%09x?, 0xd0?, 0x565527e45566?)\n\t/usr/lib/go/src/runtime/sema.go:77 +0x25\n"+
		"sync.(*Mutex).lockSlow(0xc%09x)\n\t/usr/lib/go/src/sync/mutex.go:171 +0x165\nsync.(*Mutex).Lock(...)\n\t/usr/lib/go/src/sync/mutex.go:90\n"+
		"github.com/docker/docker/daemon.(*Daemon).ContainerInspectCurrent(0xc000832000, {0xc%09x?, 0x5655281cbef7?}, 0x0)\n\t/src/github.com/docker/docker/daemon/inspect.go:40 +0x79\n\n",
		n, n%90, n%1e6*16, n%1e6*16, n)
}

// stranger is a goroutine that nobody else is like.
func stranger(b []byte, n int) []byte {
	b = fmt.Appendf(b, "goroutine %d [%d, 3 minutes]:\n", n, n)
	for i := range 20 {
		b = fmt.Appendf(b, "example.com/%d/%s.F%d(0x%x, 0xc%09x)\n\t/src/%d/%d.go:%d +0x5\n", n, strings.Repeat("x", 500), i, n, n, n, i, i)
	}
	return append(b, '\n')
}

// oneLine makes of a goroutine what logrus does: the whole dump is a line.
func oneLine(add func([]byte, int) []byte) func([]byte, int) []byte {
	escape := strings.NewReplacer("\n", `\n`, "\t", `\t`)
	return func(b []byte, n int) []byte { return append(b, escape.Replace(string(add(nil, n)))...) }
}

// A dump is read as a stream: neither its size nor what is in it makes memory grow.
func TestStream(t *testing.T) {
	const most = 150 << 20 // bytes from the system
	size := 32 << 20
	if os.Getenv("SEXTON_VERIFY") == "full" {
		size = 1 << 30
	}
	for _, tt := range []struct {
		name string
		size int
		add  func([]byte, int) []byte
	}{
		{"waiters", size, waiter},
		{"a dump that is one line", size / 4, oneLine(waiter)},
		{"no two stacks alike", size / 4, stranger},
		{"one line without an end", size / 4, func(b []byte, _ int) []byte { return append(b, strings.Repeat("x(0x1, ", 1000)...) }},
		{"one name of backslashes", size / 4, func(b []byte, _ int) []byte { return append(b, strings.Repeat(`\`, 1000)...) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			f := New()
			text, err := godump.Read(&endless{left: tt.size, add: tt.add}, f.Add)
			if err != nil {
				t.Fatal(err)
			}
			r := f.Report(text, "")
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			t.Logf("%d MB, %d goroutines, %d groups, %d MB of memory, %v", tt.size>>20, r.Goroutines, len(r.Groups), m.Sys>>20, time.Since(start).Round(time.Millisecond))
			if m.Sys > most {
				t.Errorf("%d MB from the system, want at most %d", m.Sys>>20, most>>20)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, bb := range []struct {
		name string
		add  func([]byte, int) []byte
	}{{"plain", waiter}, {"escaped", oneLine(waiter)}} {
		b.Run(bb.name, func(b *testing.B) {
			var text []byte
			for n := 0; len(text) < 16<<20; n++ {
				text = bb.add(text, n)
			}
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				f := New()
				t, err := godump.Read(strings.NewReader(string(text)), f.Add)
				if err != nil {
					b.Fatal(err)
				}
				f.Report(t, "")
			}
		})
	}
}
